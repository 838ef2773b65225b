"""Masks while training: a transform for arrays, Pillow images and tensors, alone and in torchvision's pipelines."""

from __future__ import annotations

import pickle
import random
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision import tv_tensors
from torchvision.transforms import v2

import maskgen
from maskgen.errors import UsageError
from tests.support import data_sets, faces


@pytest.fixture(scope="module")
def landmarks(head: np.ndarray, landmarker: maskgen.Landmarker) -> np.ndarray:
    face = landmarker.find(head)
    assert face is not None
    return face.landmarks


def test_the_probability_holds_and_the_input_stays(head: np.ndarray, landmarks: np.ndarray) -> None:
    before = head.copy()
    mask = maskgen.RandomMask(p=0.3, seed=1)
    drawn = sum(mask(head, landmarks) is not head for _ in range(400))
    assert 90 <= drawn <= 150  # 120 expected, deviation 9
    np.testing.assert_array_equal(head, before)
    assert maskgen.RandomMask(p=0)(head, landmarks) is head
    masked = maskgen.RandomMask(p=1)(head, landmarks)
    assert masked.dtype == np.uint8
    assert (masked != head).any(axis=2).sum() > 800


def test_variants_and_colours_are_those_that_were_given(head: np.ndarray, landmarks: np.ndarray) -> None:
    choices = {
        maskgen.draw(head, landmarks, variant, color).tobytes(): (variant, color)
        for variant in ("wide_low", "round_high")
        for color in ((255, 0, 0), (0, 0, 255))
    }
    for variants, colors in (
        (["wide_low", "round_high"], ["#ff0000", "#0000ff"]),
        ("wide_low, round_high", "#f00000,#0000ff"),
    ):
        mask = maskgen.RandomMask(p=1, variants=variants, colors=colors, seed=3)
        found = Counter(choices.get(mask(head, landmarks).tobytes()) for _ in range(80))
        assert (None in found) == ("#f00000" in colors)
        assert len(found) >= 3
    first = mask_of_each(head, landmarks, "random")
    assert len(set(first)) == len(first)  # other colours each time


def mask_of_each(head: np.ndarray, landmarks: np.ndarray, colors: str, **options: Any) -> list[bytes]:
    mask = maskgen.RandomMask(p=1, colors=colors, seed=5, **options)
    return [mask(head, landmarks).tobytes() for _ in range(8)]


@pytest.mark.parametrize("style", ["flat", "fabric", "texture"])
def test_a_seed_repeats_every_style(style: str, head: np.ndarray, landmarks: np.ndarray, tmp_path: Path) -> None:
    data_sets.write_tree(tmp_path, {"a.png": faces.encoded(np.full((40, 40, 3), (0, 200, 0), np.uint8), "PNG")})
    textures = tmp_path if style == "texture" else None
    once, again = (mask_of_each(head, landmarks, "nist", style=style, textures=textures) for _ in range(2))
    assert once == again
    random.seed(1)
    unseeded = maskgen.RandomMask(p=1)(head, landmarks)
    random.seed(1)
    np.testing.assert_array_equal(unseeded, maskgen.RandomMask(p=1)(head, landmarks))


class Named(NamedTuple):
    picture: Any
    points: Any
    label: int


def test_a_sample_comes_back_as_it_was_but_for_its_picture(head: np.ndarray, landmarks: np.ndarray) -> None:
    expected = maskgen.RandomMask(p=1, seed=7)(head, landmarks)
    tensor = torch.from_numpy(head.transpose(2, 0, 1).copy())
    kinds: dict[Any, Any] = {
        np.ndarray: head,
        Image.Image: Image.fromarray(head),
        torch.Tensor: tensor,
        tv_tensors.Image: tv_tensors.Image(tensor),
    }
    for kind, picture in kinds.items():
        for points in (landmarks, torch.from_numpy(landmarks), landmarks.tolist()):
            for sample in (
                {"image": picture, "landmarks": points, "label": 3},
                (picture, points, 3),
                [3, points, picture],
                Named(picture, points, 3),
            ):
                made = maskgen.RandomMask(p=1, seed=7)(sample)
                assert type(made) is type(sample)
                assert len(made) == 3
                values = list(made.values()) if isinstance(made, dict) else list(made)
                (masked,) = (value for value in values if isinstance(value, kind) and np.shape(value) != (68, 2))
                if kind is not np.ndarray:
                    assert type(masked) is type(picture)
                pixels = np.asarray(masked)
                pixels = pixels.transpose(1, 2, 0) if pixels.shape[0] == 3 else pixels
                np.testing.assert_array_equal(pixels, expected)
                assert any(value is points for value in values)
                assert 3 in [value for value in values if isinstance(value, int)]
    np.testing.assert_array_equal(tensor.numpy().transpose(1, 2, 0), head)


def test_it_stands_in_a_pipeline_of_torchvision(head: np.ndarray, landmarks: np.ndarray) -> None:
    steps = v2.Compose([maskgen.RandomMask(p=1, seed=7), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
    made = steps({"image": Image.fromarray(head), "landmarks": landmarks, "label": 3})
    expected = maskgen.RandomMask(p=1, seed=7)(head, landmarks)
    np.testing.assert_allclose(made["image"].numpy().transpose(1, 2, 0) * 255, expected, atol=1e-3)


def test_faces_without_such_a_mask_stay(head: np.ndarray, landmarks: np.ndarray) -> None:
    turned = landmarks.copy()
    turned[:, 0] = 180 - turned[:, 0]  # the jaw runs the wrong way
    assert maskgen.RandomMask(p=1, variants="wide_high")(head, turned) is head


def test_wrong_calls_say_what_to_give(head: np.ndarray, landmarks: np.ndarray) -> None:
    for options, words in (
        ({"p": 1.5}, "p is 1.5; give a probability"),
        ({"variants": "wide"}, "variants has no 'wide'; choose all"),
        ({"variants": []}, "variants is empty"),
        ({"colors": "red"}, "colors has 'red'; give random, nist, or colours"),
        ({"style": "felt"}, "style is 'felt'; choose one of flat"),
        ({"style": "texture"}, "needs textures=DIR"),
        ({"textures": "x"}, "no other style takes it"),
    ):
        with pytest.raises(UsageError, match=words):
            maskgen.RandomMask(**options)
    mask = maskgen.RandomMask(p=1)
    for sample, words in (
        ((head, 3), "no landmarks of the shape"),
        ({"landmarks": landmarks}, "no picture"),
        (head, "no"),
    ):
        with pytest.raises(TypeError, match=words):
            mask(sample)
    with pytest.raises(ValueError, match="the image is float64"):
        mask(head / 255, landmarks)


class Same(Dataset[Any]):
    """The same face each time."""

    def __init__(self, head: np.ndarray, landmarks: np.ndarray, mask: maskgen.RandomMask) -> None:
        self.sample, self.mask = {"image": head, "landmarks": landmarks}, mask

    def __len__(self) -> int:
        return 8

    def __getitem__(self, number: int) -> Any:
        return self.mask(self.sample)["image"]


@pytest.mark.parametrize("start", ["fork", pytest.param("spawn", marks=pytest.mark.slow)])
def test_workers_and_epochs_differ_and_a_run_repeats(start: str, head: np.ndarray, landmarks: np.ndarray) -> None:
    mask = maskgen.RandomMask(p=1, seed=0)
    mask(head, landmarks)  # a generator that a fork would copy
    loader = DataLoader(Same(head, landmarks, mask), batch_size=4, num_workers=2, multiprocessing_context=start)

    def epochs() -> list[bytes]:
        torch.manual_seed(0)
        return [picture.numpy().tobytes() for _ in range(2) for batch in loader for picture in batch]

    once, again = epochs(), epochs()
    assert once == again
    assert len(set(once)) == 16


def test_a_copy_draws_as_the_original(head: np.ndarray, landmarks: np.ndarray) -> None:
    mask = maskgen.RandomMask(p=1, seed=2)
    copy = pickle.loads(pickle.dumps(mask))
    np.testing.assert_array_equal(copy(head, landmarks), mask(head, landmarks))
    assert repr(copy) == (
        "RandomMask(p=1, variants=wide_high,wide_medium,wide_low,round_high,round_medium,round_low, style=flat, seed=2)"
    )
