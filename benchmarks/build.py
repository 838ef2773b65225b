"""How much of a build is its own kernels, what a second worker adds, and how a plain loop compares. Prints ratios."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from pathlib import Path

import cv2
import dlib
import numpy as np
from _common import built, machine, median, photographs, repeated, source, table
from _kernels import kernels

import maskgen
from maskgen.landmarks import SHAPE_PREDICTOR, Landmarker, model_path
from maskgen.outline import VARIANTS, Undrawable, outline


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--photographs", type=int, default=5000, help="for the workers; copies fill up [5000]")
    parser.add_argument("--rounds", type=int, default=3, help="everything is run so often, in turn [3]")
    parser.add_argument("--only", choices=("core", "workers"), help="one of the two parts")
    arguments = parser.parse_args()
    machine()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        src = source(arguments.src, scratch)
        if arguments.only != "workers":
            one_core(repeated(src, scratch / "small", 512), scratch, arguments.rounds)
        if arguments.only != "core":
            two_workers(repeated(src, scratch / "large", arguments.photographs), scratch / "out", arguments.rounds)


def one_core(src: Path, scratch: Path, rounds: int) -> None:
    """A serial build against the sum of its kernels, and against a loop over dlib and OpenCV."""
    paths, out = photographs(src), scratch / "out"
    settings = maskgen.BuildSettings(src=src, out=out, engine="serial", overwrite=True)
    landmarker = Landmarker()
    maskgen.build(settings)  # loads the worker's model
    runs = []
    for _ in range(rounds):
        times = kernels(paths, landmarker, scratch)
        summary = maskgen.build(settings)
        loops = [plain_loop(paths, scratch / "loop", upsample) for upsample in (0, 1)]
        runs.append((times, summary.seconds, loops))
    total = [sum(times.values()) for times, _, _ in runs]
    rows = [(name, median(run[0][name] / whole for run, whole in zip(runs, total, strict=True))) for name in times]
    table(f"The kernels of {len(paths)} photographs on one core: share of their sum", ("kernel", "share"), rows)
    builds = [seconds for _, seconds, _ in runs]
    plain = [median(loops[up] / seconds for _, seconds, loops in runs) for up in (0, 1)]
    rows = [
        ("sum of the kernels / build (0.85 or more)", median(np.divide(total, builds))),
        ("plain loop, dlib at full size / build", plain[0]),
        ("plain loop, dlib upsampled once / build", plain[1]),
    ]
    table("One core: seconds over seconds of `maskgen build`", ("", "ratio"), rows)
    masked = sum(summary.rows.values()) * summary.masked_per_row
    rate = len(paths) / median(builds)
    print(f"\nhere and now: {rate:.0f} photographs/s, {masked / median(builds):.0f} masked/s on one core")


def two_workers(src: Path, out: Path, rounds: int) -> None:
    """One worker against two, in fresh processes, the workers' start included."""
    runs = [[built(src, out, workers=workers) for workers in (1, 2)] for _ in range(rounds)]
    rows = []
    for name, what in (
        ("seconds", "seconds, 1 worker / 2 workers (1.8 or more)"),
        ("cpu", "CPU seconds, 1 / 2 workers"),
    ):
        ratios = [one[name] / two[name] for one, two in runs]
        rows.append((what, median(ratios), f"{min(ratios):.2f} .. {max(ratios):.2f}"))
    table(f"Workers, {runs[0][0]['photographs']} photographs", ("", "ratio", "range"), rows)


def plain_loop(paths: list[Path], out: Path, upsample: int) -> float:
    """Seconds of the same work as anyone would write it: a file in, seven files out, nothing promised."""
    detect = dlib.get_frontal_face_detector()
    predict = dlib.shape_predictor(str(model_path(SHAPE_PREDICTOR)))
    random = np.random.default_rng(0)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    began = time.perf_counter()
    for number, path in enumerate(paths):
        image = cv2.imread(str(path))
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        faces = detect(grey, upsample)
        if not faces:
            continue
        shape = predict(grey, max(faces, key=lambda face: face.area()))
        picture = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
        landmarks = np.array([(point.x, point.y) for point in shape.parts()]) * (
            np.array([224, 224]) / grey.shape[::-1]
        )
        cv2.imwrite(f"{out}/{number}.jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
        for variant in VARIANTS:
            try:
                corners = np.rint(outline(landmarks, variant)).astype(np.int32)
            except Undrawable:
                continue
            masked = cv2.fillPoly(picture.copy(), [corners], random.integers(0, 256, 3).tolist(), cv2.LINE_AA)
            cv2.imwrite(f"{out}/{number}.{variant}.jpg", masked, [cv2.IMWRITE_JPEG_QUALITY, 95])
    return time.perf_counter() - began


if __name__ == "__main__":
    main()
