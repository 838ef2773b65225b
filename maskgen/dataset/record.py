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
from ..imaging import labels
from ..imaging.limits import jpeg_size
from ..imaging.outline import Points, Undrawable, outline
from ..imaging.render import Cover, Image, coverage
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
            variants, colors = [self.variant or name for name in drawn], [self.colors[name] for name in drawn]
            outlines = outlines_of(self, drawn)
            masked = draw_each(photograph, self.landmarks, variants, outlines, colors, self.style, self.source)
            found |= {name: picture.copy() for name, picture in zip(drawn, masked, strict=True)}
        return {name: found[name] for name in chosen}

    def mask(self, name: str) -> npt.NDArray[np.uint8]:
        """The mask of a picture, pixel by pixel, exactly as it was drawn. No picture needs to be read for it.

        A masked picture, before its JPEG encoding, is `(unmasked * (255 - mask) + color * mask + 127) // 255`. In
        other styles than flat the mask is the same, and light, a soft edge, a shadow and straps are drawn as well.

        Args:
            name: A mask of the data set such as `wide_high`, or `masked` if its variants are random.

        Returns:
            The share of each pixel that the mask covers, uint8 (height, width), from 0 (not at all) to 255 (wholly).

        Raises:
            UsageError: The row has no such mask.
            MaskgenError: The landmarks are damaged.

        Example:
            >>> row = maskgen.open("smfd")[0]
            >>> row.mask("wide_high").shape
            (224, 224)
        """
        return covers(self, (name,))[name].whole(self.width, self.height)

    def mask_box(self, name: str, least: int = 1) -> tuple[int, int, int, int]:
        """The smallest box of whole pixels around a mask.

        Args:
            name: As in `mask`.
            least: The coverage from which a pixel counts, 1 to 255. By default every pixel that the mask touches; 128
                for those of which it covers at least half, as in a COCO export.

        Returns:
            x0, y0, x1, y1: the first column and row, and those after the last, so that `mask[y0:y1, x0:x1]` holds the
            mask and `x1 - x0` is its width. COCO's box is `[x0, y0, x1 - x0, y1 - y0]`. All are 0 if no pixel counts.

        Raises:
            UsageError: The row has no such mask, or `least` is out of range.
            MaskgenError: The landmarks are damaged.

        Example:
            >>> x0, y0, x1, y1 = row.mask_box("wide_high")
            >>> mask = row.mask("wide_high")[y0:y1, x0:x1]
        """
        if not 1 <= least <= 255:
            raise UsageError(f"least is {least}; give a coverage from 1 to 255.")
        return labels.box(covers(self, (name,))[name], least)

    def covered(self, name: str) -> float:
        """The share of the face that a mask covers.

        The face is the convex hull of the 68 landmarks: from the eyebrows down to the chin, without the forehead, as
        far as it lies in the picture. The mask counts as far as it lies on the face. Both are measured in shares of
        pixels: `minimum(mask, face).sum() / face.sum()`.

        Args:
            name: As in `mask`.

        Returns:
            From 0 to 1; 0 if no part of the face lies in the picture.

        Raises:
            UsageError: The row has no such mask.
            MaskgenError: The landmarks are damaged.

        Example:
            >>> row.covered("wide_high") > row.covered("wide_low")
            True
        """
        found, face = covers_and_face(self, (name,))
        return labels.covered(found[name], face)

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
            raise damaged(self, name)
        image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR_RGB)
        if image is None or image.shape[:2] != (self.height, self.width):  # EXIF data may turn it
            raise damaged(self, name)
        return image


def covers(row: Row, names: Sequence[str]) -> dict[str, Cover]:
    """How much of each pixel the masks of these names cover: what is drawn, and what labels are made of."""
    return dict(zip(names, coverage(outlines_of(row, names), row.width, row.height), strict=True))


def covers_and_face(row: Row, names: Sequence[str]) -> tuple[dict[str, Cover], Cover]:
    """The covers of masks, and how much of each pixel the face covers; all in one pass."""
    *found, face = coverage([*outlines_of(row, names), labels.face(row.landmarks)], row.width, row.height)
    return dict(zip(names, found, strict=True)), face


def outlines_of(row: Row, names: Sequence[str]) -> list[Points]:
    """The outlines of the masks of these names, on the stored picture."""
    for name in names:
        if name not in row.colors:
            raise UsageError(f"photograph {row.key} has no mask {name!r}; it has {', '.join(row.colors) or 'none'}.")
    try:
        return [outline(row.landmarks, row.variant or name) for name in names]
    except (Undrawable, ValueError):
        raise damaged(row, ", ".join(names)) from None


def damaged(row: Row, name: str) -> MaskgenError:
    """The error that says that a picture of a row, or what it is drawn from, is damaged."""
    where = f" in shard {row.shard}" if row.shard else ""
    return MaskgenError(f"picture {name} of photograph {row.key}{where} is damaged; `maskgen verify` says what to do.")
