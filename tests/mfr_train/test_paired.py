"""Paired statistics against figures worked out by hand and by simulation, and which pairs systems have in common."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from maskgen.errors import MaskgenError
from mfr_train.comparison import paired
from mfr_train.comparison.scored_pairs import Picture, ScoredPairs, common
from mfr_train.evaluation import metrics


def laboratory(seed: int, people: int, noise: tuple[float, ...], each: int = 3) -> list[ScoredPairs]:
    """Systems on the same pictures of people; each adds noise of its own size to the same embeddings."""
    draw = np.random.default_rng(seed)
    centres = np.repeat(draw.normal(size=(people, 6)), each, axis=0)
    pictures = centres + 0.6 * draw.normal(size=(len(centres), 6))
    subjects = tuple(f"s{number // each}" for number in range(len(centres)))
    names = tuple(Picture(f"{number:03}", "unmasked") for number in range(len(centres)))
    first, second = np.triu_indices(len(centres), 1)
    genuine = first // each == second // each
    systems = []
    for size in noise:
        seen = pictures + size * draw.normal(size=pictures.shape)
        seen /= np.linalg.norm(seen, axis=1, keepdims=True)
        scores = np.einsum("ij,ij->i", seen[first], seen[second])
        systems.append(ScoredPairs(names, subjects, first, second, genuine, scores))
    return systems


def test_a_system_does_not_differ_from_itself():
    (one, _) = systems = laboratory(0, 10, (0.0, 0.0))
    found = paired.drawn([one, one], 200, 0, [(), ()])
    for difference in paired.differences("U-U", ["a", "b"], found):
        assert (difference.value, difference.low, difference.high, difference.p) == (0, 0, 0, 1)
    assert len(systems) == 2


def test_figures_and_intervals_are_those_of_each_system_alone():
    one, other = laboratory(1, 12, (0.0, 0.8))
    found = paired.drawn([one, other], 300, 5, [(), ()])
    alone = paired.drawn([other], 300, 5, [()])[0]
    assert found[1].values == alone.values
    assert found[1].intervals["eer"] == alone.intervals["eer"]
    expected = metrics.figures(other.scores[other.genuine], other.scores[~other.genuine])
    assert found[1].values["auc"] == expected.auc
    assert found[1].values["fmr100"] == expected.fmr100.fnmr


def test_means_have_the_scale_of_their_kind_of_score():
    """Half of one plus the cosine has the range 0 to 1, where the cosine has -1 to 1: the intervals correspond."""
    one, _ = laboratory(1, 12, (0.0, 0.0))
    other = replace(one, scores=(1 + one.scores) / 2, kind="half")
    cosine, half = paired.drawn([one, other], 200, 5, [(), ()])
    for name in ("gmean", "imean"):
        assert half.intervals[name] == pytest.approx([(1 + end) / 2 for end in cosine.intervals[name]], abs=1e-9)
    assert replace(half, score="cosine").intervals["gmean"] != pytest.approx(half.intervals["gmean"], abs=1e-6)


def test_a_worse_system_is_found_though_its_intervals_overlap():
    """Both intervals vary with who is drawn; the difference over the same draws does not."""
    one, other = laboratory(2, 40, (0.0, 0.55))
    found = paired.drawn([one, other], 500, 0, [(), ()])
    auc = {each.figure: each for each in paired.differences("U-U", ["a", "b"], found)}["auc"]
    assert found[0].intervals["auc"][0] < found[1].intervals["auc"][1]
    assert auc.low <= auc.value <= auc.high < 0
    assert auc.p < 0.01


@pytest.mark.slow
def test_equal_systems_are_seldom_called_different():
    """80 laboratories measure two systems of the same quality; at a level of 5 % about 4 find a difference."""
    called = 0
    for seed in range(80):
        found = paired.drawn(laboratory(seed, 25, (0.4, 0.4), each=2), 100, seed, [(), ()])
        (auc,) = (each for each in paired.differences("U-U", ["a", "b"], found) if each.figure == "auc")
        called += auc.p < 0.05
    assert called <= 10  # 11 or more of 80 have a chance below 0.5 %


def test_a_rate_without_errors_has_its_exact_limit():
    """12 people, no error of one system: 1 - 0.05^(1/12) = 22.1 % (the rule of three); each resample has none."""
    one, other = laboratory(3, 12, (0.0, 0.0))
    perfect = replace(one, scores=np.where(one.genuine, 1.0, 0.0))
    found = paired.drawn([perfect, other], 200, 0, [(), ()])
    assert found[0].values["fmr10"] == 0
    assert found[0].intervals["fmr10"] == (0, pytest.approx(1 - 0.05 ** (1 / 12)))
    assert found[0].intervals["auc"][0] < 1
    assert found[0].intervals["gmean"] == (1, 1)


def test_p_values_by_hand():
    steps = [*[1.0] * 97, *[-1.0] * 2]  # 2 of 99 below zero: twice (2 + 1) / 100
    assert paired.p_value(steps) == pytest.approx(0.06)
    assert paired.p_value([1.0] * 99) == pytest.approx(0.02)
    assert paired.p_value([0.0] * 50) == 1
    assert paired.p_value([-0.5, 0.5]) == 1


def test_holm_by_hand():
    """Holm (1979): the smallest of m by m, the next by m - 1, and none below one before it."""
    assert paired.holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert paired.holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_too_few_people_are_one_sentence():
    pairs = laboratory(0, 2, (0.0,))
    with pytest.raises(MaskgenError, match=r"show 2 people; a comparison needs at least 3\."):
        paired.drawn(pairs, 100, 0, [()])


def scored(rows: list[tuple[str, str, float]], people: dict[str, str]) -> ScoredPairs:
    """Pairs of unmasked pictures, in their order."""
    names = list(dict.fromkeys(name for a, b, _ in rows for name in (a, b)))
    first = np.array([names.index(a) for a, _, _ in rows])
    second = np.array([names.index(b) for _, b, _ in rows])
    subjects = tuple(people[name] for name in names)
    genuine = np.array([people[a] == people[b] for a, b, _ in rows])
    pictures = tuple(Picture(name, "unmasked") for name in names)
    return ScoredPairs(pictures, subjects, first, second, genuine, np.array([score for *_, score in rows]))


def test_common_pairs_are_found_in_any_order():
    people = {"a1": "a", "a2": "a", "b1": "b", "c1": "c"}
    one = scored([("a1", "a2", 0.9), ("a1", "b1", 0.2), ("a2", "c1", 0.1)], people)
    other = scored([("c1", "a2", 0.3), ("b1", "a1", 0.4), ("b1", "c1", 0.5)], people)
    left, right = common([one, other])
    found = {
        frozenset(left.pictures[node].photograph for node in ends): (bool(same), x, y)
        for *ends, same, x, y in zip(left.first, left.second, left.genuine, left.scores, right.scores, strict=True)
    }
    assert found == {frozenset(("a1", "b1")): (False, 0.2, 0.4), frozenset(("a2", "c1")): (False, 0.1, 0.3)}
    assert right.first.tolist() == left.first.tolist()
    assert right.pictures == left.pictures


def test_a_picture_of_two_subjects_is_one_sentence():
    one = scored([("x", "y", 0.9)], {"x": "a", "y": "a"})
    other = scored([("x", "y", 0.9)], {"x": "b", "y": "a"})
    with pytest.raises(MaskgenError, match=r"x shows a in one evaluation and b in another"):
        common([one, other])
