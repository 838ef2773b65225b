"""Photographs of a real face: many takes of one, as files."""

from __future__ import annotations

import io
import zlib
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image

HEAD = (slice(20, 200), slice(140, 320))
"""Eileen Collins's head in NASA's portrait (scikit-image's `astronaut`), with room around it."""


def encoded(image: npt.NDArray[np.uint8], format: str = "JPEG", **options: Any) -> bytes:
    """Pixels as the bytes of an image file."""
    file = io.BytesIO()
    Image.fromarray(image).save(file, format, **({"quality": 92} if format == "JPEG" else {}) | options)
    return file.getvalue()


def black_png(side: int) -> bytes:
    """A whole PNG of so many black grey pixels a side, a multiple of 100: 400 MB become 400 kB at once.

    What packs a hundred rows is repeated, and the sum that ends it is known.
    """

    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")

    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    rows = packer.compress(bytes(1 + side) * 100) + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = (side * (1 + side) % 65_521 << 16 | 1).to_bytes(4, "big")
    packed = b"\x78\xda" + rows * (side // 100) + packer.flush() + checksum
    header = side.to_bytes(4, "big") * 2 + bytes((8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def take(head: npt.NDArray[np.uint8], number: int) -> bytes:
    """A JPEG file of the face, slightly moved, scaled and lit by `number`: the same bytes for the same number."""
    generator = np.random.default_rng(number)
    move = cv2.getRotationMatrix2D((90, 90), generator.uniform(-4, 4), generator.uniform(0.95, 1.05))
    move[:, 2] += generator.uniform(-6, 6, 2)
    moved = cv2.warpAffine(head, move, (180, 180), borderMode=cv2.BORDER_REFLECT)
    lit = np.clip(moved * generator.uniform(0.8, 1.15), 0, 255).astype(np.uint8)
    return encoded(lit)
