"""The mfr command as a user types it: from a built data set to figures, and one-sentence errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import maskgen
from maskgen.cli.demo import write_demo
from mfr_train.cli.main import mfr as mfr_command
from tests.support import pictures
from tests.support.narrow import use_narrow_networks


def run(*arguments: object) -> Result:
    return CliRunner().invoke(mfr_command, [str(argument) for argument in arguments])


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory, make: Callable[..., Path]) -> Path:
    """A folder with `smfd` in it, as a user has it after `maskgen build --out smfd`: four takes of each person."""
    folder = tmp_path_factory.mktemp("work")
    write_demo(folder / "photographs")
    for take in (5, 6, 7, 8):
        for path in folder.glob(f"photographs/*/{take:04d}_01.jpg"):
            path.unlink()
    make(folder / "photographs", folder / "smfd", size=64, shard_size=12, test_identities=0.5)
    return folder


TRAIN = ("train", "--recipe", "small", "--input-size", 32, "--iterations", 4, "--embed-iterations", 40)


def test_train_and_eval_need_no_other_argument_after_a_build(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a network of few channels. The figures of the training are drawn; test_evaluate draws those of a report."""
    use_narrow_networks(monkeypatch)
    monkeypatch.chdir(work)
    with pictures.drawn():
        trained = run(*TRAIN)
    assert trained.exit_code == 0, trained.output
    assert trained.output.startswith("runs/001 holds curve.png, curve.svg, backbone.safetensors, embedding.safetensors")
    lines = [line.split()[:2] for line in trained.output.splitlines()]
    assert [line for line in lines if line and line[0] in ("classify", "embed")] == [["classify", "4"], ["embed", "40"]]
    curve = (work / "runs/001/curve.png").read_bytes()
    assert curve.startswith(b"\x89PNG")
    assert len(curve) > 100 * len(pictures.PNG)

    measured = run("eval", "--scenario", "M-M", "--bootstrap", 100, "--all-tables")
    assert measured.exit_code == 0, measured.output
    report = json.loads(next(work.glob("runs/eval/001-smfd-*/report.json")).read_bytes())
    [found] = report["scenarios"]
    line = next(line for line in measured.output.splitlines() if line.startswith("M-M "))
    assert line.split()[3].rstrip("*") == f"{100 * found['figures']['eer']['eer']:.2f}"
    photographs = maskgen.open("smfd").count("test")
    assert found["figures"]["genuine"] + found["figures"]["impostor"] == photographs * (photographs - 1) / 2
    assert "At thresholds fixed on U-U" in measured.output
    assert "U-M" not in measured.output

    again = run(*TRAIN, "--out", "runs/001")
    assert again.exit_code == 0, again.output
    assert again.output == trained.output, "a finished run is only told again"


@pytest.mark.slow
def test_an_embedding_on_dlibs_network_is_the_newest_run(work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(work)
    arguments = ("--recipe", "small", "--backbone", "dlib", "--embed-iterations", 20, "--variants", "wide_high")
    trained = run("train", *arguments, "--out", "runs/head")
    assert trained.exit_code == 0, trained.output
    assert "classify" not in trained.output
    plain = run("eval", "--model", "dlib", "--scenario", "U-U", "--bootstrap", 0)
    newest = run("eval", "--scenario", "U-U", "--bootstrap", 0)
    assert plain.output.startswith("dlib on smfd: 6 subjects")
    assert newest.output.startswith("head on smfd: 6 subjects")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["train", "--data", "none"], 2, "there is no data set in none"),
        (["train", "--lr", "-1"], 2, "--lr is -1.0; give a number of at least 0"),
        (["train", "--variants", "huge"], 2, "smfd has no pictures 'huge'"),
        (["train", "--backbone", "dlib", "--stage", "classify"], 2, "use --stage embed"),
        (["train", "--stage", "embed"], 2, "give --weights a run or a file"),
        (["train", "--batch", "64", "--recipe", "small"], 2, "lower --batch"),
        (["eval", "--data", "none", "--model", "dlib"], 2, "there is no data set in none"),
        (["eval", "--run", "none"], 2, "none is no finished run"),
        (["eval", "--model", "resnet50"], 2, "has no weights of its own"),
        (["eval", "--model", "dlib", "--run", "x"], 2, "give one of them"),
        (["eval", "--protocol", "none.csv", "--model", "dlib"], 2, "cannot read the protocol table none.csv"),
    ],
)
def test_a_wrong_call_is_one_sentence(
    work: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], code: int, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smfd").symlink_to(work / "smfd")
    result = run(*arguments)
    assert (result.exit_code, result.exception.__class__) == (code, SystemExit), result.output
    assert words in result.output
    assert result.output.count("\n") == 1, result.output
    assert result.output.rstrip().endswith(".")
    assert not list(tmp_path.glob("runs/*")), "a wrong call leaves nothing behind"


def test_without_a_run_eval_says_what_to_do(work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "smfd").symlink_to(work / "smfd")
    result = run("eval")
    assert result.exit_code == 2
    assert "there is no trained run under runs/; run `mfr train`, or give --model dlib." in result.output


@pytest.mark.parametrize(("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE")])
def test_threads_sleep_while_they_wait_unless_told_otherwise(given: dict[str, str], found: str) -> None:
    program = "import mfr_train.cli.main, os, sys; print(os.environ['OMP_WAIT_POLICY'], 'torch' in sys.modules)"
    env = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, check=True)
    assert done.stdout == f"{found} False\n", "set before PyTorch is loaded, which reads it once"
