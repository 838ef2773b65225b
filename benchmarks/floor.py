"""Each kernel against the least that the libraries below it take for the same work. Prints ratios."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from _common import machine, median, on_one_core, photographs, repeated, source, table
from _kernels import floors, kernels

from maskgen.imaging.landmarks import Landmarker

FLOOR = {
    "decode": "reading and cv2.imdecode",
    "detect": "dlib on one copy of 120 pixels",
    "landmarks": "dlib's predictor, one photograph again and again",
    "fit": "cv2.resize",
    "draw": "cv2.fillPoly on six copies",
    "first encoding": "cv2.imencode and cv2.imdecode",
    "encode": "cv2.imencode, seven times",
    "write": "the same bytes into one plain file",
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--rounds", type=int, default=5, help="everything is run so often, in turn [5]")
    arguments = parser.parse_args()
    machine()
    on_one_core()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        paths = photographs(repeated(source(arguments.src, scratch), scratch / "photographs", 256))
        landmarker = Landmarker(face="central")
        runs = [
            tuple(measure(paths, landmarker, scratch, time.process_time) for measure in (kernels, floors))
            for _ in range(arguments.rounds)
        ]
    rows = [(name, median(ours[name] / least[name] for ours, least in runs), what) for name, what in FLOOR.items()]
    rows.append(("all", median(sum(ours.values()) / sum(least.values()) for ours, least in runs), "the sum of these"))
    table(f"{len(paths)} photographs on one core, CPU seconds", ("kernel", "kernel / floor", "the floor"), rows)


if __name__ == "__main__":
    main()
