"""The mfr command: options and help texts. The work is in the modules beside this one, loaded when needed."""

from __future__ import annotations

import importlib.util
import os
import signal

import click
from click.core import ParameterSource

from maskgen.cli.options import CONTEXT, CommandGroup, options_from, say, stop_like_ctrl_c
from maskgen.errors import UsageError, installing, shown_lines
from maskgen.progress import step
from maskgen.terminal import HINT

from ..ablation.ablate_settings import AblateSettings
from ..comparison.compare_settings import CompareSettings
from ..defaults import CLASSIFY, EMBED, is_function
from ..evaluation.eval_settings import EvalSettings
from ..explaining.explain_settings import ExplainSettings
from ..training.train_settings import TrainSettings
from .protocol import protocol

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
"""PyTorch's threads sleep while they wait for each other. By default they spin for milliseconds, also when the one they
wait for is not running because another process has its core. Read when PyTorch is loaded."""


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
    receives the settings, the checkpoints, the curve as CSV and plots, and the weights.

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

    if is_function(settings.loss):
        _check_typed("loss", settings.loss)

    if summary := train_with_summary(settings):
        say(summary)


@mfr.command("eval")
@click.option("--html", is_flag=True, help="Also write report.html into the same folder, as mfr report does.")
@click.option("--all-tables", is_flag=True, help="Print all tables, not only the short one; tables/ has them anyway.")
@options_from(EvalSettings)
def eval_(settings: EvalSettings, html: bool, all_tables: bool) -> None:
    """Measure a model on unmasked and masked faces it never saw.

    Prints EER, FMR100 and FMR10 of each scenario with 95 % intervals over subjects. With --all-tables it prints all
    tables: also AUC, GMean and IMean, the figures of each mask alone, and the error rates at thresholds fixed on
    unmasked faces. Writes report.json, all tables as CSV and LaTeX, the scores, and plots: DET, ROC and histograms of
    the scores. With --pairs it compares the pairs of a list, and prints the accuracy over its folds.

    \b
    The newest run on ./smfd, in all three scenarios, or in one:
      mfr eval
      mfr eval --scenario M-M
    The network of stage 1 of a run, without the embedding:
      mfr eval --run runs/paper --stage classify
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
    from .console import eval_with_progress

    if settings.model and is_function(settings.model):
        _check_typed("model", settings.model)

    say(eval_with_progress(settings, all_tables, html))


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
@options_from(AblateSettings)
def ablate(settings: AblateSettings) -> None:
    """Train and measure the rows of the paper's table on one network.

    From one trained network and one cache of features it trains the second stages, each with every seed, measures all
    of them on the same pairs, and prints GMean, IMean, AUC, EER, FMR100 and FMR10: means over the seeds with 95 %
    intervals over subjects, the range over the seeds, and whether each row is better or worse than the row above. The
    p-values are corrected for the number of conclusions. Writes the runs, the tables as CSV and LaTeX, plots and
    ablation.json. The same command resumes an interrupted one; more rows and seeds may be added later.

    \b
    CE, CE+TL and CE+TL+MSE on the network of a run, with three seeds:
      mfr ablate --weights runs/paper --out ablation
    On dlib's network, in minutes on a laptop, with a sweep of lambda:
      mfr ablate --backbone dlib --recipe small --out dlib \\
        --mse-weight 10 --mse-weight 30 --mse-weight 100
    With the lambda that is best for training people who are held out:
      mfr ablate --weights runs/paper --out chosen --choose-mse-weight
    EUM with the triplet and the self-restrained triplet loss, too:
      mfr ablate --weights runs/paper --out ablation \\
        --rows ce,tl,tl+mse,eum+tl,eum+srt
    """
    _check_installed()
    from .console import ablated

    for model in settings.model:
        if is_function(model):
            _check_typed("model", model)
    say(ablated(settings))


@mfr.command()
@click.argument("model", metavar="RUN|dlib|FILE")
@click.option("-o", "--out", required=True, metavar="FILE.onnx", help="File to write; it must not exist.")
@click.option(
    "--stage",
    type=click.Choice((CLASSIFY, EMBED)),
    help="classify leaves out what stage 2 of the run trained. By default the embedding if there is one.",
)
def export(model: str, out: str, stage: str | None) -> None:
    """Write a model as one ONNX file: scaling, network and embedding.

    Its input is `faces`, uint8 (N, S, S, 3) RGB, its output `embedding`, (N, d) of length 1; with EUM there is also
    `masked_embedding`, for masked faces. The metadata say S, how faces are cut out, and what the model was trained on.
    What onnxruntime computes from the file is compared with PyTorch first. `mfr eval --model FILE.onnx` measures it.

    \b
      mfr export runs/paper -o paper.onnx
    """
    _check_installed()
    from ..networks.onnx_export import export as write

    with step(f"exporting {model}"):
        written = write(model, out, stage=stage)
    say(shown_lines([f"{written} holds {model}", f"{HINT}next, run mfr eval --model {out}"]))


@mfr.command()
@click.argument("reports", nargs=-1, required=True, metavar="REPORT...")
@click.option("--out", metavar="DIR", help="Also write the tables into this folder, as CSV and LaTeX.")
def table(reports: tuple[str, ...], out: str | None) -> None:
    """Put reports side by side, several seeds as mean and range.

    REPORT is the folder of an evaluation. Reports whose settings and model differ only by a seed, that of the
    evaluation or that of the training, are one line.

    \b
      mfr table runs/eval/dlib-* runs/eval/paper-* --out tables
    """
    _check_installed()
    from .console import side_by_side

    say(side_by_side(reports, out))


@mfr.command()
@click.argument("folders", nargs=-1, required=True, metavar="DIR|RUN...")
@click.option("-o", "--out", default="report.html", show_default=True, metavar="FILE.html", help="File to write.")
@click.option("--pictures/--no-pictures", default=True, help="Show faces: the hardest pairs and the maps of attention.")
def report(folders: tuple[str, ...], out: str, pictures: bool) -> None:
    """Write one HTML page of results, for people who decide.

    DIR is a folder that mfr eval, compare, ablate or explain wrote; of a run its evaluations are shown, too. The page
    has the figures with their intervals, ROC and DET curves of all models over each other, scores under a threshold
    that can be moved, the breakdown by mask, the drift at a fixed threshold, the hardest pairs, the data and what the
    figures cannot say. It is one file that loads nothing from a network; print it for a PDF.

    \b
      mfr report runs/eval/dlib-smfd-1a2b3c4d runs/eval/paper-smfd-5e6f7a8b
      mfr report runs/paper runs/explain/paper -o paper.html
      mfr report runs/eval/dlib-smfd-1a2b3c4d --no-pictures
    """
    from .report_page import reported

    say(reported(folders, out, pictures))


@mfr.command()
@click.argument("models", nargs=-1, metavar="[RUN|MODEL]...")
@options_from(ExplainSettings)
def explain(settings: ExplainSettings, models: tuple[str, ...]) -> None:
    """Show where models look in unmasked and masked faces.

    MODEL is dlib, a weights file or an ONNX face network; by default the newest run is explained. Networks that end in
    pooling and a linear layer get Smooth Grad-CAM++ over all features of the embedding, others occlusion maps. Prints
    how much of the attention lies inside the mask's outline and above the eyes, with 95 % intervals over subjects, and
    how much a map tells about the embedding. Writes the maps and, as PNG, SVG and PDF, people, means and curves.

    \b
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


def _check_typed(option: str, value: str) -> None:
    """Raises `UsageError` for a function, which is run as code, that comes from a file and was not typed."""
    if click.get_current_context().get_parameter_source(option) is ParameterSource.DEFAULT_MAP:
        raise UsageError(f"--config sets {option} to {value!r}, which is run as code; give it on the command line.")


def _check_installed() -> None:
    for name in ("torch", "torchvision", "safetensors", "matplotlib"):
        if importlib.util.find_spec(name) is None:
            raise UsageError(f"mfr needs {name}, which is not installed; {installing('train')}.")
