"""Smooth Grad-CAM++ of all features at once against one feature at a time by autograd, and against maps by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from mfr_train.explaining import closed_form
from mfr_train.explaining.attention import attention
from mfr_train.explaining.closed_form import Head
from mfr_train.explaining.explain_settings import FIRST, NUMERATORS, SECOND
from mfr_train.networks.backbones import load_backbone
from mfr_train.networks.inception_resnet import InceptionResnet
from mfr_train.networks.model import Model
from mfr_train.networks.resnet import Network, resnet_backbone
from tests.support.narrow import use_narrow_networks


@pytest.fixture
def convolutions() -> nn.Module:
    """A small random ResNet up to its last convolution, in float64."""
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_networks(patch)
        torch.manual_seed(0)
        trunk = Network("resnet18").trunk
    return nn.Sequential(*list(trunk.children())[:-2]).eval().double()


def by_autograd(layers: nn.Module, copies: Tensor, weight: Tensor, bias: Tensor, normalised: bool, numerator: str):
    """The definition: for each feature, its derivatives at each position of the last convolution in each copy; their
    powers, averaged over copies; the weights of Omeiza et al.; the map on the activations of the clean picture."""
    with torch.no_grad():
        clean, *noisy = layers(copies)
    maps = []
    for feature in range(len(weight)):
        derivatives = []
        for activations in noisy or [clean]:
            given = activations.clone().requires_grad_()
            z = weight @ given.mean((1, 2)) + bias
            score = (functional.normalize(z, dim=0) if normalised else z)[feature]
            derivatives.append(torch.autograd.grad(score, given)[0])
        first, second, third = (torch.stack([d**power for d in derivatives]).mean(0) for power in (1, 2, 3))
        total = clean.sum((1, 2), keepdim=True)
        alpha = (second if numerator == SECOND else first) / (2 * second + total * third)
        weights = (alpha * first.relu()).sum((1, 2))
        maps.append((weights[:, None, None] * clean).sum(0).relu())
    return torch.stack(maps).mean(0)


@pytest.mark.parametrize("numerator", NUMERATORS)
@pytest.mark.parametrize("normalised", [True, False])
@pytest.mark.parametrize("copies", [0, 3])
def test_it_equals_autograd_feature_by_feature(
    convolutions: nn.Module, numerator: str, normalised: bool, copies: int
) -> None:
    draw = torch.Generator().manual_seed(1)
    picture = torch.rand((1, 3, 96, 96), generator=draw, dtype=torch.float64)
    noise = 0.3 * torch.randn((copies, 3, 96, 96), generator=draw, dtype=torch.float64)
    pictures = torch.cat([picture, picture + noise])
    weight = torch.randn((24, 64), generator=draw, dtype=torch.float64)
    bias = torch.randn(24, generator=draw, dtype=torch.float64)
    expected = by_autograd(convolutions, pictures, weight, bias, normalised, numerator)
    with torch.no_grad():
        clean, *noisy = convolutions(pictures)
    noisy = torch.stack(noisy) if noisy else clean[None][:0]
    found = closed_form.mean_map(clean, noisy, Head(weight, bias), normalised, numerator)
    assert found.shape == (3, 3)
    assert expected.std() > 0.05 * expected.mean()  # a map with something to get wrong
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=0)
    in_single = closed_form.mean_map(
        clean.float(), noisy.float(), Head(weight.float(), bias.float()), normalised, numerator
    )
    torch.testing.assert_close(in_single.double(), expected, rtol=1e-5, atol=1e-5 * float(expected.max()))


def test_noise_matters_only_after_normalisation(convolutions: nn.Module) -> None:
    """Before it the derivatives are W for every picture."""
    draw = torch.Generator().manual_seed(2)
    with torch.no_grad():
        clean, *noisy = convolutions(torch.rand((4, 3, 64, 64), generator=draw, dtype=torch.float64))
    head = Head(torch.randn((8, 64), generator=draw, dtype=torch.float64), torch.zeros(8, dtype=torch.float64))
    for normalised in (True, False):
        without = closed_form.mean_map(clean, torch.stack(noisy)[:0], head, normalised)
        with_noise = closed_form.mean_map(clean, torch.stack(noisy), head, normalised)
        assert torch.equal(without, with_noise) == (not normalised)


def test_a_map_by_hand() -> None:
    """Two channels, two positions, two features before normalisation.

    W = [[1, -2], [0, 4]], A_0 = (2, 0), A_1 = (1, 3), mean activations 1 and 2. Weights W / (2 + a W), positive W only:
    1 / (2 + 1 * 1) = 1/3 for feature 0 and channel 0; 4 / (2 + 2 * 4) = 2/5 for feature 1 and channel 1. Map of
    feature 0: (2/3, 0); of feature 1: (2/5, 6/5); their mean: (8/15, 3/5). With the first derivative in the numerator
    each weight is divided by J and multiplied by the number of positions: 2/3 and 2/10.
    """
    activations = torch.tensor([[[2.0, 0.0]], [[1.0, 3.0]]])
    head = Head(torch.tensor([[1.0, -2.0], [0.0, 4.0]]), torch.tensor([5.0, -7.0]))
    none = activations[None][:0]
    found = closed_form.mean_map(activations, none, head, normalised=False)
    torch.testing.assert_close(found, torch.tensor([[8 / 15, 3 / 5]]))
    found = closed_form.mean_map(activations, none, head, normalised=False, numerator=FIRST)
    torch.testing.assert_close(found, torch.tensor([[(4 / 3 + 1 / 5) / 2, (3 / 5) / 2]]))


def test_an_embedding_of_length_zero_has_a_map_of_zeros() -> None:
    activations = torch.zeros((2, 3, 3))
    found = closed_form.mean_map(activations, activations[None][:0], Head(torch.eye(2), torch.zeros(2)))
    assert torch.equal(found, torch.zeros((3, 3)))


def test_the_linear_layer_and_the_projection_are_one(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = np.random.default_rng(0)
    backbone = load_backbone("dlib")
    assert backbone.pooled is not None
    model = Model("m", backbone, draw.normal(size=(5, 128)).astype("f"), draw.normal(size=5).astype("f"))
    head = closed_form.head_of(model, backbone.pooled, 256)
    picture = draw.integers(0, 256, (1, 150, 150, 3)).astype(np.float32)
    pooled = backbone.pooled.activations(torch.from_numpy(picture)).mean((2, 3))[0]
    z = (head.weight @ pooled + head.bias).numpy()
    landmarks = np.zeros((1, 68, 2), np.float32)
    monkeypatch.setattr("mfr_train.networks.faces.chip", lambda image, landmarks, size: image)
    expected = model.embed(picture.astype(np.uint8), landmarks)[0]
    np.testing.assert_allclose(z / np.linalg.norm(z), expected, rtol=0, atol=1e-6)


@pytest.fixture
def model(narrow: None) -> Model:
    """A random narrow ResNet18 at 128 x 128: its maps have 4 x 4 positions."""
    torch.manual_seed(3)
    return Model("random", resnet_backbone(Network("resnet18"), "resnet18", 128))


def test_noise_depends_on_seed_and_key_alone(model: Model) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (3, 128, 128, 3)).astype(np.uint8)
    keys = ["a", "b", "c"]
    together = attention(model, pictures, keys=keys, samples=3)
    alone = np.concatenate([attention(model, [p], keys=[k], samples=3) for p, k in zip(pictures, keys, strict=True)])
    backwards = attention(model, pictures[::-1], keys=keys[::-1], samples=3)[::-1]
    assert together.tobytes() == alone.tobytes() == backwards.tobytes()
    assert (attention(model, pictures, keys=["x", "y", "z"], samples=3) != together).any()
    assert (attention(model, pictures, keys=keys, samples=3, seed=1) != together).any()
    by_pixels = attention(model, pictures, samples=3)
    assert by_pixels[::-1].tobytes() == attention(model, pictures[::-1], samples=3).tobytes()


def test_more_samples_than_a_batch_and_no_noise_are_what_they_mean(model: Model, monkeypatch) -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (1, 128, 128, 3)).astype(np.uint8)
    many = attention(model, pictures, samples=5)
    monkeypatch.setattr("mfr_train.explaining.attention.CHUNK", 2)
    np.testing.assert_allclose(attention(model, pictures, samples=5), many, rtol=1e-4)
    np.testing.assert_array_equal(attention(model, pictures, samples=5, noise=0), attention(model, pictures, samples=0))


def test_the_linear_layer_and_batch_norm_of_inception_resnet_are_one() -> None:
    torch.manual_seed(4)
    network = InceptionResnet().eval()
    for statistic in (network.last_bn.running_mean, network.last_bn.running_var, network.last_bn.bias):
        with torch.no_grad():
            statistic.copy_(torch.rand(512) + 0.5)
    with torch.inference_mode():
        face = torch.randn((1, 3, 160, 160))
        activations = network.activations(face)
        weight, bias = map(torch.from_numpy, network.linear())
        found = functional.normalize(activations.mean((2, 3)) @ weight.T + bias)
        assert activations.shape == (1, 1792, 3, 3)
        torch.testing.assert_close(found, network(face), rtol=0, atol=1e-6)
