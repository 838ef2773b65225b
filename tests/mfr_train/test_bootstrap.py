"""The bootstrap over subjects against its definition: scores repeated by the weights of their subjects."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mfr_train.evaluation import bootstrap, metrics, scores, t_interval
from mfr_train.evaluation import drawn as drawn_figures
from mfr_train.evaluation.bootstrap import MAX_BINS, pair_index, resample, units
from mfr_train.evaluation.counts import from_scores
from mfr_train.evaluation.measure import measure
from mfr_train.evaluation.no_errors import Trials
from mfr_train.evaluation.scores import Comparison, Side

SUBJECTS = 9


@pytest.fixture(scope="module")
def side() -> Side:
    generator = np.random.default_rng(11)
    who = np.repeat(np.arange(SUBJECTS), [5, 4, 6, 3, 5, 1, 4, 5, 2])
    centres = generator.normal(size=(SUBJECTS, 16))
    values = centres[who] + 1.2 * generator.normal(size=(len(who), 16))
    return scores.side(values.astype(np.float32), who, np.arange(len(who)))[0]


def drawn(groups: int, count: int, seed: int) -> np.ndarray:
    return np.concatenate(list(resample(groups, count, seed)))


AT = metrics.FixedThreshold(0.01, 0.4)


def by_definition(
    comparison: Comparison, count: int, seed: int, threshold: float, groups: int
) -> tuple[dict[str, list], np.ndarray]:
    """Every resample scored from its list of repeated scores, and the weights of the resamples."""
    genuine, impostor = scores.exact(comparison)
    unit = units(SUBJECTS, groups)
    left, right = unit[comparison.reference.subjects], unit[comparison.probe.subjects]
    found: dict[str, list] = {}
    used = []
    for weights in drawn(groups, count, seed):
        ours, theirs = left[impostor.reference], right[impostor.probe]
        times = np.where(ours == theirs, weights[ours], weights[ours] * weights[theirs])
        sides = [np.repeat(genuine.values, weights[left[genuine.reference]]), np.repeat(impostor.values, times)]
        if not all(len(values) for values in sides):
            continue
        used.append(weights)
        figures = metrics.figures_of(from_scores(*sides))
        values = {
            **bootstrap.plain(figures),
            "gstd": float(sides[0].std()),
            "istd": float(sides[1].std()),
            AT.name: float((sides[0] < threshold).mean()),
            AT.fmr_name: float((sides[1] >= threshold).mean()),
        }
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return found, np.array(used, float)


def pair_variances(comparison: Comparison, groups: int) -> dict[str, float]:
    """The sum of squared effects of pairs of groups on IMean, IStd and the FMR at 0.4, pair by pair."""
    impostor = scores.exact(comparison)[1]
    unit = units(SUBJECTS, groups)
    ours, theirs = unit[comparison.reference.subjects], unit[comparison.probe.subjects]
    values, mean = impostor.values, impostor.values.mean()
    effects = {
        "imean": values - mean,
        "istd": ((values - mean) ** 2 - values.var()) / (2 * values.std()),
        AT.fmr_name: (values >= 0.4) - (values >= 0.4).mean(),
    }
    found = dict.fromkeys(effects, 0.0)
    for one in range(groups):
        for other in range(one):
            pair = {one, other}
            here = [{ours[r], theirs[p]} == pair for r, p in zip(impostor.reference, impostor.probe, strict=True)]
            for name, effect in effects.items():
                found[name] += (effect[here].sum() / len(values)) ** 2
    return found


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("groups", [SUBJECTS, 4])
def test_intervals_are_those_of_repeated_scores(
    side: Side, symmetric: bool, groups: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap.units, "__defaults__", (groups,))
    other = side
    if not symmetric:
        other = scores.side(side.embeddings * np.linspace(1, 2, 16, dtype=np.float32), side.subjects, side.photographs)[
            0
        ]
    comparison = Comparison(side, other, symmetric)
    found = measure(comparison, SUBJECTS, 60, 3, (AT,)).intervals
    expected, weights = by_definition(comparison, 60, 3, 0.4, groups)
    assert found is not None
    assert found.resamples == len(expected["eer"])
    assert set(found.bound.values()) == {0.0}
    # Without false matches there is no interval, nor at a limit that the 545 or 1090 impostor pairs do not resolve.
    assert set(expected) - set(found.intervals) == {"zero_fmr", *(["fmr1000"] if symmetric else [])}
    value = bootstrap.plain(metrics.figures_of(from_scores(*(side.values for side in scores.exact(comparison)))))
    value |= bootstrap.at_thresholds(from_scores(*(s.values for s in scores.exact(comparison))), (AT,))
    variances = pair_variances(comparison, groups)
    for name in found.intervals:
        ends = t_interval.ends(name, value[name], np.array(expected[name]), weights - 1, variances.get(name, 0.0))
        assert found.intervals[name] == pytest.approx(ends, abs=1e-9), name


def test_binned_resamples_keep_their_bound(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = Comparison(side, side, True)
    exact = measure(comparison, SUBJECTS, 80, 5, (replace(AT, threshold=0.25),)).intervals
    monkeypatch.setattr(bootstrap, "MAX_BINS", 64)
    for limit in (10**6, 0):  # from all scores, and from the grid
        found = measure(comparison, SUBJECTS, 80, 5, (replace(AT, threshold=0.25),), limit).intervals
        assert exact is not None
        assert found is not None
        assert 0 <= found.bound["fmr100"] < 0.2
        for name in ("gstd", "istd", "d_prime"):  # spread within bins is that of all scores in them
            assert found.intervals[name] == pytest.approx(exact.intervals[name], rel=0.05), name
        for name, bound in found.bound.items():
            assert found.intervals[name] == pytest.approx(exact.intervals[name], abs=bound + 1e-9), name
        # The means and the FNMR at a fixed threshold, which is an edge, are not binned.
        assert found.intervals[AT.name] == exact.intervals[AT.name]
        assert found.intervals["gmean"] == pytest.approx(exact.intervals["gmean"], abs=0.02)


def test_many_pairs_give_the_figures_of_few_blocks(side: Side) -> None:
    comparison = Comparison(side, side, True)
    exact, binned = measure(comparison, SUBJECTS, 0, 0), measure(comparison, SUBJECTS, 0, 0, limit=0)
    assert exact.intervals is None
    assert binned.scores is None
    for name, bound in binned.figures.bounds.items():
        values = [bootstrap.plain(found.figures)[name] for found in (exact, binned)]
        assert abs(values[0] - values[1]) <= bound + 1e-12


def test_few_subjects_leave_some_resamples_without_impostors_and_two_have_no_interval() -> None:
    values = np.random.default_rng(2).normal(size=(9, 8)).astype(np.float32)
    three, _ = scores.side(values, [0, 0, 0, 1, 1, 1, 2, 2, 2], np.arange(9))
    found = measure(Comparison(three, three, True), 3, 200, 1).intervals
    assert found is not None
    assert found.resamples == int(((drawn(3, 200, 1) > 0).sum(axis=1) > 1).sum()) < 200
    # Of two subjects the one resample that is left has each once: the interval would be a point.
    two, _ = scores.side(values[:6], [0, 0, 0, 1, 1, 1], np.arange(6))
    assert measure(Comparison(two, two, True), 2, 200, 1).intervals is None


def test_unordered_pairs_are_numbered_row_by_row() -> None:
    low, high = np.triu_indices(5)
    np.testing.assert_array_equal(pair_index(low, high, 5), np.arange(15))
    np.testing.assert_array_equal(pair_index(high, low, 5), np.arange(15))


def test_subjects_beyond_the_limit_are_grouped_evenly() -> None:
    assert units(4, 500).tolist() == [0, 1, 2, 3]
    sizes = np.bincount(units(1203, 500))
    assert (len(sizes), sizes.min(), sizes.max()) == (500, 2, 3)


def test_resamples_are_seeded_and_draw_as_many_as_there_are() -> None:
    weights = drawn(20, 50, 7)
    assert weights.shape == (50, 20)
    assert (weights.sum(axis=1) == 20).all()
    np.testing.assert_array_equal(weights, drawn(20, 50, 7))
    assert (weights != drawn(20, 50, 8)).any()


def test_few_resamples_at_a_time_give_the_same_intervals(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    comparison = Comparison(side, side, True)
    whole = measure(comparison, SUBJECTS, 100, 3, (AT,)).intervals
    weights = drawn(SUBJECTS, 100, 3)
    most: list[int] = []
    weigh = bootstrap._weighted
    monkeypatch.setattr(bootstrap, "_weighted", lambda w, table: most.append(len(w)) or weigh(w, table))
    monkeypatch.setattr(bootstrap, "RESAMPLES", 16)
    np.testing.assert_array_equal(drawn(SUBJECTS, 100, 3), weights)
    assert measure(comparison, SUBJECTS, 100, 3, (AT,)).intervals == whole
    assert most == [16] * 6 + [4]


def test_the_weights_of_the_first_resamples_are_kept(side: Side, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawn_figures, "WEIGHTS_KEPT", 10)
    comparison = Comparison(side, side, True)
    found = measure(comparison, SUBJECTS, 60, 3).drawn
    expected, weights = by_definition(comparison, 60, 3, 0.4, SUBJECTS)
    assert found is not None
    np.testing.assert_array_equal(found.weights, weights[:10])
    np.testing.assert_allclose(found.draws["eer"], expected["eer"], rtol=0, atol=1e-12)


def test_an_infinite_figure_has_no_interval_and_one_without_errors_its_limit() -> None:
    """Six subjects and three disjoint pairs of impostors hold two triples: an AUC of 1 has 0.05^(1/2) as its limit."""
    draws = {"d_prime": np.full(3, np.inf), "auc": np.ones(3)}
    found = drawn_figures.Drawn({"d_prime": np.inf, "auc": 1.0}, draws, np.ones((3, 4)), trials=Trials(6, 3))
    assert found.intervals == {"auc": (pytest.approx(0.05**0.5), 1)}
    assert found.only(["auc"]).intervals == found.intervals


def test_few_genuine_scores_have_bins_of_their_own() -> None:
    generator = np.random.default_rng(1)
    counts = from_scores(generator.normal(0.5, 0.1, 500), generator.normal(0, 0.1, 200_000))
    edges = bootstrap.empty_table(counts, 10).edges
    scored = np.searchsorted(edges, counts.scores, side="right") - 1
    genuine = counts.genuine > 0
    assert len(np.unique(scored[genuine])) == 500
    assert not np.isin(scored[~genuine], scored[genuine]).any()


def test_edges_lie_closest_where_fmr_is_small() -> None:
    generator = np.random.default_rng(1)
    counts = from_scores(generator.normal(0.5, 0.1, 20_000), generator.normal(0, 0.1, 200_000))
    table = bootstrap.empty_table(counts, 10, (0.25,))
    assert len(table.edges) <= MAX_BINS + 2
    assert 0.25 in table.edges
    share = np.add.reduceat(counts.impostor, np.searchsorted(counts.scores, table.edges[:-1])) / 200_000
    assert share.max() < 0.002
    assert share[table.edges[:-1] > 0.25].max() < 1e-4
