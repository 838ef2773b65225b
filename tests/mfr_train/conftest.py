"""The demo's photographs as data sets, and short trainings on them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from matplotlib.figure import Figure
from safetensors.torch import load_file

from maskgen.cli.demo import write_demo
from mfr_train.data import decoders
from mfr_train.evaluation import scores
from mfr_train.figure import save
from mfr_train.training import train
from mfr_train.training.train_settings import TrainSettings
from tests.support.data_sets import make
from tests.support.narrow import use_narrow_networks
from tests.support.once import once
from tests.support.preloaded import PRELOADED, Program, training_program


@pytest.fixture(scope="session")
def demo_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """96 photographs of 12 people."""
    return once(tmp_path_factory, "demo", lambda folder: write_demo(folder / "photographs")) / "photographs"


@pytest.fixture(scope="session")
def demo(demo_tree: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """They as a small Parquet data set of rendered pictures. Tests only read it."""
    folder = once(
        tmp_path_factory, "demo-built", lambda folder: make(demo_tree, folder / "smfd", size=64, shard_size=12)
    )
    return folder / "smfd"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One thread, as the processes started by `start` have: their sums are then the same to the last bit."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def narrow() -> Iterator[None]:
    """Networks with few channels, here and in the processes started by `start`."""
    with pytest.MonkeyPatch.context() as patch:  # the test may undo its own
        use_narrow_networks(patch)
        yield


@pytest.fixture
def tiny(
    demo: Path, tmp_path: Path, one_thread: None, narrow: None, undrawn: pytest.MonkeyPatch
) -> Callable[..., TrainSettings]:
    """Settings of a training of a second: `tiny(lr=0.1)`. Run and cache lie in the test's own folder.

    Its curves are empty figures, which `undrawn.undo()` changes.
    """
    undrawn.setattr(train, "plot_curves", lambda table, plot, formats: save(Figure(), plot, formats))

    def make(**given: Any) -> TrainSettings:
        small = {
            "data": str(demo),
            "out": tmp_path / "run",
            "recipe": "small",
            "input_size": 32,
            "batch": 8,
            "iterations": 6,
            "validate_every": 2,
            "log_every": 1,
            "triplets": 20,
            "embed_iterations": 12,
            "dim": 16,
            "workers": 0,
            "device": "cpu",
            "cache": tmp_path / "features",
        }
        return TrainSettings(**(small | given))

    return make


@pytest.fixture
def wide_bins(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are counted in 16,384 bins, not in a million, which take a quarter of a second for each group."""
    monkeypatch.setattr(scores, "BINS", 2**14)


@pytest.fixture(scope="session", autouse=True)
def one_fork_server() -> Iterator[None]:
    """Processes that decode are forked from the process that programs of `start` are forked from."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoders, "PRELOADED", PRELOADED)
        yield


@pytest.fixture
def start() -> Iterator[Callable[..., Program]]:
    """Starts a program that has `train`, `settings` and narrow networks; it ends with the test at the latest.

    `environment` is added to its own.
    """
    running: list[Program] = []

    def begin(settings: TrainSettings, program: str, environment: dict[str, str] | None = None) -> Program:
        running.append(Program(training_program(settings, program), environment))
        return running[-1]

    yield begin
    for program in running:
        program.end()


@pytest.fixture(scope="session")
def run_state() -> Callable[[Path], dict[str, Any]]:
    """What two equal runs have in common: curve.csv, and every tensor of every safetensors file, as bytes."""

    def read(run: Path) -> dict[str, Any]:
        found: dict[str, Any] = {"curve": (run / "curve.csv").read_text()}
        for path in sorted(run.rglob("*.safetensors")):
            for name, tensor in load_file(path).items():
                found[f"{path.relative_to(run)} {name}"] = tensor.numpy().tobytes()
        return found

    return read
