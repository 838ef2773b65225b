"""Random choices as pure functions of the seed and the source: colours of masks, the random variant."""

from __future__ import annotations

import hashlib

from ..errors import UsageError
from .variants import VARIANTS

NIST_COLORS = ((158, 207, 240), (0, 0, 0), (255, 255, 255), (200, 16, 32))
"""Light blue, black, white, red: the colours of NISTIR 8311 and 8331. NIST gives no RGB values; these are ours."""


def palette(colors: str, option: str = "--colors") -> tuple[tuple[int, int, int], ...]:
    """The RGB colours of a setting such as `--colors`; empty for `random`. Raises `UsageError` if it is not valid."""
    if colors == "random":
        return ()
    if colors == "nist":
        return NIST_COLORS
    chosen = []
    for text in colors.split(","):
        digits = text.strip().removeprefix("#")
        if len(digits) != 6 or not set(digits.lower()) <= set("0123456789abcdef"):
            choice = "#RRGGBB" if option == "--color" else "random, nist, or colours such as #1e90ff,#000000"
            raise UsageError(f"{option} has {text.strip()!r}; give {choice}.")
        chosen.append((int(digits[:2], 16), int(digits[2:4], 16), int(digits[4:], 16)))
    return tuple(chosen)


def color_of(seed: int, source: str, variant: str, colors: tuple[tuple[int, int, int], ...]) -> tuple[int, int, int]:
    """The RGB colour of a mask: a pure function of the seed, the name of the photograph and the variant."""
    drawn = digest(seed, "color", variant, source)
    if colors:
        return colors[int.from_bytes(drawn[:8], "big") % len(colors)]
    return drawn[0], drawn[1], drawn[2]


def variant_of(seed: int, source: str) -> str:
    """The variant that `--variants random` draws for a photograph; all six are equally likely."""
    return VARIANTS[int.from_bytes(digest(seed, "variant", source)[:8], "big") % len(VARIANTS)]


def digest(seed: int, purpose: str, *names: str) -> bytes:
    """16 pseudo-random bytes. Different purposes or names give independent ones."""
    text = "\0".join((str(seed), purpose, *names))
    return hashlib.blake2b(text.encode(), digest_size=16).digest()
