"""Every setting of `mfr eval`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from maskgen.imaging import search
from maskgen.settings import same_setting, setting

from ..defaults import (
    AUTO,
    CACHE,
    CLASSIFY,
    COSINE,
    DEVICES,
    EMBED,
    EXACT_PAIRS,
    KEPT_SCORES,
    MIN_RESAMPLES,
    ON_DAMAGE,
    SCENARIOS,
    SCORES,
    STOP,
)  # fmt: skip
from ..networks.preprocessing import Numbers, Preprocessing

ALL, IDENTIFY = "all", "identify"


@dataclass(frozen=True)
class EvalSettings:
    """The settings of `mfr eval`."""

    data: str = setting("smfd", help="Data set made by `maskgen build`: a folder or a URI.", metavar="DIR|URI")
    scenario: str = setting(
        ALL,
        help="What to compare: unmasked with unmasked (U-U), unmasked references with masked probes (U-M), masked "
        "with masked (M-M), or all three. identify is all three, and each probe is also searched in a gallery of one "
        "reference of each subject (1:N).",
        choices=(*SCENARIOS, ALL, IDENTIFY),
    )
    run: Path | None = setting(
        None, help="Run folder to measure; by default the newest finished run in runs/.", metavar="DIR"
    )
    stage: str | None = setting(
        None,
        help="What of the run to measure: classify, the pooled feature of its network without stage 2 (CE in the "
        "paper), or embed, the embedding of stage 2. By default the embedding if there is one.",
        choices=(CLASSIFY, EMBED),
    )
    model: str | None = setting(
        None,
        help="Measure this model instead of a run: dlib, a weights file, an ONNX face network, or a Python function "
        "(pictures, landmarks) -> embeddings.",
        metavar="dlib|FILE|MODULE:FUNCTION",
    )
    colors: str | None = same_setting(Preprocessing, "colors")
    mean: Numbers | None = same_setting(Preprocessing, "mean")
    scale: Numbers | None = same_setting(Preprocessing, "scale")
    input_size: int | None = same_setting(Preprocessing, "input_size")
    layout: str | None = same_setting(Preprocessing, "layout")
    align: str | None = same_setting(Preprocessing, "align")
    flip_sum: bool = same_setting(Preprocessing, "flip_sum")
    output: str | None = same_setting(Preprocessing, "output")
    protocol: Path | None = setting(
        None,
        help="Table of pictures to compare instead of --data (subject,role,masked,path, and columns to break down by); "
        "`mfr protocol` makes it.",
        metavar="CSV",
    )
    embeddings: Path | None = setting(
        None,
        help="Measure embeddings that were computed elsewhere, without a model or pictures: a Parquet or npz file of "
        "subject, masked (0 or 1) and embedding, and perhaps role, variant and image. They are scaled to length 1.",
        metavar="FILE",
    )
    pairs: Path | None = setting(
        None,
        help="List of pairs to compare instead of all: LFW's format, or a CSV table of sources or keys of --data, "
        "or images of --embeddings (a,b,genuine). Adds the accuracy over folds.",
        metavar="FILE",
    )
    split: str = setting("test", help="Split of the data set to measure on.", choices=("test", "val", "train"))
    seed: int = setting(0, help="Seed of the mask drawn for each photograph and of the bootstrap.", low=0)
    bootstrap: int = setting(
        1000,
        help=f"Resamples of the subjects for the 95 % intervals, at least {MIN_RESAMPLES}; 0 for none.",
        low=0,
        high=1_000_000,
    )
    fmr: str = setting(
        "0.01,0.1",
        help="Limits on the FMR: at each, the lowest FNMR with FMR below it, as a share, and its threshold. Those of "
        "U-U are applied to masked faces.",
        metavar="LIST",
    )
    score: str = setting(
        COSINE,
        help="Score of two embeddings of length 1: cosine, euclidean (their distance d as -d), or half (1 - d / 2). "
        "Changes thresholds, means and standard deviations, but no rate.",
        choices=SCORES,
    )
    breakdown: bool = setting(
        True,
        help="Measure each mask variant, shape, coverage and colour, and each value of the further columns of "
        "--protocol, by itself. --no-breakdown takes less time. --all-tables prints the figures.",
    )
    exact_pairs: int = setting(
        EXACT_PAIRS,
        help="Keep every score of up to this many pairs; count the scores of more pairs in 2^20 bins.",
        low=0,
    )
    keep_scores: str = setting(
        AUTO,
        help="Which scores to write: auto writes those of up to --exact-pairs pairs as a file for each scenario; all "
        "also writes those of more pairs, as a folder of files, with up to 8 bytes for each pair; none writes none.",
        choices=KEPT_SCORES,
    )
    figures: str = setting(
        "png,svg",
        help="Formats of the plots.",
        metavar="png|svg|pdf|LIST|none",
    )
    out: Path | None = setting(
        None,
        help="Folder for the report, tables, scores and plots; by default runs/eval/MODEL-DATA-HASH.",
        metavar="DIR",
    )
    cache: Path = setting(CACHE, help="Folder for cached features of pictures.", metavar="DIR", run_only=True)
    face: str = setting(
        "central",
        help="Which face of a picture of --protocol is aligned: the one nearest to the centre for its size, or the "
        "largest.",
        choices=search.FACE_CHOICES,
    )
    detector: str = setting(
        search.HOG,
        help="Face detectors to try in turn on pictures of --protocol: hog, cnn, yunet (needs --detector-model); "
        "hog,yunet finds most faces with masks.",
        metavar="hog|cnn|yunet|LIST",
    )
    detector_model: Path | None = setting(None, help=search.MODEL_HELP, metavar="FILE")
    predictor: Path | None = setting(
        None, help="dlib shape predictor that aligns the pictures of --protocol.", metavar="FILE"
    )
    on_damage: str = setting(
        STOP,
        help="What to do if shards of --data are damaged: stop, or skip their broken rows, which the report counts as "
        "failures. skip reads the whole split first.",
        choices=ON_DAMAGE,
    )
    workers: int | None = setting(
        None,
        help="Worker processes that decode pictures; by default one for each core.",
        low=0,
        high=4096,
        run_only=True,
    )
    device: str = setting(
        "auto", help="Where the network runs; ONNX files need onnxruntime-gpu for cuda.", choices=DEVICES, run_only=True
    )
