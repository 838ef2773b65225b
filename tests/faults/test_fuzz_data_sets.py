"""Mutated files of data sets, runs and models of strangers: an answer or one sentence, and nothing written outside."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import maskgen
from maskgen.cli.preview import write_sheets
from maskgen.errors import MaskgenError
from maskgen.sources.listing import photographs
from maskgen.sources.reader import Reader
from tests.support.fuzz import REPORT, Cases, one_sentence
from tests.support.once import once


def attempts(path: Path, mutations: list[bytes], read: Callable[[], object]) -> int:
    """Reads each mutation of a file. Returns how many could be read; the others ended in one sentence."""
    data, good = path.read_bytes(), 0
    for mutation in mutations:
        path.write_bytes(mutation)
        try:
            read()
        except MaskgenError as error:
            one_sentence(error)
        else:
            good += 1
    path.write_bytes(data)
    read()
    return good


@pytest.fixture(scope="session")
def webdataset(tree: Path, tmp_path_factory: pytest.TempPathFactory, shape: dict[str, Any]) -> Path:
    """The same photographs in tars alone, as a recipe."""
    options = {**shape, "format": "webdataset", "store": "recipe"}

    def build(folder: Path) -> None:
        maskgen.build(src=tree, out=folder / "smfd", engine="serial", **options)

    return once(tmp_path_factory, "tars", build) / "smfd"


def rows(out: Path) -> int:
    found = 0
    for row in maskgen.open(out).rows("train"):
        row.image("wide_high")
        found += 1
    return found


@pytest.mark.parametrize(
    ("reader", "name"),
    [
        ("dataset.json", "dataset.json"),
        ("marker", "__markers/train-00000.json"),
        ("plan.parquet", "plan.parquet"),
        ("shard in Parquet", "train/00000.parquet"),
    ],
)
def test_files_of_a_data_set(whole: Path, tmp_path: Path, cases: Cases, reader: str, name: str) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "smfd"))
    attempts(out / name, cases((out / name).read_bytes(), reader), lambda: rows(out))
    assert len(list(maskgen.open(out))) == 27


def test_shards_in_tars(webdataset: Path, tmp_path: Path, cases: Cases) -> None:
    out = Path(shutil.copytree(webdataset, tmp_path / "smfd"))
    path = out / "train" / "00000.tar"
    good = attempts(path, cases(path.read_bytes(), "shard in tar"), lambda: rows(out))
    assert good, "some mutations do no harm"


def test_rejects(whole: Path, tmp_path: Path, cases: Cases) -> None:
    out = Path(shutil.copytree(whole, tmp_path / "smfd"))
    path = out / "rejects.parquet"
    attempts(
        path,
        cases(path.read_bytes(), "rejects.parquet"),
        lambda: write_sheets([str(out)], tmp_path / "sheet.png", limit=1),
    )


def test_parquet_of_photographs(tmp_path: Path, cases: Cases) -> None:
    path = tmp_path / "faces.parquet"
    images = [{"bytes": bytes([number]) * 40, "path": f"{number}.jpg"} for number in range(6)]
    pq.write_table(pa.table({"image": images, "label": ["ann", "bob"] * 3}), path)

    def read() -> None:
        found = list(photographs(path))
        with Reader(str(path)) as reader:
            for entry in found:
                if not entry.problem:
                    assert len(reader.read(entry._asdict())) == entry.bytes

    attempts(path, cases(path.read_bytes(), "Parquet of photographs"), read)


@pytest.fixture(scope="session")
def networks() -> None:
    """Loads PyTorch, which takes memory and time that no case is to blame for."""
    pytest.importorskip("torch")
    import mfr_train.evaluation.outputs
    import mfr_train.evaluation.report
    import mfr_train.training.curve  # noqa: F401


def test_reports(networks: None, tmp_path: Path, cases: Cases) -> None:
    from mfr_train.evaluation.report import Report
    from mfr_train.evaluation.report_text import report_text

    path = tmp_path / "report.json"
    path.write_text(REPORT)

    def read() -> None:
        report = Report.load(path)
        assert "<script" not in report._repr_html_()
        assert repr(report).isprintable()
        assert report_text(report).replace("\n", "").isprintable()
        json.dumps(report.as_json(), allow_nan=False)

    assert attempts(path, cases(path.read_bytes(), "report.json"), read)


@pytest.fixture
def evaluation(networks: None, tmp_path: Path) -> Path:
    """An evaluation of made-up embeddings of 12 people, with its scores."""
    import mfr_train

    chance = np.random.default_rng(0)
    subjects, masked = [f"p{number // 4}" for number in range(48)], [number % 2 for number in range(48)]
    vectors, images = chance.normal(size=(48, 8)), [f"{number // 2}.jpg" for number in range(48)]
    np.savez(tmp_path / "given.npz", subject=subjects, masked=masked, image=images, embedding=vectors)
    out = tmp_path / "eval"
    mfr_train.evaluate(embeddings=tmp_path / "given.npz", scenario="U-M", bootstrap=0, figures="none", out=out)
    return out


def test_scores_of_an_evaluation(evaluation: Path, cases: Cases) -> None:
    from mfr_train.comparison.scored_pairs import read_scores
    from mfr_train.evaluation.report import Report

    report, path = Report.load(evaluation), evaluation / "U-M.parquet"

    def read() -> None:
        found = read_scores(report, "U-M")
        assert np.isfinite(found.scores).all()
        same = np.array(found.subjects)[found.first] == np.array(found.subjects)[found.second]
        assert np.array_equal(found.genuine, same)

    attempts(path, cases(path.read_bytes(), "scores of an evaluation"), read)


def test_figures_of_an_ablation(networks: None, tmp_path: Path, cases: Cases) -> None:
    """Whatever became of the file, its figures are those that were kept, or they are measured again."""
    from mfr_train.ablation.kinds import FIGURES
    from mfr_train.ablation.measured import Found, Measured, keep, kept
    from mfr_train.evaluation.curves import Curve
    from mfr_train.evaluation.drawn import Drawn
    from mfr_train.evaluation.no_errors import Trials

    values = dict.fromkeys(FIGURES, 0.25)
    ends = np.array([0.0, 1.0])
    each = Measured(
        Drawn(
            values,
            {name: np.full(100, 0.25) for name in FIGURES},
            np.ones((100, 9)),
            dict.fromkeys(FIGURES, 0.1),
            Trials(3, 5),
        ),
        Curve(genuine=3.0, impostor=5.0, thresholds=ends, fmr=ends[::-1], fnmr=ends),
        ("eer",),
    )
    path = tmp_path / "tl-0.npz"
    keep(path, Found({"U-U": each, "U-M": each, "M-M": each}, 9, ("one",)), {"seed": 1})

    def read() -> None:
        found = kept(path, {"seed": 1})
        assert found is None or found.scenarios.keys() == {"U-U", "U-M", "M-M"}

    mutations = cases(path.read_bytes(), "figures of an ablation")
    assert attempts(path, mutations, read) == len(mutations)


@pytest.fixture(scope="session")
def trained(networks: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with an embedding on dlib's network, as `mfr train` leaves it."""
    from safetensors.numpy import save_file

    from mfr_train.networks.backbones import load_backbone

    def write(folder: Path) -> None:
        facts = {"backbone": "dlib", "fingerprint": load_backbone("dlib").fingerprint}
        tensors = {"weight": np.eye(16, 128, dtype=np.float32), "bias": np.zeros(16, np.float32)}
        save_file(tensors, folder / "embedding.safetensors", facts)
        (folder / "settings.json").write_text('{"finished": true, "settings": {"stage": "all", "data": "smfd"}}\n')
        (folder / "identities.json").write_text('["ann", "bob"]\n')

    return once(tmp_path_factory, "trained", write)


@pytest.mark.parametrize("name", ["settings.json", "identities.json"])
def test_records_of_runs(trained: Path, tmp_path: Path, cases: Cases, name: str) -> None:
    from mfr_train.networks.run_files import identities_of, newest_run, record_of

    run = Path(shutil.copytree(trained, tmp_path / "runs" / "001"))

    def read() -> None:
        assert newest_run(tmp_path / "runs") == run
        assert isinstance(record_of(run), dict)
        assert all(isinstance(identity, str) for identity in identities_of(run))

    data = (run / name).read_bytes()
    mutations = cases(data, "settings.json and identities.json", parts=2)
    assert attempts(run / name, mutations, read) == len(mutations), "what cannot be read counts as unknown"


def test_embeddings_of_runs(trained: Path, tmp_path: Path, cases: Cases) -> None:
    from mfr_train.networks.model import load_run

    run = Path(shutil.copytree(trained, tmp_path / "run"))
    path = run / "embedding.safetensors"
    attempts(path, cases(path.read_bytes(), "embedding in safetensors"), lambda: load_run(run).project(np.eye(1, 128)))


def test_an_onnx_file_without_an_output_is_one_sentence(networks: None, tmp_path: Path) -> None:
    """Found by fuzzing. Mutated ONNX files are no target here: what runs them may crash on some (SECURITY.md)."""
    pytest.importorskip("onnxruntime")
    pytest.importorskip("onnx")
    from mfr_train.networks.onnx_network import load
    from tests.support.onnx_files import DIM, face_model, save

    path = tmp_path / "faces.onnx"
    assert load(save(path, face_model())).dim == DIM
    model = face_model()
    del model.graph.output[:]
    with pytest.raises(MaskgenError) as caught:
        load(save(path, model))
    one_sentence(caught.value)


def test_learning_curves(networks: None, tmp_path: Path, cases: Cases) -> None:
    from mfr_train.training.curve import Curve, learning_curve

    path = tmp_path / "curve.csv"
    path.write_text("stage,iteration,loss,lr,val_accuracy\nclassify,5,1.5,0.1,\nclassify,10,0.5,0.1,0.75\n")

    def read() -> None:
        before = path.read_bytes()
        Curve(path, "embed").close()
        assert not [line for line in io.StringIO(path.read_text()) if line.startswith(("=", "+", "-", "@", "\t"))]
        path.write_bytes(before)
        learning_curve(path)

    assert attempts(path, cases(path.read_bytes(), "learning curve"), read)
