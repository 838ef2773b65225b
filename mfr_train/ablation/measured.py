"""The figures of one model in every scenario, over resamples of the subjects that are the same for all models."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from maskgen.progress import planned, step
from maskgen.storage import files

from ..defaults import SCENARIOS
from ..evaluation import bootstrap, curves, inputs, metrics
from ..evaluation.curves import Curve
from ..evaluation.drawn import Drawn
from ..evaluation.embeddings_file import ZIP_DAMAGE
from ..evaluation.eval_settings import EvalSettings
from ..evaluation.measure import measure
from ..evaluation.no_errors import Trials
from ..networks.model import Model
from .ablate_settings import AblateSettings
from .kinds import FIGURES

VERSION = 1
"""Of what is measured and kept; another number measures again."""


_CURVE = ("thresholds", "fmr", "fnmr")
"""The arrays of a curve that are kept."""


@dataclass(frozen=True)
class Measured:
    """One scenario of one model.

    `drawn` has no resamples if there are too few subjects. `few` names the figures with few expected errors.
    """

    drawn: Drawn
    curve: Curve
    few: tuple[str, ...]


@dataclass(frozen=True)
class Found:
    """The scenarios of one model by name, the number of test subjects, and what limits the figures."""

    scenarios: dict[str, Measured]
    subjects: int
    notes: tuple[str, ...]


def facts(model: Model, content: str, settings: AblateSettings) -> dict[str, Any]:
    """What decides the figures of a model: kept figures with other facts are measured again."""
    return {
        "version": VERSION,
        "model": model.fingerprint,
        "dataset": content,
        "split": settings.split,
        "seed": settings.seed,
        "bootstrap": settings.bootstrap,
        "on_damage": settings.on_damage,
    }


def measured(model: Model, settings: AblateSettings) -> Found:
    """Measures a model on all scenarios, as `mfr eval` does.

    The masks of the photographs depend on the seed and their keys, and the resamples on the seed and the number of
    subjects: both are the same for every model.
    """
    chosen = EvalSettings(
        data=settings.data,
        split=settings.split,
        seed=settings.seed,
        breakdown=False,
        cache=settings.cache,
        on_damage=settings.on_damage,
        workers=settings.workers,
        device=settings.device,
    )
    with step("embedding pictures", to_plan=True) as bar:
        material = inputs.from_dataset(chosen, SCENARIOS, model, planned(bar), bar.update)
    subjects = int(material.subjects.max()) + 1
    scenarios = {}
    for name in SCENARIOS:
        comparison = material.comparison(material.pairings[name])[0]
        found = measure(comparison, subjects, settings.bootstrap, settings.seed)
        values = bootstrap.plain(found.figures)
        drawn = found.drawn or Drawn(values, dict.fromkeys(values, np.empty(0)))
        few = tuple(figure for figure in metrics.few_errors(found.figures) if figure in FIGURES)
        scenarios[name] = Measured(drawn.only(FIGURES), curves.curve(found.counts), few)
    return Found(scenarios, subjects, tuple(material.notes))


def averaged(found: Sequence[Drawn]) -> Drawn:
    """The mean over seeds of each figure, and in each resample the mean over seeds on the same subjects.

    What single pairs of people add to a variance is taken as the mean over seeds, too.
    """
    first = found[0]
    return replace(
        first,
        values={name: float(np.mean([each.values[name] for each in found])) for name in first.values},
        draws={name: np.mean([each.draws[name] for each in found], axis=0) for name in first.values},
        pairs={name: float(np.mean([each.pairs[name] for each in found])) for name in first.pairs},
    )


def keep(path: Path, found: Found, known: dict[str, Any]) -> None:
    """Writes what `kept` reads, all or nothing."""
    arrays: dict[str, Any] = {}
    told: dict[str, Any] = {"facts": known, "subjects": found.subjects, "notes": found.notes, "scenarios": {}}
    for name, each in found.scenarios.items():
        curve, trials = each.curve, each.drawn.trials or Trials(0, 0)
        told["scenarios"][name] = {
            "values": each.drawn.values,
            "pairs": each.drawn.pairs,
            "few": each.few,
            "trials": [trials.genuine, trials.impostor],
            "genuine": curve.genuine,
            "impostor": curve.impostor,
        }
        arrays |= {f"{name}/{figure}": each.drawn.draws[figure] for figure in FIGURES}
        arrays |= {f"{name}/{part}": getattr(curve, part) for part in _CURVE}
        arrays[f"{name}/weights"] = each.drawn.weights.astype(np.uint16)
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.temporary(path) as new:
        with new.open("wb") as file:
            np.savez(file, told=np.array(json.dumps(told)), **arrays)
        files.publish(new, path)


def kept(path: Path, known: dict[str, Any]) -> Found | None:
    """What was kept of an earlier measurement with the same facts; None if there is none that can be read."""
    try:
        with np.load(path, allow_pickle=False) as arrays:
            told = json.loads(str(arrays["told"]))
            if told["facts"] != known:
                return None
            scenarios = {}
            for name in SCENARIOS:
                parts = {part: arrays[f"{name}/{part}"] for part in (*FIGURES, *_CURVE, "weights")}
                scenarios[name] = _scenario(told["scenarios"][name], parts)
            return Found(scenarios, int(told["subjects"]), tuple(told["notes"]))
    except (*ZIP_DAMAGE, AttributeError):
        return None


def _scenario(told: dict[str, Any], arrays: dict[str, Any]) -> Measured:
    drawn = Drawn(
        {figure: float(told["values"][figure]) for figure in FIGURES},
        {figure: arrays[figure] for figure in FIGURES},
        arrays["weights"].astype(np.float64),
        {figure: float(value) for figure, value in told["pairs"].items()},
        Trials(*map(int, told["trials"])),
    )
    curve = {part: arrays[part] for part in _CURVE}
    return Measured(
        drawn,
        Curve(genuine=float(told["genuine"]), impostor=float(told["impostor"]), **curve),
        tuple(told["few"]),
    )
