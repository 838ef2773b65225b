"""The names of the six masks and of their styles, and of the masked pictures that the setting `--variants` selects."""

from __future__ import annotations

VARIANTS = ("wide_high", "wide_medium", "wide_low", "round_high", "round_medium", "round_low")
"""The six masks, {wide, round} x {high, medium, low} coverage, in the order of the columns of a shard."""

STYLES = ("flat", "fabric", "texture")
"""How a mask can look. Its outline is the same in every style."""


def masked_names(variants: str) -> tuple[str, ...]:
    """The names of the masked pictures of a row: `masked` alone for random, otherwise the variants listed."""
    if variants == "random":
        return ("masked",)
    if variants == "all":
        return VARIANTS
    return tuple(name.strip() for name in variants.split(","))
