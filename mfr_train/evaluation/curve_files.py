"""curves.csv and histogram.csv: what the plots show, as numbers for other tools and for later plots."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from maskgen.errors import MaskgenError

from ..defaults import SCENARIOS
from .counts import Floats
from .curves import Curve, Histogram, common

CURVES, HISTOGRAMS = "curves.csv", "histogram.csv"

_CURVE = ("scenario", "threshold", "fmr", "fnmr", "fnmr_low", "fnmr_high", "genuine", "impostor")
_HISTOGRAM = ("scenario", "score_from", "score_to", "genuine", "impostor")

_LONGEST = 1_000_000
"""Lines of a file that is read back: ours have a few thousand."""


def write_curves(curves: Mapping[str, Curve], folder: Path) -> None:
    """Writes the points of the curves with their bands, and the numbers of pairs of each curve."""
    lines = []
    for name, curve in curves.items():
        ends = [curve.low, curve.high] if curve.low is not None and curve.high is not None else []
        for point in zip(curve.thresholds, curve.fmr, curve.fnmr, *ends, strict=True):
            blanks = [] if ends else ["", ""]
            lines.append([name, *(repr(float(value)) for value in point), *blanks, *_pairs(curve)])
    _write(folder / CURVES, _CURVE, lines)


def write_histograms(histograms: Mapping[str, Histogram], folder: Path) -> None:
    """Writes the histograms as they are drawn, with common bins."""
    lines = [
        [name, repr(float(low)), repr(float(high)), f"{genuine:.0f}", f"{impostor:.0f}"]
        for name, found in zip(histograms, common(histograms.values()), strict=True)
        for (low, high), genuine, impostor in zip(pairwise(found.edges), found.genuine, found.impostor, strict=True)
    ]
    _write(folder / HISTOGRAMS, _HISTOGRAM, lines)


def read_curves(folder: Path) -> dict[str, Curve] | None:
    """The curves of an evaluation by scenario; None if it wrote none. Raises `MaskgenError` for another file."""
    found = _read(folder / CURVES, _CURVE)
    return None if found is None else {name: _curve(folder / CURVES, values) for name, values in found.items()}


def read_histograms(folder: Path) -> dict[str, Histogram] | None:
    """The histograms of an evaluation by scenario; None if it wrote none. Raises `MaskgenError` for another file."""
    found = _read(folder / HISTOGRAMS, _HISTOGRAM)
    return None if found is None else {name: _histogram(folder / HISTOGRAMS, table) for name, table in found.items()}


def _curve(path: Path, values: Floats) -> Curve:
    thresholds, fmr, fnmr, low, high, genuine, impostor = values.T
    banded = not np.isnan(low).any()
    rates = values[:, 1 : 5 if banded else 3]
    pairs = values[0, 5:]
    falling = (np.diff(fmr) >= 0).all() and (np.diff(fnmr) <= 0).all() and fnmr[-1] == 0
    within = ((rates >= 0) & (rates <= 1)).all() and ((pairs >= 1) & (pairs < np.inf)).all()
    if not falling or not within or np.isnan(thresholds).any():
        raise _other(path)
    band = (low, high) if banded else (None, None)
    return Curve(thresholds, fmr, fnmr, float(genuine[0]), float(impostor[0]), *band)


def _histogram(path: Path, values: Floats) -> Histogram:
    low, high, genuine, impostor = values.T
    width = high[0] - low[0]
    whole = np.isfinite(values).all() and (values[:, 2:] >= 0).all() and width > 0 and np.frexp(width)[0] == 0.5
    if not whole or (high - low != width).any() or (low[1:] != high[:-1]).any() or abs(low / width).max() > 2**41:
        raise _other(path)
    return Histogram(np.append(low, high[-1]), genuine, impostor)


def _pairs(curve: Curve) -> list[str]:
    return [f"{curve.genuine:.0f}", f"{curve.impostor:.0f}"]


def _write(path: Path, heads: Sequence[str], lines: Iterable[Sequence[str]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([heads, *lines])


def _read(path: Path, heads: Sequence[str]) -> dict[str, Floats] | None:
    """The numbers of a file by the name in its first column, NaN where a cell is empty."""
    found: dict[str, list[list[float]]] = {}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            lines = csv.reader(file)
            if next(lines, None) != list(heads):
                raise _other(path)
            for name, *cells in islice(lines, _LONGEST):
                numbers = [float(cell or "nan") for cell in cells]
                if name not in SCENARIOS or len(numbers) != len(heads) - 1:
                    raise _other(path)
                found.setdefault(name, []).append(numbers)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MaskgenError(f"cannot read {path} ({error.strerror}); measure again.") from None
    except (ValueError, csv.Error):
        raise _other(path) from None
    return {name: np.array(numbers) for name, numbers in found.items()}


def _other(path: Path) -> MaskgenError:
    return MaskgenError(f"{path} is not a file that `mfr eval` wrote; measure again.")
