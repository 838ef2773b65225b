"""Embeddings that were computed elsewhere, read from a Parquet or npz file and checked row by row.

The file is not trusted. No pickled object is loaded, and memory is taken only for what the file can hold: unpacked, its
columns may be `MAX_EXPANSION` times as large as the file, and `FREE_BYTES` beyond.
"""

from __future__ import annotations

import tokenize
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from maskgen.errors import UsageError, short

from .scenarios import Indices

SUBJECT, MASKED, EMBEDDING = "subject", "masked", "embedding"
ROLE, VARIANT, IMAGE = "role", "variant", "image"
REQUIRED = (SUBJECT, MASKED, EMBEDDING)
TEXTS = (SUBJECT, ROLE, VARIANT, IMAGE)

MAX_TEXT = 1000
"""Characters in the name of a subject, variant or image."""

MAX_EXPANSION, FREE_BYTES = 16, 64 << 20

_BATCH = 1024
"""Rows that are read and checked together."""

_DAMAGE = (pa.ArrowException, OSError, ValueError, TypeError, LookupError, EOFError, OverflowError, MemoryError)
ZIP_DAMAGE = (
    *(*_DAMAGE, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError),
    *(SyntaxError, tokenize.TokenError),  # NumPy reads the header of an array as Python's text
)
"""What reading a damaged npz can end in."""


@dataclass(frozen=True)
class Text:
    """A column of text: its distinct values, and the place of each row's value among them, int (N,)."""

    values: tuple[str, ...]
    codes: Indices

    def __getitem__(self, row: int) -> str:
        return self.values[self.codes[row]]


@dataclass(frozen=True)
class EmbeddingTable:
    """The rows of a file: embeddings of length 1, float32 (N, d), and what each row says of its picture.

    `lengths` are the smallest and the largest length that an embedding had in the file. A column that the file does
    not have is None.
    """

    path: Path
    subjects: Text
    masked: npt.NDArray[np.bool_]
    embeddings: npt.NDArray[np.float32]
    lengths: tuple[float, float]
    roles: Text | None
    variants: Text | None
    images: Text | None

    def __len__(self) -> int:
        return len(self.masked)


def read_embeddings(path: Path) -> EmbeddingTable:
    """Reads a file of embeddings: Parquet or npz, by its first bytes.

    Raises `UsageError`, with the row where it applies, for a file of another kind, a damaged one, a missing column, a
    column of another type, a value that cannot be, or embeddings that are not finite, all zero, or of several lengths.
    """
    try:
        with path.open("rb") as file:
            start = file.read(4)
    except OSError as error:
        raise UsageError(f"cannot read the embeddings {path}: {error.strerror}; check --embeddings.") from None
    if start == b"PAR1":
        found = _Columns(path, *_parquet(path))
    elif start[:2] == b"PK":
        found = _Columns(path, *_npz(path))
    else:
        raise UsageError(f"{path} is neither Parquet nor npz; write the embeddings in one of these formats.")
    return found.table()


class _Columns:
    """Collects the columns of a file from pieces of rows."""

    def __init__(self, path: Path, rows: int, dim: int, there: Sequence[str], pieces: Iterator[dict[str, Any]]) -> None:
        self.path, self.rows = path, rows
        self.known: dict[str, dict[str, int]] = {name: {} for name in TEXTS if name in there}
        self.codes: dict[str, list[int]] = {name: [] for name in self.known}
        self.masked = np.zeros(rows, bool)
        self.embeddings = np.empty((rows, dim), np.float32)
        self.low, self.high = np.inf, 0.0
        done = 0
        for piece in pieces:
            done += self._add(piece, done)
        if done != rows:
            raise _unreadable(path, f"it has {done:,} rows and promises {rows:,}")

    def table(self) -> EmbeddingTable:
        texts = {name: Text(tuple(self.known[name]), np.array(codes, np.intp)) for name, codes in self.codes.items()}
        return EmbeddingTable(
            self.path,
            texts[SUBJECT],
            self.masked,
            self.embeddings,
            (self.low, self.high),
            texts.get(ROLE),
            texts.get(VARIANT),
            texts.get(IMAGE),
        )

    def _add(self, piece: dict[str, Any], first: int) -> int:
        """Adds rows, the first of which has this number. Returns how many there are."""
        masked, values = piece[MASKED], piece[EMBEDDING].astype(np.float64)
        part = slice(first, first + len(masked))
        if bad := [row for row, value in enumerate(masked.tolist(), first) if value not in (0, 1)]:
            self._refuse(bad[0], f"{MASKED} is not 0 or 1")
        self.masked[part] = masked
        if not (good := np.isfinite(values).all(axis=1)).all():
            self._refuse(first + int(np.argmin(good)), "its embedding has values that are no finite numbers")
        largest = np.abs(values).max(axis=1)
        if not largest.all():
            self._refuse(first + int(np.argmin(largest)), "its embedding is all zeros")
        values /= largest[:, None]  # so that no square is too large or too small for a number
        lengths = np.sqrt((values**2).sum(axis=1))
        self.embeddings[part] = values / lengths[:, None]
        with np.errstate(over="ignore"):
            lengths *= largest
        self.low, self.high = min(self.low, float(lengths.min())), max(self.high, float(lengths.max()))
        for name, known in self.known.items():
            for row, value in enumerate(piece[name], first):
                if name != VARIANT and not value:
                    self._refuse(row, f"{name} is empty")
                if (code := known.get(value)) is None:
                    self._check_text(row, name, value)
                    code = known[value] = len(known)
                self.codes[name].append(code)
        return len(masked)

    def _check_text(self, row: int, name: str, value: str) -> None:
        if len(value) > MAX_TEXT:
            self._refuse(row, f"{name} has more than {MAX_TEXT:,} characters")
        try:
            value.encode()
        except UnicodeEncodeError:
            self._refuse(row, f"{name} has characters that are no text")

    def _refuse(self, row: int, why: str) -> NoReturn:
        raise UsageError(f"row {row} of {self.path} cannot be used: {why}; correct the file (rows count from 0).")


def _unreadable(path: Path, why: str) -> UsageError:
    return UsageError(f"{path} cannot be read ({why}); write the file again.")


def _check_columns(path: Path, names: Sequence[str], what: str) -> list[str]:
    """The columns of the file that are used. Raises `UsageError` if one is missing or there twice."""
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise UsageError(f"{path} has no {what} {missing[0]!r}; it needs {', '.join(REQUIRED)}.")
    found = [name for name in (*REQUIRED, ROLE, VARIANT, IMAGE) if name in names]
    if twice := [name for name in found if list(names).count(name) > 1]:
        raise UsageError(f"{path} has two {what}s {twice[0]!r}; give one.")
    return found


def _check_size(path: Path, unpacked: int) -> None:
    allowed = FREE_BYTES + MAX_EXPANSION * path.stat().st_size
    if not 0 <= unpacked <= allowed:
        raise UsageError(
            f"{path} says that it unpacks to {unpacked:,} bytes, more than {MAX_EXPANSION} times its size; write the "
            "embeddings as they are, with less compression."
        )


def _wrong_type(path: Path, name: str, found: object, wanted: str) -> UsageError:
    return UsageError(f"{name} of {path} is {short(str(found))}; give {wanted}.")


WANTED = {
    MASKED: "0 and 1, as whole numbers or bool",
    EMBEDDING: "lists of float32 or float64 of one length",
    **dict.fromkeys(TEXTS, "text"),
    SUBJECT: "text or whole numbers",
}


# Parquet


def _parquet(path: Path) -> tuple[int, int, list[str], Iterator[dict[str, Any]]]:
    try:
        schema = pq.read_schema(path)
        names = _check_columns(path, schema.names, "column")
        for name in names:
            if not _is_wanted(name, schema.field(name).type):
                raise _wrong_type(path, name, schema.field(name).type, WANTED[name])
        texts = [name for name in names if name in TEXTS]
        file = pq.ParquetFile(path, read_dictionary=texts, page_checksum_verification=True)
        footer = file.metadata
        groups = [footer.row_group(number) for number in range(footer.num_row_groups)]
        parts = [group.column(place) for group in groups for place in range(group.num_columns)]
        used = [part for part in parts if part.path_in_schema.partition(".")[0] in names]
        values = sum(part.num_values for part in used if part.path_in_schema.startswith(f"{EMBEDDING}."))
        sizes = [part.total_uncompressed_size for part in used]
        _check_size(path, max(sum(sizes), 4 * values, 8 * footer.num_rows) if min(sizes, default=0) >= 0 else -1)
        if not footer.num_rows:
            raise UsageError(f"{path} has no rows; write the embeddings again.")
        return footer.num_rows, _first_length(path, file, values), names, _batches(path, file, names)
    except _DAMAGE as error:
        raise _unreadable(path, short(error).rstrip(".") or type(error).__name__) from None


def _is_wanted(name: str, kind: pa.DataType) -> bool:
    value = kind.value_type if pa.types.is_dictionary(kind) else kind
    if name == EMBEDDING:
        lists = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
        return any(is_list(kind) for is_list in lists) and pa.types.is_floating(kind.value_type)
    if name == MASKED:
        return bool(pa.types.is_boolean(kind) or pa.types.is_integer(kind))
    text = pa.types.is_string(value) or pa.types.is_large_string(value)
    return bool(text or (name == SUBJECT and pa.types.is_integer(kind)) or pa.types.is_null(value))


def _first_length(path: Path, file: pq.ParquetFile, values: int) -> int:
    """The length of the first embedding. Its rows would have to hold all values of the column, which are counted."""
    for batch in file.iter_batches(1, columns=[EMBEDDING], use_threads=False):
        if len(batch):
            dim = pc.list_value_length(batch.column(0))[0].as_py() or 0
            if dim * file.metadata.num_rows > max(values, 0):
                _lengths_differ(path, file, dim)
            return int(dim)
    raise _unreadable(path, "it has no rows and promises some")


def _lengths_differ(path: Path, file: pq.ParquetFile, dim: int) -> NoReturn:
    """Finds the row that is shorter than the first one."""
    row = 0
    for batch in file.iter_batches(_BATCH, columns=[EMBEDDING], use_threads=False):
        _check_lengths(path, batch.column(0), dim, row)
        row += len(batch)
    raise _unreadable(path, "it has fewer values than its footer says")


def _check_lengths(path: Path, column: pa.Array, dim: int, first: int) -> None:
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy(zero_copy_only=False)
    if (lengths != dim).any() or not dim:
        row = int(np.argmax(lengths != dim))
        raise UsageError(
            f"row {first + row} of {path} cannot be used: its embedding has {lengths[row]} values"
            + (f", and that of row 0 has {dim}; give embeddings of one length." if dim else "; give embeddings.")
        )


def _batches(path: Path, file: pq.ParquetFile, names: Sequence[str]) -> Iterator[dict[str, Any]]:
    first = 0
    dim = 0
    try:
        for batch in file.iter_batches(_BATCH, columns=list(names), use_threads=False):
            if not len(batch):
                continue
            batch.validate(full=True)
            columns = dict(zip(batch.schema.names, batch.columns, strict=True))
            lists = columns.pop(EMBEDDING)
            dim = dim or int(pc.list_value_length(lists)[0].as_py() or 0)
            _check_lengths(path, lists, dim, first)
            masked = pc.fill_null(columns.pop(MASKED).cast(pa.int64()), -1).to_numpy(zero_copy_only=False)
            values = lists.flatten().to_numpy(zero_copy_only=False)  # a null becomes NaN
            texts = {name: _texts(path, name, column, first) for name, column in columns.items()}
            yield {MASKED: masked, EMBEDDING: values.reshape(-1, dim), **texts}
            first += len(batch)
    except _DAMAGE as error:
        raise _unreadable(path, short(error).rstrip(".") or type(error).__name__) from None


def _texts(path: Path, name: str, column: pa.Array, first: int) -> list[str]:
    if pa.types.is_dictionary(column.type):
        longest = pc.max(pc.binary_length(column.dictionary)).as_py() or 0
        if longest > 4 * MAX_TEXT:  # bytes; before the text is repeated for each row
            raise UsageError(
                f"rows from {first} of {path} cannot be used: {name} has more than {MAX_TEXT:,} characters."
            )
    return ["" if value is None else str(value) for value in column.to_pylist()]


# npz


def _npz(path: Path) -> tuple[int, int, list[str], Iterator[dict[str, Any]]]:
    try:
        with zipfile.ZipFile(path) as archive:
            members = [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]
            names = _check_columns(path, members, "array")
            infos = [archive.getinfo(f"{name}.npy") for name in names]
            _check_size(path, sum(info.file_size for info in infos))
            arrays = {name: _array(path, name, archive) for name in names}
    except ZIP_DAMAGE as error:
        raise _unreadable(path, short(error).rstrip(".") or type(error).__name__) from None
    rows = len(arrays[EMBEDDING])
    if not arrays[EMBEDDING].size:
        raise UsageError(
            f"{EMBEDDING} of {path} has shape {arrays[EMBEDDING].shape}; give (N, d) with N and d above 0."
        )
    for name, array in arrays.items():
        if len(array) != rows:
            raise UsageError(
                f"{name} of {path} has {len(array):,} rows and {EMBEDDING} has {rows:,}; correct the file."
            )
    return rows, arrays[EMBEDDING].shape[1], names, _slices(path, arrays, rows)


def _slices(path: Path, arrays: dict[str, npt.NDArray[Any]], rows: int) -> Iterator[dict[str, Any]]:
    for first in range(0, rows, _BATCH):
        part = slice(first, first + _BATCH)
        try:
            texts = {name: [str(value) for value in arrays[name][part].tolist()] for name in arrays if name in TEXTS}
        except (ValueError, SystemError):  # code points that do not exist
            raise UsageError(
                f"rows from {first} of {path} have characters that are no text; correct the file."
            ) from None
        yield {MASKED: arrays[MASKED][part], EMBEDDING: arrays[EMBEDDING][part], **texts}


def _array(path: Path, name: str, archive: zipfile.ZipFile) -> npt.NDArray[Any]:
    """One array. Its header is read first: another type or shape is refused, and one that its bytes do not have."""
    with archive.open(f"{name}.npy") as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"{name} has version {version} of the npy format")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(member)
        wanted = {EMBEDDING: "f", MASKED: "biu", SUBJECT: "Uiu"}.get(name, "U")
        if (
            dtype.hasobject
            or dtype.kind not in wanted
            or dtype.subdtype
            or len(shape) != (2 if name == EMBEDDING else 1)
        ):
            given = WANTED[name] if name != EMBEDDING else "a 2-d array (N, d) of float32 or float64"
            raise _wrong_type(path, name, f"{dtype} of shape {shape}", given)
        data = member.read()
    count = shape[0] * (shape[1] if len(shape) == 2 else 1)
    if min(shape) < 0 or count * dtype.itemsize != len(data):
        raise ValueError(f"{name} has {len(data):,} bytes and its header stands for {count * dtype.itemsize:,}")
    if not dtype.itemsize:  # any number of rows has no bytes
        raise ValueError(f"{name} holds no characters")
    if not count:
        return np.empty(shape, dtype)
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
