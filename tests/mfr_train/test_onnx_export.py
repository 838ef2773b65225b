"""`mfr export`: the ONNX file gives the embeddings and the figures of the run, and says what it is."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from click.testing import CliRunner

import mfr_train
from maskgen.errors import MaskgenError, UsageError
from mfr_train.cli.main import mfr
from mfr_train.networks import onnx_export
from mfr_train.networks.module import FaceModule
from mfr_train.training.train_settings import TrainSettings
from tests.support import onnx_files
from tests.support.narrow import use_narrow_networks

Tiny = Callable[..., TrainSettings]
FIGURES = ("fmr100", "fmr10", "eer", "auc", "gmean", "imean")


def pictures(count: int = 5, size: int = 40) -> list[np.ndarray]:
    return list(np.random.default_rng(7).integers(0, 256, (count, size, size, 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def trained(demo: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A short run with a head, which is trained when it is first asked for. Tests only read it."""

    @functools.cache
    def train(head: str) -> Path:
        folder = tmp_path_factory.mktemp("trained")
        few = {"iterations": 2, "validate_every": 2, "embed_iterations": 4, "triplets": 20, "batch": 8, "dim": 16}
        small = {"recipe": "small", "input_size": 32, "workers": 0, "device": "cpu", "figures": "none"}
        with pytest.MonkeyPatch.context() as patch:
            use_narrow_networks(patch)
            out, cache = folder / "run", folder / "features"
            return mfr_train.train(data=str(demo), head=head, out=out, cache=cache, **few, **small).folder

    return train


@pytest.fixture
def run(trained: Callable[[str], Path], one_thread: None, narrow: None) -> mfr_train.Run:
    """A run with a linear head."""
    return mfr_train.Run(trained("linear"))


@pytest.mark.parametrize("head", ["linear", "eum"])
def test_the_file_has_the_figures_of_the_run(
    trained: Callable[[str], Path], tiny: Tiny, demo: Path, tmp_path: Path, head: str
) -> None:
    run = trained(head)
    file = mfr_train.export(run, tmp_path / "model.onnx")
    model, of_run = mfr_train.load_model(file, device="cpu"), mfr_train.load_model(run, device="cpu")
    assert model.dim == of_run.dim == (16 if head == "linear" else 64)
    assert (model.preprocessing.align, model.preprocessing.input_size) == ("none", 32)
    masked = np.array([True, False, True, True, False])
    for which in (False, masked):
        found, wanted = (each.embed(pictures(), masked=which) for each in (model, of_run))
        np.testing.assert_allclose(found, wanted, atol=1e-5)
    if head == "eum":  # which is applied to masked pictures alone
        with pytest.raises(UsageError, match="has an embedding for masked faces already"):
            mfr_train.train(tiny(weights=file, backbone=None, input_size=None, out=tmp_path / "more"))
        unmasked = of_run.embed(pictures())
        assert (np.abs(unmasked - wanted).max(axis=1) > 1e-3).tolist() == masked.tolist()
    common = {"data": demo, "bootstrap": 0, "breakdown": False, "workers": 0, "device": "cpu", "cache": tmp_path / "c"}
    common["figures"] = "none"
    reports = [
        mfr_train.evaluate(**common, **given, out=tmp_path / str(number))
        for number, given in enumerate(({"run": run}, {"model": str(file)}))
    ]
    for scenario in ("U-U", "U-M", "M-M"):
        first, second = (
            [getattr(report[scenario].figures, name) for name in ("auc", "gmean", "imean")] for report in reports
        )
        np.testing.assert_allclose(second, first, atol=1e-5)
        assert [float(getattr(reports[1][scenario], name)) for name in FIGURES[:3]] == pytest.approx(
            [float(getattr(reports[0][scenario], name)) for name in FIGURES[:3]], abs=1e-9
        )


def test_the_metadata_say_where_the_model_is_from(run: mfr_train.Run, tmp_path: Path) -> None:
    made = onnx.load(mfr_train.export(run, tmp_path / "model.onnx"))
    onnx.checker.check_model(made, full_check=True)
    facts = {entry.key: entry.value for entry in made.metadata_props}
    record = mfr_train.networks.run_files.record_of(run.folder)
    assert facts["mfr.dataset"] == record["dataset"]
    assert facts["mfr.run"] == facts["mfr.name"] == "run"
    assert facts["mfr.version"] == mfr_train.__version__
    assert facts["mfr.fingerprint"] == run.model.fingerprint
    assert "iBUG 300-W" in facts["mfr.licence"]
    assert (facts["mfr.input_size"], facts["mfr.align"], facts["mfr.colors"]) == ("32", "none", "rgb")
    assert facts["mfr.scaled_inside"] == "(x - (123.675, 116.28, 103.53)) / (58.395, 57.12, 57.375)"
    [shape] = [value.type.tensor_type.shape.dim for value in made.graph.input]
    assert [dim.dim_param or dim.dim_value for dim in shape] == ["N", 32, 32, 3]


def test_stage_1_alone_is_the_pooled_feature(run: mfr_train.Run, tmp_path: Path) -> None:
    model = mfr_train.load_model(mfr_train.export(run, tmp_path / "ce.onnx", stage="classify"), device="cpu")
    assert model.dim == 64
    wanted = mfr_train.load_model(str(run.folder / "backbone.safetensors"), device="cpu").embed(pictures())
    np.testing.assert_allclose(model.embed(pictures()), wanted, atol=1e-5)


def test_dlibs_network_is_exported_with_its_alignment(tmp_path: Path, takes: Callable[[int], bytes]) -> None:
    file = tmp_path / "dlib.onnx"
    done = CliRunner().invoke(mfr, ["export", "dlib", "-o", str(file)])
    assert done.exit_code == 0, done.output
    model, dlib = mfr_train.load_model(file, device="cpu"), mfr_train.load_model("dlib", device="cpu")
    assert model.preprocessing.align == "dlib"
    landmarks = np.random.default_rng(0).uniform(30, 150, (2, 68, 2))
    faces = pictures(2, 180)
    np.testing.assert_allclose(model.embed(faces, landmarks), dlib.embed(faces, landmarks), atol=1e-5)
    again = CliRunner().invoke(mfr, ["export", "dlib", "-o", str(file)])
    assert again.exit_code == 2
    assert "dlib.onnx exists; give another file, or delete it." in again.output


def test_a_file_that_differs_is_not_written(
    run: mfr_train.Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = onnx_export._graph

    def changed(model: mfr_train.Model) -> bytes:
        assert model.bias is not None
        return graph(dataclasses.replace(model, bias=model.bias + 0.05))

    monkeypatch.setattr(onnx_export, "_graph", changed)
    with pytest.raises(MaskgenError, match="would give other embeddings than run"):
        mfr_train.export(run, tmp_path / "model.onnx")
    assert not (tmp_path / "model.onnx").exists()


def test_a_network_that_is_no_torch_module_is_one_sentence(tmp_path: Path) -> None:
    file = onnx_files.save(tmp_path / "face.onnx", onnx_files.face_model())
    with pytest.raises(UsageError, match="model face is no PyTorch network"):
        mfr_train.export(file, tmp_path / "again.onnx")


@pytest.mark.parametrize(
    ("facts", "said"),
    [
        ({"mfr.align": "sideways"}, "metadata of the model .* are damaged: --align is 'sideways'"),
        ({"mfr.input_size": "9" * 30}, "are damaged: --input-size"),
        ({"mfr.input_size": "64"}, "say 64 pixels, and its input has 112"),
        ({"mfr.scale": "0"}, "are damaged: --scale"),
        ({"mfr.mean": "nan"}, "are damaged: --mean"),
        ({"mfr.flip_sum": "perhaps"}, "are damaged: --flip-sum"),
        ({"mfr.output": "other"}, "has no output 'other'"),
        ({"mfr.masked_output": "other"}, "name an output 'other' that it lacks"),
    ],
)
def test_metadata_of_strangers_are_checked_like_options(tmp_path: Path, facts: dict[str, str], said: str) -> None:
    made = onnx_files.face_model()
    onnx.helper.set_model_props(made, facts)
    with pytest.raises(UsageError, match=said):
        mfr_train.load_model(onnx_files.save(tmp_path / "face.onnx", made))


def test_metadata_are_defaults_that_options_override(tmp_path: Path) -> None:
    made = onnx_files.face_model(size=64)
    onnx.helper.set_model_props(made, {"mfr.align": "none", "mfr.mean": "10,20,30", "mfr.scale": "2.0"})
    file = onnx_files.save(tmp_path / "face.onnx", made)
    [face] = pictures(1, 64)
    for given, mean in (({}, (10, 20, 30)), ({"mean": 5.0}, 5)):
        wanted = onnx_files.quarters((face[None].astype(float) - mean) / 2)
        found = mfr_train.load_model(file, device="cpu", **given).embed([face])
        np.testing.assert_allclose(found, wanted / np.linalg.norm(wanted), atol=1e-6)


@pytest.mark.parametrize("head", ["linear", "eum"])
def test_the_module_gives_the_embeddings_and_gradients(
    trained: Callable[[str], Path], one_thread: None, narrow: None, head: str
) -> None:
    model = mfr_train.load_model(trained(head), device="cpu")
    assert isinstance(model.module, FaceModule)
    faces = torch.from_numpy(np.stack(pictures(4, 32)))
    masked = torch.tensor([True, False, False, True])
    wanted = model.embed(list(faces.numpy()), masked=masked.numpy())
    np.testing.assert_allclose(model.module(faces, masked), wanted, atol=1e-5)
    values = faces.double().float().requires_grad_()
    one, other = model.module(values)[:2]
    (one @ other).backward()
    assert values.grad is not None
    step = 0.5 / float(values.grad.abs().max())
    with torch.no_grad():  # the product falls along the gradient, by its length squared
        moved = model.module(values - 1e-3 * step * values.grad)[:2]
        fall = float(one @ other - moved[0] @ moved[1])
    assert fall == pytest.approx(1e-3 * step * float(values.grad.square().sum()), rel=0.05)
    with torch.no_grad():
        model.module.network.trunk.conv1.weight.zero_()  # a copy: the model stays
    np.testing.assert_array_equal(model.embed(list(faces.numpy()), masked=masked.numpy()), wanted)
