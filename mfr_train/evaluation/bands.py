"""95 % bands of a DET or ROC curve: pointwise intervals of FNMR at each FMR, from the resamples of the bootstrap."""

from __future__ import annotations

import numpy as np

from .counts import Counts, Floats, rates
from .t_interval import percentiles

RESAMPLES = 2000
"""A band is made from this many resamples at most, so that memory does not grow with their number: 20 MB."""


class Bands:
    """Collects the FNMR of each resample at each `fmr` (K,): the lowest FNMR whose FMR is not above it."""

    def __init__(self, fmr: Floats) -> None:
        self._fmr = fmr
        self._fnmr: list[Floats] = []

    def add(self, drawn: Counts) -> None:
        """Takes the counts of a resample."""
        if len(self._fnmr) < RESAMPLES:
            curve = rates(drawn)
            lowest = np.searchsorted(-curve.fmr, -self._fmr)  # FMR falls with the threshold
            self._fnmr.append(curve.fnmr[lowest])

    def ends(self) -> tuple[Floats, Floats] | None:
        """The lower and upper ends of the band, float64 (K,) each; None without resamples."""
        if not self._fnmr:
            return None
        low, high = percentiles(self._fnmr)
        return low, high
