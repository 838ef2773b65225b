"""Runs and weights from a stranger: what their headers say becomes no path, no name of a module, and no traceback."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import safetensors.torch
import torch

from maskgen.errors import MaskgenError, UsageError
from mfr_train.data.decoders import worker_errors
from mfr_train.evaluation.report import Report
from mfr_train.evaluation.report_text import report_text
from mfr_train.networks.backbones import load_backbone
from mfr_train.networks.model import load_run
from mfr_train.networks.resnet import Network, weights_facts
from tests.support.fuzz import REPORT

pytestmark = pytest.mark.usefixtures("narrow")

WIDTH = 64
"""Features of a narrow ResNet18."""


@functools.cache
def random_weights() -> dict[str, torch.Tensor]:
    return Network("resnet18").trunk.state_dict()


def weights(path: Path, **facts: str) -> Path:
    safetensors.torch.save_file(random_weights(), path, facts)
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
    tensors = {"weight": np.eye(2, WIDTH, dtype=np.float32), "bias": np.zeros(2, np.float32)}
    facts = {"backbone": str(elsewhere), "fingerprint": backbone.fingerprint}
    safetensors.numpy.save_file(tensors, run / "embedding.safetensors", facts)
    with pytest.raises(UsageError, match=r"run lacks its network, backbone\.safetensors or backbone\.onnx"):
        load_run(run)


def run_with(tmp_path: Path, weight: np.ndarray, bias: np.ndarray) -> Path:
    """A run with a network of 64 features, and this embedding of them."""
    run = tmp_path / "run"
    run.mkdir()
    backbone = load_backbone(str(weights(run / "backbone.safetensors", architecture="resnet18", input_size="64")))
    (run / "settings.json").write_text(json.dumps({"finished": True}))
    facts = {"backbone": "resnet18", "fingerprint": backbone.fingerprint}
    safetensors.numpy.save_file({"weight": weight, "bias": bias}, run / "embedding.safetensors", facts)
    return run


EMBEDDINGS: dict[str, tuple[np.ndarray, np.ndarray]] = {
    "no number": (np.full((2, WIDTH), np.nan, np.float32), np.zeros(2, np.float32)),
    "infinite": (np.eye(2, WIDTH, dtype=np.float32), np.full(2, np.inf, np.float32)),
    "too large for float32": (np.full((2, WIDTH), 1e300), np.zeros(2)),
    "another number of biases": (np.eye(2, WIDTH, dtype=np.float32), np.zeros(3, np.float32)),
    "one bias for all": (np.eye(2, WIDTH, dtype=np.float32), np.zeros(1, np.float32)),
    "biases of two dimensions": (np.eye(2, WIDTH, dtype=np.float32), np.zeros((2, 2), np.float32)),
    "weights of one dimension": (np.zeros(WIDTH, np.float32), np.zeros(2, np.float32)),
    "weights of three dimensions": (np.zeros((1, 2, WIDTH), np.float32), np.zeros(2, np.float32)),
    "no rows": (np.zeros((0, WIDTH), np.float32), np.zeros(0, np.float32)),
}


@pytest.mark.parametrize("name", EMBEDDINGS)
def test_an_embedding_that_is_none_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"embedding\.safetensors is damaged; train the run again"):
        load_run(run_with(tmp_path, *EMBEDDINGS[name]))


def test_embeddings_that_are_no_numbers_are_never_given(tmp_path: Path) -> None:
    """Each weight is a number of its own, but not what they make together."""
    model = load_run(run_with(tmp_path, np.full((2, WIDTH), 3e38, np.float32), np.zeros(2, np.float32)))
    with pytest.raises(MaskgenError, match="the embeddings of model run are no finite numbers"):
        model.embed([np.full((64, 64, 3), 90, np.uint8)])


NAMES = (b"", b"null", b"{}", b'"x"', b"[[1], 2, null]", b"[" * 100_000, b"9" * 5_000, b"\xff\xfe", b"1e999")


@pytest.mark.parametrize("text", NAMES, ids=range(len(NAMES)))
def test_records_that_are_none_are_of_nobody(tmp_path: Path, text: bytes) -> None:
    run = run_with(tmp_path, np.eye(2, WIDTH, dtype=np.float32), np.zeros(2, np.float32))
    for name in ("identities.json", "settings.json"):
        (run / name).write_bytes(text)
    model = load_run(run)
    assert (model.identities, model.dim) == (frozenset(), 2)


def changed_report(tmp_path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    facts = json.loads(REPORT)
    change(facts["scenarios"][0])
    path = tmp_path / "report.json"
    path.write_text(json.dumps(facts))
    return path


REPORTS: dict[str, Callable[[dict[str, Any]], object]] = {
    "a number of 400 digits": lambda row: row["figures"]["fmr100"].update(fnmr=10**400),
    "no number of pairs": lambda row: row["figures"].update(genuine=float("nan")),
    "endless pairs": lambda row: row["figures"].update(impostor=None),
    "fewer pairs than none": lambda row: row["figures"].update(impostor=-1),
    "a scenario of escape sequences": lambda row: row.update(scenario="\x1b[31m\u202e"),
    "figures that are a list": lambda row: row.update(figures=[1, 2]),
    "an interval of three ends": lambda row: row["intervals"]["intervals"].update(eer=[0.1, 0.2, 0.3]),
}


@pytest.mark.parametrize("name", REPORTS)
def test_a_report_that_cannot_be_is_one_sentence(tmp_path: Path, name: str) -> None:
    with pytest.raises(MaskgenError, match="is not a report that `mfr eval` wrote; measure again"):
        Report.load(changed_report(tmp_path, REPORTS[name]))


def test_a_report_without_some_intervals_is_shown(tmp_path: Path) -> None:
    report = Report.load(changed_report(tmp_path, lambda row: None))
    lines = report_text(report).splitlines()
    [start] = [line.split() for line in lines if "95 % from" in line]
    assert start == ["95", "%", "from", "10.00"], "of its EER alone"


def test_too_little_memory_is_one_sentence() -> None:
    with pytest.raises(MaskgenError, match="memory ran out while pictures were decoded"), worker_errors():
        raise MemoryError("Caught MemoryError in DataLoader worker process 0.\nTraceback ...")
