"""The names and numbers that settings choose from. Nothing heavy is loaded here, so that `mfr --help` starts fast."""

from __future__ import annotations

from pathlib import Path

RESNETS = ("resnet18", "resnet50")
DLIB, ONNX = "dlib", "onnx"
TRAINED = (DLIB, ONNX)
"""Networks that are already trained: only stage 2 trains on them."""

MIN_INPUT_SIZE, MAX_INPUT_SIZE = 32, 4096
"""Sides in pixels of the input of a ResNet."""

BACKBONES = (*RESNETS, *TRAINED)

CLASSIFIERS = {"softmax": 0.0, "arcface": 0.5, "cosface": 0.35}
"""The losses of stage 1 and their margins: those of the papers; see `training.classifiers`."""

AUGMENTATIONS = ("flip", "crop", "color")
"""Random changes of the pictures of stage 1; see `data.augment`."""

LINEAR, EUM = "linear", "eum"
HEADS = (LINEAR, EUM)
"""What stage 2 trains; see `training.heads`."""

LOSSES = {"triplet+mse": 0.2, "triplet": 0.2, "srt": 2.0}
"""The losses of stage 2 and their margins; see `training.losses`."""

DISTANCES = ("squared", "euclidean", "cosine")
"""Distances of the triplet loss; see `losses.distance`."""

POSITIVES = ("any", "other", "same")
NEGATIVES = ("any", "masked", "unmasked")
"""Which pictures a triplet may use; see `triplets`."""

SCENARIOS = ("U-U", "U-M", "M-M")
"""What an evaluation compares, reference with probe: U is unmasked, M is masked."""

COSINE, EUCLIDEAN, HALF = "cosine", "euclidean", "half"
SCORES = (COSINE, EUCLIDEAN, HALF)
"""Scores of two embeddings; see `similarity.scored`."""

EXACT_PAIRS = 10_000_000
"""Up to this many pairs, every score is kept: with their positions and the sorting, about 1 GiB."""

AUTO, NONE = "auto", "none"
KEPT_SCORES = (AUTO, "all", NONE)
"""Which scores an evaluation writes."""

MIN_RESAMPLES = 100
"""The fewest resamples for an interval: with fewer, the two or three outermost ones decide its ends."""

RUNS = Path("runs")
"""The default folder for the runs of `mfr train`."""

CACHE = RUNS / "features"
"""The default folder for the features of pictures."""

EVALUATIONS = RUNS / "eval"
"""The default folder for the reports of `mfr eval`: one folder for each model on each data set."""

EXPLANATIONS = RUNS / "explain"
"""The default folder for the pictures and tables of `mfr explain`."""

STOP, SKIP = "stop", "skip"
ON_DAMAGE = (STOP, SKIP)
"""What to do about broken rows of a data set."""

DAMAGED_ROW = "damaged_row"
"""What a report calls the rows that were left out, beside the reasons of rejects."""

DEVICES = ("auto", "cpu", "cuda")
