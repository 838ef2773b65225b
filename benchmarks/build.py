"""How much of a build is its own kernels, and what a second worker adds. Prints ratios."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from _common import anew, built, machine, median, on_one_core, photographs, repeated, source, table
from _kernels import kernels

import maskgen
from maskgen.imaging.landmarks import Landmarker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--photographs", type=int, default=2048, help="for the one core; copies fill up [2048]")
    parser.add_argument("--many", type=int, default=20_000, help="for the workers; copies fill up [20000]")
    parser.add_argument("--rounds", type=int, default=3, help="everything is run so often, in turn [3]")
    parser.add_argument("--only", choices=("core", "workers"), help="one of the two parts")
    arguments = parser.parse_args()
    machine()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        src = source(arguments.src, scratch)
        if arguments.only != "core":  # first, while this process may use all cores
            two_workers(repeated(src, scratch / "many", arguments.many), scratch / "out", arguments.rounds)
        if arguments.only != "workers":
            on_one_core()
            one_core(repeated(src, scratch / "some", arguments.photographs), scratch, arguments.rounds)


def one_core(src: Path, scratch: Path, rounds: int) -> None:
    """A serial build against the sum of its kernels, on one and the same core."""
    paths = photographs(src)
    settings = maskgen.BuildSettings(src=src, out=scratch / "out", engine="serial")
    landmarker = Landmarker()
    maskgen.build(anew(settings))  # loads the worker's model
    runs, cpu = [], []
    for _ in range(rounds):
        marks = [time.process_time()]
        times = kernels(paths, landmarker, scratch)
        marks.append(time.process_time())
        anew(settings)
        marks.append(time.process_time())
        summary = maskgen.build(settings)
        marks.append(time.process_time())
        runs.append((times, summary.seconds))
        cpu.append((marks[1] - marks[0]) / (marks[3] - marks[2]))
    total = [sum(times.values()) for times, _ in runs]
    rows = [(name, median(run[0][name] / whole for run, whole in zip(runs, total, strict=True))) for name in times]
    table(f"The kernels of {len(paths)} photographs on one core: share of their sum", ("kernel", "share"), rows)
    ratios = [whole / seconds for whole, (_, seconds) in zip(total, runs, strict=True)]
    rows = [
        ("seconds (0.90 or more)", median(ratios), f"{min(ratios):.2f} .. {max(ratios):.2f}"),
        ("CPU seconds", median(cpu), f"{min(cpu):.2f} .. {max(cpu):.2f}"),
    ]
    table("One core: sum of the kernels / `maskgen build`", ("", "ratio", "range"), rows)
    masked = sum(summary.rows.values()) * summary.masked_per_row
    seconds = median(seconds for _, seconds in runs)
    print(f"\nhere and now: {len(paths) / seconds:.0f} photographs/s, {masked / seconds:.0f} masked/s on one core")


def two_workers(src: Path, out: Path, rounds: int) -> None:
    """One worker against two, in fresh processes, the workers' start included."""
    if (os.cpu_count() or 1) < 2:
        print("\nOne core only: there is no second worker to measure.")
        return
    runs = [[built(src, out, workers=workers) for workers in (1, 2)] for _ in range(rounds)]
    rows = []
    for name, what in (
        ("seconds", "seconds, 1 worker / 2 workers (1.8 or more)"),
        ("cpu", "CPU seconds, 1 / 2 workers"),
    ):
        ratios = [one[name] / two[name] for one, two in runs]
        rows.append((what, median(ratios), f"{min(ratios):.2f} .. {max(ratios):.2f}"))
    table(f"Workers, {runs[0][0]['photographs']} photographs", ("", "ratio", "range"), rows)


if __name__ == "__main__":
    main()
