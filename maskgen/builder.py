"""Plan + engine + commits + summary: builds a data set, or resumes a build that was interrupted."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

import pyarrow as pa
import pyarrow.parquet as pq

from .dataset import card, columns, identity, markers, notebook, plan_file, schema
from .dataset.stored_style import store_textures
from .engines import engine
from .errors import MaskgenError, UsageError
from .imaging.textures import Texture, read_textures
from .pipeline import build_settings, existing, plan
from .pipeline.build_options import BuildOptions
from .pipeline.build_settings import BuildSettings
from .pipeline.shard import Made, ShardTask
from .settings import from_keywords, jsonable
from .sources import detect, kinds
from .storage import files
from .storage.base import Storage
from .storage.local import LocalStorage
from .storage.opening import open_storage
from .storage.uri import is_uri, plain

Planned = Callable[[int, int], None]
"""Called once the plan stands, with its photographs and how many of them an earlier run has done."""

Progress = Callable[[Made], None]
"""Called with the counts of each shard as this run commits it."""


@dataclass(frozen=True)
class Summary:
    """What a finished data set holds, and what this run of `build` did for it.

    Attributes:
        out: Where it lies; a URI without credentials if that is a store.
        rows: Usable photographs by split.
        rejects: Photographs that cannot be used, by split and reason.
        masked_per_row: Masked pictures of each photograph.
        made: Photographs that this run made; the others were done before.
        seconds: How long this run took.
    """

    out: Path | str
    rows: dict[str, int]
    rejects: dict[str, dict[str, int]]
    masked_per_row: int
    made: int
    seconds: float

    @property
    def photographs(self) -> int:
        """Photographs of the plan: all rows and all rejects."""
        return sum(self.rows.values()) + sum(sum(reasons.values()) for reasons in self.rejects.values())

    def _repr_html_(self) -> str:
        about = f"{self.out}: {self.made:,} photographs made in {self.seconds:.1f} s"
        counts = [(split, self.rows.get(split, 0), sum(reasons.values())) for split, reasons in self.rejects.items()]
        return notebook.html_table(about, ("split", "rows", "rejects"), counts)


def build(
    settings: BuildSettings | None = None,
    /,
    *,
    planned: Planned | None = None,
    progress: Progress | None = None,
    **options: Unpack[BuildOptions],
) -> Summary:
    """Builds a data set, or resumes a build that was interrupted. The same call always ends in the same bytes.

    Args:
        settings: All settings in one object, instead of keywords.
        planned: Called once the plan is made, with the number of photographs and of those that an earlier run has done.
        progress: Called after every shard with its counts.
        **options: The fields of `BuildSettings`; `src` and `out` are required.

    Returns:
        What the data set holds, and what this call did for it.

    Raises:
        UsageError: A setting is wrong or misspelled, the source has no photograph that can be used, or `out` holds
            something else or a data set of other settings. Nothing was written.
        MaskgenError: The work cannot continue, for example because the disk is full. The same call resumes it.

    Example:
        >>> summary = maskgen.build(src="photographs", out="smfd", size=112)
        >>> summary.rows
        {'train': 63, 'val': 16, 'test': 14}
    """
    if settings and options:
        raise UsageError(f"build was given settings and the keyword {next(iter(options))!r}; give one of the two.")
    build = build_settings.normalised(settings or from_keywords(BuildSettings, options))
    build_settings.check(build)
    engine.check(build)
    began = time.perf_counter()
    textures = read_textures(build.textures) if build.textures else ()
    storage = open_storage(build.out)
    with _disk_errors(storage):
        _check_out(build.src, storage)
        table, identities = plan.make_plan(build)
        if not storage.exists("dataset.json"):
            engine.try_out(build)
        storage.prepare()
        with storage.lock() as held:
            facts = _claim(build, storage, table, identities, textures)
            slices = plan_file.shard_slices(table)
            del table  # a large plan fills much memory
            return _make(build, storage, facts, slices, held, began, progress, planned)


def _claim(
    build: BuildSettings, storage: Storage, table: pa.Table, identities: list[str], textures: Sequence[Texture]
) -> dict[str, Any]:
    """Writes the plan and the facts of a data set into its place, unless another build is there."""
    with storage.temporary("plan.parquet") as written:
        plan_file.write_plan(table, written)
        described = plan.description(build, files.sha256(written), textures)
        if differs := existing.difference(storage, described, written):
            if not build.overwrite:
                raise UsageError(
                    f"--out {storage} {differs}; give --out another folder, or start again with --overwrite."
                )
            engine.try_out(build)
            existing.remove(storage)
        facts = identity.facts(described, identities)
        if not storage.exists("dataset.json"):
            storage.write("dataset.json", files.json_bytes({**facts, "complete": False}))
        storage.publish(written, "plan.parquet")
        store_textures(storage, textures)
    return facts


def _make(
    build: BuildSettings,
    storage: Storage,
    facts: dict[str, Any],
    slices: list[tuple[str, int, int, int]],
    held: Callable[[], None],
    began: float,
    progress: Progress | None,
    planned: Planned | None,
) -> Summary:
    """Makes the shards that are missing, and finishes the data set."""
    fingerprint, textures = facts["fingerprint"], tuple(facts["settings"].get("textures", ()))
    tasks = [
        ShardTask(build, fingerprint, group, split, shard, rows, textures)
        for group, (split, shard, _, rows) in enumerate(slices)
    ]
    there = markers.read_markers(storage, [(task.split, task.shard) for task in tasks], fingerprint)
    missing = [task for task, marker in zip(tasks, there, strict=True) if marker is None]
    photographs, made = sum(task.photographs for task in tasks), 0
    if planned:
        planned(photographs, photographs - sum(task.photographs for task in missing))
    for shard_made in engine.run(missing, build):
        held()
        made += shard_made.photographs
        if progress:
            progress(shard_made)

    held()
    counts = _finish(build, storage, facts, slices)
    out = build.out if isinstance(build.out, Path) else str(storage)
    summary = Summary(out, counts[0], counts[1], len(facts["variants"]), made, time.perf_counter() - began)
    if made or not storage.exists("run.json"):
        storage.write("run.json", files.json_bytes(_run_record(build, summary)))
    return summary


def _finish(
    build: BuildSettings, storage: Storage, facts: dict[str, Any], slices: list[tuple[str, int, int, int]]
) -> tuple[dict[str, int], dict[str, dict[str, int]]]:
    """Gathers the markers into rejects, counts and card; rows + rejects = plan, or nothing is called complete."""
    if storage.sha256("plan.parquet") != facts["plan_sha256"]:
        raise MaskgenError(
            f"the plan in {storage} became another one during the build, by a build of other settings; "
            "run the same command again, one build at a time."
        )
    rows: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    rejects: list[dict[str, str]] = []
    hashes: list[str] = []
    there = markers.read_markers(storage, [(split, shard) for split, shard, _, _ in slices], facts["fingerprint"])
    for (split, shard, _, photographs), marker in zip(slices, there, strict=True):
        if marker is None or marker["rows"] + len(marker["rejects"]) != photographs:
            raise MaskgenError(f"shard {split}/{shard:05d} in {storage} is not whole; run the same command again.")
        rows[split] += marker["rows"]
        rejects += marker["rejects"]
        hashes += markers.file_hashes(marker)
        reasons.setdefault(split, Counter()).update(reject["reason"] for reject in marker["rejects"])
    counts = {split: {"rows": rows[split], "rejects": dict(sorted(found.items()))} for split, found in reasons.items()}
    with storage.temporary("rejects.parquet") as written:
        named = {name: columns.texts([reject[name] for reject in rejects]) for name in schema.REJECTS.names}
        pq.write_table(pa.table(named, schema=schema.REJECTS), written, compression="zstd")
        storage.publish(written, "rejects.parquet")
    storage.write("README.md", card.text(facts, counts, build.format).encode())
    found = {"counts": counts, "content": markers.content(facts["fingerprint"], hashes), "complete": True}
    storage.write("dataset.json", files.json_bytes({**facts, **found}))
    storage.clean(markers.FOLDERS)
    return dict(rows), {split: dict(found) for split, found in reasons.items()}


def _check_out(src: str, storage: Storage) -> None:
    """Raises `UsageError` if --src does not exist, or if --out overlaps it or holds something that is not ours."""
    local = detect.local_path(src)
    if local is not None and not os.path.isdir(local) and not kinds.kind_of(local):  # so, too, in a closed folder
        raise UsageError(f"there is no folder --src {local}; give a folder of identity folders.")
    _check_apart(local, src, storage)
    if isinstance(storage, LocalStorage):
        out = storage.folder
        try:
            str(out).encode()
        except UnicodeEncodeError:
            raise UsageError(
                f"--out {str(out)!r} has a name that is not UTF-8, which Parquet needs; give another."
            ) from None
        if out.exists() and not out.is_dir():
            raise UsageError(f"--out {out} is a file; give a folder.")
    existing.check(storage)


def _check_apart(local: str | None, src: str, storage: Storage) -> None:
    if isinstance(storage, LocalStorage) != (local is not None):
        return  # one in a folder, one in a store
    here = plain(src) if local is None else str(Path(local).resolve())
    inner, outer = sorted((f"{place.rstrip('/')}/" for place in (here, str(storage))), key=len, reverse=True)
    if inner.startswith(outer):
        raise UsageError(f"--out {storage} and --src {here} lie inside each other; give --out a folder of its own.")


def _run_record(build: BuildSettings, summary: Summary) -> dict[str, Any]:
    """What ran and how fast: the one file that differs from run to run.

    Of local paths it gives the last part only: the file may be published with the data set.
    """
    rate = summary.made / summary.seconds if summary.seconds else 0.0
    command = jsonable(build)
    for name in ("src", "out", "predictor", "boxes", "draws", "textures", "detector-model"):
        value = command[name]
        command[name] = [_last_part(path) for path in value] if isinstance(value, list) else _last_part(value)
    return {
        "command": command,
        "photographs_made": summary.made,
        "seconds": round(summary.seconds, 3),
        "photographs_per_second": round(rate, 2),
    }


def _last_part(place: str | None) -> str | None:
    if place is None or (is_uri(place) and not place.lower().startswith("file:")):
        return place
    return Path(place).name


@contextlib.contextmanager
def _disk_errors(storage: Storage) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise MaskgenError(
            f"cannot write to {storage.workplace}: {error.strerror or error}; "
            "make room or repair the folder and run the same command again."
        ) from None
