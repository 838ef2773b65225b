"""Photographs that are made to cost time or memory, each a few bytes of a recipe; the same bytes every time."""

from __future__ import annotations

import functools
import io
import struct
import zlib
from collections.abc import Callable

import cv2
import numpy as np
from PIL import Image, ImageFile

from maskgen.imaging.limits import MAX_PIXELS

SIDE = 9_459
"""The side of the largest square photograph that is decoded: 89 megapixels."""

Photograph = Callable[[], bytes]


def jpeg(width: int, height: int, *, progressive: bool = False, grey: bool = True) -> bytes:
    """A flat JPEG picture."""
    flags = [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive), cv2.IMWRITE_JPEG_QUALITY, 50]
    return bytes(
        cv2.imencode(".jpg", np.full((height, width) if grey else (height, width, 3), 128, np.uint8), flags)[1]
    )


def segment(marker: int, payload: bytes) -> bytes:
    return b"\xff" + bytes([marker]) + struct.pack(">H", len(payload) + 2) + payload


def scans(side: int, count: int) -> bytes:
    """A progressive JPEG whose last scan comes `count` times: some hundred bytes each, and a pass over all blocks."""
    whole = jpeg(side, side, progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * count + b"\xff\xd9"


def with_header(*segments: bytes) -> bytes:
    """A small JPEG with these bytes after its first two."""
    whole = jpeg(64, 64)
    return whole[:2] + b"".join(segments) + whole[2:]


def exif_parts(count: int) -> bytes:
    """EXIF in `count` parts of 64 KB, which a reader joins one by one."""
    return with_header(*[segment(0xE1, b"Exif\0\0" + bytes(65_527))] * count)


def exif_rationals(count: int) -> bytes:
    """EXIF with a resolution of `count` fractions, as parts of 64 KB."""
    tiff = b"MM\0\x2a" + struct.pack(">IH", 8, 1) + struct.pack(">HHII", 0x011A, 5, count, 26) + bytes(4)
    data = tiff + struct.pack(">II", 3, 7) * count
    return with_header(*[segment(0xE1, b"Exif\0\0" + data[at : at + 65_527]) for at in range(0, len(data), 65_527)])


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *before: bytes, after: bytes = b"", rows: int | None = None) -> bytes:
    """A grey PNG with chunks before or after its pixels; with `rows`, packed data of that many rows."""
    packer = zlib.compressobj(9)
    left, block = (1 + width) * (height if rows is None else rows), bytes(1 << 24)
    packed = b""
    while left > 0:
        packed += packer.compress(block[:left])
        left -= len(block)
    packed += packer.flush()
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", packed)
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(before) + pixels + after + chunk(b"IEND", b"")


def png_text(kind: bytes, megabytes: int, count: int = 1) -> bytes:
    """A PNG whose compressed texts unpack to so many megabytes each."""
    packed = zlib.compress(bytes(megabytes << 20), 9)
    body = b"words\0\0" + packed if kind == b"zTXt" else b"words\0\x01\0\0\0" + packed
    return png(64, 64, chunk(kind, body) * count)


def bmp(width: int, height: int, data: bytes, *, bits: int = 8, compression: int = 0, header: int = 40) -> bytes:
    """A BMP with a palette that is not grey."""
    palette = b"\x01\x02\x03\0" * (1 << bits if bits <= 8 else 0)
    begin = 14 + 40 + len(palette)
    info = struct.pack("<IiiHHIIiiII", header, width, height, 1, bits, compression, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", begin + len(data), 0, 0, begin) + info + palette + data


def webp(side: int, frames: int) -> bytes:
    """An animated WebP of flat frames; each after the first has 16 x 16 pixels."""
    first = io.BytesIO()
    Image.new("RGB", (side, side), "tan").save(first, "WEBP", quality=1, method=0)
    small = io.BytesIO()
    Image.new("RGB", (16, 16), "navy").save(small, "WEBP", quality=1, method=0)

    def frame(picture: bytes, size: int) -> bytes:
        head = bytes(6) + (size - 1).to_bytes(3, "little") * 2 + (100).to_bytes(3, "little") + b"\0"
        return riff(b"ANMF", head + picture[12:])

    body = riff(b"VP8X", b"\x02\0\0\0" + (side - 1).to_bytes(3, "little") * 2) + riff(b"ANIM", bytes(6))
    body += frame(first.getvalue(), side) + frame(small.getvalue(), 16) * (frames - 1)
    return riff(b"RIFF", b"WEBP" + body)


def riff(kind: bytes, data: bytes) -> bytes:
    return kind + struct.pack("<I", len(data)) + data + b"\0" * (len(data) % 2)


def saved(format: str, picture: Image.Image) -> bytes:
    file = io.BytesIO()
    picture.save(file, format)
    return file.getvalue()


def photographs() -> dict[str, Photograph]:
    """Every attack by its name."""
    part = functools.partial
    comment = b"#\n"
    return {
        "JPEG, progressive, 1,000 scans of 64 x 64": part(scans, 64, 1_000),
        "JPEG, progressive, 1,000 scans of 4,000 x 4,000": part(scans, 4_000, 1_000),
        "JPEG, progressive, 50 scans of 89 MP": part(scans, SIDE, 50),
        "JPEG, 4,000,000 empty comments": lambda: with_header(segment(0xFE, b"") * 4_000_000),
        "JPEG, 20,000,000 fill bytes": lambda: with_header(b"\xff" * 20_000_000),
        "JPEG, EXIF in 1,000 parts of 64 KB": part(exif_parts, 1_000),
        "JPEG, a resolution of 2,000,000 fractions": part(exif_rationals, 2_000_000),
        "JPEG, flat, 89 MP, colour, 0.4 MB": lambda: jpeg(SIDE, SIDE, grey=False),
        "PNG, 1 x 89 M": lambda: png(1, MAX_PIXELS),
        "PNG, transparent, 89 MP": lambda: saved("PNG", Image.new("RGBA", (SIDE, SIDE), (9, 9, 9, 9))),
        "PNG, 20,000 x 20,000 in its header": lambda: png(20_000, 20_000, rows=1),
        "PNG, 1 GB of pixels in 64 x 64": part(png, 64, 64, rows=16_000_000),
        "PNG, zTXt of 1 GB": part(png_text, b"zTXt", 1_024),
        "PNG, iTXt of 1 GB": part(png_text, b"iTXt", 1_024),
        "PNG, 1,000 zTXt of 1 MB": part(png_text, b"zTXt", 1, 1_000),
        "PNG, 5,000,000 empty chunks": lambda: png(64, 64, chunk(b"teSt", b"") * 5_000_000),
        "PNG, 5,000,000 empty chunks at the end": lambda: png(64, 64, after=chunk(b"teSt", b"") * 5_000_000),
        "WebP, 50,000 frames of 9,000": part(webp, 9_000, 50_000),
        "PPM, 20,000,000 comments in its header": lambda: (
            b"P6\n" + comment * 20_000_000 + b"64 64 255\n" + bytes(12_288)
        ),
        "PGM, plain, 1,000,000 comments": lambda: b"P2 64 64 255\n" + comment * 1_000_000 + b"7 " * 4_096,
        "PPM, plain, 89 MP": lambda: b"P3 9459 9459 255\n" + b"7 " * (SIDE * SIDE * 3),
        "PPM, 254 grades, 89 MP": lambda: b"P6 9459 9459 254\n" + bytes(SIDE * SIDE * 3),
        "PGM, 16 bits, 89 MP": lambda: b"P5 9459 9459 65535\n" + bytes(SIDE * SIDE * 2),
        "BMP, a header of 4 GB": lambda: bmp(64, 64, bytes(4_096), header=2**32 - 1),
        "BMP, RLE, 20,000,000 ends of line": lambda: bmp(64, 64, b"\0\0" * 20_000_000, compression=1),
        "BMP, RLE, 89 MP of 1-pixel runs": lambda: bmp(SIDE, SIDE, b"\x01\x07" * (SIDE * SIDE), compression=1),
        "TIFF called .jpg": lambda: saved("TIFF", Image.new("L", (2_000, 2_000))),
        "GIF called .jpg": lambda: saved("GIF", Image.new("L", (2_000, 2_000))),
    }


ImageFile.MAXBLOCK = 1 << 24  # for what is written here
