"""The colours of masks by name, for the breakdown: NIST's four, or how light the mask is."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from maskgen.imaging.seeding import NIST_COLORS

Names = npt.NDArray[np.str_]
Colors = npt.NDArray[np.uint8]

NIST_NAMES = ("blue", "black", "white", "red")
"""Names of `NIST_COLORS`, in their order; the blue is light."""

LIGHTNESS = ("dark", "medium", "light")
"""Thirds of the scale of CIE lightness: L* below 33.3, below 66.7, and the rest."""


def color_names(colors: Colors) -> Names:
    """The name of each colour, RGB uint8 (..., 3) -> (...,).

    If all are NIST's, as `--colors nist` gives them, NIST's names. Otherwise lightness: hues drawn at random have no
    names that all readers agree on, and lightness is what a grey picture of a mask shows.
    """
    same = (colors[..., None, :] == np.array(NIST_COLORS, np.uint8)).all(axis=-1)
    if same.any(axis=-1).all():
        return np.array(NIST_NAMES)[same.argmax(axis=-1)]
    return np.array(LIGHTNESS)[np.digitize(lightness(colors), (100 / 3, 200 / 3))]


def lightness(colors: Colors) -> npt.NDArray[np.float64]:
    """CIE L*, 0 to 100, of sRGB colours (IEC 61966-2-1; CIE 15), uint8 (..., 3) -> float64 (...,)."""
    values = colors / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    luminance = linear @ np.array([0.2126, 0.7152, 0.0722])
    root = np.where(luminance > (6 / 29) ** 3, np.cbrt(luminance), luminance / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.asarray(116 * root - 16)
