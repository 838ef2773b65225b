"""Steps of stage 2 on cached features against running the frozen network on the pictures of every step.

    python benchmarks/stage2.py [--src FOLDER] [--triplets 200] [--steps 20] [--slow-steps 1] [--backbone resnet50 dlib]

Both train the same layer on the same triplets: `gather` reads features from the cache (features.py) or runs the network
on the pictures of the three sides, decoded once and kept, so that decoding is not counted against it. The ResNet has
random weights, which change no time. Prints the ratio of seconds a step; computing the cache is not in it and is
printed by itself: the number of steps after which it has paid.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from _common import built, machine, source, table

import maskgen
from mfr_train import defaults
from mfr_train.data.feature_cache import embed_rows, row_index
from mfr_train.defaults import DLIB
from mfr_train.networks import backbones, resnet
from mfr_train.networks.backbone import Backbone, Floats
from mfr_train.training import embed, heads, train_settings, triplets


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--backbone", nargs="+", default=["resnet50", DLIB], choices=defaults.BACKBONES)
    parser.add_argument("--triplets", type=int, default=200, help="of a step [200, the paper's]")
    parser.add_argument("--input-size", type=int, default=224, help="of the ResNet [224]")
    parser.add_argument("--steps", type=int, default=20, help="on cached features [20]")
    parser.add_argument("--slow-steps", type=int, default=1, help="through the network [1]")
    chosen = parser.parse_args()
    machine()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        built(
            source(chosen.src, scratch), scratch / "smfd", workers=1, test_identities=0, variants="wide_high,round_low"
        )
        dataset = maskgen.open(scratch / "smfd")
        rows = [compared(name, dataset, scratch, chosen) for name in chosen.backbone]
    head = ("backbone", "each step / cached (50 or more)", "largest difference of the losses", "cache paid after steps")
    table(f"Stage 2, {chosen.triplets} triplets a step", head, rows)


def compared(name: str, dataset: maskgen.Dataset, scratch: Path, chosen: Any) -> tuple[object, ...]:
    backbone = loaded(name, chosen.input_size)
    names = ("unmasked", *dataset.variants)
    began = time.perf_counter()
    features = embed_rows(dataset, backbone, "train", names, scratch / "features")
    filling = time.perf_counter() - began
    labels = row_index(dataset, "train").labels
    rows = list(dataset.rows("train"))
    images = [[row.image(picture) for picture in names] for row in rows]
    landmarks = np.stack([row.landmarks for row in rows])

    def through_network(numbers: triplets.Ints, pictures: triplets.Ints) -> Floats:
        shown = [images[row][picture] for row, picture in zip(numbers, pictures, strict=True)]
        return backbone.features(shown, landmarks[numbers])

    cached = embed.cached([features[picture] for picture in names], labels)
    network = embed.Pictures(labels, len(dataset.variants), through_network)
    fast, losses = steps(cached, backbone.dim, chosen.steps, chosen.triplets)
    slow, others = steps(network, backbone.dim, chosen.slow_steps, chosen.triplets)
    difference = max(abs(one - other) for one, other in zip(losses, others, strict=False))
    return name, f"{slow / fast:.0f}", f"{difference:.1e}", f"{filling / (slow - fast):.1f}"


def loaded(name: str, size: int) -> Backbone:
    if name == DLIB:
        return backbones.load_backbone(DLIB)
    torch.manual_seed(0)
    return resnet.resnet_backbone(resnet.Network(name), name, size)


def steps(
    source: embed.Pictures, features: int, count: int, number: int, device: str = "cpu"
) -> tuple[float, list[float]]:
    """Median seconds of a step, and the losses: the loop of `train_embedding`, without curve and checkpoints."""
    settings = train_settings.filled(train_settings.TrainSettings(recipe="small", backbone=DLIB, device="cpu"))
    layer = heads.new_layer(features, settings.dim, 0).to(device)
    optimizer = torch.optim.SGD(layer.parameters(), train_settings.not_none(settings.embed_lr), settings.momentum)
    groups = triplets.group(source.labels)
    draw: Callable[[int], triplets.Triplets] = lambda step: triplets.draw(  # noqa: E731
        groups, number, source.variants, 0.5, "any", "any", np.random.default_rng([0, step])
    )
    seconds, losses = [], []
    for step in range(count):
        began = time.perf_counter()
        loss = embed.step_loss(layer, source, draw(step), settings, torch.device(device))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())  # a GPU has finished then
        seconds.append(time.perf_counter() - began)
    return float(np.median(seconds)), losses


if __name__ == "__main__":
    main()
