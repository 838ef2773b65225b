"""The command maskgen: options and messages only. What it does is in the rooms beside this one."""

from __future__ import annotations

import signal
from pathlib import Path

import click

from ..pipeline.build_settings import BuildSettings
from .options import OneSentence, options_from, stop_like_ctrl_c


@click.group(cls=OneSentence, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="maskgen")
def maskgen() -> None:
    """From a folder of face photographs to a synthetic masked face data set.

    \b
    Try it on the photographs of scikit-image (pip install 'maskgen[demo]'):
      maskgen demo photographs
      maskgen build --src photographs --out smfd
      maskgen inspect smfd
    """
    signal.signal(signal.SIGTERM, stop_like_ctrl_c)


@maskgen.command()
@options_from(BuildSettings)
def build(settings: BuildSettings) -> None:
    """Build a data set, or go on with one that was interrupted.

    Every photograph ends as a row or as a reject with a reason. The same sources and settings give the same bytes,
    with any number of workers and any number of interruptions: run the same command again to go on.

    \b
    All six masks of every photograph, at 224 x 224, as Parquet:
      maskgen build --src vggface2 --out smfd
    The paper's draw, one random mask each, as WebDataset tars:
      maskgen build --src vggface2 --out smfd --variants random --format webdataset
    A sixth of the bytes: masks are drawn when the data set is read:
      maskgen build --src vggface2 --out smfd --store recipe
    From tar shards in a bucket, and from an insightface pack:
      maskgen build --src "s3://bucket/faces-{000000..000330}.tar" --out smfd
      maskgen build --src ms1mv3 --out smfd
    VGGFace2 with its own face boxes instead of detection:
      maskgen build --src vggface2 --out smfd --boxes loose_bb_train.csv --boxes loose_bb_test.csv
    A quick trial of 5,000 photographs of about 14 people, half of whom are kept for tests:
      maskgen build --src vggface2/train --out trial --limit 5000 --test-identities 0.5
    Into an object store; `maskgen verify` and `mfr train --data` take the same URI:
      maskgen build --src vggface2 --out s3://bucket/smfd
    """
    from .console import build_with_progress

    click.echo(build_with_progress(settings))


@maskgen.command()
@click.argument("folder", type=click.Path(path_type=Path))
def demo(folder: Path) -> None:
    """Write a small source tree of real face photographs into FOLDER.

    They come with scikit-image (its public-domain portrait and its excerpt of LFW), which pip install 'maskgen[demo]'
    installs, so the first trial needs no download of photographs.

    \b
      maskgen demo photographs && maskgen build --src photographs --out smfd
    """
    from .demo import write_demo

    click.echo(write_demo(folder))


@maskgen.command()
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="IMAGE...")
@click.option("-o", "--out", type=click.Path(path_type=Path), default="preview.png", show_default=True, help="Sheet.")
@click.option("--predictor", type=click.Path(path_type=Path), metavar="FILE", help="dlib shape predictor to use.")
@click.option("--color", default="#9ecff0", show_default=True, help="Mask colour.", metavar="#RRGGBB")
def preview(images: tuple[Path, ...], out: Path, predictor: Path | None, color: str) -> None:
    """Draw the six masks of each IMAGE, with box and landmarks, on one labelled sheet.

    \b
      maskgen preview face.jpg
      maskgen preview photographs/*/*1.jpg -o sheet.png --color "#1e90ff"
    """
    from .preview import write_sheet

    click.echo(write_sheet(images, out, predictor, color))


@maskgen.command()
@click.argument("dataset", type=click.Path(), metavar="OUT")
def inspect(dataset: str) -> None:
    """Show what a data set holds: settings, counts by split, rejects by reason, bytes.

    \b
      maskgen inspect smfd
    """
    from .console import inspection

    click.echo(inspection(dataset))


@maskgen.command()
@click.argument("dataset", type=click.Path(), metavar="OUT")
def verify(dataset: str) -> None:
    """Check a finished data set: every hash, every count, the schema, and rows + rejects = plan.

    Names the first broken shard and how to mend it.

    \b
      maskgen verify smfd
    """
    from .console import verify_with_progress

    click.echo(verify_with_progress(dataset))
