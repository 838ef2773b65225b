"""The detectors, alone and one after the other, on real faces that the HOG detector misses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
import pytest

import maskgen
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging.detectors import CNN_SIDE, HOG_MODEL, Cnn, Hog
from tests.support.faces import encoded
from tests.support.forked import use_forked_workers


def test_the_packaged_detector_is_that_of_dlib(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dlib.get_frontal_face_detector().save(str(tmp_path / "dlibs.svm"))
    assert HOG_MODEL.read_bytes() == (tmp_path / "dlibs.svm").read_bytes()
    (tmp_path / "other.svm").write_bytes(b"of another version")
    monkeypatch.setattr("maskgen.imaging.detectors.HOG_MODEL", tmp_path / "other.svm")
    Hog()._detect.save(str(tmp_path / "again.svm"))
    assert HOG_MODEL.read_bytes() == (tmp_path / "again.svm").read_bytes()


@pytest.fixture(scope="module")
def masked(head: np.ndarray, landmarker: maskgen.Landmarker) -> np.ndarray:
    """The face with a mask that the HOG detector does not see through."""
    face = landmarker.find(head)
    assert face is not None
    picture = maskgen.draw(head, face.landmarks, "wide_high", (255, 255, 255))
    assert landmarker.find(picture) is None
    return picture


def errors(found: maskgen.Face | None, true: maskgen.Face | None, points: slice) -> float:
    """The mean distance of landmarks over that between the eyes."""
    assert found is not None
    assert true is not None
    eyes = true.landmarks[36:42].mean(axis=0) - true.landmarks[42:48].mean(axis=0)
    return float(np.linalg.norm(found.landmarks - true.landmarks, axis=1)[points].mean() / np.linalg.norm(eyes))


EYES = slice(36, 48)


def test_a_later_detector_finds_what_an_earlier_one_misses(
    head: np.ndarray, masked: np.ndarray, landmarker: maskgen.Landmarker
) -> None:
    both = maskgen.Landmarker(detector="hog,cnn")
    true = landmarker.find(head)
    assert errors(both.find(masked), true, EYES) < 0.12, "eyes are visible above the mask"
    same = both.find(head)
    assert same is not None
    assert true is not None
    np.testing.assert_array_equal(same.landmarks, true.landmarks, "the first detector's face is taken")


def test_a_later_detector_is_asked_only_if_needed(head: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cnn, "find", lambda *_: pytest.fail("the second detector ran"))
    assert maskgen.Landmarker(detector=("hog", "cnn"), face="central").find(head) is not None


def test_boxes_of_a_copy_are_in_pixels_of_the_photograph(head: np.ndarray, landmarker: maskgen.Landmarker) -> None:
    face = landmarker.find(head)
    assert face is not None
    points = np.add(face.landmarks[36:], (300, 100))  # eyes and mouth, where the face lies in the canvas
    canvas = np.full((300, 500, 3), 90, np.uint8)
    canvas[100:280, 300:480] = head
    grey = cv2.cvtColor(canvas, cv2.COLOR_RGB2GRAY)
    for boxes in (Hog().find(canvas, grey, 500), Cnn().find(canvas, grey, CNN_SIDE)):
        [(left, top, right, bottom)] = boxes
        assert (left, top) < tuple(points.min(axis=0))
        assert (right, bottom) > tuple(points.max(axis=0))
        assert np.abs([(left + right) / 2, (top + bottom) / 2] - points.mean(axis=0)).max() < 15
        assert right - left < 2 * np.ptp(points[:, 0])


def test_yunet_finds_a_masked_face(
    shared: Path, head: np.ndarray, masked: np.ndarray, landmarker: maskgen.Landmarker, capfd: Any
) -> None:
    [model] = (shared / "networks").glob("face_detection_yunet*.onnx")
    yunet = maskgen.Landmarker(detector="yunet", detector_model=model)
    true = landmarker.find(head)
    assert errors(yunet.find(head), true, slice(0, 68)) < 0.06
    assert errors(yunet.find(masked), true, EYES) < 0.12
    assert yunet.find(np.full((80, 60), 7, np.uint8)) is None, "grey, and no face"
    assert capfd.readouterr() == ("", ""), "OpenCV prints nothing"


def test_rejects_of_hog_are_rows_with_yunet_by_any_number_of_workers(
    shared: Path, masked: np.ndarray, head: np.ndarray, write_tree: Any, tmp_path: Path, rejects: Any, make: Any,
    hashes: Any, monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    use_forked_workers(monkeypatch)
    [model] = (shared / "networks").glob("face_detection_yunet*.onnx")
    src = write_tree(
        tmp_path / "src", {"ann/1.png": encoded(masked, "PNG"), "ann/2.png": encoded(head, "PNG"), "bob/1.png": b"x"}
    )
    settings = {"detector": "hog,yunet", "detector_model": model, "shard_size": 1, "test_identities": 0}
    one, two = (make(src, tmp_path / str(n), workers=n, engine="joblib", **settings) for n in (1, 2))
    assert rejects(one) == {"bob/1.png": "not_an_image"}
    assert hashes(one) == hashes(two)
    assert maskgen.open(one).info["settings"]["detector"] == "hog,yunet"


def test_a_wrong_detector_model_is_one_sentence(tmp_path: Path, capfd: Any) -> None:
    with pytest.raises(UsageError, match=r"there is no file --detector-model .*none\.onnx"):
        maskgen.Landmarker(detector="yunet", detector_model=tmp_path / "none.onnx")
    for name, data in (("empty.onnx", b""), ("text.onnx", b"no model" * 50)):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(UsageError, match=rf"cannot run --detector-model .*{name} .*; give YuNet's ONNX file"):
            maskgen.Landmarker(detector="yunet", detector_model=tmp_path / name)
    assert capfd.readouterr() == ("", "")


def test_another_network_is_no_detector(shared: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot run --detector-model .*mobilefacenet\.onnx"):
        maskgen.Landmarker(detector="yunet", detector_model=shared / "networks/mobilefacenet.onnx")


@pytest.mark.parametrize("detector", ["", "mtcnn", "hog,hog", ["hog", 3]])
def test_unknown_detectors_are_refused(detector: Any) -> None:
    with pytest.raises(UsageError, match="--detector"):
        maskgen.Landmarker(detector=detector)
    with pytest.raises(UsageError, match="--face is 'first'; choose central or largest"):
        maskgen.Landmarker(face="first")


def test_boxes_take_their_turn(head: np.ndarray, landmarker: maskgen.Landmarker) -> None:
    """`hog,boxes`: a box is a fallback; `boxes,hog`: detection is; alone in the call: the box is taken."""
    box, blank = (20, 20, 120, 120), np.full((180, 180, 3), 90, np.uint8)
    found = landmarker.find(head)
    assert found is not None
    taken = [maskgen.Landmarker(detector=d).find(head, box) for d in ("hog,boxes", "boxes,hog", "hog", "boxes")]
    assert [face is not None and face.box.tolist() for face in taken] == [found.box.tolist(), *[list(box)] * 3]
    fallback = maskgen.Landmarker(detector="hog,boxes")
    assert fallback.find(blank, box) is not None
    assert fallback.find(blank) is None


@pytest.mark.parametrize(
    ("detector", "no_box", "rows"), [(None, {"ann/2.png": "no_box"}, 1), ("hog,boxes", {}, 2), ("boxes,hog", {}, 2)]
)
def test_boxes_files_replace_detection_or_help_it(
    detector: str | None, no_box: dict[str, str], rows: int, head: np.ndarray, masked: np.ndarray, write_tree: Any,
    tmp_path: Path, rejects: Any, make: Any,
) -> None:  # fmt: skip
    src = write_tree(tmp_path / "src", {"ann/1.png": encoded(masked, "PNG"), "ann/2.png": encoded(head, "PNG")})
    (tmp_path / "boxes.csv").write_text("NAME_ID,X,Y,W,H\nann/1,40,50,90,90\n")
    out = make(src, tmp_path / "smfd", boxes=tmp_path / "boxes.csv", detector=detector, test_identities=0, size=0)
    assert rejects(out) == no_box
    found = {row.source: row.box.tolist() for row in maskgen.open(out)}
    assert len(found) == rows
    assert found["ann/1.png"] == [40, 50, 130, 140]
    with pytest.raises(MaskgenError, match="--boxes is not used by --detector hog"):
        make(src, tmp_path / "other", boxes=tmp_path / "boxes.csv", detector="hog")
