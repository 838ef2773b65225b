"""The steps of a build, each timed in a loop of its own, and the least that each could take."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from maskgen.dataset.record import Row
from maskgen.dataset.writers import ParquetShard
from maskgen.errors import Rejected
from maskgen.imaging import seeding
from maskgen.imaging.decode import decode
from maskgen.imaging.detectors import FIRST_SIDE, Hog
from maskgen.imaging.fit import fit
from maskgen.imaging.framing import Framing
from maskgen.imaging.landmarks import Landmarker, points_of
from maskgen.imaging.outline import Undrawable, outline
from maskgen.imaging.render import coverage, paint_each
from maskgen.imaging.variants import VARIANTS
from maskgen.pipeline.sample import GROUP

SIZE, QUALITY = 224, [cv2.IMWRITE_JPEG_QUALITY, 95]

Image = npt.NDArray[np.uint8]


class Stopwatch(dict[str, float]):
    """Seconds by name: `with watch("decode"):` adds to them."""

    def __init__(self, clock: Callable[[], float]) -> None:
        super().__init__()
        self._clock = clock

    def __call__(self, name: str) -> Stopwatch:
        self._name = name
        return self

    def __enter__(self) -> None:
        self._began = self._clock()

    def __exit__(self, *error: object) -> None:
        self[self._name] = self.get(self._name, 0.0) + self._clock() - self._began

    def over(self, name: str, steps: Iterator[Image]) -> Iterator[Image]:
        """The pictures of `steps`; what it takes to make each is added to `name`."""
        while True:
            with self(name):
                picture = next(steps, None)
            if picture is None:
                return
            yield picture


def kernels(
    paths: list[Path], landmarker: Landmarker, scratch: Path, clock: Callable[[], float] = time.perf_counter
) -> Stopwatch:
    """Seconds of each step of a build with its default settings, over all photographs, in groups as the build has them.

    Inside a group each step goes over all photographs before the next begins, so each has the processor's caches to
    itself, which is its best case. Left out: planning, hashes, flushing to the disk, markers, and whatever holds the
    steps together.
    """
    watch = Stopwatch(clock)
    with watch("write"):
        shard = ParquetShard(scratch / "kernels.parquet", "all", "rendered")
    framing = Framing()
    for first in range(0, len(paths), GROUP):
        samples = _kernels_of_group(paths[first : first + GROUP], landmarker, framing, watch)
        with watch("write"):
            for sample in samples:
                shard.add(sample)
    with watch("write"):
        shard.__exit__(None, None, None)
    return watch


def _kernels_of_group(paths: list[Path], landmarker: Landmarker, framing: Framing, watch: Stopwatch) -> list[Row]:
    with watch("decode"):
        images = [decode(path.read_bytes()) for path in paths]
    with watch("detect"):
        greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
        searched = [landmarker._search(grey, grey, framing=framing) for grey in greys]
    boxes = {number: face[0] for number, face in enumerate(searched) if not isinstance(face, Rejected)}
    found = list(boxes)
    with watch("landmarks"):
        shapes = [landmarker.predict(greys[number], boxes[number]) for number in found]
    with watch("fit"):
        fitted = [fit(images[number], SIZE, "stretch") for number in found]
        landmarks = [one.points(shape) for one, shape in zip(fitted, shapes, strict=True)]
        boxes = [one.box(boxes[number]) for one, number in zip(fitted, found, strict=True)]
    drawable = [place for place, points in enumerate(landmarks) if _drawable(points)]
    samples = []
    for place in drawable:
        with watch("first encoding"):
            data = _encode(cv2.cvtColor(fitted[place].image, cv2.COLOR_RGB2BGR))
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_BGR)
        path = paths[found[place]]
        colors = {name: seeding.color_of(0, path.name, name, ()) for name in VARIANTS}
        with watch("draw"):
            covers = coverage([outline(landmarks[place], name) for name in VARIANTS], SIZE, SIZE)
        jpegs = []
        for image in chain([picture], watch.over("draw", paint_each(picture, covers, colors.values()))):
            with watch("encode"):
                jpegs.append(_encode(image))
        names = dict(zip(("unmasked", *VARIANTS), jpegs, strict=True))
        head = (path.stem, path.name, "n000000", "train", 0, SIZE, SIZE)
        samples.append(Row(*head, boxes[place], landmarks[place], None, colors, names))
    return samples


def floors(paths: list[Path], landmarker: Landmarker, scratch: Path, clock: Callable[[], float]) -> Stopwatch:
    """Seconds of the bare library calls below each step, on the same photographs, in the same groups."""
    watch = Stopwatch(clock)
    with (scratch / "floor").open("wb") as file:
        for first in range(0, len(paths), GROUP):
            jpegs = _floors_of_group(paths[first : first + GROUP], landmarker, watch)
            with watch("write"):
                file.writelines(jpegs)
    return watch


def _floors_of_group(paths: list[Path], landmarker: Landmarker, watch: Stopwatch) -> list[Image]:
    with watch("decode"):
        images = [cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR_RGB) for path in paths]
    greys = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    scales = [FIRST_SIDE / max(grey.shape) for grey in greys]
    copies = [cv2.resize(grey, None, fx=scale, fy=scale) for grey, scale in zip(greys, scales, strict=True)]
    detector, predictor = Hog()._detect, landmarker._predict
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
    points = points_of(shape.parts()) * (SIZE / FIRST_SIDE)
    outlines = [[np.rint(outline(points, name)).astype(np.int32)] for name in VARIANTS]
    jpegs = []
    for picture in pictures:
        with watch("draw"):
            masked = [cv2.fillPoly(picture.copy(), corners, (30, 144, 255)) for corners in outlines]
        with watch("encode"):
            jpegs += [cv2.imencode(".jpg", image, QUALITY)[1] for image in (picture, *masked)]
    return jpegs


def _encode(picture: Image) -> bytes:
    return bytes(cv2.imencode(".jpg", picture, QUALITY)[1])


def _drawable(points: Any) -> bool:
    try:
        return all(len(outline(points, name)) for name in VARIANTS)
    except Undrawable:
        return False
