"""Random changes of training pictures, drawn by seed, epoch and photograph alone."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import cv2
import numpy as np

from ..networks.backbone import Image

FLIP, CROP, COLOR = "flip", "crop", "color"
"""The names of `defaults.AUGMENTATIONS`."""

SMALLEST_SIDE = 0.85
"""A crop is a square of at least this share of the picture's sides."""

COLOR_RANGE = 0.2
"""Brightness, contrast and saturation are each multiplied by 1 - this to 1 + this."""


def augmented(image: Image, kinds: Sequence[str], seed: int, epoch: int, key: str) -> Image:
    """A changed picture, uint8 (size, size, 3), or the given one where nothing changes; that is never written to.

    `flip` mirrors half of the pictures, `crop` cuts out a square and enlarges it to the picture's size, `color` changes
    brightness, contrast and saturation. Each draws from a stream of its own: adding one does not change the others.
    """
    for kind in kinds:
        digest = hashlib.blake2b(f"augment {kind} {seed} {epoch} {key}".encode(), digest_size=8).digest()
        draw = np.random.default_rng(int.from_bytes(digest, "little"))
        image = _CHANGES[kind](image, draw)
    return image


def _flip(image: Image, draw: np.random.Generator) -> Image:
    return cv2.flip(image, 1) if draw.random() < 0.5 else image


def _crop(image: Image, draw: np.random.Generator) -> Image:
    height, width = image.shape[:2]
    side = draw.uniform(SMALLEST_SIDE, 1)
    rows, columns = max(1, round(side * height)), max(1, round(side * width))
    top, left = (int(draw.integers(whole - part + 1)) for whole, part in ((height, rows), (width, columns)))
    return cv2.resize(image[top : top + rows, left : left + columns], (width, height), interpolation=cv2.INTER_LINEAR)


def _color(image: Image, draw: np.random.Generator) -> Image:
    """As torchvision's functions of these names: contrast is about the mean grey, saturation about the pixel's own."""
    brightness, contrast, saturation = draw.uniform(1 - COLOR_RANGE, 1 + COLOR_RANGE, size=3).tolist()
    brighter = cv2.convertScaleAbs(image, alpha=brightness)
    mean = float(cv2.cvtColor(brighter, cv2.COLOR_RGB2GRAY).mean())
    levels = np.clip(np.rint(contrast * np.arange(256) + (1 - contrast) * mean), 0, 255).astype(np.uint8)
    contrasted = cv2.LUT(brighter, levels)
    grey = cv2.cvtColor(cv2.cvtColor(contrasted, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    changed: Image = cv2.addWeighted(contrasted, saturation, grey, 1 - saturation, 0)
    return changed


_CHANGES = {FLIP: _flip, CROP: _crop, COLOR: _color}
