"""What an export costs beside writing the same bytes with a plain loop, and labels beside drawing. Prints ratios."""

from __future__ import annotations

import argparse
import shutil
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from _common import anew, machine, median, on_one_core, repeated, source, table

import maskgen
from maskgen.imaging.variants import VARIANTS


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--photographs", type=int, default=256, help="copies fill up [256]")
    parser.add_argument("--rounds", type=int, default=3, help="everything is run so often, in turn [3]")
    arguments = parser.parse_args()
    machine()
    on_one_core()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        src = repeated(source(arguments.src, scratch), scratch / "photographs", arguments.photographs)
        data = {}
        for store in ("rendered", "recipe"):
            maskgen.build(anew(maskgen.BuildSettings(src=src, out=scratch / store, engine="serial", store=store)))
            data[store] = maskgen.open(scratch / store)
        exports(data, scratch / "out", arguments.rounds)
        labels(data["rendered"], arguments.rounds)


def exports(data: dict[str, maskgen.Dataset], out: Path, rounds: int) -> None:
    """Each kind of export over a plain loop that writes the rendered pictures: no names made safe, nothing flushed."""
    kinds = {("folders", "rendered"): 7, ("folders", "recipe"): 7, ("coco", "rendered"): 7, ("masks", "recipe"): 6}
    found: dict[tuple[str, str], list[tuple[float, float]]] = {kind: [] for kind in kinds}
    for _ in range(rounds):
        floor = timed(lambda: plain_loop(data["rendered"], out), out)
        for to, store in kinds:
            spent = timed(lambda to=to, store=store: maskgen.export(data[store], out, to), out)
            found[to, store].append((spent[0] / floor[0], spent[1] / floor[1]))
    rows = [
        (*kind, files, *(median(list(ratio)) for ratio in zip(*found[kind], strict=True)))
        for kind, files in kinds.items()
    ]
    head = ("export", "store", "files a photograph", "CPU seconds", "seconds")
    table("Exports over a plain loop that writes the rendered pictures", head, rows)


def plain_loop(data: maskgen.Dataset, out: Path) -> None:
    """The least that writes the stored JPEG bytes as files."""
    for row in data:
        folder = out / row.split / row.identity
        folder.mkdir(parents=True, exist_ok=True)
        for name, jpeg in row.pictures.items():
            (folder / f"{row.key}_{name}.jpg").write_bytes(jpeg)


def timed(work: Callable[[], object], out: Path) -> tuple[float, float]:
    """CPU seconds and seconds of some work that writes into a new folder, which is removed again."""
    cpu, wall = time.process_time(), time.perf_counter()
    work()
    spent = time.process_time() - cpu, time.perf_counter() - wall
    shutil.rmtree(out)
    return spent


def labels(data: maskgen.Dataset, rounds: int) -> None:
    """The labels of a mask over drawing it on decoded pixels."""
    rows = [row for row, _ in zip(data, range(64), strict=False)]
    photographs = [row.image("unmasked") for row in rows]
    calls: dict[str, Callable[[maskgen.Row, str], object]] = {
        "mask": lambda row, name: row.mask(name),
        "mask_box": lambda row, name: row.mask_box(name),
        "covered": lambda row, name: row.covered(name),
    }
    found: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        began = time.process_time()
        for row, image in zip(rows, photographs, strict=True):
            for name in VARIANTS:
                maskgen.draw(image, row.landmarks, name, row.colors[name])
        drawn = time.process_time() - began
        for label, call in calls.items():
            began = time.process_time()
            for row in rows:
                for name in VARIANTS:
                    call(row, name)
            found[label].append((time.process_time() - began) / drawn)
    table(
        "Labels over drawing one mask",
        ("label", "CPU seconds"),
        [(name, median(ratios)) for name, ratios in found.items()],
    )


if __name__ == "__main__":
    main()
