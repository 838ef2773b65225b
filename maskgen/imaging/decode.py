"""Bytes of an untrusted image file -> uint8 RGB pixels, upright and whole, or a reason why not."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from ..errors import Rejected
from .render import Image

MAX_PIXELS = 89_478_485
"""Larger photographs are taken for decompression bombs; the limit is Pillow's own."""

MAX_BYTES = 1 << 30
"""Larger files are not read at all. No format needs as many for that many pixels: raw ones of 16 bits have 0.7 GB."""

FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "PPM")

_ORIENTATION = 0x0112  # the EXIF tag
_TURNS = {
    2: PillowImage.Transpose.FLIP_LEFT_RIGHT,
    3: PillowImage.Transpose.ROTATE_180,
    4: PillowImage.Transpose.FLIP_TOP_BOTTOM,
    5: PillowImage.Transpose.TRANSPOSE,
    6: PillowImage.Transpose.ROTATE_270,
    7: PillowImage.Transpose.TRANSVERSE,
    8: PillowImage.Transpose.ROTATE_90,
}
"""What turns a picture of each EXIF orientation upright. (Pillow's own `exif_transpose` also writes the EXIF block
anew, and fails on photographs whose other tags are damaged.)"""

_END_OF_JPEG = b"\xff\xd9"

_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError),
    *(struct.error, zlib.error),
)
"""What Pillow's plugins let out on damaged files."""


def decode(data: bytes) -> Image:
    """Decodes one photograph: uint8 (h, w, 3) RGB, turned as its EXIF orientation says.

    16-bit samples are cut to 8 bits, grey, palette and CMYK become RGB, transparent parts become white. Raises
    `Rejected` with the reason `empty`, `not_an_image`, `damaged` or `too_large`.
    """
    if not data:
        raise Rejected("empty", "the file has zero bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", PillowImage.DecompressionBombWarning)
        try:
            with PillowImage.open(io.BytesIO(data), formats=FORMATS) as header:
                if header.width * header.height > MAX_PIXELS:
                    raise Rejected("too_large", f"{header.width} x {header.height} pixels; the limit is {MAX_PIXELS}")
                return _fast(data, header) if _is_plain_jpeg(data, header) else _thorough(header)
        except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning) as error:
            raise Rejected("too_large", f"{error} (the limit is {MAX_PIXELS} pixels)") from None
        except UnidentifiedImageError:
            raise Rejected("not_an_image", f"not a {', '.join(FORMATS)} file") from None
        except _DAMAGE as error:
            raise Rejected("damaged", " ".join(str(error).split()) or type(error).__name__) from None


def _is_plain_jpeg(data: bytes, header: PillowImage.Image) -> bool:
    """Whether OpenCV may decode it. A JPEG cut short goes to Pillow, which says so where OpenCV would fill up grey."""
    return (
        header.format in ("JPEG", "MPO")
        and header.mode in ("RGB", "L")
        and data.endswith(_END_OF_JPEG)
        and _orientation(header) not in _TURNS
    )


def _orientation(picture: PillowImage.Image) -> Any:
    """The EXIF orientation; None where the EXIF block is damaged, which takes nothing from the pixels."""
    try:
        return picture.getexif().get(_ORIENTATION)
    except _DAMAGE:
        return None


def _fast(data: bytes, header: PillowImage.Image) -> Image:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return _thorough(header) if image is None else image


def _thorough(header: PillowImage.Image) -> Image:
    header.load()  # before EXIF, which may lie behind the pixels
    turn = _TURNS.get(_orientation(header))
    picture = header if turn is None else header.transpose(turn)
    if picture.mode.startswith("I"):
        samples = np.asarray(picture).astype(np.int64)
        grey = np.clip(samples >> 8, 0, 255).astype(np.uint8)
        return np.repeat(grey[:, :, None], 3, axis=2)
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        paper = PillowImage.new("RGBA", picture.size, "white")
        picture = PillowImage.alpha_composite(paper, picture)
    return np.array(picture.convert("RGB"))
