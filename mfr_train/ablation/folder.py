"""The folder of an ablation: what it records, that one process works in it, and that a later call fits it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from maskgen import Dataset
from maskgen import settings as declared
from maskgen.errors import MaskgenError, UsageError, short
from maskgen.storage import files
from maskgen.storage.lock import exclusive

from ..networks.resnet import weights_file
from .ablate_settings import AblateSettings

SETTINGS, LOCK, RUNS, MEASURED, CHOICE = "ablation-settings.json", ".mfr-lock", "runs", "measured", "choice"


@contextmanager
def claimed(settings: AblateSettings, dataset: Dataset) -> Iterator[None]:
    """Makes the folder, or takes that of an earlier call with the same settings, for the time of the block.

    Rows, seeds and models may differ: each has files of its own. Raises `UsageError` for a folder of something else or
    of other settings, `MaskgenError` if another process works in it or it cannot be written.
    """
    out = settings.out
    record = {
        "dataset": dataset.content,
        "network": _network(settings),
        "settings": declared.jsonable(settings, run_only=False),
    }
    with ExitStack() as stack:
        try:
            _check(out, record)
            out.mkdir(parents=True, exist_ok=True)
            stack.enter_context(
                exclusive(out / LOCK, f"another ablation is running in {out}; wait for it or give another --out.")
            )
            files.write_json(out / SETTINGS, record)
        except OSError as error:
            raise not_written(out, error) from None
        yield


def not_written(out: Path, error: OSError) -> MaskgenError:
    """The error of a folder that cannot be written or a disk that is full."""
    return MaskgenError(
        f"cannot write to {out} ({error.strerror or error}); make room or give another --out, and run the same "
        "command again: it resumes."
    )


def _network(settings: AblateSettings) -> str | None:
    """What identifies the network: its name, or the hash of its file. None if the file is not there."""
    if settings.weights is None:
        return settings.backbone
    file = weights_file(settings.weights)
    return files.sha256(file) if file.is_file() else None


def _check(out: Path, record: dict[str, Any]) -> None:
    if not out.exists():
        return
    try:
        there = files.parse_json((out / SETTINGS).read_bytes())
    except FileNotFoundError:
        if not out.is_dir() or any(file.name != LOCK for file in out.iterdir()):
            raise UsageError(f"--out {out} is not an ablation and not empty; give a new or empty folder.") from None
        return
    except (NotADirectoryError, ValueError):
        raise UsageError(f"--out {out} is not an ablation; give a new or empty folder.") from None
    if not isinstance(there, dict) or not isinstance(there.get("settings"), dict):
        raise UsageError(f"{out / SETTINGS} is damaged; give --out another folder.")
    if there.get("dataset") != record["dataset"]:
        raise UsageError(f"{out} was begun on another data set; give that one, or --out another folder.")
    if there.get("network") != record["network"]:
        raise UsageError(f"{out} was begun with another network; give that one, or --out another folder.")
    defaults = declared.jsonable(AblateSettings(out))
    for name, value in record["settings"].items():
        before = there["settings"].get(name, defaults[name])  # earlier versions recorded fewer settings
        if before != value:
            was, now = ("unset" if each is None else short(each) for each in (before, value))
            raise UsageError(f"{out} was begun with --{name} {was}, not {now}; give the same, or --out another folder.")
