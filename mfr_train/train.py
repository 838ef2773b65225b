"""One call from a built data set to a run folder: stage 1, stage 2, their curve and what they leave behind.

RUN/settings.json           what ran, on which data
RUN/curve.csv, curve.png    loss, learning rate and validation accuracy of both stages
RUN/checkpoints/            the last and the best state of each stage
RUN/backbone.safetensors    the network without its classifier (not for dlib)
RUN/embedding.safetensors   W and b of stage 2
"""

from __future__ import annotations

import dataclasses
import json
import re
from pathlib import Path

import torch
from tqdm import tqdm

import maskgen
from maskgen import Dataset, settings
from maskgen.errors import UsageError
from maskgen.shards import commit

from . import checkpoint, classify, distributed, embed, hardware, models
from .backbones import Backbone, load_backbone, read_weights
from .choices import DLIB, RUNS
from .features import embed_rows, row_index
from .recipes import TrainSettings, compared, filled

__all__ = ["TrainSettings", "train"]


def train(given: TrainSettings) -> Path:
    """Trains what the settings say and returns the run folder; the same call goes on with an interrupted run.

    Under `torchrun` stage 1 shares its batches among the processes. Raises `UsageError` for settings or data that
    cannot be trained on, `MaskgenError` where the work cannot go on: every checkpoint up to there is kept.
    """
    full = filled(given)
    full = dataclasses.replace(full, device=hardware.device(full.device))
    dataset = maskgen.open(full.data)
    full = dataclasses.replace(full, variants=_variants(full, dataset))
    with distributed.processes(full.device) as group:
        folder = Path(group.shared(str(_run_folder(full, dataset)) if group.first else ""))
        if full.stage != "embed":
            classify.train_classifier(full, dataset, folder, group)
        if full.stage != "classify" and group.first:
            _embed(full, dataset, folder)
        if group.first and (folder / "curve.csv").exists():
            from .plots import plot_curves

            plot_curves(folder / "curve.csv", folder / "curve.png")
        group.wait()
    return folder


def _embed(full: TrainSettings, dataset: Dataset, folder: Path) -> None:
    """Stage 2 on cached features; its files go into the run folder."""
    backbone = _backbone(full, folder)
    names = ("unmasked", *full.variants)
    pictures = {}
    with tqdm(total=len(names) * (dataset.count("train") + dataset.count("val")), desc="features", disable=None) as bar:
        for split in ("train", "val"):
            features = embed_rows(
                dataset, backbone, split, names, full.cache, full.workers or hardware.cores(), bar.update
            )
            pictures[split] = embed.cached([features[name] for name in names], row_index(dataset, split).labels)
    facts = {
        "stage": "embed",
        "dataset": dataset.fingerprint,
        "backbone": backbone.fingerprint,
        "settings": compared(full),
    }
    layer = embed.train_embedding(full, pictures["train"], pictures["val"], backbone.dim, folder, facts)
    about = {"backbone": backbone.name, "fingerprint": backbone.fingerprint, "dataset": dataset.fingerprint}
    with checkpoint.disk_errors(folder / models.EMBEDDING):
        checkpoint.write_tensors(folder / models.EMBEDDING, dict(layer.state_dict()), about)


def _backbone(full: TrainSettings, folder: Path) -> Backbone:
    """The frozen network of stage 2: dlib's, the run's own, or a copy of --weights, which becomes the run's own."""
    assert full.backbone
    if full.backbone == DLIB:
        return load_backbone(DLIB)
    own = folder / models.BACKBONE
    if not own.is_file():
        if full.weights is None:
            raise UsageError(
                f"--stage embed needs a trained {full.backbone}: give --weights a run or a file, or --stage all."
            )
        load_backbone(full.backbone, weights=full.weights)  # refuses weights that do not fit
        tensors, facts = read_weights(full.weights)
        facts = {"architecture": full.backbone, "input_size": str(full.input_size), **facts}
        with checkpoint.disk_errors(own):
            checkpoint.write_tensors(own, tensors, facts)
    return load_backbone(str(own), full.device)


def _variants(full: TrainSettings, dataset: Dataset) -> tuple[str, ...]:
    for name in full.variants:
        if name not in dataset.variants:
            raise UsageError(
                f"{full.data} has no pictures {name!r}; give --variants from {', '.join(dataset.variants)}."
            )
    if not dataset.count("train"):
        raise UsageError(f"{full.data} has no training photographs; build it with fewer --test-identities.")
    return full.variants or dataset.variants


def _run_folder(full: TrainSettings, dataset: Dataset) -> Path:
    """Makes the run folder, or takes one that this run was interrupted in. Raises `UsageError` for any other."""
    folder = full.out or _next_run(RUNS)
    path = folder / models.SETTINGS
    facts = {"dataset": dataset.fingerprint, "settings": compared(full)}
    if path.exists():
        try:
            there = json.loads(path.read_bytes())
        except ValueError:
            there = {}
        checkpoint.refuse_other(path, there, facts)
    elif folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"--out {folder} holds something that is no run; give a new or empty folder.")
    with checkpoint.disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        record = {"dataset": dataset.fingerprint, "settings": settings.jsonable(full), "torch": torch.__version__}
        commit.write_json(path, record)
    return folder


def _next_run(runs: Path) -> Path:
    numbers = [int(path.name) for path in runs.glob("*") if re.fullmatch(r"\d+", path.name)]
    return runs / f"{max(numbers, default=0) + 1:03d}"
