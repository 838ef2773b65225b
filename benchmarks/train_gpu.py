"""Stage 1 on a GPU: images per second from shards to updated weights, of the loader alone, and of the network alone.

    python benchmarks/train_gpu.py [--data smfd] [--backbone resnet50] [--size 224] [--batch 400] [--workers 8]
                                   [--steps 50] [--compile] [--device cuda]

The step is that of `mfr train`: bf16 and channels-last on a GPU. The network alone steps on one batch that lies in the
GPU's memory; where end to end is near it, the loader is not the limit. Without --data a set is built from the demo's
photographs. --device cpu with a tiny --size shows that the path works, and measures nothing of interest.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import nullcontext
from itertools import repeat
from pathlib import Path
from typing import Any

import torch
from _common import built, machine, repeated, source, table
from torch.nn import functional

import maskgen
from mfr_train.data import batches
from mfr_train.data.batches import Batch, Feed
from mfr_train.defaults import RESNETS
from mfr_train.networks.resnet import Network
from mfr_train.training import classify

WARM_UP = 5
"""Steps before the clock starts: kernels are chosen, and compiled."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", help="data set that `maskgen build` made")
    parser.add_argument("--backbone", default="resnet50", choices=RESNETS)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int, default=400)
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 16))
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    chosen = parser.parse_args()
    if chosen.device == "cuda" and not torch.cuda.is_available():
        sys.exit("PyTorch sees no GPU here; run this where one is, or say --device cpu --size 32 --batch 16 --steps 2.")
    machine()
    print(torch.cuda.get_device_name() if chosen.device == "cuda" else "cpu", torch.__version__)
    with tempfile.TemporaryDirectory() as folder:
        path = chosen.data or made(Path(folder), max(2000, 2 * chosen.batch))
        measure(path, chosen)


def made(scratch: Path, photographs: int) -> str:
    src = repeated(source(None, scratch), scratch / "photographs", photographs)
    built(src, scratch / "smfd", test_identities=0)
    return str(scratch / "smfd")


def measure(path: str, chosen: Any) -> None:
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
    loader = run(batches.batches(feed, workers=chosen.workers, pin=on_gpu), train=False)
    alone = run(iter(resident), train=True)
    whole = run(batches.batches(feed, workers=chosen.workers, pin=on_gpu), train=True)
    rows = [
        ("loader alone", f"{loader:.0f}", loader / alone),
        ("network alone", f"{alone:.0f}", 1.0),
        ("end to end", f"{whole:.0f}", whole / alone),
    ]
    title = f"{chosen.backbone} at {chosen.size}, batch {chosen.batch}, {chosen.workers} workers"
    table(title, ("", "images/s", "/ network alone"), rows)
    if on_gpu:
        print(f"\nmost memory of the GPU: {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB")


def wait(on_gpu: bool) -> None:
    if on_gpu:
        torch.cuda.synchronize()


if __name__ == "__main__":
    main()
