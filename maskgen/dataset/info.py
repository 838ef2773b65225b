"""dataset.json: read, known as one that maskgen wrote, and what to do where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import MaskgenError, short
from ..storage import files
from .schema import SPLITS

if TYPE_CHECKING:
    from ..storage.base import Storage

_HEAD = {"schema_version": int, "fingerprint": str, "settings": dict, "versions": dict, "plan_sha256": str}
"""What it says of every build, finished or not, in these types."""


def read(storage: Storage) -> dict[str, Any]:
    """What it says. Raises `FileNotFoundError` if there is none, `MaskgenError` if it is not maskgen's."""
    try:
        said = files.parse_json(storage.read("dataset.json"))
    except ValueError as error:
        raise damaged(storage, short(error)) from None
    except FileNotFoundError:
        raise
    except OSError as error:
        raise MaskgenError(
            f"{storage}/dataset.json cannot be read ({error.strerror or short(error)}); fix that and try again."
        ) from None
    if not isinstance(said, dict):
        raise damaged(storage, "it is no JSON object")
    for name, kind in _HEAD.items():
        if not isinstance(said.get(name), kind):
            raise damaged(storage, f"its {name!r} is missing or of another type")
    return said


def damaged(storage: Storage, why: str) -> MaskgenError:
    """What to say of one that is damaged, or that maskgen never wrote: the two cannot be told apart."""
    return MaskgenError(
        f"{storage}/dataset.json is not as maskgen writes it ({why}); if this is a data set of maskgen, delete that "
        "file and run the same `maskgen build` command again, which keeps the shards."
    )


def is_sound(said: dict[str, Any]) -> bool:
    """Whether that of a finished data set has all that readers rely on, in the types it should have."""
    made, counts = said["settings"], said.get("counts")
    return (
        made.get("format") in ("parquet", "webdataset", "both")
        and made.get("store") == said.get("store")
        and all(isinstance(made.get(name), str) for name in ("store", "variants", "fit"))
        and all(isinstance(version, str) for version in said["versions"].values())
        and _are_names(said.get("variants"))
        and _are_names(said.get("identities"))
        and isinstance(said.get("content"), str)
        and isinstance(counts, dict)
        and counts.keys() <= set(SPLITS)
        and all(_is_count(count) for count in counts.values())
    )


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_count(value: Any) -> bool:
    """Whether this is what a split holds: its rows, and its rejects by reason."""
    if not isinstance(value, dict) or not isinstance(value.get("rejects"), dict):
        return False
    return all(isinstance(number, int) for number in (value.get("rows"), *value["rejects"].values()))
