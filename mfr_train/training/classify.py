"""Stage 1: a ResNet classifies the training identities.

SGD with momentum; the learning rate falls to a tenth whenever validation accuracy, on masked pictures not seen in
training, is lower than at the validation before (Neto et al., 2021).
"""

from __future__ import annotations

import inspect
import logging
import math
import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from maskgen import Dataset
from maskgen.errors import MaskgenError, UsageError
from maskgen.progress import bar_of

from .. import hardware
from ..data import batches
from ..data.decoders import decoding_workers, worker_errors
from ..data.one_pass import sweep
from ..defaults import CLASSIFIERS
from ..networks.resnet import Network, load_trunk, read_weights
from ..networks.run_files import BACKBONE, CHECKPOINTS, CURVE, disk_errors
from . import checkpoint
from .batchnorm import AveragedStatistics, statistics
from .classifiers import SOFTMAX, CosineClassifier, classification_loss
from .curve import Curve
from .distributed import Group
from .train_settings import TrainSettings, check_pieces, compared, not_none

log = logging.getLogger(__name__)

CPU_MICRO_BATCH = 32
"""Default of --micro-batch without a GPU: 3 GiB for ResNet50 at 224 pixels."""


@dataclass(frozen=True)
class Learner:
    """A network and how batches go through it.

    `forward` is the network as it runs: shared by processes, compiled, or itself. `micro` is the number of photographs
    that go through it at once. `loss` is the mean over photographs, from the network's outputs and the labels.
    """

    network: Network
    forward: nn.Module
    optimizer: torch.optim.Optimizer
    micro: int
    device: torch.device
    autocast: AbstractContextManager[Any]
    loss: Callable[[Tensor, Tensor], Tensor]


@dataclass
class State:
    """How far the training is: beside the tensors, all that a checkpoint holds. `before` is the last accuracy."""

    lr: float
    iteration: int = 0
    best: float = -1.0
    before: float = -1.0

    def validated(self, accuracy: float, min_lr: float) -> bool:
        """Lowers the learning rate if accuracy fell; returns whether it is the best so far."""
        if accuracy < self.before:
            self.lr = max(self.lr / 10, min(min_lr, self.lr))
        better = accuracy > self.best
        self.best, self.before = max(accuracy, self.best), accuracy
        return better


def train_classifier(settings: TrainSettings, dataset: Dataset, folder: Path, group: Group) -> None:
    """Trains the network and writes `backbone.safetensors`, as it was when validation accuracy was highest.

    `folder` is the run: its curve is written, and its checkpoints `classify-last` and `classify-best`; if it has them,
    training resumes from the last one. Every process of `group` calls this; the first one writes. BatchNorm normalises
    each process's micro batch by itself on CPU, the micro batches of all processes together on GPUs; its running
    statistics move once a step, towards the mean over them.
    Raises `UsageError` if there is nothing to learn or the batch cannot be shared, `MaskgenError` if the loss is not
    finite, memory runs out or the disk is full.
    """
    classes, micro = len(dataset.info["identities"]), micro_batch_of(settings, group)
    _check(settings, dataset, classes, micro, group)
    facts = {"stage": "classify", "dataset": dataset.content, "classes": classes, "settings": compared(settings)}
    saved, iterations, on_gpu = folder / CHECKPOINTS, not_none(settings.iterations), settings.device == "cuda"
    log_every, validate_every = not_none(settings.log_every), not_none(settings.validate_every)

    network, optimizer = _start(settings, classes, group)
    state = State(not_none(settings.lr))
    resumed = checkpoint.load(saved, "classify-last", facts)
    if resumed:
        checkpoint.unpack(resumed[0], network, optimizer)
        state = State(**{name: resumed[1][name] for name in ("lr", "iteration", "best", "before")})
        checkpoint.refuse_shorter(folder, "--iterations", state.iteration, iterations)
    autocast = torch.autocast("cuda", torch.bfloat16) if on_gpu else nullcontext()
    device = torch.device(settings.device)
    learner = Learner(network, _forward(network, settings, group), optimizer, micro, device, autocast, _loss(settings))

    feed = _feed(settings, settings.masked_share, "train")
    workers = _training_workers(settings, feed, group)
    stream = batches.batches(feed, group.rank, group.world, workers, state.iteration, on_gpu, dataset)
    curve = Curve(folder / CURVE if group.first else None, "classify", state.iteration, settings.tensorboard)
    shown = {"total": iterations, "initial": state.iteration, "desc": "stage 1", "unit": "step"}
    total, steps = torch.zeros((), device=device), 0
    network.train()
    with bar_of(**shown, disable=None if group.first else True) as bar, _memory_errors(micro), worker_errors():
        for images, labels in islice(stream, iterations - state.iteration):
            state.iteration += 1
            optimizer.param_groups[0]["lr"] = state.lr
            total += train_step(learner, images, labels)
            steps += 1
            bar.update()

            validates = state.iteration == iterations or state.iteration % validate_every == 0
            if validates or state.iteration % log_every == 0:
                mean = float(group.sum(total)) / steps / group.world
                if not math.isfinite(mean):
                    raise checkpoint.not_finite(saved, f"the loss of stage 1 is {mean} by step {state.iteration}")
                accuracy = validate(learner, dataset, settings, group) if validates else None
                curve.add(state.iteration, mean, state.lr, accuracy)
                bar.set_postfix(loss=f"{mean:.4f}", lr=state.lr, refresh=False)
                total, steps = torch.zeros((), device=device), 0
                if accuracy is not None:
                    better = state.validated(accuracy, settings.min_lr)
                    if group.first:
                        _save(saved, learner, {**facts, **asdict(state)}, better)
    curve.close()
    torch.backends.cudnn.benchmark = False  # features are computed of pieces of several sizes
    if group.first:
        _write_backbone(saved, folder, facts, settings)
    group.wait()


def _check(settings: TrainSettings, dataset: Dataset, classes: int, micro: int, group: Group) -> None:
    if classes < 2:
        raise UsageError(f"{dataset} has {classes} training identity; stage 1 needs two: build more.")
    if not dataset.count("val"):
        raise UsageError(f"{dataset} has no validation photographs; build it from more of each identity.")
    if group.world == 1 or settings.device != "cuda":  # GPUs normalise over the pieces of all of them
        check_pieces(not_none(settings.input_size), not_none(settings.batch) // group.world, micro)


def micro_batch_of(settings: TrainSettings, group: Group) -> int:
    """How many photographs of this process's share of a batch go through the network at once."""
    batch = not_none(settings.batch)
    wanted = settings.micro_batch or (batch if settings.device == "cuda" else CPU_MICRO_BATCH)
    return min(wanted, max(batch // group.world, 1))


def _start(settings: TrainSettings, classes: int, group: Group) -> tuple[Network, torch.optim.Optimizer]:
    """The network and its optimiser as training begins: with random weights, or those of --weights."""
    on_gpu = settings.device == "cuda"
    torch.manual_seed(settings.seed)
    torch.backends.cudnn.benchmark = on_gpu  # all batches have one shape: search for the fastest kernels once
    network = Network(not_none(settings.backbone), classes)
    if settings.classifier != SOFTMAX:
        network.classifier = CosineClassifier(network.dim, classes)  # type: ignore[assignment]
    if settings.weights:
        load_trunk(network, read_weights(settings.weights)[0], settings.weights)
    network = network.to(torch.device(settings.device)).to(memory_format=torch.channels_last)
    if on_gpu and group.world > 1:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.SGD(
        network.parameters(), not_none(settings.lr), settings.momentum, weight_decay=settings.weight_decay
    )
    return network, optimizer


def _loss(settings: TrainSettings) -> Callable[[Tensor, Tensor], Tensor]:
    margin = settings.classifier_margin
    return partial(
        classification_loss,
        kind=settings.classifier,
        margin=CLASSIFIERS[settings.classifier] if margin is None else margin,
        scale=settings.classifier_scale,
    )


def _forward(network: Network, settings: TrainSettings, group: Group) -> nn.Module:
    parallel = _parallel(network) if group.world > 1 else network
    return torch.compile(parallel) if settings.compile else parallel  # type: ignore[return-value]


def _feed(settings: TrainSettings, masked_share: float, split: str) -> batches.Feed:
    batch, size = not_none(settings.batch), not_none(settings.input_size)
    augment = settings.augment if split == "train" else ()
    return batches.Feed(
        str(settings.data), batch, size, settings.variants, masked_share, settings.seed, settings.buffer, split, augment
    )


def _training_workers(settings: TrainSettings, feed: batches.Feed, group: Group) -> int:
    """How many processes are to decode training batches; warns if fewer than --workers can."""
    workers = workers_of(settings, group)
    used = batches.shared_by(feed, group.world, workers)
    if group.first and used < workers and settings.workers:
        most = feed.lanes // group.world
        log.warning(
            f"--workers {workers}: {used} of them will decode training batches, since their number must divide {most}, "
            f"the largest power of two in --batch, up to {batches.MAX_LANES}, for each process that trains."
        )
    return workers


def _save(saved: Path, learner: Learner, state: dict[str, Any], better: bool) -> None:
    for name in ("classify-best", "classify-last") if better else ("classify-last",):
        checkpoint.save(saved, name, checkpoint.pack(learner.network, learner.optimizer), state)


def train_step(learner: Learner, images: Tensor, labels: Tensor) -> Tensor:
    """One step on a batch, piece by piece; returns the mean loss, a scalar on the device.

    Nothing waits for a GPU: it works on one batch while this process fetches the next.
    """
    optimizer, micro, device = learner.optimizer, learner.micro, learner.device
    optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=device)
    pieces = list(zip(torch.split(images, micro), torch.split(labels, micro), strict=True))
    averaged = AveragedStatistics(learner.network, len(pieces))
    for number, (piece, label) in enumerate(pieces):
        target = label.to(device, non_blocking=True)
        averaged.before_piece()
        with _no_sync(learner.forward, number + 1 < len(pieces)):
            with learner.autocast:
                logits = learner.forward(piece.to(device, non_blocking=True))
            # The sum over pieces (and DDP's mean over processes) is the mean over the batch.
            loss = learner.loss(logits.float(), target) * len(piece) / len(images)
            loss.backward()  # type: ignore[no-untyped-call]
        averaged.after_piece(len(piece) / len(images))
        total += loss.detach()
    averaged.finish()
    optimizer.step()
    return total


@torch.no_grad()
def validate(learner: Learner, dataset: Dataset, settings: TrainSettings, group: Group) -> float:
    """Accuracy, 0..1, on one masked picture of each validation photograph, the same one each time.

    Each process of the group measures its share of them. First the processes' BatchNorm statistics are replaced by
    their mean, so that all have the same network.
    """
    network, device, held = learner.network, learner.device, _feed(settings, 1.0, "val")
    for buffer in statistics(network):
        group.sum(buffer).div_(group.world)
    counts = torch.zeros(2, device=device)
    network.eval()
    only = partial(batches.picture, epoch=0, feed=held)
    workers = workers_of(settings, group)
    share = sweep(dataset, held.split, held.variants, only, held.size, workers, group.rank, group.world)
    for _, images, labels in share:
        with learner.autocast:  # without gradients, four times a micro batch needs less memory
            logits = torch.cat([network(piece.to(device)) for piece in torch.split(images, 4 * learner.micro)])
        counts[0] += (logits.argmax(dim=1) == labels.to(device)).sum()
        counts[1] += len(labels)
    network.train()
    right, seen = group.sum(counts).tolist()
    return right / seen


def workers_of(settings: TrainSettings, group: Group) -> int:
    """How many processes decode for this process: as set, or by default some of the cores of its share."""
    if settings.workers is None and settings.device != "cuda":
        return 0 if hardware.cores() // group.local < 4 else 1
    return decoding_workers(settings.workers, group.local)


def _write_backbone(saved: Path, folder: Path, facts: dict[str, Any], settings: TrainSettings) -> None:
    found = checkpoint.load(saved, "classify-best", facts)
    assert found
    prefix = "model.trunk."
    trunk: dict[str, Tensor] = {
        name.removeprefix(prefix): tensor for name, tensor in found[0].items() if name.startswith(prefix)
    }
    about = {
        "architecture": not_none(settings.backbone),
        "input_size": str(settings.input_size),
        "dataset": facts["dataset"],
    }
    with disk_errors(folder / BACKBONE):
        checkpoint.write_tensors(folder / BACKBONE, trunk, about)


def _parallel(network: nn.Module) -> nn.Module:
    """Averages gradients over the processes; each keeps its own BatchNorm statistics until validation."""
    new = (
        "forward_sync_buffers"  # the name of broadcast_buffers in later versions of PyTorch, which warn of the old one
    )
    known = inspect.signature(DistributedDataParallel).parameters
    options: dict[str, Any] = {new if new in known else "broadcast_buffers": False}
    return DistributedDataParallel(network, **options)


def _no_sync(network: nn.Module, more: bool) -> AbstractContextManager[Any]:
    """Processes exchange gradients with the last piece of a batch only."""
    parallel = getattr(network, "_orig_mod", network)  # torch.compile wraps it
    return parallel.no_sync() if more and isinstance(parallel, DistributedDataParallel) else nullcontext()


@contextmanager
def _memory_errors(micro: int) -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:
        # PyTorch has an error of its own for GPUs only.
        if not isinstance(error, torch.OutOfMemoryError) and not re.search(
            "can't allocate memory|not enough memory", str(error)
        ):
            raise
        lower = f"--micro-batch {micro // 2}" if micro > 1 else "a smaller --input-size and another --out"
        raise MaskgenError(
            f"there is too little memory for {micro} photographs at once; give {lower} and run the command again: "
            "a step still learns from the whole batch."
        ) from None
