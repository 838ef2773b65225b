"""Every setting of `mfr train`, and the two recipes that fill in the settings not given."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from maskgen import settings
from maskgen.errors import UsageError
from maskgen.settings import same_setting, setting

from ..defaults import (
    AUGMENTATIONS,
    BACKBONES,
    CACHE,
    CLASSIFIERS,
    DEVICES,
    DISTANCES,
    DLIB,
    EUM,
    HEADS,
    LINEAR,
    LOSSES,
    MAX_INPUT_SIZE,
    MIN_INPUT_SIZE,
    NEGATIVES,
    ON_DAMAGE,
    ONNX,
    POSITIVES,
    STAGES,
    STOP,
    TRAINED,
    is_function,
)
from ..networks import preprocessing
from ..networks.preprocessing import Numbers, Preprocessing

T = TypeVar("T")

OWN_MARGIN = 0.2
"""What a loss of the user gets by default."""

# The values of settings that are not given. `paper` is the paper's; its stage 2 optimiser is ours (docs/training.md).
RECIPES: dict[str, dict[str, Any]] = {
    #                       paper             small: minutes on a laptop's CPU
    "paper": {
        "backbone":         "resnet50",
        "input_size":       224,
        "batch":            400,
        "iterations":       150_000,
        "lr":               0.1,
        "validate_every":   5_000,
        "log_every":        50,
        "triplets":         200,
        "embed_iterations": 65_000,
        "embed_lr":         0.01,
    },
    "small": {
        "backbone":         "resnet18",
        "input_size":       64,
        "batch":            16,
        "iterations":       40,
        "lr":               0.01,
        "validate_every":   40,
        "log_every":        5,
        "triplets":         100,
        "embed_iterations": 1000,
        "embed_lr":         0.01,
    },
}  # fmt: skip


@dataclass(frozen=True)
class TrainSettings:
    """The settings of `mfr train`. None means: the value of the recipe."""

    data: str = setting(
        "smfd", help="Data set made by `maskgen build`: a folder, or a URI such as s3://bucket/smfd.", metavar="DIR|URI"
    )
    out: Path | None = setting(
        None, help="Folder of the run; by default the next free runs/NNN.", metavar="DIR", run_only=True
    )
    stage: str | None = setting(
        None,
        help="classify trains a network with cross-entropy; embed trains a projection on a frozen network; all does "
        "both. By default all, or embed if the backbone is already trained.",
        choices=STAGES,
    )
    recipe: str = setting("paper", help="Source of the settings not given.", choices=tuple(RECIPES))
    backbone: str | None = setting(None, help="Network; dlib and onnx are already trained.", choices=BACKBONES)
    weights: Path | None = setting(
        None,
        help="Start from these weights: .safetensors, torchvision .pth, an ONNX face network, or an earlier run.",
        metavar="FILE|RUN",
    )
    input_size: int | None = setting(
        None,
        help="Side in pixels of the input of a ResNet, or of an ONNX network if its file does not say it.",
        low=MIN_INPUT_SIZE,
        high=MAX_INPUT_SIZE,
    )
    colors: str | None = same_setting(Preprocessing, "colors")
    mean: Numbers | None = same_setting(Preprocessing, "mean")
    scale: Numbers | None = same_setting(Preprocessing, "scale")
    layout: str | None = same_setting(Preprocessing, "layout")
    align: str | None = same_setting(Preprocessing, "align")
    flip_sum: bool = same_setting(Preprocessing, "flip_sum")
    output: str | None = same_setting(Preprocessing, "output")

    masked_share: float = setting(0.5, help="Share of masked pictures in training, from 0 to 1.", low=0, high=1)
    variants: tuple[str, ...] = setting(
        (), help="Masked pictures to use, such as wide_high; may be repeated; by default all of them.", metavar="NAME"
    )

    batch: int | None = setting(
        None, help="Photographs in a step of stage 1, over all processes.", low=1, high=1_000_000
    )
    micro_batch: int | None = setting(
        None,
        help="Photographs that pass through the network at once; lower it if memory runs out. By default the whole "
        "batch on a GPU, 32 on a CPU.",
        low=1,
        high=1_000_000,
    )
    iterations: int | None = setting(None, help="Steps of stage 1.", low=1)
    lr: float | None = setting(
        None, help="Initial learning rate of stage 1; divided by 10 when the validation accuracy falls.", low=0
    )
    min_lr: float = setting(1e-5, help="Lowest learning rate of stage 1.", low=0)
    momentum: float = setting(0.9, help="Momentum of SGD, both stages.", low=0, high=1)
    weight_decay: float = setting(5e-4, help="Weight decay of stage 1.", low=0)
    classifier: str = setting(
        "softmax",
        help="Loss of stage 1: cross-entropy of a softmax as in the paper, or ArcFace or CosFace, which have a margin.",
        choices=tuple(CLASSIFIERS),
    )
    classifier_margin: float | None = setting(
        None, help="Margin of arcface (radians; by default 0.5) or cosface (by default 0.35).", low=0, high=3
    )
    classifier_scale: float = setting(64.0, help="Scale of the cosines of arcface and cosface.", low=1e-3)
    augment: tuple[str, ...] = setting(
        (),
        help="Random changes of the pictures of stage 1: flip, crop or color; may be repeated; by default none.",
        metavar="|".join(AUGMENTATIONS),
    )
    validate_every: int | None = setting(None, help="Steps between validations and between checkpoints.", low=1)
    log_every: int | None = setting(None, help="Steps between rows of the curve.", low=1)

    triplets: int | None = setting(None, help="Triplets in a step of stage 2.", low=1, high=1_000_000)
    embed_iterations: int | None = setting(None, help="Steps of stage 2.", low=1)
    embed_lr: float | None = setting(None, help="Learning rate of stage 2.", low=0)
    embed_weight_decay: float = setting(0.0, help="Weight decay of stage 2.", low=0)
    embed_nesterov: bool = setting(False, help="Use Nesterov momentum in stage 2.")
    embed_lr_drop: int | None = setting(
        None, help="Divide the learning rate of stage 2 by 10 after each so many steps; by default never.", low=1
    )
    dim: int = setting(512, help="Length of an embedding.", low=2, high=65_536)
    head: str = setting(
        LINEAR,
        help="What stage 2 trains: the paper's linear layer, or EUM, which changes features of masked pictures only.",
        choices=HEADS,
    )
    loss: str = setting(
        "triplet+mse",
        help="Loss of stage 2: the triplet loss with or without weighted MSE, the self-restrained triplet loss, or a "
        "Python function (anchor, positive, negative, margin) -> loss.",
        metavar=f"{'|'.join(LOSSES)}|MODULE:FUNCTION",
    )
    margin: float | None = setting(None, help="Margin of the triplet loss; by default 0.2, for srt 2.", low=0)
    distance: str = setting("squared", help="Distance of the triplet loss.", choices=DISTANCES)
    mse_weight: float = setting(
        30.0, help="Lambda, the weight of MSE(anchor, positive) in triplet+mse; 0 is triplet.", low=0
    )
    positive: str = setting(
        "any",
        help="Photograph of the positive: any of the identity, another one than the anchor's, or the same one.",
        choices=POSITIVES,
    )
    negative: str = setting(
        "any", help="Picture of the negative: any, always masked, or always unmasked.", choices=NEGATIVES
    )

    on_damage: str = setting(
        STOP,
        help="What to do if shards of --data are damaged: stop, or skip their broken rows, which are counted. skip "
        "reads all training and validation shards first.",
        choices=ON_DAMAGE,
        run_only=True,
    )
    seed: int = setting(0, help="Seed of the weights, the order and the draws.", low=0)
    buffer: int = setting(256, help="Photographs in the shuffle buffer of each lane.", low=1, high=1_000_000)
    workers: int | None = setting(
        None,
        help="Worker processes that decode, for each GPU; by default from the number of cores.",
        low=0,
        high=1024,
        run_only=True,
    )
    device: str = setting("auto", help="Where to train.", choices=DEVICES, run_only=True)
    compile: bool = setting(
        False, help="Compile the network: takes minutes at the start, then trains faster.", run_only=True
    )
    tensorboard: bool = setting(False, help="Also write TensorBoard files.", run_only=True)
    figures: str = setting(
        "png,svg",
        help="Formats of the plot of the learning curve.",
        metavar="png|svg|pdf|LIST|none",
        run_only=True,
    )
    cache: Path = setting(
        CACHE, help="Folder for cached features, which stage 2 trains on.", metavar="DIR", run_only=True
    )


def filled(given: TrainSettings) -> TrainSettings:
    """The settings with every value filled in from the recipe, except for those that depend on the machine.

    Raises `UsageError` for values that are not valid, alone or together.
    """
    settings.check(given)
    if given.backbone is None and given.weights is not None and given.weights.suffix == ".onnx":
        given = dataclasses.replace(given, backbone=ONNX)
    recipe = RECIPES[given.recipe]
    full = dataclasses.replace(given, **{name: value for name, value in recipe.items() if getattr(given, name) is None})
    if full.backbone in TRAINED:  # which takes pictures as it was trained
        full = dataclasses.replace(full, input_size=given.input_size)
    inputs = preprocessing.of(full)
    full = dataclasses.replace(full, mean=inputs.mean, scale=inputs.scale)
    for name in inputs.given() if full.backbone != ONNX else ():
        if name != "input_size":
            raise UsageError(f"--{name.replace('_', '-')} does not apply to {full.backbone}; leave it out.")
    if full.stage is None:
        full = dataclasses.replace(full, stage="embed" if full.backbone in TRAINED else "all")
    if full.backbone in TRAINED and full.stage != "embed":
        raise UsageError(f"a network of --backbone {full.backbone} is already trained; use --stage embed.")
    if len(set(full.variants)) < len(full.variants):
        raise UsageError("--variants names a variant twice; give each once.")
    if wrong := [name for name in full.augment if name not in AUGMENTATIONS]:
        raise UsageError(f"--augment is {wrong[0]!r}; choose from {', '.join(AUGMENTATIONS)}.")
    if len(set(full.augment)) < len(full.augment):
        raise UsageError("--augment names a change twice; give each once.")
    if full.classifier == "softmax" and full.classifier_margin is not None:
        raise UsageError("--classifier softmax has no margin; leave --classifier-margin out, or choose another.")
    if full.loss not in LOSSES and not is_function(full.loss):
        raise UsageError(f"--loss is {full.loss!r}; choose one of {', '.join(LOSSES)}, or give MODULE:FUNCTION.")
    if full.margin is None:
        full = dataclasses.replace(full, margin=LOSSES.get(full.loss, OWN_MARGIN))
    if full.embed_nesterov and not full.momentum:
        raise UsageError("--embed-nesterov needs a --momentum above 0.")
    if full.head == EUM:
        if full.negative == "masked":
            raise UsageError("--head eum compares masked pictures with unmasked ones; leave --negative out.")
        if full.triplets == 1:
            raise UsageError("--head eum has BatchNorm, which needs --triplets of at least 2.")
        full = dataclasses.replace(full, negative="unmasked")
    if full.backbone == DLIB and full.weights is not None:
        raise UsageError("dlib's network has weights of its own; leave --weights out.")
    if full.backbone == ONNX and full.weights is None:
        raise UsageError("--backbone onnx needs its network; give it as --weights FILE.onnx.")
    return full


ONE_VALUE_SIDE = 32
"""Input size at which a ResNet's last layers have one value a channel: BatchNorm needs a second photograph then."""


def check_pieces(input_size: int, batch: int, micro: int) -> None:
    """Raises `UsageError` if a batch of one process, in pieces of `micro`, gives BatchNorm a single value."""
    if input_size > ONE_VALUE_SIDE or min(batch, micro) > 1 != batch % micro:
        return
    larger = (size for size in (*range(micro - 1, 1, -1), *range(micro + 1, batch + 1)) if batch % size != 1)
    advice = f"--micro-batch {next(larger)}" if batch > 1 else "a larger --batch"
    raise UsageError(
        f"a batch of {batch} in pieces of {micro} has a piece of one photograph, which BatchNorm cannot normalise at "
        f"--input-size {input_size}; give {advice}, or a larger --input-size."
    )


def not_none(value: T | None) -> T:
    """A setting that `filled` has filled in."""
    assert value is not None
    return value


MAY_CHANGE = ("data", "stage", "recipe", "iterations", "embed-iterations", "micro-batch")
"""Settings that may differ when a run resumes: it may get longer, run another stage or use less memory, and its data
may have moved. (BatchNorm sees one micro batch at a time, so another size changes the training from there on. It is
allowed all the same: a run that ran out of memory must be able to resume.)"""


ADDED = (
    "classifier",
    "classifier-margin",
    "classifier-scale",
    "augment",
    "head",
    "loss",
    "embed-nesterov",
    "embed-lr-drop",
    "colors",
    "mean",
    "scale",
    "layout",
    "align",
    "flip-sum",
    "output",
)
"""Settings that earlier versions did not record: their runs have the defaults."""


def recorded(there: dict[str, Any]) -> dict[str, Any]:
    """The settings that a run recorded, with the defaults of those that were added since."""
    return {name: value for name, value in settings.jsonable(TrainSettings()).items() if name in ADDED} | there


def compared(full: TrainSettings) -> dict[str, Any]:
    """The settings that must be the same when a run resumes."""
    return {name: value for name, value in _plain(full).items() if name not in MAY_CHANGE}


def goal(full: TrainSettings) -> dict[str, Any]:
    """The settings that identify an unfinished run as the one to resume."""
    return {name: value for name, value in _plain(full).items() if name not in ("data", "recipe", "micro-batch")}


def _plain(full: TrainSettings) -> dict[str, Any]:
    """What a run is compared by. Earlier versions recorded an input size of the recipe that dlib and ONNX ignored."""
    plain = settings.jsonable(full, run_only=False)
    if full.input_size is None:
        del plain["input-size"]
    return plain
