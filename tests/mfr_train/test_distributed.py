"""Two real processes on CPU, as torchrun starts them, train what one process trains."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from mfr_train.training import curve, distributed
from mfr_train.training.train import train
from mfr_train.training.train_settings import TrainSettings
from tests.support.preloaded import training_program

Tiny = Callable[..., TrainSettings]


def test_without_torchrun_there_is_one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with distributed.processes("cpu") as group:
        assert (group.rank, group.world, group.first) == (0, 1, True)
        assert group.shared("a") == "a"
        assert group.sum(torch.ones(2)).tolist() == [1, 1]


def run_two(settings: TrainSettings, start: Callable, program: str) -> list[str]:
    """The lines that two processes of one training print, in order. They have the environment that torchrun gives."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    group = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    both = [start(settings, program, {**group, "RANK": str(rank), "LOCAL_RANK": str(rank)}) for rank in range(2)]
    lines = []
    for process in both:
        said, errors = process.communicate()
        assert process.returncode == 0, errors
        lines += said.splitlines()
    return sorted(lines)


def run_torchrun(settings: TrainSettings, start: Callable, program: str) -> list[str]:
    """The same by torchrun itself."""
    file = Path(str(settings.out)).parent / "program.py"
    file.write_text(training_program(settings, program))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(file)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return sorted(done.stdout.splitlines())


either = pytest.mark.parametrize("run", [run_two, pytest.param(run_torchrun, marks=pytest.mark.slow)])


@either
def test_two_processes_train_what_one_does(tiny: Tiny, start: Callable, tmp_path: Path, run: Callable) -> None:
    """One process takes a batch of 8 as two pieces of 4; of two processes each takes one of these pieces.

    BatchNorm then normalises the same pieces in both, and its running statistics move towards the mean over them. What
    is left is the order of float32 sums, which a few steps of a network of 18 layers enlarge: 1e-3 of what a tensor
    moved is allowed. (With one piece of 8 in one process BatchNorm would normalise another set of photographs, and the
    two trainings would be of equal worth but not equal.) Both stages run: the second in the first process alone.
    """
    settings = {"stage": "all", "micro_batch": 4, "iterations": 4, "lr": 0.001, "variants": ("wide_low",)}
    alone, both = (tiny(out=tmp_path / name, cache=tmp_path / f"cache-{name}", **settings) for name in ("one", "two"))
    said = run(both, start, "print(train(settings), torch.distributed.is_initialized())")
    assert said == [f"{both.out} False"] * 2
    train(alone)

    rows, others = (curve.read(settings.out / "curve.csv") for settings in (alone, both))
    assert len(rows) == 4 + 12
    for row, other in zip(rows, others, strict=True):
        assert (row["stage"], row["iteration"], row["lr"]) == (other["stage"], other["iteration"], other["lr"])
        assert float(row["loss"]) == pytest.approx(float(other["loss"]), rel=2e-3)
        if row["stage"] == "classify":
            assert row["val_accuracy"] == other["val_accuracy"]
    files = []
    for out in (alone.out, both.out):
        state = json.loads((out / "checkpoints/classify-last.json").read_bytes())
        files.append(load_file(out / "checkpoints" / state["file"]))
    torch.manual_seed(0)
    begin = {f"model.{name}": value for name, value in _network().state_dict().items()}
    for name, first in begin.items():
        if first.is_floating_point():
            moved, difference = (files[0][name] - first).abs().max(), (files[0][name] - files[1][name]).abs().max()
            assert moved > 0
            assert difference <= 1e-3 * moved, (name, float(difference), float(moved))


def _network() -> torch.nn.Module:
    from mfr_train.networks.resnet import Network

    return Network("resnet18", 7)


@either
def test_when_one_process_stops_the_others_say_so_without_a_traceback(
    tiny: Tiny, start: Callable, run: Callable
) -> None:
    settings = tiny(stage="classify", micro_batch=4, iterations=400)
    program = """
import os
if os.environ["RANK"] == "0":
    checkpoint.save = lambda *_: (_ for _ in ()).throw(MaskgenError("the disk is full."))
try:
    train(settings)
except MaskgenError as error:
    print(error, flush=True)
"""
    assert run(settings, start, program) == [
        "another process of this training stopped and reported why; fix that and run the same command again.",
        "the disk is full.",
    ]
