"""Random changes of training pictures: what each one does, and that only seed, epoch and photograph decide."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

import maskgen
from mfr_train.data import batches
from mfr_train.data.augment import augmented

CHANGES_OF_COLOR = (functional.adjust_brightness, functional.adjust_contrast, functional.adjust_saturation)


@pytest.fixture
def picture() -> np.ndarray:
    rows, columns = np.mgrid[:40, :40]
    return np.stack([rows * 6, columns * 6, 120 + 0 * rows], axis=2).astype(np.uint8)


def test_half_of_the_pictures_are_mirrored(picture):
    found = [augmented(picture, ("flip",), 0, 0, f"{number}") for number in range(400)]
    mirrored = [np.array_equal(image, picture[:, ::-1]) for image in found]
    assert all(np.array_equal(image, picture) for image, flipped in zip(found, mirrored, strict=True) if not flipped)
    assert 160 < sum(mirrored) < 240  # 200 and four standard deviations


def test_a_crop_is_a_square_of_the_picture_enlarged(picture):
    """Red rises by 6 a row: the first and the last row say where the square lay and how large it was."""
    sides, tops = [], []
    for number in range(200):
        image = augmented(picture, ("crop",), 1, 0, f"{number}").astype(float)
        first, last = image[0, :, 0].mean() / 6, image[-1, :, 0].mean() / 6
        sides.append(last - first + 1)
        tops.append(first)
        assert image.shape == picture.shape
        assert abs((image[0, -1, 1] - image[0, 0, 1]) / 6 + 1 - sides[-1]) < 1.01
    assert 33 < min(sides) < 36
    assert 38 < max(sides) <= 40.01
    assert max(tops) > 3


def test_colours_change_by_a_fifth_at_most():
    grey = np.full((8, 8, 3), 100, np.uint8)
    means = [augmented(grey, ("color",), 0, 0, f"{number}").mean() for number in range(200)]
    assert 77 <= min(means) < 85  # contrast and saturation leave a grey picture as it is, but for rounding
    assert 115 < max(means) <= 121


def test_colours_and_crops_are_those_of_torchvision_but_for_rounding(picture):
    """torchvision cuts a value down to a whole number after each of the three changes of colour."""
    pixels = torch.from_numpy(picture).permute(2, 0, 1)
    for number in range(50):
        digest = [hashlib.blake2b(f"augment {kind} 0 0 {number}".encode(), digest_size=8) for kind in ("color", "crop")]
        color, crop = (np.random.default_rng(int.from_bytes(each.digest(), "little")) for each in digest)
        theirs = pixels
        for change, factor in zip(CHANGES_OF_COLOR, color.uniform(0.8, 1.2, size=3).tolist(), strict=True):
            theirs = change(theirs, factor)
        ours = torch.from_numpy(augmented(picture, ("color",), 0, 0, str(number))).permute(2, 0, 1)
        assert (ours.int() - theirs.int()).abs().max() <= 4
        side = round(crop.uniform(0.85, 1) * 40)
        top, left = (int(crop.integers(40 - side + 1)) for _ in range(2))
        theirs = functional.resized_crop(pixels, top, left, side, side, [40, 40], antialias=True)
        ours = torch.from_numpy(augmented(picture, ("crop",), 0, 0, str(number))).permute(2, 0, 1)
        assert (ours.int() - theirs.int()).abs().max() <= 1


def test_the_draws_depend_on_seed_epoch_and_photograph_and_not_on_the_other_changes(picture):
    first = augmented(picture, ("crop", "color"), 0, 0, "a")
    assert np.array_equal(first, augmented(picture, ("crop", "color"), 0, 0, "a"))
    others = [augmented(picture, ("crop", "color"), *which) for which in ((1, 0, "a"), (0, 1, "a"), (0, 0, "b"))]
    assert not any(np.array_equal(first, other) for other in others)
    flips = {key: augmented(picture, ("flip",), 0, 0, key)[0, 0, 1] for key in "abcdef"}
    both = {key: augmented(picture, ("flip", "color"), 0, 0, key)[0, :, 1] for key in "abcdef"}
    for key, corner in flips.items():
        assert (corner == 0) == (both[key][0] < both[key][-1])


def test_batches_are_changed_the_same_for_any_place_to_start_and_number_of_workers(demo):
    feed = batches.Feed(str(demo), 8, 64, maskgen.VARIANTS, 0.5, seed=3, buffer=4)
    changed = replace(feed, augment=("flip", "crop", "color"))
    plain, whole = (batches.batches(each) for each in (feed, changed))
    several = [next(whole) for _ in range(12)]  # beyond the first epoch
    again = batches.batches(changed, start=9, workers=2)
    for images, labels in several[9:]:
        later, same = next(again)
        assert torch.equal(images, later)
        assert torch.equal(labels, same)
    images, labels = next(plain)
    assert torch.equal(labels, several[0][1])
    assert not torch.equal(images, several[0][0])
    seen = [row for images, _ in several for row in images.reshape(len(images), -1)]
    assert len(torch.unique(torch.stack(seen), dim=0)) == len(seen)  # another change in each epoch
