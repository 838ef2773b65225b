"""Smooth Grad-CAM++ of all features in closed form against torchcam, which makes the map of one feature at a time.

torchcam (`pip install torchcam`; it is not among the dependencies) is run for a few features, and its time is
multiplied up to all of them. Without torchcam the peer is a plain loop over features with autograd. The second table
says how many noisy copies a map needs: the correlation between the maps of two seeds. Prints ratios and correlations.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from _common import cpu, machine, median, on_one_core, photographs, source, table
from torch import Tensor, nn
from torch.nn import functional

from maskgen.imaging.decode import decode
from mfr_train.explaining.attention import attention
from mfr_train.networks.model import Model, load_model
from mfr_train.networks.resizing import resized
from mfr_train.networks.resnet import Network, resnet_backbone

SAMPLES = 4
COPIES = (1, 2, 4, 8, 16, 32, 64)
MIN_RATIO = 100.0
STABLE = 0.99


class Embedding(nn.Module):
    """A ResNet18 with a projection to `dim` features, scaled to length 1: the same numbers as the model's."""

    def __init__(self, network: Network, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.trunk, self.weight, self.bias = network.trunk, weight, bias

    def forward(self, scaled: Tensor) -> Tensor:
        return functional.normalize(self.trunk(scaled) @ self.weight.T + self.bias)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--run", type=Path, help="run for the second table [random weights]")
    parser.add_argument("--features", type=int, default=8, help="features that the peer makes maps of [8]")
    parser.add_argument("--pictures", type=int, default=4, help="pictures of the second table [4]")
    parser.add_argument("--rounds", type=int, default=3, help="everything timed is run so often, in turn [3]")
    chosen = parser.parse_args()
    machine()
    on_one_core()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    with tempfile.TemporaryDirectory() as folder:
        paths = photographs(source(chosen.src, Path(folder)))[: chosen.pictures]
        pictures = np.stack([resized(decode(path.read_bytes()), 224) for path in paths])
    network = Network("resnet18")
    weight, bias = torch.randn(512, 512) / 512**0.5, torch.randn(512) / 512
    backbone = resnet_backbone(network, "resnet18", 224)
    model = Model("random", backbone, weight.numpy(), bias.numpy())
    speed(model, network, Embedding(network, weight, bias).eval(), pictures[:1], chosen.features, chosen.rounds)
    stability(load_model(chosen.run, device="cpu") if chosen.run else model, pictures)


def speed(
    model: Model, network: Network, embedding: Embedding, pictures: np.ndarray, features: int, rounds: int
) -> None:
    name, peer = peer_of(embedding)
    scaled = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() - network.mean) / network.std
    with torch.inference_mode():
        embedding(scaled)
    works = {
        "ours": lambda: attention(model, pictures, samples=SAMPLES, method="gradcam"),
        "peer": lambda: peer(scaled.clone(), features),
        "forward": lambda: model.embed(pictures),
    }
    runs = [{each: cpu(work) for each, work in works.items()} for _ in range(rounds)]
    ratio = median(run["peer"] / features * model.dim / run["ours"] for run in runs)
    forward = median(run["ours"] / run["forward"] for run in runs)
    rows = [
        (f"CPU of {name} for {model.dim} features / ours ({MIN_RATIO:g} or more)", f"{ratio:.0f}"),
        ("ours / one embedding of the same picture", f"{forward:.1f}"),
    ]
    table(f"One map of a ResNet18 at 224 x 224, {SAMPLES} noisy copies, one core", ("", ""), rows)
    if ratio < MIN_RATIO:
        raise SystemExit("a limit is not kept")


def peer_of(embedding: Embedding) -> tuple[str, Callable[[Tensor, int], object]]:
    """What makes maps of the first features of a picture one by one."""
    try:
        from torchcam.methods import SmoothGradCAMpp
    except ImportError:
        return "a loop with autograd", lambda scaled, features: by_autograd(embedding, scaled, features)
    embedding.requires_grad_(True)

    def run(scaled: Tensor, features: int) -> None:
        with SmoothGradCAMpp(embedding, embedding.trunk.layer4, SAMPLES, 0.3) as extractor:
            for feature in range(features):
                embedding(scaled)
                extractor(class_idx=feature)

    return "torchcam", run


def by_autograd(embedding: Embedding, scaled: Tensor, features: int) -> None:
    layers = nn.Sequential(*list(embedding.trunk.children())[:-2])
    for feature in range(features):
        for _ in range(SAMPLES):
            given = layers(scaled + 0.3 * torch.randn_like(scaled)).detach().requires_grad_()
            z = given.mean((2, 3)) @ embedding.weight.T + embedding.bias
            torch.autograd.grad(functional.normalize(z)[0, feature], given)


def stability(model: Model, pictures: np.ndarray) -> None:
    """The correlation between maps of two seeds, and with those of many copies, by number of copies."""
    assert model.backbone.pooled is not None
    keys = [str(number) for number in range(len(pictures))]

    def maps(copies: int, seed: int) -> np.ndarray:
        return attention(model, pictures, keys=keys, samples=copies, seed=seed, method="gradcam")

    many = maps(4 * COPIES[-1], 2)
    rows = []
    for copies in (0, *COPIES):
        one, other = maps(copies, 0), maps(copies, 1)
        between = [correlation(*pair) for pair in zip(one, other, strict=True)]
        rows.append((copies, f"{min(between):.6f}", f"{min(map(correlation, one, many)):.6f}"))
    head = ("noisy copies", "two seeds", f"with {4 * COPIES[-1]} copies")
    table(f"Lowest correlation of a map over {len(pictures)} pictures, {model.name}", head, rows)
    enough = [copies for copies, between, _ in rows if copies and float(between) >= STABLE]
    print(f"Two seeds agree by {STABLE:g} from {enough[0]} copies on." if enough else "No number of copies is enough.")


def correlation(one: np.ndarray, other: np.ndarray) -> float:
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


if __name__ == "__main__":
    main()
