"""Bytes of an untrusted image file -> uint8 RGB pixels, upright and complete, or the reason why not."""

from __future__ import annotations

import struct
import warnings
import zlib
from typing import Any

import cv2
import numpy as np
from PIL import Image as PillowImage
from PIL import UnidentifiedImageError

from ..errors import Rejected
from . import libjpeg_warnings, limits
from .pixels import rgb_of
from .render import Image

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
"""What turns a picture of each EXIF orientation upright. (Pillow's `exif_transpose` also rewrites the EXIF block, and
fails if other tags are damaged.)"""

_START_OF_JPEG, _END_OF_JPEG = b"\xff\xd8\xff", b"\xff\xd9"

_DAMAGE = (
    *(OSError, SyntaxError, ValueError, EOFError, ArithmeticError, LookupError, TypeError),
    *(struct.error, zlib.error),
)
"""What Pillow's plugins raise on damaged files."""


def decode(data: bytes) -> Image:
    """Decodes one photograph and turns it upright by its EXIF orientation.

    Grey, palette and CMYK pictures become RGB, 16-bit samples lose their lower 8 bits, and transparent parts become
    white.

    Args:
        data: The bytes of a JPEG, PNG, WebP, BMP or PPM file.

    Returns:
        uint8 (height, width, 3), RGB.

    Raises:
        Rejected: With the reason `empty`, `not_an_image`, `damaged` or `too_large` (see docs/hostile.md).

    Example:
        >>> image = maskgen.decode(Path("face.jpg").read_bytes())
    """
    return decode_with_warnings(data)[0]


def decode_with_warnings(data: bytes, max_pixels: int = limits.MAX_PIXELS) -> tuple[Image, str]:
    """The pixels as `decode` gives them, and libjpeg's message on a JPEG that is damaged inside, or an empty text."""
    if not isinstance(data, bytes | bytearray | memoryview):
        raise TypeError(f"decode got a {type(data).__name__}; give the bytes of a file: Path(...).read_bytes()")
    if not data:
        raise Rejected("empty", "the file has zero bytes")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", PillowImage.DecompressionBombWarning)
        said: list[str] = []
        try:
            scans = limits.count_scans(data) if data.startswith(_START_OF_JPEG) else 0
            file = limits.MeteredFile(data)
            with PillowImage.open(file, formats=FORMATS) as header:
                file.header_ends()
                limits.check_header(header, data, scans, max_pixels)
                image = None
                if _is_plain_jpeg(data, header):
                    with libjpeg_warnings.caught() as said:
                        image = _fast(data)
                return _thorough(header) if image is None else image, " ".join(said)
        except (PillowImage.DecompressionBombError, PillowImage.DecompressionBombWarning) as error:
            raise Rejected("too_large", f"{error} (the limit is {limits.MAX_PIXELS} pixels)") from None
        except UnidentifiedImageError:
            raise Rejected("not_an_image", f"not a {', '.join(FORMATS)} file") from None
        except _DAMAGE as error:
            raise Rejected("damaged", _one_line(error, said)) from None


def noted(rejected: Rejected, said: str) -> Rejected:
    """A reject whose detail has libjpeg's message added."""
    return Rejected(rejected.reason, f"{rejected.detail} (libjpeg: {said})") if said else rejected


def _one_line(error: Exception, said: list[str]) -> str:
    detail = " ".join(str(error).split()) or type(error).__name__
    return noted(Rejected("", detail), " ".join(said)).detail


def _is_plain_jpeg(data: bytes, header: PillowImage.Image) -> bool:
    """Whether OpenCV may decode it. Truncated JPEG goes to Pillow, which raises; OpenCV fills the rest with grey."""
    return (
        header.format in ("JPEG", "MPO")
        and header.mode in ("RGB", "L")
        and data.endswith(_END_OF_JPEG)
        and _orientation(header) not in _TURNS
    )


def _orientation(picture: PillowImage.Image) -> Any:
    """The EXIF orientation; None if the EXIF block is damaged, which does not affect the pixels."""
    try:
        return picture.getexif().get(_ORIENTATION)
    except _DAMAGE:
        return None


def _fast(data: bytes) -> Image | None:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    image: Image | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    return image


def _thorough(header: PillowImage.Image) -> Image:
    header.load()  # before EXIF, which may come after the pixels
    turn = _TURNS.get(_orientation(header))
    return rgb_of(header if turn is None else header.transpose(turn))
