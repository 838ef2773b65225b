"""dlib's face network as `mfr` runs it against dlib's own run of it, one thread each. Prints ratios.

Both get the same aligned faces. The floor is the network's convolutions alone, each as one matrix product for
`TOGETHER` faces; PyTorch can be below it, since it has convolutions that multiply less.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Callable
from pathlib import Path

import dlib
import numpy as np
import torch
from _common import cpu, machine, median, on_one_core, photographs, source, table

from maskgen import Face, Landmarker
from maskgen.imaging.decode import decode
from maskgen.imaging.detectors import model_path
from mfr_train.networks import dlib_network, dlib_weights
from mfr_train.networks.faces import chip

MIN_RATIO = 4.0
MAX_DIFFERENCE = 1e-4
TOGETHER = 8


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--faces", type=int, default=64, help="faces that each gets [64]")
    parser.add_argument("--rounds", type=int, default=3, help="everything is run so often, in turn [3]")
    chosen = parser.parse_args()
    machine()
    on_one_core()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        paths = photographs(source(chosen.src, Path(folder)))[: chosen.faces]
        pictures = [decode(path.read_bytes()) for path in paths]
    found = zip(pictures, Landmarker().find_all(pictures, [None] * len(pictures)), strict=True)
    faces = [(picture, face.landmarks) for picture, face in found if isinstance(face, Face)]
    chips = [chip(picture, landmarks, dlib_network.DLIB_CHIP) for picture, landmarks in faces]

    path = model_path(dlib_network.DLIB_MODEL)
    reference = dlib.face_recognition_model_v1(str(path))
    weights = dlib_weights.parse(path.read_bytes())
    network = dlib_network.Network(weights).to(memory_format=torch.channels_last).eval().requires_grad_(False)
    backbone = dlib_network.dlib_backbone("cpu")
    batch = torch.from_numpy(np.stack(chips))
    products = matrices(weights, network, batch)
    works: dict[str, Callable[[], object]] = {
        "dlib": lambda: reference.compute_face_descriptor(chips),
        "ours": lambda: network(batch),
        "ours, with alignment": lambda: backbone.features(*zip(*faces, strict=True)),
        "products": lambda: [torch.mm(left, right) for left, right in products for _ in range(0, len(chips), TOGETHER)],
    }
    with torch.inference_mode():
        runs = [{name: cpu(work) for name, work in works.items()} for _ in range(chosen.rounds)]
        difference = np.abs(np.array(reference.compute_face_descriptor(chips)) - network(batch).numpy()).max()

    def ratio(above: str, below: str) -> float:
        return median(run[above] / run[below] for run in runs)

    rows = [
        (f"CPU of dlib / ours ({MIN_RATIO:g} or more)", f"{ratio('dlib', 'ours'):.1f}"),
        ("ours with alignment / without", f"{ratio('ours, with alignment', 'ours'):.2f}"),
        ("ours / its convolutions as matrix products", f"{ratio('ours', 'products'):.2f}"),
        (f"largest difference of a feature ({MAX_DIFFERENCE:g} or less)", f"{difference:.1e}"),
    ]
    table(f"{len(chips)} faces on one core", ("", ""), rows)
    if ratio("dlib", "ours") < MIN_RATIO or difference > MAX_DIFFERENCE:
        raise SystemExit("a limit is not kept")


def matrices(
    weights: dlib_weights.Weights, network: dlib_network.Network, batch: torch.Tensor
) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """The two factors of each convolution for `TOGETHER` faces: filters, and what lies under them at each place."""
    places: list[int] = []
    hooks = [
        module.register_forward_hook(lambda module, given, result: places.append(result[0, 0].numel()))
        for module in network.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    network(batch[:1])
    for hook in hooks:
        hook.remove()
    filters = [torch.from_numpy(weight).flatten(1) for weight, _ in weights.convolutions]
    return [(each, torch.ones(each.shape[1], count * TOGETHER)) for each, count in zip(filters, places, strict=True)]


if __name__ == "__main__":
    main()
