"""CPU time of each kind of system for a picture, and of an evaluation, each against its floor. Prints ratios.

    python benchmarks/systems.py [--src DIR] [--network ONNX] [--pictures 32] [--rounds 3]

A system gets stored pictures with their landmarks, and its floor the faces that it cuts out of them, as one batch in
memory: bare PyTorch or onnxruntime. Weights that nobody trained take as long as trained ones. One thread each. The
function does almost nothing, so that its ratio is what the contract costs.

The last table is `mfr eval` without breakdown, bootstrap and plots on as many of the photographs in all masks, in
U-U, U-M and M-M, against embedding the same pictures in memory.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import torch
import torchvision
from _common import DATA, cpu, machine, median, on_one_core, photographs, source, table

import maskgen
import mfr_train
from mfr_train.networks import python_function
from mfr_train.networks.backbone import Backbone
from mfr_train.networks.backbones import load_backbone
from mfr_train.networks.faces import cut_out
from mfr_train.networks.inception_resnet import InceptionResnet
from mfr_train.networks.onnx_network import TOGETHER
from mfr_train.networks.preprocessing import WHOLE

Bare = Callable[[Any], Callable[[], object]]
"""Faces, uint8 (N, size, size, 3) -> a run of the bare network on them."""

FUNCTION = """
def embed(pictures, landmarks):
    return pictures[:, ::16, ::16].reshape(len(pictures), -1) + 1.0
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument(
        "--network", type=Path, default=DATA / "networks" / "mobilefacenet.onnx", help="network of the ONNX line"
    )
    parser.add_argument("--pictures", type=int, default=32, help="pictures that each system gets [32]")
    parser.add_argument("--rounds", type=int, default=3, help="system and floor are run so often, in turn [3]")
    chosen = parser.parse_args()
    machine()
    on_one_core()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        data = built(source(chosen.src, scratch), scratch, chosen.pictures)
        rows = list(maskgen.open(data))
        pictures, landmarks = [row.image("unmasked") for row in rows], np.stack([row.landmarks for row in rows])
        found = systems(scratch, chosen.network)
        embedding(found, pictures, landmarks, chosen.rounds)
        evaluation(data, scratch, found["dlib"][0], chosen.rounds)


def built(src: Path, scratch: Path, count: int) -> Path:
    """A data set of the first photographs of each person, all of them for the test."""
    few = scratch / "few"
    people = groupby(photographs(src), key=lambda path: path.parent)
    in_turn = zip_longest(*(list(of_person) for _, of_person in people))
    for path in [path for turn in in_turn for path in turn if path][:count]:
        target = few / path.relative_to(src)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    maskgen.build(src=few, out=scratch / "data", test_identities=1.0, variants="all")
    return scratch / "data"


def systems(scratch: Path, network: Path) -> dict[str, tuple[Backbone, Bare]]:
    """A system of each kind with its bare network. Those that are trained here have the weights they start with."""
    modules = {
        "Inception-ResNet v1": InceptionResnet(),
        "ResNet50": torchvision.models.resnet50(),
        "ResNet18": torchvision.models.resnet18(),
    }
    found = {"dlib": load_backbone("dlib")}
    for name, module in modules.items():
        torch.save(module.state_dict(), scratch / f"{name}.pt")
        found[name] = load_backbone(str(scratch / f"{name}.pt"))
    made = {name: (backbone, in_torch(backbone)) for name, backbone in found.items()}
    if network.is_file():
        made[f"ONNX ({network.stem})"] = load_backbone(str(network)), in_onnxruntime(network)
    (scratch / "own.py").write_text(FUNCTION)
    sys.path.insert(0, str(scratch))
    function = importlib.import_module("own").embed
    made["function"] = python_function.load("own:embed"), lambda faces: partial(function, faces, None)
    return made


def in_torch(backbone: Backbone) -> Bare:
    def bare(faces: Any) -> Callable[[], object]:
        batch = torch.from_numpy(faces)
        return torch.inference_mode()(lambda: backbone.module(batch))

    return bare


def in_onnxruntime(network: Path) -> Bare:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(network, options, providers=["CPUExecutionProvider"])
    name, step = session.get_inputs()[0].name, TOGETHER["cpu"]

    def bare(faces: Any) -> Callable[[], object]:
        batch = np.ascontiguousarray((faces.transpose(0, 3, 1, 2) - np.float32(127.5)) / np.float32(127.5))
        return lambda: [session.run(None, {name: batch[at : at + step]}) for at in range(0, len(batch), step)]

    return bare


def embedding(found: dict[str, tuple[Backbone, Bare]], pictures: list[Any], landmarks: Any, rounds: int) -> None:
    """Prints the CPU time of each system for a picture, and its ratio to the floor."""
    runs: dict[str, list[tuple[float, float]]] = {}
    for name, (backbone, bare) in found.items():
        made = backbone.preprocessing
        faces = cut_out(pictures, landmarks, made.align or WHOLE, made.input_size or 0)
        works = partial(backbone.features, pictures, landmarks), bare(faces)
        for work in works:
            work()
        runs[name] = [(cpu(works[0]), cpu(works[1])) for _ in range(rounds)]
    first = median(one for one, _ in runs["dlib"])
    rows = [
        (name, f"{median(one for one, _ in each) / first:.3f}", f"{median(one / other for one, other in each):.2f}")
        for name, each in runs.items()
    ]
    head = ("system", "CPU of a picture / that of dlib", "CPU / bare network on faces in memory")
    table(f"Embedding of {len(pictures)} pictures on one core", head, rows)


def evaluation(data: Path, scratch: Path, backbone: Backbone, rounds: int) -> None:
    """Prints what an evaluation adds to its network, which runs on the pictures in memory as the floor."""
    rows = list(maskgen.open(data))
    landmarks = np.stack([row.landmarks for row in rows])
    pictures = [[row.image(name) for row in rows] for name in ("unmasked", "wide_high")]
    options = {"breakdown": False, "bootstrap": 0, "figures": "none", "keep_scores": "none"}

    def evaluated(number: int) -> None:
        own = {"out": scratch / f"report{number}", "cache": scratch / f"cache{number}"}
        mfr_train.evaluate(data=data, model="dlib", progress=lambda _: None, **own, **options)

    def floor() -> None:
        for each in pictures:
            backbone.features(each, landmarks)

    ratios = [cpu(partial(evaluated, number)) / cpu(floor) for number in range(rounds)]
    table(
        f"U-U, U-M and M-M of {len(rows)} photographs with dlib's network",
        ("", "CPU"),
        [("evaluation / the network on the same pictures in memory", f"{median(ratios):.2f}")],
    )


if __name__ == "__main__":
    main()
