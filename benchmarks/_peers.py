"""What a build is compared with: a plain loop over dlib and OpenCV, and MaskTheFace.

    python benchmarks/_peers.py PHOTOGRAPHS OUT COUNT

runs the plain loop over the first photographs of a folder and prints, as JSON, its masked pictures and its seconds
without the start of Python. MaskTheFace (github.com/aqeelanwar/MaskTheFace) is no part of this project. It runs as its
README says, `python mask_the_face.py --path FOLDER --mask_type TYPE --verbose --write_original_image` (a build writes
the unmasked photograph too), with this Python, which needs its packages: `pip install dotmap imutils requests`.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import dlib
import numpy as np
from _common import Spent, measured, photographs

from maskgen.imaging.detectors import model_path
from maskgen.imaging.landmarks import SHAPE_PREDICTOR
from maskgen.imaging.outline import Undrawable, outline
from maskgen.imaging.variants import VARIANTS

NEEDS = ("dotmap", "imutils", "requests")


def plain_loop(src: Path, out: Path, count: int, of: int) -> tuple[Spent, int]:
    """Time of the plain loop over `of` photographs, start included, and the masked pictures that it would make.

    Only the first `count` are made; the rest of its time is in proportion.
    """
    shutil.rmtree(out, ignore_errors=True)
    command = [sys.executable, __file__, str(src), str(out), str(count)]
    whole, answer = measured(command)
    found = json.loads(answer)
    inner = Spent(found["seconds"], found["cpu"])
    return whole.less(inner).plus(inner.times(of / count)), round(found["masked"] * of / count)


def run_plain_loop(paths: list[Path], out: Path) -> int:
    """The work of a build as anyone would write it: a file in, seven files out, nothing promised."""
    detect = dlib.get_frontal_face_detector()
    predict = dlib.shape_predictor(str(model_path(SHAPE_PREDICTOR)))
    random = np.random.default_rng(0)
    out.mkdir()
    masked = 0
    for number, path in enumerate(paths):
        image = cv2.imread(str(path))
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        faces = detect(grey, 0)
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
    return masked


def prepared(clone: Path | None, scratch: Path) -> Path | None:
    """A copy of the clone with the landmark model where it looks for one; None without a clone."""
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


def mask_the_face(clone: Path, paths: list[Path], scratch: Path) -> tuple[Spent, int]:
    """Its time over these photographs and the masked pictures it made; its start and its model's loading left out."""
    spent = []
    for name, given in (("peer", paths), ("empty", [])):
        src = scratch / name
        for folder in (src, scratch / f"{name}_masked"):
            shutil.rmtree(folder, ignore_errors=True)
        src.mkdir()
        for path in given:
            (src / path.name).symlink_to(path)
        command = [sys.executable, "mask_the_face.py", "--path", str(src), "--mask_type", "surgical"]
        spent.append(measured([*command, "--verbose", "--write_original_image"], cwd=clone)[0])
    originals = {path.name for path in paths}
    masked = sum(path.name not in originals for path in photographs(scratch / "peer_masked"))
    if not masked:
        sys.exit("MaskTheFace wrote nothing; there is no rate to compare.")
    return spent[0].less(spent[1]), masked


if __name__ == "__main__":
    cv2.setNumThreads(1)
    began = time.perf_counter(), time.process_time()
    done = run_plain_loop(photographs(Path(sys.argv[1]))[: int(sys.argv[3])], Path(sys.argv[2]))
    print(
        json.dumps({"masked": done, "seconds": time.perf_counter() - began[0], "cpu": time.process_time() - began[1]})
    )
