"""Inception-ResNet v1: facenet-pytorch's own numbers, and its parts by numpy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch.nn import functional

from maskgen.errors import UsageError
from mfr_train.networks import inception_resnet
from mfr_train.networks.faces import chip
from mfr_train.networks.model import load_model


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    """Random weights, whose BatchNorms have statistics of their own."""
    torch.manual_seed(3)
    state = inception_resnet.InceptionResnet().state_dict()
    for name, tensor in state.items():
        if tensor.ndim > 1:  # large enough to carry differences of pictures through all layers
            torch.nn.init.kaiming_normal_(tensor)
        elif name.endswith("running_var"):
            tensor.uniform_(0.5, 2)
        elif name.endswith("running_mean") or (name.endswith("bias") and "bn" in name):
            tensor.normal_(0, 0.3)
        elif name.endswith("weight") and "bn" in name:
            tensor.uniform_(0.5, 1.5)
    return state


def faces() -> np.ndarray:
    """A dark blue and a bright red picture with noise: random weights hardly tell two pictures of noise apart."""
    noise = np.random.default_rng(0).integers(0, 60, (2, 160, 160, 3), dtype=np.uint8)
    return noise + np.array([(0, 0, 60), (190, 20, 20)], np.uint8)[:, None, None]


def test_embeddings_are_those_of_facenet_pytorch(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    package = pytest.importorskip(
        "facenet_pytorch", reason="it pins versions of other packages; make installs it without them"
    )
    torch.save(state | {"logits.weight": torch.zeros(9, 512), "logits.bias": torch.zeros(9)}, tmp_path / "facenet.pt")
    theirs = package.InceptionResnetV1(classify=False).eval()
    theirs.load_state_dict(state)  # all names and shapes are the same
    batch = (torch.from_numpy(faces()).permute(0, 3, 1, 2).float() - 127.5) / 128
    with torch.inference_mode():
        wanted = theirs(batch).numpy()
    model = load_model(tmp_path / "facenet.pt", device="cpu", align="none")
    assert (model.dim, model.backbone.input_size) == (512, 160)
    found = model.backbone.features(faces(), np.empty((0, 68, 2), np.float32))
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-6)
    assert np.abs(found[0] - found[1]).max() > 1e-4


def normalised(values: np.ndarray, state: dict[str, torch.Tensor], name: str) -> np.ndarray:
    """BatchNorm and ReLU of values (channels, h, w), by numpy."""
    mean, var, weight, bias = (
        state[f"{name}.bn.{part}"].numpy().astype(float)[:, None, None]
        for part in ("running_mean", "running_var", "weight", "bias")
    )
    return np.maximum((values - mean) / np.sqrt(var + 1e-3) * weight + bias, 0)


def convolved(values: np.ndarray, kernel: torch.Tensor) -> np.ndarray:
    """A convolution of odd size that keeps height and width, by numpy: a sum over the places of the kernel."""
    weight = kernel.numpy().astype(float)
    _, _, high, wide = weight.shape
    padded = np.pad(values, ((0, 0), (high // 2, high // 2), (wide // 2, wide // 2)))
    height, width = values.shape[1:]
    return sum(
        np.einsum("oc,chw->ohw", weight[:, :, y, x], padded[:, y : y + height, x : x + width])
        for y in range(high)
        for x in range(wide)
    )


@pytest.mark.parametrize(
    ("name", "channels", "scale", "relu"),
    [("repeat_1.2", 256, 0.17, True), ("repeat_2.7", 896, 0.10, True), ("repeat_3.4", 1792, 0.20, True),
     ("block8", 1792, 1.0, False)],
)  # fmt: skip
def test_blocks_by_numpy(name: str, channels: int, scale: float, relu: bool, state: dict[str, torch.Tensor]) -> None:
    network = inception_resnet.InceptionResnet().eval()
    network.load_state_dict(state)
    values = np.random.default_rng(1).normal(size=(channels, 5, 4))
    with torch.inference_mode():
        found = network.get_submodule(name)(torch.from_numpy(values).float()[None])[0].numpy()

    parts = []
    for branch in range(3):
        own = f"{name}.branch{branch}."
        steps = sorted({key.split(".conv.")[0] for key in state if key.startswith(own) and ".conv." in key})
        part = values
        for step in steps:
            part = normalised(convolved(part, state[f"{step}.conv.weight"]), state, step)
        if steps:
            parts.append(part)
    together = convolved(np.concatenate(parts), state[f"{name}.conv2d.weight"])
    together += state[f"{name}.conv2d.bias"].numpy().astype(float)[:, None, None]
    wanted = together * scale + values
    np.testing.assert_allclose(found, np.maximum(wanted, 0) if relu else wanted, atol=1e-4)


def test_the_state_has_the_names_and_sizes_of_the_published_one(state: dict[str, torch.Tensor]) -> None:
    """Those of facenet-pytorch's 20180402-114759-vggface2.pt without its classifier: 23.5 million parameters."""
    expected = {
        "conv2d_1a.conv.weight": (32, 3, 3, 3),
        "conv2d_4b.bn.running_var": (256,),
        "repeat_1.0.branch0.conv.weight": (32, 256, 1, 1),
        "repeat_1.4.branch2.2.conv.weight": (32, 32, 3, 3),
        "repeat_2.9.branch1.1.conv.weight": (128, 128, 1, 7),
        "repeat_2.9.conv2d.weight": (896, 256, 1, 1),
        "mixed_6a.branch1.2.conv.weight": (256, 192, 3, 3),
        "mixed_7a.branch2.2.bn.weight": (256,),
        "repeat_3.4.branch1.2.conv.weight": (192, 192, 3, 1),
        "block8.conv2d.bias": (1792,),
        "last_linear.weight": (512, 1792),
        "last_bn.running_mean": (512,),
    }
    assert {name: tuple(state[name].shape) for name in expected} == expected
    learned = [tensor for name, tensor in state.items() if "running" not in name and "num_batches" not in name]
    assert sum(tensor.numel() for tensor in learned) == 23_482_624
    assert len(state) == 714


def test_faces_are_cut_out_as_dlib_does_unless_asked(
    state: dict[str, torch.Tensor], astronaut: np.ndarray, tmp_path: Path
) -> None:
    save_file({f"module.{name}": tensor.contiguous() for name, tensor in state.items()}, tmp_path / "net.safetensors")
    model = load_model(tmp_path / "net.safetensors", device="cpu")
    points = np.random.default_rng(0).uniform(150, 300, (1, 68, 2)).astype(np.float32)
    assert (model.preprocessing.align, model.backbone.aligns_faces) == ("dlib", True)
    found = model.embed([astronaut], points)
    network = inception_resnet.InceptionResnet().eval()
    network.load_state_dict(state)
    pixels = torch.from_numpy(chip(astronaut, points[0], 160)).permute(2, 0, 1).float()[None]
    with torch.inference_mode():
        wanted = functional.normalize(network((pixels - 127.5) / 128)).numpy()
    np.testing.assert_allclose(found, wanted, atol=2e-6)
    with pytest.raises(UsageError, match=r"--colors does not apply to the Inception-ResNet v1 of .*net\.safetensors"):
        load_model(tmp_path / "net.safetensors", device="cpu", colors="bgr")


def test_weights_that_do_not_fit_are_one_sentence(state: dict[str, torch.Tensor], tmp_path: Path) -> None:
    torch.save({name: tensor for name, tensor in state.items() if name != "last_linear.weight"}, tmp_path / "net.pt")
    with pytest.raises(UsageError, match=r"net\.pt has no fitting 'last_linear\.weight'; give --model"):
        load_model(tmp_path / "net.pt", device="cpu")
