"""Where a point of a photograph lies in the stored picture, checked with dots that are really there."""

from __future__ import annotations

import numpy as np
import pytest

from maskgen.imaging.fit import fit

BOX = (60, 20, 90, 60)


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
    fitted = fit(photograph(width, height, x, y), size, how, (x - 9, y - 9, x + 8, y + 8))
    assert (fitted.image.shape, fitted.image.dtype) == ((size, size, 3), np.uint8)
    place = fitted.points([(x - 0.5, y - 0.5)])
    assert place.dtype == np.float32
    np.testing.assert_allclose(place[0], blot(fitted.image), atol=0.26)


def test_stretch_by_hand() -> None:
    fitted = fit(np.zeros((100, 200, 3), np.uint8), 50, "stretch", BOX)
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
    fitted = fit(image, 100, "crop", box)
    np.testing.assert_array_equal(fitted.image, image[:, left : left + 100])
    np.testing.assert_allclose(fitted.points([(left, 0), (left + 99, 99)]), [(0, 0), (99, 99)])
    tall = fit(image.swapaxes(0, 1).copy(), 100, "crop", (box[1], box[0], box[3], box[2]))
    np.testing.assert_array_equal(tall.image, image.swapaxes(0, 1)[left : left + 100])


def test_pad_adds_black_bars_and_keeps_proportions() -> None:
    image = np.full((50, 100, 3), 200, np.uint8)
    fitted = fit(image, 100, "pad", BOX)
    assert (fitted.image[25:75] == 200).all()
    assert (fitted.image[:25] == 0).all()
    assert (fitted.image[75:] == 0).all()
    np.testing.assert_allclose(fitted.points([(0, 0), (99, 49)]), [(0, 25), (99, 74)])
    assert fit(np.zeros((2, 900, 3), np.uint8), 30, "pad", BOX).image.shape == (30, 30, 3)


@pytest.mark.parametrize("how", ["stretch", "crop", "pad"])
def test_size_0_keeps_the_photograph(how: str) -> None:
    image = np.random.default_rng(0).integers(0, 255, (31, 47, 3), dtype=np.uint8)
    fitted = fit(image, 0, how, BOX)
    np.testing.assert_array_equal(fitted.image, image)
    np.testing.assert_array_equal(fitted.points([(3.25, 40)]), [(3.25, 40)])
