"""EUM and the self-restrained triplet loss: values by hand, training, and the model that a run with EUM gives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file

from maskgen.errors import UsageError
from mfr_train.networks.model import Model, load_run
from mfr_train.training import curve, embed, heads
from mfr_train.training.losses import embedding_loss, self_restrained
from mfr_train.training.train import train
from mfr_train.training.train_settings import TrainSettings, filled

from .test_embed import FACTS, LABELS, clusters


def unit(*degrees: float) -> torch.Tensor:
    """Rows of length one in the plane: the squared distance of two is 2 - 2 cos of the angle between them."""
    angles = torch.deg2rad(torch.tensor(degrees))
    return torch.stack([angles.cos(), angles.sin()], dim=1)


def test_self_restrained_loss_by_hand_if_negatives_are_near_the_anchors():
    """d(a, n) = 0 and 2, mean 1; d(p, n) = 2 and 4, mean 3: the usual triplet loss."""
    a, p, n = unit(0, 90), unit(90, 0), unit(0, 180)
    assert (a - n).square().sum(1).mean() < (p - n).square().sum(1).mean()
    near, far = np.array([2.0, 2.0]), np.array([0.0, 2.0])
    expected = np.maximum(near - far + 2, 0).mean()
    assert self_restrained(a, p, n, 2.0, "squared").item() == pytest.approx(expected, abs=1e-6)


def test_self_restrained_loss_by_hand_if_negatives_are_far_from_the_anchors():
    """d(a, n) = 4 and 2, mean 3; d(p, n) = 2 and 0, mean 1, which takes the place of d(a, n)."""
    a, p, n = unit(0, 90), unit(90, 180), unit(180, 180)
    near = np.array([2.0, 2.0])
    expected = np.maximum(near - 1 + 2, 0).mean()
    assert expected != np.maximum(near - np.array([4.0, 2.0]) + 2, 0).mean()
    assert self_restrained(a, p, n, 2.0, "squared").item() == pytest.approx(expected, abs=1e-6)
    assert embedding_loss(a, p, n, 2.0, "squared", 30.0, "srt").item() == pytest.approx(expected, abs=1e-6)


def test_the_loss_called_triplet_has_no_mse():
    a, p, n = unit(0, 10), unit(40, 80), unit(50, 90)
    alone = embedding_loss(a, p, n, 0.2, "squared", 0.0)
    assert embedding_loss(a, p, n, 0.2, "squared", 30.0, "triplet") == alone
    assert embedding_loss(a, p, n, 0.2, "squared", 30.0) > alone


def test_eum_has_the_published_layers():
    assert [type(part).__name__ for part in heads.Eum(6)] == ["Linear", "BatchNorm1d", "LeakyReLU"] * 3 + [
        "Linear",
        "BatchNorm1d",
    ]
    assert [part.weight.shape for part in heads.Eum(6) if isinstance(part, torch.nn.Linear)] == [(6, 6)] * 4
    assert heads.Eum(6)[2].negative_slope == 0.2


def test_the_start_depends_on_the_seed_alone():
    torch.manual_seed(5)
    first, again, other = (heads.new_head("eum", 6, 512, seed).state_dict()["0.weight"] for seed in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


def test_eum_is_applied_to_the_masked_picture_which_is_the_anchor():
    head = torch.nn.Sequential(*heads.Eum(2))  # as it is, with BatchNorm of a batch
    eum = heads.Eum(2)
    eum.load_state_dict(head.state_dict())
    unmasked, masked, stranger = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0))
    a, p, n = heads.embedded(eum, unmasked, masked, stranger)
    torch.testing.assert_close(a, torch.nn.functional.normalize(head(masked)))
    torch.testing.assert_close(p, torch.nn.functional.normalize(unmasked))
    torch.testing.assert_close(n, torch.nn.functional.normalize(stranger))


@pytest.fixture
def settings(tiny):
    return filled(tiny(stage="embed", head="eum", loss="srt", validate_every=20, log_every=20))


def trained(settings, **given):
    full = replace(settings, **given)
    full.out.mkdir(parents=True, exist_ok=True)
    found, val = (embed.cached(clusters(seed), LABELS) for seed in (0, 1))
    return embed.train_embedding(full, found, val, 8, full.out, FACTS)


def test_it_learns_to_take_the_mask_off(settings):
    """Each mask shifts every feature in one direction: after training a masked picture is nearest to its person."""
    head = trained(settings, embed_iterations=200, embed_lr=0.1, embed_nesterov=True, embed_lr_drop=75)
    rows = curve.read(settings.out / "curve.csv")
    assert float(rows[-1]["val_accuracy"]) > 0.95
    assert [float(rows[index]["lr"]) for index in (0, 4, -1)] == pytest.approx([0.1, 0.01, 0.001])
    plain, masked, _ = (torch.tensor(part) for part in clusters(2))
    cosine = torch.nn.functional.cosine_similarity
    with torch.inference_mode():
        before, after = cosine(plain, masked).mean(), cosine(plain, head(masked)).mean()
    assert after > before + 0.2


def test_it_resumes_with_the_same_numbers(settings, tmp_path):
    whole = trained(settings, embed_iterations=40, out=tmp_path / "whole")
    trained(settings, embed_iterations=20, out=tmp_path / "parts")
    parts = trained(settings, embed_iterations=40, out=tmp_path / "parts")
    for name, tensor in whole.state_dict().items():
        assert torch.equal(tensor, parts.state_dict()[name]), name


def test_a_run_with_eum_gives_a_model_that_changes_masked_pictures_only(tiny, tmp_path):
    settings = tiny(head="eum", loss="srt", out=tmp_path / "run", iterations=4, embed_iterations=6)
    model = load_run(train(settings))
    assert len(model.unmasking) == 4
    assert model.dim == model.backbone.dim
    features = np.random.default_rng(0).normal(size=(6, model.dim)).astype(np.float32)
    plain = features / np.linalg.norm(features, axis=1, keepdims=True)
    np.testing.assert_allclose(model.project(features), plain, rtol=1e-6)
    head = heads.Eum(model.dim)
    saved = next((settings.out / "checkpoints").glob("embed-best-*.safetensors"))
    head.load_state_dict(
        {name[6:]: torch.tensor(value) for name, value in load_file(saved).items() if name.startswith("model.")}
    )
    with torch.inference_mode():
        wanted = torch.nn.functional.normalize(head.eval()(torch.tensor(features))).numpy()
    np.testing.assert_allclose(model.project(features, masked=True), wanted, atol=2e-5)
    some = np.array([True, False, False, True, True, False])
    np.testing.assert_array_equal(
        model.project(features, masked=some), np.where(some[:, None], model.project(features, True), plain)
    )
    assert model.fingerprint != Model(model.name, model.backbone).fingerprint


def test_a_damaged_file_of_eum_is_one_sentence(tiny, tmp_path):
    folder = train(tiny(head="eum", loss="srt", out=tmp_path / "run", iterations=2, embed_iterations=2))
    path = folder / "embedding.safetensors"
    whole = load_file(path)
    bias = whole["1.bias"].copy()
    bias[0] = np.nan
    damaged = {
        "a part is missing": {name: value for name, value in whole.items() if name != "2.bias"},
        "not square": whole | {"2.weight": whole["2.weight"][:-1], "2.bias": whole["2.bias"][:-1]},
        "no number": whole | {"1.bias": bias},
        "nothing": {},
    }
    for tensors, kind in [*((tensors, "eum") for tensors in damaged.values()), (whole, "mlp")]:
        save_file(tensors, path, {"head": kind})
        with pytest.raises(UsageError, match=r"embedding\.safetensors is damaged; train the run again"):
            load_run(folder)


def test_settings_that_do_not_fit_are_one_sentence():
    assert filled(TrainSettings(loss="srt")).margin == 2.0
    assert filled(TrainSettings()).margin == 0.2
    assert filled(TrainSettings(head="eum")).negative == "unmasked"
    with pytest.raises(UsageError, match="--negative"):
        filled(TrainSettings(head="eum", negative="masked"))
    with pytest.raises(UsageError, match="--triplets of at least 2"):
        filled(TrainSettings(head="eum", triplets=1))
    with pytest.raises(UsageError, match="--momentum above 0"):
        filled(TrainSettings(embed_nesterov=True, momentum=0.0))
