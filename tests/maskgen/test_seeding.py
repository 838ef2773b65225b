"""Colours and variants are hashes of seed, source and variant, and evenly spread."""

from __future__ import annotations

import hashlib
from collections import Counter

import pytest

from maskgen.errors import UsageError
from maskgen.imaging.seeding import color_of, palette, variant_of
from maskgen.imaging.variants import VARIANTS


def test_seeds_are_hashes_of_seed_source_and_variant() -> None:
    digest = hashlib.blake2b(b"5\0color\0round_low\0ann/1.jpg", digest_size=16).digest()
    assert color_of(5, "ann/1.jpg", "round_low", ()) == tuple(digest[:3])
    digest = hashlib.blake2b(b"5\0variant\0ann/1.jpg", digest_size=16).digest()
    assert variant_of(5, "ann/1.jpg") == VARIANTS[int.from_bytes(digest[:8], "big") % 6]
    others = [(6, "ann/1.jpg", "round_low"), (5, "ann/2.jpg", "round_low"), (5, "ann/1.jpg", "round_high")]
    assert len({color_of(*one, ()) for one in [*others, (5, "ann/1.jpg", "round_low")]}) == 4


def test_draws_are_even() -> None:
    sources = [f"ann/{number}.jpg" for number in range(6000)]
    counts = Counter(variant_of(0, source) for source in sources)
    assert set(counts) == set(VARIANTS)
    assert all(900 < count < 1100 for count in counts.values()), counts  # 1000 expected, 29 the deviation
    nist = palette("nist")
    colors = Counter(color_of(0, source, "wide_low", nist) for source in sources)
    assert set(colors) == set(nist)
    assert all(1370 < count < 1630 for count in colors.values()), colors  # 1500 expected, 34 the deviation
    red = [color_of(0, source, "wide_low", ())[0] for source in sources]
    assert abs(sum(red) / len(red) - 127.5) < 5


def test_palettes() -> None:
    assert palette("random") == ()
    assert palette("#ff8000, 010203") == ((255, 128, 0), (1, 2, 3))
    assert len(palette("nist")) == 4
    for bad in ("red", "#12345", "#gggggg", ""):
        with pytest.raises(UsageError, match="--colors"):
            palette(bad)
