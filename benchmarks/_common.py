"""What the benchmarks share: photographs, a table, and a word about how busy the machine is."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np

import maskgen
from maskgen.sources.photograph import EXTENSIONS

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
"""Photographs that some machines have beside the checkout; no benchmark but `landmarks` needs them."""


def photographs(folder: Path) -> list[Path]:
    """The photographs in a folder, at any depth, sorted."""
    return sorted(path for path in folder.rglob("*") if path.suffix.lower() in EXTENSIONS)


def source(src: Path | None, scratch: Path) -> Path:
    """`src`; else the shared faces; else a folder of 64 pictures made from the astronaut that scikit-image carries."""
    if src is None and (DATA / "faces").is_dir():
        return DATA / "faces"
    return src or _astronauts(scratch / "astronauts")


def repeated(src: Path, folder: Path, count: int) -> Path:
    """A tree of `count` photographs: those of `src` copied as often as it takes, 50 to an identity folder."""
    paths = photographs(src)
    for number in range(count):
        identity = folder / f"n{number // 50:06d}"
        identity.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(paths[number % len(paths)], identity / f"{number:06d}{paths[number % len(paths)].suffix}")
    return folder


def built(src: Path, out: Path, **settings: Any) -> dict[str, float]:
    """Builds a data set anew in a process of its own: its photographs, seconds and peak memory in MB.

    `seconds` are those of the build, workers' start included and Python's own start left out; `cpu` those of all its
    processes from their start; `worker_mb` is the peak of the largest worker, 0 where there is none.
    """
    shutil.rmtree(out, ignore_errors=True)
    return in_process(_BUILD, src=str(src), out=str(out), **settings)


def in_process(code: str, **arguments: Any) -> dict[str, float]:
    """Runs `code` in a fresh Python with `arguments` in the dict of that name; its last line of output is JSON."""
    command = [sys.executable, "-c", code, json.dumps(arguments)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


class Spent(NamedTuple):
    """Time of some work: seconds by the clock, and of all processors."""

    seconds: float
    cpu: float

    def less(self, other: Spent) -> Spent:
        return Spent(self.seconds - other.seconds, self.cpu - other.cpu)

    def plus(self, other: Spent) -> Spent:
        return Spent(self.seconds + other.seconds, self.cpu + other.cpu)

    def times(self, factor: float) -> Spent:
        return Spent(self.seconds * factor, self.cpu * factor)


def measured(command: Sequence[str], cwd: Path | None = None, one_core: bool = True) -> tuple[Spent, str]:
    """Runs a command: its time from start to end with all its processes, and the last line that it prints."""
    before = _spent_by_children()
    with _one_core() if one_core else contextlib.nullcontext():
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{command[1]} failed: {done.stderr.strip().splitlines()[-1]}")
    return _spent_by_children().less(before), (done.stdout.splitlines() or [""])[-1]


@contextlib.contextmanager
def _one_core() -> Iterator[None]:
    """Keeps this thread, and the processes that it starts meanwhile, on one core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    all_of_them = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {max(all_of_them)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, all_of_them)


def _spent_by_children() -> Spent:
    import resource

    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Spent(time.perf_counter(), usage.ru_utime + usage.ru_stime)


_BUILD = """
import json, resource, sys
from pathlib import Path
import maskgen

arguments = json.loads(sys.argv[1])
src, out = Path(arguments.pop("src")), Path(arguments.pop("out"))
summary = maskgen.build(maskgen.BuildSettings(src=src, out=out, **arguments))
own, workers = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
print(json.dumps({
    "photographs": summary.photographs,
    "masked": sum(summary.rows.values()) * summary.masked_per_row,
    "seconds": summary.seconds,
    "cpu": sum(usage.ru_utime + usage.ru_stime for usage in (own, workers)),
    "self_mb": own.ru_maxrss / 1024,
    "worker_mb": workers.ru_maxrss / 1024,
}))
"""


def anew(settings: maskgen.BuildSettings) -> maskgen.BuildSettings:
    """The same settings, once an earlier build of theirs is removed: that is no part of what is timed."""
    shutil.rmtree(settings.out, ignore_errors=True)
    return settings


def on_one_core() -> None:
    """Keeps this process and all that it starts on one core; threads then take time from each other."""
    cv2.setNumThreads(1)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def cpu(work: Callable[[], object]) -> float:
    """CPU seconds of this process."""
    start = time.process_time()
    work()
    return time.process_time() - start


def median(values: Iterable[float]) -> float:
    return float(np.median(list(values)))


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Prints a Markdown table, ready for docs/performance.md."""
    text = [[f"{cell:.2f}" if isinstance(cell, float) else str(cell) for cell in row] for row in [head, *rows]]
    wide = [max(len(row[column]) for row in text) for column in range(len(head))]
    lines = ["| " + " | ".join(cell.ljust(space) for cell, space in zip(row, wide, strict=True)) + " |" for row in text]
    lines.insert(1, "|" + "|".join("-" * (space + 2) for space in wide) + "|")
    print(f"\n{title}\n\n" + "\n".join(lines), flush=True)


def machine() -> None:
    """Prints the date, the versions and how busy the machine is: a busy one measures its other guests."""
    share, cores = others(), os.cpu_count() or 1
    warning = " (**provisional**: others were at work)" if share > 0.05 else ""
    python = sys.version.split()[0]
    print(f"{datetime.date.today()}, Python {python}, {cores} cores, {share:.0%} busy before{warning}", flush=True)


def processor() -> str:
    """The processor's name and caches, as Linux tells them."""
    name, caches = "an unknown processor", []
    with contextlib.suppress(OSError, StopIteration):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
        found = {line.split(":", 1)[0].strip(): line.split(":", 1)[1].strip() for line in lines if ":" in line}
        name += f" (family {found['cpu family']}, model {found['model']}), "
        flags = found["flags"].split()
        name += "with AVX-512" if "avx512f" in flags else "with AVX2" if "avx2" in flags else "without AVX2"
        for index in sorted(Path("/sys/devices/system/cpu/cpu0/cache").glob("index*")):
            level, kind, size = ((index / part).read_text().strip() for part in ("level", "type", "size"))
            shared = (index / "shared_cpu_list").read_text().strip()
            if kind != "Instruction":
                caches.append(f"L{level} {size} (processors {shared})")
    return f"{name}; caches: {', '.join(caches) or 'unknown'}"


def others() -> float:
    """The share of all cores that others use while this process sleeps; the load where there is no /proc."""

    def ticks() -> tuple[int, int]:
        times = [int(value) for value in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
        return sum(times[:8]), times[3] + times[4]

    try:
        before = ticks()
        time.sleep(2)
        total, idle = np.subtract(ticks(), before)
        return float(1 - idle / max(total, 1))
    except OSError:
        return min(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)


def _astronauts(folder: Path) -> Path:
    from skimage import data

    face = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[48:188, 152:292]
    for number in range(64):
        # Another size, turn, light and side each time: no two files alike, and a face in all of them.
        side, turn = 160 + 4 * (number % 32), (number % 9 - 4) * 2.5
        warp = cv2.getRotationMatrix2D((70, 70), turn, side / 140)
        warp[:, 2] += side / 2 - 70
        picture = cv2.warpAffine(face, warp, (side, side), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE)
        picture = cv2.convertScaleAbs(picture, alpha=0.8 + 0.05 * (number % 7))
        identity = folder / f"n{number // 8:06d}"
        identity.mkdir(parents=True, exist_ok=True)
        picture = picture[:, ::-1] if number % 2 else picture
        cv2.imwrite(str(identity / f"{number:04d}.jpg"), picture, [cv2.IMWRITE_JPEG_QUALITY, 92])
    return folder
