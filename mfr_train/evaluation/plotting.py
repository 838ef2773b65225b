"""Plots in Python: of reports, whose folders hold the curves, and of scores from anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from maskgen.errors import MaskgenError, UsageError

from . import curve_files, curves, metrics, plots
from .counts import Counts, from_scores
from .curves import Curve, Histogram
from .report import Report

Scores = tuple[npt.ArrayLike, npt.ArrayLike]
"""Genuine and impostor scores of any shape; higher means more alike."""

Plotted = Report | Mapping[str, Report | Scores]


def plot_det(what: Plotted, scenario: str | None = None) -> Any:
    """Draws DET curves: FNMR against FMR on normal-deviate axes, with 95 % bands over subjects.

    The axes begin at the lowest rates that the numbers of pairs can show, 1/Ni and 1/Ng.

    Args:
        what: A report, or by name, reports and pairs of genuine and impostor scores. Scores have no band.
        scenario: Only the curves of this scenario of each report, such as `U-M`.

    Returns:
        A matplotlib `Figure`: `savefig` writes it, a notebook shows it, `axes[0].plot` takes rates as shares.

    Raises:
        UsageError: If there is nothing to draw.
        MaskgenError: If the files of a report are damaged, or its scores were not kept.

    Example:
        >>> figure = plot_det({"ours": ([0.9, 0.8, 0.3], [0.4, 0.2, 0.1])})
        >>> figure.axes[0].get_xlabel()
        'false match rate, FMR (%)'
    """
    return plots.det(_curves(what, scenario))


def plot_roc(what: Plotted, scenario: str | None = None) -> Any:
    """Draws ROC curves: 1 - FNMR against FMR, which is logarithmic, with 95 % bands over subjects.

    Args:
        what: A report, or by name, reports and pairs of genuine and impostor scores. Scores have no band.
        scenario: Only the curves of this scenario of each report, such as `U-M`.

    Returns:
        A matplotlib `Figure`.

    Raises:
        UsageError: If there is nothing to draw.
        MaskgenError: If the files of a report are damaged, or its scores were not kept.
    """
    return plots.roc(_curves(what, scenario))


def plot_scores(what: Plotted, scenario: str | None = None, thresholds: Mapping[str, float] | None = None) -> Any:
    """Draws histograms of genuine and impostor scores as densities, one panel for each scenario.

    Args:
        what: A report, or by name, reports and pairs of genuine and impostor scores.
        scenario: Only this scenario of each report, such as `U-M`.
        thresholds: Scores to mark, by their labels. By default those of a report's U-U.

    Returns:
        A matplotlib `Figure`.

    Raises:
        UsageError: If there is nothing to draw.
        MaskgenError: If the files of a report are damaged, or its scores were not kept.
    """
    if thresholds is None:
        thresholds = _thresholds(what) if isinstance(what, Report) else {}
    return plots.histogram({name: histogram for name, (_, histogram) in _found(what, scenario).items()}, thresholds)


def _curves(what: Plotted, scenario: str | None) -> dict[str, Curve]:
    return {name: curve for name, (curve, _) in _found(what, scenario).items()}


def _found(what: Plotted, scenario: str | None) -> dict[str, tuple[Curve, Histogram]]:
    """The curves and histograms to draw, by the names of the legend."""
    found: dict[str, tuple[Curve, Histogram]] = {}
    if isinstance(what, Report):
        found = {part: drawn for part, drawn in _of_report(what).items() if scenario in (None, part)}
    else:
        for name, source in what.items():
            if isinstance(source, Report):
                parts = _of_report(source).items()
                found |= {f"{name}, {part}": drawn for part, drawn in parts if scenario in (None, part)}
            else:
                counts = from_scores(*source)
                found[name] = curves.curve(counts), curves.histogram(counts)
    if not found:
        raise UsageError(f"there is nothing to draw{f' of {scenario}' if scenario else ''}; give a report or scores.")
    return found


def _of_report(report: Report) -> dict[str, tuple[Curve, Histogram]]:
    """What an evaluation wrote for its plots or, before such files were written, what its scores say."""
    drawn, histograms = curve_files.read_curves(report.out), curve_files.read_histograms(report.out)
    if drawn is not None and histograms is not None and drawn.keys() == histograms.keys():
        return {name: (curve, histograms[name]) for name, curve in drawn.items()}
    found = {}
    for row in report.rows:
        counts = _scores(report, row.scenario)
        found[row.scenario] = curves.curve(counts), curves.histogram(counts)
    return found


def _scores(report: Report, scenario: str) -> Counts:
    path = report.out / f"{scenario}.parquet"
    try:
        table = pq.read_table(path, columns=["genuine", "score"])
        genuine, scores = table["genuine"].to_numpy(), table["score"].to_numpy()
        return from_scores(scores[genuine], scores[~genuine])
    except (OSError, pa.ArrowException, ValueError, IndexError, TypeError):
        raise MaskgenError(f"{report.out} has neither curves nor the scores of {scenario}; measure again.") from None


def _thresholds(report: Report) -> dict[str, float]:
    """The thresholds of U-U, from its own row or from those of masked scenarios."""
    if "U-U" in report:
        limits = ((metrics.FMR10, report["U-U"].fmr10), (metrics.FMR100, report["U-U"].fmr100))
        return {plots.threshold_label(limit): found.threshold or 0.0 for limit, found in limits}
    return {
        plots.threshold_label(fixed.limit): fixed.threshold
        for row in report.rows
        for fixed in sorted(row.drift, key=lambda fixed: -fixed.limit)
    }
