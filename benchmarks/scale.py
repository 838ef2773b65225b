"""What large sets cost: hours, cores, bytes and shards, worked out from measured costs. Prints docs/scale.md's tables.

`--measure` measures the costs anew on this machine and records them in scale.json beside this script (minutes; wait
for an idle machine); `--write` puts the tables into the page. A test fails where the page is not what this prints.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import io
import json
import math
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

import cv2
from _common import built, others, photographs, source, table

from maskgen.dataset.plan_file import write_plan
from maskgen.pipeline.build_settings import BuildSettings
from maskgen.pipeline.plan import VAL_SHARE, default_shard_size, make_plan
from maskgen.sources.photograph import Photograph

RECORD = Path(__file__).with_name("scale.json")
PAGE = Path(__file__).resolve().parents[1] / "docs" / "scale.md"
BEGIN, END = "<!-- begin: benchmarks/scale.py -->\n", "<!-- end: benchmarks/scale.py -->\n"


class FaceSet(NamedTuple):
    """A public set of faces: its photographs, the share of them that is for tests, and how it is measured."""

    name: str
    photographs: int
    test_share: float
    kind: str


SETS = (
    FaceSet("VGGFace2", 3_311_286, 169_396 / 3_311_286, "photographs"),
    FaceSet("MS1MV3", 5_179_510, 0.1, "crops"),
    FaceSet("Glint360K", 17_091_657, 0.1, "crops"),
)

KINDS = {"photographs": (400, 224), "crops": (112, 112)}
"""Side of the photographs that stand for a set's, and of the stored pictures, in pixels."""

STORES = ("rendered", "recipe")
CORES = (8, 64)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", action="store_true", help="measure the costs anew and record them")
    parser.add_argument("--write", action="store_true", help="put the tables into docs/scale.md")
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--photographs", type=int, default=2000, help="to measure with; copies fill up [2000]")
    arguments = parser.parse_args()
    if arguments.measure:
        RECORD.write_text(json.dumps(measured(arguments.src, arguments.photographs), indent=1) + "\n")
    text = tables(json.loads(RECORD.read_text()))
    if arguments.write:
        head, _, rest = PAGE.read_text().partition(BEGIN)
        PAGE.write_text(head + BEGIN + text + END + rest.partition(END)[2])
    print(text, end="")


def tables(record: dict[str, Any]) -> str:
    """The page's generated part: the recorded costs, and what follows from them for each set and store."""
    with contextlib.redirect_stdout(io.StringIO()) as text:
        efficiency = record["second_worker"] / 2
        rows: list[tuple[object, ...]] = []
        for kind, (side, size) in KINDS.items():
            for store in STORES:
                cost = record["costs"][kind][store]
                each = (f"{1000 * cost['seconds']:.2f}", f"{cost['bytes']:,.0f}", f"{cost['rows']:.3f}")
                rows.append((f"{kind} of {side} px, stored at {size}", store, *each))
        head = ("source", "store", "CPU ms a photograph", "bytes a photograph", "rows a photograph")
        warning = " (**provisional**)" if record["others"] > 0.05 else ""
        print(f"{record['date']}, {record['photographs']:,} photographs, {record['others']:.0%} busy before{warning}")
        table("One photograph", head, rows)
        head = ("", "")
        rows = [
            ("two workers / one worker (of 2)", f"{record['second_worker']:.2f}"),
            ("planning, one process, s a million photographs", f"{1e6 * record['plan_seconds']:.1f}"),
            ("plan.parquet, MB a million photographs", f"{record['plan_bytes']:.1f}"),
            ("memory of a worker, MB", f"{record['worker_mb']:.0f}"),
        ]
        table("The rest", head, rows)
        rows = []
        for one in SETS:
            for store in STORES:
                need = needs(one, store, record)
                hours = [f"{need.planning_hours + need.core_hours / cores / efficiency:,.1f}" for cores in CORES]
                day = math.ceil(need.core_hours / efficiency / (24 - need.planning_hours))
                counts = (f"{need.shards:,}", f"{need.gigabytes:,.0f}", f"{need.masked:,}")
                rows.append((one.name, f"{one.photographs:,}", store, f"{need.core_hours:,.1f}", *hours, day, *counts))
        head = ("set", "photographs", "store", "core hours", *(f"hours on {cores} cores" for cores in CORES))
        head += ("cores for a day", "shards", "GB", "masked pictures")
        table("Each set, six masks, Parquet", head, rows)
    return text.getvalue()


class Needs(NamedTuple):
    """What a set takes: `core_hours` of one core alone, the planning before it, and what lies on the disk after it."""

    core_hours: float
    planning_hours: float
    shards: int
    gigabytes: float
    masked: int


def needs(one: FaceSet, store: str, record: dict[str, Any]) -> Needs:
    """The arithmetic: costs a photograph times photographs; shards are counted split by split."""
    cost = record["costs"][one.kind][store]
    count, size = one.photographs, default_shard_size(one.photographs)
    training = 1 - one.test_share
    splits = (count * one.test_share, count * training * VAL_SHARE, count * training * (1 - VAL_SHARE))
    return Needs(
        core_hours=count * cost["seconds"] / 3600,
        planning_hours=count * record["plan_seconds"] / 3600,
        shards=sum(math.ceil(part / size) for part in splits),
        gigabytes=count * (cost["bytes"] + record["plan_bytes"]) / 1e9,
        masked=round(6 * cost["rows"] * count),
    )


def measured(src: Path | None, count: int) -> dict[str, Any]:
    """Costs a photograph: CPU seconds (the start of Python left out), bytes on the disk, rows."""
    record: dict[str, Any] = {"date": str(datetime.date.today()), "photographs": count, "others": others()}
    record["costs"] = {}
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        originals = photographs(source(src, scratch))
        for kind, (side, size) in KINDS.items():
            tree, few = (_resized(originals, scratch / f"{kind}{number}", number, side) for number in (count, 1))
            record["costs"][kind] = {
                store: _cost(tree, few, scratch / "out", engine="serial", store=store, size=size, shard_size=1000)
                for store in STORES
            }
        tree = scratch / f"photographs{count}"
        few = _resized(originals, scratch / "few", count // 5, KINDS["photographs"][0])
        runs = [
            [built(tree, scratch / "out", workers=workers, shard_size=100) for tree in (few, tree)]
            for workers in (1, 2)
        ]
        one, two = (many["seconds"] - few["seconds"] for few, many in runs)  # without the workers' start
        record["second_worker"] = one / two
        record["worker_mb"] = runs[1][1]["worker_mb"]
        record["plan_seconds"], record["plan_bytes"] = _planning(scratch / "plan.parquet")
    return record


def _cost(tree: Path, few: Path, out: Path, **settings: Any) -> dict[str, float]:
    start = built(few, out, **settings)["cpu"]
    made = built(tree, out, **settings)
    written = sum(path.stat().st_size for path in out.glob("*/*"))
    count = made["photographs"]
    return {"seconds": (made["cpu"] - start) / count, "bytes": written / count, "rows": made["masked"] / 6 / count}


def _planning(file: Path, count: int = 1_000_000) -> tuple[float, float]:
    """Seconds and bytes a photograph of planning a generated listing, each source as long a name as VGGFace2's."""
    listing = (
        Photograph(f"train/n{n // 360:06d}/{n % 360:04d}_01.jpg", f"n{n // 360:06d}", "", n, "") for n in range(count)
    )
    began = time.process_time()
    plan, _ = make_plan(BuildSettings(src=Path("photographs"), out=file.parent), listing)
    write_plan(plan, file)
    return (time.process_time() - began) / count, file.stat().st_size / count


def _resized(originals: list[Path], folder: Path, count: int, side: int) -> Path:
    """A tree of `count` photographs of `side` x `side` pixels, JPEG."""
    files = []
    for path in originals:
        image = cv2.resize(cv2.imread(str(path)), (side, side), interpolation=cv2.INTER_CUBIC)
        files.append(cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, 90])[1].tobytes())
    for number in range(count):
        identity = folder / f"n{number // 50:06d}"
        identity.mkdir(parents=True, exist_ok=True)
        (identity / f"{number:06d}.jpg").write_bytes(files[number % len(files)])
    return folder


if __name__ == "__main__":
    main()
