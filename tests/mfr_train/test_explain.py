"""`mfr explain` from end to end on the demo's photographs, with narrow networks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from PIL import Image

import maskgen
import mfr_train
from maskgen.errors import MaskgenError, UsageError
from mfr_train import figure
from mfr_train.cli.main import mfr
from mfr_train.evaluation.measurement import Measurement
from mfr_train.explaining import figures
from mfr_train.explaining.explanation import read_maps
from mfr_train.training.train import train
from mfr_train.training.train_settings import TrainSettings
from tests.support.narrow import use_narrow_networks

FILES = {"explanation.json", "maps.parquet", "shares.parquet"} | {
    f"{name}.{ending}" for name in ("people", "means", "curves") for ending in ("png", "svg", "pdf")
}


@pytest.fixture(autouse=True)
def coarse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures have few pixels, which are drawn faster: no test looks at one of them."""
    monkeypatch.setattr(figure, "DPI", 50)


@pytest.fixture(scope="module")
def trained(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shortest run. Tests only read it."""
    folder = tmp_path_factory.mktemp("trained")
    few = {"iterations": 1, "validate_every": 1, "embed_iterations": 1, "triplets": 2, "batch": 8, "dim": 16}
    small = {"recipe": "small", "input_size": 32, "workers": 0, "device": "cpu", "figures": "none"}
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_networks(patch)
        return train(TrainSettings(data=str(demo), out=folder / "run", cache=folder / "features", **few, **small))


@pytest.fixture
def run(trained: Path, one_thread: None, narrow: None) -> Path:
    return trained


def test_from_end_to_end(run: Path, demo: Path, tmp_path: Path, drawn: None) -> None:
    out = tmp_path / "explained"
    arguments = ["explain", str(run), "--data", str(demo), "--out", str(out), "--device", "cpu"]
    few = ["--photographs", "4", "--people", "2", "--curves", "1", "--steps", "2", "--patch", "0.5", "--stride", "0.5"]
    done = CliRunner().invoke(mfr, [*arguments, *few, "--bootstrap", "100", "--method", "gradcam"])
    assert done.exit_code == 0, done.output
    assert {path.name for path in out.iterdir()} == FILES
    assert "run (gradcam)" in done.output
    assert "4 subjects, 4 photographs" in done.output

    dataset = maskgen.open(demo)
    maps = read_maps(out / "maps.parquet")
    assert len({(row["key"], row["picture"]) for row in maps}) == len(maps) == 8
    told = json.loads((out / "explanation.json").read_text())
    expected: dict[str, list[float]] = {}
    for row in maps:
        shown = dataset[row["key"]]
        assert (row["height"], row["width"], row["subject"]) == (shown.height, shown.width, shown.identity)
        # A narrow ResNet at 32 x 32 has one position: its map is the same everywhere.
        assert np.ptp(row["map"]) <= 1e-6 * row["map"].max()
        expected.setdefault(row["picture"], []).append(float((shown.mask(row["mask"]) / 255).mean()))
    shares = {(each["model"], each["picture"], each["region"]): each for each in told["shares"]}
    for picture, areas in expected.items():
        assert shares["run", picture, "in_mask"]["value"] == pytest.approx(np.mean(areas), rel=1e-5)
    uniform = shares["uniform map", "both", "in_mask"]
    low, high = uniform["interval"]
    assert low <= uniform["value"] <= high
    assert shares["run", "masked - unmasked", "in_mask"]["value"] == pytest.approx(0, abs=1e-6)
    assert [each["similarities"][0] for each in told["faithfulness"] if each["curve"] == "deletion"] == [
        pytest.approx(1, abs=1e-5)
    ]
    table = pq.read_table(out / "shares.parquet")
    assert table.num_rows == 8
    assert table["in_mask"].to_pylist() == pytest.approx(table["in_mask_area"].to_pylist(), rel=1e-5)
    with Image.open(out / "people.png") as figure:
        assert figure.width > figure.height / 2


def test_two_models_are_compared_and_a_second_call_writes_the_same(
    run: Path, demo: Path, tmp_path: Path, drawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The figures as SVG alone, whose identifiers could be other ones; tests/mfr_train/test_plots.py writes each format
    twice."""
    monkeypatch.setattr(figures, "FORMATS", ("svg",))

    def explained(name: str) -> mfr_train.Explanation:
        return mfr_train.explain(
            run,
            run / "backbone.safetensors",
            data=demo,
            photographs=3,
            people=1,
            curves=0,
            patch=0.5,
            stride=0.5,
            mask="wide_high",
            bootstrap=100,
            out=tmp_path / name,
            device="cpu",
        )

    one, other = explained("one"), explained("other")
    assert [each.name for each in one.models] == ["run", "backbone"]
    assert [each.method for each in one.models] == ["occlusion", "occlusion"]
    assert not (tmp_path / "one" / "curves.svg").exists()
    assert any("pools 1 x 1 positions, too few" in note for note in one.notes)
    for name in ("maps.parquet", "shares.parquet", "people.svg", "means.svg"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes(), name
    first, second = (one.share(name, "masked", "in_mask") for name in ("run", "backbone"))
    assert first.versus_first is None
    assert isinstance(second.versus_first, Measurement)
    assert second.versus_first == pytest.approx(second.value - first.value)
    assert repr(other).startswith("<Explanation of run, backbone on ")
    with pytest.raises(KeyError):
        one.share("run", "masked", "nose")


def test_what_is_refused_with_one_sentence(run: Path, demo: Path, tmp_path: Path) -> None:
    run = Path(shutil.copytree(run, tmp_path / "run"))

    def refused(error: type[MaskgenError], words: str, *models: Path, **options: object) -> None:
        with pytest.raises(error, match=words):
            mfr_train.explain(*models, data=demo, device="cpu", out=tmp_path / "refused", **options)

    refused(UsageError, "is no finished run", tmp_path)
    refused(UsageError, "there is no file --model .*missing", tmp_path / "missing")
    refused(UsageError, "the model run .* is given twice", run, run)
    refused(UsageError, "--mask is 'nose'; choose random or one of wide_high", run, mask="nose")
    refused(UsageError, "--bootstrap is 3; give at least 100", run, bootstrap=3)
    refused(UsageError, "there is no setting 'photos'", run, photos=3)
    (tmp_path / "file").write_text("mine")
    with pytest.raises(MaskgenError, match=r"cannot write to .*file .*; give another --out"):
        mfr_train.explain(run, data=demo, photographs=1, curves=0, device="cpu", out=tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"
    (run / "backbone.safetensors").unlink()
    refused(UsageError, "lacks its network", run)
    assert not (tmp_path / "refused").exists()
