"""Labels of a row: the mask that was drawn, its box, the share of the face; worked out by hand and by other ways."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest

import maskgen
from maskgen.dataset.record import Row
from maskgen.imaging import labels
from maskgen.imaging.outline import signed_area
from maskgen.imaging.render import Cover

Make = Callable[..., Path]


def blend(row: Row, name: str) -> npt.NDArray[np.uint8]:
    """The masked picture as the docstring of `Row.mask` says it."""
    mask = row.mask(name)[:, :, None].astype(int)
    unmasked = row.image("unmasked").astype(int)
    return ((unmasked * (255 - mask) + np.array(row.colors[name]) * mask + 127) // 255).astype(np.uint8)


@pytest.mark.parametrize("format", ["parquet", "webdataset"])
@pytest.mark.parametrize("variants", ["all", "random"])
def test_a_masked_picture_is_the_blend_of_unmasked_and_colour(
    tree: Path, tmp_path: Path, make: Make, format: str, variants: str
) -> None:
    recipe, rendered = (
        maskgen.open(make(tree, tmp_path / store, store=store, format=format, variants=variants, limit=8))
        for store in ("recipe", "rendered")
    )
    assert len(recipe) == len(rendered) == 7
    for row, other in zip(recipe, rendered, strict=True):
        for name in recipe.variants:
            expected = blend(row, name)
            np.testing.assert_array_equal(row.image(name), expected)
            jpeg = cv2.imencode(".jpg", expected[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])[1].tobytes()
            assert other.jpeg(name) == jpeg, "what the rendered store encodes"
            np.testing.assert_array_equal(other.mask(name), row.mask(name))
            corners = maskgen.outline(row.landmarks, row.variant or name)
            assert row.mask(name).sum() / 255 == pytest.approx(abs(signed_area(corners)), rel=0.01)
            assert row.mask(name).dtype == np.uint8
            assert row.mask(name).shape == (96, 96)


def test_labels_need_no_picture(built: Path) -> None:
    whole, bare = maskgen.open(built)[3], next(iter(maskgen.open(built).shards("train")[0].read((), [3])))
    assert not bare.pictures
    assert bare.key == whole.key
    np.testing.assert_array_equal(bare.mask("round_low"), whole.mask("round_low"))
    assert bare.mask_box("round_low") == whole.mask_box("round_low")
    assert bare.covered("round_low") == whole.covered("round_low")


@pytest.fixture
def row() -> Row:
    """A face whose landmarks span the square from (10, 10) to (50, 50); its mask round_high is the ellipse around
    (30, 40) with the half axes 16 and 10."""
    points = np.full((68, 2), 30, np.float32)
    points[17], points[26], points[0], points[16] = (10, 10), (50, 10), (10, 50), (50, 50)
    points[3, 0], points[13, 0] = 10, 50  # half width: 0.8 * 40 / 2
    points[8], points[27], points[28] = (30, 50), (30, 29), (30, 31)  # from the middle of these two to the chin
    colors = {"round_high": (1, 2, 3)}
    return Row("000000000", "a/b.jpg", "a", "test", -1, 64, 64, points[:2].ravel(), points, None, colors, {})


def test_a_box_holds_every_pixel_that_the_mask_touches(row: Row) -> None:
    assert row.mask_box("round_high") == (14, 30, 47, 51)
    mask = row.mask("round_high")
    assert mask[30:51, 14:47].any(axis=0).all()
    assert mask[30:51, 14:47].any(axis=1).all()
    assert mask.sum() == mask[30:51, 14:47].sum()


def test_a_box_of_the_pixels_at_least_half_covered(row: Row) -> None:
    for least in (1, 64, 128, 255):
        y, x = np.nonzero(row.mask("round_high") >= least)
        assert row.mask_box("round_high", least) == (x.min(), y.min(), x.max() + 1, y.max() + 1)
    # The ellipse ends in the middle of the outermost pixels, and bends away: it covers less than half of each.
    assert row.mask_box("round_high", 128) == (15, 31, 46, 50)


def test_a_box_ends_at_the_frame_and_may_be_empty(row: Row) -> None:
    assert dataclasses.replace(row, width=30, height=45).mask_box("round_high") == (14, 30, 30, 45)
    far = dataclasses.replace(row, landmarks=row.landmarks + 500)
    assert far.mask_box("round_high") == (0, 0, 0, 0)
    assert not far.mask("round_high").any()
    assert far.covered("round_high") == 0


def test_the_share_of_the_face_is_that_of_the_hull_of_the_landmarks(row: Row) -> None:
    assert row.covered("round_high") == pytest.approx(math.pi * 16 * 10 / 40**2, abs=1e-3)
    # Cut in the middle of the face: of mask and face the same share is left.
    points = row.landmarks + np.array([-0.5, 0], np.float32)
    half = dataclasses.replace(row, landmarks=points, width=30)
    assert half.covered("round_high") == pytest.approx(math.pi * 16 * 10 / 40**2, abs=1e-3)


def test_what_lies_beside_the_face_does_not_count(row: Row) -> None:
    """The mask is wider than the face here, whose hull has six corners: two of them lie outside the picture."""
    points = np.full((68, 2), 30, np.float32)
    points[0], points[16], points[8] = (10, 20), (50, 20), (30, 50)
    points[3, 0], points[13, 0], points[27], points[28] = -20, 80, (30, 19), (30, 21)
    wide = dataclasses.replace(row, landmarks=points)
    mask, scale = wide.mask("round_high"), 16
    face = np.zeros((64 * scale, 64 * scale), np.uint8)
    corners = np.array([(-20, 30), (10, 20), (30, 19), (50, 20), (80, 30), (30, 50)])
    cv2.fillPoly(face, [np.rint((corners + 0.5) * scale).astype(np.int32)], 255)
    face = cv2.resize(face, (64, 64), interpolation=cv2.INTER_AREA)
    expected = np.minimum(mask, face).sum(dtype=float) / face.sum(dtype=float)
    assert wide.covered("round_high") == pytest.approx(expected, abs=5e-3)
    assert mask.sum() > np.minimum(mask, face).sum() * 1.1


@pytest.mark.parametrize("call", ["mask", "mask_box", "covered"])
def test_a_mask_that_is_not_there_is_one_sentence(row: Row, call: str) -> None:
    for name in ("wide_high", "unmasked", ""):
        with pytest.raises(
            maskgen.UsageError, match=rf"photograph 000000000 has no mask '{name}'; it has round_high\."
        ):
            getattr(row, call)(name)


@pytest.mark.parametrize("least", [0, 256, -1])
def test_a_coverage_out_of_range_is_one_sentence(row: Row, least: int) -> None:
    with pytest.raises(maskgen.UsageError, match=f"least is {least}; give a coverage from 1 to 255"):
        row.mask_box("round_high", least)


def test_landmarks_without_a_mask_are_one_sentence(row: Row) -> None:
    damaged = dataclasses.replace(row, landmarks=np.zeros((68, 2), np.float32), shard="test/00000")
    for call in (damaged.mask, damaged.mask_box, damaged.covered):
        with pytest.raises(
            maskgen.MaskgenError, match="round_high of photograph 000000000 in shard test/00000 is damaged"
        ):
            call("round_high")


def test_run_lengths_by_hand() -> None:
    share = np.array([[127, 128], [255, 0]], np.uint8)
    assert labels.runs(Cover(share, 1, 0), 3, 2) == [3, 2, 1]  # columns: 00, 01, 10
    assert labels.runs(Cover(share, 0, 0), 2, 2) == [1, 2, 1]  # columns: 01, 10
    assert labels.runs(Cover(np.full((2, 2), 255, np.uint8), 0, 0), 2, 2) == [0, 4]
    assert labels.runs(Cover(np.zeros((0, 0), np.uint8), 0, 0), 2, 2) == [4]
