"""`--loss module:function`: what the function gets, what a resumed run accepts, and its errors."""

from __future__ import annotations

import itertools
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner

import mfr_train
from maskgen.errors import MaskgenError, UsageError
from mfr_train.cli.main import mfr
from mfr_train.training import own_loss
from mfr_train.training.train_settings import TrainSettings, filled
from tests.support.narrow import use_narrow_networks

Tiny = Callable[..., TrainSettings]
NUMBERS = itertools.count()

TRIPLET = """
from torch.nn.functional import relu

def loss(anchor, positive, negative, margin):
    assert anchor.shape == positive.shape == negative.shape
    near, far = ((anchor - other).square().sum(dim=1) for other in (positive, negative))
    return relu(near - far + margin).mean()
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], str]:
    """Writes a module into the working folder; its name."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))

    def write(text: str, name: str = "") -> str:
        name = name or f"own_loss_{next(NUMBERS)}"
        Path(f"{name}.py").write_text(text)
        sys.modules.pop(name, None)
        own_loss._loaded.cache_clear()
        return name

    return write


@pytest.fixture(scope="module")
def network(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Settings that train stage 2 alone, on a narrow network and the features that it gave so far."""
    folder = tmp_path_factory.mktemp("network")
    few = {"input_size": 32, "batch": 8, "iterations": 1, "workers": 0, "device": "cpu", "figures": "none"}
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_networks(patch)
        run = mfr_train.train(data=str(demo), out=folder / "run", recipe="small", stage="classify", **few)
    return {"stage": "embed", "weights": run.folder, "cache": folder / "features", "figures": "none"}


def test_a_triplet_loss_of_ones_own_trains_as_ours(
    tiny: Tiny, network: dict[str, object], tmp_path: Path, module: Callable[..., str]
) -> None:
    common = {**network, "margin": 0.3}
    ours = mfr_train.train(tiny(loss="triplet", out=tmp_path / "ours", **common))
    name = module(TRIPLET)
    run = mfr_train.train(tiny(loss=f"{name}:loss", out=tmp_path / "own", **common))
    assert run.curve == ours.curve
    record = json.loads((run.folder / "settings.json").read_bytes())
    state = json.loads((run.folder / "checkpoints/embed-last.json").read_bytes())
    assert record["settings"]["loss"] == state["settings"]["loss"] == f"{name}:loss"
    assert record["loss_sha256"] == state["loss_sha256"]
    assert f"`{name}:loss`" in (run.folder / "README.md").read_text()


def test_a_run_does_not_resume_with_another_source(
    tiny: Tiny, network: dict[str, object], module: Callable[..., str]
) -> None:
    name = module(TRIPLET)
    run = mfr_train.train(tiny(loss=f"{name}:loss", **network))
    longer = tiny(loss=f"{name}:loss", embed_iterations=16, **network)
    module(TRIPLET.replace("relu(near", "2 * relu(near"), name)
    with pytest.raises(UsageError, match=f"module of --loss {name}:loss has changed since .*run began with it"):
        mfr_train.train(longer)
    record = json.loads((run.folder / "settings.json").read_bytes())
    del record["loss_sha256"]  # the checkpoints know it too
    (run.folder / "settings.json").write_text(json.dumps(record))
    with pytest.raises(UsageError, match="has loss_sha256"):
        mfr_train.train(longer)
    module(TRIPLET, name)
    assert mfr_train.train(longer).curve.stage("embed")[-1].iteration == 16
    with pytest.raises(UsageError, match="triplet"):
        mfr_train.train(tiny(embed_iterations=16, **network))  # with ours


@pytest.mark.parametrize(
    ("body", "error", "said"),
    [
        ("return anchor.relax()", MaskgenError, r"the loss .*:loss failed: AttributeError: .*line 3\); fix it"),
        ("return (anchor - positive).square()", MaskgenError, r"gives a tensor of shape \(20, 16\); it must give one"),
        ("return 0.5", MaskgenError, "gives float; it must give one number"),
        ("return (anchor - positive).square().sum().detach()", MaskgenError, "does not depend on the embeddings"),
    ],
)
def test_a_loss_that_is_none_is_one_sentence(
    tiny: Tiny, network: dict[str, object], module: Callable[..., str], body: str, error: type[Exception], said: str
) -> None:
    name = module(f"\ndef loss(anchor, positive, negative, margin):\n    {body}\n")
    with pytest.raises(error, match=said):
        mfr_train.train(tiny(loss=f"{name}:loss", **network))


def test_a_function_that_is_not_there_makes_no_run(tiny: Tiny, module: Callable[..., str]) -> None:
    name = module(TRIPLET)
    for loss, said in (
        (f"{name}:other", "has no function 'other'; it has relu, loss"),
        ("no_such_module_here:loss", "there is no module 'no_such_module_here' for --loss"),
        ("hinge", r"--loss is 'hinge'; choose one of triplet\+mse, triplet, srt, or give MODULE:FUNCTION"),
    ):
        settings = tiny(loss=loss)
        with pytest.raises(UsageError, match=said):
            mfr_train.train(settings)
        assert not settings.out.exists()
    assert filled(TrainSettings(loss=f"{name}:loss")).margin == 0.2


def test_a_config_file_does_not_choose_code(module: Callable[..., str]) -> None:
    name = module("raise SystemExit('was run')")
    Path("c.toml").write_text(f'loss = "{name}:loss"\n')
    done = CliRunner().invoke(mfr, ["train", "--config", "c.toml"])
    assert done.exit_code == 2
    assert f"--config sets loss to '{name}:loss', which is run as code" in done.output
    assert name not in sys.modules
