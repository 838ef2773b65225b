"""Plan + engine + commits + summary: builds a data set, or goes on with one that was interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from . import card, engine, plan
from .errors import MaskgenError, UsageError
from .plan import BuildSettings
from .settings import jsonable
from .shards import commit, schema
from .work import ShardTask

Planned = Callable[[int, int], None]
"""Called once the plan stands, with its photographs and how many of them an earlier run has done."""

Progress = Callable[[dict[str, Any]], None]
"""Called with each shard's marker as this run commits it."""

_LOCK = ".maskgen-lock"
_OURS = re.compile(r"README\.md|dataset\.json|plan\.parquet|rejects\.parquet|run\.json|\.maskgen-lock")
_SHARD_FILE = re.compile(r"\d{5,}\.(parquet|tar|json)")


@dataclass(frozen=True)
class Summary:
    """What a finished data set holds, and what this run of `build` did for it."""

    out: Path
    rows: dict[str, int]
    rejects: dict[str, dict[str, int]]
    masked_per_row: int
    made: int
    seconds: float

    @property
    def photographs(self) -> int:
        """Photographs of the plan: all rows and all rejects."""
        return sum(self.rows.values()) + sum(sum(reasons.values()) for reasons in self.rejects.values())


def build(
    settings: BuildSettings | None = None,
    /,
    *,
    planned: Planned | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Summary:
    """Builds a data set, or goes on with it: `build(src="photographs", out="smfd", size=112)`.

    Give the fields of `BuildSettings` by name, or a `BuildSettings`. `planned` is called once the plan stands,
    `progress` after every shard. Raises `UsageError` where --out holds something else, or a data set of other
    settings; `MaskgenError` where the work cannot go on. Whatever happens, the same call goes on from there and
    ends in the same bytes.
    """
    build = _with_paths(settings or BuildSettings(**options))
    plan.check(build)
    began = time.perf_counter()
    with _disk_errors(build.out):
        _check_out(build)
        build.out.mkdir(parents=True, exist_ok=True)
        with _lock(build.out):
            return _build(build, began, progress, planned)


def _with_paths(build: BuildSettings) -> BuildSettings:
    """The same settings with absolute paths, which Python callers may give as text."""
    return replace(
        build,
        src=Path(build.src).resolve(),
        out=Path(build.out).resolve(),
        boxes=tuple(Path(path).resolve() for path in build.boxes),
        predictor=Path(build.predictor).resolve() if build.predictor else None,
    )


def _build(build: BuildSettings, began: float, progress: Progress | None, planned: Planned | None) -> Summary:
    out = build.out
    table, identities = plan.make_plan(build)
    slices = plan.shard_slices(table)
    if build.overwrite:
        remove(out)
    with commit.temporary(out / "plan.parquet") as name:
        plan.write_plan(table, name)
        del table
        described = plan.description(build, commit.sha256(name))
        _refuse_other(out, described)
        facts = plan.facts(described, identities)
        fingerprint = facts["fingerprint"]
        if not (out / "dataset.json").exists():
            commit.write_json(out / "dataset.json", {**facts, "complete": False})
        commit.publish(name, out / "plan.parquet")

    tasks = [
        ShardTask(build, fingerprint, group, split, shard, rows) for group, (split, shard, _, rows) in enumerate(slices)
    ]
    missing = [task for task in tasks if commit.read_marker(out, task.split, task.shard, fingerprint) is None]
    photographs, made = sum(task.photographs for task in tasks), 0
    if planned:
        planned(photographs, photographs - sum(task.photographs for task in missing))
    for _, marker in engine.run(missing, build.engine, build.workers):
        made += marker["photographs"]
        if progress:
            progress(marker)

    counts = _finish(build, facts, slices, fingerprint)
    summary = Summary(out, counts[0], counts[1], len(facts["variants"]), made, time.perf_counter() - began)
    if made or not (out / "run.json").exists():
        commit.write_json(out / "run.json", _run_record(build, summary))
    return summary


def remove(out: Path) -> None:
    """Removes the files that `build` made in `out`, the first of them what makes it a data set, and no other file."""
    if not out.is_dir() or not (out / "dataset.json").exists():
        return
    for split in schema.SPLITS:
        folder = out / split
        if folder.is_dir():
            for path in sorted(folder.iterdir(), reverse=True):
                if _SHARD_FILE.fullmatch(path.name) or commit.is_temporary(path.name):
                    path.unlink()
            with contextlib.suppress(OSError):  # something of the user's is in it
                folder.rmdir()
    for path in sorted(out.iterdir(), key=lambda path: path.name == "dataset.json"):
        if (_OURS.fullmatch(path.name) and path.name != _LOCK) or commit.is_temporary(path.name):
            path.unlink()


def _finish(
    build: BuildSettings, facts: dict[str, Any], slices: list[tuple[str, int, int, int]], fingerprint: str
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Gathers the markers into rejects, counts and card; rows + rejects = plan, or nothing is called complete."""
    out = build.out
    rows: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    rejects: list[dict[str, str]] = []
    for split, shard, _, photographs in slices:
        marker = commit.read_marker(out, split, shard, fingerprint)
        if marker is None or marker["rows"] + len(marker["rejects"]) != photographs:
            raise MaskgenError(f"shard {split}/{shard:05d} in {out} is not whole; run the same command again.")
        rows[split] += marker["rows"]
        rejects += marker["rejects"]
        reasons.setdefault(split, Counter()).update(reject["reason"] for reject in marker["rejects"])
    counts = {split: {"rows": rows[split], "rejects": dict(sorted(found.items()))} for split, found in reasons.items()}
    with commit.temporary(out / "rejects.parquet") as name:
        pq.write_table(pa.Table.from_pylist(rejects, schema=schema.REJECTS), name, compression="zstd")
        commit.publish(name, out / "rejects.parquet")
    commit.write(out / "README.md", card.text(facts, counts, build.format).encode())
    commit.write_json(out / "dataset.json", {**facts, "counts": counts, "complete": True})
    for leftover in commit.leftovers(out):
        leftover.unlink(missing_ok=True)
    return dict(rows), {split: dict(found) for split, found in reasons.items()}


def _check_out(build: BuildSettings) -> None:
    """Raises `UsageError` where --out overlaps --src or holds something that is not ours."""
    src, out = build.src, build.out
    if not os.path.isdir(src):  # false, too, where a folder above it is closed
        raise UsageError(f"there is no folder --src {src}; give a folder of identity folders.")
    if out.is_relative_to(src) or src.is_relative_to(out):
        raise UsageError(f"--out {out} and --src {src} lie inside each other; give --out a folder of its own.")
    try:
        str(out).encode()
    except UnicodeEncodeError:
        raise UsageError(
            f"--out {str(out)!r} has a name that is not UTF-8, which Parquet needs; give another."
        ) from None
    if out.exists() and not out.is_dir():
        raise UsageError(f"--out {out} is a file; give a folder.")
    if out.is_dir() and not (out / "dataset.json").exists():
        for path in out.iterdir():
            if path.name != _LOCK and not commit.is_temporary(path.name):
                raise UsageError(
                    f"--out {out} holds {path.name!r} and is no data set of maskgen; give an empty or new folder."
                )


def _refuse_other(out: Path, described: dict[str, Any]) -> None:
    """Raises `UsageError` where `out` holds a data set of other settings, naming what differs."""
    path = out / "dataset.json"
    if not path.exists():
        return
    try:
        there = json.loads(path.read_bytes())
        if not isinstance(there["settings"], dict):
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise UsageError(f"{path} is not one that maskgen wrote; give --out another folder.") from None
    advice = "repeat its settings, give --out another folder, or start anew with --overwrite."
    if there.get("schema_version") != described["schema_version"]:
        raise UsageError(f"--out {out} has schema version {there.get('schema_version')}; {advice}")
    for part in ("settings", "versions"):
        old, new = there.get(part, {}), described[part]
        different = [
            f"{name} {old.get(name)!r} there and {new.get(name)!r} here"
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if different:
            raise UsageError(f"--out {out} was built with other {part} ({'; '.join(different)}): {advice}")
    if there.get("plan_sha256") != described["plan_sha256"]:
        raise UsageError(f"--out {out} was planned from other photographs than --src holds now: {advice}")


def _run_record(build: BuildSettings, summary: Summary) -> dict[str, Any]:
    """What ran and how fast: the one file that differs from run to run."""
    rate = summary.made / summary.seconds if summary.seconds else 0.0
    return {
        "command": jsonable(build),
        "photographs_made": summary.made,
        "seconds": round(summary.seconds, 3),
        "photographs_per_second": round(rate, 2),
    }


@contextlib.contextmanager
def _lock(out: Path) -> Iterator[None]:
    """Holds the data set for this process; the system lets go of it when the process ends, however it ends."""
    try:
        import fcntl
    except ImportError:  # Windows has no flock; markers and atomic names still keep the data whole
        yield
        return
    with (out / _LOCK).open("wb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise MaskgenError(f"another build is at work in {out}; wait for it or stop it first.") from None
        yield


@contextlib.contextmanager
def _disk_errors(out: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MaskgenError(
            f"cannot write to {out}: {error.strerror or error}; "
            "make room or mend the folder and run the same command again."
        ) from None
