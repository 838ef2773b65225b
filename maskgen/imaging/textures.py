"""Pictures to print on masks: a folder of the user's files, checked -> RGBA pixels with smaller copies."""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from ..errors import Rejected, UsageError
from .decode import decode, decode_with_warnings

ENDINGS = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""Files of a folder of textures with other endings are ignored, such as a licence."""

SMALLEST, LARGEST = 16, 8192
"""Sides of a picture in pixels: a smaller one is a colour, which `--colors` gives; a larger one is a mistake."""

STORED_SIDE = 512
"""Longer side, in pixels, of what is kept of a picture."""

MAX_TEXTURES = 1000
MAX_BYTES = 64 << 20
"""The largest file that is read."""

MAX_STORED_BYTES = 4 * STORED_SIDE * STORED_SIDE + (1 << 16)
"""A PNG file of such a picture is not larger, even if nothing in it can be compressed."""

Bytes = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Texture:
    """A picture to print on masks.

    Attributes:
        png: It as a PNG file, RGBA, at most 512 pixels a side.
    """

    png: bytes

    @cached_property
    def sha256(self) -> str:
        """The hash of the PNG file."""
        return hashlib.sha256(self.png).hexdigest()

    @cached_property
    def levels(self) -> tuple[Bytes, ...]:
        """Its pixels (4, height, width), and copies of half the size each, down to 32 pixels.

        They are red, green and blue, each multiplied by alpha, and 255 - alpha.
        """
        with PillowImage.open(io.BytesIO(self.png), formats=("PNG",)) as picture:
            level = cv2.cvtColor(np.asarray(picture.convert("RGBA")), cv2.COLOR_RGBA2mRGBA)
        level[:, :, 3] = 255 - level[:, :, 3]
        levels = [level]
        while min(level.shape[:2]) >= 64:
            level = cv2.resize(level, (level.shape[1] // 2, level.shape[0] // 2), interpolation=cv2.INTER_AREA)
            levels.append(level)
        return tuple(np.ascontiguousarray(np.moveaxis(level, 2, 0)) for level in levels)

    def level(self, width: float) -> Bytes:
        """The copy to print on a mask so many pixels wide: finer ones would flicker, coarser ones blur."""
        return min(self.levels, key=lambda level: abs(level.shape[2] / max(width, 1) - 1.2))

    def __getstate__(self) -> dict[str, bytes]:
        return {"png": self.png}


def read_textures(folder: Path | str) -> tuple[Texture, ...]:
    """Reads the pictures of a folder that masks of the style `texture` show.

    Each is stretched over a whole mask: its upper edge lies along the upper edge of the mask, its sides at the ears.
    Where it is transparent the cloth shows, in the colour of the mask. Files whose names begin with a dot or do not end
    as pictures do are ignored.

    Args:
        folder: A folder of PNG, JPEG, WebP or BMP files, from 16 to 8,192 pixels a side.

    Returns:
        The pictures in the order of their hashes, so that names do not matter; equal ones are taken once.

    Raises:
        UsageError: The folder has no picture, or one that cannot be used. The message names it.

    Example:
        >>> prints = maskgen.read_textures("prints")
    """
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise UsageError(f"--textures {folder} cannot be read ({error.strerror}); give a folder of pictures.") from None
    paths = [Path(folder, name) for name in names if name.lower().endswith(ENDINGS) and not name.startswith(".")]
    if not paths:
        raise UsageError(f"--textures {folder} has no picture in it; put {', '.join(ENDINGS)} files there.")
    if len(paths) > MAX_TEXTURES:
        raise UsageError(f"--textures {folder} has {len(paths):,} pictures; give at most {MAX_TEXTURES:,}.")
    found = {texture.sha256: texture for texture in map(_read, paths)}
    return tuple(found[sha256] for sha256 in sorted(found))


def stored_texture(png: bytes) -> Texture:
    """A texture from the PNG file of it in a data set, which may come from anyone. Raises `ValueError`."""
    if len(png) > MAX_STORED_BYTES:
        raise ValueError(f"it has more than {MAX_STORED_BYTES:,} bytes")
    try:
        height, width = decode_with_warnings(png, STORED_SIDE * STORED_SIDE)[0].shape[:2]
    except Rejected as rejected:
        raise ValueError(str(rejected)) from None
    if not png.startswith(b"\x89PNG") or max(height, width) > STORED_SIDE:
        raise ValueError(f"it is no PNG of at most {STORED_SIDE} pixels a side")
    return Texture(png)


def _read(path: Path) -> Texture:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise UsageError(f"the texture {path} has more than {MAX_BYTES >> 20} MB; make it smaller.")
        data = path.read_bytes()
        height, width = decode(data).shape[:2]
    except OSError as error:
        raise UsageError(f"the texture {path} cannot be read ({error.strerror}); fix that or remove it.") from None
    except Rejected as rejected:
        advice = "make it smaller" if rejected.reason == "too_large" else "replace it with a PNG or JPEG, or remove it"
        raise UsageError(f"the texture {path} is no picture that can be used ({rejected}); {advice}.") from None
    if min(height, width) < SMALLEST:
        raise UsageError(
            f"the texture {path} is {width} x {height} pixels; make it at least {SMALLEST} a side, or give its colour "
            "with --colors."
        )
    if max(height, width) > LARGEST:
        raise UsageError(f"the texture {path} is {width} x {height} pixels; make it at most {LARGEST:,} a side.")
    with PillowImage.open(io.BytesIO(data)) as picture:  # `decode` has accepted it
        has_alpha = picture.has_transparency_data
        rgba = picture.convert("RGBA") if has_alpha else PillowImage.fromarray(decode(data)).convert("RGBA")
    if has_alpha and not rgba.getchannel("A").getextrema()[1]:
        raise UsageError(f"the texture {path} is fully transparent; draw something on it or remove it.")
    scale = min(STORED_SIDE / max(height, width), 1)
    size = (max(1, round(rgba.width * scale)), max(1, round(rgba.height * scale)))
    if size != rgba.size:
        rgba = rgba.resize(size, PillowImage.Resampling.BOX)
    file = io.BytesIO()
    rgba.save(file, "PNG")
    return Texture(file.getvalue())
