"""What a recipe saves against rendered pictures, in bytes and in time, and what encoding costs. Prints ratios."""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import cv2
from _common import anew, machine, median, on_one_core, repeated, source, table

import maskgen
from maskgen.imaging.variants import VARIANTS

QUALITIES = (75, 85, 90, 95)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--photographs", type=int, default=512, help="copies fill up [512]")
    parser.add_argument("--rounds", type=int, default=3, help="everything is run so often, in turn [3]")
    arguments = parser.parse_args()
    machine()
    on_one_core()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        src = repeated(source(arguments.src, scratch), scratch / "photographs", arguments.photographs)
        stores(src, scratch, arguments.rounds)
        qualities(scratch / "rendered", arguments.rounds)


def stores(src: Path, scratch: Path, rounds: int) -> None:
    """Builds, measures and reads both stores of the same photographs."""
    maskgen.build(anew(maskgen.BuildSettings(src=src, out=scratch / "rendered", engine="serial")))  # loads the model
    rows = []
    for format, ending in (("parquet", "parquet"), ("webdataset", "tar")):
        found: dict[str, list[float]] = {"bytes": [], "build": [], "read": []}
        for _ in range(rounds):
            sizes, builds, reads = [], [], []
            for store in ("rendered", "recipe"):
                out = scratch / store
                settings = {"engine": "serial", "format": format, "store": store}
                build = anew(maskgen.BuildSettings(src=src, out=out, **settings))
                began = time.process_time()
                maskgen.build(build)
                builds.append(time.process_time() - began)
                sizes.append(sum(path.stat().st_size for path in out.glob(f"*/*.{ending}")))
                began = time.process_time()
                pixels = sum(row.image(name).size for row in maskgen.open(out) for name in ("unmasked", *VARIANTS))
                reads.append(time.process_time() - began)
                assert pixels
            for name, (rendered, recipe) in zip(found, (sizes, builds, reads), strict=True):
                found[name].append(rendered / recipe)
        rows.append((format, *(median(ratios) for ratios in found.values())))
    head = ("format", "bytes (6 or more)", "CPU seconds to build", "CPU seconds to read all seven pictures")
    table("Rendered over recipe", head, rows)


def qualities(out: Path, rounds: int) -> None:
    """Encodes the pictures of a rendered data set again: what a quality costs in time and in bytes."""
    rows = [row for row, _ in zip(maskgen.open(out), range(64), strict=False)]
    kinds = {
        "unmasked": [row.image("unmasked")[:, :, ::-1].copy() for row in rows],
        "masked": [row.image(name)[:, :, ::-1].copy() for row in rows for name in VARIANTS],
    }
    measured = {}
    for quality in QUALITIES:
        for kind, pictures in kinds.items():
            times = []
            for _ in range(rounds):
                began = time.process_time()
                sizes = [len(cv2.imencode(".jpg", one, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]) for one in pictures]
                times.append((time.process_time() - began) / len(pictures))
            measured[quality, kind] = min(times), sum(sizes) / len(sizes)
    base = measured[QUALITIES[-1], "unmasked"]
    lines = [
        (kind, quality, seconds / base[0], size / base[1], f"{size:,.0f}")
        for (quality, kind), (seconds, size) in measured.items()
    ]
    head = ("picture", "quality", "time", "bytes", "bytes of one")
    table(f"One encoding, over an unmasked picture's at quality {QUALITIES[-1]}", head, lines)


if __name__ == "__main__":
    main()
