"""Makes a protocol table from the folders of a data set."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from maskgen.errors import MaskgenError, UsageError
from maskgen.sources import folders
from maskgen.storage import files

from .protocol_columns import MAX_LENGTH
from .protocol_kinds import BOTH, KINDS, Kind
from .protocol_table import COLUMNS, ROLES, Protocol, read_protocol, some_of

MASK_COLUMN = "mask"
NO_MASK = "no-mask"


@dataclass(frozen=True)
class Layout:
    """How the call describes a data set; what it leaves out is as the kind says.

    `masked` and `references` are patterns of paths in SRC, in which * stands for any characters, / too. `columns` are
    further columns, named after the level of the folder whose name is the value.
    """

    masked: tuple[str, ...] = ()
    references: tuple[str, ...] = ()
    person: int | None = None
    roles: str | None = None
    labels: Path | None = None
    columns: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True)
class _Picture:
    source: str
    subject: str
    masked: bool
    values: tuple[str, ...]


@dataclass
class _Listing:
    """The pictures of SRC, those that are in no line of the table by reason, and other sentences."""

    pictures: list[_Picture] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def leave_out(self, source: str, reason: str) -> None:
        self.left_out.setdefault(reason, []).append(source)


def make_table(name: str, src: Path, out: Path, layout: Layout, replace: bool = False) -> tuple[Protocol, list[str]]:
    """Writes the table of a data set of kind `name`, whole or not at all, and returns it with sentences about it.

    An existing file is kept unless `replace`. Raises `UsageError` if the folder does not have the layout, and
    `MaskgenError` if the table cannot be written.
    """
    kind = KINDS[name]
    if out.exists() and not replace:
        raise UsageError(f"{out} is already there; give another --out, or --replace to overwrite it.")
    if not src.is_dir():
        raise UsageError(f"cannot read {src}: it is no folder; give the folder of {kind.title}.")
    if kind.patterns and not (layout.masked and layout.references):
        raise UsageError(
            f"{kind.title} is not public, and its layout is not known; say with --masked and --reference which files "
            "are masked and which are references."
        )
    if layout.references and layout.roles:
        raise UsageError("--reference and --roles both say which pictures are references; give one of them.")
    if layout.masked and kind.labels:
        raise UsageError(f"the labels of {kind.title} say which pictures are masked; leave --masked out.")
    if layout.labels and not kind.labels:
        raise UsageError("--labels is a file of mfr2; leave it out.")
    columns = ([MASK_COLUMN] if kind.labels else []) + [column for column, _ in layout.columns]
    if len({*COLUMNS, *columns}) < len(COLUMNS) + len(columns):
        raise UsageError(f"the table would have two columns of one name ({', '.join(columns)}); give another --column.")
    found = _listed(kind, src, layout)
    for flag, patterns in (("--masked", layout.masked), ("--reference", layout.references)):
        _check_patterns(flag, patterns, found.pictures, src)
    made = _write(out, src, columns, _lines(found.pictures, layout.references, layout.roles or kind.roles))
    notes = [f"{len(sources):,} {reason}: {some_of(sources)}." for reason, sources in found.left_out.items()]
    if not any(picture.masked for picture in found.pictures):
        notes.append("No picture is masked; --masked says which ones are.")
    elif layout.masked and all(picture.masked for picture in found.pictures):
        notes.append("Every picture is masked; note that *masked* also matches unmasked.")
    return made, notes + found.notes


def _listed(kind: Kind, src: Path, layout: Layout) -> _Listing:
    found, person = _Listing(), layout.person or kind.person
    for folder in kind.folders:
        if not (src / folder).is_dir():
            raise UsageError(f"{src} has no folder {folder}; give the folder that holds {' and '.join(kind.folders)}.")
    labels = _read_labels(layout.labels or src / kind.labels) if kind.labels else {}
    unused = dict(labels)
    masked = layout.masked or kind.masked
    levels = max([person, *(level for _, level in layout.columns)])
    for photograph in folders.photographs(src):
        source = photograph.source
        parts = PurePosixPath(source).parts[:-1]
        if kind.folders and (not parts or parts[0] not in kind.folders):
            found.leave_out(source, f"in other folders than {' and '.join(kind.folders)}")
        elif len(parts) < levels:
            found.leave_out(source, f"not in {levels} folder{'s' if levels > 1 else ''}")
        elif photograph.problem:
            found.leave_out(source, f"left out as {photograph.problem.split(':')[0]}")
        else:
            values = tuple(parts[level - 1] for _, level in layout.columns)
            subject = parts[person - 1]
            if subject != subject.strip():
                raise UsageError(f"the folder {subject!r} of {src} begins or ends with a space; rename it.")
            if kind.labels:
                label = unused.pop(PurePosixPath(source).stem, None)
                if label is None:
                    found.leave_out(source, "not in the file of labels, or there twice")
                    continue
                is_masked, values = label != NO_MASK, (label, *values)
            else:
                is_masked = _matches(source, masked)
            found.pictures.append(_Picture(source, subject, is_masked, values))
    if unused:
        found.notes.append(f"{len(unused):,} of {len(labels):,} labels are of no picture: {some_of(list(unused))}.")
    if not found.pictures:
        depth = "in folders of people" if levels == 1 else f"{levels} folders deep"
        raise UsageError(f"{src} has no pictures {depth}; give another folder, or --person.")
    return found


def _read_labels(path: Path) -> dict[str, str]:
    """The type of mask by the name of the picture without its ending, from lines `person, number, type`."""
    found: dict[str, str] = {}
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise UsageError(f"cannot read the labels {path}: {error.strerror}; give --labels.") from None
    except UnicodeDecodeError:
        raise UsageError(f"{path} is no text in UTF-8; give the file of labels with --labels.") from None
    for line, text in enumerate(lines, 1):
        if not text.strip():
            continue
        cells = [cell.strip() for cell in text.rsplit(",", 2)]
        if len(cells) != 3 or not (cells[1].isascii() and cells[1].isdecimal()) or len(cells[1]) > 9 or not cells[2]:
            raise UsageError(f"line {line} of {path} is no label; it needs a person, a number and a type of mask.")
        unmasked = cells[2].lower().replace("_", "-") == NO_MASK
        found[f"{cells[0]}_{int(cells[1]):04d}"] = NO_MASK if unmasked else cells[2][:MAX_LENGTH]
    return found


def _matches(source: str, patterns: Sequence[str]) -> bool:
    return any(fnmatchcase(source, pattern) for pattern in patterns)


def _check_patterns(flag: str, patterns: Sequence[str], pictures: Sequence[_Picture], src: Path) -> None:
    for pattern in patterns:
        if not any(fnmatchcase(picture.source, pattern) for picture in pictures):
            raise UsageError(
                f"{flag} {pattern!r} matches no picture of {src}; its pictures have paths such as {pictures[0].source}."
            )


def _lines(pictures: Sequence[_Picture], references: Sequence[str], roles: str) -> list[tuple[_Picture, str]]:
    """Each picture with its role; a picture in both roles has two lines."""
    reference, probe = ROLES
    seen: set[tuple[str, bool]] = set()
    found = []
    for picture in pictures:
        first = (picture.subject, picture.masked) not in seen
        seen.add((picture.subject, picture.masked))
        if references:
            chosen: tuple[str, ...] = (reference,) if _matches(picture.source, references) else (probe,)
        elif roles == BOTH:
            chosen = ROLES
        else:
            chosen = (reference,) if first else (probe,)
        found += [(picture, role) for role in chosen]
    return found


def _write(out: Path, src: Path, columns: Sequence[str], lines: Sequence[tuple[_Picture, str]]) -> Protocol:
    # Of real paths: `..` in a path of the table leads up from where its folder really is.
    folder = Path(os.path.relpath(os.path.realpath(src), os.path.realpath(out.parent)))
    try:
        with files.temporary(out) as name:
            with name.open("x", newline="", encoding="utf-8") as file:
                writer = csv.writer(file)
                writer.writerow([*COLUMNS, *columns])
                for picture, role in lines:
                    path = (folder / picture.source).as_posix()
                    path = f"./{path}" if path != path.strip() else path  # a table's cells are stripped
                    writer.writerow([picture.subject, role, int(picture.masked), path, *picture.values])
            made = read_protocol(name)
            files.publish(name, out)
            return made
    except OSError as error:
        raise MaskgenError(f"cannot write {out}: {error.strerror or error}; give another --out.") from None
