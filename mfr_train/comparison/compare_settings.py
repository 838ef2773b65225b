"""Every setting of `mfr compare`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskgen.settings import setting

from ..defaults import MIN_RESAMPLES

FIGURES = ("fmr100", "fmr10", "eer", "auc")
"""The figures that a conclusion can be drawn from."""


@dataclass(frozen=True)
class CompareSettings:
    """The settings of `mfr compare`."""

    figure: str = setting(
        "fmr100", help="The figure that the conclusions are drawn from; all others are shown.", choices=FIGURES
    )
    data: str = setting("smfd", help="Data set on which a run or model is measured first.", metavar="DIR|URI")
    protocol: Path | None = setting(
        None, help="Table of pictures on which a run or model is measured first, instead of --data.", metavar="CSV"
    )
    pairs: Path | None = setting(
        None, help="List of pairs of --data on which a run or model is measured first.", metavar="FILE"
    )
    seed: int = setting(0, help="Seed of the resamples, and of the masks drawn for a run or model.", low=0)
    bootstrap: int = setting(
        2000,
        help=f"Resamples of the subjects for intervals and p-values, at least {MIN_RESAMPLES}.",
        low=MIN_RESAMPLES,
        high=1_000_000,
    )
    figures: str = setting("png,svg", help="Formats of the DET curves: png, svg, pdf, or none.", metavar="LIST")
    out: Path | None = setting(None, help="Folder for the results; by default runs/compare/HASH.", metavar="DIR")
