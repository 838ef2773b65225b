"""Limits on the work that one photograph may cause, counted from its bytes: the same on every machine, however busy."""

from __future__ import annotations

import io
import re

from PIL import Image as PillowImage
from PIL.ImageFile import ImageFile

from ..errors import Rejected

MAX_PIXELS = 89_478_485
"""Larger photographs are taken for decompression bombs; the limit is Pillow's own."""

MAX_SIDE = 100_000
"""What is longer is no photograph. Thin pictures take most time and memory to search."""

MAX_BYTES = 1 << 30
"""Larger files are not read at all. No format needs as many for that many pixels: raw ones of 16 bits have 0.7 GB."""

BYTES_PER_PIXEL = 25
"""Memory that a photograph takes at most, decoded, searched and drawn at a usual size (docs/hostile.md)."""

MAX_SCANNED_PIXELS = 32 * MAX_PIXELS
"""Scans of a JPEG times its pixels: every scan is a pass over all of them. Encoders write 10 to 20 scans."""

MAX_HEADER_BYTES = 32 << 20
"""Bytes before the pixels. Colour profiles, previews and depth maps have some megabytes."""

MAX_EXIF_BYTES = 1 << 20
"""EXIF data. Cameras write one part of 64 KB at most; Pillow makes objects of 0.3 KB of 8 bytes of it."""

MAX_JPEG_SEGMENTS = 1 << 16
"""Segments of a JPEG file and bytes between those of its header, each of which is read by a step in Python."""

MAX_STORED_SEGMENTS = 64
"""Segments before the frame of a JPEG in a data set; ours have two."""

MAX_READS = 1 << 23
"""Reads of a file, and samples of a format, that Pillow decodes by steps in Python: some 20 seconds of them."""

MAX_COMMENTS = 1_000
"""Comments of a plain PNM file. Pillow copies a megabyte for each."""


class MeteredFile(io.BytesIO):
    """A file in memory that counts reads, since each is a step in Python of one of Pillow's plugins.

    Raises `Rejected` (`too_large`) for the read after `MAX_READS`, and, until `header_ends` is called, where more than
    `MAX_HEADER_BYTES` were read in parts. (The WebP plugin reads the rest of the file at once, which costs nothing.)
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        self._reads = self._header_bytes = 0
        self._in_header = True

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads > MAX_READS:
            raise Rejected("too_large", f"it takes more than {MAX_READS:,} steps to read, which is the limit")
        data = super().read(size)
        if self._in_header and size is not None and size > 0:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                raise _header_too_large()
        return data

    def header_ends(self) -> None:
        self._in_header = False


_SEGMENT = re.compile(rb"\xff([^\x00\x01\xd0-\xd8\xff])")
"""The begin of a segment of a JPEG; what follows 0xff in its packed pixels is excluded."""

_END, _SCAN, _APP1 = b"\xd9", b"\xda", b"\xe1"

_BASELINE_FRAME = 0xC0
_BEFORE_FRAME = frozenset({*range(0xE0, 0xF0), 0xC4, 0xDB, 0xDD, 0xFE})
"""Application data, tables, the restart interval and comments. A decoder skips 0xff that fills up, and markers that
begin no segment, and would find another frame behind them than a reader that takes them for segments."""


def count_scans(jpeg: bytes) -> int:
    """The scans of a JPEG file, without those of previews in it and of pictures behind it.

    Raises `Rejected` (`too_large`) for more segments, header or EXIF bytes than the limits.
    """
    place, steps, scans, exif = 2, 0, 0, 0
    while (found := _SEGMENT.search(jpeg, place)) and found[1] != _END:
        steps += 1 if scans else 1 + found.start() - place
        if steps > MAX_JPEG_SEGMENTS:
            raise Rejected("too_large", f"more than {MAX_JPEG_SEGMENTS:,} segments or fill bytes, which is the limit")
        place = found.end() + int.from_bytes(jpeg[found.end() : found.end() + 2], "big")
        if found[1] == _SCAN:
            scans += 1
        elif not scans:
            if place > MAX_HEADER_BYTES:
                raise _header_too_large()
            if found[1] == _APP1 and jpeg.startswith(b"Exif\0\0", found.end() + 2):
                exif += place - found.end()
                _check_exif(exif)
    return scans


def jpeg_size(jpeg: bytes) -> tuple[int, int] | None:
    """Width and height by the header of a JPEG as data sets store it: baseline, and small before its pixels.

    None for any other file. Pillow takes a sixth of the time of decoding a stored picture to say as much.
    """
    place = 2
    for _ in range(MAX_STORED_SEGMENTS):
        head = jpeg[place : place + 9]
        if not jpeg.startswith(b"\xff\xd8") or len(head) < 9 or head[0] != 0xFF:
            break
        if head[1] == _BASELINE_FRAME:
            return int.from_bytes(head[7:9], "big"), int.from_bytes(head[5:7], "big")
        if head[1] not in _BEFORE_FRAME:
            break
        place += 2 + int.from_bytes(head[2:4], "big")
    return None


def check_header(picture: PillowImage.Image, data: bytes, scans: int, max_pixels: int) -> None:
    """Raises `Rejected` (`too_large`) if the header shows that decoding a picture is more work than the limits."""
    width, height = picture.size
    pixels, size = width * height, f"{width} x {height} pixels"
    if pixels > MAX_PIXELS:
        raise Rejected("too_large", f"{size}; the limit is {MAX_PIXELS:,}")
    if max(width, height) > MAX_SIDE:
        raise Rejected("too_large", f"{size}; the limit is {MAX_SIDE:,} a side")
    if pixels > max_pixels:
        need, limit = (many * BYTES_PER_PIXEL / 1e6 for many in (pixels, max_pixels))
        raise Rejected("too_large", f"{size} take up to {need:,.0f} MB; the limit is {limit:,.0f} MB")
    if pixels * scans > MAX_SCANNED_PIXELS:
        raise Rejected(
            "too_large", f"{scans:,} scans of {size}; the limit is {MAX_SCANNED_PIXELS // pixels:,} at this size"
        )
    _check_exif(len(picture.info.get("exif", b"")))
    if isinstance(picture, ImageFile) and picture.tile and picture.tile[0].codec_name == "ppm_plain":
        samples = pixels * len(picture.getbands())
        if samples > MAX_READS:
            raise Rejected("too_large", f"{samples:,} numbers written out; the limit is {MAX_READS:,}")
        if (comments := data.count(b"#")) > MAX_COMMENTS:
            raise Rejected("too_large", f"{comments:,} comments; the limit is {MAX_COMMENTS:,}")


def _check_exif(many: int) -> None:
    if many > MAX_EXIF_BYTES:
        raise Rejected("too_large", f"more than {MAX_EXIF_BYTES:,} bytes of EXIF data, which is the limit")


def _header_too_large() -> Rejected:
    return Rejected("too_large", f"more than {MAX_HEADER_BYTES:,} bytes before the pixels, which is the limit")
