"""The losses of stage 1 with a margin, against values worked out by hand, and a short training with each."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn import functional

from maskgen.errors import UsageError
from mfr_train.training.classifiers import CosineClassifier, classification_loss
from mfr_train.training.train import train
from mfr_train.training.train_settings import TrainSettings, filled


def test_softmax_is_cross_entropy_on_the_outputs_as_they_are():
    outputs, labels = torch.tensor([[2.0, 0.5, -1.0]]), torch.tensor([0])
    expected = -math.log(math.exp(2) / (math.exp(2) + math.exp(0.5) + math.exp(-1)))
    assert classification_loss(outputs, labels, "softmax", 9.0, 9.0).item() == pytest.approx(expected)


@pytest.mark.parametrize(
    ("kind", "margin", "right"), [("arcface", 0.5, math.cos(math.pi / 3 + 0.5)), ("cosface", 0.35, 0.5 - 0.35)]
)
def test_the_right_class_is_made_harder(kind, margin, right):
    """The angle to the right class is 60 degrees, to the others 90 and 120; the scale is 4."""
    cosines, labels = torch.tensor([[0.0, 0.5, -0.5]]), torch.tensor([1])
    wrong = math.exp(4 * 0.0) + math.exp(4 * -0.5)
    expected = -math.log(math.exp(4 * right) / (math.exp(4 * right) + wrong))
    assert classification_loss(cosines, labels, kind, margin, 4.0).item() == pytest.approx(expected, rel=1e-5)


def test_without_a_margin_both_are_cross_entropy_on_scaled_cosines():
    cosines = torch.rand(20, 7, generator=torch.Generator().manual_seed(0)) * 1.8 - 0.9
    labels = torch.arange(20) % 7
    expected = functional.cross_entropy(16 * cosines, labels)
    for kind in ("arcface", "cosface"):
        torch.testing.assert_close(classification_loss(cosines, labels, kind, 0.0, 16.0), expected)


def test_the_loss_of_arcface_falls_as_the_angle_shrinks_all_the_way_from_180_degrees():
    cosines = torch.linspace(-1, 1, 401)
    losses = [classification_loss(torch.tensor([[c, 0.0]]), torch.tensor([0]), "arcface", 0.5, 8.0) for c in cosines]
    assert (torch.stack(losses).diff() < 0).all()


def test_gradients_are_finite_at_0_and_180_degrees():
    layer = CosineClassifier(2, 2)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(2))
    features = torch.tensor([[3.0, 0.0], [-3.0, 0.0]], requires_grad=True)
    classification_loss(layer(features), torch.tensor([0, 0]), "arcface", 0.5, 64.0).backward()
    assert features.grad is not None
    assert torch.isfinite(features.grad).all()


def test_the_last_layer_gives_cosines_whatever_the_lengths():
    layer = CosineClassifier(2, 3)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[2.0, 0.0], [0.0, 5.0], [-1.0, 1.0]]))
    found = layer(torch.tensor([[7.0, 7.0]]))
    torch.testing.assert_close(found, torch.tensor([[math.sqrt(0.5), math.sqrt(0.5), 0.0]]))


@pytest.mark.parametrize("kind", ["arcface", pytest.param("cosface", marks=pytest.mark.slow)])
def test_a_run_trains_with_it_and_records_it(tiny, tmp_path, kind):
    folder = train(tiny(stage="classify", classifier=kind, classifier_scale=16.0, out=tmp_path / "run", iterations=4))
    assert json.loads((folder / "settings.json").read_text())["settings"]["classifier"] == kind
    with pytest.raises(UsageError, match=f'has classifier "{kind}" where this run has "softmax"'):
        train(tiny(stage="classify", classifier_scale=16.0, out=tmp_path / "run", iterations=6))


def test_a_run_of_an_earlier_version_resumes(tiny, tmp_path):
    """Its record and its checkpoints know nothing of the settings that were added."""
    settings = tiny(stage="classify", out=tmp_path / "run", iterations=4)
    folder = train(settings)
    for path in [folder / "settings.json", *folder.glob("checkpoints/*.json")]:
        facts = json.loads(path.read_text())
        for name in ("classifier", "classifier-margin", "classifier-scale", "augment"):
            del facts["settings"][name]
        path.write_text(json.dumps(facts))
    with pytest.raises(UsageError, match="has augment"):
        train(replace(settings, augment=("flip",)))
    assert train(replace(settings, iterations=6)) == folder


def test_settings_that_do_not_fit_are_one_sentence():
    with pytest.raises(UsageError, match="softmax has no margin"):
        filled(TrainSettings(classifier_margin=0.3))
    with pytest.raises(UsageError, match=r"--augment is 'blur'; choose from flip, crop, color\."):
        filled(TrainSettings(augment=("flip", "blur")))
    with pytest.raises(UsageError, match="twice"):
        filled(TrainSettings(augment=("flip", "flip")))


def test_the_network_learns_with_a_margin():
    """A linear network on two clusters: the loss of each kind falls, and every picture is classified."""
    draw = torch.Generator().manual_seed(0)
    labels = torch.arange(40) % 2
    features = torch.randn(40, 4, generator=draw) * 0.3 + torch.eye(4)[labels]
    for kind, margin in (("arcface", 0.5), ("cosface", 0.35)):
        torch.manual_seed(0)
        network = nn.Sequential(nn.Linear(4, 4), CosineClassifier(4, 2))
        optimizer = torch.optim.SGD(network.parameters(), 0.1)
        losses = []
        for _ in range(60):
            loss = classification_loss(network(features), labels, kind, margin, 8.0)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0] / 3
        assert (network(features).argmax(1) == labels).float().mean() > 0.95
