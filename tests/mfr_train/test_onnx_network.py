"""ONNX face networks: PyTorch's own numbers through onnxruntime, on faces aligned to ArcFace's template."""

from __future__ import annotations

import hashlib
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.numpy import save_file
from torch import nn

import maskgen
from maskgen.imaging import align
from mfr_train.data.feature_cache import embed_rows
from mfr_train.evaluation.eval_settings import EvalSettings
from mfr_train.evaluation.evaluate import evaluate
from mfr_train.networks import onnx_network
from mfr_train.networks.backbones import load_backbone
from mfr_train.networks.model import load_run
from mfr_train.networks.preprocessing import Preprocessing
from mfr_train.training.train import TrainSettings, train

pytest.importorskip("onnx", reason="PyTorch writes ONNX files with it")
pytest.importorskip("onnxruntime", reason="it runs ONNX files")


class Embedder(nn.Module):
    """A small network with what face networks are made of."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 8, 3, 4), nn.BatchNorm2d(8), nn.PReLU(8), nn.Conv2d(8, 4, 3, 4), nn.Flatten()
        )
        self.head = nn.Linear(4 * 7 * 7, 16)

    def forward(self, faces: torch.Tensor) -> torch.Tensor:
        result: torch.Tensor = self.head(self.body(faces))
        return result


def export(network: nn.Module, path: Path, side: int = 112, several: bool = True) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the exporter that is to replace this one
        axes = {"faces": {0: "n"}} if several else None
        torch.onnx.export(
            network.eval(),
            (torch.zeros(1, 3, side, side),),
            path,
            dynamo=False,
            input_names=["faces"],
            dynamic_axes=axes,
        )
    return path


@pytest.fixture(scope="module")
def network() -> Embedder:
    torch.manual_seed(0)
    return Embedder()


@pytest.mark.parametrize("several", [True, False])
def test_embeddings_are_those_of_pytorch(
    network: Embedder, astronaut: np.ndarray, landmarker: maskgen.Landmarker, tmp_path: Path, several: bool
) -> None:
    backbone = onnx_network.load(export(network, tmp_path / "net.onnx", several=several))
    assert (backbone.dim, backbone.aligns_faces) == (16, True)
    face = landmarker.find(astronaut)
    assert face
    images, landmarks = [astronaut, astronaut[:, ::-1], astronaut], np.stack([face.landmarks] * 3)
    faces = np.stack([align.aligned(image, points) for image, points in zip(images, landmarks, strict=True)])
    pixels = (torch.from_numpy(faces).permute(0, 3, 1, 2).float() - 127.5) / 127.5
    with torch.inference_mode():
        wanted = network(pixels).numpy()
    found = backbone.features(images, landmarks)
    np.testing.assert_allclose(found, wanted, atol=1e-5)
    assert np.abs(found[0] - found[1]).max() > 1e-3


def test_an_aligned_face_has_its_points_where_arcface_wants_them(
    astronaut: np.ndarray, landmarker: maskgen.Landmarker
) -> None:
    face = landmarker.find(astronaut)
    assert face
    for angle, scale in ((0, 1.0), (35, 0.6), (-160, 1.4)):
        turn = cv2.getRotationMatrix2D((220.0, 120.0), angle, scale)
        turned = cv2.warpAffine(astronaut, turn, (512, 512))
        landmarks = face.landmarks @ turn[:, :2].T + turn[:, 2]
        matrix = align.similarity(align.five_points(landmarks), align.PLACES)
        placed = align.five_points(landmarks) @ matrix[:, :2].T + matrix[:, 2]
        assert np.abs(placed - align.PLACES).max() < 6
        upright = align.aligned(astronaut, face.landmarks).astype(float)
        assert np.abs(align.aligned(turned, landmarks) - upright)[20:100, 20:92].mean() < 12


@given(turn=st.floats(-3, 3), scale=st.floats(0.1, 10), move=st.tuples(st.floats(-500, 500), st.floats(-500, 500)))
def test_a_similarity_is_found_again(turn: float, scale: float, move: tuple[float, float]) -> None:
    wanted = np.array(
        [
            [scale * np.cos(turn), -scale * np.sin(turn), move[0]],
            [scale * np.sin(turn), scale * np.cos(turn), move[1]],
        ]
    )
    target = align.PLACES @ wanted[:, :2].T + wanted[:, 2]
    np.testing.assert_allclose(align.similarity(align.PLACES, target), wanted, atol=1e-6)


def test_an_onnx_network_is_measured_and_gets_an_embedding(
    network: Embedder,
    tiny: Callable[..., TrainSettings],
    demo_tree: Path,
    make: Callable[..., Path],
    tmp_path: Path,
) -> None:
    """From the command's settings on: its features come from aligned faces, and the run carries the network along."""
    for person in sorted(demo_tree.iterdir())[:6]:
        shutil.copytree(person, tmp_path / "photographs" / person.name)
    data = make(tmp_path / "photographs", tmp_path / "smfd", size=0, shard_size=12)
    path, cache = export(network, tmp_path / "net.onnx"), tmp_path / "features"
    kept = {"data": str(data), "scenario": "U-M", "breakdown": False, "bootstrap": 0, "cache": cache}
    before = evaluate(EvalSettings(model=str(path), out=tmp_path / "before", **kept)).rows[0].figures
    rows = list(maskgen.open(data).rows("test"))
    backbone = load_backbone(str(path))
    wanted = backbone.features([row.image("wide_high") for row in rows], np.stack([row.landmarks for row in rows]))
    found = embed_rows(maskgen.open(data), backbone, "test", ("wide_high",), None)["wide_high"]
    np.testing.assert_allclose(found, wanted, atol=1e-5)

    settings = tiny(data=str(data), backbone=None, weights=path, input_size=None, embed_iterations=30, embed_lr=0.1)
    run = train(settings)
    assert (run / "backbone.onnx").read_bytes() == path.read_bytes()
    path.unlink()
    model = load_run(run)
    assert (model.backbone.name, model.backbone.dim, model.dim) == ("onnx", 16, 16)
    after = evaluate(EvalSettings(run=run, out=tmp_path / "after", **kept)).rows[0].figures
    assert (after.genuine, after.impostor) == (before.genuine, before.impostor)
    assert after.auc != before.auc


def test_other_weights_have_another_hash(network: Embedder, tmp_path: Path) -> None:
    torch.manual_seed(1)
    one, other = export(network, tmp_path / "one.onnx"), export(Embedder(), tmp_path / "other.onnx")
    prints = [onnx_network.load(path).fingerprint for path in (one, one, other)]
    assert prints[0] == prints[1] != prints[2]


def test_an_embedding_trained_when_opencv_ran_the_network_fits(network: Embedder, tmp_path: Path) -> None:
    """Such a run holds the hash of that time, of the usual preprocessing."""
    run = tmp_path / "run"
    run.mkdir()
    path = export(network, run / "backbone.onnx")
    before = hashlib.sha256(b"arcface 112 " + path.read_bytes()).hexdigest()
    (run / "settings.json").write_text('{"finished": true}')
    weight = np.eye(4, 16, dtype=np.float32)
    facts = {"backbone": "onnx", "fingerprint": before}
    save_file({"weight": weight, "bias": np.zeros(4, np.float32)}, run / "embedding.safetensors", facts)
    assert load_run(run).dim == 4
    assert before not in onnx_network.load(path, Preprocessing(scale=128.0)).fingerprints
