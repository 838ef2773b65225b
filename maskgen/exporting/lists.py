"""The lists of an export: pairs.csv, and COCO's JSON."""

from __future__ import annotations

import csv
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, TextIO

from ..dataset.record import Row, covers, covers_and_face
from ..imaging import labels
from ..imaging.render import Cover
from ..imaging.variants import VARIANTS

PAIRS = (
    *("key", "split", "variant", "masked", "unmasked", "red", "green", "blue"),
    *("x0", "y0", "x1", "y1", "covered"),
)
"""The columns of pairs.csv."""

CATEGORIES = [{"id": number, "name": name, "supercategory": "mask"} for number, name in enumerate(VARIANTS, 1)]
"""The categories of COCO: the six masks, with the same numbers in every export."""

FileName = Callable[[Row, str], str]
"""The file of a picture of a row, by its name."""


def write_pairs(path: Path, rows: Iterator[Row], names: Sequence[str], masked: FileName, unmasked: FileName) -> None:
    """Writes a line for each masked picture: its file, its unmasked counterpart, the mask, its box and its share.

    Of strangers' text it holds the names of files alone, which begin with the split: no cell is a formula.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        lines = csv.writer(file, lineterminator="\n")
        lines.writerow(PAIRS)
        for row in rows:
            found, face = covers_and_face(row, names)
            for name, cover in found.items():
                lines.writerow(
                    [
                        *(row.key, row.split, row.variant or name, masked(row, name), unmasked(row, "unmasked")),
                        *(*row.colors[name], *labels.box(cover), f"{labels.covered(cover, face):.6f}"),
                    ]
                )


def write_coco(
    path: Path, rows: Iterator[Row], names: Sequence[str], file_name: FileName, about: dict[str, Any]
) -> None:
    """Writes COCO's JSON of one split: images, and an annotation for each mask of which a pixel can be seen.

    `names` are the pictures, unmasked or masked. A picture and its mask have the same number, which depends on the key
    of the photograph alone. Images are written first, so the annotations wait in a second file.
    """
    numbers = {name: number for number, name in enumerate(("unmasked", *VARIANTS, "masked"))}
    masked = [name for name in names if name != "unmasked"]
    waiting = path.with_name(f"1{path.suffix}")
    with path.open("w", encoding="utf-8") as file, waiting.open("w+", encoding="utf-8") as annotations:
        head = json.dumps({"info": about, "licenses": [], "categories": CATEGORIES})
        file.write(f'{head[:-1]}, "images": [')
        first_image, first_annotation = True, True
        for row in rows:
            found = covers(row, masked)
            for name in names:
                number = int(row.key) * len(numbers) + numbers[name] + 1
                image = {"id": number, "file_name": file_name(row, name), "width": row.width, "height": row.height}
                first_image = _item(file, image, first_image)
                if name in found and (annotation := _annotation(row, name, found[name], number)):
                    first_annotation = _item(annotations, annotation, first_annotation)
        file.write('\n], "annotations": [')
        annotations.seek(0)
        shutil.copyfileobj(annotations, file)
        file.write("\n]}\n")
    waiting.unlink()


def _annotation(row: Row, name: str, cover: Cover, number: int) -> dict[str, Any] | None:
    """One mask, by the pixels at least half covered; None if there is none of them."""
    x0, y0, x1, y1 = labels.box(cover, labels.HALF)
    if x1 == x0:
        return None
    return {
        "id": number,
        "image_id": number,
        "category_id": VARIANTS.index(row.variant or name) + 1,
        "bbox": [x0, y0, x1 - x0, y1 - y0],
        "area": int((cover.share >= labels.HALF).sum()),
        "iscrowd": 0,
        "segmentation": {"size": [row.height, row.width], "counts": labels.runs(cover, row.width, row.height)},
    }


def _item(file: TextIO, value: dict[str, Any], first: bool) -> bool:
    """Writes a value of a JSON list; false, for the next one."""
    file.write(("\n" if first else ",\n") + json.dumps(value))
    return False
