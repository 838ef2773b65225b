"""`mfr explain`: where models look in unmasked and masked pictures of the same faces."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Unpack

import numpy as np
import pyarrow.parquet as pq

import maskgen
from maskgen import Row
from maskgen import settings as declared
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging.seeding import digest
from maskgen.progress import quiet, step

from ..defaults import EXPLANATIONS, MIN_RESAMPLES
from ..evaluation.measurement import Measurement
from ..evaluation.scenarios import RANDOM as MASKED
from ..evaluation.scenarios import UNMASKED
from ..figure import FORMATS
from ..keywords import AnyPath, settings_from
from ..networks.backbone import Floats, Image
from ..networks.model import Model, load_model
from . import explanation as results
from . import faithfulness, figures, photographs, shares
from .attention import Explainer, MapOptions, explainer
from .explain_settings import ExplainSettings
from .explanation import CURVE_PLOT, MEANS, PEOPLE, Explained, Explanation, Faithfulness, MapWriter, Share
from .faithfulness import CURVES, MAP, PictureCurves
from .faithfulness import RANDOM as RANDOM_MAP
from .figures import MeanMaps, Seen
from .shares import Doubles, PictureShares, subject_mean

Progress = Callable[[int], object]
"""Called with a number of maps: those that were just made, or those that will be."""


class ExplainOptions(MapOptions, total=False):
    """The fields of `ExplainSettings` as keywords; text or any path-like object is a path."""

    data: AnyPath
    split: str
    photographs: int
    mask: str
    people: int
    curves: int
    steps: int
    bootstrap: int
    out: AnyPath | None


@dataclass(frozen=True, eq=False)
class System:
    """A model under its name in the output."""

    name: str
    model: Model
    explainer: Explainer


@dataclass(eq=False)
class Found:
    """What was measured on the photographs."""

    shares: list[PictureShares] = field(default_factory=list)
    curves: list[PictureCurves] = field(default_factory=list)
    means: MeanMaps = field(default_factory=MeanMaps)
    people: dict[int, list[Seen]] = field(default_factory=dict)


def explain(
    *models: Model | AnyPath,
    settings: ExplainSettings | None = None,
    progress: Progress | None = None,
    planned: Progress | None = None,
    **options: Unpack[ExplainOptions],
) -> Explanation:
    """Shows and measures where models look in unmasked and masked pictures of the same photographs.

    Writes the maps, the share of attention inside the mask's outline and above the eyes, deletion and insertion
    curves, and figures. A progress bar shows in a notebook or a terminal unless `progress` is given.

    Args:
        *models: Runs, or models such as `dlib` or a file, as `load_model` takes them; by default the newest run under
            runs/. The first one is what the others are compared with.
        settings: The settings, or the same by name as `options`.
        progress: Called with the number of maps that were just made.
        planned: Called once, before, with the number of maps that will be made.
        **options: The fields of `ExplainSettings`.

    Returns:
        Shares and curves. They are also written to its folder, `out`, with the maps and figures.

    Raises:
        UsageError: If a setting, a model or the data do not fit.
        MaskgenError: If a file is damaged or cannot be written.

    Example:
        >>> found = explain("runs/tl", "runs/tl-mse", data="smfd")  # doctest: +SKIP
        >>> found.share("tl-mse", "masked", "in_mask").value  # doctest: +SKIP
        0.312 [0.301, 0.324]
    """
    chosen = settings_from(ExplainSettings, settings, options)
    if progress is None:
        return _explain(models, chosen, None, planned or _ignore)
    with quiet():
        return _explain(models, chosen, progress, planned or _ignore)


def _ignore(count: int) -> None:
    pass


def _explain(
    models: Sequence[Model | AnyPath], settings: ExplainSettings, progress: Progress | None, planned: Progress
) -> Explanation:
    declared.check(settings)
    if 0 < settings.bootstrap < MIN_RESAMPLES:
        raise UsageError(f"--bootstrap is {settings.bootstrap}; give at least {MIN_RESAMPLES}, or 0 for none.")
    with step("loading models"):
        systems = _systems(models, settings)
    dataset = maskgen.open(settings.data)
    chosen = photographs.choose(dataset, settings)
    maps = len(chosen.rows) * len(systems) * 2
    planned(maps)
    out = settings.out or EXPLANATIONS / _folder_name(systems, dataset.content, settings)
    found = Found()
    with _replacing(out) as folder:
        with MapWriter(folder / results.MAPS) as writer, step("making maps", maps) as bar:
            rows = photographs.read(dataset, settings.split, chosen.rows, chosen.masks)
            for row, mask, rank in zip(rows, chosen.masks, chosen.ranks, strict=True):
                _explain_photograph(row, mask, int(rank), systems, settings, found, writer)
                (progress or bar.update)(len(systems) * 2)
        with step("resampling people"):
            explanation = _summary(systems, str(dataset), settings, found, out)
        explanation.write(folder)
        pq.write_table(results.shares_as_arrow(found.shares), folder / results.SHARES, compression="zstd")
        names = [system.name for system in systems]
        with step("drawing figures"):
            _draw(explanation, found, names, folder)
    return explanation


def _draw(explanation: Explanation, found: Found, names: Sequence[str], folder: Path) -> None:
    figures.people([found.people[rank] for rank in sorted(found.people)], names, folder)
    figures.means(found.means, names, folder)
    if explanation.faithfulness:
        figures.curves(explanation, folder)


def _systems(models: Sequence[Model | AnyPath], settings: ExplainSettings) -> list[System]:
    """The models with their names: a name that several have gets what was given for each."""
    given: Sequence[Model | AnyPath | None] = models or [None]
    loaded = [each if isinstance(each, Model) else load_model(each, device=settings.device) for each in given]
    names = [model.name for model in loaded]
    if len(set(names)) < len(names):
        names = [
            name if names.count(name) == 1 or isinstance(each, Model) else f"{name} ({each})"
            for name, each in zip(names, given, strict=True)
        ]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"the model {name} is given twice; give each model once.")
    return [System(name, model, explainer(model, settings)) for name, model in zip(names, loaded, strict=True)]


def _folder_name(systems: Sequence[System], content: str, settings: ExplainSettings) -> str:
    told = [content, repr(declared.jsonable(settings, run_only=False))]
    told += [f"{system.name} {system.model.fingerprint}" for system in systems]
    return hashlib.sha256("\n".join(told).encode("utf-8", "surrogateescape")).hexdigest()[:12]


@contextmanager
def _replacing(out: Path) -> Iterator[Path]:
    """A folder inside `out` to write into; at the end its files replace those of an earlier explanation.

    If the block ends in an error, the earlier files stay.
    """
    plots = [f"{name}.{ending}" for name in (PEOPLE, MEANS, CURVE_PLOT) for ending in FORMATS]
    try:
        out.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".mfr-", dir=out) as name:
            folder = Path(name)
            yield folder
            for old in (results.SUMMARY, results.MAPS, results.SHARES, *plots):
                (out / old).unlink(missing_ok=True)
            for path in folder.iterdir():
                path.replace(out / path.name)
    except OSError as error:
        raise MaskgenError(f"cannot write to {out} ({error.strerror or error}); give another --out.") from None


def _explain_photograph(
    row: Row,
    mask: str,
    rank: int,
    systems: Sequence[System],
    settings: ExplainSettings,
    found: Found,
    writer: MapWriter,
) -> None:
    """Both pictures of one photograph, by every model."""
    variant = row.variant or mask
    pictures = row.images((UNMASKED, mask))
    regions = {
        shares.IN_MASK: row.mask(mask) / 255,
        shares.ABOVE_EYES: shares.above_eyes(row.landmarks, row.height, row.width),
    }
    areas = {name: float(region.mean()) for name, region in regions.items()}
    for picture, image in ((UNMASKED, pictures[UNMASKED]), (MASKED, pictures[mask])):
        seen = Seen(picture, image, maskgen.outline(row.landmarks, variant))
        found.means.add_picture(picture, image, row.landmarks)
        for system in systems:
            attention = system.explainer.attention(image, row.landmarks, picture == MASKED, row.key)
            values = attention.map()
            facts = {"model": system.name, "key": row.key, "subject": row.identity, "picture": picture}
            writer.add({**facts, "mask": variant, "method": system.explainer.method}, values)
            measured = {name: shares.share(values, region) for name, region in regions.items()}
            found.shares.append(PictureShares(**facts, mask=variant, shares=measured, areas=areas))
            seen.maps[system.name] = figures.relative(values)
            found.means.add_map(system.name, picture, seen.maps[system.name], row.landmarks)
            if rank < settings.curves:
                draw = np.random.default_rng(int.from_bytes(digest(settings.seed, "curves", row.key, picture), "big"))
                embed = partial(_embedded, system.explainer, row, picture == MASKED)
                curves = faithfulness.similarities(image, attention, embed, settings.steps, draw)
                found.curves.append(PictureCurves(**facts, similarities=curves))
        if rank < settings.people:
            found.people.setdefault(rank, []).append(seen)


def _embedded(explainer: Explainer, row: Row, masked: bool, versions: Sequence[Image]) -> Floats:
    return explainer.embed(versions, row.landmarks, masked)


def _summary(systems: Sequence[System], data: str, settings: ExplainSettings, found: Found, out: Path) -> Explanation:
    models = [system.name for system in systems]
    notes = [system.explainer.note for system in systems if system.explainer.note]
    notes += [system.model.unfinished for system in systems if system.model.unfinished]
    people = {each.subject for each in found.shares}
    for system in systems:
        seen = len(system.model.identities & people)
        if seen:
            notes.append(f"{system.name} was trained on people of the same names as {seen} of these {len(people)}.")
        empty = sum(each.model == system.name and np.isnan(each.shares[shares.IN_MASK]) for each in found.shares)
        if empty:
            notes.append(f"{empty} maps of {system.name} are 0 everywhere and have no shares.")
    measured = [share for region in shares.REGIONS for share in _region(models, region, settings, found.shares)]
    return Explanation(
        settings,
        data,
        [Explained(each.name, each.explainer.method, each.model.fingerprint) for each in systems],
        measured,
        [_curve(model, curve, settings, found.curves) for model in models for curve in CURVES if found.curves],
        len(people),
        len({each.key for each in found.shares}),
        out,
        notes,
    )


def _region(
    models: Sequence[str], region: str, settings: ExplainSettings, found: Sequence[PictureShares]
) -> list[Share]:
    """The shares of one region: of every model, and of a uniform map."""
    values: dict[tuple[str, str], Doubles] = {}
    for model in models:
        for picture in (UNMASKED, MASKED):
            own = [each for each in found if (each.model, each.picture) == (model, picture)]
            values[model, picture] = np.array([each.shares[region] for each in own])
        values[model, results.DIFFERENCE] = values[model, MASKED] - values[model, UNMASKED]
    mean = partial(_mean, [each.subject for each in own], settings)
    first = models[0]
    measured = [
        Share(model, picture, region, mean(each), None if model == first else mean(each - values[first, picture]))
        for (model, picture), each in values.items()
    ]
    return [*measured, Share(results.UNIFORM, "both", region, mean(np.array([each.areas[region] for each in own])))]


def _curve(model: str, curve: str, settings: ExplainSettings, found: Sequence[PictureCurves]) -> Faithfulness:
    own = [each for each in found if each.model == model]
    mean = partial(_mean, [each.subject for each in own], settings)
    of_map, of_random = (np.array([each.area(curve, of) for each in own]) for of in (MAP, RANDOM_MAP))
    return Faithfulness(
        model,
        curve,
        mean(of_map),
        mean(of_random),
        mean(of_map - of_random),
        *(tuple(faithfulness.mean_curve(own, curve, of).tolist()) for of in (MAP, RANDOM_MAP)),
    )


def _mean(subjects: Sequence[str], settings: ExplainSettings, values: Doubles) -> Measurement:
    return subject_mean(values, subjects, settings.bootstrap, settings.seed)
