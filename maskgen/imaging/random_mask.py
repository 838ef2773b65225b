"""Masks while training: a transform that masks a face with some probability, in numpy, Pillow and torchvision code."""

from __future__ import annotations

import os
import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image as PillowImage

from ..errors import UsageError
from .outline import Undrawable
from .pixels import rgb_of
from .seeding import palette
from .styles import Style, draw
from .textures import read_textures
from .variants import STYLES, VARIANTS


class RandomMask:
    """Masks a face with some probability: a transform for training loops.

    `mask(picture, landmarks)` gives the masked picture. `mask(sample)` takes a dict, tuple or list that holds a picture
    and its landmarks, as a transform of `torchvision.transforms.v2` does, and returns the same with the picture masked;
    so it can stand in `v2.Compose`. The picture is the first one in the sample, the landmarks what has the shape
    (68, 2). Nothing else is changed, and the input never is.

    A picture is uint8: an array (height, width, 3) RGB, a Pillow image, or a tensor (3, height, width) such as
    `tv_tensors.Image`. It comes back as the same type. If a face is turned so far that it has no such mask, the picture
    stays as it is.

    The same seed gives the same masks in the same order of calls. In another process than its own, such as a worker of
    a `DataLoader`, the masks also depend on Python's `random`, which PyTorch seeds there by its own seed, the epoch and
    the number of the worker: so workers differ, epochs differ, and `torch.manual_seed` before the loop repeats a run.
    Without a seed everything follows from Python's `random`.

    Args:
        p: The probability of a mask, from 0 to 1.
        variants: The masks to choose from: `all`, or names of `VARIANTS` as a list or as one text with commas.
        colors: `random` RGB, `nist`, or colours such as `#1e90ff`, as a list or as one text with commas.
        style: `flat`, `fabric` or `texture`; see `Style`.
        seed: Of the masks.
        textures: A folder of pictures for the style `texture`; see `read_textures`.

    Raises:
        UsageError: One of these is wrong.

    Example:
        >>> mask = maskgen.RandomMask(p=0.5, style="fabric", seed=0)
        >>> masked = mask(picture, landmarks)
        >>> sample = mask({"image": picture, "landmarks": landmarks, "label": 3})
    """

    def __init__(
        self,
        p: float = 0.5,
        variants: str | Sequence[str] = "all",
        colors: str | Sequence[str] = "random",
        style: str = "flat",
        seed: int | None = None,
        textures: Path | str | None = None,
    ) -> None:
        if not 0 <= p <= 1:
            raise UsageError(f"p is {p}; give a probability from 0 to 1.")
        self.p, self.seed = p, seed
        names = variants.split(",") if isinstance(variants, str) else variants
        self.variants = VARIANTS if variants == "all" else tuple(name.strip() for name in names)
        for name in self.variants:
            if name not in VARIANTS:
                raise UsageError(f"variants has no {name!r}; choose all, or from {', '.join(VARIANTS)}.")
        if not self.variants:
            raise UsageError(f"variants is empty; choose all, or from {', '.join(VARIANTS)}.")
        self.colors = palette(colors if isinstance(colors, str) else ",".join(colors), "colors")
        if style not in STYLES:
            raise UsageError(f"style is {style!r}; choose one of {', '.join(STYLES)}.")
        if (style == "texture") != (textures is not None):
            raise UsageError("the style texture needs textures=DIR, and no other style takes it.")
        self.style = Style(style, textures=read_textures(textures) if textures is not None else ())
        self._process = os.getpid()
        self._generators: dict[int, np.random.Generator] = {}

    def __repr__(self) -> str:
        return f"RandomMask(p={self.p}, variants={','.join(self.variants)}, style={self.style.name}, seed={self.seed})"

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_generators": {}}

    def __call__(self, sample: Any, landmarks: Any = None) -> Any:
        """Masks a picture with its landmarks, or the picture of a sample.

        Raises:
            TypeError: The sample has no picture or no landmarks.
            ValueError: The picture or the landmarks have another form.
        """
        if landmarks is not None:
            return self._masked(sample, landmarks)
        keys = list(sample) if isinstance(sample, Mapping) else range(len(sample)) if _is_sequence(sample) else []
        picture = next((key for key in keys if _is_picture(sample[key])), None)
        points = next((key for key in keys if np.shape(sample[key]) == (68, 2)), None)
        if picture is None or points is None:
            lacking = "picture" if picture is None else "landmarks of the shape (68, 2)"
            raise TypeError(f"the sample has no {lacking}; give a dict, tuple or list with a picture and its landmarks")
        masked = self._masked(sample[picture], sample[points])
        if isinstance(sample, Mapping):
            return {**sample, picture: masked}
        values = [masked if key == picture else value for key, value in enumerate(sample)]
        return type(sample)(*values) if hasattr(sample, "_fields") else type(sample)(values)

    def _masked(self, picture: Any, landmarks: Any) -> Any:
        """The picture with a mask, or itself. Every call makes the same number of draws."""
        generator = self._generator()
        chance, which, shade = generator.random(), int(generator.integers(2**48)), generator.integers(0, 256, 3)
        name = str(generator.integers(2**63))
        variant = self.variants[which % len(self.variants)]
        color = self.colors[which // len(self.variants) % len(self.colors)] if self.colors else shade.tolist()
        if chance >= self.p:
            return picture
        try:
            drawn = draw(_pixels(picture), np.asarray(landmarks), variant, color, self.style, name)
        except Undrawable:
            return picture
        if isinstance(picture, PillowImage.Image):
            return PillowImage.fromarray(drawn)
        if isinstance(picture, np.ndarray):
            return drawn
        masked = picture.clone()  # of the same type and on the same device; a tensor on the CPU shares its memory
        np.asarray(masked)[:] = drawn.transpose(2, 0, 1)
        return masked

    def _generator(self) -> np.random.Generator:
        """That of this process: a worker that is forked would repeat the draws of all others."""
        process = os.getpid()
        if process not in self._generators:
            entropy = [] if self.seed is None else [self.seed]
            if self.seed is None or process != self._process:
                entropy.append(random.getrandbits(64))
            self._generators = {process: np.random.default_rng(entropy)}
        return self._generators[process]


def _is_sequence(value: Any) -> bool:
    return isinstance(value, list | tuple)


def _is_picture(value: Any) -> bool:
    if isinstance(value, PillowImage.Image):
        return True
    shape = np.shape(value) if hasattr(value, "shape") else ()
    return len(shape) == 3 and shape[2 if isinstance(value, np.ndarray) else 0] == 3


def _pixels(picture: Any) -> npt.NDArray[np.uint8]:
    """The pixels of an array, a Pillow image or a tensor, (height, width, 3)."""
    if isinstance(picture, PillowImage.Image):
        return rgb_of(picture)
    array = np.asarray(picture)
    if not isinstance(picture, np.ndarray):
        array = np.ascontiguousarray(array.transpose(1, 2, 0)) if array.ndim == 3 else array
    return array
