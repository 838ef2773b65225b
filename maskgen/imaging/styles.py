"""The style of a mask: flat as NIST draws it, fabric, or a texture; and one way to draw any of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from . import cloth, fabric
from .outline import Points, outline
from .pixels import pixels_of
from .render import Image, coverage, paint_each
from .seeding import digest
from .textures import Texture
from .variants import STYLES

STRAPS = ((240, 240, 236), (240, 240, 236), (24, 24, 26))
"""Colours of straps that are not made of the cloth itself: white twice as often as black."""


@dataclass(frozen=True)
class Style:
    """How masks look. The outline of a mask is the same in every style.

    Everything that a style draws at random, such as folds, straps and which texture, follows from the seed, the name
    of the photograph and the variant.

    Args:
        name: `flat` is one colour, as NIST draws masks. `fabric` is cloth in that colour, lit as the face is, with
            folds and straps: a surgical mask, a cloth mask or a respirator. `texture` prints pictures on the cloth.
        seed: Of what is drawn at random.
        textures: The pictures of the style `texture`, as `read_textures` gives them.

    Raises:
        ValueError: There is no such style, or `texture` without textures.

    Example:
        >>> masked = maskgen.draw(image, landmarks, "wide_high", (158, 207, 240), maskgen.Style("fabric"))
    """

    name: str = "flat"
    seed: int = 0
    textures: tuple[Texture, ...] = ()

    def __post_init__(self) -> None:
        if self.name not in STYLES:
            raise ValueError(f"no style {self.name!r}; choose one of {', '.join(STYLES)}")
        if (self.name == "texture") != bool(self.textures):
            raise ValueError("the style texture needs textures, and no other style takes them; see read_textures")

    def cloth(self, source: str, variant: str, color: Sequence[int], width: float) -> cloth.Cloth:
        """The cloth of one mask, so many pixels wide, on the photograph of that name."""
        drawn = digest(self.seed, "style", variant, source)
        # The straps of a cloth mask are of the same cloth; others are white or black.
        strap = STRAPS[drawn[2] % len(STRAPS)]
        if self.name == "texture":
            picture = self.textures[int.from_bytes(drawn[8:], "big") % len(self.textures)].level(width)
            shade = fabric.plain(drawn[1] % fabric.VARIATIONS, *picture.shape[1:])
            return cloth.Cloth(shade, color, picture, False, strap)
        look = fabric.LOOKS[int.from_bytes(drawn[4:8], "big") % len(fabric.LOOKS)]
        shade = fabric.shading(look, drawn[1] % fabric.VARIATIONS)
        return cloth.Cloth(shade, color, None, bool(drawn[3] & 1), color if look == "cloth" else strap)


FLAT = Style()


def draw(
    image: Image | PillowImage.Image,
    landmarks: npt.ArrayLike,
    variant: str,
    color: Sequence[int],
    style: Style = FLAT,
    source: str = "",
) -> Image:
    """Draws one mask on a copy of a picture.

    The edge of the mask is anti-aliased to the exact share of each pixel covered. Parts outside the picture are cut
    off. In other styles than `flat`, straps, a shadow and a soft edge lie outside the outline.

    Args:
        image: uint8 (height, width, 3) RGB, or a Pillow image of any mode.
        landmarks: (68, 2), x and y in pixels of `image`, in the iBUG 300-W order.
        variant: One of `VARIANTS`.
        color: Red, green and blue, from 0 to 255.
        style: How the mask looks.
        source: A name of the photograph. With the style's seed and the variant it decides what is drawn at random.

    Returns:
        A new picture, uint8 (height, width, 3) RGB.

    Raises:
        Undrawable: If the face is turned so far that it has no such mask.
        TypeError: If the image is neither an array nor a Pillow image.
        ValueError: If the image, the landmarks, the variant or the colour has another form.

    Example:
        >>> face = maskgen.Landmarker().find(image)
        >>> masked = maskgen.draw(image, face.landmarks, "wide_high", (158, 207, 240))
        >>> worn = maskgen.draw(image, face.landmarks, "wide_high", (158, 207, 240), maskgen.Style("fabric"))
    """
    image = pixels_of(image)
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"the image is {image.dtype} {image.shape}; give uint8 (height, width, 3)")
    if len(color) != 3 or not all(0 <= value <= 255 for value in color):
        raise ValueError(f"the colour is {color}; give three values from 0 to 255")
    points = np.asarray(landmarks, dtype=np.float64)
    return next(draw_each(image, points, [variant], [outline(points, variant)], [color], style, source))


def draw_each(
    image: Image,
    landmarks: npt.NDArray[np.generic],
    variants: Sequence[str],
    outlines: Sequence[Points],
    colors: Sequence[Sequence[int]],
    style: Style = FLAT,
    source: str = "",
) -> Iterator[Image]:
    """Yields a photograph with each mask: variants, their outlines on that face, and their colours.

    `image` is RGB. It may be the same array each time, reused for the next one.
    """
    if style.name == "flat":
        return paint_each(image, coverage(outlines, image.shape[1], image.shape[0]), colors)
    cloths = [
        style.cloth(source, variant, color, float(np.ptp(polygon[:, 0])))
        for variant, polygon, color in zip(variants, outlines, colors, strict=True)
    ]
    return cloth.lay_each(image, landmarks.astype(np.float64), outlines, cloths)
