"""Stage 1: a ResNet classifies the training identities, by cross-entropy.

SGD with momentum; the learning rate falls to a tenth whenever validation accuracy, on masked pictures not seen in
training, is lower than it was the time before (Neto et al., 2021).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
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

from . import checkpoint, data, hardware
from .backbones import Network, load_trunk, read_weights
from .curve import Curve
from .distributed import Group
from .embed import CHECKPOINTS
from .models import BACKBONE
from .recipes import TrainSettings, compared, need

WORKERS = 8
"""Most processes that decode for one GPU where --workers says nothing."""


def train_classifier(settings: TrainSettings, dataset: Dataset, folder: Path, group: Group) -> None:
    """Trains the network and writes `backbone.safetensors`, as it was when validation accuracy was highest.

    `folder` is the run: its curve is written, and its checkpoints `classify-last` and `classify-best`; where it has
    them, training goes on from the last one. Every process of `group` calls this; the first one writes. BatchNorm
    takes its statistics over all processes on GPUs, over each process's own micro batch on CPU.
    Raises `UsageError` where there is nothing to learn or the batch cannot be shared, `MaskgenError` where the loss is
    not finite, the GPU runs out of memory or the disk is full.
    """
    architecture, size = need(settings.backbone), need(settings.input_size)
    batch, iterations = need(settings.batch), need(settings.iterations)
    log_every, validate_every = need(settings.log_every), need(settings.validate_every)
    micro = min(need(settings.micro_batch), max(batch // group.world, 1))
    classes = len(dataset.info["identities"])
    if classes < 2:
        raise UsageError(f"{settings.data} has {classes} training identity; stage 1 needs two: build more.")
    if not dataset.count("val"):
        raise UsageError(f"{settings.data} has no validation photographs; build it from more of each identity.")
    on_gpu = settings.device == "cuda"
    saved, device = folder / CHECKPOINTS, torch.device(settings.device)
    facts: dict[str, Any] = {
        "stage": "classify",
        "dataset": dataset.fingerprint,
        "classes": classes,
        "settings": compared(settings),
    }

    torch.manual_seed(settings.seed)
    network = Network(architecture, classes)
    if settings.weights:
        load_trunk(network, read_weights(settings.weights)[0], settings.weights)
    network = network.to(device).to(memory_format=torch.channels_last)
    if on_gpu and group.world > 1:
        network = nn.SyncBatchNorm.convert_sync_batchnorm(network)  # type: ignore[no-untyped-call]
    optimizer = torch.optim.SGD(
        network.parameters(), need(settings.lr), settings.momentum, weight_decay=settings.weight_decay
    )
    start, lr, best, before = 0, need(settings.lr), -1.0, -1.0
    resumed = checkpoint.load(saved, "classify-last", facts)
    if resumed:
        checkpoint.unpack(resumed[0], network, optimizer)
        start, lr, best, before = (resumed[1][name] for name in ("iteration", "lr", "best", "before"))
    # Statistics of BatchNorm stay each process's own until they are averaged for validation.
    parallel = DistributedDataParallel(network, broadcast_buffers=False) if group.world > 1 else network
    forward: nn.Module = torch.compile(parallel) if settings.compile else parallel  # type: ignore[assignment]
    autocast = torch.autocast("cuda", torch.bfloat16) if on_gpu else nullcontext()
    curve = Curve(folder / "curve.csv" if group.first else None, "classify", start, settings.tensorboard)

    variants, share = settings.variants, settings.masked_share
    feed = data.Feed(str(settings.data), batch, size, variants, share, settings.seed, settings.buffer)
    workers = workers_of(settings, group)
    stream = data.batches(feed, group.rank, group.world, workers, start)
    held = data.Feed(str(settings.data), batch, size, variants, 1.0, settings.seed, settings.buffer, "val")
    total, steps = torch.zeros((), device=device), 0
    bar = tqdm(total=iterations, initial=start, desc="stage 1", unit="step", disable=None if group.first else True)
    network.train()
    with _memory_errors(micro):
        for iteration, (images, labels) in enumerate(islice(stream, iterations - start), start + 1):
            optimizer.param_groups[0]["lr"] = lr
            optimizer.zero_grad(set_to_none=True)
            pieces = list(zip(torch.split(images, micro), torch.split(labels, micro), strict=True))
            for number, (piece, label) in enumerate(pieces):
                with _no_sync(parallel, number + 1 < len(pieces)), autocast:
                    logits = forward(piece.to(device, non_blocking=True))
                    # The sum over pieces (and DDP's mean over processes) is the mean over the batch.
                    loss = functional.cross_entropy(logits.float(), label.to(device)) * len(piece) / len(images)
                    loss.backward()  # type: ignore[no-untyped-call]
                total += loss.detach()
            optimizer.step()
            steps += 1
            bar.update()

            validates = iteration == iterations or iteration % validate_every == 0
            if validates or iteration % log_every == 0:
                mean = float(group.sum(total)) / steps / group.world
                if mean != mean or mean == float("inf"):
                    raise checkpoint.not_finite(saved, f"the loss of stage 1 is {mean} by step {iteration}")
                accuracy = validate(network, held, group, device, autocast) if validates else None
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
    if group.first:
        _write_backbone(saved, folder, facts, architecture, size)
    group.wait()


@torch.no_grad()
def validate(
    network: Network, held: data.Feed, group: Group, device: torch.device, autocast: AbstractContextManager[Any]
) -> float:
    """Accuracy, 0..1, on masked pictures of the validation photographs, each process on its share of them.

    The processes' BatchNorm statistics are averaged first, here and for good, so that all have the same network.
    """
    for name, buffer in network.named_buffers():
        if name.endswith(("running_mean", "running_var")):
            group.sum(buffer).div_(group.world)
    counts = torch.zeros(2, device=device)
    network.eval()
    for images, labels in data.validation(held, group.rank, group.world):
        with autocast:
            guesses = network(images.to(device)).argmax(dim=1)
        counts += torch.tensor([(guesses == labels.to(device)).sum(), len(labels)], device=device)
    network.train()
    right, seen = group.sum(counts).tolist()
    return right / seen


def workers_of(settings: TrainSettings, group: Group) -> int:
    """How many processes decode for this process: as told, or some of the cores it can have."""
    if settings.workers is not None:
        return settings.workers
    cores = hardware.cores() // group.world
    return min(cores, WORKERS) if settings.device == "cuda" else 0 if cores < 4 else 1


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


def _no_sync(network: nn.Module, more: bool) -> AbstractContextManager[Any]:
    """Gradients travel between processes with the last piece of a batch only."""
    return network.no_sync() if more and isinstance(network, DistributedDataParallel) else nullcontext()


@contextmanager
def _memory_errors(micro: int) -> Iterator[None]:
    try:
        yield
    except torch.OutOfMemoryError:
        raise MaskgenError(
            f"the GPU has too little memory for {micro} photographs at once; give --micro-batch {max(micro // 2, 1)} "
            "and run the same command again: the batch and its result stay the same."
        ) from None
