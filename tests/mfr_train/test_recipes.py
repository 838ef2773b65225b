"""Recipes: the paper's values, what fills what, and settings that cannot be together."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest

from maskgen.errors import UsageError
from mfr_train.recipes import FREE, RECIPES, TrainSettings, compared, filled, goal


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
    assert open_still == {"out", "weights", "workers", "micro_batch"}


def test_a_trained_backbone_means_stage_2() -> None:
    assert filled(TrainSettings(backbone="dlib")).stage == "embed"
    for given in ({"stage": "all"}, {"stage": "classify"}):
        with pytest.raises(UsageError, match="dlib's network comes trained and cannot be trained here"):
            filled(TrainSettings(backbone="dlib", **given))
    with pytest.raises(UsageError, match="has weights of its own"):
        filled(TrainSettings(backbone="dlib", weights="x.pth"))


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("masked_share", 1.5, "--masked-share is 1.5; give a number of at most 1"),
        ("lr", float("nan"), "--lr is nan; give a number of at least 0"),
        ("distance", "manhattan", "choose one of squared, euclidean, cosine"),
        ("iterations", 0, "--iterations is 0"),
        ("mse_weight", -1.0, "--mse-weight is -1.0"),
        ("recipe", "large", "choose one of paper, small"),
    ],
)
def test_values_that_cannot_be(name: str, value: object, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        filled(replace(TrainSettings(), **{name: value}))


def test_what_a_run_must_keep_and_what_is_free() -> None:
    full = filled(TrainSettings())
    kept = compared(full)
    assert {"lr", "batch", "seed", "margin", "mse-weight", "backbone", "weights", "buffer"} <= set(kept)
    assert not {"workers", "device", "out", "cache", "compile", "tensorboard", *FREE} & set(kept)
    assert set(goal(full)) - set(kept) == {"stage", "iterations", "embed-iterations"}
