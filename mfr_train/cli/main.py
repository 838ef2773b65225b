"""The mfr command: options and help texts. The work is in the modules beside this one, loaded when needed."""

from __future__ import annotations

import importlib.util
import signal

import click
from click.core import ParameterSource

from maskgen.cli.options import CONTEXT, CommandGroup, options_from, say, stop_like_ctrl_c
from maskgen.errors import UsageError, installing

from ..comparison.compare_settings import CompareSettings
from ..evaluation.eval_settings import EvalSettings
from ..explaining.explain_settings import ExplainSettings
from ..training.train_settings import TrainSettings
from .protocol import protocol


@click.group(cls=CommandGroup, context_settings=CONTEXT)
@click.version_option(package_name="maskgen")
def mfr() -> None:
    """Train networks that recognise masked faces, and measure them.

    \b
      mfr train --recipe small
      mfr eval --scenario M-M
    """
    signal.signal(signal.SIGTERM, stop_like_ctrl_c)


@mfr.command()
@options_from(TrainSettings)
def train(settings: TrainSettings) -> None:
    """Train a network in two stages, or resume a run.

    Stage 1 trains a network to classify the training identities with cross-entropy, on half masked pictures. Stage 2
    freezes that network and trains a new embedding with the triplet loss, with or without weighted MSE. The run folder
    receives the settings, the checkpoints, the curve as CSV and picture, and the weights.

    \b
    Both stages in minutes on a laptop, on ./smfd:
      mfr train --recipe small
    As in the paper, ResNet50 at 224 x 224, on one GPU; then on four:
      mfr train --data smfd --out runs/paper
      torchrun --nproc-per-node 4 --no-python \\
        mfr train --data smfd --out runs/paper
    An embedding on dlib's trained network, in minutes on a laptop:
      mfr train --backbone dlib --out runs/dlib
    The triplet loss alone, on the network of an earlier run:
      mfr train --stage embed --weights runs/paper --mse-weight 0 \\
        --out runs/tl
    """
    _check_installed()
    from .console import train_with_summary

    if summary := train_with_summary(settings):
        say(summary)


@mfr.command("eval")
@options_from(EvalSettings)
def eval_(settings: EvalSettings) -> None:
    """Measure a model on unmasked and masked faces it never saw.

    Prints FMR100, FMR10, EER, AUC, GMean and IMean with 95 % intervals over subjects, also for each mask alone, and
    the error rates at a threshold fixed on unmasked faces. Writes report.json, the tables as CSV and LaTeX, the scores,
    and plots: DET, ROC and histograms of the scores. With --pairs it compares the pairs of a list, and prints the
    accuracy over its folds.

    \b
    The newest run on ./smfd, in all three scenarios, or in one:
      mfr eval
      mfr eval --scenario M-M
    A trained network as it is; an ONNX file that takes BGR:
      mfr eval --model dlib --data smfd
      mfr eval --model vendor.onnx --colors bgr
    Real masks, from a table of pictures (subject,role,masked,path):
      mfr eval --run runs/paper --protocol mfrc21.csv
    Embeddings that another program computed:
      mfr eval --embeddings vendor.npz
    The pairs of LFW, on a data set built with --test-identities 1:
      mfr eval --model dlib --data lfw-masked --pairs pairs.txt
    """
    _check_installed()
    from ..networks.python_function import is_function
    from .console import eval_with_progress

    source = click.get_current_context().get_parameter_source("model")
    if source is ParameterSource.DEFAULT_MAP and settings.model and is_function(settings.model):
        raise UsageError(
            f"--config sets model to {settings.model!r}, which is run as code; give it on the command line."
        )

    say(eval_with_progress(settings))


@mfr.command()
@click.argument("systems", nargs=-1, required=True, metavar="SYSTEM...")
@options_from(CompareSettings)
def compare(settings: CompareSettings, systems: tuple[str, ...]) -> None:
    """Compare systems on the same pairs, each with the first one.

    SYSTEM is the folder of an evaluation, a run folder, or a model such as dlib; runs and models are measured first.
    Prints the figures of each, their differences with 95 % intervals over the same draws of subjects, and whether each
    is better or worse than the first, or cannot be told from it. The p-values are corrected for the number of
    conclusions. Writes the tables, DET curves and comparison.json.

    \b
      mfr compare runs/eval/tl runs/eval/tl-mse
      mfr compare dlib runs/paper --data smfd --figure eer
    """
    _check_installed()
    from .console import compared

    say(compared(systems, settings))


@mfr.command()
@click.argument("models", nargs=-1, metavar="[RUN|MODEL]...")
@options_from(ExplainSettings)
def explain(settings: ExplainSettings, models: tuple[str, ...]) -> None:
    """Show where models look in unmasked and masked faces.

    MODEL is dlib, a weights file or an ONNX face network; by default the newest run is explained. Networks that end in
    pooling and a linear layer get Smooth Grad-CAM++ over all features of the embedding, others occlusion maps. Prints
    how much of the attention lies inside the mask's outline and above the eyes, with 95 % intervals over subjects, and
    how much a map tells about the embedding. Writes the maps, people.png, means.png and curves.png, also as SVG.

    
    The newest run, on ./smfd:
      mfr explain
    The paper's Figure 5, a row for each stage:
      mfr explain runs/ce runs/tl runs/tl-mse --data smfd
    A network of others, on few photographs:
      mfr explain dlib --photographs 12 --curves 4
    """
    _check_installed()
    from .console import explain_with_progress

    say(explain_with_progress(models, settings))


mfr.add_command(protocol)


def _check_installed() -> None:
    for name in ("torch", "torchvision", "safetensors", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"mfr needs {name}, which is not installed; {installing('train')}.")
