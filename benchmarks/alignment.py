"""What moves a face network's accuracy on LFW's pairs: one change of how its faces are cut out and given at a time.

    python benchmarks/alignment.py --data DATASET [--lfw DIR] [--networks DIR] [--cache DIR] [--margin SCORE]

DATASET was built of the tars in DIR (see truth.py), which also holds pairs.txt. The network is mobilefacenet.onnx, the
five points are means of dlib's 68 landmarks or those of OpenCV's YuNet. Every line is the accuracy over folds on the
same pairs, and on how many of them the decision is another than in the first line. With --margin, pairs that were
decided rightly and by more than that keep their first score. A photograph in which YuNet finds no face at the place of
dlib's keeps dlib's points.
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
from mfr_train.data.feature_cache import embed_chosen, row_index
from mfr_train.evaluation import folds, listed_pairs, metrics, planned
from mfr_train.evaluation.counts import from_scores
from mfr_train.evaluation.listed_pairs import ListedPairs
from mfr_train.evaluation.pair_list import read_pairs
from mfr_train.networks.backbones import load_backbone

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]

NETWORK, SPLIT, BATCH = "mobilefacenet.onnx", "test", 4
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


def grey(face: Image) -> Image:
    return np.repeat((face @ GREY).round()[..., None], 3, axis=2).astype(np.uint8)


USUAL = "as `mfr eval` does it: stored at 224 pixels, points of dlib, (x - 127.5) / 127.5"
STORED = Setup("")
PHOTOGRAPH = replace(STORED, name="the photograph's own 250 pixels", original=True)
TURNED = replace(PHOTOGRAPH, name="the same, points of YuNet", yunet=True)
SETUPS = (
    replace(STORED, name="(x - 127.5) / 128", scale=128),
    replace(STORED, name="flip sum", flip_sum=True),
    replace(STORED, name="cubic interpolation", interpolation=cv2.INTER_CUBIC),
    replace(STORED, name="points of YuNet", yunet=True),
    PHOTOGRAPH,
    TURNED,
    replace(TURNED, name="the same, flip sum", flip_sum=True),
    replace(STORED, name="channels in the order BGR", prepared=lambda face: face[..., ::-1]),
    replace(
        STORED, name="grey", prepared=lambda face: np.repeat((face @ GREY).round()[..., None], 3, 2).astype(np.uint8)
    ),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="data set of the photographs")
    parser.add_argument("--lfw", type=Path, default=DATA / "lfw", help="folder of the tars and pairs.txt")
    parser.add_argument("--networks", type=Path, default=DATA / "networks", help="folder of the two networks")
    parser.add_argument("--cache", type=Path, help="folder that keeps the features of the first line")
    parser.add_argument("--margin", type=float, default=2.0, help="see above; by default every pair is measured again")
    chosen = parser.parse_args()
    machine()
    dataset = maskgen.open(chosen.data)
    keys = row_index(dataset, SPLIT).keys
    listed = listed_pairs.find(read_pairs(chosen.lfw / "pairs.txt"), listed_pairs.catalogue(dataset, SPLIT, keys))
    usual = usual_scores(dataset, chosen.networks / NETWORK, listed, chosen.cache)
    first = decided(usual, listed)
    near = (np.abs(usual - np.mean(first.accuracy.thresholds)) < chosen.margin) | (first.matched != listed.genuine)
    wanted, places = np.unique(np.stack([listed.first[near], listed.second[near]]), return_inverse=True)
    one, other = places.reshape(2, -1)
    photographs = read(dataset, keys[listed.rows[wanted]].tolist(), chosen.lfw, chosen.networks)
    missed = sum(each.of_yunet is None for each in photographs)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    network = onnxruntime.InferenceSession(chosen.networks / NETWORK, options, providers=["CPUExecutionProvider"])
    rows = [line(USUAL, first, first, listed)]
    for setup in SETUPS:
        embeddings = embedded(network, photographs, setup)
        scores = usual.copy()
        scores[near] = np.einsum("ij,ij->i", embeddings[one], embeddings[other])
        rows.append(line(setup.name, decided(scores, listed), first, listed))
        print(" | ".join(rows[-1]), flush=True)
    print(f"{near.sum():,} of {len(near):,} pairs measured again, with {len(photographs):,} photographs.")
    print(f"YuNet found no face of dlib's in {missed} of them.")
    head = ("", "accuracy % +- standard error", "false non-matches", "false matches", "EER %", "other decisions")
    table(f"{listed.genuine.sum():,} genuine and {(~listed.genuine).sum():,} impostor pairs", head, rows)


def usual_scores(dataset: Any, network: Path, listed: ListedPairs, cache: Path | None) -> Floats:
    """The scores of `mfr eval`, float64 (P,)."""
    backbone = load_backbone(str(network))
    [(_, features)] = embed_chosen(dataset, backbone, SPLIT, {"unmasked": listed.rows}, cache)
    embeddings = unit(features.astype(np.float64))
    scores: Floats = np.einsum("ij,ij->i", embeddings[listed.first], embeddings[listed.second])
    return scores


@dataclass(frozen=True)
class Decided:
    """The decisions on all pairs, bool (P,), with the accuracy over folds and the EER."""

    matched: npt.NDArray[np.bool_]
    accuracy: folds.FoldAccuracy
    eer: float


def decided(scores: Floats, listed: ListedPairs) -> Decided:
    genuine, parts = listed.genuine, listed.folds
    if parts is None:
        raise SystemExit("the list is too short for folds.")
    found = folds.accuracy(scores[genuine], scores[~genuine], parts[genuine], parts[~genuine], listed.fold_count)
    eer = metrics.figures_of(from_scores(scores[genuine], scores[~genuine])).eer.eer
    return Decided(scores >= np.array(found.thresholds)[parts], found, eer)


def line(name: str, found: Decided, first: Decided, listed: ListedPairs) -> tuple[str, ...]:
    wrong = found.matched != listed.genuine
    return (
        name,
        f"{100 * found.accuracy.mean:.2f} +- {100 * found.accuracy.standard_error:.2f}",
        str(int(wrong[listed.genuine].sum())),
        str(int(wrong[~listed.genuine].sum())),
        f"{100 * found.eer:.2f}",
        str(int((found.matched != first.matched).sum())),
    )


def read(dataset: Any, wanted: Sequence[str], lfw: Path, networks: Path) -> list[Photograph]:
    """The photographs of these keys, which are in the order of their rows."""
    sources = {each.key: each.source for each in planned.photographs(dataset)}
    original = {}
    for path in sorted(lfw.glob("*.tar")):
        with tarfile.open(path) as tar:
            original |= {member.name: file.read() for member in tar if (file := tar.extractfile(member))}
    detector = cv2.FaceDetectorYN.create(str(networks / "face_detection_yunet_2026may.onnx"), "", (64, 64), YUNET_SCORE)
    found = []
    for row in dataset.rows(SPLIT, images=("unmasked",)):
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
    return unit(np.concatenate(found))


def unit(vectors: Floats) -> Floats:
    scaled: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return scaled


if __name__ == "__main__":
    main()
