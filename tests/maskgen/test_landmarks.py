"""Faces and landmarks on real photographs, against dlib at full size and against points marked by people."""

from __future__ import annotations

import pickle
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import cv2
import dlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from skimage import io

import maskgen
from maskgen.errors import MaskgenError, UsageError
from maskgen.imaging.detectors import Hog, model_path, search_sides
from maskgen.imaging.landmarks import SHAPE_PREDICTOR, points_of


def between_eyes(points: np.ndarray) -> float:
    return float(np.hypot(*(points[36] - points[45])))


def grey(image: np.ndarray) -> np.ndarray:
    return image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def test_landmarks_lie_where_the_face_has_them(head: np.ndarray, landmarker: maskgen.Landmarker) -> None:
    face = landmarker.find(head)
    assert face is not None
    assert (face.box.shape, face.box.dtype) == ((4,), np.float32)
    assert (face.landmarks.shape, face.landmarks.dtype) == ((68, 2), np.float32)
    # Read off the picture by eye, in pixels: both pupils, the tip of the nose, the middle of the mouth, the chin.
    points = face.landmarks
    found = [points[36:42].mean(0), points[42:48].mean(0), points[30], points[60:68].mean(0), points[8]]
    np.testing.assert_allclose(found, [(63, 81), (106, 84), (83, 108), (84, 125), (82, 159)], atol=3)


@given(
    st.lists(st.tuples(*[st.integers(-(2**63), 2**63 - 1)] * 2), min_size=1, max_size=80)
    | st.lists(st.tuples(*[st.integers(-300, 300)] * 2), min_size=68, max_size=68)
)
def test_points_read_at_once_are_those_read_one_by_one(points: list[tuple[int, int]]) -> None:
    parts = dlib.points()
    for x, y in points:
        parts.append(dlib.point(x, y))
    one_by_one = np.array([(part.x, part.y) for part in parts], dtype=np.int64)
    assert one_by_one.tolist() == [list(point) for point in points], "dlib holds 64 bits"
    at_once = points_of(parts)
    assert (at_once.dtype, at_once.shape) == (np.float32, (len(points), 2))
    np.testing.assert_array_equal(at_once, one_by_one.astype(np.float32))


def test_landmarks_are_the_points_of_dlibs_shape(head: np.ndarray, landmarker: maskgen.Landmarker) -> None:
    predictor = dlib.shape_predictor(str(model_path(SHAPE_PREDICTOR)))
    large = cv2.resize(grey(head), (1400, 1400))  # points of three and four digits
    for picture, box in (
        (grey(head), (40, 40, 130, 140)),
        (large, (300, 300, 1100, 1100)),
        (large, (-900, -700, 90, 40)),
    ):
        points = landmarker.predict(picture, box)
        expected = [(part.x, part.y) for part in predictor(picture, dlib.rectangle(*box)).parts()]
        assert points.tolist() == [list(map(float, point)) for point in expected]
    assert points.min() < 0, "the last box lies outside the frame"


def test_coarse_to_fine_is_as_precise_as_full_size(astronaut: np.ndarray, landmarker: maskgen.Landmarker) -> None:
    face = landmarker.find(astronaut)
    assert face is not None
    box = max(dlib.get_frontal_face_detector()(astronaut, 1), key=lambda box: box.area())
    predictor = dlib.shape_predictor(str(model_path(SHAPE_PREDICTOR)))
    full = np.array([(p.x, p.y) for p in predictor(grey(astronaut), box).parts()])
    assert np.hypot(*(face.landmarks - full).T).mean() / between_eyes(full) < 0.05


def test_the_faces_of_the_trial_set_are_found(shared: Path, landmarker: maskgen.Landmarker) -> None:
    detector, missed, found, full = dlib.get_frontal_face_detector(), [], 0, 0
    for path in sorted((shared / "faces").rglob("*.jpg"))[::3]:
        image = io.imread(path)
        at_full_size = bool(detector(grey(image), 0))
        ours = landmarker.find(image) is not None
        found, full = found + ours, full + at_full_size
        if at_full_size and not ours:
            missed.append(path.name)
    assert not missed, "found at full size and not by us"
    assert found >= full > 25


def test_landmarks_are_near_those_that_people_marked(shared: Path, landmarker: maskgen.Landmarker) -> None:
    errors = []
    for entry in ElementTree.parse(shared / "landmarks/landmarks.xml").iter("image"):
        image = io.imread(shared / "landmarks" / entry.attrib["file"])
        for box in entry.iter("box"):
            truth = np.array([(float(part.attrib["x"]), float(part.attrib["y"])) for part in box.iter("part")])
            low, high = truth.min(axis=0), truth.max(axis=0)
            margin = 0.6 * (high - low)
            left, top = np.maximum(low - margin, 0).astype(int)
            right, bottom = (high + margin).astype(int)
            face = landmarker.find(np.ascontiguousarray(image[top:bottom, left:right]))
            if face is not None:
                truth -= (left, top)
                errors.append(np.hypot(*(face.landmarks - truth).T).mean() / between_eyes(truth))
    assert len(errors) >= 15, "of 18 faces"
    assert np.median(errors) < 0.06, errors


@pytest.mark.parametrize("large_first", [True, False])
def test_the_largest_face_wins(head: np.ndarray, landmarker: maskgen.Landmarker, large_first: bool) -> None:
    small = cv2.resize(head, (100, 100), interpolation=cv2.INTER_AREA)
    canvas = np.full((190, 320, 3), 90, np.uint8)
    large_at, small_at = (0, 200) if large_first else (130, 10)
    canvas[5:185, large_at : large_at + 180] = head
    canvas[40:140, small_at : small_at + 100] = small
    face, alone = landmarker.find(canvas), landmarker.find(head)
    assert face is not None
    assert alone is not None
    distance = np.hypot(*(face.landmarks - (large_at, 5) - alone.landmarks).T)
    assert distance.mean() < 0.05 * between_eyes(alone.landmarks)


@pytest.mark.parametrize("size", [40, 60, 90, 180, 700, 1800])
def test_faces_are_found_at_any_size(head: np.ndarray, landmarker: maskgen.Landmarker, size: int) -> None:
    scaled = cv2.resize(head, (size, size), interpolation=cv2.INTER_AREA if size < 180 else cv2.INTER_CUBIC)
    face, whole = landmarker.find(scaled), landmarker.find(head)
    assert face is not None
    assert whole is not None
    distance = np.hypot(*((face.landmarks + 0.5) * 180 / size - 0.5 - whole.landmarks).T)
    assert distance.mean() < 0.09 * between_eyes(whole.landmarks)


def test_grey_and_colour_give_the_same(head: np.ndarray, landmarker: maskgen.Landmarker) -> None:
    colour, plain = landmarker.find(head), landmarker.find(grey(head))
    assert colour is not None
    assert plain is not None
    np.testing.assert_array_equal(colour.landmarks, plain.landmarks)


@pytest.mark.parametrize("shape", [(1, 1), (1, 500), (3, 3, 3), (64, 64, 3)])
def test_no_face_is_none(landmarker: maskgen.Landmarker, shape: tuple[int, ...]) -> None:
    assert landmarker.find(np.full(shape, 128, np.uint8)) is None
    assert landmarker.find(np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8)) is None


def test_a_given_box_replaces_detection(
    astronaut: np.ndarray, landmarker: maskgen.Landmarker, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = landmarker.find(astronaut)
    assert found is not None
    monkeypatch.setattr(Hog, "find", lambda *_: pytest.fail("detection ran"))
    given = landmarker.find(astronaut, found.box.tolist())
    assert given is not None
    np.testing.assert_array_equal(given.box, found.box)
    assert np.hypot(*(given.landmarks - found.landmarks).T).mean() < 0.05 * between_eyes(found.landmarks)
    elsewhere = landmarker.find(astronaut, (10, 300, 110, 400))
    assert elsewhere is not None
    assert elsewhere.landmarks.max(axis=0)[0] < 140, "landmarks stay in the box they were given"


@pytest.mark.parametrize("longer_side", [1, 30, 112, 224, 500, 1499, 1501, 3000, 9000])
def test_search_goes_from_small_to_the_photographs_own_size_and_beyond(longer_side: int) -> None:
    sides = search_sides(longer_side)
    assert len(set(sides)) == len(sides)
    assert sides[0] == min(sides[0], 200), "the first search is cheap"
    assert longer_side in sides or longer_side < 200, "what dlib finds at full size is never lost"
    assert max(sides) <= max(3000, longer_side)
    assert max(sides) >= min(2 * longer_side, 1500, 448 * 0.5 + longer_side * 0.5)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "CMYK"])
def test_a_pillow_image_is_searched_as_its_pixels(head: np.ndarray, landmarker: maskgen.Landmarker, mode: str) -> None:
    picture = Image.fromarray(head).convert(mode)
    face, same = landmarker.find(picture), landmarker.find(np.array(picture.convert("RGB")))
    assert face is not None
    assert same is not None
    np.testing.assert_array_equal(face.landmarks, same.landmarks)


def test_a_pickled_landmarker_holds_its_settings_and_loads_the_models_at_first_use(
    head: np.ndarray, landmarker: maskgen.Landmarker
) -> None:
    copy = pickle.loads(pickle.dumps(landmarker))
    assert len(pickle.dumps(landmarker)) < 1000
    assert list(vars(copy)) == ["_path", "_face", "_names", "_model"], "nothing is loaded yet"
    face, same = copy.find(head), landmarker.find(head)
    assert same is not None
    np.testing.assert_array_equal(face.landmarks, same.landmarks)
    chosen = maskgen.Landmarker(model_path(SHAPE_PREDICTOR))
    assert pickle.loads(pickle.dumps(chosen))._path == model_path(SHAPE_PREDICTOR)


def test_a_file_that_is_not_a_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"there is no landmark model .*none"):
        maskgen.Landmarker(tmp_path / "none.dat")
    (tmp_path / "text.dat").write_text("this is a text")
    with pytest.raises(UsageError, match=r"text\.dat is not a dlib shape predictor"):
        maskgen.Landmarker(tmp_path / "text.dat")
    (tmp_path / "empty.dat").touch()
    with pytest.raises(UsageError, match=r"empty\.dat is not a dlib shape predictor"):
        maskgen.Landmarker(tmp_path / "empty.dat")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MaskgenError, match="pip install face_recognition_models"):
        maskgen.Landmarker()


def test_a_predictor_of_five_points_is_refused() -> None:
    with pytest.raises(UsageError, match=r"5_face_landmarks\.dat gives 5 points; --predictor needs .* of 68 points"):
        maskgen.Landmarker(model_path("shape_predictor_5_face_landmarks.dat"))


def test_a_loose_box_of_another_detector_gives_nearly_the_landmarks_of_dlibs_own(
    astronaut: np.ndarray, landmarker: maskgen.Landmarker
) -> None:
    face = landmarker.find(astronaut)
    assert face is not None
    low, high = face.landmarks.min(axis=0), face.landmarks.max(axis=0)
    size = high - low
    loose = np.concatenate([low - size * (0.15, 0.45), high + size * 0.15])
    grey = cv2.cvtColor(astronaut, cv2.COLOR_RGB2GRAY)

    def error(landmarks: np.ndarray) -> float:
        eyes = face.landmarks[36:42].mean(axis=0) - face.landmarks[42:48].mean(axis=0)
        return float(np.linalg.norm(landmarks - face.landmarks, axis=1).mean() / np.linalg.norm(eyes))

    found = landmarker.find(astronaut, loose)
    assert found is not None
    assert found.box == pytest.approx(loose, abs=1e-3)
    assert error(found.landmarks) < 0.04
    assert error(found.landmarks) < error(landmarker.predict(grey, loose))


@pytest.mark.parametrize(
    ("image", "box", "words"),
    [
        (np.zeros((90, 90, 3)), None, "the image is float64"),
        (np.zeros((90, 90, 4), np.uint8), None, r"uint8 \(90, 90, 4\)"),
        (np.zeros((0, 90, 3), np.uint8), None, r"uint8 \(0, 90, 3\)"),
        (np.zeros((90, 90, 3), np.uint8), (1, 2, np.nan, 4), "the box is"),
        (np.zeros((90, 90, 3), np.uint8), (1, 2, 3), "the box is"),
    ],
)
def test_what_cannot_be_searched_is_named(landmarker: maskgen.Landmarker, image: Any, box: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        landmarker.find(image, box)


def test_what_is_no_picture_is_a_type_error(landmarker: maskgen.Landmarker) -> None:
    with pytest.raises(TypeError, match="the image is a str; give a numpy array or a Pillow image"):
        landmarker.find("face.jpg")
