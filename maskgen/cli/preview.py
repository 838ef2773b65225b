"""A labelled sheet: each photograph with its box and landmarks, then its six masks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from ..errors import MaskgenError, Rejected, UsageError
from ..imaging.decode import decode
from ..imaging.fit import fit
from ..imaging.landmarks import Face, Landmarker
from ..imaging.outline import Undrawable
from ..imaging.render import Image, draw
from ..imaging.seeding import palette
from ..imaging.variants import VARIANTS

SIDE = 224
GAP = 8
HEADER = 24
_INK, _DOT, _BOX = (40, 40, 40), (0, 200, 90), (255, 140, 0)


def write_sheet(images: Sequence[Path], out: Path, predictor: Path | None = None, color: str = "#9ecff0") -> str:
    """Writes the sheet of some photographs as PNG (or what the ending says); returns a sentence about it.

    A photograph that cannot be masked has its reason on the sheet. Raises `MaskgenError` where none can.
    """
    shade = palette(color)
    if len(shade) != 1:
        raise UsageError(f"--color is {color!r}; give one colour such as #9ecff0.")
    landmarker = Landmarker(predictor)
    rows: list[tuple[str, Sequence[Image | str]]] = []
    problems: list[str] = []
    for path in images:
        try:
            rows.append((str(Path(*path.parts[-2:])), _panels(path, landmarker, shade[0])))
        except (Rejected, Undrawable) as error:
            problems.append(f"{path}: {error}")
            rows.append((str(Path(*path.parts[-2:])), [str(error)]))
    if len(problems) == len(rows):
        raise MaskgenError(f"no mask could be drawn ({problems[0]}); give photographs of frontal faces.")
    try:
        _sheet(rows).save(out)
    except (OSError, ValueError) as error:
        raise UsageError(f"cannot write the sheet {out}: {error}; give -o a picture file such as sheet.png.") from None
    return f"{out}: {len(rows) - len(problems)} of {len(rows)} photographs masked." + "".join(
        f"\n  {problem}" for problem in problems
    )


def _panels(path: Path, landmarker: Landmarker, color: tuple[int, int, int]) -> list[Image]:
    """The marked photograph and its six masks, each SIDE x SIDE."""
    try:
        image = decode(path.read_bytes())
    except OSError as error:
        raise Rejected("unreadable", error.strerror or str(error)) from None
    face = landmarker.find(image)
    if face is None:
        raise Rejected("no_face", "no frontal face found")
    fitted = fit(image, SIDE, "pad", face.box)
    landmarks = fitted.points(face.landmarks)
    marked = _marked(fitted.image, Face(fitted.points(face.box.reshape(2, 2)).ravel(), landmarks))
    return [marked, *(draw(fitted.image, landmarks, variant, color) for variant in VARIANTS)]


def _marked(image: Image, face: Face) -> Image:
    picture = PillowImage.fromarray(image)
    pen = ImageDraw.Draw(picture)
    pen.rectangle(face.box.tolist(), outline=_BOX, width=2)
    for x, y in face.landmarks.tolist():
        pen.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=_DOT)
    return np.asarray(picture)


def _sheet(rows: Sequence[tuple[str, Sequence[Image | str]]]) -> PillowImage.Image:
    columns = ("landmarks", *VARIANTS)
    width = GAP + (SIDE + GAP) * len(columns)
    sheet = PillowImage.new("RGB", (width, HEADER + GAP + (SIDE + HEADER + GAP) * len(rows)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)
    for column, name in enumerate(columns):
        pen.text((GAP + column * (SIDE + GAP) + SIDE / 2, HEADER / 2 + 2), name, _INK, font, anchor="mm")
    for line, (name, panels) in enumerate(rows):
        top = HEADER + line * (SIDE + HEADER + GAP)
        pen.text((GAP, top + SIDE + HEADER / 2), name.encode("ascii", "replace").decode(), _INK, font, anchor="lm")
        for column, panel in enumerate(panels):
            left = GAP + column * (SIDE + GAP)
            if isinstance(panel, str):
                pen.text((left, top + SIDE / 2), panel.encode("ascii", "replace").decode(), _INK, font, anchor="lm")
            else:
                sheet.paste(PillowImage.fromarray(panel), (left, top))
    return sheet
