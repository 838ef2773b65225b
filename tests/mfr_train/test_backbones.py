"""Backbones: the ResNet preprocessing and pooling, and weights files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torchvision.models import resnet18

from maskgen.errors import UsageError
from mfr_train.networks import backbone as backbone_module
from mfr_train.networks import backbones, resizing, resnet
from mfr_train.networks.preprocessing import Preprocessing


@pytest.fixture(scope="module")
def network() -> resnet.Network:
    torch.manual_seed(0)
    return resnet.Network("resnet18")


def pictures(count: int = 3, size: int = 32) -> tuple[list[np.ndarray], np.ndarray]:
    rng = np.random.default_rng(0)
    images = list(rng.integers(0, 256, (count, size, size, 3), dtype=np.uint8))
    return images, np.zeros((count, 68, 2), np.float32)


def test_resnet_features_are_torchvisions_pooled_last_convolution(network):
    images, landmarks = pictures()
    found = resnet.resnet_backbone(network, "resnet18", 32).features(images, landmarks)
    plain = resnet18()
    plain.fc = torch.nn.Identity()
    plain.load_state_dict(network.trunk.state_dict())
    batch = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2) / 255
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    with torch.no_grad():
        wanted = plain.eval()((batch - mean.view(3, 1, 1)) / std.view(3, 1, 1)).numpy()
    np.testing.assert_allclose(found, wanted, rtol=1e-3, atol=1e-4)
    assert not np.allclose(np.linalg.norm(found, axis=1), 1)


def test_features_do_not_depend_on_how_pictures_are_grouped(network, monkeypatch):
    images, landmarks = pictures(5)
    backbone = resnet.resnet_backbone(network, "resnet18", 32)
    together = backbone.features(images, landmarks)
    monkeypatch.setattr(backbone_module, "CHUNK", 2)
    np.testing.assert_allclose(backbone.features(images, landmarks), together, rtol=1e-4, atol=1e-5)
    assert backbone.features([], landmarks[:0]).shape == (0, 512)


def test_a_backbone_never_trains(network):
    resnet.resnet_backbone(network, "resnet18", 32)
    assert not network.trunk.training
    assert not any(parameter.requires_grad for parameter in network.trunk.parameters())


def test_the_fingerprint_follows_every_number_and_the_input_size(network):
    first = resnet.fingerprint(network, "resnet18", 32)
    assert resnet.fingerprint(network, "resnet18", 64) != first
    network.trunk.bn1.running_mean[3] += 1e-6
    assert resnet.fingerprint(network, "resnet18", 32) != first
    network.trunk.bn1.running_mean[3] -= 1e-6


@pytest.mark.parametrize("ending", ["safetensors", "pth"])
def test_weights_files_load_with_or_without_a_classifier(network, tmp_path, ending):
    state = {f"module.{name}": tensor.contiguous() for name, tensor in network.trunk.state_dict().items()}
    state["module.fc.weight"] = torch.zeros(10, 512)
    path = tmp_path / f"weights.{ending}"
    if ending == "pth":
        torch.save({"state_dict": state}, path)
    else:
        save_file(state, path, metadata={"architecture": "resnet18", "input_size": "32"})
    loaded = backbones.load_backbone("resnet18", weights=path, given=Preprocessing(input_size=32))
    assert loaded.fingerprint == resnet.fingerprint(network, "resnet18", 32)
    if ending == "safetensors":
        assert backbones.load_backbone(str(path)).fingerprint == loaded.fingerprint


def test_weights_without_the_count_of_batches_load(network, tmp_path):
    state = {name: tensor for name, tensor in network.trunk.state_dict().items() if "num_batches" not in name}
    torch.save(state, tmp_path / "old.pth")
    loaded = backbones.load_backbone("resnet18", weights=tmp_path / "old.pth", given=Preprocessing(input_size=32))
    assert loaded.fingerprint == resnet.fingerprint(network, "resnet18", 32)


def test_unfit_weights_are_refused_in_a_sentence(network, tmp_path):
    path = tmp_path / "weights.pth"
    torch.save(network.trunk.state_dict(), path)
    with pytest.raises(UsageError, match="no fitting 'layer"):
        backbones.load_backbone("resnet50", weights=path)
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(UsageError, match="cannot read weights"):
        backbones.load_backbone("resnet18", weights=path)
    with pytest.raises(UsageError, match="no weights file"):
        backbones.load_backbone("resnet18", weights=tmp_path / "none.pth")
    with pytest.raises(UsageError, match="needs trained weights"):
        backbones.load_backbone("resnet18")
    with pytest.raises(UsageError, match="no backbone 'vgg'"):
        backbones.load_backbone("vgg")


def test_resizing_keeps_a_picture_of_the_right_size_as_it_is():
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    assert resizing.resized(image, 4) is image
    np.testing.assert_array_equal(resizing.resized(np.full((8, 8, 3), 7, np.uint8), 4), np.full((4, 4, 3), 7))


def test_a_run_folder_is_a_weights_file(network, tmp_path: Path):
    with pytest.raises(UsageError, match=r"backbone\.safetensors"):
        backbones.load_backbone(str(tmp_path))
