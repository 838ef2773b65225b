"""The steps of a build, each timed in a loop of its own, and the least that each could take."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from maskgen import plan
from maskgen.decode import decode
from maskgen.fit import fit
from maskgen.landmarks import FIRST_SIDE, Landmarker
from maskgen.outline import VARIANTS, Undrawable, outline
from maskgen.render import coverage, paint
from maskgen.sample import Sample
from maskgen.shards.writers import ParquetShard

SIZE, QUALITY = 224, [cv2.IMWRITE_JPEG_QUALITY, 95]

Image = npt.NDArray[np.uint8]


class Stopwatch(dict[str, float]):
    """Seconds by name: `with watch("decode"):` adds to them."""

    def __call__(self, name: str) -> Stopwatch:
        self._name = name
        return self

    def __enter__(self) -> None:
        self._began = time.perf_counter()

    def __exit__(self, *error: object) -> None:
        self[self._name] = self.get(self._name, 0.0) + time.perf_counter() - self._began


def kernels(paths: list[Path], landmarker: Landmarker, scratch: Path) -> dict[str, float]:
    """Seconds of each step of a build with its default settings, over all photographs, steps one after the other.

    So each has the processor's caches to itself, which is the best case. Left out: planning, hashes, flushing to the
    disk, markers, and whatever holds the steps together.
    """
    watch = Stopwatch()
    with watch("decode"):
        images = [decode(path.read_bytes()) for path in paths]
    with watch("detect"):
        greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
        boxes = [landmarker.detect(grey) for grey in greys]
    found = [number for number, box in enumerate(boxes) if box is not None]
    with watch("landmarks"):
        shapes = [landmarker.predict(greys[number], boxes[number]) for number in found]
    with watch("fit"):
        fitted = [fit(images[number], SIZE, "stretch", boxes[number]) for number in found]
        landmarks = [one.points(shape) for one, shape in zip(fitted, shapes, strict=True)]
        boxes = [one.points(boxes[number].reshape(2, 2)).ravel() for one, number in zip(fitted, found, strict=True)]
    drawable = [number for number, points in enumerate(landmarks) if _drawable(points)]
    with watch("first encoding"):
        first = [_encode(cv2.cvtColor(fitted[number].image, cv2.COLOR_RGB2BGR)) for number in drawable]
        pictures = [cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_BGR) for data in first]
    samples = []
    for number, picture in zip(drawable, pictures, strict=True):
        colors = {name: plan.color_of(0, str(number), name, ()) for name in VARIANTS}
        with watch("draw"):
            covers = coverage([outline(landmarks[number], name) for name in VARIANTS], SIZE, SIZE)
            masked = [paint(picture, cover, color) for cover, color in zip(covers, colors.values(), strict=True)]
        with watch("encode"):
            jpegs = [_encode(image) for image in (picture, *masked)]
        names = dict(zip(("unmasked", *VARIANTS), jpegs, strict=True))
        head = (f"{number:09d}", paths[number].name, "n000000", "train", 0, SIZE, SIZE)
        samples.append(Sample(*head, boxes[number], landmarks[number], None, colors, names))
    with watch("write"), ParquetShard(scratch / "kernels.parquet", "all", "rendered") as shard:
        for sample in samples:
            shard.add(sample)
    return watch


def floors(paths: list[Path], landmarker: Landmarker, scratch: Path) -> dict[str, float]:
    """Seconds of the bare library calls below each step, on the same photographs."""
    watch = Stopwatch()
    data = [np.fromfile(path, np.uint8) for path in paths]
    with watch("decode"):
        images = [cv2.imdecode(one, cv2.IMREAD_COLOR_RGB) for one in data]
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    scales = [FIRST_SIDE / max(grey.shape) for grey in greys]
    copies = [cv2.resize(grey, None, fx=scale, fy=scale) for grey, scale in zip(greys, scales, strict=True)]
    detector, predictor = landmarker._detect, landmarker._predict
    with watch("detect"):
        faces = [detector(copy, 0) for copy in copies]
    found = next(number for number, face in enumerate(faces) if len(face))
    with watch("landmarks"):
        for _ in images:
            shape = predictor(copies[found], faces[found][0])
    with watch("fit"):
        fitted = [cv2.resize(image, (SIZE, SIZE)) for image in images]
    with watch("first encoding"):
        pictures = [cv2.imdecode(cv2.imencode(".jpg", image, QUALITY)[1], cv2.IMREAD_COLOR_BGR) for image in fitted]
    points = np.array([(point.x, point.y) for point in shape.parts()]) * (SIZE / FIRST_SIDE)
    outlines = [[np.rint(outline(points, name)).astype(np.int32)] for name in VARIANTS]
    jpegs = []
    for picture in pictures:
        with watch("draw"):
            masked = [cv2.fillPoly(picture.copy(), corners, (30, 144, 255)) for corners in outlines]
        with watch("encode"):
            jpegs += [cv2.imencode(".jpg", image, QUALITY)[1] for image in (picture, *masked)]
    with watch("write"), (scratch / "floor").open("wb") as file:
        for jpeg in jpegs:
            file.write(jpeg)
    return watch


def _encode(picture: Image) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, QUALITY)[1])


def _drawable(points: Any) -> bool:
    try:
        return all(len(outline(points, name)) for name in VARIANTS)
    except Undrawable:
        return False
