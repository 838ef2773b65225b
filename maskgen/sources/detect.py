"""What lies at --src: identity folders, or containers of photographs (tars, Parquet files, RecordIO packs)."""

from __future__ import annotations

import itertools
import os
import re
from dataclasses import dataclass

from ..errors import UsageError
from ..storage.uri import is_uri, parent, plain
from .kinds import ENDINGS, kind_of
from .photograph import utf8
from .place import Entry, Place, place_of

MAX_PATTERN = 100_000
"""Files that a brace pattern may name."""

_SUBFOLDERS = ("train", "test", "data")
"""Folders in which containers are looked for beside the source folder itself."""

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class Found:
    """What lies at --src. `containers` are (name relative to the place, official split or ""), in reading order."""

    kind: str
    place: Place
    containers: tuple[tuple[str, str], ...] = ()


def find(src: str, kind: str = "auto") -> Found:
    """Says what lies at --src. Raises `UsageError` if that is nothing, or more than one thing."""
    place, names = locate(src)
    if names is not None:
        kinds = {kind_of(name) for name in names}
        if len(kinds) != 1 or None in kinds or (kind != "auto" and kinds != {kind}):
            raise UsageError(
                f"--src {plain(src)} names {names[0]!r}; give a folder, or {', '.join(ENDINGS.values())} files"
                + (f", or leave out --src-kind {kind}." if kind != "auto" else " of one kind.")
            )
        return Found(str(kinds.pop()), place, _with_splits(names))
    if kind == "folders":
        return Found(kind, place)
    holds, folders = _holdings(place)
    if kind == "auto":
        if "recordio" in holds and f"{holds['recordio'][0][:-4]}.idx" not in holds["idx"]:
            del holds["recordio"]
        kinds_found = [name for name in ENDINGS if holds.get(name)]
        if not kinds_found:
            return Found("folders", place)
        if len(kinds_found) > 1 or (folders and kinds_found != ["recordio"]):
            both = " and ".join([f"{ENDINGS[name]} files" for name in kinds_found] + ["folders"][: bool(folders)])
            raise UsageError(f"--src {place} holds {both}; say which to take with --src-kind.")
        kind = kinds_found[0]
    if not holds.get(kind):
        raise UsageError(f"--src {place} holds no {ENDINGS[kind]} files; give their folder, or another --src-kind.")
    return Found(kind, place, _with_splits(holds[kind]))


def locate(src: str) -> tuple[Place, list[str] | None]:
    """The folder that sources are relative to, and the files in it that --src names; None where it is the folder.

    Raises `UsageError` if it is a local file of another kind.
    """
    if _is_pattern(src):
        path, mark, options = src.partition("?") if is_uri(src) else (src, "", "")
        fixed = path[: _first_range(path)]
        folder, slash, _ = fixed.rpartition("/")
        place = place_of((folder or slash or ".") + mark + options)
        return place, [name[len(folder) + len(slash) :] for name in expanded(path)]
    place = place_of(src)
    if kind_of(str(place)) and not place.is_folder():
        above, name = parent(src)
        return place_of(above), [name]
    if place.is_local and os.path.exists(str(place)) and not os.path.isdir(str(place)):
        raise UsageError(
            f"--src {place} is a file and none of {', '.join(ENDINGS.values())}; give the folder of identity "
            "folders, or such a file, and unpack what is compressed."
        )
    return place, None


def local_path(src: str) -> str | None:
    """The local folder or file that --src is, the first file of a pattern; None where it is remote."""
    place, names = locate(src)
    if not place.is_local:
        return None
    return place.path(names[0] if names else "")


def _is_pattern(src: str) -> bool:
    return bool(_RANGE.search(src)) and (is_uri(src) or not os.path.lexists(src))


def _first_range(path: str) -> int:
    match = _RANGE.search(path)
    return match.start() if match else len(path)


def expanded(pattern: str) -> list[str]:
    """The names of a brace pattern: x-{08..10}.tar is x-08.tar, x-09.tar, x-10.tar. Raises `UsageError`."""
    parts = _RANGE.split(pattern)  # text, first, last, text, first, last, text ...
    count, ranges = 1, []
    for first, last in zip(parts[1::3], parts[2::3], strict=True):
        low, high = int(first), int(last)
        count *= high - low + 1
        if high < low or count > MAX_PATTERN:
            raise UsageError(
                f"--src {plain(pattern)} has the range {first}..{last}: give the lower number first, and at most "
                f"{MAX_PATTERN:,} files."
            )
        width = len(first) if first.startswith("0") or len(first) == len(last) else 0
        ranges.append([f"{number:0{width}d}" for number in range(low, high + 1)])
    texts = parts[0::3]
    return [
        texts[0] + "".join(number + text for number, text in zip(numbers, texts[1:], strict=True))
        for numbers in itertools.product(*ranges)
    ]


def _holdings(place: Place) -> tuple[dict[str, list[str]], bool]:
    """The containers (and index files) in a folder by kind, sorted, and whether it holds other folders too."""
    holds: dict[str, list[str]] = {"idx": []}
    other_folders = False

    def take(above: str, entries: list[Entry]) -> bool:
        took = False
        for entry in entries:
            kind = "idx" if entry.name.endswith(".idx") else kind_of(entry.name)
            if kind and not entry.is_folder:
                holds.setdefault(kind, []).append(above + entry.name)
                took = True
        return took

    try:
        top = place.entries()
    except OSError:  # the listing says it better
        return holds, False
    take("", top)
    for entry in top:
        if not entry.is_folder:
            continue
        inner = []
        if entry.name in _SUBFOLDERS:
            try:
                inner = place.entries(entry.name)
            except OSError:
                inner = []
        if not take(f"{entry.name}/", inner) or any(below.is_folder for below in inner):
            other_folders = True
    return holds, other_folders


def _with_splits(names: list[str]) -> tuple[tuple[str, str], ...]:
    """Containers with their official splits: those of train/ and test/ folders or of names that begin with the
    words, where every container has one and both occur; else none has, and identities are split by hash."""
    for name in names:
        if utf8(name) != name:
            raise UsageError(f"the file {utf8(name)!r} in --src has a name that is not UTF-8; rename it.")
    splits = [_split(name) for name in names]
    official = set(splits) == {"train", "test"}
    return tuple((name, split if official else "") for name, split in zip(names, splits, strict=True))


def _split(name: str) -> str:
    folder, _, base = name.rpartition("/")
    for split in ("train", "test"):
        if split in folder.split("/") or re.match(rf"{split}(?![a-z])", base.lower()):
            return split
    return ""
