"""dlib's face network run by PyTorch, against dlib's own run of it: weights, alignment, features."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import dlib
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from safetensors.numpy import save_file

import maskgen
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging.detectors import model_path
from mfr_train.networks import dlib_network, dlib_weights, faces
from mfr_train.networks.backbone import Backbone, Floats
from mfr_train.networks.backbones import load_backbone
from mfr_train.networks.model import load_model

BEFORE = "3d9ba55471a0e91c61ba1e651201256c1c5d7705d4b97c3088f2c37d649af210"
"""The fingerprint of the time when dlib itself ran the network."""

Pixels = npt.NDArray[np.uint8]


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    return load_backbone("dlib")


@pytest.fixture(scope="module")
def data() -> bytes:
    return model_path(dlib_network.DLIB_MODEL).read_bytes()


@pytest.fixture(scope="module")
def descriptor() -> Callable[[Pixels, Floats], Floats]:
    """What dlib computes by itself from a picture and landmarks."""
    model = dlib.face_recognition_model_v1(str(model_path(dlib_network.DLIB_MODEL)))

    def compute(image: Pixels, landmarks: Floats) -> Floats:
        points = [dlib.point(int(x), int(y)) for x, y in np.rint(landmarks)]
        face = dlib.full_object_detection(dlib.rectangle(5, 5, 9, 9), points)
        return np.array(model.compute_face_descriptor(image, face), np.float32)

    return compute


def face_points() -> Floats:
    """68 points of a plain upright face about 100 pixels wide, centred at (112, 112)."""
    jaw = [(112 - 50 * np.cos(t), 100 + 60 * np.sin(t)) for t in np.linspace(0, np.pi, 17)]
    brows = [(x, 75) for x in np.linspace(70, 154, 10)]
    nose = [(112, y) for y in np.linspace(88, 112, 4)] + [(x, 120) for x in np.linspace(102, 122, 5)]
    eyes = [(x, y) for x0 in (90, 134) for x, y in ((x0 - 9, 92), (x0 - 3, 88), (x0 + 3, 88))]
    eyes = [*eyes[:3], (99, 92), (93, 96), (87, 96), *eyes[3:], (143, 92), (137, 96), (131, 96)]
    mouth = [(112 + 20 * np.cos(t), 142 + 8 * np.sin(t)) for t in np.linspace(np.pi, 3 * np.pi, 20)]
    return np.array(jaw + brows + nose + eyes + mouth, np.float32)


def test_alignment_undoes_a_turn_of_the_photograph() -> None:
    points = face_points()
    x, y = np.meshgrid(np.arange(224), np.arange(224))
    image = np.stack([x, y, (x + y) // 2], axis=2).astype(np.uint8)
    turned = np.rot90(image).copy()  # counter-clockwise: (x, y) -> (y, 223 - x)
    turned_points = np.stack([points[:, 1], 223 - points[:, 0]], axis=1)
    upright = faces.chip(image, points, 150)
    assert upright.shape == (150, 150, 3)
    difference = np.abs(faces.chip(turned, turned_points, 150).astype(int) - upright)
    assert np.median(difference) <= 2


def agree(
    backbone: Backbone,
    descriptor: Callable[[Pixels, Floats], Floats],
    pictures: list[Pixels],
    landmarks: Floats,
) -> None:
    found = backbone.features(pictures, landmarks)
    wanted = np.stack([descriptor(picture, points) for picture, points in zip(pictures, landmarks, strict=True)])
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)
    assert found.dtype == np.float32
    assert (np.abs(np.linalg.norm(found, axis=1) - 1) > 0.01).any(), "features keep their length"


def test_features_of_noise_are_dlibs(backbone: Backbone, descriptor: Callable[[Pixels, Floats], Floats]) -> None:
    noise = list(np.random.default_rng(1).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8))
    agree(backbone, descriptor, noise, np.stack([face_points(), face_points() + 3]))


def test_features_of_a_face_are_dlibs(
    backbone: Backbone,
    descriptor: Callable[[Pixels, Floats], Floats],
    takes: Callable[[int], bytes],
    landmarker: maskgen.Landmarker,
) -> None:
    pictures = [np.asarray(Image.open(io.BytesIO(takes(number)))) for number in range(4)]
    landmarks = np.stack([landmarker.find(picture).landmarks for picture in pictures])
    masked = [maskgen.draw(pictures[number], landmarks[number], "wide_high", (91, 146, 229)) for number in range(2)]
    agree(backbone, descriptor, [*pictures, *masked], np.concatenate([landmarks, landmarks[:2]]))


def test_features_of_many_people_are_dlibs(
    backbone: Backbone,
    descriptor: Callable[[Pixels, Floats], Floats],
    shared: Path,
    landmarker: maskgen.Landmarker,
) -> None:
    paths = sorted((shared / "faces").rglob("*.jpg"))[::8]
    pictures = [np.asarray(Image.open(path).convert("RGB")) for path in paths]
    faces = landmarker.find_all(pictures, [None] * len(pictures))
    found = [(picture, face) for picture, face in zip(pictures, faces, strict=True) if isinstance(face, maskgen.Face)]
    assert len(found) > 5
    agree(backbone, descriptor, [picture for picture, _ in found], np.stack([face.landmarks for _, face in found]))


def test_a_picture_has_the_same_features_alone_and_among_others(backbone: Backbone, head: Pixels) -> None:
    points = face_points()
    pictures = [np.roll(np.pad(head, ((22, 22), (22, 22), (0, 0))), 5 * number, axis=1) for number in range(9)]
    together = backbone.features(pictures, np.stack([points] * 9))
    alone = [backbone.features([picture], points[None]) for picture in pictures]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=0, atol=1e-5)
    assert np.abs(together[0] - together[8]).max() > 0.01


def test_numbers_are_read_as_dlib_writes_them() -> None:
    # 0xf59062 * 2^-17 is 122.782, the mean of red; then -3, 300 and 16 * 2^-4.
    reader = dlib_weights._Reader(bytes.fromhex("036290f58111 8103 022c01 0110 8104"))
    assert reader.real() == pytest.approx(122.782, abs=1e-5)
    assert (reader.integer(), reader.integer(), reader.real()) == (-3, 300, 1.0)
    with pytest.raises(ValueError, match="end early"):
        reader.integer()


HUGE = b"\x08" + b"\x7f" * 8
"""An integer of eight bytes."""

DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "another file": lambda data: b"nothing of the kind" * 99,
    "a half": lambda data: data[: len(data) // 2],
    "a byte less": lambda data: data[:-1],
    "a byte more": lambda data: data + b"0",
    "another loss": lambda data: data.replace(b"metric", b"hinge_", 1),
    "another layer": lambda data: data.replace(b"affine_", b"bn_con2", 1),
    "an unknown version": lambda data: data.replace(b"con_4", b"con_9", 1),
    "a size beyond memory": lambda data: data.replace(b"con_4\x01\x02\x02\x80\x12", b"con_4\x01\x02" + HUGE, 1),
    "a number beyond floats": lambda data: data.replace(b"\x81\x1c", HUGE, 1),
    "an integer of 15 bytes": lambda data: b"\x0f" + data,
    "no number": lambda data: data.replace(b"con_4\x01\x02\x02\x80\x12" + b"\x01" * 6 + b"ME\xf0\xbc",
                                           b"con_4\x01\x02\x02\x80\x12" + b"\x01" * 6 + b"\0\0\xc0\x7f", 1),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGE)
def test_another_file_is_one_sentence(
    tmp_path: Path, data: bytes, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / dlib_network.DLIB_MODEL
    path.write_bytes(DAMAGE[damage](data))
    assert path.read_bytes() != data
    monkeypatch.setattr(dlib_network, "model_path", lambda name: path)
    with pytest.raises(MaskgenError, match=r"\.dat is damaged; reinstall it with: pip install face_recognition_models"):
        dlib_network.dlib_backbone.__wrapped__("cpu")


def test_dlibs_other_models_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        dlib_weights.parse(model_path("mmod_human_face_detector.dat").read_bytes())


def test_flipped_bits_give_weights_or_a_value_error(data: bytes) -> None:
    generator = np.random.default_rng(0)
    refused = 0
    for place in generator.integers(0, 400, 40):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(generator.integers(8))
        try:
            dlib_weights.parse(bytes(damaged))
        except ValueError:
            refused += 1
    assert refused > 20


def run_of(folder: Path, fingerprint: str) -> Path:
    """A run whose embedding, the first 16 features, was trained on the network with that fingerprint."""
    folder.mkdir()
    tensors = {"weight": np.eye(16, 128, dtype=np.float32), "bias": np.zeros(16, np.float32)}
    save_file(tensors, folder / "embedding.safetensors", {"backbone": "dlib", "fingerprint": fingerprint})
    (folder / "settings.json").write_text('{"finished": true, "settings": {"stage": "embed", "data": "smfd"}}\n')
    return folder


def test_runs_trained_on_dlibs_own_run_of_the_network_load(tmp_path: Path, backbone: Backbone, head: Pixels) -> None:
    assert backbone.fingerprint != BEFORE, "features kept by earlier versions are not the same to the last bit"
    points = face_points()[None]
    feature = backbone.features([head], points)[0, :16]
    for name, fingerprint in {"before": BEFORE, "now": backbone.fingerprint}.items():
        model = load_model(run_of(tmp_path / name, fingerprint), device="cpu")
        found = model.embed([head], landmarks=points)[0]
        np.testing.assert_allclose(found, feature / np.linalg.norm(feature), atol=1e-5)
    with pytest.raises(UsageError, match="was trained on another dlib; train the run again"):
        load_model(run_of(tmp_path / "other", "0" * 64), device="cpu")
