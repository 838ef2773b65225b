"""`mfr ablate`: the second stages of the paper, trained on one frozen network, on the same pairs in one table."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any, Unpack

import maskgen
from maskgen import settings as declared
from maskgen.errors import UsageError
from maskgen.progress import part

from .. import hardware
from ..comparison import paired
from ..comparison.conclusions import check_resamples, conclusion, corrected
from ..comparison.paired import Difference
from ..defaults import SCENARIOS
from ..evaluation.bootstrap import MIN_SUBJECTS
from ..evaluation.drawn import Drawn
from ..figure import chosen_formats
from ..keywords import AnyPath, settings_from
from ..networks.model import Model, chosen_model, load_run
from ..networks.preprocessing import InputOptions
from ..networks.run_files import EMBEDDING, identities_of, record_of
from ..training.train import train
from ..training.train_settings import TrainSettings, filled
from . import ablation_files, folder, measured
from .ablate_settings import AblateSettings, check_together, seeds_of, wanted_rows, weights_of
from .choosing import Choice, choose
from .folder import CHOICE, MEASURED, RUNS
from .kinds import CE, KINDS, MSE, Kind
from .measured import Found

CONCLUDED = ("U-M", "M-M")
"""The scenarios of the paper's table: conclusions are drawn on these. U-U is shown, too."""


class AblateOptions(InputOptions, total=False):
    """The fields of `AblateSettings` as keywords; text or any path-like object is a path."""

    out: AnyPath
    data: AnyPath
    weights: AnyPath | None
    backbone: str | None
    rows: str
    model: Sequence[str]
    mse_weight: Sequence[float]
    choose_mse_weight: bool
    seeds: str
    figure: str
    seed: int
    bootstrap: int
    split: str
    recipe: str
    masked_share: float
    variants: Sequence[str]
    triplets: int | None
    embed_iterations: int | None
    embed_lr: float | None
    embed_weight_decay: float
    momentum: float
    embed_nesterov: bool
    embed_lr_drop: int | None
    margin: float | None
    dim: int
    distance: str
    positive: str
    validate_every: int | None
    log_every: int | None
    figures: str
    cache: AnyPath
    on_damage: str
    workers: int | None
    device: str


@dataclass(frozen=True)
class AblationRow:
    """One row of an ablation.

    Attributes:
        label: Its name, such as `CE+TL`.
        runs: The run folders, one for each seed; empty for a network that is measured as it is.
        fingerprints: Of each model, a hash of every number that shapes its embeddings.
        found: What was measured of each run, or of the one network.
    """

    label: str
    runs: tuple[Path, ...]
    fingerprints: tuple[str, ...]
    found: tuple[Found, ...]

    @cached_property
    def drawn(self) -> dict[str, Drawn]:
        """By scenario: the mean over the runs of each figure, also in each resample of the subjects."""
        return {
            name: measured.averaged([each.scenarios[name].drawn for each in self.found])
            for name in self.found[0].scenarios
        }

    def interval(self, scenario: str, figure: str) -> tuple[float, float] | None:
        """The 95 % interval over subjects of the mean; None if there are too few subjects."""
        return self.drawn[scenario].intervals.get(figure)

    def values(self, scenario: str, figure: str) -> list[float]:
        """The figure of each run."""
        return [each.scenarios[scenario].drawn.values[figure] for each in self.found]


@dataclass(frozen=True, repr=False)
class Ablation:
    """Rows that differ in their second stage alone, on the same pairs.

    Attributes:
        settings: The settings.
        rows: The rows in their order.
        differences: Each figure of each row minus that of the row above, by scenario.
        conclusions: One sentence for each row but the first, for U-M and M-M.
        subjects: How many people were compared.
        notes: Sentences about what limits the figures.
        choice: How lambda was chosen; None if it was given.
    """

    settings: AblateSettings
    rows: list[AblationRow]
    differences: list[Difference]
    conclusions: list[str]
    subjects: int
    notes: list[str]
    choice: Choice | None = None

    @property
    def out(self) -> Path:
        """The folder that holds the runs and the results."""
        return self.settings.out

    def as_json(self) -> dict[str, Any]:
        """The content of ablation.json."""
        return {
            "settings": declared.jsonable(self.settings),
            "subjects": self.subjects,
            "rows": [
                {
                    "row": row.label,
                    "runs": [path.relative_to(self.out).as_posix() for path in row.runs],
                    "models": list(row.fingerprints),
                    "scenarios": {scenario: _scenario_facts(row, scenario) for scenario in SCENARIOS},
                }
                for row in self.rows
            ],
            "differences": [dataclasses.asdict(each) for each in self.differences],
            "conclusions": self.conclusions,
            "notes": self.notes,
            "choice": self.choice.as_json() if self.choice else None,
        }

    def __repr__(self) -> str:
        return f"<Ablation of {', '.join(row.label for row in self.rows)}: {' '.join(self.conclusions)}>"


def ablate(settings: AblateSettings | None = None, /, **options: Unpack[AblateOptions]) -> Ablation:
    """Trains second stages on one frozen network and measures them on the same pairs, each against the one above.

    By default the rows of the paper's table (Neto et al., BIOSIG 2021): CE, which is the feature of the network itself,
    CE+TL and CE+TL+MSE, each trained with three seeds. A call that was interrupted is resumed by the same call.

    Args:
        settings: The settings, or the same by name as `options`, such as `out="ablation", backbone="dlib"`.
        **options: The fields of `AblateSettings`.

    Returns:
        The rows with their figures, the differences and conclusions, which are also written to `out`.

    Raises:
        UsageError: If a setting, the data, the network or the folder does not fit.
        MaskgenError: If a training or measurement fails; what was finished is kept.

    Example:
        >>> found = ablate(data="smfd", backbone="dlib", out="ablation")  # doctest: +SKIP
        >>> found.rows[1].values("U-M", "eer")  # doctest: +SKIP
        [0.071, 0.069, 0.072]
    """
    chosen = settings_from(AblateSettings, settings, options)
    declared.check(chosen)
    check_together(chosen)
    chosen_formats(chosen.figures)
    weights = weights_of(chosen)
    rows_to_train = list(_planned(chosen, weights[:1] if chosen.choose_mse_weight else weights))
    planned_rows = {planned.label for planned in rows_to_train} | ({CE} & set(wanted_rows(chosen)))
    check_resamples(chosen.bootstrap, len(CONCLUDED) * (len(planned_rows) + len(chosen.model) - 1))
    for planned in rows_to_train:
        filled(planned.training)  # refuses what a training would refuse, before the first one
    dataset = maskgen.open(chosen.data)
    if not dataset.count(chosen.split):
        raise UsageError(f"the data set {dataset} has no photographs in {chosen.split}; choose another --split.")
    others = [_model(name, chosen) for name in chosen.model]
    with folder.claimed(chosen, dataset):
        choice = _choice(chosen, weights) if chosen.choose_mse_weight else None
        if choice:
            weights = (choice.weight,)
        rows = [
            *(_row(model.name, (), [model], [f"model-{model.fingerprint[:16]}"], chosen, dataset) for model in others),
            *_trained_rows(chosen, weights, dataset),
        ]
        _check_labels(rows)
        differences = corrected(list(_differences(rows)), chosen.figure, CONCLUDED)
        above = {row.label: before.label for before, row in pairwise(rows)}
        conclusions = [conclusion(each, above[each.system]) for each in differences if each.adjusted_p is not None]
        notes = _notes(rows, chosen, choice, dataset)
        made = Ablation(chosen, rows, differences, conclusions, rows[0].found[0].subjects, notes, choice)
        try:
            ablation_files.write(made, chosen_formats(chosen.figures))
        except OSError as error:
            raise folder.not_written(chosen.out, error) from None
    return made


@dataclass(frozen=True)
class _Planned:
    """A run to train: the label of its row, and the settings of its training."""

    label: str
    training: TrainSettings


def _planned(settings: AblateSettings, weights: Sequence[float]) -> Iterator[_Planned]:
    """The runs in the order of the rows; `weights` are those of MSE."""
    shown = len(weights) > 1 or settings.choose_mse_weight
    for name in wanted_rows(settings):
        kind = KINDS[name]
        for weight in weights if name == MSE else (0.0,):
            label = kind.label.replace("MSE", f"{weight:g} MSE") if shown else kind.label
            for seed in seeds_of(settings) if kind.head else ():
                number = f"tl+{weight:g}mse" if name == MSE else name
                run = settings.out / RUNS / f"{number}-{seed}"
                yield _Planned(label, _training(settings, kind, weight, seed, run))


def _choice(settings: AblateSettings, weights: Sequence[float]) -> Choice:
    """Lambda, chosen by trainings with the first seed."""
    there = settings.out / CHOICE
    training = _training(settings, KINDS[MSE], weights[0], seeds_of(settings)[0], there)
    return choose(training, weights, there, settings.figure, settings.seed)


def _training(settings: AblateSettings, kind: Kind, weight: float, seed: int, run: Path) -> TrainSettings:
    same = {field.name for field in dataclasses.fields(AblateSettings)} & {
        field.name for field in dataclasses.fields(TrainSettings)
    }
    given = {name: getattr(settings, name) for name in same}
    changes = {"out": run, "stage": "embed", "head": kind.head, "loss": kind.loss, "mse_weight": weight, "seed": seed}
    return TrainSettings(**(given | changes))


def _trained_rows(settings: AblateSettings, weights: Sequence[float], dataset: maskgen.Dataset) -> list[AblationRow]:
    """Trains what is not trained yet, and measures it. CE is the network of the first run without its embedding."""
    by_label: dict[str, list[Path]] = {}
    for planned in _planned(settings, weights):
        run = planned.training.out
        assert run
        if not (record_of(run).get("finished") is True and (run / EMBEDDING).is_file()):
            with part(f"{planned.label}, seed {planned.training.seed}"):
                train(planned.training)
        by_label.setdefault(planned.label, []).append(run)
    device = hardware.device(settings.device)
    rows = [
        _row(label, tuple(runs), [load_run(run, device) for run in runs], [run.name for run in runs], settings, dataset)
        for label, runs in by_label.items()
    ]
    wanted = wanted_rows(settings)
    if CE in wanted:
        first = load_run(next(iter(by_label.values()))[0], device)
        plain = dataclasses.replace(first, name=CE, weight=None, bias=None, unmasking=())
        place = sum(len(weights) if name == MSE else 1 for name in wanted[: wanted.index(CE)])
        rows.insert(place, _row(KINDS[CE].label, (), [plain], [CE], settings, dataset))
    return rows


def _row(
    label: str,
    runs: tuple[Path, ...],
    models: Sequence[Model],
    names: Sequence[str],
    settings: AblateSettings,
    dataset: maskgen.Dataset,
) -> AblationRow:
    """A row with its figures: those that were kept by an earlier call, or new ones."""
    found = []
    for model, name in zip(models, names, strict=True):
        path = settings.out / MEASURED / f"{name}.npz"
        known = measured.facts(model, dataset.content, settings)
        there = measured.kept(path, known)
        if there is None:
            with part(name):
                there = measured.measured(model, settings)
            try:
                measured.keep(path, there, known)
            except OSError as error:
                raise folder.not_written(settings.out, error) from None
        found.append(there)
    return AblationRow(label, runs, tuple(model.fingerprint for model in models), tuple(found))


def _model(name: str, settings: AblateSettings) -> Model:
    device = hardware.device(settings.device)
    return load_run(Path(name), device) if os.path.isdir(name) else chosen_model(None, name, device)


def _check_labels(rows: Sequence[AblationRow]) -> None:
    labels = [row.label for row in rows]
    for label in labels:
        if labels.count(label) > 1:
            raise UsageError(f"two rows are called {label}; give the file or folder of --model another name.")


def _differences(rows: Sequence[AblationRow]) -> Iterator[Difference]:
    if rows[0].found[0].subjects < MIN_SUBJECTS:
        return
    for scenario in SCENARIOS:
        for above, row in pairwise(rows):
            found = [above.drawn[scenario], row.drawn[scenario]]
            yield from paired.differences(scenario, [above.label, row.label], found)


def _notes(
    rows: Sequence[AblationRow], settings: AblateSettings, choice: Choice | None, dataset: maskgen.Dataset
) -> list[str]:
    notes = list(dict.fromkeys(note for row in rows for each in row.found for note in each.notes))
    if choice:
        notes.insert(0, choice.sentence())
        known = identities_of(settings.weights) if settings.weights else frozenset()
        if known.intersection(dataset.info["identities"]):
            notes.insert(1, "The network was trained on these people, too; for strangers another lambda may be better.")
    if CE in wanted_rows(settings):
        network = settings.weights or settings.backbone
        notes.insert(0, f"CE is the feature of {network} as it is; every other trained row is a second stage on it.")
    return notes


def _scenario_facts(row: AblationRow, scenario: str) -> dict[str, Any]:
    curve = row.found[0].scenarios[scenario].curve
    return {
        "genuine": int(curve.genuine),
        "impostor": int(curve.impostor),
        "figures": {
            figure: {
                "mean": value,
                "interval": row.interval(scenario, figure),
                "runs": row.values(scenario, figure),
            }
            for figure, value in row.drawn[scenario].values.items()
        },
    }
