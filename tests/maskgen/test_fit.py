"""Where a point of a photograph lies in the stored picture, checked with dots that are really there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

import maskgen
from maskgen.imaging.align import PLACES, aligned, five_points
from maskgen.imaging.fit import fit
from maskgen.imaging.landmarks import Face, detector_box


def face_at(box: tuple[float, ...]) -> Face:
    return Face(np.array(box, np.float32), np.zeros((68, 2), np.float32))


FACE = face_at((60, 20, 90, 60))


def blot(image: np.ndarray) -> tuple[float, float]:
    """The centre (x, y) of what is bright."""
    weight = image[:, :, 0].astype(float)
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return float((x * weight).sum() / weight.sum()), float((y * weight).sum() / weight.sum())


def photograph(width: int, height: int, x: int, y: int) -> np.ndarray:
    """Black, with a bright square of 8 x 8 pixels centred at (x, y) - 0.5."""
    image = np.zeros((height, width, 3), np.uint8)
    image[y - 4 : y + 4, x - 4 : x + 4] = 240
    return image


@pytest.mark.parametrize("how", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("shape", [(200, 100), (100, 200), (101, 99), (40, 30), (64, 64)])
@pytest.mark.parametrize("size", [64, 224])
def test_points_move_with_the_pixels(how: str, shape: tuple[int, int], size: int) -> None:
    width, height = shape
    x, y = width // 2 + 3, height // 2 - 2
    fitted = fit(photograph(width, height, x, y), size, how, face_at((x - 9, y - 9, x + 8, y + 8)))
    assert (fitted.image.shape, fitted.image.dtype) == ((size, size, 3), np.uint8)
    place = fitted.points([(x - 0.5, y - 0.5)])
    assert place.dtype == np.float32
    np.testing.assert_allclose(place[0], blot(fitted.image), atol=0.26)


def test_stretch_by_hand() -> None:
    fitted = fit(np.zeros((100, 200, 3), np.uint8), 50, "stretch")
    # (199.5 + 0.5) * 50 / 200 - 0.5 = 49.5 and (99.5 + 0.5) * 50 / 100 - 0.5 = 49.5: the far corner stays one.
    np.testing.assert_allclose(
        fitted.points([(-0.5, -0.5), (199.5, 99.5), (99.5, 0)]), [(-0.5, -0.5), (49.5, 49.5), (24.5, -0.25)]
    )


@pytest.mark.parametrize(
    ("box", "left"),
    [((60, 20, 99, 60), 30), ((0, 20, 39, 60), 0), ((160, 20, 199, 60), 100), ((-90, 0, -10, 60), 0)],
)
def test_crop_is_the_largest_square_near_the_face(box: tuple[int, ...], left: int) -> None:
    # The face 60..99 is centred at 79.5; a square of 100 around it begins at 80 - 50 = 30.
    image = np.random.default_rng(0).integers(0, 255, (100, 200, 3), dtype=np.uint8)
    fitted = fit(image, 100, "crop", face_at(box))
    np.testing.assert_array_equal(fitted.image, image[:, left : left + 100])
    np.testing.assert_allclose(fitted.points([(left, 0), (left + 99, 99)]), [(0, 0), (99, 99)])
    tall = fit(image.swapaxes(0, 1).copy(), 100, "crop", face_at((box[1], box[0], box[3], box[2])))
    np.testing.assert_array_equal(tall.image, image.swapaxes(0, 1)[left : left + 100])


def test_pad_adds_black_bars_and_keeps_proportions() -> None:
    image = np.full((50, 100, 3), 200, np.uint8)
    fitted = fit(image, 100, "pad")
    assert (fitted.image[25:75] == 200).all()
    assert (fitted.image[:25] == 0).all()
    assert (fitted.image[75:] == 0).all()
    np.testing.assert_allclose(fitted.points([(0, 0), (99, 49)]), [(0, 25), (99, 74)])
    assert fit(np.zeros((2, 900, 3), np.uint8), 30, "pad").image.shape == (30, 30, 3)


@pytest.mark.parametrize("how", ["stretch", "crop", "pad", "face", "align"])
def test_size_0_keeps_the_photograph(how: str) -> None:
    image = np.random.default_rng(0).integers(0, 255, (31, 47, 3), dtype=np.uint8)
    fitted = fit(image, 0, how, FACE)
    np.testing.assert_array_equal(fitted.image, image)
    np.testing.assert_array_equal(fitted.points([(3.25, 40)]), [(3.25, 40)])


def face_of(head: np.ndarray, landmarker: maskgen.Landmarker) -> Face:
    face = landmarker.find(head)
    assert face is not None
    return face


def test_face_is_a_square_of_155_times_the_box_that_dlib_would_give(landmarker: maskgen.Landmarker) -> None:
    # Landmarks that fill 100 x 100 at (150, 120): dlib's box has 107 pixels a side, and is centred at (200, 158).
    points = np.zeros((68, 2), np.float32)
    points[:] = (200, 170)
    points[0], points[1] = (150, 120), (250, 220)
    image = np.random.default_rng(0).integers(0, 255, (400, 500, 3), dtype=np.uint8)
    fitted = fit(image, 166, "face", Face(np.array([0, 0, 9, 9], np.float32), points))
    # round(1.55 * 107) = 166, and (200.5 - 83, 158.5 - 83) = (117.5, 75.5), rounded to even.
    np.testing.assert_array_equal(fitted.image, image[76 : 76 + 166, 118 : 118 + 166])
    np.testing.assert_allclose(fitted.points([(200, 158)]), [(82, 82)])


def test_face_stays_in_the_frame(head: np.ndarray, landmarker: maskgen.Landmarker) -> None:
    face = face_of(head, landmarker)
    corner = np.ascontiguousarray(head[40:150, 30:150])
    fitted = fit(corner, 64, "face", Face(face.box - (30, 40, 30, 40), face.landmarks - (30, 40)))
    assert (fitted.image.std(axis=(0, 2)) > 0).all(), "no black bars"
    left, top = fitted.points([(-0.5, -0.5)])[0]
    assert left <= -0.5
    assert top <= -0.5


@pytest.mark.parametrize("size", [112, 224])
@pytest.mark.parametrize("enlarged", [1, 8])
def test_align_places_eyes_nose_and_mouth(
    head: np.ndarray, landmarker: maskgen.Landmarker, size: int, enlarged: int
) -> None:
    """The pixels, not only the points: landmarks found in the aligned picture are those that were moved."""
    large = cv2.resize(head, None, fx=enlarged, fy=enlarged, interpolation=cv2.INTER_CUBIC)
    turned = cv2.warpAffine(large, cv2.getRotationMatrix2D((90.0 * enlarged, 90.0 * enlarged), 15, 1), large.shape[:2])
    face = face_of(turned, landmarker)
    fitted = fit(turned, size, "align", face)
    moved = fitted.points(face.landmarks)
    assert np.abs(five_points(moved) * 112 / size - PLACES).max() < 6
    again = landmarker.predict(cv2.cvtColor(fitted.image, cv2.COLOR_RGB2GRAY), detector_box(moved))
    assert np.linalg.norm(again - moved, axis=1).mean() < 0.03 * size
    corners = fitted.points(face.box.reshape(2, 2))
    box = fitted.box(face.box)
    assert (box[:2] <= corners.min(axis=0)).all()
    assert (box[2:] >= corners.max(axis=0)).all()


def test_align_gives_the_pixels_that_arcface_networks_are_given(
    head: np.ndarray, landmarker: maskgen.Landmarker
) -> None:
    small = cv2.resize(head, (112, 112), interpolation=cv2.INTER_AREA)  # which is enlarged, so nothing is averaged
    face = face_of(small, landmarker)
    np.testing.assert_array_equal(fit(small, 112, "align", face).image, aligned(small, face.landmarks))


def test_a_large_face_is_averaged_before_it_is_aligned(head: np.ndarray, landmarker: maskgen.Landmarker) -> None:
    """Fine stripes, which single pixels would show as coarse ones, come out grey."""
    face = face_of(head, landmarker)
    stripes = np.zeros((1800, 1800, 3), np.uint8)
    stripes[:, ::2] = 255
    large = Face(face.box * 10, face.landmarks * 10)
    assert fit(stripes, 112, "align", large).image[20:90, 20:90].std() < 12
    assert aligned(stripes, large.landmarks)[20:90, 20:90].std() > 60
