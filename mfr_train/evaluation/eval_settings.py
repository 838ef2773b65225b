"""Every setting of `mfr eval`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskgen.settings import setting

from ..defaults import CACHE, DEVICES
from .bootstrap import MIN_RESAMPLES
from .measure import EXACT_PAIRS
from .scenarios import MASKED

ALL = "all"


@dataclass(frozen=True)
class EvalSettings:
    """What `mfr eval` is told."""

    data: str = setting("smfd", help="Data set that `maskgen build` wrote: a folder or a URI.", metavar="DIR")
    scenario: str = setting(
        ALL,
        help="What is compared: unmasked with unmasked (U-U), unmasked references with masked probes (U-M), masked "
        "with masked (M-M), or all three.",
        choices=(*MASKED, ALL),
    )
    run: Path | None = setting(
        None, help="Run folder to measure; by default the newest finished one in runs/.", metavar="DIR"
    )
    model: str | None = setting(
        None,
        help="Measure this model instead of a run: dlib, a weights file, or an ONNX face network.",
        metavar="dlib|FILE",
    )
    protocol: Path | None = setting(
        None, help="Table of pictures to compare instead of --data (subject,role,masked,path).", metavar="CSV"
    )
    split: str = setting("test", help="Split of the data set to measure on.", choices=("test", "val", "train"))
    seed: int = setting(0, help="Seed of the mask drawn for each photograph and of the bootstrap.", low=0)
    bootstrap: int = setting(
        1000,
        help=f"Resamples of the subjects for the 95 % intervals, at least {MIN_RESAMPLES}; 0 for none.",
        low=0,
        high=1_000_000,
    )
    breakdown: bool = setting(True, help="Also measure each mask variant, shape and coverage by itself.")
    exact_pairs: int = setting(
        EXACT_PAIRS, help="Up to this many pairs, keep every score; beyond, count them in 2^20 bins.", low=0
    )
    out: Path | None = setting(
        None, help="Folder for the report, scores and plots; by default runs/eval/MODEL-DATA-HASH.", metavar="DIR"
    )
    cache: Path = setting(CACHE, help="Folder where features of pictures are kept.", metavar="DIR", run_only=True)
    predictor: Path | None = setting(
        None, help="dlib shape predictor for aligning the pictures of --protocol.", metavar="FILE"
    )
    workers: int | None = setting(
        None,
        help="Processes that run dlib's network, or decode for another; by default by cores.",
        low=0,
        high=4096,
        run_only=True,
    )
    device: str = setting("auto", help="Where other networks run.", choices=DEVICES, run_only=True)
