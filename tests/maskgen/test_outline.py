"""Outlines against coordinates worked out by hand from the table of the method."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgen.imaging.outline import SAGITTA, Undrawable, ellipse, outline, signed_area
from maskgen.imaging.variants import VARIANTS

JAW_Y = (100, 120, 140, 160, 178, 194, 207, 216, 220, 217, 208, 195, 179, 161, 141, 121, 101)
OTHERS = {
    27: (181, 95),
    28: (182, 110),
    29: (183, 125),
    31: (165, 150),
    32: (173, 153),
    33: (182, 155),
    34: (190, 154),
    35: (198, 151),
    39: (168, 98),
    40: (160, 103),
    42: (196, 97),
    46: (210, 104),
}
JAW_1_TO_15 = [(100.0 + 10 * i, float(JAW_Y[i])) for i in range(1, 16)]


def face() -> np.ndarray:
    """A face whose other landmarks are nowhere (NaN): an outline that used one of them would show it."""
    points = np.full((68, 2), np.nan)
    points[:17] = [(100 + 10 * i, y) for i, y in enumerate(JAW_Y)]
    for index, place in OTHERS.items():
        points[index] = place
    return points


@pytest.mark.parametrize(
    ("variant", "closing"),
    [
        ("wide_high", [(196, 121), (181, 95), (168, 120)]),  # (x42, y15), P27, (x39, y1)
        ("wide_medium", [(183, 125)]),  # P29
        ("wide_low", [(198, 151), (190, 154), (182, 155), (173, 153), (165, 150)]),  # P35 ... P31
    ],
)
def test_wide_is_the_jaw_line_closed_over_the_nose(variant: str, closing: list[tuple[float, float]]) -> None:
    assert outline(face(), variant).tolist() == [list(place) for place in [*JAW_1_TO_15, *closing]]


# Centre x = x28 = 182. Width 0.8 * (x13 - x3) = 0.8 * (230 - 130) = 80. The lower end is the chin, y8 = 220.
@pytest.mark.parametrize(
    ("variant", "top"),
    [
        ("round_high", 102.5),  # (y27 + y28) / 2 = (95 + 110) / 2
        ("round_medium", 125.0),  # y29
        ("round_low", 141.5),  # y29 + 0.33 * (x46 - x40) = 125 + 0.33 * (210 - 160)
    ],
)
def test_round_is_an_upright_ellipse_from_chin_to_top(variant: str, top: float) -> None:
    x, y, half_width, half_height = ellipse(face(), variant)
    assert (x, y, half_width, half_height) == pytest.approx((182, (220 + top) / 2, 40, (220 - top) / 2), abs=1e-9)

    polygon = outline(face(), variant)
    from_centre = (polygon - (x, y)) / (half_width, half_height)
    np.testing.assert_allclose(np.hypot(*from_centre.T), 1, rtol=1e-12, err_msg="a corner is off the ellipse")
    middles = (polygon + np.roll(polygon, -1, axis=0)) / 2
    depth = (1 - np.hypot(*((middles - (x, y)) / (half_width, half_height)).T)) * max(half_width, half_height)
    assert depth.max() <= SAGITTA
    np.testing.assert_allclose(polygon.min(axis=0), (142, top), atol=SAGITTA)
    np.testing.assert_allclose(polygon.max(axis=0), (222, 220), atol=SAGITTA)
    assert abs(signed_area(polygon)) == pytest.approx(math.pi * half_width * half_height, rel=1e-3)


@pytest.mark.parametrize("variant", VARIANTS)
def test_landmarks_may_be_a_list_and_float32(variant: str) -> None:
    points = np.nan_to_num(face())
    expected = outline(points, variant)
    np.testing.assert_array_equal(outline(points.astype(np.float32), variant), expected)
    np.testing.assert_array_equal(outline(points.tolist(), variant), expected)


@given(st.floats(-500, 500), st.floats(-500, 500), st.floats(0.1, 10))
def test_outlines_move_and_grow_with_the_face(dx: float, dy: float, scale: float) -> None:
    moved = face() * scale + (dx, dy)
    for variant in VARIANTS[:3]:
        np.testing.assert_allclose(outline(moved, variant), outline(face(), variant) * scale + (dx, dy), atol=1e-6)
    for variant in VARIANTS[3:]:
        x, y, half_width, half_height = ellipse(face(), variant)
        expected = (x * scale + dx, y * scale + dy, half_width * scale, half_height * scale)
        assert ellipse(moved, variant) == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("x13", [129.9, 130.0])
@pytest.mark.parametrize("variant", VARIANTS[3:])
def test_a_jaw_without_width_has_no_round_mask(variant: str, x13: float) -> None:
    turned = face()
    turned[13, 0] = x13  # x3 is 130
    with pytest.raises(Undrawable, match=f"^{variant}: .*x13"):
        outline(turned, variant)


@pytest.mark.parametrize(("variant", "top"), [("round_high", 102.5), ("round_medium", 125), ("round_low", 141.5)])
def test_a_chin_above_the_top_has_no_round_mask(variant: str, top: float) -> None:
    for chin, drawable in ((top + 0.1, True), (top, False), (top - 5, False)):
        bowed = face()
        bowed[8, 1] = chin
        if drawable:
            assert ellipse(bowed, variant)[3] == pytest.approx(0.05)
            continue
        with pytest.raises(Undrawable, match=f"^{variant}: the chin"):
            outline(bowed, variant)


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_jaw_that_runs_the_other_way_is_undrawable(variant: str) -> None:
    mirrored = face() * (-1, 1) + (400, 0)
    with pytest.raises(Undrawable, match=variant):
        outline(mirrored, variant)


def test_wrong_calls_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(67, 2\)"):
        outline(face()[:67], "wide_high")
    with pytest.raises(ValueError, match="wide_higher"):
        outline(face(), "wide_higher")
    with pytest.raises(ValueError, match="wide_low"):
        ellipse(face(), "wide_low")
