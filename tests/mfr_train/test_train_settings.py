"""Recipes: the paper's values, what fills what, and settings that cannot be together."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import fields, replace
from pathlib import Path

import pytest
import torch

from maskgen.errors import UsageError
from mfr_train.networks.resnet import Network
from mfr_train.training.train_settings import MAY_CHANGE, RECIPES, TrainSettings, check_pieces, compared, filled, goal


def test_the_paper_recipe_is_the_papers() -> None:
    full = filled(TrainSettings())
    assert (full.backbone, full.input_size, full.batch, full.iterations) == ("resnet50", 224, 400, 150_000)
    assert (full.lr, full.momentum, full.weight_decay) == (0.1, 0.9, 5e-4)
    assert (full.dim, full.margin, full.distance) == (512, 0.2, "squared")
    assert (full.triplets, full.embed_iterations) == (200, 65_000)
    assert (full.positive, full.negative, full.stage) == ("any", "any", "all")


def test_what_is_given_wins_over_the_recipe() -> None:
    full = filled(TrainSettings(recipe="small", batch=4, lr=0.0))
    assert (full.batch, full.lr, full.input_size) == (4, 0.0, 64)
    names = {field.name for field in fields(TrainSettings)}
    assert all(set(recipe) <= names for recipe in RECIPES.values())
    open_still = {name for name in names if getattr(full, name) is None}
    inputs = {"colors", "mean", "scale", "layout", "align", "output"}
    assert open_still == {"out", "weights", "workers", "micro_batch", "classifier_margin", "embed_lr_drop"} | inputs


def test_a_trained_backbone_means_stage_2() -> None:
    assert filled(TrainSettings(backbone="dlib")).stage == "embed"
    onnx = filled(TrainSettings(weights=Path("x.onnx")))
    assert (onnx.backbone, onnx.stage) == ("onnx", "embed")
    for stage in ("all", "classify"):
        for given in ({"backbone": "dlib"}, {"weights": Path("x.onnx")}):
            with pytest.raises(UsageError, match="is already trained; use --stage embed"):
                filled(TrainSettings(stage=stage, **given))
    with pytest.raises(UsageError, match="has weights of its own"):
        filled(TrainSettings(backbone="dlib", weights=Path("x.pth")))
    with pytest.raises(UsageError, match=r"--weights FILE\.onnx"):
        filled(TrainSettings(backbone="onnx"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("masked_share", 1.5, "--masked-share is 1.5; give a number of at most 1"),
        ("lr", float("nan"), "--lr is nan; give a finite number"),
        ("distance", "manhattan", "choose one of squared, euclidean, cosine"),
        ("iterations", 0, "--iterations is 0"),
        ("mse_weight", -1.0, "--mse-weight is -1.0"),
        ("recipe", "large", "choose one of paper, small"),
    ],
)
def test_values_that_cannot_be(name: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        filled(replace(TrainSettings(), **{name: value}))


def test_a_variant_is_given_once() -> None:
    with pytest.raises(UsageError, match="--variants names a variant twice; give each once"):
        filled(TrainSettings(variants=("wide_high", "wide_low", "wide_high")))


@pytest.mark.parametrize(
    ("size", "batch", "micro", "advice"),
    [
        (32, 8, 1, "give --micro-batch 2, or a larger --input-size"),
        (32, 33, 32, "give --micro-batch 31, or"),
        (32, 7, 3, "give --micro-batch 4, or"),
        (32, 1, 1, "give a larger --batch, or"),
        (32, 7, 4, None),
        (32, 8, 8, None),
        (33, 8, 1, None),
    ],
)
def test_a_piece_of_one_photograph_is_refused_where_batchnorm_has_one_value(
    size: int, batch: int, micro: int, advice: str | None
) -> None:
    network = Network("resnet18", 2).train()
    with nullcontext() if advice is None else pytest.raises(ValueError, match="more than 1 value per channel"):
        for piece in torch.split(torch.zeros(batch, size, size, 3, dtype=torch.uint8), micro):
            network(piece)
    with nullcontext() if advice is None else pytest.raises(UsageError, match=advice):
        check_pieces(size, batch, micro)


def test_what_a_run_must_keep_and_what_is_free() -> None:
    full = filled(TrainSettings())
    kept = compared(full)
    assert {"lr", "batch", "seed", "margin", "mse-weight", "backbone", "weights", "buffer"} <= set(kept)
    assert not {"workers", "device", "out", "cache", "compile", "tensorboard", "figures", *MAY_CHANGE} & set(kept)
    assert set(goal(full)) - set(kept) == {"stage", "iterations", "embed-iterations"}
