"""`mfr protocol`: makes and checks protocol tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from maskgen.cli.options import say
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging import search
from maskgen.progress import step

from ..evaluation.protocol_kinds import COUNTED, KINDS, ROLE_CHOICES

FILE = click.Path(path_type=Path)


@click.group()
def protocol() -> None:
    """Make and check protocol tables.

    A protocol table lists the pictures that `mfr eval --protocol` compares. It is a CSV file with a line for each
    picture: subject, role (reference or probe), masked (0 or 1) and path, and further columns to break the figures
    down by.

    \b
      mfr protocol make folders people -o table.csv --masked "*/masked/*"
      mfr protocol check table.csv
      mfr eval --model dlib --protocol table.csv
    """


@protocol.command()
@click.argument("kind", type=click.Choice(list(KINDS)), metavar="KIND")
@click.argument("src", type=FILE)
@click.option("-o", "--out", type=FILE, required=True, metavar="CSV", help="File of the table.")
@click.option("--replace", is_flag=True, help="Overwrite an existing file.")
@click.option(
    "--masked",
    multiple=True,
    metavar="GLOB",
    help="Pictures whose path in SRC matches are masked; * also matches /. May be repeated.",
)
@click.option(
    "--reference",
    "references",
    multiple=True,
    metavar="GLOB",
    help="Pictures whose path in SRC matches are references, and all others are probes. May be repeated.",
)
@click.option(
    "--roles",
    type=click.Choice(ROLE_CHOICES),
    help="Without --reference: both, every picture is a reference and a probe; or first, the first unmasked and the "
    "first masked picture of each person are references and the others probes. By default first for lfw, else both.",
)
@click.option(
    "--person",
    type=click.IntRange(1, 20),
    metavar="LEVEL",
    help="Level of the folder that names the person, 1 for the folders in SRC. By default 2 for rmfd, else 1.",
)
@click.option(
    "--column",
    "columns",
    multiple=True,
    metavar="NAME=LEVEL",
    help="Add a column with the name of the folder at that level, such as session=2. May be repeated.",
)
@click.option("--labels", type=FILE, metavar="FILE", help="Labels of mfr2; by default SRC/mfr2_labels.txt.")
def make(
    kind: str,
    src: Path,
    out: Path,
    replace: bool,
    references: tuple[str, ...],
    columns: tuple[str, ...],
    **layout: Any,
) -> None:
    """Make a protocol table from the folders of a data set.

    SRC is the folder of the data set, and KIND says how it is laid out:

    \b
      folders  PERSON/FILE, at any depth; --masked says what is masked.
      lfw      PERSON/PERSON_0001.jpg: the first is the reference.
      mfr2     PERSON/PERSON_0001.png, and mfr2_labels.txt with lines
               `PERSON, NUMBER, MASK`; MASK is no-mask or a type of mask,
               which becomes the column `mask`.
      rmfd     AFDB_face_dataset/PERSON/FILE for unmasked pictures, and
               AFDB_masked_face_dataset/PERSON/FILE for masked ones.
      mfrc21   not public: give --masked and --reference.

    The numbers of subjects and pictures of lfw, mfr2 and mfrc21 are compared with the published ones. The layouts of
    mfr2 and rmfd are as published and were not tried on these data sets; if yours differs, use folders. Paths are
    written relative to the table.

    \b
    People with a folder for masked pictures, all compared with all:
      mfr protocol make folders people -o table.csv --masked "*/masked/*"
    Day 1 as references, with a breakdown by day (PERSON/DAY/FILE):
      mfr protocol make folders people -o days.csv \\
        --masked "*_mask*" --reference "*/day1/*" --column day=2
    """
    from ..evaluation.protocol_kinds import count_mismatches
    from ..evaluation.protocol_make import Layout, make_table
    from .protocol_output import made

    levels = tuple(_level(column) for column in columns)
    with step("listing pictures"):
        table, notes = make_table(kind, src, out, Layout(references=references, columns=levels, **layout), replace)
    say(made(out, table, notes + count_mismatches(kind, table)))


@protocol.command()
@click.argument("table", type=FILE, metavar="CSV")
@click.option("--counts", type=click.Choice(COUNTED), help="Compare the numbers of pictures with published ones.")
@click.option("--faces", is_flag=True, help="Also search each picture for a face, as models that align faces do.")
@click.option(
    "--face",
    type=click.Choice(search.FACE_CHOICES),
    default="central",
    show_default=True,
    help="Which face --faces looks for: the one nearest to the centre for its size, or the largest.",
)
@click.option(
    "--detector",
    default=search.HOG,
    show_default=True,
    metavar="hog|cnn|yunet|LIST",
    help="Face detectors that --faces tries in turn; hog,yunet finds most faces with masks.",
)
@click.option("--detector-model", type=FILE, metavar="FILE", help=search.MODEL_HELP)
@click.option("--predictor", type=FILE, metavar="FILE", help="dlib shape predictor for --faces.")
def check(table: Path, counts: str | None, faces: bool, **finding: Any) -> None:
    """Check a protocol table and every picture of it.

    Prints the pictures and subjects on each side, and the genuine and impostor pairs of each scenario that `mfr eval`
    compares. Problems are files that are missing or no pictures, files with the same bytes under two subjects or in
    both roles, scenarios without genuine or impostor pairs, and with --counts other numbers than the published ones:
    then the exit code is 1. Subjects with one picture, or in one role only, are notes. With --faces it says how many
    pictures have no face that is found, and why.

    \b
      mfr protocol check table.csv
      mfr protocol check mfrc21.csv --counts mfrc21
      mfr protocol check table.csv --faces --detector hog,yunet \\
        --detector-model yunet.onnx
    """
    from .protocol_output import check_with_progress

    if not faces and finding != {"face": "central", "detector": search.HOG, "detector_model": None, "predictor": None}:
        raise UsageError("--face, --detector, --detector-model and --predictor are settings of --faces; add it.")
    text, problems = check_with_progress(table, counts, finding if faces else None)
    say(text)
    if problems:
        counted = (
            "1 problem, listed above; correct it"
            if problems == 1
            else f"{problems} problems, listed above; correct them"
        )
        raise MaskgenError(f"{table} has {counted}.")


def _level(column: str) -> tuple[str, int]:
    name, _, level = column.rpartition("=")
    if not name.strip() or not (level.isascii() and level.isdecimal()) or not 1 <= int(level[:9]) <= 20:
        raise UsageError(f"--column is {column!r}; give NAME=LEVEL, such as session=2 for the second folder of a path.")
    return name.strip(), int(level)
