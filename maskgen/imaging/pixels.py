"""A picture as a caller has it, an array or a Pillow image -> uint8 pixels."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

Pixels = npt.NDArray[np.uint8]


def pixels_of(picture: Pixels | PillowImage.Image) -> Pixels:
    """The pixels of a Pillow image as `rgb_of` returns them; an array as it is."""
    if isinstance(picture, PillowImage.Image):
        return rgb_of(picture)
    if not isinstance(picture, np.ndarray):
        raise TypeError(f"the image is a {type(picture).__name__}; give a numpy array or a Pillow image")
    return picture


def rgb_of(picture: PillowImage.Image) -> Pixels:
    """A Pillow image of any mode as uint8 (height, width, 3) RGB.

    16-bit samples lose their lower 8 bits. Transparent parts become white. EXIF orientation is not applied.
    """
    if picture.mode.startswith("I"):
        grey = np.clip(np.asarray(picture) >> 8, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        paper = PillowImage.new("RGBA", picture.size, "white")
        picture = PillowImage.alpha_composite(paper, picture)
    return np.array(picture.convert("RGB"))
