"""mfr_train from Python: what importing it loads, its keywords, and the run, report and model that it returns."""

from __future__ import annotations

import base64
import csv
import doctest
import importlib
import pickle
import subprocess
import sys
import typing
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import maskgen
import mfr_train
from maskgen.errors import MaskgenError, UsageError
from maskgen.progress import bar_of
from mfr_train.ablation.ablate import AblateOptions
from mfr_train.data.feature_cache import embed_rows
from mfr_train.evaluation.evaluate import EvalOptions
from mfr_train.evaluation.report import COLUMNS
from mfr_train.evaluation.report_text import report_text
from mfr_train.keywords import AnyPath
from mfr_train.networks.model import load_run
from mfr_train.training.run import TrainOptions
from tests.support.narrow import use_narrow_networks


def python(program: str) -> str:
    """What a new Python process prints for a program."""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_it_loads_nothing_heavy() -> None:
    loaded = python("import sys, mfr_train; print(*sys.modules)").split()
    assert not {"numpy", "torch", "cv2", "dlib", "pyarrow", "click", "matplotlib", "tqdm"} & set(loaded)


def test_figures_need_numpy_only() -> None:
    program = """
import sys, mfr_train
from mfr_train.evaluation import metrics
found = mfr_train.figures([0.9, 0.8, 0.7, 0.3], [0.4, 0.2, 0.1])
print(found.auc == 11 / 12, found.eer.value, found.fmr100.value, found.gmean)
print(*sys.modules)
"""
    values, loaded = python(program).splitlines()
    assert values == "True 0.125 0.25 0.675"
    assert "numpy" in loaded.split()
    assert not {"torch", "cv2", "dlib", "pyarrow", "click", "matplotlib", "PIL", "tqdm"} & set(loaded.split())


def test_every_public_name_is_there_and_no_other() -> None:
    for name in mfr_train.__all__:
        assert getattr(mfr_train, name) is not None
    assert set(mfr_train.__all__) <= set(dir(mfr_train))
    assert mfr_train.__version__ == maskgen.__version__
    with pytest.raises(AttributeError, match="module 'mfr_train' has no attribute 'trian'"):
        mfr_train.trian  # noqa: B018


@pytest.mark.parametrize(
    "name",
    [
        "evaluation.evaluate", "evaluation.measurement", "evaluation.metrics", "evaluation.report", "networks.model",
        "training.curve", "training.run",
    ],
)  # fmt: skip
def test_the_examples_of_the_docstrings_are_true(name: str) -> None:
    module = importlib.import_module(f"mfr_train.{name}")
    assert doctest.testmod(module, raise_on_error=False).failed == 0
    assert any(found.examples for found in doctest.DocTestFinder().find(module))


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        (TrainOptions, mfr_train.TrainSettings),
        (EvalOptions, mfr_train.EvalSettings),
        (AblateOptions, mfr_train.AblateSettings),
    ],
)
def test_the_keywords_are_the_settings(options: type, settings: type) -> None:
    """With their types; a path can be text or path-like, a tuple any sequence."""
    wider = {
        Path: AnyPath,
        Path | None: AnyPath | None,
        tuple[str, ...]: Sequence[str],
        tuple[float, ...]: Sequence[float],
    }
    kinds = typing.get_type_hints(settings) | {"data": AnyPath}
    wanted = {field.name: wider.get(kinds[field.name], kinds[field.name]) for field in fields(settings)}
    assert typing.get_type_hints(options) == wanted


def test_a_wrong_keyword_is_told_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no setting 'recipie'; did you mean 'recipe'"):
        mfr_train.train(data="smfd", recipie="small")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="there is no setting 'modle'; did you mean 'model'"):
        mfr_train.evaluate(data="smfd", modle="dlib")  # type: ignore[call-arg]
    with pytest.raises(UsageError, match="seed is given beside EvalSettings; put it into the EvalSettings"):
        mfr_train.evaluate(mfr_train.EvalSettings(), seed=1)
    with pytest.raises(UsageError, match="settings are a str; give a TrainSettings, or keywords"):
        mfr_train.train("smfd")
    with pytest.raises(UsageError, match="--batch is 'many'; give int or None"):
        mfr_train.train(data="smfd", batch="many", out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module", autouse=True)
def narrow() -> Iterator[None]:
    """The run that is shared here has a network of few channels."""
    with pytest.MonkeyPatch.context() as patch:
        use_narrow_networks(patch)
        yield


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("<api> & more")


@pytest.fixture(scope="module")
def run(demo: Path, folder: Path) -> mfr_train.Run:
    """Both stages in seconds, from keywords: text for paths, a list for a tuple."""
    return mfr_train.train(
        data=demo, recipe="small", out=str(folder / "run"), input_size=32, batch=8, iterations=2, validate_every=2,
        log_every=1, triplets=20, embed_iterations=4, dim=16, workers=0, device="cpu", variants=["wide_low"],
        cache=str(folder / "features"),
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(demo: Path, folder: Path, run: mfr_train.Run) -> mfr_train.Report:
    return mfr_train.evaluate(
        data=demo, run=run, out=str(folder / "eval"), cache=folder / "features", bootstrap=100, workers=0, device="cpu"
    )


def test_a_run_is_its_folder_its_curve_and_its_model(run: mfr_train.Run, folder: Path) -> None:
    assert (run.folder, repr(run)) == (folder / "run", f"Run({str(folder / 'run')!r})")
    with (run.folder / "curve.csv").open() as file:
        table = list(csv.DictReader(file))
    assert [(row.stage, row.iteration, row.loss, row.lr) for row in run.curve] == [
        (row["stage"], int(row["iteration"]), float(row["loss"]), float(row["lr"])) for row in table
    ]
    accuracies = [float(row["val_accuracy"]) if row["val_accuracy"] else None for row in table]
    assert run.curve.column("val_accuracy") == accuracies
    assert accuracies[0] is None
    assert accuracies[1] is not None
    assert repr(run.curve) == "<LearningCurve of 6 rows: classify to step 2, embed to step 4>"
    assert run.curve.stage("embed").column("iteration") == [1, 2, 3, 4]
    frame = run.curve.to_pandas()
    assert list(frame.columns) == ["stage", "iteration", "loss", "lr", "val_accuracy"]
    assert frame["loss"].tolist() == run.curve.column("loss")
    with pytest.raises(UsageError, match="a curve has no column 'accuracy'; choose one of stage, iteration"):
        run.curve.column("accuracy")
    assert run.model is run.model
    assert run.model.fingerprint == load_run(run.folder).fingerprint
    with pytest.raises(UsageError, match=r"there is no learning curve .*none/curve\.csv"):
        mfr_train.Run(folder / "none").curve  # noqa: B018


def test_a_run_shows_its_curve_in_a_notebook(run: mfr_train.Run) -> None:
    text = run._repr_html_()
    start = text.index("base64,") + 7
    assert base64.b64decode(text[start : text.index('"', start)]) == (run.folder / "curve.png").read_bytes()
    assert "<td>classify</td><td>2</td>" in text
    assert "&lt;api&gt; &amp; more" in text
    assert "<api>" not in text


def test_a_report_gives_numbers_with_intervals(report: mfr_train.Report) -> None:
    row = report["U-M"]
    assert row is report.rows[1]
    assert row.intervals is not None
    for name, value in (
        ("fmr100", row.figures.fmr100.fnmr), ("fmr10", row.figures.fmr10.fnmr), ("eer", row.figures.eer.eer),
        ("auc", row.figures.auc), ("gmean", row.figures.gmean), ("imean", row.figures.imean),
        ("nearest_fmr100", row.figures.nearest_fmr100.fnmr),
    ):  # fmt: skip
        measured = getattr(row, name)
        assert (float(measured), measured.value) == (value, value)
        assert measured.interval == row.intervals.intervals[name]
    assert row.eer.threshold == row.figures.eer.threshold
    assert row.auc.threshold is None
    assert row.fmr100.few_errors is ("fmr100" in row.few)
    part = report["U-M", "wide_high"]
    assert (part.scenario, part.group) == ("U-M", "wide_high")
    assert part.gmean != row.gmean
    assert [("U-M" in report), ("U-M", "wide") in report, "U-X" in report] == [True, True, False]
    assert len(list(report)) == len(report.rows) + len(report.breakdown)
    with pytest.raises(UsageError, match="the report has no row 'M-U'; it has U-U, U-M, M-M, U-M wide_high"):
        report["M-U"]
    again = pickle.loads(pickle.dumps(row.eer))
    assert (again, again.interval, again.threshold) == (row.eer, row.eer.interval, row.eer.threshold)


def test_a_report_is_read_back_as_it_was(report: mfr_train.Report, tmp_path: Path) -> None:
    assert mfr_train.Report.load(report.out) == report
    assert mfr_train.Report.load(str(report.out / "report.json")) == report
    with pytest.raises(UsageError, match=r"cannot read the report .*none: No such file"):
        mfr_train.Report.load(tmp_path / "none")
    for number, text in enumerate(("[]", "{}", '{"settings": {}, "model": 3}', "no JSON")):
        (tmp_path / f"{number}.json").write_text(text)
        with pytest.raises(MaskgenError, match=r"\.json is not a report that `mfr eval` wrote; measure again"):
            mfr_train.Report.load(tmp_path / f"{number}.json")


def test_a_report_as_a_tidy_table(report: mfr_train.Report) -> None:
    frame = report.to_pandas()
    assert tuple(frame.columns) == COLUMNS
    whole = frame[frame["group"] == ""].set_index(["scenario", "figure"])
    for scenario in ("U-U", "U-M", "M-M"):
        eer = report[scenario].eer
        assert eer.interval is not None
        assert whole.loc[(scenario, "eer"), ["value", "low", "high"]].tolist() == [eer.value, *eer.interval]
        assert whole.loc[(scenario, "eer"), "genuine"] == report[scenario].figures.genuine
    (fixed, point), _ = report["U-M"].drift.items()
    assert fixed.threshold == report["U-U"].fmr100.threshold
    assert whole.loc[("U-M", "fnmr_at_uu_fmr100"), "value"] == point.fnmr
    assert whole.loc[("U-M", "fmr_at_uu_fmr100"), "value"] == point.fmr
    assert np.isnan(whole.loc[("U-M", "auc"), "threshold"])
    assert len(frame) == sum(14 + 2 * len(row.drift) for row in report)


def test_a_report_in_a_notebook_and_in_a_terminal(report: mfr_train.Report) -> None:
    hostile = replace(report, model="<script>alert(1)</script>", notes=["a < b", "\x1b[31m\n"], data="two\nlines")
    lines = report_text(hostile).splitlines()
    assert lines[0].startswith(r"<script>alert(1)</script> on two\nlines: ")
    assert lines[-2:] == ["Note: a < b", r"Note: \x1b[31m\n"]
    assert all(map(str.isprintable, lines))
    text = hostile._repr_html_()
    assert r"on two\nlines" in text
    assert r"<p>\x1b[31m\n</p>" in text
    assert "<script>" not in text
    assert "&lt;script&gt;" in text
    assert "a &lt; b" in text
    low, high = report["U-M"].eer.interval or (0, 0)
    star = "*" if report["U-M"].eer.few_errors else ""
    assert f"<td>{100 * report['U-M'].eer:.2f}{star} [{100 * low:.2f}, {100 * high:.2f}]</td>" in text
    assert repr(report).startswith("<Report 'run' on ")
    assert repr(report).endswith(f"M-M EER {100 * report['M-M'].eer.value:.2f} %>")
    assert len(repr(report)) < 400


def test_progress_shows_in_a_terminal_alone(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    with bar_of(total=2, desc="stage 1") as bar:
        bar.update(2)
    assert capfd.readouterr() == ("", "")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    with bar_of(total=2, desc="stage 1") as bar:
        bar.update(2)
    assert "stage 1: 100%" in capfd.readouterr().err


def test_two_subjects_have_figures_and_no_intervals(
    demo_tree: Path, make: Callable[..., Path], run: mfr_train.Run, tmp_path: Path
) -> None:
    for name in ("collins", "hopper"):
        (tmp_path / "two" / name).mkdir(parents=True)
        for path in sorted((demo_tree / name).iterdir())[:3]:
            (tmp_path / "two" / name / path.name).write_bytes(path.read_bytes())
    data = make(tmp_path / "two", tmp_path / "smfd", test_identities=1)
    found = mfr_train.evaluate(data=data, run=run, out=tmp_path / "eval", cache=tmp_path / "cache", breakdown=False)
    assert found["U-M"].eer.interval is None
    assert "[" not in repr(found["U-M"].eer)
    assert np.isnan(found.to_pandas()["low"]).all()
    assert mfr_train.Report.load(found.out) == found


def test_pictures_of_every_kind_become_the_embeddings_that_are_measured(
    run: mfr_train.Run, demo: Path, tmp_path: Path
) -> None:
    dataset = maskgen.open(demo)
    model = mfr_train.load_model(run, device="cpu")
    features = embed_rows(dataset, model.backbone, "val", ("unmasked",), None, workers=0)["unmasked"][:3]
    rows = list(dataset.rows("val"))[:3]
    images = [row.image("unmasked") for row in rows]
    wanted = model.project(features)
    np.testing.assert_allclose(model.embed(images), wanted, atol=1e-5)
    np.testing.assert_allclose(model.embed(np.stack(images)), wanted, atol=1e-5)
    np.testing.assert_allclose(model.embed(images[0]), wanted[:1], atol=1e-5)
    np.testing.assert_allclose(model.embed([Image.fromarray(image) for image in images]), wanted, atol=1e-5)
    for number, row in enumerate(rows):
        (tmp_path / f"{number}.jpg").write_bytes(row.jpeg("unmasked"))
    np.testing.assert_allclose(model.embed([tmp_path / f"{number}.jpg" for number in range(3)]), wanted, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(wanted, axis=1), 1, atol=1e-5)
    assert model.embed([]).shape == (0, 16)
    assert repr(model) == "<Model 'run': resnet18 on 32 x 32 pixels, embeddings of length 16>"


def test_pictures_that_cannot_be_embedded_are_one_sentence(run: mfr_train.Run, tmp_path: Path) -> None:
    wrong: list[Any] = [np.zeros((8, 8), np.uint8), np.zeros((8, 8, 3)), np.zeros((8, 8, 4), np.uint8)]
    for bad in wrong:
        with pytest.raises(UsageError, match=r"picture 1 is .*; give uint8 \(height, width, 3\) RGB"):
            run.model.embed([np.zeros((8, 8, 3), np.uint8), bad])
    with pytest.raises(UsageError, match=r"picture 0 cannot be embedded: the image is a int; give .*, or the path"):
        run.model.embed([3])  # type: ignore[list-item]
    with pytest.raises(UsageError, match=r"landmarks have shape \(68, 2\); give \(1, 68, 2\)"):
        run.model.embed([np.zeros((8, 8, 3), np.uint8)], landmarks=np.zeros((68, 2)))
    with pytest.raises(UsageError, match=r"cannot read the picture .*none\.jpg: No such file"):
        run.model.embed(tmp_path / "none.jpg")
    (tmp_path / "text.jpg").write_text("no picture")
    with pytest.raises(MaskgenError, match=r"the picture .*text\.jpg cannot be used \(not_an_image"):
        run.model.embed([tmp_path / "text.jpg"])


def test_a_network_that_aligns_faces_finds_their_landmarks(head: np.ndarray, landmarker: maskgen.Landmarker) -> None:
    model = mfr_train.load_model("dlib")
    face = landmarker.find(head)
    assert face is not None
    wanted = model.project(model.backbone.features([head], face.landmarks[None]))
    np.testing.assert_array_equal(model.embed([head]), wanted)
    np.testing.assert_array_equal(model.embed([head], landmarks=face.landmarks[None]), wanted)
    with pytest.raises(MaskgenError, match=r"picture 1 has no landmarks \(no_face\); leave it out, or give landmarks"):
        model.embed([head, np.full((90, 90, 3), 128, np.uint8)])
