"""Peak memory of a worker for few and for many photographs. Prints megabytes and their ratio."""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from _common import built, machine, repeated, source, table

LIMIT = 600


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--photographs", type=int, nargs=2, default=(200, 5000), help="few and many [200 5000]")
    arguments = parser.parse_args()
    machine()
    peaks = []
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        src = source(arguments.src, scratch)
        for count in arguments.photographs:
            tree = repeated(src, scratch / str(count), count)
            peaks.append(built(tree, scratch / "out", workers=2))
    rows = [
        (f"{count:,}", round(peak["worker_mb"]), peak["worker_mb"] / LIMIT, round(peak["self_mb"]))
        for count, peak in zip(arguments.photographs, peaks, strict=True)
    ]
    rows.append(
        ("many / few", peaks[1]["worker_mb"] / peaks[0]["worker_mb"], "", peaks[1]["self_mb"] / peaks[0]["self_mb"])
    )
    head = ("photographs", "largest worker, MB", f"of {LIMIT} MB", "the process that plans, MB")
    table("Peak resident memory of a build with two workers", head, rows)


if __name__ == "__main__":
    main()
