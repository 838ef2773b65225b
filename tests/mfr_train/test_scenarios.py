"""Which pictures are compared."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from maskgen import VARIANTS
from mfr_train.evaluation import scenarios
from mfr_train.evaluation.scenarios import Photographs, pairing

PEOPLE = Photographs(
    np.array([f"{number:09d}" for number in range(600)]), np.arange(600) // 6, VARIANTS, np.array([""] * 600)
)


def test_scenarios_are_what_their_names_say() -> None:
    for name, (reference, probe) in {"U-U": (0, 0), "U-M": (0, 1), "M-M": (1, 1)}.items():
        found = pairing(name, PEOPLE, 0)
        for choice, masked in ((found.reference, reference), (found.probe, probe)):
            assert choice.rows.tolist() == list(range(600))
            assert set(choice.names) == (set(VARIANTS) if masked else {"unmasked"})
        assert found.symmetric == (name != "U-M")


def test_the_draw_is_one_mask_a_photograph_and_even_and_seeded() -> None:
    probe, both = pairing("U-M", PEOPLE, 0).probe, pairing("M-M", PEOPLE, 0)
    # The same photograph wears the same mask in every scenario.
    np.testing.assert_array_equal(probe.names, both.reference.names)
    counts = np.unique(probe.names, return_counts=True)[1]
    assert counts.sum() == 600
    assert counts.min() > 70
    assert (probe.names != pairing("U-M", PEOPLE, 1).probe.names).mean() > 0.7


def test_a_draw_does_not_depend_on_the_other_photographs() -> None:
    few = Photographs(PEOPLE.keys[200:210], PEOPLE.subjects[200:210], VARIANTS, PEOPLE.drawn[200:210])
    np.testing.assert_array_equal(pairing("U-M", few, 0).probe.names, pairing("U-M", PEOPLE, 0).probe.names[200:210])


def test_the_breakdown_names_variants_shapes_and_coverages() -> None:
    groups = scenarios.groups(scenarios.variants_worn(PEOPLE))
    assert list(groups) == [*VARIANTS, "wide", "round", "high", "medium", "low"]
    assert groups["high"] == ("wide_high", "round_high")
    assert groups["round"] == ("round_high", "round_medium", "round_low")
    assert set(pairing("M-M", PEOPLE, 0, groups["low"]).reference.names) == {"wide_low", "round_low"}


def test_random_variants_are_broken_down_by_what_was_drawn() -> None:
    drawn = np.array(["wide_low", "round_low", "wide_high", "wide_low"])
    four = Photographs(PEOPLE.keys[:4], np.array([0, 0, 1, 1]), ("masked",), drawn)
    assert list(scenarios.groups(scenarios.variants_worn(four))) == [
        "round_low",
        "wide_high",
        "wide_low",
        "wide",
        "round",
        "high",
        "low",
    ]
    found = pairing("U-M", four, 0, ("wide_low",))
    assert found.reference.rows.tolist() == [0, 1, 2, 3]
    assert found.probe.rows.tolist() == [0, 3]
    assert found.probe.names.tolist() == ["masked", "masked"]


def test_a_colour_restricts_what_was_drawn() -> None:
    colors = np.where(np.arange(600)[:, None] % 3 == 0, "black", "white").repeat(6, 1)
    colors[:, VARIANTS.index("wide_low")] = "red"
    people = replace(PEOPLE, colors=colors)
    assert scenarios.colors_of(people) == ["black", "red", "white"]
    drawn = pairing("U-M", people, 0).probe
    red, black = (pairing("U-M", people, 0, color=name) for name in ("red", "black"))
    np.testing.assert_array_equal(red.probe.rows, drawn.rows[drawn.names == "wide_low"])
    np.testing.assert_array_equal(black.probe.rows, np.flatnonzero((drawn.names != "wide_low") & (drawn.rows % 3 == 0)))
    assert red.reference.rows.tolist() == list(range(600))
    both = pairing("M-M", people, 0, color="red")
    assert both.symmetric
    np.testing.assert_array_equal(both.reference.rows, red.probe.rows)


def test_masks_of_one_colour_or_none_have_no_colours_to_compare() -> None:
    assert scenarios.colors_of(PEOPLE) == []
    assert scenarios.colors_of(replace(PEOPLE, colors=np.full((600, 6), "dark"))) == []
    assert len(pairing("U-M", PEOPLE, 0, color="dark").probe.rows) == 0


def test_u_u_is_measured_along_and_only_the_pictures_that_are_compared_are_embedded() -> None:
    assert scenarios.measured(["M-M"]) == ["U-U", "M-M"]
    assert scenarios.measured(["U-U"]) == ["U-U"]
    every = list(range(len(PEOPLE)))

    def found(*pairings: scenarios.Pairing) -> dict[str, list[int]]:
        return {name: rows.tolist() for name, rows in scenarios.pictures_in(pairings).items()}

    assert found(pairing("U-U", PEOPLE, 0)) == {"unmasked": every}
    assert found(pairing("M-M", PEOPLE, 0, ("wide_low",))) == {"wide_low": every}
    drawn = pairing("U-M", PEOPLE, 0)
    one_each = found(drawn)
    assert list(one_each) == ["unmasked", *sorted(VARIANTS)]
    assert one_each.pop("unmasked") == every
    assert sorted(row for rows in one_each.values() for row in rows) == every, "one mask of each photograph"
    assert all(drawn.probe.names[row] == name for name, rows in one_each.items() for row in rows)
    listed = scenarios.only_listed(drawn, np.array([0, 0]), np.array([1, 2]))
    of_pairs = found(listed)
    assert of_pairs.pop("unmasked") == [0]
    assert sorted(row for rows in of_pairs.values() for row in rows) == [1, 2]
    assert found(drawn, pairing("M-M", PEOPLE, 0, ("wide_low",)))["wide_low"] == every
