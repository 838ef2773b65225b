"""The names that settings choose from. Nothing here loads PyTorch: the command line reads it to show its help."""

from __future__ import annotations

from pathlib import Path

RESNETS = ("resnet18", "resnet50")
DLIB, ONNX = "dlib", "onnx"
TRAINED = (DLIB, ONNX)
"""Networks that come trained: only stage 2 learns on them."""

BACKBONES = (*RESNETS, *TRAINED)

DISTANCES = ("squared", "euclidean", "cosine")
"""Of the triplet loss; see `losses.distance`."""

RUNS = Path("runs")
"""Where `mfr train` puts its runs by default."""

CACHE = RUNS / "features"
"""Where features of pictures lie by default: beside the runs."""

EVALUATIONS = RUNS / "eval"
"""Where `mfr eval` writes by default: a folder for each model on each data set."""

DEVICES = ("auto", "cpu", "cuda")
