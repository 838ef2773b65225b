"""Every setting of `mfr train`, and the two recipes that fill in those left open."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from maskgen import settings
from maskgen.errors import UsageError
from maskgen.settings import setting

from ..defaults import BACKBONES, CACHE, DEVICES, DISTANCES, DLIB, ONNX, TRAINED
from .triplets import NEGATIVES, POSITIVES

T = TypeVar("T")

# What a setting that is left open becomes. `paper` is the paper's; its stage 2 optimiser is ours (docs/training.md).
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
        "iterations":       80,
        "lr":               0.01,
        "validate_every":   20,
        "log_every":        5,
        "triplets":         100,
        "embed_iterations": 1000,
        "embed_lr":         0.01,
    },
}  # fmt: skip


@dataclass(frozen=True)
class TrainSettings:
    """What `mfr train` is told. None means: what the recipe says."""

    data: str = setting("smfd", help="Data set that maskgen built: a folder, or a URI such as s3://bucket/smfd.")
    out: Path | None = setting(None, help="Folder of the run; by default the next runs/NNN.", run_only=True)
    stage: str | None = setting(
        None,
        help="classify trains a network by cross-entropy, embed a projection on a frozen one; by default all, "
        "and embed where the backbone comes trained.",
        choices=("classify", "embed", "all"),
    )
    recipe: str = setting("paper", help="Where open settings come from.", choices=tuple(RECIPES))
    backbone: str | None = setting(None, help="Network; dlib and onnx come trained.", choices=BACKBONES)
    weights: Path | None = setting(
        None,
        help="Start from these weights: .safetensors, torchvision .pth, an ONNX face network, or an earlier run.",
        metavar="FILE",
    )
    input_size: int | None = setting(None, help="Side in pixels of what a ResNet sees.", low=32, high=4096)

    masked_share: float = setting(0.5, help="Share of masked pictures in training.", low=0, high=1)
    variants: tuple[str, ...] = setting(
        (), help="Masked pictures to use, such as wide_high; may be repeated; by default all there are."
    )

    batch: int | None = setting(
        None, help="Photographs of one step of stage 1, over all processes.", low=1, high=1_000_000
    )
    micro_batch: int | None = setting(
        None,
        help="Photographs that go through the network at once; lower it where memory runs out. By default the batch on "
        "a GPU, 32 elsewhere.",
        low=1,
        high=1_000_000,
    )
    iterations: int | None = setting(None, help="Steps of stage 1.", low=1)
    lr: float | None = setting(None, help="First learning rate of stage 1; a tenth after validation falls.", low=0)
    min_lr: float = setting(1e-5, help="The learning rate of stage 1 falls no further than this.", low=0)
    momentum: float = setting(0.9, help="Momentum of SGD, both stages.", low=0, high=1)
    weight_decay: float = setting(5e-4, help="Weight decay of stage 1.", low=0)
    validate_every: int | None = setting(None, help="Steps between validations, and between checkpoints.", low=1)
    log_every: int | None = setting(None, help="Steps between rows of the curve.", low=1)

    triplets: int | None = setting(None, help="Triplets of one step of stage 2.", low=1, high=1_000_000)
    embed_iterations: int | None = setting(None, help="Steps of stage 2.", low=1)
    embed_lr: float | None = setting(None, help="Learning rate of stage 2.", low=0)
    embed_weight_decay: float = setting(0.0, help="Weight decay of stage 2.", low=0)
    dim: int = setting(512, help="Length of an embedding.", low=2, high=65_536)
    margin: float = setting(0.2, help="Margin of the triplet loss.", low=0)
    distance: str = setting("squared", help="Distance of the triplet loss.", choices=DISTANCES)
    mse_weight: float = setting(
        30.0, help="Lambda, the weight of MSE(anchor, positive); 0 is the triplet loss alone.", low=0
    )
    positive: str = setting("any", help="Photograph of the positive, seen from the anchor.", choices=POSITIVES)
    negative: str = setting("any", help="Picture of the negative.", choices=NEGATIVES)

    seed: int = setting(0, help="Seed of weights, order and draws.", low=0)
    buffer: int = setting(256, help="Photographs in the shuffle buffer of each lane.", low=1, high=1_000_000)
    workers: int | None = setting(
        None, help="Processes that decode, for each GPU; by default by cores.", low=0, high=1024, run_only=True
    )
    device: str = setting("auto", help="Where to train.", choices=DEVICES, run_only=True)
    compile: bool = setting(False, help="Compile the network (minutes first, then faster).", run_only=True)
    tensorboard: bool = setting(False, help="Write tensorboard files as well.", run_only=True)
    cache: Path = setting(CACHE, help="Folder of the features that stage 2 trains on.", metavar="DIR", run_only=True)


def filled(given: TrainSettings) -> TrainSettings:
    """The settings with nothing left open but what depends on the machine.

    Raises `UsageError` for values that cannot be, or not together.
    """
    settings.check(given)
    if given.backbone is None and given.weights is not None and given.weights.suffix == ".onnx":
        given = dataclasses.replace(given, backbone=ONNX)
    recipe = RECIPES[given.recipe]
    full = dataclasses.replace(given, **{name: value for name, value in recipe.items() if getattr(given, name) is None})
    if full.stage is None:
        full = dataclasses.replace(full, stage="embed" if full.backbone in TRAINED else "all")
    if full.backbone in TRAINED and full.stage != "embed":
        raise UsageError(f"a network of --backbone {full.backbone} comes trained and stays so; use --stage embed.")
    if len(set(full.variants)) < len(full.variants):
        raise UsageError("--variants names a variant twice; give each once.")
    if full.backbone == DLIB and full.weights is not None:
        raise UsageError("dlib's network has weights of its own; leave --weights out.")
    if full.backbone == ONNX and full.weights is None:
        raise UsageError("--backbone onnx needs its network; give it as --weights FILE.onnx.")
    return full


ONE_VALUE = 32
"""Side of a picture of which a ResNet's last layers see one value: BatchNorm has no spread of one photograph alone."""


def check_pieces(input_size: int, batch: int, micro: int) -> None:
    """Raises `UsageError` where a batch of one process, in pieces of `micro`, gives BatchNorm a single value."""
    if input_size > ONE_VALUE or min(batch, micro) > 1 != batch % micro:
        return
    larger = (size for size in (*range(micro - 1, 1, -1), *range(micro + 1, batch + 1)) if batch % size != 1)
    advice = f"--micro-batch {next(larger)}" if batch > 1 else "a larger --batch"
    raise UsageError(
        f"a batch of {batch} in pieces of {micro} has a piece of one photograph, which BatchNorm cannot normalise at "
        f"--input-size {input_size}; give {advice}, or a larger --input-size."
    )


def required(value: T | None) -> T:
    """A setting that is no longer None after `filled`."""
    assert value is not None
    return value


MAY_CHANGE_ON_RESUME = ("data", "stage", "recipe", "iterations", "embed-iterations", "micro-batch")
"""Settings that may change when a run is resumed: it may get longer, train another stage or use less memory, and its
data may have moved. (BatchNorm sees one micro batch at a time, so another size changes the training from there on;
still it need not be another run.)"""


def compared(full: TrainSettings) -> dict[str, Any]:
    """The settings that a run must keep when it is resumed."""
    plain = settings.jsonable(full, run_only=False)
    return {name: value for name, value in plain.items() if name not in MAY_CHANGE_ON_RESUME}


def goal(full: TrainSettings) -> dict[str, Any]:
    """The settings that must be equal for an unfinished run to be resumed without --out."""
    plain = settings.jsonable(full, run_only=False)
    return {name: plain[name] for name in plain if name not in ("data", "recipe", "micro-batch")}
