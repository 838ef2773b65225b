"""Planning VGGFace2's 3.3 million photographs, without boxes and with them, and listing a real tree. Prints
ratios."""

from __future__ import annotations

import argparse
import os
import tempfile
from pathlib import Path

from _common import in_process, machine, table

SECONDS, MEGABYTES = 60, 1500

PLAN = """
import json, resource, sys, time
from pathlib import Path
from maskgen.dataset.plan_file import write_plan
from maskgen.pipeline.build_settings import BuildSettings
from maskgen.pipeline.plan import make_plan
from maskgen.sources.photograph import Photograph

arguments = json.loads(sys.argv[1])

def listing():
    left, identity = arguments["photographs"], 0
    while left:  # about 363 photographs a person, and one person in 18 for tests, as in VGGFace2
        folder = "test" if identity % 18 == 17 else "train"
        for number in range(1, 1 + min(left, 264 + identity * 7 % 199)):
            name = f"n{identity:06d}"
            yield Photograph(f"{folder}/{name}/{number:04d}_01.jpg", name, folder, 20_000 + number, "")
            left -= 1
        identity += 1

out = Path(arguments["out"])
boxes = (out / "boxes.csv",) if arguments["boxes"] else ()
build = BuildSettings(src=Path("photographs"), out=out, boxes=boxes)
for path in boxes:
    with path.open("w") as file:
        file.write("NAME_ID,X,Y,W,H\\n")
        for photograph in listing():
            _, identity, name = photograph.source[:-4].split("/")
            file.write(f'"{identity}/{name}",{photograph.bytes % 97},{photograph.bytes % 89},120,160\\n')
began = time.perf_counter()
table, identities = make_plan(build, listing())
planned = time.perf_counter() - began
write_plan(table, build.out / "plan.parquet")
print(json.dumps({
    "planned": planned,
    "written": time.perf_counter() - began - planned,
    "identities": len(identities),
    "mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
}))
"""

LIST = """
import json, resource, sys, time
from pathlib import Path
from maskgen.sources.folders import photographs

arguments = json.loads(sys.argv[1])
began = time.perf_counter()
count = sum(1 for _ in photographs(Path(arguments["src"])))
print(json.dumps({"seconds": time.perf_counter() - began, "count": count}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--photographs", type=int, default=3_311_286, help="entries of the generated listing [VGGFace2's]"
    )
    parser.add_argument("--files", type=int, default=100_000, help="empty files of the real tree [100000]")
    arguments = parser.parse_args()
    machine()
    with tempfile.TemporaryDirectory() as folder:
        plan, boxed = (in_process(PLAN, photographs=arguments.photographs, out=folder, boxes=on) for on in (0, 1))
        for number in range(arguments.files):
            identity = Path(folder, "tree", f"n{number // 360:06d}")
            if number % 360 == 0:
                identity.mkdir(parents=True)
            os.close(os.open(identity / f"{number % 360:04d}_01.jpg", os.O_CREAT))
        listed = in_process(LIST, src=f"{folder}/tree")
    assert listed["count"] == arguments.files
    listing = listed["seconds"] * arguments.photographs / arguments.files
    rows = [
        (f"planning / {SECONDS} s", plan["planned"] / SECONDS),
        (f"writing plan.parquet / {SECONDS} s", plan["written"] / SECONDS),
        (f"listing a tree, from {arguments.files:,} files / {SECONDS} s", listing / SECONDS),
        (f"all three / {SECONDS} s (1 or less)", (plan["planned"] + plan["written"] + listing) / SECONDS),
        (f"peak memory / {MEGABYTES} MB (1 or less)", plan["mb"] / MEGABYTES),
        (f"planning with boxes / {SECONDS} s", boxed["planned"] / SECONDS),
        (f"peak memory with boxes / {MEGABYTES} MB (1 or less)", boxed["mb"] / MEGABYTES),
    ]
    table(f"{arguments.photographs:,} photographs", ("", "ratio"), rows)


if __name__ == "__main__":
    main()
