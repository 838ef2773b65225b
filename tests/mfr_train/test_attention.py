"""Maps of any model: occlusion of toy functions, places of positions, shares of synthetic maps, curves by hand."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from maskgen.errors import MaskgenError, UsageError
from mfr_train.explaining import faithfulness, occlusion, shares
from mfr_train.explaining.attention import Attention, attention, placed, readable, shuffled
from mfr_train.explaining.photographs import order
from mfr_train.networks import faces
from mfr_train.networks.dlib_network import dlib_backbone
from mfr_train.networks.model import Model
from mfr_train.networks.pooled import PooledNetwork
from mfr_train.networks.preprocessing import Preprocessing
from mfr_train.networks.resnet import Network, resnet_backbone

GREY = np.full((60, 60, 3), 100, np.uint8)


def looks_at(rows: slice, columns: slice):
    """A model whose embedding is (100, brightest value in one place)."""

    def embed(pictures):
        return [(100.0, picture[rows, columns].max()) for picture in pictures]

    return embed


def test_occlusion_finds_the_place_that_a_function_looks_at() -> None:
    picture = GREY.copy()
    picture[30:36, 42:48] = 250
    [found] = attention(looks_at(slice(30, 36), slice(42, 48)), picture, patch=0.2, stride=0.1)
    # A patch of 12 pixels, every 6: those that cover 30..35 and 42..47 wholly begin at 24 or 30 and at 36 or 42.
    assert set(zip(*np.nonzero(found), strict=True)) == {(y, x) for y in range(24, 42) for x in range(36, 54)}
    assert np.argwhere(found == found.max()).tolist() == [[y, x] for y in range(30, 36) for x in range(42, 48)]
    fill = round(float(picture.mean()))
    whole, covered = np.array([100, 250.0]), np.array([100.0, fill])
    cosine = whole @ covered / np.linalg.norm(whole) / np.linalg.norm(covered)
    assert found.max() == pytest.approx(1 - cosine, rel=1e-4)


@pytest.mark.parametrize(("length", "patch", "stride"), [(60, 0.2, 0.1), (61, 0.3, 0.17), (7, 0.01, 0.01), (5, 1, 1)])
def test_patches_cover_a_side_from_end_to_end(length: int, patch: float, stride: float) -> None:
    first, size = occlusion.starts(length, patch, stride)
    assert (first[0], first[-1] + size) == (0, length)
    assert (np.diff(first) <= max(1, math.ceil(stride * length))).all()
    even = occlusion.spread(np.full((len(first), len(first)), 0.25, np.float32), length, length, patch, stride)
    np.testing.assert_allclose(even, 0.25, rtol=1e-6)


def test_a_picture_of_one_colour_has_an_occlusion_map_of_zeros() -> None:
    assert not attention(looks_at(slice(0, 60), slice(0, 60)), GREY).any()


def test_a_function_that_gives_no_embeddings_is_refused() -> None:
    with pytest.raises(UsageError, match=r"gives shape \(1,\) for 1 pictures"):
        attention(lambda pictures: [1.0 for _ in pictures], GREY)
    with pytest.raises(MaskgenError, match="no finite numbers"):
        attention(lambda pictures: [(1.0, math.nan) for _ in pictures], GREY)
    with pytest.raises(UsageError, match="no layers that --method gradcam"):
        attention(looks_at(slice(0, 9), slice(0, 9)), GREY, method="gradcam")


def test_what_attention_refuses() -> None:
    look = looks_at(slice(0, 9), slice(0, 9))
    with pytest.raises(UsageError, match="different sizes, such as 50 x 60 and 60 x 60"):
        attention(look, [GREY, GREY[:, :50]])
    with pytest.raises(UsageError, match="1 keys for 2 pictures"):
        attention(look, [GREY, GREY], keys=["a"])
    with pytest.raises(UsageError, match="attention has no option 'data'"):
        attention(look, GREY, **{"data": "smfd"})
    with pytest.raises(UsageError, match="--patch is 2"):
        attention(look, GREY, patch=2.0)
    assert attention(look, []).shape == (0, 0, 0)


def test_a_network_with_few_positions_gets_occlusion_unless_told_otherwise(narrow: None) -> None:
    torch.manual_seed(0)
    model = Model("small", resnet_backbone(Network("resnet18"), "resnet18", 64))
    picture = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    by_default = attention(model, picture)
    np.testing.assert_array_equal(by_default, attention(model, picture, method="occlusion"))
    assert (by_default != attention(model, picture, method="gradcam")).any()


def test_only_networks_that_can_be_read_have_closed_forms(tmp_path: Path) -> None:
    backbone = replace(dlib_backbone("cpu"), pooled=None)
    with pytest.raises(UsageError, match="does not end in pooling and a linear layer that can be read"):
        attention(Model("closed", backbone), GREY, np.zeros((1, 68, 2)), method="gradcam")


def test_eum_and_a_projection_of_unit_features_are_no_linear_layer() -> None:
    backbone = dlib_backbone("cpu")
    eye, zero = np.eye(128, dtype=np.float32), np.zeros(128, np.float32)
    assert backbone.pooled is not None
    assert readable(Model("m", backbone, eye, zero)) is backbone.pooled
    assert readable(Model("m", backbone, unmasking=((eye, zero), (eye, zero)))) is None
    unit = replace(backbone, pooled=replace(backbone.pooled, normalised=True))
    assert readable(Model("m", unit)) is unit.pooled
    assert readable(Model("m", unit, eye, zero)) is None
    assert dlib_backbone("cpu", Preprocessing(flip_sum=True)).pooled is None


def test_positions_lie_in_the_middle_of_what_they_see(narrow: None) -> None:
    """The pixels that a position of a ResNet depends on, found by autograd, are centred on 32 times its number."""
    pooled = resnet_backbone(Network("resnet18"), "resnet18", 704).pooled
    assert pooled is not None
    layers = torch.nn.Sequential(*list(Network("resnet18").eval().trunk.children())[:-2])
    picture = torch.rand((1, 3, 704, 704), requires_grad=True)
    position = 11
    layers(picture)[0, :, position, position].sum().backward()
    assert picture.grad is not None
    seen = torch.nonzero(picture.grad.abs().sum((0, 1)).sum(0)).flatten()
    assert (int(seen[0]) + int(seen[-1])) / 2 == position * pooled.stride + pooled.first == 352


def positions(stride: float, first: float) -> PooledNetwork:
    return PooledNetwork(lambda given: given, stride, first, "cpu")


def test_values_are_placed_and_interpolated_by_hand() -> None:
    """Two positions at pixels 2 and 6 of a face of 8 pixels, which is the picture moved by one pixel to the left."""
    moved = np.array([(1, 0, -1), (0, 1, 0)], np.float64)
    found = placed(np.array([[0, 4], [0, 4]], np.float32), positions(4, 2), 8, moved, 8, 10)
    expected = [0, 0, 0, 0, 1, 2, 3, 4, 4, 0]  # pixels 0 and 9 of the picture are outside the face
    np.testing.assert_allclose(found, np.tile(expected, (8, 1)), atol=1e-6)


def test_one_position_is_the_same_everywhere() -> None:
    assert (placed(np.array([[3]], np.float32), positions(32, 0), 8, np.eye(2, 3), 8, 8) == 3).all()


def test_the_map_from_picture_to_face_is_that_of_the_pixels() -> None:
    """A picture whose pixels hold their own coordinates, seen through each alignment."""
    y, x = np.mgrid[0:200, 0:240]
    picture = np.stack([x, y, np.full_like(x, 255)], axis=2).astype(np.uint8)
    landmarks = np.random.default_rng(0).uniform(70, 150, (68, 2)).astype(np.float32)
    for how, size in (("dlib", 150), ("arcface", 112), ("none", 160)):
        [face] = faces.cut_out([picture], landmarks[None], how, size)
        matrix = faces.matrix(picture, landmarks, how, size)
        rows, columns = np.nonzero(face[:, :, 2] == 255)
        expected = face[rows, columns, :2].astype(float)
        found = (np.stack([columns, rows], 1) - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
        assert len(expected) > 5000
        assert np.abs(found - expected).mean() < 0.55  # coordinates are whole numbers


def test_shares_of_a_synthetic_map_are_exact() -> None:
    values = np.zeros((4, 4), np.float32)
    values[0, 0], values[3, 3], values[2, 1] = 1, 2, 5
    region = np.zeros((4, 4))
    region[2:], region[2, 1] = 1, 0.5
    assert shares.share(values, region) == (2 + 2.5) / 8
    assert math.isnan(shares.share(np.zeros((4, 4), np.float32), region))
    assert shares.share(np.ones((4, 4), np.float32), region) == region.mean()


def face_with_eyes(left: tuple[float, float], right: tuple[float, float], chin: tuple[float, float]):
    points = np.zeros((68, 2), np.float32)
    points[36:42], points[42:48], points[8] = left, right, chin
    return points


def test_above_the_eyes_is_on_the_side_of_the_forehead() -> None:
    upright = shares.above_eyes(face_with_eyes((2, 3), (6, 3), (4, 9)), 10, 9)
    assert upright[:, 0].tolist() == [1, 1, 1, 0.5, 0, 0, 0, 0, 0, 0]
    upside_down = shares.above_eyes(face_with_eyes((6, 3), (2, 3), (4, 0)), 10, 9)
    np.testing.assert_allclose(upside_down, 1 - upright)
    lying = shares.above_eyes(face_with_eyes((4, 2), (4, 8), (0, 5)), 10, 9)
    assert lying[0].tolist() == [0, 0, 0, 0, 0.5, 1, 1, 1, 1]
    assert not shares.above_eyes(face_with_eyes((4, 2), (4, 2), (0, 5)), 10, 9).any()


def test_means_are_over_subjects_and_intervals_those_of_their_resamples() -> None:
    values, subjects = [0.0, 1.0, 0.5, 1.0, math.nan], ["a", "a", "b", "c", "c"]
    found = shares.subject_mean(values, subjects, 4000, 0)
    assert found.value == pytest.approx((0.5 + 0.5 + 1.0) / 3)
    # Resamples hold c 0 to 3 times of 3: means 1/2, 2/3, 5/6 and 1. Their chances are 8, 12, 6 and 1 of 27.
    assert found.interval == (0.5, 1.0)
    assert shares.subject_mean(values, subjects, 0, 0).interval is None
    assert shares.subject_mean([0.2, 0.4], ["a", "b"], 1000, 0) == pytest.approx(0.3)
    assert math.isnan(shares.subject_mean([math.nan], ["a"], 1000, 0))


def as_values(values: np.ndarray) -> Attention:
    return Attention(values.astype(np.float32), lambda given: given)


def test_deletion_and_insertion_of_a_toy_model_by_hand() -> None:
    """The model sees one bright pixel of 16. Its own map deletes it at the first step and inserts it there."""
    picture = np.zeros((4, 4, 3), np.uint8)
    picture[1, 2] = 160  # the mean is 10
    values = np.zeros((4, 4))
    values[1, 2] = 1

    def embed(pictures):
        seen = np.array([(picture[1, 2, 0], 100) for picture in pictures], np.float32)
        return seen / np.linalg.norm(seen, axis=1, keepdims=True)

    found = faithfulness.similarities(picture, as_values(values), embed, 4, np.random.default_rng(0))
    covered = (160 * 10 + 100 * 100) / math.hypot(160, 100) / math.hypot(10, 100)
    np.testing.assert_allclose(found["deletion", "map"], [1] + [covered] * 4, rtol=1e-6)
    curves = faithfulness.PictureCurves("m", "k", "s", "unmasked", found)
    assert curves.area("deletion", "map") == pytest.approx(((1 + covered) / 2 + 3 * covered) / 4)
    assert curves.area("deletion", "map") <= curves.area("deletion", "random")
    assert found["insertion", "map"][0] < 1
    np.testing.assert_allclose(found["insertion", "map"][1:], 1, rtol=1e-6)


def test_a_random_map_has_the_same_values_elsewhere() -> None:
    values = np.arange(36.0).reshape(6, 6)
    other = shuffled(as_values(values), np.random.default_rng(0))
    assert sorted(other.map().ravel()) == list(range(36))
    assert (other.map() != values).mean() > 0.5


def test_steps_of_both_curves_end_in_all_pixels() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (6, 5, 3)).astype(np.uint8)
    pixels = faithfulness.ranked(np.arange(30, dtype=np.float32).reshape(6, 5), np.zeros((6, 5)))
    assert pixels.tolist() == list(range(29, -1, -1))
    deleted = list(faithfulness.steps_of(picture, pixels, "deletion", 3))
    assert len(deleted) == 4
    assert (deleted[0] == picture).all()
    fill = np.rint(picture.mean((0, 1)))
    assert (deleted[3] == fill).all()
    assert (deleted[1].reshape(-1, 3)[20:] == fill).all()
    assert (deleted[1].reshape(-1, 3)[:20] == picture.reshape(-1, 3)[:20]).all()
    assert (list(faithfulness.steps_of(picture, pixels, "insertion", 3))[3] == picture).all()


def test_photographs_are_drawn_person_by_person() -> None:
    identities = np.array(["a"] * 5 + ["b"] * 2 + ["c"])
    drawn = order(identities, 0)
    assert sorted(drawn) == list(range(8))
    assert sorted(identities[drawn[:3]]) == ["a", "b", "c"]
    assert sorted(identities[drawn[3:5]]) == ["a", "b"]
    assert (order(identities, 0) == drawn).all()
    assert any((order(identities, seed) != drawn).any() for seed in (1, 2))
