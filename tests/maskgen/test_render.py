"""Coverage against exact clipping and against another library; masks on real faces."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as MatplotlibPath
from PIL import Image

import maskgen
from maskgen.imaging import render
from maskgen.imaging.outline import outline, signed_area
from maskgen.imaging.render import coverage, paint, paint_each
from maskgen.imaging.styles import draw
from maskgen.imaging.variants import VARIANTS
from tests.support.fuzz import examples

HALF_STEP = 0.5 / 255 + 1e-6
"""What rounding to 255ths may add to the share of a pixel."""


@st.composite
def stars(draw_from: st.DrawFn, low: float = 0.0, high: float = 24.0) -> np.ndarray:
    """Star-shaped polygons around a centre between `low` and `high`.

    No gap between two corners reaches half a turn, so none of them overlaps itself.
    """
    corners = draw_from(st.integers(3, 12))
    gaps = np.array(draw_from(st.lists(st.floats(0.6, 1), min_size=corners, max_size=corners)))
    angle = np.cumsum(gaps) / gaps.sum() * 2 * np.pi
    radius = np.array(draw_from(st.lists(st.floats(0.1, 11), min_size=corners, max_size=corners)))
    middle = draw_from(st.tuples(st.floats(low, high), st.floats(low, high)))
    return np.stack([np.cos(angle), np.sin(angle)], axis=1) * radius[:, None] + middle


def clipped_area(polygon: np.ndarray, x: int, y: int) -> float:
    """Area of a polygon inside the pixel (x, y), by clipping at its four sides (Sutherland and Hodgman)."""
    corners = [tuple(corner) for corner in polygon]
    for axis, bound, keep_above in ((0, x - 0.5, 1), (0, x + 0.5, -1), (1, y - 0.5, 1), (1, y + 0.5, -1)):
        kept = []
        for a, b in zip(corners, corners[1:] + corners[:1], strict=True):
            a_in, b_in = ((p[axis] - bound) * keep_above >= 0 for p in (a, b))
            if a_in:
                kept.append(a)
            if a_in != b_in:
                t = (bound - a[axis]) / (b[axis] - a[axis])
                kept.append(tuple(a[i] + t * (b[i] - a[i]) if i != axis else bound for i in (0, 1)))
        corners = kept
        if not corners:
            return 0.0
    return abs(signed_area(np.array(corners)))


def exact(polygon: np.ndarray, width: int, height: int) -> np.ndarray:
    return np.array([[clipped_area(polygon, x, y) for x in range(width)] for y in range(height)])


def whole(polygon: np.ndarray, width: int, height: int) -> np.ndarray:
    """The coverage of a whole picture, 0..1."""
    share, left, top = coverage([polygon], width, height)[0]
    picture = np.zeros((height, width))
    picture[top : top + share.shape[0], left : left + share.shape[1]] = share / 255
    return picture


@given(stars(12.0, 28.0))
def test_shares_add_up_to_the_shoelace_area(polygon: np.ndarray) -> None:
    shares = whole(polygon, 41, 41)
    partial = np.count_nonzero((shares > 0) & (shares < 1)) + 4 * len(polygon)  # and some rounded to nothing
    x, y = polygon.T
    area = abs(sum(x[i - 1] * y[i] - x[i] * y[i - 1] for i in range(len(x)))) / 2
    assert abs(shares.sum() - area) <= partial * HALF_STEP


@settings(max_examples=examples(60), deadline=None)
@given(stars(-4.0, 22.0))
def test_every_pixel_has_its_exact_share_inside_and_outside_the_frame(polygon: np.ndarray) -> None:
    np.testing.assert_allclose(whole(polygon, 18, 15), exact(polygon, 18, 15), atol=HALF_STEP)


@settings(max_examples=examples(25), deadline=None)
@given(stars(-4.0, 22.0))
def test_coverage_is_that_of_a_supersampled_polygon(polygon: np.ndarray) -> None:
    fine = 16
    place = (np.arange(18 * fine) + 0.5) / fine - 0.5
    grid = np.stack(np.meshgrid(place, place), axis=-1).reshape(-1, 2)
    inside = MatplotlibPath(np.vstack([polygon, polygon[:1]]), closed=True).contains_points(grid)
    sampled = inside.reshape(18, fine, 18, fine).mean(axis=(1, 3))
    difference = np.abs(whole(polygon, 18, 18) - sampled)
    assert difference.max() <= 2.5 / fine  # two edges through a pixel, each known to a sixteenth
    assert difference.mean() <= 0.01


def test_a_square_on_pixel_edges_covers_whole_pixels_only() -> None:
    square = np.array([(1.5, 0.5), (4.5, 0.5), (4.5, 2.5), (1.5, 2.5)])
    expected = np.zeros((5, 6))
    expected[1:3, 2:5] = 1
    np.testing.assert_array_equal(whole(square, 6, 5), expected)
    np.testing.assert_array_equal(whole(square[::-1], 6, 5), expected)
    quarter = square + 0.5
    np.testing.assert_allclose(whole(quarter, 6, 5)[1], [0, 0, 0.25, 0.5, 0.5, 0.25], atol=HALF_STEP)


@pytest.mark.parametrize("move", [(-60, 0), (60, 0), (0, -60), (0, 60), (1e5, 1e5)])
def test_a_polygon_outside_the_frame_changes_nothing(move: tuple[float, float]) -> None:
    image = np.arange(20 * 20 * 3, dtype=np.uint8).reshape(20, 20, 3)
    square = np.array([(2.0, 2.0), (9, 2), (9, 9), (2, 9)]) + move
    cover = coverage([square], 20, 20)[0]
    np.testing.assert_array_equal(paint(image, cover, (255, 0, 0)), image)


def test_a_polygon_around_the_whole_frame_covers_all_of_it() -> None:
    huge = np.array([(-1000.0, -900.0), (1000, -900), (1100, 950), (-1000, 900)])
    assert whole(huge, 30, 20).min() == 1


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(stars(-4.0, 22.0), min_size=2, max_size=5))
def test_polygons_together_are_covered_as_alone(polygons: list[np.ndarray]) -> None:
    together = coverage(polygons, 18, 15)
    alone = [coverage([polygon], 18, 15)[0] for polygon in polygons]
    before, render.MAX_PIXELS_AT_ONCE = render.MAX_PIXELS_AT_ONCE, 1
    try:
        one_by_one = coverage(polygons, 18, 15)
    finally:
        render.MAX_PIXELS_AT_ONCE = before
    for a, b, c in zip(together, alone, one_by_one, strict=True):
        assert a[1:] == b[1:] == c[1:]
        np.testing.assert_array_equal(a.share, b.share)
        np.testing.assert_array_equal(a.share, c.share)


@settings(max_examples=examples(40), deadline=None)
@given(stars(-2.0, 18.0), st.tuples(*[st.integers(0, 255)] * 3), st.integers(0, 2**32 - 1))
def test_paint_blends_by_share_and_leaves_the_rest_alone(
    polygon: np.ndarray, color: tuple[int, ...], seed: int
) -> None:
    image = np.random.default_rng(seed).integers(0, 256, (13, 16, 3), dtype=np.uint8)
    before = image.copy()
    painted = paint(image, coverage([polygon], 16, 13)[0], color)
    share = exact(polygon, 16, 13)[:, :, None]
    np.testing.assert_array_equal(image, before, err_msg="the photograph itself was painted")
    outside, inside = share[:, :, 0] == 0, share[:, :, 0] > 1 - 1e-9
    np.testing.assert_array_equal(painted[outside], image[outside])
    assert (painted[inside] == color).all()
    wanted = image + share * (np.array(color) - image)
    assert np.abs(painted - wanted).max() <= 1.001  # half a grey value for the share, half for the blend


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(stars(-9.0, 25.0), min_size=1, max_size=6), st.integers(0, 2**32 - 1))
def test_one_picture_painted_again_and_again_is_as_painted_anew(polygons: list[np.ndarray], seed: int) -> None:
    generator = np.random.default_rng(seed)
    image = generator.integers(0, 256, (13, 16, 3), dtype=np.uint8)
    colors = generator.integers(0, 256, (len(polygons), 3)).tolist()
    before, covers = image.copy(), coverage(polygons, 16, 13)
    painted = [(id(picture), picture.copy()) for picture in paint_each(image, covers, colors)]
    assert len({place for place, _ in painted}) == 1, "no second copy of the photograph"
    for (_, picture), cover, color in zip(painted, covers, colors, strict=True):
        np.testing.assert_array_equal(picture, paint(image, cover, color))
    np.testing.assert_array_equal(image, before, err_msg="the photograph itself was painted")


FACES = ["astronaut", "faces/n000001/0001_01.jpg", "faces/n000002/0001_01.jpg", "faces/n000003/0001_01.jpg"]


@pytest.fixture(scope="module", params=FACES)
def face(request: pytest.FixtureRequest, landmarker: maskgen.Landmarker) -> tuple[np.ndarray, np.ndarray]:
    """A real frontal face: photograph and landmarks."""
    if request.param == "astronaut":
        image = request.getfixturevalue("head")
    else:
        from skimage import io

        image = io.imread(request.getfixturevalue("shared") / request.param)
    found = landmarker.find(image)
    assert found is not None
    return image, found.landmarks


def test_the_mask_covers_less_from_high_to_low(face: tuple[np.ndarray, np.ndarray]) -> None:
    image, landmarks = face
    for shape in ("wide", "round"):
        areas = [
            coverage([outline(landmarks, f"{shape}_{height}")], image.shape[1], image.shape[0])[0].share.sum()
            for height in ("high", "medium", "low")
        ]
        assert areas[0] > areas[1] > areas[2] > 0, (shape, areas)


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_eyes_are_never_covered(face: tuple[np.ndarray, np.ndarray], variant: str) -> None:
    fine = 8  # an eighth of a pixel: an eye and a mask may share a pixel without overlapping
    landmarks = (face[1].astype(np.float64) - face[1].min(axis=0)) * fine
    width, height = np.ceil(landmarks.max(axis=0)).astype(int) + 1
    mask = whole(outline(landmarks, variant), width, height)
    for eye in (slice(36, 42), slice(42, 48)):
        covered = whole(landmarks[eye], width, height) * mask
        assert whole(landmarks[eye], width, height).sum() > 100
        assert (covered < 0.5).all(), f"{variant} covers {covered.sum() / fine**2:.1f} square pixels of an eye"


@pytest.mark.parametrize("variant", VARIANTS)
def test_draw_touches_the_outline_and_nothing_else(face: tuple[np.ndarray, np.ndarray], variant: str) -> None:
    image, landmarks = face
    color = (12, 200, 77)
    drawn = draw(image, landmarks, variant, color)
    polygon = outline(landmarks, variant)
    edges = MatplotlibPath(np.vstack([polygon, polygon[:1]]), closed=True)
    height, width = image.shape[:2]
    centres = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).reshape(-1, 2)
    # A pixel whose centre lies 0.75 outside (half its diagonal and a little) is not touched, 0.75 inside is full.
    inside = edges.contains_points(centres).reshape(height, width)
    near = np.minimum.reduce([_distance(centres, a, b) for a, b in zip(polygon, np.roll(polygon, -1, 0), strict=True)])
    far = near.reshape(height, width) > 0.75
    np.testing.assert_array_equal(drawn[far & ~inside], image[far & ~inside])
    assert (drawn[far & inside] == color).all()
    assert np.count_nonzero(far & inside) > 200


def _distance(points: np.ndarray, a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Distance of points from the segment a-b."""
    along = np.clip((points - a) @ (b - a) / max((b - a) @ (b - a), 1e-12), 0, 1)
    return np.hypot(*(points - a - along[:, None] * (b - a)).T)


def test_the_six_masks_drawn_together_are_those_drawn_alone(face: tuple[np.ndarray, np.ndarray]) -> None:
    """At sizes and places enough to meet the shares that lie half-way between two 255ths."""
    _, landmarks = face
    generator = np.random.default_rng(0)
    for _ in range(60):
        moved = landmarks * generator.uniform(0.5, 4) + generator.uniform(-60, 60, 2)
        outlines = [outline(moved, variant) for variant in VARIANTS]
        for together, one in zip(coverage(outlines, 500, 400), outlines, strict=True):
            alone = coverage([one], 500, 400)[0]
            assert together[1:] == alone[1:]
            np.testing.assert_array_equal(together.share, alone.share)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": np.zeros((90, 90, 3))}, "the image is float64"),
        ({"image": np.zeros((90, 90), np.uint8)}, r"uint8 \(90, 90\)"),
        ({"color": (300, 0, 0)}, "three values from 0 to 255"),
        ({"color": (3, 0)}, "three values from 0 to 255"),
        ({"variant": "square"}, "no variant 'square'"),
        ({"landmarks": np.zeros((5, 2))}, r"give \(68, 2\)"),
    ],
)
def test_draw_names_what_it_cannot_draw_with(
    face: tuple[np.ndarray, np.ndarray], change: dict[str, Any], words: str
) -> None:
    image, landmarks = face
    call = {"image": image, "landmarks": landmarks, "variant": "wide_high", "color": (1, 2, 3)} | change
    with pytest.raises(ValueError, match=words):
        maskgen.draw(**call)


@pytest.mark.parametrize("wrong", [np.nan, np.inf, 1e9])
@pytest.mark.parametrize("variant", maskgen.VARIANTS)
def test_landmarks_out_of_this_world_are_undrawable(
    face: tuple[np.ndarray, np.ndarray], variant: str, wrong: float
) -> None:
    image, landmarks = face
    landmarks = landmarks.copy()
    landmarks[8, 1] = wrong
    with pytest.raises(maskgen.Undrawable, match="100,000 pixels"):
        maskgen.draw(image, landmarks, variant, (1, 2, 3))


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_a_pillow_image_is_drawn_on_as_its_pixels(face: tuple[np.ndarray, np.ndarray], mode: str) -> None:
    image, landmarks = face
    picture = Image.fromarray(image).convert(mode)
    drawn = draw(picture, landmarks, "wide_high", (10, 20, 30))
    np.testing.assert_array_equal(drawn, draw(np.array(picture.convert("RGB")), landmarks, "wide_high", (10, 20, 30)))
    with pytest.raises(TypeError, match="the image is a list; give a numpy array or a Pillow image"):
        draw(image.tolist(), landmarks, "wide_high", (10, 20, 30))


def test_a_pillow_image_of_16_bits_or_with_transparent_parts_is_as_decode_gives_it(
    face: tuple[np.ndarray, np.ndarray],
) -> None:
    landmarks, nothing = face[1] + 1000, (0, 0, 0)  # the mask lies outside the picture
    deep = Image.fromarray(np.array([[0, 255, 256, 65535]], np.uint16))
    assert draw(deep, landmarks, "wide_high", nothing)[0, :, 0].tolist() == [0, 0, 1, 255]
    clear = Image.fromarray(np.array([[[9, 9, 9, 0], [9, 9, 9, 255]]], np.uint8), "RGBA")
    assert draw(clear, landmarks, "wide_high", nothing)[0].tolist() == [[255] * 3, [9] * 3]
