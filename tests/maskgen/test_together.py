"""Pictures of several photographs at once are those that each row gives alone."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

import maskgen
from maskgen.dataset import together
from maskgen.dataset.together import images_of
from maskgen.errors import MaskgenError
from maskgen.imaging.styles import FLAT

NAMES = ("wide_high", "round_low")


def row(number: int, side: int = 64, style: maskgen.Style = FLAT) -> maskgen.Row:
    """A recipe: a photograph of noise, whose face is an ellipse of landmarks around the nose."""
    rng = np.random.default_rng(number)
    picture = rng.integers(0, 256, (side, side, 3), np.uint8)
    landmarks = np.zeros((68, 2), np.float32)
    angle = np.linspace(np.pi, 0, 17)
    landmarks[:17] = np.stack([0.5 + 0.4 * np.cos(angle), 0.4 + 0.45 * np.sin(angle)], axis=1)
    landmarks[17:] = 0.5, 0.4
    landmarks[27:36] = np.stack([np.full(9, 0.5), np.linspace(0.35, 0.55, 9)], axis=1)
    landmarks[36:42, 0], landmarks[42:48, 0] = 0.35, 0.65
    data = bytes(cv2.imencode(".jpg", picture)[1])
    colors = {name: tuple(rng.integers(0, 256, 3).tolist()) for name in NAMES}
    return maskgen.Row(
        key=f"{number:09d}",
        source=f"{number}.jpg",
        identity="ann",
        split="train",
        label=0,
        width=side,
        height=side,
        box=np.zeros(4, np.float32),
        landmarks=landmarks * side,
        variant=None,
        colors=colors,
        pictures={"unmasked": data},
        style=style,
    )


SHOWN = {
    "one size": [(row(number), NAMES[number % 2]) for number in range(5)],
    "masked and unmasked": [(row(0), "wide_high"), (row(1), "unmasked"), (row(2), "round_low")],
    "two sizes": [(row(0), "wide_high"), (row(1, 96), "wide_high"), (row(2), "round_low")],
    "cloth beside flat": [(row(0, style=maskgen.Style("fabric")), "wide_high"), (row(1), "wide_high")],
    "one alone": [(row(0), "unmasked"), (row(1), "round_low")],
    "more than one pass": [(row(number), "round_low") for number in range(together.TOGETHER + 3)],
}


@pytest.mark.parametrize("shown", SHOWN.values(), ids=SHOWN)
def test_they_are_those_of_each_row_alone(shown: list[tuple[maskgen.Row, str]]) -> None:
    found = list(images_of(shown))
    assert len(found) == len(shown)
    for (one, name), image in zip(shown, found, strict=True):
        np.testing.assert_array_equal(image, one.image(name))
        if name != "unmasked":
            assert (image != one.image("unmasked")).any()


@pytest.mark.parametrize(
    ("changed", "picture"),
    [
        ({"pictures": {"unmasked": b"no JPEG"}}, "unmasked"),
        ({"width": 65}, "unmasked"),
        ({"landmarks": np.zeros((68, 2), np.float32)}, "wide_high"),
    ],
)
def test_a_damaged_photograph_among_others_is_named(changed: dict[str, object], picture: str) -> None:
    damaged = dataclasses.replace(row(1), **changed)
    with pytest.raises(MaskgenError, match=f"picture {picture} of photograph 000000001 is damaged"):
        list(images_of([(row(0), "wide_high"), (damaged, "wide_high"), (row(2), "wide_high")]))
