"""Runs on ONNX networks: how pictures are given to the network is kept in the run, and `mfr export` writes one file."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

import mfr_train
from maskgen.errors import UsageError
from mfr_train.training.train_settings import TrainSettings, filled

onnx = pytest.importorskip("onnx", reason="it makes the files")
pytest.importorskip("onnxruntime", reason="it runs ONNX files")

from tests.support.onnx_files import DIM, face_model, quarters, save  # noqa: E402

Tiny = Callable[..., TrainSettings]
OTHER: dict[str, Any] = {"colors": "bgr", "mean": "10,20,30", "scale": 50.0, "align": "none", "flip_sum": True}
SIDE = 32


@pytest.fixture
def tiny_onnx(tiny: Tiny) -> Tiny:
    def make(**given: Any) -> TrainSettings:
        return tiny(**{"backbone": None, "embed_iterations": 3, "input_size": SIDE} | given)

    return make


def network(folder: Path, layout: str = "nhwc") -> Path:
    """A network whose shape says neither its size nor its layout."""
    return save(folder / "net.onnx", face_model(SIDE, layout=layout, shape=["n", "a", "b", "c"]))


def pictures(count: int = 3) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8)


def by_hand(faces: np.ndarray) -> np.ndarray:
    """The features that `OTHER` asks for: BGR, scaled, those of the mirror image added."""
    one, mirrored = (quarters((each[..., ::-1] - [10.0, 20.0, 30.0]) / 50) for each in (faces, faces[:, :, ::-1]))
    return one + mirrored


def unit(values: np.ndarray) -> np.ndarray:
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_a_run_keeps_how_pictures_are_given_and_resumes(tiny_onnx: Tiny, tmp_path: Path) -> None:
    given = OTHER | {"layout": "nhwc", "weights": network(tmp_path)}
    run = mfr_train.train(tiny_onnx(**given))
    layer = load_file(run.folder / "embedding.safetensors")
    wanted = unit(by_hand(pictures()) @ layer["weight"].T.astype(float) + layer["bias"])
    np.testing.assert_allclose(run.model.embed(pictures()), wanted, atol=1e-4)
    pooled = mfr_train.load_model(run.folder, device="cpu", stage="classify")
    np.testing.assert_allclose(
        pooled.backbone.features(pictures(), np.zeros((3, 68, 2))), by_hand(pictures()), rtol=1e-4
    )
    [cached] = (tmp_path / "features").glob("*/*/train/unmasked.npy")
    assert np.load(cached).shape[1] == DIM
    record = json.loads((run.folder / "settings.json").read_text())["settings"]
    assert {name: record[name.replace("_", "-")] for name in OTHER} == OTHER | {"mean": [10.0, 20.0, 30.0]}
    assert "- `--colors`: bgr" in (run.folder / "README.md").read_text()

    before = (run.folder / "backbone.onnx").read_bytes()
    given["weights"].unlink()  # the run has its own copy
    longer = mfr_train.train(tiny_onnx(**given, embed_iterations=5))
    assert (longer.folder / "backbone.onnx").read_bytes() == before
    assert (longer.folder / "curve.csv").read_text().count("embed,") == 5
    with pytest.raises(UsageError, match=r"has colors \"bgr\" where this run has \"rgb\""):
        mfr_train.train(tiny_onnx(**given | {"colors": "rgb"}))


def test_without_options_the_network_is_copied_as_it_is(tiny_onnx: Tiny, tmp_path: Path) -> None:
    file = save(tmp_path / "net.onnx", face_model())
    run = mfr_train.train(tiny_onnx(weights=file, input_size=None))
    assert (run.folder / "backbone.onnx").read_bytes() == file.read_bytes()
    assert json.loads((run.folder / "settings.json").read_text())["settings"]["input-size"] is None
    assert "input-size" not in (run.folder / "README.md").read_text()


def test_a_run_of_an_earlier_version_is_resumed(tiny_onnx: Tiny, tmp_path: Path) -> None:
    """It recorded the recipe's input size, which the network did not have, and no preprocessing."""
    file = save(tmp_path / "net.onnx", face_model())
    run = mfr_train.train(tiny_onnx(weights=file, input_size=None))
    for path in (run.folder / "settings.json", *(run.folder / "checkpoints").glob("*.json")):
        there = json.loads(path.read_text())
        there["settings"] = {name: value for name, value in there["settings"].items() if name not in NEW}
        there["settings"]["input-size"] = 64
        path.write_text(json.dumps(there))
    longer = mfr_train.train(tiny_onnx(weights=file, input_size=None, embed_iterations=4))
    assert (longer.folder / "curve.csv").read_text().count("embed,") == 4


NEW = ("colors", "mean", "scale", "layout", "align", "flip-sum", "output")


def test_a_network_of_another_kind_takes_no_such_option() -> None:
    for backbone in ("resnet18", "dlib"):
        with pytest.raises(UsageError, match=rf"--flip-sum does not apply to {backbone}; leave it out\."):
            filled(TrainSettings(backbone=backbone, flip_sum=True))
    with pytest.raises(UsageError, match=r"--scale is '1,x'; give one number, or three with commas"):
        filled(TrainSettings(weights=Path("x.onnx"), scale="1,x"))


@pytest.mark.parametrize("head", ["linear", "eum"])
@pytest.mark.parametrize("layout", ["nchw", "nhwc"])
def test_an_export_has_the_embeddings_of_the_run(tiny_onnx: Tiny, tmp_path: Path, head: str, layout: str) -> None:
    run = mfr_train.train(tiny_onnx(**OTHER, layout=layout, weights=network(tmp_path, layout), head=head))
    file = mfr_train.export(run.folder, tmp_path / "model.onnx")
    onnx.checker.check_model(onnx.load(file), full_check=True)
    masked = np.array([True, False, True])
    found = mfr_train.load_model(file, device="cpu").embed(pictures(), masked=masked)
    np.testing.assert_allclose(found, run.model.embed(pictures(), masked=masked), atol=1e-5)
    if head == "eum":
        np.testing.assert_allclose(found[1], unit(by_hand(pictures()))[1], atol=1e-5)
        assert np.abs(found - unit(by_hand(pictures())))[masked].max() > 1e-2
    plain = mfr_train.export(run.folder, tmp_path / "plain.onnx", stage="classify")
    np.testing.assert_allclose(
        mfr_train.load_model(plain, device="cpu").embed(pictures()), unit(by_hand(pictures())), atol=1e-5
    )


@pytest.mark.parametrize("kind", ["UINT8", "FLOAT16"])
def test_an_export_casts_to_what_the_network_takes(tiny_onnx: Tiny, tmp_path: Path, kind: str) -> None:
    file = save(tmp_path / "net.onnx", face_model(SIDE, kind=getattr(onnx.TensorProto, kind), opset=13))
    run = mfr_train.train(tiny_onnx(weights=file, align="none"))
    found = mfr_train.load_model(mfr_train.export(run.folder, tmp_path / "model.onnx"), device="cpu")
    np.testing.assert_allclose(found.embed(pictures()), run.model.embed(pictures()), atol=1e-5)


def test_a_network_of_a_fixed_batch_is_not_exported(tiny_onnx: Tiny, tmp_path: Path) -> None:
    run = mfr_train.train(tiny_onnx(weights=save(tmp_path / "net.onnx", face_model(SIDE, batch=2)), align="none"))
    with pytest.raises(UsageError, match=r"takes a fixed number of pictures, and cannot be exported\."):
        mfr_train.export(run.folder, tmp_path / "model.onnx")
