"""The six-mask build against MaskTheFace, and against a plain loop over dlib and OpenCV: same photographs, one core.

MaskTheFace (github.com/aqeelanwar/MaskTheFace) is no part of this project: clone it and give its folder. It runs as
its README says, `python mask_the_face.py --path FOLDER --mask_type TYPE --verbose --write_original_image` (a build
writes the unmasked photograph too), with this Python, which needs its packages: `pip install dotmap imutils requests`.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import dlib
import numpy as np
from _common import anew, machine, median, on_one_core, photographs, repeated, source, table

import maskgen
from maskgen.imaging.detectors import model_path
from maskgen.imaging.landmarks import SHAPE_PREDICTOR
from maskgen.imaging.outline import Undrawable, outline
from maskgen.imaging.variants import VARIANTS

NEEDS = ("dotmap", "imutils", "requests")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--masktheface", type=Path, metavar="DIR", help="a clone of MaskTheFace [left out]")
    parser.add_argument("--photographs", type=int, default=512, help="copies fill up [512]")
    parser.add_argument("--rounds", type=int, default=3, help="everything is run so often, in turn [3]")
    arguments = parser.parse_args()
    machine()
    on_one_core()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        src = repeated(source(arguments.src, scratch), scratch / "photographs", arguments.photographs)
        paths = photographs(src)
        peers = {
            "a plain loop, dlib at full size": lambda: plain_loop(paths, scratch / "loop", 0),
            "a plain loop, dlib upsampled once": lambda: plain_loop(paths, scratch / "loop", 1),
        }
        clone = prepared(arguments.masktheface, scratch)
        if clone:
            peers["MaskTheFace, one mask type (25 or more)"] = lambda: mask_the_face(clone, src, "surgical")
            peers["MaskTheFace, all its mask types (25 or more)"] = lambda: mask_the_face(clone, src, "all")
        settings = maskgen.BuildSettings(src=src, out=scratch / "out", engine="serial")
        maskgen.build(anew(settings))  # loads the model, which is left out for the others too
        ratios: dict[str, list[tuple[float, float]]] = {name: [] for name in peers}
        for _ in range(arguments.rounds):
            ours = our_rates(settings)
            for name, peer in peers.items():
                ratios[name].append(tuple(np.divide(ours, peer())))
    rows = [
        (name, median(wall for wall, _ in found), median(cpu for _, cpu in found)) for name, found in ratios.items()
    ]
    head = ("maskgen build against", "seconds", "CPU seconds")
    table(f"Masked pictures a second from {len(paths)} photographs on one core, as a ratio", head, rows)
    print(f"\nhere and now: {ours[0]:.0f} masked/s by maskgen")


def our_rates(settings: maskgen.BuildSettings) -> tuple[float, float]:
    """Masked pictures per second, and per CPU second, of a serial build."""
    anew(settings)
    began = time.process_time()
    summary = maskgen.build(settings)
    masked = sum(summary.rows.values()) * summary.masked_per_row
    return masked / summary.seconds, masked / (time.process_time() - began)


def plain_loop(paths: list[Path], out: Path, upsample: int) -> tuple[float, float]:
    """The rates of the same work as anyone would write it: a file in, seven files out, nothing promised."""
    detect = dlib.get_frontal_face_detector()
    predict = dlib.shape_predictor(str(model_path(SHAPE_PREDICTOR)))
    random = np.random.default_rng(0)
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    masked, began = 0, (time.perf_counter(), time.process_time())
    for number, path in enumerate(paths):
        image = cv2.imread(str(path))
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        faces = detect(grey, upsample)
        if not faces:
            continue
        shape = predict(grey, max(faces, key=lambda face: face.area()))
        picture = cv2.resize(image, (224, 224), interpolation=cv2.INTER_AREA)
        scale = np.array([224, 224]) / grey.shape[::-1]
        landmarks = np.array([(point.x, point.y) for point in shape.parts()]) * scale
        cv2.imwrite(f"{out}/{number}.jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 95])
        for variant in VARIANTS:
            try:
                corners = np.rint(outline(landmarks, variant)).astype(np.int32)
            except Undrawable:
                continue
            drawn = cv2.fillPoly(picture.copy(), [corners], random.integers(0, 256, 3).tolist(), cv2.LINE_AA)
            cv2.imwrite(f"{out}/{number}.{variant}.jpg", drawn, [cv2.IMWRITE_JPEG_QUALITY, 95])
            masked += 1
    return masked / (time.perf_counter() - began[0]), masked / (time.process_time() - began[1])


def prepared(clone: Path | None, scratch: Path) -> Path | None:
    """A copy of the clone with the landmark model where it looks for one; None, and a sentence, where there is none."""
    if clone is None:
        print("MaskTheFace is left out: clone it and give --masktheface DIR.")
        return None
    if not (clone / "mask_the_face.py").is_file():
        sys.exit(f"{clone} has no mask_the_face.py; give --masktheface a clone of MaskTheFace.")
    done = subprocess.run([sys.executable, "-c", f"import {', '.join(NEEDS)}"], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"MaskTheFace needs packages that this Python lacks; run: pip install {' '.join(NEEDS)}")
    copy = Path(shutil.copytree(clone, scratch / "masktheface", ignore=shutil.ignore_patterns(".git", "dlib_models")))
    (copy / "dlib_models").mkdir()
    (copy / "dlib_models" / SHAPE_PREDICTOR).symlink_to(model_path(SHAPE_PREDICTOR))
    return copy


def mask_the_face(clone: Path, src: Path, kind: str) -> tuple[float, float]:
    """Its rates, less the time that it takes over an empty folder: imports and the model's loading."""
    empty, out = src.with_name("empty"), src.with_name(f"{src.name}_masked")
    empty.mkdir(exist_ok=True)
    spent = []
    for folder in (src, empty):
        shutil.rmtree(out if folder is src else f"{empty}_masked", ignore_errors=True)
        command = [sys.executable, "mask_the_face.py", "--path", str(folder), "--mask_type", kind]
        command += ["--verbose", "--write_original_image"]
        began = np.array([time.perf_counter(), _cpu_of_children()])
        done = subprocess.run(command, cwd=clone, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"MaskTheFace failed: {done.stderr.strip().splitlines()[-1]}")
        spent.append([time.perf_counter(), _cpu_of_children()] - began)
    originals = {path.relative_to(src) for path in photographs(src)}
    masked = sum(path.relative_to(out) not in originals for path in photographs(out))
    if not masked:
        sys.exit(f"MaskTheFace wrote nothing to {out}; there is no rate to compare.")
    wall, cpu = masked / (spent[0] - spent[1])
    return float(wall), float(cpu)


def _cpu_of_children() -> float:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
