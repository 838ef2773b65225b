"""Runs and weights from a stranger: what their headers say becomes no path, no name of a module, and no traceback."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch

from maskgen.errors import MaskgenError, UsageError
from mfr_train.data.decoders import worker_errors
from mfr_train.networks.backbones import load_backbone
from mfr_train.networks.model import load_run
from mfr_train.networks.resnet import Network, weights_facts


def weights(path: Path, **facts: str) -> Path:
    safetensors.torch.save_file(Network("resnet18").trunk.state_dict(), path, facts)
    return path


@pytest.mark.parametrize("size", ["x", "", "-5", "0", "31", "4097", "99999999999", "1e3", "64.5", "\u0661\u0662\u0668"])
def test_an_input_size_that_cannot_be_is_one_sentence(tmp_path: Path, size: str) -> None:
    path = weights(tmp_path / "backbone.safetensors", architecture="resnet18", input_size=size)
    for read in (weights_facts, load_backbone):
        with pytest.raises(UsageError, match="names the input size"):
            read(path if read is weights_facts else str(path))


@pytest.mark.parametrize("name", ["vgg16", "get_model", "../../x", "<b>"])
def test_an_architecture_that_is_no_resnet_is_one_sentence(tmp_path: Path, name: str) -> None:
    path = weights(tmp_path / "backbone.safetensors", architecture=name)
    for read in (weights_facts, load_backbone):
        with pytest.raises(UsageError, match=f"holds {name!r} weights"):
            read(path if read is weights_facts else str(path))


def test_a_run_does_not_choose_a_file_elsewhere_as_its_network(tmp_path: Path) -> None:
    elsewhere = weights(tmp_path / "elsewhere.safetensors", architecture="resnet18", input_size="64")
    backbone = load_backbone(str(elsewhere))
    run = tmp_path / "run"
    run.mkdir()
    (run / "settings.json").write_text(json.dumps({"finished": True}))
    tensors = {"weight": np.eye(2, 512, dtype=np.float32), "bias": np.zeros(2, np.float32)}
    facts = {"backbone": str(elsewhere), "fingerprint": backbone.fingerprint}
    safetensors.numpy.save_file(tensors, run / "embedding.safetensors", facts)
    with pytest.raises(UsageError, match=r"run lacks its network, backbone\.safetensors or backbone\.onnx"):
        load_run(run)


def test_too_little_memory_is_one_sentence() -> None:
    with pytest.raises(MaskgenError, match="memory ran out while pictures were decoded"), worker_errors():
        raise MemoryError("Caught MemoryError in DataLoader worker process 0.\nTraceback ...")
