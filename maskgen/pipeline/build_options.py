"""The keywords of `maskgen.build`, with their types, for editors and type checkers."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypedDict


class BuildOptions(TypedDict, total=False):
    """The fields of `BuildSettings`, which says what each means; `src` and `out` are required.

    Paths may be text, and several names may be a list.
    """

    src: str | Path
    out: str | Path
    format: Literal["parquet", "webdataset", "both"]
    variants: str | Sequence[str]
    store: Literal["rendered", "recipe"]
    size: int
    fit: Literal["stretch", "crop", "pad", "face", "align"]
    quality: int
    colors: str | Sequence[str]
    style: Literal["flat", "fabric", "texture"]
    textures: str | Path | None
    seed: int
    face: Literal["central", "largest"]
    detector: str | Sequence[str] | None
    detector_model: str | Path | None
    boxes: str | Path | Sequence[str | Path]
    draws: str | Path | None
    predictor: str | Path | None
    test_identities: float
    limit: int | None
    shard_size: int | None
    follow_links: bool
    src_kind: Literal["auto", "folders", "tar", "parquet", "recordio"]
    identity_field: str | None
    image_column: str | None
    photograph_megabytes: int | None
    photograph_seconds: float
    workers: int | None
    engine: Literal["joblib", "dask", "serial"]
    address: str | None
    overwrite: bool
