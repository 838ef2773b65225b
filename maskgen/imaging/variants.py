"""The names of the six masks, and of the masked pictures that a setting asks for."""

from __future__ import annotations

VARIANTS = ("wide_high", "wide_medium", "wide_low", "round_high", "round_medium", "round_low")
"""The six masks, {wide, round} x {high, medium, low} coverage, in the order of the shards' columns."""


def masked_names(variants: str) -> tuple[str, ...]:
    """The masked pictures of a row, by the setting `--variants`: one called `masked`, or those it lists."""
    if variants == "random":
        return ("masked",)
    if variants == "all":
        return VARIANTS
    return tuple(name.strip() for name in variants.split(","))
