"""Training on a GPU: pictures per second of stage 1, and of the features of stage 2.

    python benchmarks/train_gpu.py [--data smfd] [--backbone resnet50] [--size 224] [--batch 400] [--workers 8 ...]
                                   [--steps 50] [--pictures 20000] [--compile] [--device cuda]

The step is that of `mfr train`: bf16 and channels-last on a GPU. The network alone works on one batch that lies in the
GPU's memory; where end to end is near it, the loader is not the limit. The features are those that stage 2 and an
evaluation compute, of a set that is read again and again. Without --data a set is built from the demo's photographs.
--device cpu with a tiny --size shows that the path works, and measures nothing of interest.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from functools import partial
from itertools import repeat
from pathlib import Path
from typing import Any

import numpy as np
import stage2
import torch
from _common import built, machine, repeated, source, table
from torch.nn import functional

import maskgen
from mfr_train.data import batches, feature_cache
from mfr_train.data.batches import Batch, Feed
from mfr_train.data.one_pass import sweep
from mfr_train.defaults import RESNETS
from mfr_train.networks.backbone import CHUNK
from mfr_train.networks.resnet import Network, resnet_backbone
from mfr_train.training import classify, embed
from mfr_train.training.train_settings import RECIPES

WARM_UP = 5
"""Steps before the clock starts: kernels are chosen, and compiled."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="data set that `maskgen build` made")
    parser.add_argument("--backbone", default="resnet50", choices=RESNETS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=400)
    parser.add_argument("--workers", type=int, nargs="+", default=[min(os.cpu_count() or 1, 8)])
    parser.add_argument("--steps", type=int, default=50, help="of stage 1; ten times as many of stage 2")
    parser.add_argument("--pictures", type=int, default=20_000, help="whose features are computed; 0 for none")
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        sys.exit(
            "PyTorch sees no GPU here; run this where one is, or say --device cpu --size 32 --batch 16 --steps 2 "
            "--pictures 200."
        )
    machine()
    print(torch.cuda.get_device_name() if chosen.device == "cuda" else "cpu", torch.__version__)
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.data or made(Path(folder), max(2000, 2 * chosen.batch))
        stage_1(path, chosen)
        if chosen.pictures:
            features(path, chosen)
            stage_2(chosen)


def made(scratch: Path, photographs: int) -> str:
    src = repeated(source(None, scratch), scratch / "photographs", photographs)
    built(src, scratch / "smfd", test_identities=0)
    return str(scratch / "smfd")


def stage_1(path: str, chosen: Any) -> None:
    """Pictures per second of training, of its loader, and of its network."""
    dataset, device = maskgen.open(path), torch.device(chosen.device)
    on_gpu = device.type == "cuda"
    torch.backends.cudnn.benchmark = on_gpu
    feed = Feed(path, chosen.batch, chosen.size, dataset.variants, 0.5, seed=0, buffer=256)
    network = Network(chosen.backbone, len(dataset.info["identities"])).to(device).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(network.parameters(), 0.01, 0.9, weight_decay=5e-4)
    forward: Any = torch.compile(network) if chosen.compile else network
    autocast = torch.autocast("cuda", torch.bfloat16) if on_gpu else nullcontext()
    learner = classify.Learner(network, forward, optimizer, chosen.batch, device, autocast, functional.cross_entropy)

    def run(stream: Iterator[Batch], train: bool) -> float:
        began = 0.0
        for step in range(-WARM_UP if on_gpu else -1, chosen.steps):
            if step == 0:
                wait(on_gpu)
                began = time.perf_counter()
            images, labels = next(stream)
            if train:
                classify.train_step(learner, images, labels)
        wait(on_gpu)
        return chosen.steps * chosen.batch / (time.perf_counter() - began)

    images, labels = next(batches.batches(feed))
    resident = repeat((images.to(device), labels.to(device)))
    alone = run(iter(resident), train=True)
    rows = [("network alone", f"{alone:.0f}", 1.0)]
    for workers in chosen.workers:
        for what, train in ((f"loader alone, {workers} workers", False), (f"end to end, {workers} workers", True)):
            found = run(batches.batches(feed, workers=workers, pin=on_gpu), train=train)
            rows.append((what, f"{found:.0f}", found / alone))
    compiled = ", compiled" if chosen.compile else ""
    title = f"Stage 1: {chosen.backbone} at {chosen.size}, batch {chosen.batch}{compiled}, {dataset.store} pictures"
    table(title, ("", "pictures/s", "/ network alone"), rows)
    if on_gpu:
        print(f"\nmost memory of the GPU: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB", flush=True)


class ReadAgain:
    """A data set whose training photographs are so often there that they are at least `pictures`."""

    def __init__(self, dataset: maskgen.Dataset, pictures: int) -> None:
        self.dataset, self.times = dataset, -(-pictures // dataset.count("train"))

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dataset, name)

    def count(self, split: str) -> int:
        return self.times * self.dataset.count(split)

    def shards(self, split: str) -> list[maskgen.Shard]:
        return self.times * self.dataset.shards(split)


def features(path: str, chosen: Any) -> None:
    """Pictures per second of `feature_cache.embed_rows`, of its loader, and of its network."""
    dataset: Any = ReadAgain(maskgen.open(path), chosen.pictures)
    torch.manual_seed(0)
    backbone = resnet_backbone(Network(chosen.backbone), chosen.backbone, chosen.size, chosen.device)
    assert backbone.module
    picture = dataset.variants[-1]
    faces = np.random.default_rng(0).integers(0, 256, (CHUNK, chosen.size, chosen.size, 3), np.uint8)
    resident = torch.from_numpy(faces).to(chosen.device)

    def network_alone() -> Iterable[int]:
        with torch.inference_mode():
            for _ in range(dataset.count("train") // CHUNK):
                backbone.module(resident)
                yield CHUNK
            wait(chosen.device == "cuda")
        yield 0

    def loader_alone(workers: int) -> Iterable[int]:
        for numbers, _, _ in sweep(dataset, "train", (picture,), partial(one, picture), chosen.size, workers):
            yield len(numbers)

    def whole(workers: int) -> Iterable[int]:
        done: list[int] = []
        feature_cache.embed_rows(dataset, backbone, "train", (picture,), None, workers, done.append)
        yield sum(done)

    alone = rate(network_alone())
    rows = [("network alone", f"{alone:.0f}", 1.0)]
    for workers in chosen.workers:
        for what, work in (("loader alone", loader_alone), ("end to end", whole)):
            found = rate(work(workers))
            rows.append((f"{what}, {workers} workers", f"{found:.0f}", found / alone))
    many = f"{dataset.count('train'):,} pictures, with the workers' start"
    title = f"Features: {chosen.backbone} at {chosen.size}, {many}"
    table(title, ("", "pictures/s", "/ network alone"), rows)


def one(picture: str, key: str) -> str:
    return picture


def rate(work: Iterable[int]) -> float:
    began = time.perf_counter()
    return sum(work) / (time.perf_counter() - began)


def stage_2(chosen: Any) -> None:
    """Steps per second of stage 2 with the paper's triplets, on features that are in memory."""
    random, labels = np.random.default_rng(0), np.repeat(np.arange(500, dtype=np.int32), 20)
    dim, number = Network(chosen.backbone).dim, RECIPES["paper"]["triplets"]
    pictures = embed.cached([random.random((len(labels), dim), np.float32) for _ in range(2)], labels)
    seconds = {
        device: stage2.steps(pictures, dim, 10 * chosen.steps, number, device)[0]
        for device in dict.fromkeys(("cpu", chosen.device))
    }
    rows = [(device, f"{1 / each:.0f}", seconds["cpu"] / each) for device, each in seconds.items()]
    table(f"Stage 2: {number} triplets a step, features of {dim}", ("", "steps/s", "/ cpu"), rows)


def wait(on_gpu: bool) -> None:
    if on_gpu:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
