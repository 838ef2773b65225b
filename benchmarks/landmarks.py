"""Detection from coarse to fine against dlib at full size: faces found, cost, precision. Prints tables of ratios.

Needs ../shared/data. The points in its landmarks.xml come, as the file's own comment says, from dlib's predictor
and not from people: they tell how far a box from a small copy moves the predictor's answer, and nothing about how
good that predictor is.
"""

from __future__ import annotations

import argparse
import time
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from _common import DATA, machine, on_one_core, photographs, table

from maskgen import Landmarker
from maskgen.imaging import detectors
from maskgen.imaging.decode import decode
from maskgen.imaging.detectors import FIRST_SIDE, Hog, search_sides

Grey = npt.NDArray[np.uint8]
Box = npt.NDArray[np.float32]
Points = npt.NDArray[np.float64]
Detect = Callable[[Grey], Box | None]

MARGINS = (0.15, 0.3, 0.6)
"""How much of a face's box is added on each side to make a photograph of it; VGGFace2's loose crops have 0.3."""


class Watched:
    """dlib's detector, with a note of the longer side of the copy that it last looked at, and seconds by side."""

    def __init__(self, detector: Any) -> None:
        self.detector, self.side = detector, 0
        self.seconds: Counter[int] = Counter()

    def __call__(self, grey: Grey, upsample: int) -> Any:
        self.side = max(grey.shape)
        began = time.process_time()
        faces = self.detector(grey, upsample)
        self.seconds[self.side] += time.process_time() - began
        return faces


FIRST_SIDES = ((80,), (96,), (112,), (120,), (128,), (144,), (83, 120), (88, 120), (96, 120))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sheet", type=Path, help="write a sheet of what only the later steps found, to look at")
    arguments = parser.parse_args()
    if not DATA.is_dir():
        parser.exit(0, "There is no ../shared/data; nothing to measure.\n")
    machine()
    on_one_core()
    landmarker = Landmarker()
    hog = next(detector for detector in landmarker._detectors if isinstance(detector, Hog))
    watched = hog._detect = Watched(hog._detect)

    def full(upsample: int) -> Detect:
        return lambda grey: largest(watched.detector(grey, upsample))

    late = found_and_cost(landmarker, watched, full)
    precision(landmarker, full)
    first_sides(landmarker, full)
    if arguments.sheet:
        sheet(late, landmarker, arguments.sheet)


def found_and_cost(
    landmarker: Landmarker, watched: Watched, full: Callable[[int], Detect]
) -> list[tuple[Grey, Box, int]]:
    """Prints what is found and where; returns the faces that the first step did not find: photograph, box, side."""
    rows, steps, late = [], [], []
    for name in ("faces", "orl", "landmarks", "faces, 400 px"):
        paths = photographs(DATA / name.partition(",")[0])
        greys = [cv2.cvtColor(decode(path.read_bytes()), cv2.COLOR_RGB2GRAY) for path in paths]
        if name.endswith("px"):  # about what VGGFace2's photographs measure; the shared faces are thumbnails
            greys = [cv2.resize(grey, (400, 400), interpolation=cv2.INTER_CUBIC) for grey in greys]
        ended: Counter[int] = Counter()
        looked: Counter[int] = Counter()
        watched.seconds.clear()
        seconds, boxes = [0.0, 0.0, 0.0], []
        for grey in greys:
            answers = []
            for method, detect in enumerate((landmarker.detect, full(0), full(1))):
                began = time.process_time()
                answers.append(detect(grey))
                seconds[method] += time.process_time() - began
                if method == 0:
                    ended[watched.side if answers[0] is not None else 0] += 1
                    step = watched.side
                    sides = search_sides(max(grey.shape))
                    looked.update(sides[: sides.index(step) + 1])
            boxes.append(answers)
            if answers[0] is not None and step != FIRST_SIDE and not name.endswith("px"):
                late.append((grey, answers[0], step))
        found = [sum(answers[method] is not None for answers in boxes) for method in range(3)]
        lost = sum(ours is None and (zero is not None or one is not None) for ours, zero, one in boxes)
        same = [one for one in boxes if one[0] is not None and one[2] is not None]
        other = sum(overlap(ours, one) < 0.5 for ours, _, one in same)
        cost = [seconds[0] / seconds[1], seconds[0] / seconds[2]]
        rows.append((name, len(greys), *found, lost, other, *cost))
        spent = sum(watched.seconds.values())
        for side, times in sorted(looked.items()):
            cost = watched.seconds[side] / times / (seconds[1] / len(greys))
            shares = (times / len(greys), ended[side] / len(greys), watched.seconds[side] / spent)
            steps.append((name, side, *(f"{share:.3f}" for share in shares), cost))
        steps.append((name, "nowhere", "", f"{ended[0] / len(greys):.3f}", "", ""))
    head = (
        "set",
        "photographs",
        "ours",
        "full size",
        "upsampled",
        "lost",
        "another face",
        "cost / full",
        "cost / ups.",
    )
    table("The largest face: found coarse to fine, by dlib at full size, and by dlib upsampled once", head, rows)
    head = ("set", "side of the copy", "searched", "ended here", "of the time", "one search / full size")
    table("The steps of the search: photographs that came to each and ended there, and its cost", head, steps)
    return late


def first_sides(landmarker: Landmarker, full: Callable[[int], Detect]) -> None:
    """Prints what other sides of the first copy, or two first copies, would give."""
    greys = {
        name: [cv2.cvtColor(decode(path.read_bytes()), cv2.COLOR_RGB2GRAY) for path in photographs(DATA / name)]
        for name in ("faces", "orl")
    }
    cut = [[crop(*face, margin) for face in marked_faces()] for margin in MARGINS]
    truth = [[error(landmarker, grey, full(1)(grey), *points) for grey, *points in faces] for faces in cut]
    chosen, rows = detectors.search_sides, []
    try:
        for first in FIRST_SIDES:
            detectors.search_sides = lambda side, first=first: list(dict.fromkeys((*first, *chosen(side)[1:])))
            row: list[object] = []
            for several in greys.values():
                began = time.process_time()
                found = sum(landmarker.detect(grey) is not None for grey in several)
                row += [time.process_time() - began, found]
            for faces, least in zip(cut, truth, strict=True):
                ours = [error(landmarker, grey, landmarker.detect(grey), *points) for grey, *points in faces]
                both = [pair for pair in zip(ours, least, strict=True) if None not in pair]
                row.append(float(np.divide(*np.mean(np.array(both, dtype=float), axis=0))))
            rows.append((", then ".join(map(str, first)), *row))
    finally:
        detectors.search_sides = chosen
    ours = next(row for row in rows if row[0] == str(FIRST_SIDE))
    rows = [(first, a / ours[1], found, b / ours[3], others, *ratios) for first, a, found, b, others, *ratios in rows]
    head = ("first side", "cost, faces", "found", "cost, orl", "found", *(f"error, {margin:.0%}" for margin in MARGINS))
    table(f"Other first sides: cost over that of {FIRST_SIDE}, error over dlib's upsampled (1.02 or less)", head, rows)


def precision(landmarker: Landmarker, full: Callable[[int], Detect]) -> None:
    """Prints the landmarks' mean distance from the marked points, as a share of that between the eyes."""
    faces = marked_faces()
    rows = []
    for margin in MARGINS:
        cut = [crop(*face, margin) for face in faces]
        ours, least, upsampled = (
            [error(landmarker, grey, detect(grey), *truth) for grey, *truth in cut]
            for detect in (landmarker.detect, full(0), full(1))
        )
        for against, errors in (("full size", least), ("upsampled once", upsampled)):
            both = [pair for pair in zip(ours, errors, strict=True) if None not in pair]
            mean = np.mean(np.array(both, dtype=float).reshape(-1, 2), axis=0)
            counts = [sum(value is not None for value in values) for values in (ours, errors)]
            rows.append(
                (f"{margin:.0%}", against, *counts, len(both), *(f"{value:.4f}" for value in mean), mean[0] / mean[1])
            )
    head = (
        "margin",
        "against dlib at",
        "ours found",
        "it found",
        "both",
        "our error",
        "its error",
        "ratio (1.02 or less)",
    )
    table(f"The {len(faces)} faces of landmarks.xml, each cut out with a margin on every side", head, rows)
    on_boxes = [error(landmarker, grey, box, box, points) for grey, box, points in faces]
    print(f"\non the boxes of landmarks.xml themselves: {np.mean(np.array(on_boxes, dtype=float)):.4f}")


def error(landmarker: Landmarker, grey: Grey, box: Box | None, face: Box, points: Points) -> float | None:
    """Mean distance of the 68 points from the marked ones over that of the eyes' centres; None for another face."""
    if box is None or overlap(box, face) < 0.3:
        return None
    between = np.linalg.norm(points[36:42].mean(axis=0) - points[42:48].mean(axis=0))
    return float(np.linalg.norm(landmarker.predict(grey, box) - points, axis=1).mean() / between)


def marked_faces() -> list[tuple[Grey, Box, Points]]:
    """Photograph, box and 68 points of each face of landmarks.xml, in pixels."""
    faces = []
    for image in ElementTree.parse(DATA / "landmarks" / "landmarks.xml").iter("image"):
        grey = cv2.imread(str(DATA / "landmarks" / image.attrib["file"]), cv2.IMREAD_GRAYSCALE)
        for box in image.iter("box"):
            left, top, width, height = (int(box.attrib[name]) for name in ("left", "top", "width", "height"))
            parts = sorted(box.iter("part"), key=lambda part: part.attrib["name"])
            points = np.array([[int(part.attrib["x"]), int(part.attrib["y"])] for part in parts], dtype=np.float64)
            faces.append((grey, np.array([left, top, left + width, top + height], np.float32), points))
    return faces


def crop(grey: Grey, box: Box, points: Points, margin: float) -> tuple[Grey, Box, Points]:
    """A photograph of one face: its box with a margin on every side, as far as the frame goes."""
    wider = margin * (box[2] - box[0])
    x0, y0 = np.maximum(box[:2] - wider, 0).astype(int)
    x1, y1 = np.minimum(box[2:] + wider, grey.shape[::-1]).astype(int)
    return np.ascontiguousarray(grey[y0:y1, x0:x1]), box - np.float32([x0, y0, x0, y0]), points - (x0, y0)


def largest(faces: Any) -> Box | None:
    if not faces:
        return None
    face = max(faces, key=lambda rectangle: rectangle.area())
    return np.array([face.left(), face.top(), face.right(), face.bottom()], dtype=np.float32)


def overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    sides = np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2])
    shared = float(np.prod(np.maximum(sides, 0)))
    return shared / (float(np.prod(one[2:] - one[:2])) + float(np.prod(other[2:] - other[:2])) - shared)


def sheet(late: list[tuple[Grey, Box, int]], landmarker: Landmarker, path: Path) -> None:
    """Writes the photographs of `late` with box and landmarks, and the side of the copy on which each was found."""
    tiles = []
    for grey, box, side in late:
        scale = 240 / max(grey.shape)
        tile = np.zeros((260, 240, 3), np.uint8)
        small = cv2.cvtColor(cv2.resize(grey, None, fx=scale, fy=scale), cv2.COLOR_GRAY2BGR)[:240, :240]
        tile[: small.shape[0], : small.shape[1]] = small
        x0, y0, x1, y1 = (box * scale).astype(int).tolist()
        cv2.rectangle(tile, (x0, y0), (x1, y1), (0, 255, 255))
        for x, y in (landmarker.predict(grey, box) * scale).astype(int).tolist():
            cv2.circle(tile, (x, y), 1, (0, 255, 0), -1)
        cv2.putText(tile, f"{side} px", (4, 256), cv2.FONT_HERSHEY_SIMPLEX, 0.5, (255, 255, 255))
        tiles.append(tile)
    tiles += [np.zeros((260, 240, 3), np.uint8)] * (-len(tiles) % 6)
    cv2.imwrite(str(path), np.vstack([np.hstack(tiles[row : row + 6]) for row in range(0, len(tiles), 6)]))
    print(f"\n{len(late)} faces that the first step did not find: {path}")


if __name__ == "__main__":
    main()
