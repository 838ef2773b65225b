"""Every setting of `mfr ablate`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from maskgen.errors import UsageError
from maskgen.settings import same_setting, setting

from ..comparison.compare_settings import FIGURES
from ..defaults import DLIB, MIN_RESAMPLES
from ..evaluation.eval_settings import EvalSettings
from ..networks.preprocessing import Numbers
from ..training.train_settings import TrainSettings
from .kinds import CANDIDATES, CE, KINDS, MSE


@dataclass(frozen=True)
class AblateSettings:
    """The settings of `mfr ablate`."""

    out: Path = setting(
        help="Folder for the runs and the results: new, empty, or of an earlier call, which is resumed.",
        metavar="DIR",
        run_only=True,
    )
    data: str = setting(
        "smfd", help="Data set made by `maskgen build`: a folder or a URI.", metavar="DIR|URI", run_only=True
    )
    weights: Path | None = setting(
        None,
        help="The network of stage 1 for all rows: a run, .safetensors, torchvision .pth, or an ONNX face network.",
        metavar="RUN|FILE",
        run_only=True,
    )
    backbone: str | None = setting(
        None,
        help="dlib, in place of --weights; or the kind of network in a .pth file, such as resnet50.",
        metavar="NAME",
        run_only=True,
    )
    rows: str = setting(
        "ce,tl,tl+mse",
        help=f"Rows that are trained, in their order: of {', '.join(KINDS)}; ce is the network itself.",
        metavar="LIST",
        run_only=True,
    )
    model: tuple[str, ...] = setting(
        (),
        help="A further row above the others, measured as it is: a model as in `mfr eval --model`, or a run. May be "
        "repeated.",
        metavar="dlib|FILE|RUN",
        run_only=True,
    )
    mse_weight: tuple[float, ...] = setting(
        (),
        help="Lambda, the weight of MSE(anchor, positive) in the row tl+mse; 30 by default. May be repeated: a row for "
        "each.",
        metavar="NUMBER",
        run_only=True,
    )
    choose_mse_weight: bool = setting(
        False,
        help="Choose lambda on the training identities alone, by --figure of U-M: among the values of --mse-weight, or "
        f"{', '.join(f'{weight:g}' for weight in CANDIDATES)}. Half of these people train and the other half is "
        "measured, then the reverse.",
        run_only=True,
    )
    seeds: str = setting(
        "0,1,2",
        help="Seeds of stage 2: each row is trained once with each of them.",
        metavar="LIST",
        run_only=True,
    )
    figure: str = setting(
        "fmr100",
        help="The figure that the conclusions are drawn from; all others are shown.",
        choices=FIGURES,
        run_only=True,
    )
    seed: int = setting(0, help="Seed of the mask drawn for each photograph and of the resamples.", low=0)
    bootstrap: int = setting(
        1000,
        help=f"Resamples of the subjects for intervals and p-values, at least {MIN_RESAMPLES}.",
        low=MIN_RESAMPLES,
        high=1_000_000,
    )
    split: str = same_setting(EvalSettings, "split")
    recipe: str = same_setting(TrainSettings, "recipe")
    input_size: int | None = same_setting(TrainSettings, "input_size")
    colors: str | None = same_setting(TrainSettings, "colors")
    mean: Numbers | None = same_setting(TrainSettings, "mean")
    scale: Numbers | None = same_setting(TrainSettings, "scale")
    layout: str | None = same_setting(TrainSettings, "layout")
    align: str | None = same_setting(TrainSettings, "align")
    flip_sum: bool = same_setting(TrainSettings, "flip_sum")
    output: str | None = same_setting(TrainSettings, "output")
    masked_share: float = same_setting(TrainSettings, "masked_share")
    variants: tuple[str, ...] = same_setting(TrainSettings, "variants")
    triplets: int | None = same_setting(TrainSettings, "triplets")
    embed_iterations: int | None = same_setting(TrainSettings, "embed_iterations")
    embed_lr: float | None = same_setting(TrainSettings, "embed_lr")
    embed_weight_decay: float = same_setting(TrainSettings, "embed_weight_decay")
    momentum: float = same_setting(TrainSettings, "momentum")
    embed_nesterov: bool = same_setting(TrainSettings, "embed_nesterov")
    embed_lr_drop: int | None = same_setting(TrainSettings, "embed_lr_drop")
    margin: float | None = same_setting(TrainSettings, "margin")
    dim: int = same_setting(TrainSettings, "dim")
    distance: str = same_setting(TrainSettings, "distance")
    positive: str = same_setting(TrainSettings, "positive")
    validate_every: int | None = same_setting(TrainSettings, "validate_every")
    log_every: int | None = same_setting(TrainSettings, "log_every")
    figures: str = setting(
        "png,svg", help="Formats of the plots: png, svg, pdf, or none.", metavar="LIST", run_only=True
    )
    cache: Path = same_setting(TrainSettings, "cache")
    on_damage: str = same_setting(TrainSettings, "on_damage")
    workers: int | None = same_setting(TrainSettings, "workers")
    device: str = same_setting(TrainSettings, "device")


def check_together(settings: AblateSettings) -> None:
    """Raises `UsageError` for a network that is missing or given twice, and for lists that cannot be used."""
    if settings.weights is None and settings.backbone != DLIB:
        raise UsageError("an ablation needs a trained network: give --weights a run or a file, or --backbone dlib.")
    if settings.weights is not None and settings.backbone == DLIB:
        raise UsageError("dlib's network has weights of its own; leave --weights out.")
    if set(wanted_rows(settings)) <= {CE}:
        raise UsageError(f"--rows names no row to train; add one of {', '.join(name for name in KINDS if name != CE)}.")
    seeds_of(settings)
    if settings.choose_mse_weight and MSE not in wanted_rows(settings):
        raise UsageError(f"--choose-mse-weight is for the row {MSE}; add it to --rows, or leave the option out.")
    if settings.choose_mse_weight and settings.split != "test":
        raise UsageError(
            f"--choose-mse-weight chooses on the training identities, whom --split {settings.split} measures; leave "
            "--split out."
        )
    if settings.choose_mse_weight and len(settings.mse_weight) == 1:
        raise UsageError("--choose-mse-weight has one --mse-weight to choose from; give more, or leave that out.")
    for weight in settings.mse_weight:
        if not math.isfinite(weight) or weight <= 0:
            raise UsageError(f"--mse-weight is {weight:g}; give a number above 0: without MSE it is the row tl.")
    if len(set(settings.mse_weight)) < len(settings.mse_weight):
        raise UsageError("--mse-weight gives a number twice; give each once.")
    if len(set(settings.model)) < len(settings.model):
        raise UsageError("--model gives a model twice; give each once.")


def weights_of(settings: AblateSettings) -> tuple[float, ...]:
    """The values of lambda: those that are given, else the candidates or the default."""
    return settings.mse_weight or (CANDIDATES if settings.choose_mse_weight else (TrainSettings().mse_weight,))


def wanted_rows(settings: AblateSettings) -> list[str]:
    """The names in --rows. Raises `UsageError` for unknown or repeated ones."""
    found = [part.strip() for part in settings.rows.split(",")]
    for name in found:
        if name not in KINDS:
            raise UsageError(f"--rows has {name!r}; give a list of {', '.join(KINDS)}.")
        if found.count(name) > 1:
            raise UsageError(f"--rows has {name} twice; give each once.")
    return found


def seeds_of(settings: AblateSettings) -> list[int]:
    """The numbers in --seeds. Raises `UsageError` for what is no list of different numbers of at least 0."""
    parts = [part.strip() for part in settings.seeds.split(",")]
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        raise UsageError(f"--seeds is {settings.seeds!r}; give a list of whole numbers such as 0,1,2.")
    found = [int(part) for part in parts]
    if len(set(found)) < len(found):
        raise UsageError(f"--seeds is {settings.seeds!r}, which has a number twice; give each once.")
    return found
