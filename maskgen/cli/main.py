"""The maskgen command: options and help texts. The work is in the modules beside this one, loaded when needed."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import click

from ..errors import UsageError
from ..imaging import search
from ..imaging.variants import STYLES
from ..pipeline.build_settings import BuildSettings
from .options import CONTEXT, CommandGroup, options_from, say, stop_like_ctrl_c


@click.group(cls=CommandGroup, context_settings=CONTEXT)
@click.version_option(package_name="maskgen")
def maskgen() -> None:
    """Build synthetic masked face data sets from face photographs.

    \b
    Try it on photographs that come with scikit-image:
      pip install '.[demo]'
      maskgen demo photographs
      maskgen build --src photographs --out smfd
      maskgen preview smfd
    """
    signal.signal(signal.SIGTERM, stop_like_ctrl_c)


@maskgen.command()
@options_from(BuildSettings)
def build(settings: BuildSettings) -> None:
    """Build a data set, or resume an interrupted build.

    Every photograph becomes a row, or a reject with a reason. The same source and settings always give the same
    bytes, with any number of workers and interruptions. To resume, run the same command again.

    \b
    All six masks for each photograph, at 224 x 224, as Parquet:
      maskgen build --src vggface2 --out smfd
    As in the paper, one random mask each, as WebDataset tars:
      maskgen build --src vggface2 --out smfd \\
        --variants random --format webdataset
    A sixth of the bytes, with masks drawn when the data set is read:
      maskgen build --src vggface2 --out smfd --store recipe
    From tar shards in a bucket, and from an insightface pack:
      maskgen build --src "s3://bucket/faces-{000000..000330}.tar" --out smfd
      maskgen build --src ms1mv3 --out smfd
    VGGFace2 with its own face boxes instead of detection:
      maskgen build --src vggface2 --out smfd \\
        --boxes loose_bb_train.csv --boxes loose_bb_test.csv
    A trial of 5,000 photographs of about 14 people, half of them for tests:
      maskgen build --src vggface2/train --out trial \\
        --limit 5000 --test-identities 0.5
    Into an object store; verify and mfr train --data take the same URI:
      maskgen build --src vggface2 --out s3://bucket/smfd
    """
    from .console import build_with_progress

    say(build_with_progress(settings))


@maskgen.command()
@click.argument("folder", type=click.Path(path_type=Path))
def demo(folder: Path) -> None:
    """Write a few real face photographs into FOLDER, to try maskgen.

    They are made from pictures that come with scikit-image (a portrait in the public domain and an excerpt of LFW),
    so no download is needed. To install it, run pip install '.[demo]' in the checkout of maskgen.

    \b
      maskgen demo photographs
      maskgen build --src photographs --out smfd
    """
    from .demo import write_demo

    say(write_demo(folder))


@maskgen.command()
@click.argument("places", nargs=-1, required=True, metavar="PLACE...")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    default="preview.png",
    show_default=True,
    metavar="FILE",
    help="File of the sheet. Further sheets are numbered, such as preview-2.png.",
)
@click.option(
    "--limit",
    type=click.IntRange(1, 10_000),
    default=100,
    show_default=True,
    metavar="N",
    help="Show at most N photographs: the first of a folder, or evenly spaced ones of a data set.",
)
@click.option(
    "--predictor",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="dlib shape predictor of 68 points; by default the packaged one.",
)
@click.option(
    "--face", type=click.Choice(search.FACE_CHOICES), default="central", show_default=True, help=search.FACE_HELP
)
@click.option(
    "--detector", default=search.HOG, show_default=True, metavar="hog|cnn|yunet|LIST", help=search.DETECTOR_HELP
)
@click.option("--detector-model", type=click.Path(path_type=Path), metavar="FILE", help=search.MODEL_HELP)
@click.option(
    "--color",
    metavar="#RRGGBB",
    help="Colour of the masks; by default #9ecff0. A data set has its own colours.",
)
@click.option(
    "--style",
    "styles",
    type=click.Choice(STYLES),
    multiple=True,
    help="How the masks look; flat by default. May be repeated, for a row of each style. A data set has its own.",
)
@click.option(
    "--textures",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Folder of pictures for --style texture.",
)
def preview(
    places: tuple[str, ...],
    out: Path,
    limit: int,
    predictor: Path | None,
    color: str | None,
    styles: tuple[str, ...],
    textures: Path | None,
    **finding: Any,
) -> None:
    """Draw photographs and their masks on labelled sheets.

    PLACE is a photograph, a folder of photographs, or a data set (a folder or a URI). Photographs get all six masks,
    face box and landmarks. A data set is shown as it is stored, with its own masks and colours, and with the reasons
    of its rejects. A sheet holds up to 20 photographs; further ones are drawn on further sheets.

    \b
      maskgen preview face.jpg
      maskgen preview photographs -o sheet.png --color "#1e90ff"
      maskgen preview face.jpg --style flat --style fabric
      maskgen preview smfd --limit 20
    """
    from .preview import write_sheets

    say(write_sheets(places, out, limit, predictor, color, styles, textures, **finding))


@maskgen.command()
@click.argument("dataset", metavar="DATASET")
@click.argument("folder", type=click.Path(path_type=Path), metavar="DIR")
@click.option(
    "--to",
    type=click.Choice(["folders", "coco", "masks"]),
    default="folders",
    show_default=True,
    help="folders: image folders; coco: these and COCO's JSON with boxes and masks; masks: the masks alone, as PNG.",
)
@click.option(
    "--variants",
    default="all",
    show_default=True,
    metavar="all|LIST",
    help="Masks to write, such as wide_high,round_low; unmasked alone for no mask. The unmasked counterparts are "
    "always written.",
)
@click.option("--split", type=click.Choice(["train", "val", "test"]), help="Write this split only; by default all.")
@click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help="Write at most N photographs: the first in key order."
)
def export(dataset: str, folder: Path, to: Any, variants: str, split: str | None, limit: int | None) -> None:
    """Write a data set as files for other tools.

    Writes DIR/SPLIT/IDENTITY/PHOTO_VARIANT.jpg, one file for each picture, and DIR/pairs.csv, which links each masked
    picture with its unmasked counterpart and says mask, colour, box and the share of the face covered. DIR must be new
    or empty. To resume an interrupted export, run the same command again. DATASET is a folder or a URI.

    \b
      maskgen export smfd images
      maskgen export smfd detection --to coco --split test
      maskgen export smfd masks --to masks --variants wide_high
    """
    from .console import export_with_progress

    say(export_with_progress(dataset, folder, to, variants, split, limit))


@maskgen.command()
@click.argument("dataset", metavar="DATASET")
@click.option("--html", is_flag=True, help="Write a page to look at instead of text.")
@click.option(
    "-o",
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="File of the page; by default NAME.html in this folder, where NAME is that of the data set.",
)
@click.option("--src", metavar="DIR|URI|PATTERN", help="Source of the data set: the page shows rejected photographs.")
@click.option("--no-pictures", is_flag=True, help="Leave all faces out of the page.")
@click.option(
    "--sample",
    type=click.IntRange(min=1),
    metavar="N",
    help="Measure at most N photographs, evenly spaced; by default 20,000.",
)
def inspect(dataset: str, html: bool, out: Path | None, **options: Any) -> None:
    """Show what a data set contains.

    Prints its settings, the photographs, identities and bytes of each split, and the number of rejects by reason.
    DATASET is a folder or a URI.

    --html writes one HTML file that needs no network: masks by kind, colours, faces by size and pose, the most unusual
    landmarks, duplicate photographs, rejects, and the state of every shard. It also shows unfinished builds.

    \b
      maskgen inspect smfd
      maskgen inspect smfd --html
      maskgen inspect smfd --html -o page.html --src photographs
    """
    if html:
        from .inspection_page import write_page

        say(write_page(dataset, out, **options))
    elif out or any(options.values()):
        raise UsageError("-o, --src, --no-pictures and --sample are for a page; add --html, or leave them out.")
    else:
        from .console import inspection

        say(inspection(dataset))


@maskgen.command()
@click.argument("dataset", metavar="DATASET")
def verify(dataset: str) -> None:
    """Check every byte of a finished data set.

    Checks all hashes and counts, the schema, and that rows + rejects = plan. Names the first broken shard and how to
    fix it. DATASET is a folder or a URI.

    \b
      maskgen verify smfd
    """
    from .console import verify_with_progress

    say(verify_with_progress(dataset))
