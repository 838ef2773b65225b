"""The folder of a run: which one a call uses, what it records, and that only one process works in it."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import torch

from maskgen import Dataset, settings
from maskgen.errors import MaskgenError, UsageError
from maskgen.storage import files
from maskgen.storage.lock import exclusive

from ..defaults import CLASSIFY, RUNS
from ..networks import run_files
from ..networks.resnet import weights_file
from ..networks.run_files import CHECKPOINTS, LOCK
from . import checkpoint, own_loss
from .train_settings import TrainSettings, compared, goal, recorded


@contextmanager
def claimed(full: TrainSettings, dataset: Dataset) -> Iterator[Path]:
    """Makes the run folder, or takes that of the interrupted run, for the time of the block.

    Without --out that is the newest numbered run under runs/ if it has the same settings and is not finished, else the
    next number. Leaving the block without an error marks the run as finished. Raises `UsageError` for a folder of
    something else, `MaskgenError` if another process works in it or it cannot be written.
    """
    with ExitStack() as stack:
        folder = full.out or _own_number(RUNS, full, dataset)
        made = not folder.exists()
        with run_files.disk_errors(folder):
            _check(folder, full, dataset)
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_lock(folder))
            for path in (*folder.iterdir(), *folder.glob(f"{CHECKPOINTS}/*")):
                if files.is_temporary(path.name):
                    path.unlink()  # of a run that was killed
            before = run_files.record_of(folder)
            record = {
                "dataset": dataset.content,
                "weights_sha256": _weights(full) or before.get("weights_sha256"),
                **({"loss_sha256": loss} if (loss := _loss(full)) else {}),
                "settings": settings.jsonable(full),
                "torch": torch.__version__,
                "finished": False,
            }
            if dataset.left_out:
                record["left_out"] = {shard: len(rows) for shard, rows in dataset.left_out.items()}
            files.write_json(folder / run_files.SETTINGS, record)
            if not (folder / run_files.IDENTITIES).exists():
                known = run_files.identities_of(full.weights) if full.weights else frozenset()
                files.write_json(folder / run_files.IDENTITIES, sorted(known.union(dataset.info["identities"])))
        try:
            yield folder
        except UsageError:
            if made:
                _withdraw(folder)
            else:  # a finished run stays finished
                files.write_json(folder / run_files.SETTINGS, before or record)
            raise
        with run_files.disk_errors(folder):
            files.write_json(folder / run_files.SETTINGS, {**record, "finished": True})


def _withdraw(folder: Path) -> None:
    """Removes a run folder that a wrong call made, unless it holds more than its first files."""
    if {path.name for path in folder.iterdir()} <= {run_files.SETTINGS, run_files.IDENTITIES, LOCK}:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()


def _check(folder: Path, full: TrainSettings, dataset: Dataset) -> None:
    path = folder / run_files.SETTINGS
    if path.exists():
        record = run_files.record_of(folder)
        checkpoint.refuse_other(path, record, {"dataset": dataset.content, "settings": compared(full)})
        if _other_weights(full, record):
            raise UsageError(
                f"--weights {full.weights} has become another file since {folder} began with it; give --out another "
                "folder, or that file."
            )
        if _other_loss(full, record):
            raise UsageError(
                f"the module of --loss {full.loss} has changed since {folder} began with it; give --out another "
                "folder, or that module."
            )
    elif folder.exists() and (not folder.is_dir() or any(file.name != LOCK for file in folder.iterdir())):
        raise UsageError(f"--out {folder} is not a run and not empty; give a new or empty folder.")


def _own_number(runs: Path, full: TrainSettings, dataset: Dataset) -> Path:
    newest = max((path for path in runs.glob("*") if re.fullmatch(r"\d+", path.name)), key=_number, default=None)
    if newest:
        record = run_files.record_of(newest)
        there = record.get("settings")
        if (
            isinstance(there, dict)
            and record.get("finished") is False
            and record.get("dataset") == dataset.content
            and all(recorded(there).get(name) == value for name, value in goal(full).items())
            and not _other_weights(full, record)
            and not _other_loss(full, record)
            and _free(newest)
        ):
            return newest
    return runs / f"{_number(newest) + 1 if newest else 1:03d}"


def _number(path: Path) -> int:
    return int(path.name)


def _weights(full: TrainSettings) -> str | None:
    """The hash of the file of weights to start from; None without one, or if it no longer exists."""
    file = weights_file(full.weights) if full.weights else None
    return files.sha256(file) if file and file.is_file() else None


def _loss(full: TrainSettings) -> str | None:
    """The hash of the module of a loss that is a function of the user."""
    return own_loss.source_hash(full.loss) if own_loss.is_function(full.loss) and full.stage != CLASSIFY else None


def _other_loss(full: TrainSettings, record: dict[str, Any]) -> bool:
    """Whether that module differs from the one that a run began with; False if either is unknown."""
    now, then = _loss(full), record.get("loss_sha256")
    return None not in (now, then) and now != then


def _other_weights(full: TrainSettings, record: dict[str, Any]) -> bool:
    """Whether the weights differ from those that a run began with; False if either is unknown."""
    now, then = _weights(full), record.get("weights_sha256")
    return None not in (now, then) and now != then


def _free(folder: Path) -> bool:
    try:
        with _lock(folder):
            return True
    except (MaskgenError, OSError):
        return False


def _lock(folder: Path) -> contextlib.AbstractContextManager[None]:
    """Holds the folder for this process until it ends, however it ends."""
    busy = f"another training is running in {folder}; wait for it or give another --out."
    return exclusive(folder / LOCK, busy)
