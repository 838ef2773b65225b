"""What photographs that are made to cost time or memory cost. Prints seconds, their ratio to a usual one, megabytes."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from _common import in_process, machine, table
from _hostile import photographs

USUAL = "usual photograph of 400 x 400"

SECONDS = 300
"""Seconds of processor after which a photograph is given up."""

_MAKE = """
import json, resource, sys, time
from pathlib import Path
import maskgen
from maskgen.pipeline.sample import make_sample
from maskgen.pipeline.shard import with_one_thread

with_one_thread()
arguments = json.loads(sys.argv[1])
resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
resource.setrlimit(resource.RLIMIT_DATA, (8 << 30, 8 << 30))
path = Path(arguments["path"])
row = {"key": "0", "source": path.name, "identity": "", "split": "test", "label": -1, "face": None}
landmarker, build = maskgen.Landmarker(), maskgen.BuildSettings(src="-", out="-")
warm = Path(arguments["warm"]).read_bytes()
make_sample(warm, row, build, landmarker)
data = path.read_bytes()
before = resource.getrusage(resource.RUSAGE_SELF)
try:
    make_sample(data, row, build, landmarker)
    outcome = "row"
except maskgen.Rejected as rejected:
    outcome = f"{rejected.reason}: {rejected.detail}"
except BaseException as error:
    outcome = f"{type(error).__name__}: {error}"
after = resource.getrusage(resource.RUSAGE_SELF)
seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
status = Path("/proc/self/status")  # elsewhere the peak may be that of the process that started this one
peak = after.ru_maxrss
if status.exists():
    [peak] = [int(line.split()[1]) for line in status.read_text().splitlines() if line.startswith("VmHWM")]
print(json.dumps({"seconds": seconds, "mb": peak / 1024, "outcome": outcome}))
""".replace("SECONDS", str(SECONDS))


def usual() -> bytes:
    """The head of the astronaut that scikit-image carries."""
    import cv2
    from skimage import data

    head = cv2.resize(cv2.cvtColor(data.astronaut()[0:240, 100:340], cv2.COLOR_RGB2BGR), (400, 400))
    return bytes(cv2.imencode(".jpg", head)[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="those with this in their names")
    arguments = parser.parse_args()
    machine()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        warm, path = Path(folder) / "usual.jpg", Path(folder) / "hostile"
        warm.write_bytes(usual())
        base = in_process(_MAKE, path=str(warm), warm=str(warm))
        rows.append((USUAL, warm.stat().st_size / 1e6, base["seconds"], 1, round(base["mb"]), base["outcome"]))
        for name, make in photographs().items():
            if arguments.only not in name:
                continue
            path.write_bytes(make())
            size = path.stat().st_size / 1e6
            try:
                found = in_process(_MAKE, path=str(path), warm=str(warm))
            except subprocess.CalledProcessError as error:
                died = f"given up after {SECONDS} s" if error.returncode == -signal.SIGXCPU else "died"
                rows.append((name, size, "-", "-", "-", died))
            else:
                ratio = round(found["seconds"] / base["seconds"])
                rows.append((name, size, found["seconds"], ratio, round(found["mb"]), found["outcome"]))
            print(name, file=sys.stderr, flush=True)
    head = ("photograph", "MB", "seconds of processor", "usual ones", "peak MB", "outcome")
    table("Hostile photographs", head, rows)


if __name__ == "__main__":
    main()
