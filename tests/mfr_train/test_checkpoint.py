"""Checkpoints: what goes in comes out; nothing half-written, damaged or foreign is taken."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from torch import nn

from maskgen.errors import MaskgenError, UsageError
from maskgen.storage import files
from mfr_train.training import checkpoint


def trained(seed: int = 0) -> tuple[nn.Linear, torch.optim.SGD]:
    torch.manual_seed(seed)
    layer = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(layer.parameters(), 0.1, 0.9)
    for _ in range(2):
        layer(torch.ones(1, 3)).sum().backward()
        optimizer.step()
    return layer, optimizer


def saved(folder: Path, iteration: int = 5, **facts: object) -> dict[str, torch.Tensor]:
    tensors = checkpoint.pack(*trained())
    checkpoint.save(folder, "last", tensors, {"iteration": iteration, "dataset": "d", "settings": {"a": 1}, **facts})
    return tensors


def test_model_and_optimiser_come_back_bit_for_bit(tmp_path):
    layer, optimizer = trained()
    saved(tmp_path)
    found = checkpoint.load(tmp_path, "last", {"dataset": "d", "settings": {"a": 1}})
    assert found is not None
    assert found[1]["iteration"] == 5
    other, other_optimizer = trained(1)
    checkpoint.unpack(found[0], other, other_optimizer)
    for _ in range(3):
        for each, by in ((layer, optimizer), (other, other_optimizer)):
            each(torch.ones(1, 3)).sum().backward()
            by.step()
    assert torch.equal(layer.weight, other.weight)


def test_only_the_newest_tensors_stay(tmp_path):
    saved(tmp_path, 5)
    saved(tmp_path, 10)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last-00000010.safetensors", "last.json"]
    assert checkpoint.load(tmp_path, "best", {}) is None


def test_a_crash_between_the_two_files_leaves_the_earlier_checkpoint(tmp_path, monkeypatch):
    saved(tmp_path, 5)
    monkeypatch.setattr(files, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        saved(tmp_path, 10)
    found = checkpoint.load(tmp_path, "last", {})
    assert found is not None
    assert found[1]["iteration"] == 5


@pytest.mark.parametrize(
    ("expected", "said"),
    [
        ({"dataset": "e"}, 'has dataset "d" where this run has "e"'),
        ({"classes": 3}, "has classes null where this run has 3"),
        ({"settings": {"a": 2}}, "has a 1 where this run has 2"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path, expected, said):
    saved(tmp_path)
    with pytest.raises(UsageError, match=said):
        checkpoint.load(tmp_path, "last", expected)


def test_damage_is_found(tmp_path):
    saved(tmp_path)
    file = next(tmp_path.glob("*.safetensors"))
    data = file.read_bytes()
    for damaged in (data[:-1], data[:-1] + bytes([data[-1] ^ 1])):
        file.write_bytes(damaged)
        with pytest.raises(MaskgenError, match="is damaged; remove"):
            checkpoint.load(tmp_path, "last", {})
    file.unlink()
    with pytest.raises(MaskgenError, match="is damaged; remove"):
        checkpoint.load(tmp_path, "last", {})
    (tmp_path / "last.json").write_text("{")
    with pytest.raises(MaskgenError, match="is damaged; remove"):
        checkpoint.load(tmp_path, "last", {})


def test_numbers_that_are_not_finite_are_never_saved(tmp_path):
    saved(tmp_path)
    with pytest.raises(MaskgenError, match=r"weight is not finite; the last good checkpoint is kept in"):
        checkpoint.save(tmp_path, "last", {"model.weight": torch.tensor([1.0, float("nan")])}, {"iteration": 6})
    assert json.loads((tmp_path / "last.json").read_bytes())["iteration"] == 5


def test_a_full_disk_is_one_sentence_and_costs_nothing(tmp_path, monkeypatch):
    saved(tmp_path)

    def full(path, data):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(MaskgenError, match=r"cannot write .*No space left on device.*make room"):
        saved(tmp_path, 6)
    monkeypatch.undo()
    found = checkpoint.load(tmp_path, "last", {})
    assert found is not None
    assert found[1]["iteration"] == 5
