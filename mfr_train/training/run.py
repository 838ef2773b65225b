"""Training from Python: one call, and the run that it returns."""

from __future__ import annotations

import base64
import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Unpack

from maskgen.errors import shown

from ..keywords import AnyPath, settings_from
from ..networks import run_files
from ..networks.model import Model, load_run
from ..networks.preprocessing import InputOptions
from ..notebook import html_table
from . import train as training
from .curve import LearningCurve, learning_curve
from .train_settings import TrainSettings


class TrainOptions(InputOptions, total=False):
    """The fields of `TrainSettings` as keywords; text or any path-like object is a path."""

    data: AnyPath
    out: AnyPath | None
    stage: str | None
    recipe: str
    backbone: str | None
    weights: AnyPath | None
    masked_share: float
    variants: Sequence[str]
    batch: int | None
    micro_batch: int | None
    iterations: int | None
    lr: float | None
    min_lr: float
    momentum: float
    weight_decay: float
    classifier: str
    classifier_margin: float | None
    classifier_scale: float
    augment: Sequence[str]
    validate_every: int | None
    log_every: int | None
    triplets: int | None
    embed_iterations: int | None
    embed_lr: float | None
    embed_weight_decay: float
    embed_nesterov: bool
    embed_lr_drop: int | None
    dim: int
    head: str
    loss: str
    margin: float | None
    distance: str
    mse_weight: float
    positive: str
    negative: str
    on_damage: str
    seed: int
    buffer: int
    workers: int | None
    device: str
    compile: bool
    tensorboard: bool
    figures: str
    cache: AnyPath


@dataclass(frozen=True)
class Run:
    """The folder of a training: `Run("runs/001")` opens an earlier one.

    It can be given wherever a path is expected: `mfr_train.evaluate(run=run)`.

    Attributes:
        folder: Where settings, curve, checkpoints and weights lie.

    Example:
        >>> run = Run("runs/001")
        >>> run.folder.name
        '001'
        >>> run.curve.stage("embed").column("loss")  # doctest: +SKIP
        [0.21, 0.14]
    """

    folder: Path

    def __init__(self, folder: AnyPath) -> None:
        object.__setattr__(self, "folder", Path(folder))

    @property
    def curve(self) -> LearningCurve:
        """The learning curve, as far as the run has trained.

        Raises:
            UsageError: If the folder has no curve.
        """
        return learning_curve(self.folder / run_files.CURVE)

    @cached_property
    def model(self) -> Model:
        """The trained model, loaded on the CPU when it is first asked for.

        Raises:
            UsageError: If the folder is not a run, or is damaged.
        """
        return load_run(self.folder)

    def __fspath__(self) -> str:
        return str(self.folder)

    def __repr__(self) -> str:
        return f"Run({str(self.folder)!r})"

    def _repr_html_(self) -> str:
        rows = []
        curve = self.curve
        for stage in dict.fromkeys(curve.column("stage")):
            part = curve.stage(stage)
            accuracies = [row.val_accuracy for row in part if row.val_accuracy is not None]
            best = f"{max(accuracies):.1%}" if accuracies else ""
            rows.append([stage, f"{part[-1].iteration:,}", f"{part[0].loss:.4g}", f"{part[-1].loss:.4g}", best])
        head = ["stage", "steps", "first loss", "last loss", "best validation accuracy"]
        text = f"<p><b>{html.escape(shown(self.folder))}</b></p>{html_table(head, rows)}"
        for ending, kind in (("png", "png"), ("svg", "svg+xml")):
            picture = self.folder / f"{run_files.CURVE_PLOT}.{ending}"
            if picture.is_file():
                data = base64.b64encode(picture.read_bytes()).decode()
                text += f'<img alt="learning curve" style="max-width: 100%" src="data:image/{kind};base64,{data}">'
                break
        return text


def train(settings: TrainSettings | None = None, /, **options: Unpack[TrainOptions]) -> Run:
    """Trains a network in two stages, or resumes a run that was interrupted: the same call continues it.

    Stage 1 classifies the training identities by cross-entropy; stage 2 freezes that network and trains an embedding
    by triplet loss with weighted mean squared error (Neto et al., BIOSIG 2021). Progress bars show in a notebook or a
    terminal. Under `torchrun` the processes share each batch of stage 1, and the first one alone trains stage 2.

    Args:
        settings: The settings, or the same by name as `options`, such as `data="smfd", recipe="small"`. What is left
            open comes from the recipe, by default `paper`, which wants a GPU and days.
        **options: The fields of `TrainSettings`.

    Returns:
        The run, with its folder, learning curve and model.

    Raises:
        UsageError: If a setting, the data or the folder does not fit.
        MaskgenError: If the training cannot continue: it diverged, memory or disk is full, or a file is damaged. Every
            checkpoint until then is kept.

    Example:
        >>> run = train(data="smfd", recipe="small", out="runs/mine")  # doctest: +SKIP
        >>> run.model.embed(["face.jpg"]).shape  # doctest: +SKIP
        (1, 512)
    """
    return Run(training.train(settings_from(TrainSettings, settings, options)))
