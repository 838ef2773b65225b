"""Sources + settings -> a plan: the split, label, key and shard of every photograph, and the seeds of its masks.

A plan is a pure function of the sorted listing and of the settings that shape bytes; workers, order, time and
machine have no part in it. So the same plan gives the same data set, however often it is interrupted.
"""

from __future__ import annotations

import hashlib
import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .. import settings
from ..dataset import columns as arrow
from ..dataset import schema
from ..dataset.identity import versions
from ..errors import UsageError, short
from ..imaging.limits import MAX_BYTES
from ..imaging.search import BOXES
from ..imaging.seeding import digest
from ..imaging.textures import Texture
from ..sources.boxes import box_names, read_boxes
from ..sources.draws import draw_names, read_draws
from ..sources.listing import photographs
from ..sources.photograph import Photograph
from ..storage.uri import plain
from .build_settings import BuildSettings

VAL_SHARE = 0.2
"""Share of each training identity's photographs that is kept for validation (the paper's 80 / 20)."""

log = logging.getLogger(__name__)

_CHUNK = 65_536
_GIANT = f"too_large: the file has more than {MAX_BYTES:,} bytes"
_CONTAINER_COLUMNS = ("container", "container_bytes", "offset")


def make_plan(build: BuildSettings, listing: Iterable[Photograph] | None = None) -> tuple[pa.Table, list[str]]:
    """Plans a data set: the plan table (`schema.PLAN`) in key order, and the identity that each label means.

    Train and val are shuffled by the seed; test is ordered by identity. Photographs in containers, which can only be
    read in sequence, keep their own order in each split. `listing` defaults to that of `build.src`. Raises
    `UsageError` if there is no photograph or none that can be tried, where a person is in both official splits, or
    where photographs without names are to have boxes.
    """
    if listing is None:
        listing = photographs(
            build.src,
            build.follow_links,
            kind=build.src_kind,
            identity_field=build.identity_field,
            image_column=build.image_column,
        )
    table = _listed(islice(listing, build.limit), build.seed)
    if not table.num_rows:
        raise UsageError(f"--src {plain(str(build.src))} has no photograph in it; it needs identity folders of images.")
    packed = "container" in table.column_names
    _refuse_hopeless(table, build)
    split, label, identities = _split(table, build)
    order = np.argsort(split, kind="stable") if packed else _order(table, split)
    size = build.shard_size or default_shard_size(table.num_rows)
    planned = table.drop_columns(["official", "val_hash", "shuffle_hash"]).take(arrow.numbers(pa.int64(), order))
    del table  # a fifth of the memory
    split, label = split[order], label[order]
    within = np.arange(len(order)) - np.searchsorted(split, split)
    key = pc.utf8_lpad(arrow.numbers(pa.int64(), np.arange(len(order))).cast(pa.string()), 9, "0")
    columns = {
        "key": key,
        "source": planned["source"],
        "identity": planned["identity"],
        "label": arrow.numbers(pa.int32(), label),
        "split": arrow.texts(schema.SPLITS).take(arrow.numbers(pa.int8(), split)),
        "shard": arrow.numbers(pa.int32(), within // size),
        "bytes": planned["bytes"],
        "problem": planned["problem"],
        "face": pa.nulls(len(order), schema.BOX),
    }
    if build.boxes:
        if packed and not pc.all(pc.ends_with(planned["container"], ".tar", ignore_case=True)).as_py():
            raise UsageError(
                "--boxes names photographs by folder and file, and Parquet and RecordIO sources have no such names; "
                "leave it out."
            )
        columns["face"] = _boxes(planned, build.boxes)
        if build.detectors == (BOXES,):
            unboxed = pc.and_(columns["face"].is_null(), pc.equal(planned["problem"], ""))
            columns["problem"] = pc.if_else(unboxed, "no_box: the boxes files do not name it", planned["problem"])
    if packed:
        columns |= {name: planned[name] for name in _CONTAINER_COLUMNS}
    if build.draws:
        columns |= _drawn(planned, columns["problem"], build.draws)
    return pa.table(columns, schema=schema.plan_schema(packed, bool(build.draws))), identities


def default_shard_size(photographs: int) -> int:
    """About a 64th of the photographs, from 32 to 1,000: a small set runs in parallel too."""
    return min(max(-(-photographs // 64), 32), 1000)


def description(build: BuildSettings, plan_sha256: str, textures: Sequence[Texture] = ()) -> dict[str, Any]:
    """What shaped the data set: settings, versions, and the hash of the plan file. Its hash is the fingerprint."""
    shaping = settings.jsonable(build, run_only=False)
    for name in ("boxes", "predictor", "draws", "detector-model", "textures"):  # their content counts, not their place
        shaping.pop(name)
    for name in ("image-column", "photograph-megabytes"):
        if shaping[name] is None:  # what is found by itself follows from the source; what bounds nothing shapes nothing
            shaping.pop(name)
    if build.style == "flat":  # older data sets, which have no such setting, are flat
        shaping.pop("style")
    if textures:
        shaping["textures"] = [texture.sha256 for texture in textures]
    shaping["boxes"] = bool(build.boxes)
    if build.draws:
        shaping["draws"] = True
    shaping["detector"] = ",".join(build.detectors)
    if build.detector_model:
        shaping["detector-model"] = _file_sha256(build.detector_model)
    shaping["predictor"] = _file_sha256(build.predictor) if build.predictor else "packaged"
    return {
        "schema_version": schema.SCHEMA_VERSION,
        "settings": shaping,
        "versions": versions(),
        "plan_sha256": plan_sha256,
    }


def _refuse_hopeless(table: pa.Table, build: BuildSettings) -> None:
    """Raises `UsageError` if every entry has a problem: what --src holds is not what it is taken for."""
    if pc.any(arrow.is_empty(table["problem"])).as_py():
        return
    told = [problem.split(": ", 1) for problem in table["problem"].to_pylist()]
    reason = Counter(reason for reason, _ in told).most_common(1)[0][0]
    first = next(number for number, one in enumerate(told) if one[0] == reason)
    advice = "fix that"
    if reason == "link":
        advice = "take them with --follow-links"
    elif reason == "no_identity":
        advice = "give the folder above, where each person has one"
        if "container" in table.column_names:
            advice = "give photographs that say whom they show, or --identity-field"
    raise UsageError(
        f"--src {plain(str(build.src))} has no photograph that can be used: of its {len(told):,} entries, "
        f"{table['source'][first].as_py()!r} for one is {reason} ({told[first][1]}); {advice}."
    )


def _listed(listing: Iterable[Photograph], seed: int) -> pa.Table:
    """The listing as a table, in its order, with two hashes of each photograph: for its split and for the shuffle.

    Where photographs lie in containers, all of them do, and the table has `_CONTAINER_COLUMNS` too.
    """
    tables = []
    listing = iter(listing)
    while chunk := list(islice(listing, _CHUNK)):
        source, identity, official, size, problem, *contained = zip(*chunk, strict=True)
        problems = [told or _GIANT * (many > MAX_BYTES) for told, many in zip(problem, size, strict=True)]
        digests = b"".join(digest(seed, "order", name) for name in source)
        hashes = np.frombuffer(digests, dtype=">u8").astype(np.uint64).reshape(-1, 2)
        columns = {
            "source": arrow.texts(source),
            "identity": arrow.texts(identity),
            "official": arrow.texts(official),
            "bytes": arrow.numbers(pa.int64(), size),
            "problem": arrow.texts(problems),
            "val_hash": arrow.numbers(pa.uint64(), hashes[:, 0]),
            "shuffle_hash": arrow.numbers(pa.uint64(), hashes[:, 1]),
        }
        if contained[0][0]:
            container, *places = contained
            columns["container"] = arrow.texts(container)
            columns |= {
                name: arrow.numbers(pa.int64(), values)
                for name, values in zip(_CONTAINER_COLUMNS[1:], places, strict=True)
            }
        tables.append(pa.table(columns))
    return pa.concat_tables(tables) if tables else pa.table({"source": arrow.texts([])})


_TRAIN, _VAL, _TEST = range(3)


def _split(table: pa.Table, build: BuildSettings) -> tuple[npt.NDArray[np.int8], npt.NDArray[np.int32], list[str]]:
    """Split (index into `schema.SPLITS`) and label of each photograph, and the training identities by label."""
    encoded = table["identity"].combine_chunks().dictionary_encode()
    names = np.array(encoded.dictionary.to_pylist(), dtype=object)
    identity = arrow.to_numpy(encoded.indices).astype(np.int64)
    official = table["official"].combine_chunks()
    has_official = not pc.all(arrow.is_empty(official)).as_py()
    usable = arrow.to_numpy(arrow.is_empty(table["problem"]))
    if has_official:
        in_test = arrow.to_numpy(pc.is_in(official, value_set=arrow.texts(["test"])))
        _refuse_known(str(build.src), names, identity[usable], in_test[usable])
    else:
        in_test = np.isin(identity, _test_identities(names, build))

    # Within each training identity the photographs of the smallest hashes are for validation. An entry that can
    # only be rejected takes no part, or it would take a usable photograph's place.
    split = np.where(in_test, _TEST, _TRAIN).astype(np.int8)
    drawn = np.flatnonzero(~in_test & usable)
    order = drawn[np.lexsort((arrow.to_numpy(table["val_hash"])[drawn], identity[drawn]))]
    ordered = identity[order]
    rank = np.arange(len(order)) - np.searchsorted(ordered, ordered)
    count = np.bincount(identity[drawn], minlength=len(names))
    split[order[rank < np.floor(VAL_SHARE * count + 0.5)[ordered]]] = _VAL

    training = sorted({names[code] for code in np.unique(identity[~in_test])} - {""})
    label_of = {name: label for label, name in enumerate(training)}
    labels = np.array([label_of.get(name, -1) for name in names], dtype=np.int32)[identity]
    labels[in_test] = -1
    return split, labels, training


def _refuse_known(
    src: str, names: npt.NDArray[np.object_], identity: npt.NDArray[np.int64], in_test: npt.NDArray[np.bool_]
) -> None:
    """Raises `UsageError` if somebody is in both official splits: nobody is tested on whom a network knows."""
    there = np.zeros((2, len(names)), dtype=bool)
    there[in_test.astype(np.int8), identity] = True
    both = sorted(names[there.all(axis=0)])
    if both:
        who = " and ".join(map(repr, both[:2])) + (f" and {len(both) - 2:,} more" if len(both) > 2 else "")
        raise UsageError(
            f"in --src {plain(src)} both train and test hold {who}, and tests need people whom no training saw; move "
            "the photographs of each person into one of the two, or give one of the two as --src."
        )


def _test_identities(names: npt.NDArray[np.object_], build: BuildSettings) -> npt.NDArray[np.int64]:
    """Codes of the identities kept for tests: those of the smallest hashes, and two at least where there are four
    (one identity has no impostors)."""
    real = [code for code, name in enumerate(names) if name]
    wanted = round(build.test_identities * len(real))
    if build.test_identities > 0 and len(real) >= 4:
        wanted = max(wanted, 2)
    ranked = sorted(real, key=lambda code: digest(build.seed, "identity", str(names[code])))
    return np.array(ranked[:wanted], dtype=np.int64)


def _order(table: pa.Table, split: npt.NDArray[np.int8]) -> npt.NDArray[np.int64]:
    """Train, then val, both by their shuffle hash, then test by identity and listing order."""
    listed = np.arange(len(split), dtype=np.uint64)
    second = np.where(split == _TEST, listed, arrow.to_numpy(table["shuffle_hash"]))
    rank = np.zeros(len(split), dtype=np.int64)
    test = split == _TEST
    identity = table["identity"].combine_chunks().filter(arrow.flags(test)).dictionary_encode()
    by_name = np.argsort(np.array(identity.dictionary.to_pylist(), dtype=object)).argsort()
    rank[test] = by_name[arrow.to_numpy(identity.indices)] if len(by_name) else 0
    return np.lexsort((listed, second, rank, split))


def _boxes(planned: pa.Table, paths: tuple[Path, ...]) -> pa.Array:
    """The box of each photograph in the boxes files, or null."""
    names, boxes = read_boxes(paths)
    place = pc.index_in(box_names(planned["source"], planned["identity"]), names).combine_chunks()
    chosen = boxes[place.fill_null(0).to_numpy()] if len(boxes) else np.zeros((len(place), 4), np.float32)
    return pa.FixedSizeListArray.from_arrays(pa.array(chosen.ravel()), 4, mask=place.is_null())


def _drawn(planned: pa.Table, problem: pa.Array, path: Path) -> dict[str, Any]:
    """The columns of a plan whose masks come from a draws file: problem, variant and color."""
    draws = read_draws(path)
    names = draw_names(planned["source"], planned["container"] if "container" in planned.column_names else None)
    place = pc.index_in(names, draws.paths).combine_chunks()
    missing = place.is_null()
    unused = draws.paths.filter(pc.invert(pc.is_in(draws.paths, value_set=names.combine_chunks())))
    if len(unused) == len(draws.paths):
        first, there = (short(repr(one[0].as_py())) for one in (unused, names))
        raise UsageError(
            f"--draws {path} has no draw for any photograph of --src: its first is for {first}, and {there} is a "
            "photograph of the source; give the paths that photographs have there."
        )
    if len(unused):
        first = ", ".join(short(repr(name)) for name in unused[:3].to_pylist())
        log.warning(
            "--draws %s has %s draws, and %s of them are for photographs that --src does not have: %s%s.",
            *(path, f"{len(draws.paths):,}", f"{len(unused):,}", first, " and more" if len(unused) > 3 else ""),
        )
    undrawn = pc.and_(missing, pc.equal(problem, ""))
    color = draws.colors[place.fill_null(0).to_numpy()]
    return {
        "problem": pc.if_else(undrawn, "no_draw: the draws file does not name it", problem),
        "variant": draws.masks.take(place),
        "color": pa.FixedSizeListArray.from_arrays(pa.array(color.ravel()), type=schema.COLOR, mask=missing),
    }


def _file_sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
