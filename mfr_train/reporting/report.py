"""`mfr report`: what evaluations, runs, comparisons, ablations and explanations found, as one HTML page."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from maskgen import Dataset
from maskgen.errors import MaskgenError, UsageError
from maskgen.page.page import is_made_by, page
from maskgen.page.text import clip
from maskgen.storage import files
from maskgen.version import __version__

from ..evaluation.curves import Curve
from ..evaluation.outputs import GENERATOR, PAGE
from ..evaluation.report import Report
from ..keywords import AnyPath
from . import (
    attention,
    breakdown,
    caveats,
    cells,
    curve_data,
    data_card,
    differences,
    drift,
    failure_table,
    figure_tables,
    hardest,
    identification,
    learning,
    pictures,
    provenance,
    summary,
    thresholds,
)
from .given import Given, recognised
from .score_arrays import score_files, scores_of

_HERE = Path(__file__).parent


def report(*folders: AnyPath | Report, out: AnyPath = PAGE, pictures: bool = True) -> Path:
    """Writes one HTML page of what was measured. It holds everything it shows and loads nothing from a network.

    Args:
        *folders: Reports of `evaluate`, or folders of evaluations, runs, comparisons, ablations and explanations. Of a
            run and of a comparison their evaluations are shown, too.
        out: The file to write. An earlier page is replaced, another file is not.
        pictures: Whether pictures of faces are shown: the hardest pairs and the maps of attention.

    Returns:
        The file.

    Raises:
        UsageError: If nothing is given, a folder holds no result, or `out` is a file of something else.
        MaskgenError: If a result is damaged, or the file cannot be written.

    Example:
        >>> report("runs/eval/dlib", "runs/eval/paper", out="report.html")  # doctest: +SKIP
        PosixPath('report.html')
    """
    target = Path(out)
    _check(target)
    text = html(recognised(folders), pictures)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        files.write(target, text.encode("utf-8", "backslashreplace"))
    except OSError as error:
        raise MaskgenError(f"cannot write {target} ({error.strerror or error}); give another --out.") from None
    return target


def _check(target: Path) -> None:
    """Raises `UsageError` unless `target` is free or an earlier page."""
    if target.is_dir():
        raise UsageError(f"--out {target} is a folder; give the name of a file.")
    if target.exists() and not is_made_by(GENERATOR, target):
        raise UsageError(f"--out {target} is there and no page of mfr report; give another name.")


def html(given: Given, with_pictures: bool = True) -> str:
    """The page as text: equal folders give equal text."""
    datasets = _datasets(given)
    cards = data_card.cards(given, datasets)
    synthetic = any(each.settings.protocol is None and each.settings.embeddings is None for each in given.reports)
    limits = caveats.caveats(given, cards, synthetic)
    maps, groups_left_out = breakdown.heat_maps(given.evaluations)
    training, stages = learning.learning(given.runs)
    curves, sliders, hard = _from_scores(given, _sources(given, datasets) if with_pictures else {})
    ablations, comparisons = differences.ablations(given.ablations), differences.comparisons(given.comparisons)
    panels, drifts = curve_data.panels(given.evaluations, curves), drift.panels(given.evaluations)
    cmc = identification.panels(given.evaluations)
    data = {
        "ticks": curve_data.ticks(),
        "curves": panels,
        "scores": sliders,
        "drift": drifts,
        "learning": training,
        "cmc": cmc,
        "intervals": [{"id": each.id, **each.chart} for each in (*ablations, *comparisons)],
    }
    return page(
        _HERE / "templates",
        "report.html",
        generator=f"{GENERATOR}, maskgen {__version__}",
        title=_title(given),
        data=data,
        scripts=[_HERE / "assets" / name for name in ("curves.js", "scores.js", "lines.js")],
        sentences=summary.summary(given, limits, synthetic),
        headlines=summary.headlines(given.evaluations),
        limits=limits,
        evaluations=given.evaluations,
        has_intervals=figure_tables.has_intervals(given.evaluations),
        scenarios=figure_tables.scenarios(given.evaluations) if given.evaluations else None,
        operating_points=figure_tables.operating_points(given.evaluations) if given.evaluations else None,
        accuracies=figure_tables.accuracies(given.evaluations),
        identified=figure_tables.identification(given.evaluations),
        cmc=cmc,
        curves=panels,
        sliders=sliders,
        unscored=[each.name for each in given.evaluations if each.name not in {slider["name"] for slider in sliders}],
        heat_maps=maps,
        groups_left_out=groups_left_out,
        drifts=drifts,
        fixed=figure_tables.fixed_thresholds(given.evaluations),
        hardest=[each for each in hard if each.pictured],
        hard_pairs=hardest.table([each for each in hard if not each.pictured]),
        with_pictures=with_pictures,
        explanations=attention.attention(given.explanations, with_pictures),
        learning=training,
        stages=stages,
        ablations=ablations,
        comparisons=comparisons,
        cards=cards,
        failures=failure_table.failure_table(given.evaluations),
        made=provenance.made(given.evaluations),
        version=__version__,
        date=max((each.date for each in given.reports), default=""),
    )


def _title(given: Given) -> str:
    names = [clip(each.report.model, 30) for each in given.evaluations] or [clip(each.name, 30) for each in given.runs]
    names = list(dict.fromkeys(names)) or ["Results"]
    told = ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
    data = list(dict.fromkeys(cells.data_name(each) for each in given.reports))
    return f"{told} on {', '.join(data[:2])}{' …' if len(data) > 2 else ''}" if data else told


def _datasets(given: Given) -> dict[str, Dataset | None]:
    first = {each.data: each for each in reversed(given.reports)}
    return {data: pictures.opened_data(each) for data, each in first.items()}


def _from_scores(
    given: Given, sources: Mapping[str, pictures.Opened]
) -> tuple[curve_data.Found, list[dict[str, Any]], list[hardest.HardPairs]]:
    """Curves, sliders and the hardest pairs. Scores may be large: those of one evaluation are held at a time."""
    curves: dict[tuple[str, str], Curve] = {}
    sliders: list[dict[str, Any]] = []
    hard: list[hardest.HardPairs] = []
    kept = sum(bool(score_files(report, row.scenario)) for report in given.reports for row in report.rows)
    for number, each in enumerate(given.evaluations):
        scores = scores_of(each.report)
        curves |= curve_data.curves_of(each, scores)
        if slider := thresholds.slider(number, each, scores):
            sliders.append(slider)
        hard += hardest.hardest(each, scores, sources.get(each.name), hardest.each_list(kept))
        del scores
    return curves, sliders, hard


def _sources(given: Given, datasets: Mapping[str, Dataset | None]) -> dict[str, pictures.Opened]:
    found = {each.name: pictures.source_of(each.report, datasets[each.report.data]) for each in given.evaluations}
    return {name: source for name, source in found.items() if source}
