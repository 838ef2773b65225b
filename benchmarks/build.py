"""`maskgen build` on photographs as users have them: against a plain loop, MaskTheFace and its own kernels.

Each row is a set of photographs (tight crops, LFW's framing, 400 pixels, 12 megapixels), how many there are, and
whether another process walks through memory meanwhile. Every contestant is a process of its own, and its start is
included, but for MaskTheFace, whose start is left out. Slow ones make some of the photographs, and their time is scaled
up. Prints ratios, above 1 where the build is faster. `--quick` takes a quarter of the time.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from _common import Spent, in_process, machine, measured, median, photographs, processor, repeated, table
from _peers import mask_the_face, plain_loop, prepared
from _sets import SETS


@dataclass(frozen=True)
class Size:
    """How many photographs a set has, and how many of them each contestant makes."""

    photographs: int
    plain_loop: int
    masktheface: int
    kernels: int
    rounds: int


FEW = {name: Size(100, 100, 50, 100, 3) for name in ("tight crops", "LFW framing", "400 pixels")}
MANY = {name: Size(5000, 500, 0, 512, 1) for name in FEW}
FULL = [*FEW.items(), ("12 megapixels", Size(100, 8, 2, 48, 1)), *MANY.items()]
QUICK = [
    *((name, Size(100, 100, 24, 100, 1)) for name in FEW),
    ("12 megapixels", Size(32, 4, 2, 32, 1)),
    *((name, Size(1000, 250, 0, 256, 1)) for name in FEW),
]
"""The plain loop takes a second for a photograph of 12 megapixels, MaskTheFace four; so those sets are small."""

WALK = """
import numpy as np
memory = np.zeros(128 << 20, np.uint8)
while True:
    memory[::64] += 1
"""

KERNELS = """
import json, sys, tempfile, time
from pathlib import Path

arguments = json.loads(sys.argv[1])
sys.path.insert(0, arguments["benchmarks"])
from _common import anew, on_one_core, photographs
from _kernels import kernels
import maskgen
from maskgen.imaging.landmarks import Landmarker

on_one_core()
src, count = Path(arguments["src"]), arguments["count"]
settings = maskgen.BuildSettings(src=src, out=Path(arguments["out"]), engine="serial", limit=count)
maskgen.build(anew(settings))  # loads the models
with tempfile.TemporaryDirectory() as folder:
    landmarker = Landmarker(face="central")
    landmarker.load()
    times = kernels(photographs(src)[:count], landmarker, Path(folder), time.process_time)
anew(settings)
began = time.process_time()
maskgen.build(settings)
print(json.dumps({"build": time.process_time() - began, **times}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, help="folder of tight crops [../shared/data/faces, or astronauts]")
    parser.add_argument("--masktheface", type=Path, metavar="DIR", help="a clone of MaskTheFace [left out]")
    parser.add_argument("--quick", action="store_true", help="fewer photographs, one round")
    parser.add_argument("--most", type=int, metavar="N", help="leave out sets of more photographs")
    parser.add_argument("--least", type=int, metavar="N", default=0, help="leave out sets of fewer photographs")
    parser.add_argument("--only", action="append", choices=tuple(SETS), metavar="SET", help=f"of {', '.join(SETS)}")
    parser.add_argument("--load", action="append", choices=("quiet", "busy"), help="one of the two [both]")
    arguments = parser.parse_args()
    machine()
    print(processor())
    rows, shares = [], []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        clone = prepared(arguments.masktheface, scratch)
        for name, size in QUICK if arguments.quick else FULL:
            left_out = (arguments.only and name not in arguments.only) or size.photographs < arguments.least
            if left_out or (arguments.most and size.photographs > arguments.most):
                continue
            src = repeated(SETS[name](scratch, arguments.src), scratch / "photographs", size.photographs)
            for load in arguments.load or ("quiet", "busy"):
                with busy() if load == "busy" else contextlib.nullcontext():
                    row, kernels = contest(src, size, scratch, clone)
                rows.append((name, f"{size.photographs:,}", load, *row))
                if load == "quiet":
                    shares.append((name, f"{size.photographs:,}", *kernels.values()))
                    steps = tuple(kernels)
            shutil.rmtree(src)
    head = ("set", "photographs", "machine", "plain loop / build", "CPU of it", "MaskTheFace / build", "1 worker / 2")
    table(
        "The build, on one core where nothing else is said: seconds of a masked picture",
        (*head, "kernels / build"),
        rows,
    )
    if shares:
        table("The kernels: share of their sum", ("set", "photographs", *steps), shares)


def contest(src: Path, size: Size, scratch: Path, clone: Path | None) -> tuple[list[float | str], dict[str, float]]:
    """The ratios of one row, medians of its rounds; and the share of each kernel."""
    rounds: list[tuple[float, float, float]] = []
    for _ in range(size.rounds):
        loop, masked = plain_loop(src, scratch / "loop", size.plain_loop, size.photographs)
        one, made = build(src, scratch / "out", 1)
        two, _ = build(src, scratch / "out", 2)
        each = loop.times(1 / masked), one.times(1 / made)
        rounds.append((each[0].seconds / each[1].seconds, each[0].cpu / each[1].cpu, one.seconds / two.seconds))
    against = ""
    if clone and size.masktheface:
        peer, masked = mask_the_face(clone, photographs(src)[: size.masktheface], scratch)
        against = f"{peer.seconds / masked / (one.seconds / made):.1f}"
    wall, cpu, workers = (median(values) for values in zip(*rounds, strict=True))
    folder, out = str(Path(__file__).parent), str(scratch / "out")
    found = [in_process(KERNELS, benchmarks=folder, src=str(src), out=out, count=size.kernels) for _ in rounds]
    ratio = median((sum(times.values()) - times["build"]) / times["build"] for times in found)
    last = {name: value for name, value in found[-1].items() if name != "build"}
    shares = {name: value / sum(last.values()) for name, value in last.items()}
    return [wall, cpu, against, workers if (os.cpu_count() or 1) > 1 else "", ratio], shares


def build(src: Path, out: Path, workers: int) -> tuple[Spent, int]:
    """Time of a build, start included, and its masked pictures. One worker is the command's own process."""
    shutil.rmtree(out, ignore_errors=True)
    code = (
        "import sys, maskgen; made = maskgen.build(src=sys.argv[1], out=sys.argv[2], workers=int(sys.argv[3]));"
        "print(sum(made.rows.values()) * made.masked_per_row)"
    )
    command = [sys.executable, "-c", code, str(src), str(out), str(workers)]
    spent, answer = measured(command, one_core=workers == 1)
    return spent, int(answer)


@contextlib.contextmanager
def busy() -> Iterator[None]:
    """Keeps another process at work that walks through 128 MB of memory again and again."""
    with subprocess.Popen([sys.executable, "-c", WALK]) as other:
        try:
            yield
        finally:
            other.kill()


if __name__ == "__main__":
    main()
