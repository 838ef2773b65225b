"""Every setting of `maskgen build`: declared, said in one way, and checked."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import settings
from ..errors import UsageError
from ..imaging import variants
from ..imaging.seeding import palette
from ..imaging.variants import VARIANTS
from ..settings import setting
from ..sources.kinds import KINDS
from ..storage.opening import located


@dataclass(frozen=True)
class BuildSettings:
    """What `maskgen build` is told. Everything but the run-only settings shapes the bytes of the data set."""

    src: str = setting(
        help="Folder or URI (s3://bucket/folder) of identity folders, a VGGFace2 tree, tar shards, Parquet files or a "
        "RecordIO pack; or one such file, or a pattern such as x-{000000..000012}.tar.",
        metavar="DIR|URI|PATTERN",
        run_only=True,
    )
    out: str | Path = setting(
        help="Folder of the data set, or a URI such as s3://bucket/smfd; new, empty, or an earlier build.",
        metavar="DIR|URI",
        run_only=True,
    )
    format: str = setting("parquet", help="Shard format.", choices=("parquet", "webdataset", "both"))
    variants: str = setting(
        "all",
        help="Masks of each photograph: all six, random (one drawn, as in the paper), or a list such as "
        "wide_high,round_low.",
        metavar="all|random|LIST",
    )
    store: str = setting(
        "rendered",
        help="Store masked pictures, or the recipe (landmarks and colours) by which readers draw the same pixels.",
        choices=("rendered", "recipe"),
    )
    size: int = setting(
        224, help="Side of the stored pictures in pixels; 0 keeps each photograph's own size.", low=0, high=8192
    )
    fit: str = setting(
        "stretch",
        help="How a photograph becomes square: stretch it, crop it around the face, or pad it with black.",
        choices=("stretch", "crop", "pad"),
    )
    quality: int = setting(95, help="JPEG quality of every stored picture.", low=1, high=100)
    colors: str = setting(
        "random",
        help="Mask colours: random RGB, nist (light blue, black, white, red), or a list such as #ffffff,#000000.",
        metavar="random|nist|LIST",
    )
    seed: int = setting(0, help="Seed of the colours, the splits and the order.")
    boxes: tuple[Path, ...] = setting(
        (),
        help="VGGFace2 boxes file (NAME_ID,X,Y,W,H) that replaces detection; may be repeated.",
        metavar="CSV",
    )
    predictor: Path | None = setting(None, help="dlib shape predictor of 68 points to use instead.", metavar="FILE")
    test_identities: float = setting(
        0.1,
        help="Share of the identities kept for tests, where the source has no test/ folder.",
        low=0,
        high=1,
    )
    limit: int | None = setting(
        None,
        help="Take only the first N photographs of the listing, where test/ comes before train/.",
        low=1,
        metavar="N",
    )
    shard_size: int | None = setting(
        None,
        help="Photographs in a shard; by default about a 64th of them, from 32 to 1,000.",
        low=1,
        high=1_000_000,
        metavar="N",
    )
    follow_links: bool = setting(False, help="Follow symbolic links in --src.")
    src_kind: str = setting(
        "auto",
        help="What to take --src for, where it holds more than one kind of source.",
        choices=KINDS,
        run_only=True,
    )
    identity_field: str | None = setting(
        None,
        help="Column of a Parquet source, or field of a tar's .json, that names the person; by default identity, "
        "label or class.",
        metavar="NAME",
        run_only=True,
    )
    image_column: str | None = setting(
        None,
        help="Column of a Parquet source that holds the photographs; by default found by its type.",
        metavar="NAME",
    )
    photograph_megabytes: int | None = setting(
        None,
        help="Megabytes of memory that one photograph may take, by its pixels; by default as many as 89 megapixels do.",
        low=1,
        high=1_000_000,
        metavar="N",
    )
    photograph_seconds: float = setting(
        300,
        help="Seconds of processor time that one photograph may take in a worker process before it is rejected.",
        low=1,
        high=1_000_000,
        run_only=True,
    )
    workers: int | None = setting(
        None, help="Worker processes; by default one for each core that may be used.", low=1, high=4096, run_only=True
    )
    engine: str = setting(
        "joblib",
        help="Where shards run: in joblib's worker processes, in Dask's, or in this process.",
        choices=("joblib", "dask", "serial"),
        run_only=True,
    )
    address: str | None = setting(
        None,
        help="Dask scheduler whose workers make the shards; by default --engine dask starts workers on this machine.",
        metavar="tcp://HOST:PORT",
        run_only=True,
    )
    overwrite: bool = setting(
        False,
        help="Remove an earlier build in --out first, unless it is this very one: then go on with it.",
        run_only=True,
    )

    @cached_property
    def masked_names(self) -> tuple[str, ...]:
        """The masked pictures of each photograph, parsed once from `variants`."""
        return variants.masked_names(self.variants)

    @cached_property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """The RGB colours to choose from, parsed once from `colors`; empty for any colour. Raises `UsageError`."""
        return palette(self.colors)

    def __post_init__(self) -> None:
        """A leading ~ is the home folder: shells leave it where a word begins otherwise, as in --out=~/smfd."""
        for name, kind in (("src", str), ("out", type(self.out))):
            given = getattr(self, name)
            if not isinstance(given, str | Path):
                continue  # the check of settings tells
            if not str(given):
                raise UsageError(f"--{name} is empty; give a folder or a URI.")
            object.__setattr__(self, name, kind(os.path.expanduser(given)))


def normal(build: BuildSettings) -> BuildSettings:
    """The same settings as they are said once: absolute paths, which Python callers may give as text, and names as one
    text without white space, which they may give as a list."""
    boxes = (build.boxes,) if isinstance(build.boxes, str | Path) else build.boxes
    return replace(
        build,
        src=_absolute(build.src),
        out=located(build.out),
        variants=_list(build.variants),
        colors=_list(build.colors),
        boxes=tuple(Path(path).resolve() for path in boxes),
        predictor=Path(build.predictor).resolve() if build.predictor else None,
    )


def _absolute(src: str | Path) -> str:
    """A source as an absolute path, or as the URI that it is."""
    return str(src) if "://" in str(src) else str(Path(src).resolve())


def _list(names: Any) -> Any:
    """Names as one text; what is neither text nor a list of it is left for the check of settings to tell."""
    if isinstance(names, list | tuple):
        names = ",".join(map(str, names))
    return ",".join(name.strip() for name in names.split(",")) if isinstance(names, str) else names


def check(build: BuildSettings) -> None:
    """Raises `UsageError` for a setting that cannot be, in one sentence that names the option."""
    settings.check(build)
    if build.variants != "random":
        names = build.masked_names
        for name in names:
            if name not in VARIANTS:
                raise UsageError(f"--variants has no {name!r}; choose all, random, or from {', '.join(VARIANTS)}.")
        if len(set(names)) != len(names):
            raise UsageError("--variants names a variant twice; give each once.")
    _ = build.palette
    if build.predictor and not build.predictor.is_file():
        raise UsageError(f"there is no file --predictor {build.predictor}; give a dlib shape predictor of 68 points.")
