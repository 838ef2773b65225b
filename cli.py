"""The two commands, maskgen and mfr: options and messages only. What they do is in maskgen/ and mfr_train/."""

from __future__ import annotations

import dataclasses
import errno
import functools
import importlib.util
import signal
import sys
import types
import typing
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import click

from maskgen.build_settings import BuildSettings
from maskgen.errors import MaskgenError, UsageError
from maskgen.settings import is_repeated, option_name, read_toml
from mfr_train.evaluate import EvalSettings
from mfr_train.recipes import TrainSettings

GO_ON = ("build", "train")
"""Commands that take up what they were stopped in; the others begin anew, or change nothing."""


class OneSentence(click.Group):
    """A group whose commands fail with one sentence and an exit code: 1 the work failed, 2 the call was wrong."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except MaskgenError as error:
            click.echo(f"{self.name}: {error}", err=True)
            ctx.exit(error.exit_code)
        except OSError as error:
            if error.filename is None:  # about no file: our own mistake, to be seen whole
                raise
            click.echo(f"{self.name}: cannot use {error.filename}: {error.strerror}; check that path.", err=True)
            ctx.exit(2 if error.errno == errno.ENAMETOOLONG else 1)
        except KeyboardInterrupt:
            how = "; run the same command again and it goes on from here" if ctx.invoked_subcommand in GO_ON else ""
            click.echo(f"\n{self.name}: stopped{how}.", err=True)
            ctx.exit(130)


def options_from(settings: type[Any], arguments: tuple[str, ...] = ()) -> Callable[[Callable[..., Any]], Any]:
    """Gives a command one option for each setting of a dataclass, and --config; it is called with the dataclass.

    Names in `arguments` become positional arguments.
    """
    hints = typing.get_type_hints(settings)
    fields = {field.name: field for field in dataclasses.fields(settings)}

    def decorate(function: Callable[..., Any]) -> Any:
        @functools.wraps(function)
        def command(**values: Any) -> Any:
            values.pop("config")
            return function(settings(**{name: values[name] for name in fields}))

        for name in reversed(fields):
            field, kind = fields[name], hints[name]
            required = field.default is dataclasses.MISSING
            if name in arguments:
                command = click.argument(name, type=_click_type(kind, field))(command)
                continue
            flags = [f"--{option_name(field)}"]
            if kind is bool:
                flags = [f"--{option_name(field)}/--no-{option_name(field)}"]
            command = click.option(
                *flags,
                type=_click_type(kind, field),
                required=required,
                default=None if required else field.default,
                multiple=is_repeated(kind),
                metavar=field.metadata["metavar"],
                help=field.metadata["help"],
                show_default=not required and field.default not in (None, ()) and field.default is not False,
            )(command)
        return click.option(
            "--config",
            type=click.Path(dir_okay=False),
            metavar="FILE.toml",
            is_eager=True,
            expose_value=True,
            callback=functools.partial(_read_config, settings),
            help="Take settings from a TOML file of `option = value` lines; options on the command line win.",
        )(command)

    return decorate


def _read_config(settings: type[Any], ctx: click.Context, _: click.Parameter, path: str | None) -> str | None:
    if path:
        ctx.default_map = {**(ctx.default_map or {}), **read_toml(path, settings)}
    return path


def _click_type(kind: Any, field: dataclasses.Field[Any]) -> Any:
    if field.metadata["choices"]:
        return click.Choice(field.metadata["choices"])
    if typing.get_origin(kind) is types.UnionType:
        kind = next(inner for inner in typing.get_args(kind) if inner is not type(None))
    if is_repeated(kind):
        kind = typing.get_args(kind)[0]
    return click.Path(path_type=Path) if kind is Path else kind


def _stop_like_ctrl_c(*_: Any) -> NoReturn:
    raise KeyboardInterrupt


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
    signal.signal(signal.SIGTERM, _stop_like_ctrl_c)


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
    from maskgen.console import build_with_progress

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
    from maskgen.demo import write_demo

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
    from maskgen.preview import write_sheet

    click.echo(write_sheet(images, out, predictor, color))


@maskgen.command()
@click.argument("dataset", type=click.Path(), metavar="OUT")
def inspect(dataset: str) -> None:
    """Show what a data set holds: settings, counts by split, rejects by reason, bytes.

    \b
      maskgen inspect smfd
    """
    from maskgen.console import inspection

    click.echo(inspection(dataset))


@maskgen.command()
@click.argument("dataset", type=click.Path(), metavar="OUT")
def verify(dataset: str) -> None:
    """Check a finished data set: every hash, every count, the schema, and rows + rejects = plan.

    Names the first broken shard and how to mend it.

    \b
      maskgen verify smfd
    """
    from maskgen.console import verify_with_progress

    click.echo(verify_with_progress(dataset))


@click.group(cls=OneSentence, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="maskgen")
def mfr() -> None:
    """Train a network that sees past masks, and measure it as biometrics laboratories do.

    \b
      mfr train --recipe small
      mfr eval --scenario M-M
    """
    signal.signal(signal.SIGTERM, _stop_like_ctrl_c)


@mfr.command()
@options_from(TrainSettings)
def train(settings: TrainSettings) -> None:
    """Train a network in two stages, or go on with a run that was interrupted.

    Stage 1 classifies the training identities by cross-entropy, half of the pictures masked. Stage 2 freezes that
    network and trains a new embedding by triplet loss, with or without weighted MSE. The run folder holds settings,
    checkpoints, the curve as CSV and picture, and the weights.

    \b
    Both stages in minutes on a laptop, on ./smfd:
      mfr train --recipe small
    As the paper did, ResNet50 at 224 x 224, on a GPU; then on four of them:
      mfr train --data smfd --out runs/paper
      torchrun --nproc-per-node 4 --no-python mfr train --data smfd --out runs/paper
    An embedding on dlib's trained network, in minutes on a laptop:
      mfr train --backbone dlib --out runs/dlib
    The triplet loss alone, on the network of an earlier run:
      mfr train --stage embed --weights runs/paper --mse-weight 0 --out runs/tl
    """
    _needs_torch()
    from mfr_train.console import train_with_summary

    if said := train_with_summary(settings):
        click.echo(said)


@mfr.command("eval")
@options_from(EvalSettings)
def eval_(settings: EvalSettings) -> None:
    """Measure a model on unmasked and masked references and probes of identities it never saw.

    Prints FMR100, FMR10, EER, AUC, GMean and IMean with 95 % intervals over subjects, each mask by itself, and what
    becomes of a threshold fixed on unmasked faces; writes report.json, the scores, and ROC and DET plots.

    \b
    The newest run on ./smfd, all three scenarios, or one:
      mfr eval
      mfr eval --scenario M-M
    A trained network as it is, nothing to train:
      mfr eval --model dlib --data smfd
    Real masks, as a table of pictures (subject,role,masked,path):
      mfr eval --run runs/paper --protocol mfrc21.csv
    """
    _needs_torch()
    from mfr_train.console import eval_with_progress

    click.echo(eval_with_progress(settings))


def _needs_torch() -> None:
    for name in ("torch", "torchvision", "safetensors", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"mfr needs {name}, which is not installed; install it with: pip install 'maskgen[train]'")


if __name__ == "__main__":
    sys.exit(maskgen())
