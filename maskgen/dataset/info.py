"""dataset.json: read, known as one that maskgen wrote, and what to do where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..errors import MaskgenError, short
from ..imaging.variants import VARIANTS, masked_names
from ..storage import files
from . import identity, stored_style
from .markers import is_hash
from .schema import SPLITS

if TYPE_CHECKING:
    from ..storage.base import Storage

_HEAD = {"schema_version": int, "fingerprint": str, "settings": dict, "versions": dict, "plan_sha256": str}
"""What it says of every build, finished or not, in these types."""


FORMATS = ("parquet", "webdataset", "both")
STORES = ("rendered", "recipe")


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
    if not is_hash(said["fingerprint"]):
        raise damaged(storage, "a hash is not 64 hexadecimal digits")
    return said


def damaged(storage: Storage, why: str) -> MaskgenError:
    """The error for one that is damaged, or that maskgen never wrote: the two look the same."""
    return MaskgenError(
        f"{storage}/dataset.json is not as maskgen writes it ({why}); if this is a data set of maskgen, delete that "
        "file and run the same `maskgen build` command again, which keeps the shards."
    )


def flaw(said: dict[str, Any]) -> str:
    """What is wrong with the dataset.json of a finished data set; empty if readers can rely on it.

    It may come from anyone, and its hashes and names become names of files. So every value is checked against what it
    must be, and the settings against the fingerprint, which is their hash: no command takes what another one refuses.
    """
    made, counts = said["settings"], said.get("counts")
    if not all(is_hash(said.get(name)) for name in ("fingerprint", "content", "plan_sha256")):
        return "a hash is not 64 hexadecimal digits"
    if not all(isinstance(version, str) for version in said["versions"].values()):
        return "a version is not a text"
    if made.get("format") not in FORMATS or made.get("store") not in STORES or made.get("store") != said.get("store"):
        return "its format or store is unknown"
    if not all(isinstance(made.get(name), str) for name in ("variants", "fit")):
        return "a setting is missing or of another type"
    names = masked_names(made["variants"])
    if said.get("variants") != list(names) or not set(names) <= {*VARIANTS, "masked"} or len(set(names)) < len(names):
        return "its variants are not those of its settings"
    if found := stored_style.flaw(made):
        return found
    if not _are_names(said.get("identities")):
        return "its identities are not a list of names"
    if not isinstance(counts, dict) or not counts.keys() <= set(SPLITS) or not all(map(_is_count, counts.values())):
        return "its counts are not those of splits"
    if identity.fingerprint({name: said[name] for name in identity.DESCRIPTION}) != said["fingerprint"]:
        return "its fingerprint is of other settings"
    return ""


def _are_names(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_count(value: Any) -> bool:
    """Whether this is what a split holds: its rows, and its rejects by reason."""
    if not isinstance(value, dict) or not isinstance(value.get("rejects"), dict):
        return False
    numbers = (value.get("rows"), *value["rejects"].values())
    return all(isinstance(number, int) and not isinstance(number, bool) and number >= 0 for number in numbers)
