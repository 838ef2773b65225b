"""Random changes of training pictures, drawn by seed, epoch and photograph alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
import torch
from torchvision.transforms.v2 import functional

from ..networks.backbone import Image

FLIP, CROP, COLOR = "flip", "crop", "color"
"""The names of `defaults.AUGMENTATIONS`."""

SMALLEST_SIDE = 0.85
"""A crop is a square of at least this share of the picture's sides."""

COLOR_RANGE = 0.2
"""Brightness, contrast and saturation are each multiplied by 1 - this to 1 + this."""


def augmented(image: Image, kinds: Sequence[str], seed: int, epoch: int, key: str) -> Image:
    """A changed copy of a picture, uint8 (size, size, 3).

    `flip` mirrors half of the pictures, `crop` cuts out a square and enlarges it to the picture's size, `color` changes
    brightness, contrast and saturation. Each draws from a stream of its own: adding one does not change the others.
    """
    pixels = torch.from_numpy(image).permute(2, 0, 1)
    for kind in kinds:
        digest = hashlib.blake2b(f"augment {kind} {seed} {epoch} {key}".encode(), digest_size=8).digest()
        draw = np.random.default_rng(int.from_bytes(digest, "little"))
        pixels = _CHANGES[kind](pixels, draw)
    changed: Image = pixels.permute(1, 2, 0).contiguous().numpy()
    return changed


def _flip(pixels: torch.Tensor, draw: np.random.Generator) -> torch.Tensor:
    return functional.horizontal_flip(pixels) if draw.random() < 0.5 else pixels


def _crop(pixels: torch.Tensor, draw: np.random.Generator) -> torch.Tensor:
    height, width = pixels.shape[1:]
    side = draw.uniform(SMALLEST_SIDE, 1)
    rows, columns = max(1, round(side * height)), max(1, round(side * width))
    top, left = (int(draw.integers(whole - part + 1)) for whole, part in ((height, rows), (width, columns)))
    return functional.resized_crop(pixels, top, left, rows, columns, [height, width], antialias=True)


def _color(pixels: torch.Tensor, draw: np.random.Generator) -> torch.Tensor:
    brightness, contrast, saturation = draw.uniform(1 - COLOR_RANGE, 1 + COLOR_RANGE, size=3).tolist()
    pixels = functional.adjust_brightness(pixels, brightness)
    pixels = functional.adjust_contrast(pixels, contrast)
    return functional.adjust_saturation(pixels, saturation)


_CHANGES = {FLIP: _flip, CROP: _crop, COLOR: _color}
