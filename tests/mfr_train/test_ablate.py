"""`mfr ablate`: what it trains and measures, that it resumes, what it refuses, and the numbers in its tables."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import maskgen
import mfr_train
from maskgen.errors import MaskgenError, UsageError
from mfr_train import figure as style
from mfr_train.ablation import ablate as ablating
from mfr_train.ablation import ablation_files, kinds, measured
from mfr_train.ablation.ablate_settings import AblateSettings, seeds_of, wanted_rows
from mfr_train.cli.main import mfr
from mfr_train.comparison import paired
from mfr_train.comparison.conclusions import corrected
from mfr_train.comparison.paired import Difference
from mfr_train.data import feature_cache
from mfr_train.defaults import SCENARIOS
from mfr_train.evaluation import inputs
from mfr_train.evaluation.drawn import Drawn
from mfr_train.evaluation.no_errors import Trials
from mfr_train.networks.model import load_model
from mfr_train.training import embed
from mfr_train.training import train as training
from mfr_train.training.train import train
from mfr_train.training.train_settings import TrainSettings
from tests.support.narrow import use_narrow_networks

FIGURES = kinds.FIGURES


@pytest.fixture(scope="module")
def trained(demo, tmp_path_factory) -> Path:
    """A folder with a narrow network that was trained for six steps, and the features that it gave so far."""
    folder = tmp_path_factory.mktemp("trained")
    few = {"input_size": 32, "batch": 8, "iterations": 6, "validate_every": 2, "workers": 0, "device": "cpu"}
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_networks(patch)
        train(TrainSettings(data=str(demo), out=folder / "network", recipe="small", stage="classify", **few))
    return folder


@pytest.fixture
def given(trained, demo, tmp_path, one_thread, narrow) -> dict[str, Any]:
    """Settings of an ablation on the trained network, with two seeds."""
    return {
        "data": str(demo),
        "out": tmp_path / "ablation",
        "weights": trained / "network",
        "recipe": "small",
        "seeds": "0,1",
        "triplets": 20,
        "embed_iterations": 5,
        "dim": 16,
        "bootstrap": 160,
        "figures": "none",
        "cache": trained / "features",
        "workers": 0,
        "device": "cpu",
    }


@pytest.fixture
def no_training(monkeypatch):
    """Calling it forbids every training and measurement from then on."""

    def forbid() -> None:
        def fail(*_: object) -> None:
            raise AssertionError("trains or measures again")

        monkeypatch.setattr(ablating, "train", fail)
        monkeypatch.setattr(measured, "measured", fail)

    return forbid


def table(path: Path) -> dict[str, dict[str, str]]:
    with path.open(newline="") as file:
        return {row["row"]: row for row in csv.DictReader(file)}


def test_rows_have_the_figures_that_an_evaluation_of_their_runs_has(given, tmp_path, no_training, drawn, monkeypatch):
    """Also of EUM, which changes masked pictures only, and of CE, the network without a second stage.

    The ablation's figures are drawn with few pixels, and those of its runs are not.
    """
    monkeypatch.setattr(training, "plot_curves", lambda *_: None)
    monkeypatch.setattr(style, "DPI", 50)
    rows = "ce,tl+mse,eum+srt"
    found = mfr_train.ablate(**given | {"rows": rows, "mse_weight": [10.0, 30.0], "figures": "png", "bootstrap": 240})
    assert [row.label for row in found.rows] == ["CE", "CE+TL+10 MSE", "CE+TL+30 MSE", "CE+EUM+SRT"]
    assert sorted(path.name for path in (found.out / "runs").iterdir()) == sorted(
        f"{name}-{seed}" for name in ("tl+10mse", "tl+30mse", "eum+srt") for seed in (0, 1)
    )

    network = given["weights"] / "backbone.safetensors"
    models = {(0, 0): {"model": str(network)}} | {
        (number, seed): {"run": found.rows[number].runs[seed]} for number in (1, 2, 3) for seed in (0, 1)
    }
    for (number, seed), model in models.items():
        report = mfr_train.evaluate(
            data=given["data"], breakdown=False, bootstrap=0, figures="none", keep_scores="none",
            out=tmp_path / "report", cache=given["cache"], workers=0, device="cpu", **model,
        )  # fmt: skip
        assert report.fingerprint == found.rows[number].fingerprints[seed]
        for scenario in ("U-U", "U-M", "M-M"):
            for figure in FIGURES:
                expected = getattr(report[scenario], figure).value
                assert found.rows[number].values(scenario, figure)[seed] == expected, (number, scenario, figure)
    labels = [row.label for row in found.rows]
    assert found.rows[3].values("U-U", "auc") == 2 * found.rows[0].values("U-U", "auc")  # no masks: EUM does nothing
    assert found.rows[3].values("U-M", "gmean") != 2 * found.rows[0].values("U-M", "gmean")

    means = table(found.out / "U-M.csv")
    steps = table(found.out / "U-M_differences.csv")
    ranges = table(found.out / "U-M_seeds.csv")
    for number, label in enumerate(labels):
        values = found.rows[number].values("U-M", "eer")
        assert float(means[label]["eer"]) == pytest.approx(sum(values) / len(values))
        assert int(means[label]["runs"]) == len(values) == (2 if number else 1)
        assert float(means[label]["eer_low"]) <= float(means[label]["eer"]) <= float(means[label]["eer_high"])
        if number:
            assert float(ranges[f"{label}, lowest"]["eer"]) == min(values)
            assert float(ranges[f"{label}, highest"]["eer"]) == max(values)
            before = found.rows[number - 1].values("U-M", "eer")
            assert steps[label]["above"] == labels[number - 1]
            assert float(steps[label]["eer"]) == pytest.approx(np.mean(values) - np.mean(before))
    assert [sentence[:3] for sentence in found.conclusions] == ["U-M"] * 3 + ["M-M"] * 3
    assert all("CE+TL" in sentence or "CE+EUM" in sentence for sentence in found.conclusions)
    there = json.loads((found.out / "ablation.json").read_text())
    assert there["rows"][1]["scenarios"]["M-M"]["figures"]["auc"]["runs"] == found.rows[1].values("M-M", "auc")
    assert there["conclusions"] == found.conclusions
    assert {"det-U-U.png", "det-U-M.png", "det-M-M.png", "by-row.png"} <= {path.name for path in found.out.iterdir()}
    assert (found.out / "tables.tex").read_text().count(
        "CE+TL+30 MSE &"
    ) == 3 * 3  # its mean, its difference, and that of the row below


def test_a_network_on_its_own_row_equals_ce(given):
    """The same network as --model: no figure differs from that of CE in any resample."""
    found = mfr_train.ablate(**given | {"rows": "ce,tl", "model": [str(given["weights"])], "seeds": "3"})
    assert [row.label for row in found.rows] == ["network", "CE", "CE+TL"]
    assert found.rows[0].fingerprints == found.rows[1].fingerprints
    for each in found.differences:
        if each.system == "CE":
            assert (each.value, each.low, each.high, each.p) == (0, 0, 0, 1)
    assert "cannot be told" in found.conclusions[0]
    assert [path.name for path in found.rows[2].runs] == ["tl-3"]
    assert load_model(found.rows[2].runs[0]).dim == 16


def test_an_interrupted_call_is_resumed_and_trains_nothing_again(given, monkeypatch, no_training):
    whole = mfr_train.ablate(**given | {"rows": "ce,tl", "out": given["out"].with_name("whole")})
    trained: list[Path] = []

    def stop_at_the_second(settings: object) -> Path:
        if trained:
            raise KeyboardInterrupt
        trained.append(train(settings))
        return trained[0]

    with monkeypatch.context() as patch:
        patch.setattr(ablating, "train", stop_at_the_second)
        with pytest.raises(KeyboardInterrupt):
            mfr_train.ablate(**given | {"rows": "ce,tl"})
    before = (trained[0] / "embedding.safetensors").stat().st_mtime_ns
    parts = mfr_train.ablate(**given | {"rows": "ce,tl"})
    assert (trained[0] / "embedding.safetensors").stat().st_mtime_ns == before
    assert [row.fingerprints for row in parts.rows] == [row.fingerprints for row in whole.rows]
    assert parts.conclusions == whole.conclusions
    assert parts.differences == whole.differences

    no_training()
    again = mfr_train.ablate(**given | {"rows": "ce,tl"})
    assert again.differences == parts.differences
    assert (again.out / "ablation.json").read_text() == (whole.out / "ablation.json").read_text().replace(
        "whole", "ablation"
    )
    fewer = mfr_train.ablate(**given | {"rows": "ce,tl", "seeds": "1"})  # seeds and rows may be chosen anew
    assert fewer.rows[1].fingerprints == parts.rows[1].fingerprints[1:]


def test_lambda_is_chosen_without_a_test_picture_and_stands_in_the_table(given, monkeypatch, no_training):
    """The chosen row is the one that the same lambda gives, and the choice depends on training splits alone."""
    read: list[str] = []

    def embed_rows(dataset, backbone, split, *arguments):
        read.append(split)
        return feature_cache.embed_rows(dataset, backbone, split, *arguments)

    monkeypatch.setattr(training, "embed_rows", embed_rows)
    monkeypatch.setattr(inputs, "embed_chosen", lambda *_: pytest.fail("measures test people before lambda is chosen"))
    call = given | {"rows": "tl+mse", "seeds": "1", "mse_weight": [10.0, 1000.0], "choose_mse_weight": True}
    with monkeypatch.context() as patch:
        patch.setattr(ablating, "train", lambda *_: pytest.fail("chosen"))
        with pytest.raises(pytest.fail.Exception, match="chosen"):
            mfr_train.ablate(**call, figure="eer")
    assert set(read) == {"train", "val"}
    monkeypatch.undo()

    found = mfr_train.ablate(**call, figure="eer")
    choice = found.choice
    assert choice.values.keys() == {10, 1000}
    assert choice.weight == min(choice.values, key=lambda weight: (sum(choice.values[weight]), weight))
    assert choice.identities == len(maskgen.open(given["data"]).info["identities"])
    assert [row.label for row in found.rows] == [f"CE+TL+{choice.weight:g} MSE"]
    assert [path.name for path in found.rows[0].runs] == [f"tl+{choice.weight:g}mse-1"]
    there = json.loads((found.out / "ablation.json").read_text())
    assert there["choice"]["weight"] == choice.weight
    assert [each["halves"] for each in there["choice"]["candidates"]] == [list(each) for each in choice.values.values()]
    with (found.out / "choice.csv").open(newline="") as file:
        rows = {row["weight"]: row for row in csv.DictReader(file)}
    assert {row["weight"]: row["chosen"] for row in rows.values()}[f"{choice.weight:g}"] == "chosen"
    assert float(rows["1000"]["eer"]) == pytest.approx(np.mean(choice.values[1000]))
    text = "\n".join(ablation_files.text(found))
    assert f"Lambda {choice.weight:g} was chosen by EER of U-M" in text
    assert "The network was trained on these people, too" in text

    no_training()
    monkeypatch.setattr(embed, "step_loss", lambda *_: pytest.fail("trains again"))
    again = mfr_train.ablate(**call, figure="eer")
    assert again.choice == choice
    given_weight = mfr_train.ablate(**given | {"rows": "tl+mse", "seeds": "1", "mse_weight": [choice.weight]})
    assert given_weight.rows[0].fingerprints == found.rows[0].fingerprints
    assert json.loads((found.out / "ablation.json").read_text())["choice"] is None


def test_the_published_optimiser_of_eum_is_given_to_its_training(given):
    options = {"triplets": 8, "embed_lr": 0.1, "embed_nesterov": True, "embed_lr_drop": 2, "margin": 1.5}
    found = mfr_train.ablate(**given | options | {"rows": "eum+srt", "seeds": "0"})
    made = json.loads((found.rows[0].runs[0] / "settings.json").read_text())["settings"]
    assert {name: made[name.replace("_", "-")] for name in options} == options
    with (found.rows[0].runs[0] / "curve.csv").open(newline="") as file:
        assert float(list(csv.DictReader(file))[-1]["lr"]) == pytest.approx(0.1 / 100)


def test_an_ablation_of_an_earlier_version_is_resumed(given, no_training):
    """It recorded none of the settings that were added since."""
    first = mfr_train.ablate(**given | {"rows": "tl", "seeds": "0"})
    path = first.out / "ablation-settings.json"
    there = json.loads(path.read_text())
    for name in ("embed-nesterov", "embed-lr-drop", "margin"):
        del there["settings"][name]
    path.write_text(json.dumps(there))
    no_training()
    assert mfr_train.ablate(**given | {"rows": "tl", "seeds": "0"}).rows[0].fingerprints == first.rows[0].fingerprints
    with pytest.raises(UsageError, match=r"was begun with --margin unset, not 0\.5"):
        mfr_train.ablate(**given | {"rows": "tl", "seeds": "0", "margin": 0.5})


def test_damaged_kept_figures_are_measured_again(given):
    first = mfr_train.ablate(**given | {"rows": "ce,tl", "seeds": "0"})
    for path, damage in zip(sorted((first.out / "measured").iterdir()), (b"", b"PK\x03\x04 no more"), strict=True):
        path.write_bytes(damage)
    assert mfr_train.ablate(**given | {"rows": "ce,tl", "seeds": "0"}).differences == first.differences


def test_kept_figures_that_say_they_are_encrypted_are_measured_again(tmp_path):
    path = tmp_path / "kept.npz"
    np.savez(path, told=np.array('{"facts": {}}'))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 8] |= 1  # flags of the member, in the directory of the archive
    path.write_bytes(data)
    assert measured.kept(path, {}) is None


def test_another_setting_or_network_is_refused(given, tiny, tmp_path):
    mfr_train.ablate(**given | {"rows": "tl", "seeds": "0"})
    with pytest.raises(UsageError, match=r"was begun with --embed-iterations 5, not 6; give the same, or --out"):
        mfr_train.ablate(**given | {"rows": "tl", "seeds": "0", "embed_iterations": 6})
    with pytest.raises(UsageError, match=r"was begun with --seed 0, not 4"):
        mfr_train.ablate(**given | {"rows": "tl", "seeds": "0", "seed": 4})
    other = train(tiny(stage="classify", out=tmp_path / "other", iterations=2, seed=1))
    with pytest.raises(UsageError, match=r"was begun with another network"):
        mfr_train.ablate(**given | {"rows": "tl", "weights": other})
    with pytest.raises(UsageError, match=r"network is not an ablation and not empty"):
        mfr_train.ablate(**given | {"out": given["weights"]})


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"weights": None}, r"needs a trained network: give --weights a run or a file, or --backbone dlib\."),
        ({"backbone": "dlib"}, r"dlib's network has weights of its own; leave --weights out\."),
        ({"rows": "ce"}, r"--rows names no row to train; add one of tl, tl\+mse, eum\+tl, eum\+srt\."),
        ({"rows": "tl,mse"}, r"--rows has 'mse'; give a list of ce, tl"),
        ({"rows": "tl,tl"}, r"--rows has tl twice"),
        ({"seeds": "0,x"}, r"--seeds is '0,x'; give a list of whole numbers"),
        ({"seeds": "1,01"}, r"--seeds is '1,01', which has a number twice"),
        ({"mse_weight": (0.0,)}, r"--mse-weight is 0; give a number above 0: without MSE it is the row tl\."),
        ({"mse_weight": (30.0, 30.0)}, r"--mse-weight gives a number twice"),
        ({"choose_mse_weight": True, "rows": "ce,tl"}, r"--choose-mse-weight is for the row tl\+mse; add it to --rows"),
        ({"choose_mse_weight": True, "mse_weight": (3.0,)}, r"--choose-mse-weight has one --mse-weight to choose from"),
        ({"choose_mse_weight": True, "split": "val"}, r"on the training identities, whom --split val measures"),
        ({"embed_nesterov": True, "momentum": 0.0}, r"--embed-nesterov needs a --momentum above 0"),
        ({"model": ("dlib", "dlib")}, r"--model gives a model twice"),
        ({"bootstrap": 100}, r"--bootstrap 100 cannot show any difference in 4 conclusions; give at least 160\."),
        ({"figures": "bmp"}, r"--figures is 'bmp'"),
        ({"rows": "eum+srt", "triplets": 1}, r"--head eum has BatchNorm"),
    ],
)
def test_a_wrong_call_is_one_sentence_and_makes_nothing(demo, tmp_path, changes, sentence):
    given = {"out": tmp_path / "new", "data": str(demo), "weights": tmp_path / "x.safetensors"}
    with pytest.raises(UsageError, match=sentence):
        mfr_train.ablate(**given | changes)
    assert not (tmp_path / "new").exists()


def test_lists_are_read_in_their_order():
    settings = AblateSettings(out=Path("x"), rows="eum+tl, ce", seeds="7, 0")
    assert wanted_rows(settings) == ["eum+tl", "ce"]
    assert seeds_of(settings) == [7, 0]


def test_a_mean_over_seeds_is_taken_in_each_resample():
    one = Drawn({"eer": 0.1}, {"eer": np.array([0.1, 0.3])})
    other = Drawn({"eer": 0.2}, {"eer": np.array([0.3, 0.1])})
    mean = measured.averaged([one, other])
    assert mean.values["eer"] == pytest.approx(0.15)
    assert mean.draws["eer"].tolist() == pytest.approx([0.2, 0.2])  # what one seed loses the other gains


def test_a_rate_without_errors_has_an_exact_limit():
    """Of 20 subjects without an error: 1 - 0.05^(1/20) = 13.9 % (the rule of three), though each resample has none."""
    zeros = dict.fromkeys(FIGURES, np.zeros(9))
    drawn = Drawn(dict.fromkeys(FIGURES, 0.0), zeros, np.ones((9, 20)), trials=Trials(20, 10))
    found = measured.Found({"U-U": measured.Measured(drawn, None, ())}, 20, ())
    row = ablating.AblationRow("CE+TL", (), ("0", "1"), (found, found))
    assert row.interval("U-U", "fmr100") == (0, pytest.approx(0.1391, abs=1e-4))
    assert row.interval("U-U", "gmean") == (0, 0)


def test_p_values_are_corrected_for_the_conclusions_alone():
    def difference(scenario: str, figure: str, p: float) -> Difference:
        return Difference(scenario, "b", figure, 0.1, 0.0, 0.2, p)

    found = [difference("U-U", "eer", 0.001), difference("U-M", "eer", 0.02), difference("M-M", "eer", 0.03)]
    found.append(difference("U-M", "auc", 0.001))
    adjusted = [each.adjusted_p for each in corrected(found, "eer", ("U-M", "M-M"))]
    assert adjusted == [None, pytest.approx(0.04), pytest.approx(0.04), None]
    assert [each.adjusted_p for each in corrected(found, "eer", SCENARIOS)] == [
        pytest.approx(0.003), pytest.approx(0.04), pytest.approx(0.04), None,
    ]  # fmt: skip


def test_the_command_prints_the_tables_and_says_how_to_resume(given, monkeypatch):
    arguments = ["ablate", "--rows", "ce,tl"]
    for name, value in given.items():
        arguments += [f"--{name.replace('_', '-')}", str(value)]
    done = CliRunner().invoke(mfr, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert "U-M, mean over the runs of each row:" in done.output
    assert "GMean   IMean     AUC  EER %" in " ".join(done.output.split(" "))
    assert "U-M: " in done.output
    assert "p-values are corrected for 2 conclusions (Holm)." in done.output
    assert "CE is the feature of" in done.output

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(ablating, "train", stop)
    done = CliRunner().invoke(mfr, [*arguments, "--seeds", "5"])
    assert done.exit_code == 130
    assert "run the same command again to resume" in done.output


def test_a_config_file_runs_no_code(tmp_path):
    (tmp_path / "x.toml").write_text(f'out = "{tmp_path / "o"}"\nbackbone = "dlib"\nmodel = ["os:getcwd"]\n')
    done = CliRunner().invoke(mfr, ["ablate", "--config", str(tmp_path / "x.toml")])
    assert done.exit_code == 2
    assert "--config sets model to 'os:getcwd', which is run as code" in done.output


def test_two_people_give_no_intervals_and_no_conclusions():
    drawn = Drawn(dict.fromkeys(FIGURES, 0.5), {figure: np.empty(0) for figure in FIGURES})
    found = measured.Found({name: measured.Measured(drawn, None, ()) for name in ("U-U", "U-M", "M-M")}, 2, ())
    rows = [ablating.AblationRow(name, (), ("0",), (found,)) for name in ("CE", "CE+TL")]
    assert list(ablating._differences(rows)) == []
    made = ablating.Ablation(AblateSettings(out=Path("x")), rows, [], [], 2, [])
    tables = ablation_files.tables(made)
    assert [each.name for each in tables] == ["U-U", "U-M", "M-M"]
    assert all(cell.interval is None for each in tables for row in each.rows for cell in row[2:])
    assert paired.holm({}) == {}
    with pytest.raises(MaskgenError, match="two rows are called CE"):
        ablating._check_labels([rows[0], rows[0]])
