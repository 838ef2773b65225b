"""Every setting of `maskgen build`: declared, normalised, validated."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import settings
from ..errors import UsageError
from ..imaging import search, variants
from ..imaging.search import BOXES, DETECTORS
from ..imaging.seeding import palette
from ..imaging.variants import STYLES, VARIANTS
from ..settings import setting
from ..sources.kinds import KINDS
from ..storage.uri import is_uri


@dataclass(frozen=True)
class BuildSettings:
    """The settings of `maskgen build`. All but the run-only settings determine the bytes of the data set."""

    src: str = setting(
        help="Folder or URI (s3://bucket/folder) with identity folders, a VGGFace2 tree, tar shards, Parquet files or "
        "a RecordIO pack; or one such file, or a pattern such as x-{000000..000012}.tar.",
        metavar="DIR|URI|PATTERN",
        run_only=True,
    )
    out: str | Path = setting(
        help="Folder for the data set, or a URI such as s3://bucket/smfd: new, empty, or with an earlier build.",
        metavar="DIR|URI",
        run_only=True,
    )
    format: str = setting("parquet", help="Format of the shards.", choices=("parquet", "webdataset", "both"))
    variants: str = setting(
        None,
        help="Masks for each photograph: all six (the default), random (one drawn at random, as in the paper), or a "
        "list such as wide_high,round_low.",
        metavar="all|random|LIST",
    )
    store: str = setting(
        "rendered",
        help="rendered stores the masked pictures; recipe stores landmarks and colours, from which readers draw the "
        "same pixels.",
        choices=("rendered", "recipe"),
    )
    size: int = setting(
        224, help="Side of the stored pictures in pixels; 0 keeps the size of each photograph.", low=0, high=8192
    )
    fit: str = setting(
        "stretch",
        help="How to make a photograph square: stretch it, crop the largest square around the face, pad it with black, "
        "crop a square of the face with a margin (as VGGFace2's), or align eyes, nose and mouth as for ArcFace.",
        choices=("stretch", "crop", "pad", "face", "align"),
    )
    quality: int = setting(95, help="JPEG quality of the stored pictures.", low=1, high=100)
    colors: str = setting(
        "random",
        help="Colours of the masks: random RGB, nist (light blue, black, white, red), or a list such as "
        "#ffffff,#000000.",
        metavar="random|nist|LIST",
    )
    style: str = setting(
        "flat",
        help="How the masks look: flat as NIST draws them, fabric with folds, light and straps, or texture, which "
        "prints --textures on them. The outlines are the same.",
        choices=STYLES,
    )
    textures: Path | None = setting(
        None, help="Folder of pictures for --style texture; a copy of them is stored in --out.", metavar="DIR"
    )
    seed: int = setting(0, help="Seed of the colours, the styles, the splits and the order.")
    face: str = setting("central", help=search.FACE_HELP, choices=search.FACE_CHOICES)
    detector: str | None = setting(
        None,
        help=f"{search.DETECTOR_HELP} boxes stands for --boxes. By default hog, or boxes where they are given.",
        metavar="hog|cnn|yunet|boxes|LIST",
    )
    detector_model: Path | None = setting(None, help=search.MODEL_HELP, metavar="FILE")
    boxes: tuple[Path, ...] = setting(
        (),
        help="Face boxes, a CSV file as VGGFace2 has it (NAME_ID,X,Y,W,H); may be repeated. They replace detection, "
        "unless --detector names others too, as in hog,boxes or boxes,hog.",
        metavar="CSV",
    )
    draws: Path | None = setting(
        None,
        help="Mask and colour of each photograph, as published for a masked set: lines of `path mask r g b`, or a CSV "
        "file with the header path,mask,r,g,b. Implies --variants random.",
        metavar="FILE",
    )
    predictor: Path | None = setting(
        None, help="dlib shape predictor of 68 points; by default the packaged one.", metavar="FILE"
    )
    test_identities: float = setting(
        0.1,
        help="Share of the identities reserved for tests if the source has no test/ folder, from 0 to 1.",
        low=0,
        high=1,
    )
    limit: int | None = setting(
        None,
        help="Use only the first N photographs of the listing, in which test/ comes before train/.",
        low=1,
        metavar="N",
    )
    shard_size: int | None = setting(
        None,
        help="Photographs in a shard; by default a 64th of them, but 32 to 1,000.",
        low=1,
        high=1_000_000,
        metavar="N",
    )
    follow_links: bool = setting(False, help="Follow symbolic links in --src.")
    src_kind: str = setting(
        "auto",
        help="Kind of --src, needed if it contains more than one kind.",
        choices=KINDS,
        run_only=True,
    )
    identity_field: str | None = setting(
        None,
        help="Column of a Parquet source, or field of the .json files of a tar, with the identity; by default "
        "identity, label or class.",
        metavar="NAME",
        run_only=True,
    )
    image_column: str | None = setting(
        None,
        help="Column of a Parquet source with the photographs; by default found by its type.",
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
        None,
        help="Number of worker processes; by default one for each available core.",
        low=1,
        high=4096,
        run_only=True,
    )
    engine: str = setting(
        "joblib",
        help="Where the work runs: in worker processes of joblib, on a Dask cluster, or in this process.",
        choices=("joblib", "dask", "serial"),
        run_only=True,
    )
    address: str | None = setting(
        None,
        help="Dask scheduler to use; by default --engine dask starts workers on this machine.",
        metavar="tcp://HOST:PORT",
        run_only=True,
    )
    overwrite: bool = setting(
        False,
        help="Delete a different earlier build in --out first; the same build is resumed.",
        run_only=True,
    )

    @cached_property
    def masked_names(self) -> tuple[str, ...]:
        """The masked pictures of each photograph, parsed once from `variants`."""
        return variants.masked_names(self.variants)

    @cached_property
    def detectors(self) -> tuple[str, ...]:
        """The detectors to try in turn, parsed once from `detector`; `boxes` among them is a box of `boxes`."""
        return search.names_of((BOXES if self.boxes else search.HOG) if self.detector is None else self.detector)

    @cached_property
    def palette(self) -> tuple[tuple[int, int, int], ...]:
        """The RGB colours to choose from, parsed once from `colors`; empty for any colour. Raises `UsageError`."""
        return palette(self.colors)

    def __post_init__(self) -> None:
        """Expands a leading ~ to the home folder: shells do not if the word starts otherwise, as in --out=~/smfd.

        Variants that are not given are all, or random if the masks come from a draws file.
        """
        if self.variants is None:
            object.__setattr__(self, "variants", "random" if self.draws else "all")
        for name, kind in (("src", str), ("out", type(self.out))):
            given = getattr(self, name)
            if not isinstance(given, str | Path):
                continue  # `check` reports it
            if not str(given):
                raise UsageError(f"--{name} is empty; give a folder or a URI.")
            object.__setattr__(self, name, kind(os.path.expanduser(given)))


def normalised(build: BuildSettings) -> BuildSettings:
    """The same settings in canonical form: absolute paths (Python callers may give text), and names as one text without
    white space (they may give a list)."""
    from ..storage.opening import located  # loads pyarrow, which `maskgen build --help` does not need

    boxes = (build.boxes,) if isinstance(build.boxes, str | Path) else build.boxes
    return replace(
        build,
        src=_absolute(build.src),
        out=located(build.out),
        variants=_list(build.variants),
        colors=_list(build.colors),
        boxes=tuple(Path(path).resolve() for path in boxes),
        draws=Path(build.draws).resolve() if build.draws else None,
        detector=_list(build.detector),
        detector_model=Path(build.detector_model).resolve() if build.detector_model else None,
        predictor=Path(build.predictor).resolve() if build.predictor else None,
        textures=Path(build.textures).resolve() if build.textures else None,
    )


def _absolute(src: str | Path) -> str:
    """A source as an absolute path, or as the URI that it is."""
    return str(src) if is_uri(str(src)) else str(Path(src).resolve())


def _list(names: Any) -> Any:
    """Names as one text. Any other type is returned as it is, and `check` reports it."""
    if isinstance(names, list | tuple):
        names = ",".join(map(str, names))
    return ",".join(name.strip() for name in names.split(",")) if isinstance(names, str) else names


def check(build: BuildSettings) -> None:
    """Raises `UsageError` for a value that is not valid, in one sentence that names the option."""
    settings.check(build)
    if build.variants != "random":
        names = build.masked_names
        for name in names:
            if name not in VARIANTS:
                raise UsageError(f"--variants has no {name!r}; choose all, random, or from {', '.join(VARIANTS)}.")
        if len(set(names)) != len(names):
            raise UsageError("--variants names a variant twice; give each once.")
    _ = build.palette
    if build.style == "texture" and not build.textures:
        raise UsageError("--style texture needs pictures; give their folder with --textures DIR.")
    if build.textures and build.style != "texture":
        raise UsageError(f"--textures is not used with --style {build.style}; leave it out, or give --style texture.")
    if build.draws and build.variants != "random":
        raise UsageError(f"--draws says which mask each photograph wears; leave out --variants {build.variants}.")
    if build.draws and build.colors != "random":
        raise UsageError(f"--draws says which colour each mask has; leave out --colors {build.colors}.")
    search.check(build.face, build.detectors, build.detector_model, (*DETECTORS, BOXES))
    if BOXES in build.detectors and not build.boxes:
        raise UsageError("--detector boxes takes the boxes of a file; add --boxes CSV.")
    if build.boxes and BOXES not in build.detectors:
        raise UsageError(
            f"--boxes is not used by --detector {build.detector}; add boxes to it, as in {build.detector},boxes."
        )
    if build.predictor and not build.predictor.is_file():
        raise UsageError(f"there is no file --predictor {build.predictor}; give a dlib shape predictor of 68 points.")
