"""What moves a face network's accuracy on LFW's pairs: one change of how its faces are cut out and given at a time.

    python benchmarks/alignment.py --data DATASET [--lfw DIR] [--networks DIR] [--limit N]

DATASET was built of the tars in DIR (see truth.py), which also holds pairs.txt. The network is mobilefacenet.onnx, the
five points are means of dlib's 68 landmarks or those of OpenCV's YuNet. Every line is the accuracy over folds on the
same pairs, and on how many of them the decision is another than in the first line. A photograph in which YuNet finds no
face that overlaps dlib's keeps dlib's points.
"""

from __future__ import annotations

import argparse
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnxruntime
from _common import DATA, machine, table

import maskgen
from maskgen.imaging import align
from maskgen.imaging.decode import decode
from maskgen.imaging.detectors import YUNET_SCORE, YUNET_SIDES, resized
from mfr_train.data.feature_cache import row_index
from mfr_train.evaluation import folds, listed_pairs, metrics
from mfr_train.evaluation.counts import from_scores
from mfr_train.evaluation.pair_list import read_pairs

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

BATCH = 4
GREY = np.array([0.299, 0.587, 0.114])


@dataclass(frozen=True)
class Setup:
    """How a face is cut out and given to the network."""

    name: str
    original: bool = False
    yunet: bool = False
    interpolation: int = cv2.INTER_LINEAR
    scale: float = 127.5
    prepared: Callable[[Image], Image] = lambda face: face
    flip_sum: bool = False


@dataclass(frozen=True)
class Photograph:
    """A photograph as the data set stores it and as LFW has it, with five points in pixels of each."""

    stored: Image
    original: Image
    of_stored: Floats
    of_original: Floats
    of_yunet: Floats | None

    def face(self, setup: Setup) -> Image:
        image, points = (self.original, self.of_original) if setup.original else (self.stored, self.of_stored)
        if setup.yunet and self.of_yunet is not None:
            points = self.of_yunet if setup.original else in_other(self.of_yunet, self.original, self.stored)
        size = (align.SIDE, align.SIDE)
        to_face = align.similarity(points, align.PLACES)
        return setup.prepared(cv2.warpAffine(image, to_face, size, flags=setup.interpolation))


STORED = Setup("as `mfr eval` does it: stored at 224 pixels, points of dlib, (x - 127.5) / 127.5")
PHOTOGRAPH = replace(STORED, name="the photograph's own 250 pixels", original=True)
TURNED = replace(PHOTOGRAPH, name="the same, points of YuNet", yunet=True)
SETUPS = (
    STORED,
    replace(STORED, name="(x - 127.5) / 128", scale=128),
    replace(STORED, name="flip sum", flip_sum=True),
    replace(STORED, name="cubic interpolation", interpolation=cv2.INTER_CUBIC),
    replace(STORED, name="points of YuNet", yunet=True),
    PHOTOGRAPH,
    TURNED,
    replace(TURNED, name="the same, flip sum", flip_sum=True),
    replace(STORED, name="channels in the order BGR", prepared=lambda face: face[..., ::-1]),
    replace(STORED, name="grey", prepared=lambda face: np.repeat((face @ GREY).round()[..., None], 3, 2).astype(np.uint8)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data set of the photographs")
    parser.add_argument("--lfw", type=Path, default=DATA / "lfw", help="folder of the tars and pairs.txt")
    parser.add_argument("--networks", type=Path, default=DATA / "networks", help="folder of the two networks")
    parser.add_argument("--limit", type=int, help="use only the first N photographs of the pairs")
    chosen = parser.parse_args()
    machine()
    dataset = maskgen.open(chosen.data)
    split = "test"
    keys = row_index(dataset, split).keys
    listed = listed_pairs.find(
        read_pairs(chosen.lfw / "pairs.txt"), listed_pairs.catalogue(dataset, split, keys)
    )
    count = min(chosen.limit or len(listed.rows), len(listed.rows))
    photographs = read(dataset, split, set(keys[listed.rows[:count]].tolist()), chosen.lfw, chosen.networks)
    missed = sum(each.of_yunet is None for each in photographs)
    network = onnxruntime.InferenceSession(chosen.networks / "mobilefacenet.onnx", providers=["CPUExecutionProvider"])
    rows = []
    before: npt.NDArray[np.bool_] | None = None
    used = (listed.first < count) & (listed.second < count)
    genuine, first, second = listed.genuine[used], listed.first[used], listed.second[used]
    parts = (listed.folds if listed.folds is not None else folds.contiguous(listed.genuine))[used]
    for setup in SETUPS:
        embeddings = embedded(network, photographs, setup)
        scores = np.einsum("ij,ij->i", embeddings[first], embeddings[second])
        found = folds.accuracy(scores[genuine], scores[~genuine], parts[genuine], parts[~genuine], listed.fold_count)
        matched = scores >= np.array(found.thresholds)[parts]
        errors = (int((matched != genuine)[genuine].sum()), int((matched != genuine)[~genuine].sum()))
        eer = metrics.figures_of(from_scores(scores[genuine], scores[~genuine])).eer.eer
        before = matched if before is None else before
        rows.append(
            (
                setup.name,
                f"{100 * found.mean:.2f} +- {100 * found.standard_error:.2f}",
                *map(str, errors),
                f"{100 * eer:.2f}",
                str(int((matched != before).sum())),
            )
        )
        print("|", " | ".join(rows[-1]), "|", flush=True)
    head = ("", "accuracy % +- standard error", "false non-matches", "false matches", "EER %", "other decisions")
    table(f"{genuine.sum():,} genuine and {(~genuine).sum():,} impostor pairs", head, rows)
    print(f"YuNet found no face of dlib's in {missed} of {len(photographs):,} photographs.")


def read(dataset: Any, split: str, wanted: set[str], lfw: Path, networks: Path) -> list[Photograph]:
    """The photographs of these keys in the order of their rows."""
    sources = {each.key: each.source for each in listed_pairs.catalogue(dataset, split, np.array([])).photographs}
    original = {}
    for path in sorted(lfw.glob("*.tar")):
        with tarfile.open(path) as tar:
            original |= {member.name: file.read() for member in tar if (file := tar.extractfile(member))}
    detector = cv2.FaceDetectorYN.create(
        str(networks / "face_detection_yunet_2026may.onnx"), "", (64, 64), YUNET_SCORE
    )
    found = []
    for row in dataset.rows(split, images=("unmasked",)):
        if row.key not in wanted:
            continue
        stored, whole = row.image("unmasked"), decode(original["/".join(sources[row.key].split("/")[-2:])])
        points = align.five_points(row.landmarks)
        of_original = in_other(points, stored, whole)
        found.append(Photograph(stored, whole, points, of_original, yunet_points(detector, whole, of_original)))
    return found


def in_other(points: Floats, image: Image, other: Image) -> Floats:
    """Points in pixels of a picture as points in pixels of the same picture in another size."""
    scale = np.array([other.shape[1] / image.shape[1], other.shape[0] / image.shape[0]])
    moved: Floats = (points + 0.5) * scale - 0.5
    return moved


def yunet_points(detector: Any, image: Image, near: Floats) -> Floats | None:
    """YuNet's five points of the face whose box holds the middle of the points `near`."""
    copy = resized(image, YUNET_SIDES[0])
    detector.setInputSize((copy.shape[1], copy.shape[0]))
    faces = detector.detect(cv2.cvtColor(copy, cv2.COLOR_RGB2BGR))[1]
    x, y = in_other(near, image, copy).mean(axis=0)
    for face in faces if faces is not None else ():
        if face[0] <= x <= face[0] + face[2] and face[1] <= y <= face[1] + face[3]:
            return in_other(face[4:14].reshape(5, 2).astype(np.float64), copy, image)
    return None


def embedded(network: Any, photographs: Sequence[Photograph], setup: Setup) -> Floats:
    """Embeddings of length 1, float64 (N, D)."""
    name = network.get_inputs()[0].name
    found = []
    for start in range(0, len(photographs), BATCH):
        faces = np.stack([each.face(setup) for each in photographs[start : start + BATCH]])
        values = ((faces.transpose(0, 3, 1, 2) - np.float32(127.5)) / np.float32(setup.scale)).astype(np.float32)
        [given] = network.run(None, {name: values})
        if setup.flip_sum:
            given = given + network.run(None, {name: np.ascontiguousarray(values[..., ::-1])})[0]
        found.append(given.reshape(len(faces), -1).astype(np.float64))
    vectors = np.concatenate(found)
    unit: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return unit


if __name__ == "__main__":
    main()
