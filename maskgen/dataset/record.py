"""One photograph of a data set: as it is written, and as it is read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from ..errors import MaskgenError, UsageError
from ..imaging.outline import Undrawable, outline
from ..imaging.render import Image, coverage, paint


@dataclass(frozen=True, slots=True)
class Sample:
    """A row of the data set before it is written. Coordinates are pixels of the stored picture."""

    key: str
    source: str
    identity: str
    split: str
    label: int
    width: int
    height: int
    box: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    variant: str | None
    colors: dict[str, tuple[int, int, int]]
    pictures: dict[str, bytes]


@dataclass(slots=True)
class Row:
    """One photograph of a data set. Coordinates are pixels of the stored picture.

    `box` is float32 (4,) x0, y0, x1, y1, `landmarks` float32 (68, 2). `label` is the index of the identity among
    the training identities, -1 in test. `colors` are the masks' RGB; `variant` is what `masked` shows in a data
    set of `--variants random`, else None.
    """

    key: str
    source: str
    identity: str
    split: str
    label: int
    width: int
    height: int
    box: npt.NDArray[np.float32]
    landmarks: npt.NDArray[np.float32]
    colors: dict[str, tuple[int, int, int]]
    variant: str | None
    pictures: dict[str, bytes]

    def jpeg(self, name: str) -> bytes:
        """The stored JPEG of a picture. Raises `UsageError` where the store carries none or it was not read."""
        try:
            return self.pictures[name]
        except KeyError:
            raise UsageError(
                f"photograph {self.key} has no stored picture {name!r}; it has {', '.join(self.pictures) or 'none'}."
            ) from None

    def image(self, name: str) -> Image:
        """A picture as uint8 (h, w, 3) RGB: decoded, or from a recipe drawn on the unmasked one."""
        return self.images((name,))[name]

    def images(self, names: Sequence[str] | None = None) -> dict[str, Image]:
        """Several pictures as `image` gives each, by default all; a recipe's photograph is decoded once for them."""
        recipe = self.colors if "unmasked" in self.pictures else {}
        chosen = tuple(dict.fromkeys([*self.pictures, *recipe])) if names is None else names
        drawn = [name for name in chosen if name not in self.pictures and name in recipe]
        found = {name: self._decoded(name) for name in chosen if name not in drawn}
        if drawn:
            photograph = found["unmasked"] if "unmasked" in found else self._decoded("unmasked")
            try:
                outlines = [outline(self.landmarks, self.variant or name) for name in drawn]
            except (Undrawable, ValueError):
                raise self._damaged(", ".join(drawn)) from None
            covers = coverage(outlines, photograph.shape[1], photograph.shape[0])
            found |= {
                name: paint(photograph, cover, self.colors[name]) for name, cover in zip(drawn, covers, strict=True)
            }
        return {name: found[name] for name in chosen}

    def _decoded(self, name: str) -> Image:
        jpeg = self.jpeg(name)
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB) if jpeg else None
        if image is None:
            raise self._damaged(name)
        return image

    def _damaged(self, name: str) -> MaskgenError:
        return MaskgenError(f"picture {name} of photograph {self.key} is damaged; `maskgen verify` tells what to mend.")
