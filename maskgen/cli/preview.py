"""Labelled sheets of photographs with their masks, or of what a data set holds."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as PillowImage
from PIL import ImageDraw, ImageFont

from ..dataset.reader import Dataset
from ..dataset.reader import open as open_dataset
from ..errors import MaskgenError, Rejected, UsageError, short, shown, shown_lines
from ..imaging.decode import decode
from ..imaging.fit import fit
from ..imaging.framing import Framing
from ..imaging.landmarks import Face, Landmarker
from ..imaging.outline import Undrawable
from ..imaging.render import Image
from ..imaging.search import HOG
from ..imaging.seeding import palette
from ..imaging.styles import Style, draw
from ..imaging.textures import read_textures
from ..imaging.variants import VARIANTS
from ..progress import step
from ..sources.photograph import EXTENSIONS, is_hidden
from ..storage.uri import is_uri
from ..terminal import HINT

COLOR = "#9ecff0"
"""The colour of the masks on photographs that have no colours yet: NIST's light blue."""

SIDE = 224
GAP = 8
LINE = 24
SHEET_HEIGHT = 20 * (SIDE + LINE + GAP)
"""A sheet holds 20 photographs, or as many lines of text as fit in their place."""

MIN_COLUMNS = 4
"""Room for the text of a reject on the sheet of a data set with one mask."""

_INK, _DOT, _BOX = (40, 40, 40), (0, 200, 90), (255, 140, 0)


class Strip(NamedTuple):
    """One photograph on a sheet: its pictures, SIDE x SIDE each, and why there are not more of them."""

    label: str
    pictures: list[Image]
    problem: str = ""

    @property
    def height(self) -> int:
        return (SIDE if self.pictures else 0) + LINE + GAP


def write_sheets(
    places: Sequence[str],
    out: Path,
    limit: int = 100,
    predictor: Path | None = None,
    color: str | None = None,
    styles: Sequence[str] = (),
    textures: Path | None = None,
    face: str = "central",
    detector: str = HOG,
    detector_model: Path | None = None,
) -> str:
    """Writes the sheets of photographs and folders, or of one data set. Returns a sentence about them.

    Sheets are PNG files, or what the suffix of `out` says. Raises `MaskgenError` if no photograph could be masked.
    """
    if any(map(_is_dataset, places)):
        if len(places) > 1:
            raise UsageError(f"{next(filter(_is_dataset, places))} is a data set; give it alone.")
        if color or predictor or styles or textures or detector_model or (face, detector) != ("central", HOG):
            raise UsageError(
                f"{places[0]} is a data set with masks of its own; "
                "leave out --color, --style, --textures, and what finds faces."
            )
        return _write_dataset(open_dataset(places[0]), out, limit)
    shade = palette(color or COLOR, "--color")
    if len(shade) != 1:
        raise UsageError(f"--color is {color!r}; give one colour such as {COLOR}.")
    chosen = _styles(styles or ("flat",), textures)
    landmarker = Landmarker(predictor, face=face, detector=detector, detector_model=detector_model)
    return _write_photographs([Path(place) for place in places], out, limit, landmarker, shade[0], chosen)


def _is_dataset(place: str) -> bool:
    return is_uri(place) or (Path(place) / "dataset.json").is_file()


def _styles(names: Sequence[str], textures: Path | None) -> list[Style]:
    if textures and "texture" not in names:
        raise UsageError("--textures is used with --style texture only; leave it out, or give that.")
    if "texture" in names and not textures:
        raise UsageError("--style texture needs pictures; give their folder with --textures DIR.")
    prints = read_textures(textures) if textures else ()
    return [Style(name, textures=prints if name == "texture" else ()) for name in names]


def _write_photographs(
    places: Sequence[Path],
    out: Path,
    limit: int,
    landmarker: Landmarker,
    color: tuple[int, int, int],
    styles: Sequence[Style],
) -> str:
    found = _paths(places)
    paths = list(islice(found, limit))
    if not paths:
        raise UsageError(f"there is no photograph in {places[0]}; give photographs, or a folder of them.")
    problems: list[str] = []
    framing = Framing()

    def drawn() -> Iterator[Strip]:
        for path in paths:
            strips = _photograph(path, landmarker, framing, color, styles)
            if strips[0].problem:
                problems.append(f"{path}: {strips[0].problem}")
            yield from strips
            bar.update()

    with step("drawing photographs", len(paths)) as bar:
        written = _write(drawn(), VARIANTS, out)
    if len(problems) == len(paths):
        raise MaskgenError(f"no mask could be drawn ({problems[0]}), see {out}; give photographs of frontal faces.")
    lines = [f"{written}: {len(paths) - len(problems)} of {len(paths)} photographs masked."]
    lines += [f"  {problem}" for problem in problems]
    if next(found, None):
        lines.append(f"{HINT}there are more photographs; raise --limit to see them.")
    return shown_lines(lines)


def _paths(places: Iterable[Path]) -> Iterator[Path]:
    """The photographs that are given, and those in the folders that are given, at any depth and sorted by name."""
    for place in places:
        if not place.exists():
            raise UsageError(f"there is no photograph or folder {place}; check its path.")
        if not place.is_dir():
            yield place
            continue
        for top, folders, names in os.walk(place):
            folders[:] = sorted(name for name in folders if not is_hidden(name))
            for name in sorted(names):
                if os.path.splitext(name)[1].lower() in EXTENSIONS and not is_hidden(name):
                    yield Path(top) / name


def _photograph(
    path: Path, landmarker: Landmarker, framing: Framing, color: tuple[int, int, int], styles: Sequence[Style]
) -> list[Strip]:
    """The photograph with box and landmarks, and its six masks; a strip for each style."""
    label = str(Path(*path.parts[-2:]))
    try:
        image = decode(path.read_bytes())
    except OSError as error:
        return [Strip(label, [], f"unreadable: {error.strerror or error}")]
    except Rejected as rejected:
        return [Strip(label, [], str(rejected))]
    [face] = landmarker.find_all([image], [None], framing=framing)
    if isinstance(face, Rejected):
        return [Strip(label, [fit(image, SIDE, "pad").image], str(face))]
    picture, marked, landmarks = _marked(image, face)
    strips = []
    for style in styles:
        name = f"{label}  ({style.name})" if len(styles) > 1 else label
        try:
            masked = [draw(picture, landmarks, variant, color, style, label) for variant in VARIANTS]
        except Undrawable as error:
            return [Strip(label, [marked], str(error))]
        strips.append(Strip(name, [marked, *masked]))
    return strips


def _write_dataset(dataset: Dataset, out: Path, limit: int) -> str:
    rejects = _rejects(dataset)
    listed = rejects.slice(0, limit).to_pylist()
    numbers = np.unique(np.linspace(0, len(dataset) - 1, min(limit, len(dataset))).round().astype(int)).tolist()
    if not numbers and not listed:
        raise MaskgenError(f"{dataset} is empty; there is nothing to show.")

    def strips() -> Iterator[Strip]:
        for strip in _rows(dataset, numbers):
            yield strip
            bar.update()
        for reject in listed:
            yield Strip(f"{reject['source']}  (rejected)", [], f"{reject['reason']}: {reject['detail']}")

    with step("drawing photographs", len(numbers)) as bar:
        written = _write(strips(), dataset.variants, out)
    photographs, rejected = f"{len(numbers):,} of {len(dataset):,}", f"{len(listed):,} of {rejects.num_rows:,}"
    return shown(f"{written}: {photographs} photographs and {rejected} rejects of {dataset}.")


def _rejects(dataset: Dataset) -> pa.Table:
    """Sources, reasons and details, as text."""
    texts = pa.schema([(name, pa.string()) for name in ("source", "reason", "detail")])
    try:
        with dataset.storage.open("rejects.parquet") as file:
            rejects = pq.read_table(file, columns=texts.names).cast(texts)
            rejects.validate(full=True)
    except (OSError, ValueError, pa.ArrowException) as error:
        raise MaskgenError(
            f"{dataset}/rejects.parquet cannot be read ({short(error)}); `maskgen verify` says what to do."
        ) from None
    return rejects


def _rows(dataset: Dataset, numbers: Sequence[int]) -> Iterator[Strip]:
    """The rows with these numbers, counted over all splits in ascending order."""
    first = 0
    for split in dataset.splits:
        for shard in dataset.shards(split):
            for row in shard.read(None, [n - first for n in numbers if first <= n < first + shard.rows]):
                pictures = row.images(("unmasked", *dataset.variants))
                unmasked = pictures.pop("unmasked")
                _, marked, _ = _marked(unmasked, Face(row.box, row.landmarks))
                masked = [fit(picture, SIDE, "pad").image for picture in pictures.values()]
                what = f", {row.variant}" if row.variant else ""
                yield Strip(f"{row.source}  ({split}{what})", [marked, *masked])
            first += shard.rows


def _marked(image: Image, face: Face) -> tuple[Image, Image, npt.NDArray[np.float32]]:
    """A picture as SIDE x SIDE, a copy with box and landmarks drawn on it, and the landmarks there."""
    fitted = fit(image, SIDE, "pad")
    landmarks = fitted.points(face.landmarks)
    picture = PillowImage.fromarray(fitted.image)
    pen = ImageDraw.Draw(picture)
    pen.rectangle(fitted.box(face.box).tolist(), outline=_BOX, width=2)
    for x, y in landmarks.tolist():
        pen.ellipse((x - 1.5, y - 1.5, x + 1.5, y + 1.5), fill=_DOT)
    return fitted.image, np.asarray(picture), landmarks


def _write(strips: Iterable[Strip], masks: Sequence[str], out: Path) -> str:
    """Writes as many sheets as the strips need, one at a time. Returns the names of the files."""
    written: list[Path] = []

    def save(page: Sequence[Strip]) -> None:
        path = out.with_stem(f"{out.stem}-{len(written) + 1}") if written else out
        try:
            _sheet(page, masks).save(path)
        except (OSError, ValueError) as error:
            raise UsageError(
                f"cannot write the sheet {path}: {error}; give -o a picture file such as sheet.png."
            ) from None
        written.append(path)

    page: list[Strip] = []
    for strip in strips:
        if sum(other.height for other in page) + strip.height > SHEET_HEIGHT:
            save(page)
            page = []
        page.append(strip)
    save(page)
    return str(out) if len(written) == 1 else f"{out} to {written[-1]}"


def _sheet(strips: Sequence[Strip], masks: Sequence[str]) -> PillowImage.Image:
    titles = ("landmarks", *masks)
    width = GAP + (SIDE + GAP) * max(len(titles), MIN_COLUMNS)
    sheet = PillowImage.new("RGB", (width, LINE + GAP + sum(strip.height for strip in strips)), "white")
    pen, font = ImageDraw.Draw(sheet), ImageFont.load_default(size=15)

    def write(x: float, y: float, text: str, anchor: str) -> None:
        pen.text((x, y), shown(text).encode("ascii", "replace").decode(), _INK, font, anchor=anchor)

    for column, title in enumerate(titles):
        write(GAP + column * (SIDE + GAP) + SIDE / 2, LINE / 2 + 2, title, "mm")
    top = LINE
    for strip in strips:
        for column, picture in enumerate(strip.pictures):
            sheet.paste(PillowImage.fromarray(picture), (GAP + column * (SIDE + GAP), top))
        foot = top + strip.height - GAP - LINE / 2
        write(GAP, foot, strip.label if strip.pictures else f"{strip.label}: {strip.problem}", "lm")
        if strip.pictures and strip.problem:
            write(GAP + len(strip.pictures) * (SIDE + GAP), top + SIDE / 2, strip.problem, "lm")
        top += strip.height
    return sheet
