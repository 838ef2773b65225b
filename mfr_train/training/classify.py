"""Stage 1: a ResNet classifies the training identities, by cross-entropy.

SGD with momentum; the learning rate falls to a tenth whenever validation accuracy, on masked pictures not seen in
training, is lower than it was the time before (Neto et al., 2021).
"""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from maskgen import Dataset
from maskgen.errors import MaskgenError, UsageError

from .. import hardware
from ..data import batches
from ..data.decoders import MOST, worker_errors
from ..data.one_pass import sweep
from ..networks.resnet import Network, load_trunk, read_weights
from ..networks.run_files import BACKBONE, CHECKPOINTS
from . import checkpoint
from .curve import Curve
from .distributed import Group
from .train_settings import TrainSettings, check_pieces, compared, not_none

log = logging.getLogger(__name__)

CPU_MICRO_BATCH = 32
"""Photographs at once where there is no GPU and --micro-batch says nothing: 3 GiB for ResNet50 at 224 pixels."""


def train_classifier(settings: TrainSettings, dataset: Dataset, folder: Path, group: Group) -> None:
    """Trains the network and writes `backbone.safetensors`, as it was when validation accuracy was highest.

    `folder` is the run: its curve is written, and its checkpoints `classify-last` and `classify-best`; where it has
    them, training goes on from the last one. Every process of `group` calls this; the first one writes. BatchNorm
    normalises each process's micro batch by itself on CPU, the micro batches of all processes together on GPUs; its
    running statistics move once a step, towards the mean over them.
    Raises `UsageError` where there is nothing to learn or the batch cannot be shared, `MaskgenError` where the loss is
    not finite, memory runs out or the disk is full.
    """
    architecture, size = not_none(settings.backbone), not_none(settings.input_size)
    batch, iterations = not_none(settings.batch), not_none(settings.iterations)
    log_every, validate_every = not_none(settings.log_every), not_none(settings.validate_every)
    on_gpu = settings.device == "cuda"
    micro = min(settings.micro_batch or (batch if on_gpu else CPU_MICRO_BATCH), max(batch // group.world, 1))
    classes = len(dataset.info["identities"])
    if classes < 2:
        raise UsageError(f"{dataset} has {classes} training identity; stage 1 needs two: build more.")
    if not dataset.count("val"):
        raise UsageError(f"{dataset} has no validation photographs; build it from more of each identity.")
    if group.world == 1 or not on_gpu:  # GPUs normalise over the pieces of all of them
        check_pieces(size, batch // group.world, micro)
    saved, device = folder / CHECKPOINTS, torch.device(settings.device)
    facts: dict[str, Any] = {
        "stage": "classify",
        "dataset": dataset.content,
        "classes": classes,
        "settings": compared(settings),
    }

    torch.manual_seed(settings.seed)
    torch.backends.cudnn.benchmark = on_gpu  # batches are all alike: the fastest kernels are looked for once
    network = Network(architecture, classes)
    if settings.weights:
        load_trunk(network, read_weights(settings.weights)[0], settings.weights)
    network = network.to(device).to(memory_format=torch.channels_last)
    if on_gpu and group.world > 1:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.SGD(
        network.parameters(), not_none(settings.lr), settings.momentum, weight_decay=settings.weight_decay
    )
    start, lr, best, before = 0, not_none(settings.lr), -1.0, -1.0
    resumed = checkpoint.load(saved, "classify-last", facts)
    if resumed:
        checkpoint.unpack(resumed[0], network, optimizer)
        start, lr, best, before = (resumed[1][name] for name in ("iteration", "lr", "best", "before"))
        checkpoint.refuse_shorter(folder, "--iterations", start, iterations)
    parallel = _parallel(network) if group.world > 1 else network
    forward: nn.Module = torch.compile(parallel) if settings.compile else parallel  # type: ignore[assignment]
    autocast = torch.autocast("cuda", torch.bfloat16) if on_gpu else nullcontext()

    variants, share = settings.variants, settings.masked_share
    feed = batches.Feed(str(settings.data), batch, size, variants, share, settings.seed, settings.buffer)
    workers = workers_of(settings, group)
    shared = batches.shared_by(feed, group.world, workers)
    if group.first and shared < workers and settings.workers:
        most = feed.lanes // group.world
        log.warning(
            f"--workers {workers}: {shared} of them will decode training batches, for their number must divide {most}, "
            f"the largest power of two in --batch, up to {batches.MAX_LANES}, for each process that trains."
        )
    stream = batches.batches(feed, group.rank, group.world, workers, start, pin=on_gpu)
    curve = Curve(folder / "curve.csv" if group.first else None, "classify", start, settings.tensorboard)
    held = batches.Feed(str(settings.data), batch, size, variants, 1.0, settings.seed, settings.buffer, "val")
    total, steps = torch.zeros((), device=device), 0
    bar = tqdm(total=iterations, initial=start, desc="stage 1", unit="step", disable=None if group.first else True)
    network.train()
    with _memory_errors(micro), worker_errors():
        for iteration, (images, labels) in enumerate(islice(stream, iterations - start), start + 1):
            optimizer.param_groups[0]["lr"] = lr
            total += train_step(network, forward, optimizer, images, labels, micro, device, autocast)
            steps += 1
            bar.update()

            validates = iteration == iterations or iteration % validate_every == 0
            if validates or iteration % log_every == 0:
                mean = float(group.sum(total)) / steps / group.world
                if mean != mean or mean == float("inf"):
                    raise checkpoint.not_finite(saved, f"the loss of stage 1 is {mean} by step {iteration}")
                accuracy = (
                    validate(network, dataset, held, workers, group, device, autocast, micro) if validates else None
                )
                curve.add(iteration, mean, lr, accuracy)
                bar.set_postfix(loss=f"{mean:.4f}", lr=lr, refresh=False)
                total, steps = torch.zeros((), device=device), 0
                if accuracy is not None:
                    if accuracy < before:
                        lr = max(lr / 10, min(settings.min_lr, lr))
                    better, best, before = accuracy > best, max(accuracy, best), accuracy
                    state = {**facts, "iteration": iteration, "lr": lr, "best": best, "before": before}
                    for name in ("classify-best", "classify-last") if better else ("classify-last",):
                        if group.first:
                            checkpoint.save(saved, name, checkpoint.pack(network, optimizer), state)
    bar.close()
    curve.close()
    if group.first:
        _write_backbone(saved, folder, facts, architecture, size)
    group.wait()


def train_step(
    network: nn.Module,
    forward: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    micro: int,
    device: torch.device,
    autocast: AbstractContextManager[Any],
) -> Tensor:
    """One step on a batch, `micro` photographs at a time; returns the mean loss, a scalar on the device.

    `forward` is the network as it runs: shared by processes, compiled, or itself. Nothing waits for a GPU: it works on
    one batch while this process fetches the next.
    """
    optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=device)
    pieces = list(zip(torch.split(images, micro), torch.split(labels, micro), strict=True))
    averaged = _Averaged(network, len(pieces))
    for number, (piece, label) in enumerate(pieces):
        target = label.to(device, non_blocking=True)
        averaged.before_piece()
        with _no_sync(forward, number + 1 < len(pieces)):
            with autocast:
                logits = forward(piece.to(device, non_blocking=True))
            # The sum over pieces (and DDP's mean over processes) is the mean over the batch.
            loss = functional.cross_entropy(logits.float(), target) * len(piece) / len(images)
            loss.backward()  # type: ignore[no-untyped-call]
        averaged.after_piece(len(piece) / len(images))
        total += loss.detach()
    averaged.finish()
    optimizer.step()
    return total


@torch.no_grad()
def validate(
    network: Network,
    dataset: Dataset,
    held: batches.Feed,
    workers: int,
    group: Group,
    device: torch.device,
    autocast: AbstractContextManager[Any],
    micro: int,
) -> float:
    """Accuracy, 0..1, on one masked picture of each photograph of `held`, the same one each time.

    Each process of the group sees to its share of them, with up to `workers` processes that decode.

    The processes' BatchNorm statistics are averaged first, here and for good, so that all have the same network.
    """
    for buffer in _statistics(network):
        group.sum(buffer).div_(group.world)
    counts = torch.zeros(2, device=device)
    network.eval()
    only = partial(batches.picture, epoch=0, feed=held)
    share = sweep(dataset, held.split, held.variants, only, held.size, workers, group.rank, group.world)
    for _, images, labels in share:
        with autocast:  # without gradients four times the photographs of a micro batch need less memory
            logits = torch.cat([network(piece.to(device)) for piece in torch.split(images, 4 * micro)])
        counts[0] += (logits.argmax(dim=1) == labels.to(device)).sum()
        counts[1] += len(labels)
    network.train()
    right, seen = group.sum(counts).tolist()
    return right / seen


def workers_of(settings: TrainSettings, group: Group) -> int:
    """How many processes decode for this process: as told, or some of the cores it can have."""
    if settings.workers is not None:
        return settings.workers
    cores = hardware.cores() // group.local
    return min(cores, MOST) if settings.device == "cuda" else 0 if cores < 4 else 1


def _write_backbone(saved: Path, folder: Path, facts: dict[str, Any], architecture: str, size: int) -> None:
    found = checkpoint.load(saved, "classify-best", facts)
    assert found
    prefix = "model.trunk."
    trunk: dict[str, Tensor] = {
        name.removeprefix(prefix): tensor for name, tensor in found[0].items() if name.startswith(prefix)
    }
    about = {"architecture": architecture, "input_size": str(size), "dataset": facts["dataset"]}
    with checkpoint.disk_errors(folder / BACKBONE):
        checkpoint.write_tensors(folder / BACKBONE, trunk, about)


def _statistics(network: nn.Module) -> list[Tensor]:
    return [buffer for name, buffer in network.named_buffers() if name.endswith(("running_mean", "running_var"))]


class _Averaged:
    """Makes a step move BatchNorm's running statistics once, towards the mean of its pieces' statistics.

    Left alone they move with every piece, and a batch cut up for want of memory, or among processes, would give another
    network to validate. Each piece starts from the step's own start; the mean of where they get to is the new state.
    """

    def __init__(self, network: nn.Module, pieces: int) -> None:
        self.now = _statistics(network) if pieces > 1 else []
        self.start = [buffer.clone() for buffer in self.now]
        self.mean = [torch.zeros_like(buffer) for buffer in self.now]

    def before_piece(self) -> None:
        for buffer, start in zip(self.now, self.start, strict=True):
            buffer.copy_(start)

    def after_piece(self, share: float) -> None:
        for buffer, mean in zip(self.now, self.mean, strict=True):
            mean.add_(buffer, alpha=share)

    def finish(self) -> None:
        for buffer, mean in zip(self.now, self.mean, strict=True):
            buffer.copy_(mean)


def _parallel(network: nn.Module) -> nn.Module:
    """Gradients are averaged over the processes; BatchNorm's statistics stay each one's own until validation."""
    new = (
        "forward_sync_buffers"  # the name of broadcast_buffers in later versions of PyTorch, which warn of the old one
    )
    known = inspect.signature(DistributedDataParallel).parameters
    options: dict[str, Any] = {new if new in known else "broadcast_buffers": False}
    return DistributedDataParallel(network, **options)


def _no_sync(network: nn.Module, more: bool) -> AbstractContextManager[Any]:
    """Gradients travel between processes with the last piece of a batch only."""
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
