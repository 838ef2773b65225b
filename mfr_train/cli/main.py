"""The command mfr: options and messages only. What it does is in the rooms beside this one."""

from __future__ import annotations

import importlib.util
import signal

import click

from maskgen.cli.options import OneSentence, options_from, stop_like_ctrl_c
from maskgen.errors import UsageError

from ..evaluation.eval_settings import EvalSettings
from ..training.train_settings import TrainSettings


@click.group(cls=OneSentence, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="maskgen")
def mfr() -> None:
    """Train a network that sees past masks, and measure it as biometrics laboratories do.

    \b
      mfr train --recipe small
      mfr eval --scenario M-M
    """
    signal.signal(signal.SIGTERM, stop_like_ctrl_c)


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
    from .console import train_with_summary

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
    from .console import eval_with_progress

    click.echo(eval_with_progress(settings))


def _needs_torch() -> None:
    for name in ("torch", "torchvision", "safetensors", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"mfr needs {name}, which is not installed; install it with: pip install 'maskgen[train]'")
