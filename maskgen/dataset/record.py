"""One photograph of a data set: as it is written, and as it is read."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import PIL.Image
import PIL.ImageDraw

from ..errors import MaskgenError, UsageError, short
from ..imaging.limits import jpeg_size
from ..imaging.outline import Undrawable, outline
from ..imaging.render import Image
from ..imaging.styles import FLAT, Style, draw_each

HEAD = ("key", "source", "identity", "split", "label", "width", "height")
"""The fields of a row that are single values."""

CAPTION = 14
"""Height in pixels of the line above each picture of `Row.show`."""


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class Row:
    """One photograph of a data set. Coordinates are pixels of the stored picture.

    Attributes:
        key: Its position in the plan, nine digits.
        source: Its path, relative to the source folder.
        identity: Whom it shows.
        split: train, val or test.
        label: Index of the identity among the training identities; -1 in test.
        width: Of the stored pictures, in pixels.
        height: Of the stored pictures, in pixels.
        box: The face, float32 (4,): x0, y0, x1, y1.
        landmarks: dlib's 68 points, float32 (68, 2): x, y.
        variant: The mask that the picture `masked` shows, in a data set of `--variants random`; else None.
        colors: RGB of each mask.
        pictures: The stored JPEGs that were read, by name.
        shard: The shard that it was read from, such as `train/00003`.
        style: How its masks are drawn, if they are not among the pictures.

    Example:
        >>> row = maskgen.open("smfd")[0]
        >>> row.image("wide_high").shape
        (224, 224, 3)
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
    variant: str | None
    colors: dict[str, tuple[int, int, int]]
    pictures: dict[str, bytes]
    shard: str = ""
    style: Style = FLAT

    def __repr__(self) -> str:
        return (
            f"Row({self.key!r}, source={short(self.source)!r}, identity={short(self.identity)!r}, "
            f"split={self.split!r}, label={self.label}, "
            f"{self.width}x{self.height}, pictures={', '.join(self.pictures) or None})"
        )

    def facts(self) -> dict[str, Any]:
        """Everything of the row but its pictures, as plain Python values."""
        head = {name: getattr(self, name) for name in HEAD}
        arrays = {"box": self.box.tolist(), "landmarks": self.landmarks.ravel().tolist()}
        variant = {} if self.variant is None else {"variant": self.variant}
        return {**head, **arrays, **variant, **{f"{name}_color": list(color) for name, color in self.colors.items()}}

    def jpeg(self, name: str) -> bytes:
        """The stored JPEG of a picture.

        Args:
            name: `unmasked`, or a mask such as `wide_high`.

        Raises:
            UsageError: The data set stores no such picture, or it was not read.
        """
        try:
            return self.pictures[name]
        except KeyError:
            raise UsageError(
                f"photograph {self.key} has no stored picture {name!r}; it has {', '.join(self.pictures) or 'none'}."
            ) from None

    def image(self, name: str) -> Image:
        """A picture, decoded, or drawn on the unmasked one if the data set stores recipes.

        Args:
            name: `unmasked`, or a mask such as `wide_high`.

        Returns:
            uint8 (height, width, 3), RGB.

        Raises:
            UsageError: The row has no such picture.
            MaskgenError: The picture is damaged.
        """
        return self.images((name,))[name]

    def images(self, names: Sequence[str] | None = None) -> dict[str, Image]:
        """Several pictures, by default all, as `image` returns each. A recipe's photograph is decoded once for them."""
        recipe = self.colors if "unmasked" in self.pictures else {}
        chosen = tuple(dict.fromkeys([*self.pictures, *recipe])) if names is None else names
        drawn = [name for name in chosen if name not in self.pictures and name in recipe]
        found = {name: self._decoded(name) for name in chosen if name not in drawn}
        if drawn:
            photograph = found["unmasked"] if "unmasked" in found else self._decoded("unmasked")
            variants = [self.variant or name for name in drawn]
            try:
                outlines = [outline(self.landmarks, variant) for variant in variants]
            except (Undrawable, ValueError):
                raise self._damaged(", ".join(drawn)) from None
            colors = [self.colors[name] for name in drawn]
            masked = draw_each(photograph, self.landmarks, variants, outlines, colors, self.style, self.source)
            found |= {name: picture.copy() for name, picture in zip(drawn, masked, strict=True)}
        return {name: found[name] for name in chosen}

    def show(self, names: Sequence[str] | None = None, size: int = 224) -> PIL.Image.Image:
        """Its pictures side by side, each under its name. A notebook shows what a cell ends with.

        Args:
            names: Which pictures; by default all.
            size: Height of the pictures in pixels.

        Raises:
            UsageError: The row has no such picture, or none was read.
        """
        images = self.images(names)
        if not images:
            raise UsageError(f"photograph {self.key} was read without pictures; name them in images=... of the reader.")
        width = max(1, round(self.width * size / self.height))
        sheet = PIL.Image.new("RGB", (width * len(images), size + CAPTION), "white")
        draw = PIL.ImageDraw.Draw(sheet)
        for place, (name, image) in enumerate(images.items()):
            sheet.paste(PIL.Image.fromarray(image).resize((width, size)), (place * width, CAPTION))
            draw.text((place * width + 2, 1), name, fill="black")
        return sheet

    def _repr_png_(self) -> bytes | None:
        """What a notebook shows of a row that a cell ends with."""
        if not self.pictures:
            return None
        data = io.BytesIO()
        self.show().save(data, "PNG")
        return data.getvalue()

    def _decoded(self, name: str) -> Image:
        """A stored picture. Its header is compared with the row first: a few bytes may decode to gigabytes."""
        jpeg = self.jpeg(name)
        if not jpeg or jpeg_size(jpeg) != (self.width, self.height):
            raise self._damaged(name)
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is None or image.shape[:2] != (self.height, self.width):  # EXIF data may turn it
            raise self._damaged(name)
        return image

    def _damaged(self, name: str) -> MaskgenError:
        where = f" in shard {self.shard}" if self.shard else ""
        return MaskgenError(
            f"picture {name} of photograph {self.key}{where} is damaged; `maskgen verify` says what to do."
        )
