"""Names of the colours of masks, with scikit-image as the judge of lightness."""

from __future__ import annotations

import numpy as np
from skimage.color import rgb2lab

from maskgen.imaging.seeding import NIST_COLORS
from mfr_train.evaluation.mask_colors import color_names, lightness


def test_nists_colours_have_their_names() -> None:
    colors = np.array(NIST_COLORS, np.uint8)[[[0, 1], [2, 3], [1, 1]]]
    assert color_names(colors).tolist() == [["blue", "black"], ["white", "red"], ["black", "black"]]


def test_other_colours_are_named_by_lightness() -> None:
    # L* of the greys 78, 79, 162 and 163 is 33.18, 33.60, 66.62 and 66.99.
    greys = np.array([[value] * 3 for value in (0, 78, 79, 162, 163, 255)], np.uint8)
    assert color_names(greys).tolist() == ["dark", "dark", "medium", "medium", "light", "light"]
    # One colour that is not NIST's is enough: the others are then named alike.
    assert color_names(np.array([(0, 0, 0), (0, 255, 0), (255, 0, 0)], np.uint8)).tolist() == [
        "dark",
        "light",
        "medium",
    ]


def test_lightness_is_scikit_images() -> None:
    colors = np.random.default_rng(5).integers(0, 256, (500, 3)).astype(np.uint8)
    np.testing.assert_allclose(lightness(colors), rgb2lab(colors[None])[0, :, 0], rtol=0, atol=0.01)


def test_no_masks_have_no_names() -> None:
    assert color_names(np.empty((4, 0, 3), np.uint8)).shape == (4, 0)
