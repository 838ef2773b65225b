"""Models: the projection's values, and which run is loaded."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_torch
from torchvision.models import get_model

from maskgen.errors import UsageError
from mfr_train.networks import backbone, resnet, run_files
from mfr_train.networks import model as models
from mfr_train.networks.model import Model
from tests.support.narrow import use_whole_networks


def plain_backbone(dim: int = 2) -> backbone.Backbone:
    return backbone.Backbone(
        "plain", dim, None, "f" * 64, lambda images, landmarks: np.zeros((len(images), dim), np.float32)
    )


def test_projection_by_hand():
    weight = np.array([[1, 0], [0, 2], [1, 1]], np.float32)
    bias = np.array([0, 1, -3], np.float32)
    model = Model("m", plain_backbone(), weight, bias)
    # W l + b = (3, 3, 1) of length sqrt(19)
    np.testing.assert_allclose(model.project(np.array([[3, 1]], np.float32)), [[3, 3, 1] / np.sqrt(19)], rtol=1e-6)
    assert model.dim == 3


def test_without_a_projection_the_feature_is_the_embedding():
    features = np.array([[3, 4], [0, 0]], np.float32)
    model = Model("m", plain_backbone())
    np.testing.assert_allclose(model.project(features), [[0.6, 0.8], [0, 0]], rtol=1e-6)
    assert model.dim == 2


def test_projection_in_blocks_is_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    model = Model("m", plain_backbone(), rng.normal(size=(4, 2)).astype("f4"), np.zeros(4, np.float32))
    features = rng.normal(size=(7, 2)).astype("f4")
    whole = model.project(features)
    monkeypatch.setattr(models, "BLOCK", 3)
    np.testing.assert_allclose(model.project(features), whole, rtol=1e-6)


@pytest.fixture(autouse=True)
def narrow_networks(narrow):
    """Runs have narrow networks."""


def write_run(path, seed=0, embedding=True, record=()):
    path.mkdir(parents=True)
    (path / "settings.json").write_text(json.dumps(dict(record)))
    torch.manual_seed(seed)
    network = resnet.Network("resnet18")
    facts = {"architecture": "resnet18", "input_size": "32"}
    save_torch(network.trunk.state_dict(), path / "backbone.safetensors", metadata=facts)
    print_ = resnet.fingerprint(network, "resnet18", 32)
    if embedding:
        tensors = {"weight": np.eye(4, 64, dtype=np.float32), "bias": np.zeros(4, np.float32)}
        save_file(tensors, path / "embedding.safetensors", {"backbone": "resnet18", "fingerprint": print_})
    return print_


def test_a_run_is_its_backbone_and_its_embedding(tmp_path):
    print_ = write_run(tmp_path / "a")
    model = models.load_run(tmp_path / "a")
    assert (model.name, model.dim, model.backbone.fingerprint) == ("a", 4, print_)
    feature = np.arange(64, dtype=np.float32)[None]
    np.testing.assert_allclose(model.project(feature), [np.arange(4) / np.sqrt(14)], rtol=1e-6)
    write_run(tmp_path / "b", embedding=False)
    plain = models.load_model(tmp_path / "b")
    assert plain.dim == 64
    assert plain.fingerprint != model.fingerprint


def test_an_embedding_of_another_backbone_is_refused(tmp_path):
    write_run(tmp_path / "a")
    write_run(tmp_path / "b", seed=1)
    os.replace(tmp_path / "b/backbone.safetensors", tmp_path / "a/backbone.safetensors")
    with pytest.raises(UsageError, match="another resnet18"):
        models.load_run(tmp_path / "a")
    (tmp_path / "a/embedding.safetensors").write_bytes(b"0")
    with pytest.raises(UsageError, match="damaged"):
        models.load_run(tmp_path / "a")


def test_the_newest_run_is_the_default(tmp_path, monkeypatch):
    monkeypatch.setattr("mfr_train.networks.run_files.RUNS", tmp_path)
    with pytest.raises(UsageError, match="no trained run"):
        run_files.newest_run(tmp_path)
    for age, name in enumerate(("2", "1")):
        write_run(tmp_path / name)
        for part in ("backbone.safetensors", "embedding.safetensors"):
            os.utime(tmp_path / name / part, (1_000_000 + age, 1_000_000 + age))
    (tmp_path / "features").mkdir()
    assert run_files.newest_run(tmp_path).name == "1"


def test_a_finished_run_comes_before_a_newer_unfinished_one(tmp_path):
    for age, (name, finished) in enumerate((("older", True), ("done", True), ("stopped", False))):
        write_run(tmp_path / name, embedding=finished, record={"finished": finished})
        for path in (tmp_path / name).iterdir():
            os.utime(path, (1_000_000 + age, 1_000_000 + age))
    assert run_files.newest_run(tmp_path).name == "done"
    for name in ("older", "done"):
        os.replace(tmp_path / name / "settings.json", tmp_path / name / "other.json")
    assert run_files.newest_run(tmp_path).name == "stopped"


def test_an_unfinished_run_without_its_embedding_says_so(tmp_path):
    for name, stage, finished, said in (
        ("a", "all", False, "Run a is not finished: this is its network of stage 1, without an embedding."),
        ("b", "all", True, ""),
        ("c", "classify", False, ""),
    ):
        write_run(tmp_path / name, embedding=False, record={"finished": finished, "settings": {"stage": stage}})
        assert models.load_run(tmp_path / name).unfinished == said


def test_the_run_here_has_a_name(tmp_path, monkeypatch):
    write_run(tmp_path / "mine")
    monkeypatch.chdir(tmp_path / "mine")
    assert models.load_model(".").name == "mine"


def test_what_is_no_network_is_told_without_the_options_of_training(tmp_path):
    write_run(tmp_path / "run")
    (tmp_path / "run/identities.json").write_text('["ann", "bob"]')
    (tmp_path / "text.pth").write_text("no weights")
    torch.save({"fc.weight": torch.zeros(3, 3)}, tmp_path / "other.pth")
    for name, said in (
        ("run", "is a folder, whose embedding would be left out; give it as --run"),
        ("none.pth", "there is no file --model .*none.pth; give --model dlib, the"),
        ("text.pth", "cannot read weights from .*text.pth .*; give --model dlib, the"),
        ("other.pth", "other.pth holds unknown weights; give --model dlib, the"),
    ):
        with pytest.raises(UsageError, match=said) as caught:
            models.chosen_model(None, str(tmp_path / name), "cpu")
        assert "--weights" not in str(caught.value)
        assert "--backbone" not in str(caught.value)
    plain = models.load_model(tmp_path / "run/backbone.safetensors")
    assert (plain.dim, plain.identities) == (64, {"ann", "bob"})


@pytest.mark.parametrize("name", ["resnet18", "resnet50"])
def test_a_file_of_torchvisions_weights_needs_no_name(tmp_path, monkeypatch, name):
    use_whole_networks(monkeypatch)
    network = get_model(name, weights=None, num_classes=10)
    torch.save(network.state_dict(), tmp_path / "plain.pth")
    found = models.load_model(tmp_path / "plain.pth")
    network.fc = torch.nn.Identity()
    assert (found.backbone.name, found.dim) == (name, network(torch.zeros(2, 3, 32, 32)).shape[1])


def test_model_names():
    dlib = models.load_model("dlib")
    assert (dlib.name, dlib.dim, dlib.weight) == ("dlib", 128, None)
    with pytest.raises(UsageError, match="give one of them"):
        models.chosen_model(Path("runs/a"), "dlib", "cpu")
    with pytest.raises(UsageError, match="no weights of its own"):
        models.load_model("resnet50")
    with pytest.raises(UsageError, match="no finished run"):
        models.chosen_model(Path("nowhere"), None, "cpu")
