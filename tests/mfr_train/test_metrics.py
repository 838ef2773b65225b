"""The figures: values worked out by hand, scikit-learn and pyeer as independent judges, and the bounds of bins."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyeer import eer_stats
from sklearn.metrics import roc_auc_score, roc_curve

from maskgen.errors import MaskgenError, UsageError
from mfr_train.evaluation import limits, metrics
from mfr_train.evaluation.counts import from_histogram, from_scores, rates
from tests.support.fuzz import examples

INFINITY = float("inf")

# Few distinct values, so that ties within and between the classes are the rule.
tied = st.lists(st.integers(-8, 8).map(lambda value: value / 8), min_size=1, max_size=60)
spread = st.lists(st.floats(-1, 1, width=32), min_size=1, max_size=60)
scores = st.one_of(tied, spread)
several = settings(deadline=None, max_examples=examples(300))


def measured(genuine: list[float], impostor: list[float]) -> metrics.Figures:
    return metrics.figures_of(from_scores(genuine, impostor))


def test_rates_by_hand() -> None:
    curve = rates(from_scores([0.5, 0.8, 0.8, 0.9], [0.1, 0.5, 0.6]))
    np.testing.assert_array_equal(curve.thresholds, [0.1, 0.5, 0.6, 0.8, 0.9, INFINITY])
    np.testing.assert_allclose(curve.fmr, [1, 2 / 3, 1 / 3, 0, 0, 0], rtol=0, atol=1e-15)
    np.testing.assert_allclose(curve.fnmr, [0, 0, 1 / 4, 1 / 4, 3 / 4, 1], rtol=0, atol=1e-15)


def test_figures_by_hand() -> None:
    found = measured([0.5, 0.8, 0.8, 0.9], [0.1, 0.5, 0.6])
    assert (found.genuine, found.impostor) == (4, 3)
    assert found.fmr100 == found.fmr10 == metrics.Point(0.8, 0.0, 0.25)
    # FNMR <= FMR last at 0.6: (1/4, 1/3), FNMR >= FMR first at 0.8: (1/4, 0), whose sum is the smaller.
    assert found.eer == metrics.EqualError(0.125, 0.0, 0.25, 0.8)
    # Of 12 pairs the genuine 0.5 beats 0.1, ties with 0.5 and loses to 0.6; the other nine pairs win.
    assert found.auc == pytest.approx(10.5 / 12, abs=1e-15)
    assert found.gmean == pytest.approx(0.75)
    assert found.imean == pytest.approx(0.4)
    assert set(found.bounds.values()) == {0.0}
    # Squares of the distances from the means: 0.0625 + 2 * 0.0025 + 0.0225 = 0.09, and 0.09 + 0.01 + 0.04 = 0.14.
    assert found.gstd == pytest.approx((0.09 / 4) ** 0.5, abs=1e-15)
    assert found.istd == pytest.approx((0.14 / 3) ** 0.5, abs=1e-15)
    assert found.d_prime == pytest.approx(0.35 / ((0.0225 + 0.14 / 3) / 2) ** 0.5, abs=1e-12)
    assert found.zero_fmr == found.fmr1000 == metrics.Point(0.8, 0.0, 0.25)


def test_points_at_limits_by_hand() -> None:
    found = metrics.figures([0.5, 0.8, 0.8, 0.9], [0.1, 0.5, 0.6], fmr=[0.7, 0.5, 1e-5])
    # FMR is 2/3 at 0.5, 1/3 at 0.6 and 0 at 0.8.
    assert found.at(0.7) == metrics.Point(0.5, 2 / 3, 0.0)
    assert found.at(0.5) == metrics.Point(0.6, pytest.approx(1 / 3), 0.25)
    assert found.at(1e-5) == found.zero_fmr
    assert (found.at(0.7).tar, found.at(0.5).tar) == (1, 0.75)
    assert found.at(0.01) == found.fmr100
    with pytest.raises(UsageError, match=r"no operating point at an FMR of 0.2; there are 0.7, 0.5, 0.1, 0.01, 0.001"):
        found.at(0.2)


def test_equal_scores_have_no_spread() -> None:
    found = measured([0.1] * 3, [0.7] * 7)
    assert (found.gstd, found.istd, found.d_prime) == (0, 0, INFINITY)
    assert measured([0.1] * 3, [0.1] * 7).d_prime == 0


def test_eer_takes_the_interval_at_the_lower_threshold_where_its_sum_is_smaller() -> None:
    # At 0.6 FNMR is 0 and FMR 1/4; at 0.7 FNMR is 1/2 and FMR 0.
    found = measured([0.6, 0.8], [0.1, 0.2, 0.3, 0.6])
    assert found.eer == metrics.EqualError(0.125, 0.0, 0.25, 0.6)


def test_eer_where_the_rates_meet() -> None:
    # At 0.5 one of two genuine scores is below and one of two impostor scores is not.
    assert measured([0.4, 0.9], [0.1, 0.5]).eer == metrics.EqualError(0.5, 0.5, 0.5, 0.5)


def test_separated_scores_make_no_error() -> None:
    found = measured([0.8, 0.9], [0.1, 0.2])
    assert (found.eer.eer, found.auc, found.fmr100.fnmr, found.fmr100.threshold) == (0, 1, 0, 0.8)


def test_all_scores_equal() -> None:
    # Only +inf has an FMR below 1 %, and it accepts nothing; between the two thresholds the rates jump from 0 to 1.
    found = measured([0.5] * 3, [0.5] * 4)
    assert found.fmr100 == metrics.Point(INFINITY, 0.0, 1.0)
    assert found.eer == metrics.EqualError(0.5, 0.0, 1.0, 0.5)
    assert found.auc == 0.5


def test_one_score_of_each_in_the_wrong_order() -> None:
    found = measured([0.2], [0.7])
    assert (found.auc, found.fmr100.fnmr) == (0, 1)
    # Between 0.2 (FNMR 0, FMR 1) and 0.7 (1, 1) they meet at 0.7.
    assert found.eer.eer == 1


def test_an_impostor_rate_of_exactly_the_limit_is_not_below_it() -> None:
    impostor = [0.9] + [0.1] * 99
    found = measured([0.5, 0.95], impostor)
    # At 0.5 the FMR is exactly 1 %: FMR100 must go on to 0.95, where the genuine 0.5 is lost.
    assert found.fmr100 == metrics.Point(0.95, 0.0, 0.5)
    assert found.nearest_fmr100 == metrics.Point(0.5, 0.01, 0.0)
    assert measured([0.5, 0.95], [*impostor, 0.1]).fmr100 == metrics.Point(0.5, 1 / 101, 0.0)


def test_nearest_fmr_may_overshoot_its_target() -> None:
    # Of 60 impostor scores one is high: FMR is 1/60 = 1.67 % or 0, and 1.67 % is the nearer to 1 %.
    found = measured([0.5, 0.95], [0.9] + [0.1] * 59)
    assert found.nearest_fmr100 == metrics.Point(0.5, 1 / 60, 0.0)
    assert found.fmr100.fnmr == 0.5


def test_rates_at_a_fixed_threshold_accept_a_score_equal_to_it() -> None:
    counts = from_scores([0.2, 0.4, 0.6], [0.1, 0.4])
    assert metrics.fnmr_at_threshold(counts, 0.4) == pytest.approx(1 / 3)
    assert metrics.fmr_at_threshold(counts, 0.4) == 0.5
    assert metrics.fnmr_at_threshold(counts, INFINITY) == 1
    assert metrics.fmr_at_threshold(counts, -INFINITY) == 1


def test_few_errors_counts_the_smaller_side() -> None:
    found = measured([0.05] * 50 + [0.9] * 950, [0.1] * 2000)
    # FMR100 rests on 50 false non-matches but only on 20 allowed false matches.
    assert metrics.few_errors(found)["fmr100"] == pytest.approx(20)
    assert "fmr10" not in metrics.few_errors(found)
    assert metrics.few_errors(found)["fmr1000"] == pytest.approx(2)
    assert "zero_fmr" not in metrics.few_errors(found), "no false match is allowed: only the 50 non-matches count"
    fixed = metrics.FixedThreshold(0.01, 0.5)
    few = metrics.few_errors(found, {fixed: metrics.Point(0.5, 0.014, 0.05)})
    assert few["fmr_at_uu_fmr100"] == pytest.approx(28)
    assert "fnmr_at_uu_fmr100" not in few


@pytest.mark.parametrize(
    ("genuine", "impostor", "said"),
    [
        ([], [0.1], "no genuine scores"),
        ([0.1], [], "no impostor scores"),
        ([float("nan")], [0.1], "genuine scores hold NaN"),
        ([0.1], [INFINITY], "impostor scores hold NaN or infinity"),
    ],
)
def test_unusable_scores_are_one_sentence(genuine: list[float], impostor: list[float], said: str) -> None:
    with pytest.raises(MaskgenError, match=said) as error:
        from_scores(genuine, impostor)
    assert str(error.value).endswith(".")


@pytest.mark.parametrize(
    ("edges", "genuine", "impostor", "said"),
    [
        ([0, 1, 1], [1, 1], [1, 1], "increase"),
        ([0, 1], [1, 1], [1, 1], "one count"),
        ([0, 1], [-1], [1], "one count"),
        ([0, 1], [0], [1], "no genuine"),
        ([0, 1], [1], [0], "no impostor"),
    ],
)
def test_unusable_histograms_are_one_sentence(
    edges: list[float], genuine: list[float], impostor: list[float], said: str
) -> None:
    with pytest.raises(MaskgenError, match=said):
        from_histogram(edges, genuine, impostor)


@several
@given(scores, scores)
def test_auc_is_scikit_learns(genuine: list[float], impostor: list[float]) -> None:
    labels = [1] * len(genuine) + [0] * len(impostor)
    assert measured(genuine, impostor).auc == pytest.approx(roc_auc_score(labels, genuine + impostor), abs=1e-12)


@several
@given(scores, scores)
def test_rates_and_figures_are_pyeers(genuine: list[float], impostor: list[float]) -> None:
    curve = rates(from_scores(genuine, impostor))
    thresholds, fmr, fnmr = eer_stats.calculate_roc(list(genuine), list(impostor))
    # pyeer's definitions are ours but for the threshold +inf, which it leaves out.
    np.testing.assert_array_equal(curve.thresholds[:-1], thresholds)
    fmr, fnmr = np.append(fmr, 0), np.append(fnmr, 1)
    np.testing.assert_allclose(curve.fmr, fmr, rtol=0, atol=1e-12)
    np.testing.assert_allclose(curve.fnmr, fnmr, rtol=0, atol=1e-12)
    _, low, high, eer = eer_stats.get_eer_values(curve.fmr, curve.fnmr)
    assert metrics.equal_error(curve)[:3] == pytest.approx((eer, *sorted((low, high))), abs=1e-12)
    for target in (0.1, 0.01, 0.001):
        _, value = eer_stats.get_fmr_op(curve.fmr, curve.fnmr, target)
        assert curve.fnmr[metrics.nearest_fmr(curve, target)] == value
    _, value = eer_stats.get_fmr_op(curve.fmr, curve.fnmr, 0)
    assert metrics.fnmr_at_fmr(curve, 1e-9).fnmr == value
    found = measured(genuine, impostor)
    assert found.zero_fmr is not None
    assert found.zero_fmr.fnmr == value


@several
@given(scores, scores)
def test_spread_is_numpys_and_decidability_pyeers(genuine: list[float], impostor: list[float]) -> None:
    found = measured(genuine, impostor)
    gstd, istd = np.std(np.array(genuine)), np.std(np.array(impostor))
    assert found.gstd == pytest.approx(gstd, abs=1e-12)
    assert found.istd == pytest.approx(istd, abs=1e-12)
    if max(gstd, istd) > 1e-6:
        expected = eer_stats.get_decidability_value(found.gmean, gstd, found.imean, istd)
        assert found.d_prime == pytest.approx(expected, rel=1e-9)


@several
@given(scores, scores, st.lists(st.floats(1e-6, 0.999), min_size=1, max_size=5, unique=True))
def test_points_are_those_of_scikit_learns_curve(
    genuine: list[float], impostor: list[float], wanted: list[float]
) -> None:
    labels = [1] * len(genuine) + [0] * len(impostor)
    fpr, tpr, _ = roc_curve(labels, genuine + impostor, drop_intermediate=False)
    found = metrics.figures(genuine, impostor, fmr=wanted)
    for limit in wanted:
        assert found.at(limit).tar == pytest.approx(tpr[fpr < limit].max(), abs=1e-12)
        assert found.at(limit).fmr < limit
    # A looser limit never loses more genuine pairs, and none loses more than the one without false matches.
    fnmr = [found.at(limit).fnmr for limit in sorted(wanted)]
    assert fnmr == sorted(fnmr, reverse=True)
    assert found.zero_fmr is not None
    assert max(fnmr) <= found.zero_fmr.fnmr


@several
@given(scores, scores)
def test_fmr100_is_the_lowest_fnmr_allowed(genuine: list[float], impostor: list[float]) -> None:
    curve = rates(from_scores(genuine, impostor))
    for limit in (0.01, 0.1):
        allowed = [
            sum(score < threshold for score in genuine) / len(genuine)
            for threshold in [*genuine, *impostor, INFINITY]
            if sum(score >= threshold for score in impostor) / len(impostor) < limit
        ]
        assert metrics.fnmr_at_fmr(curve, limit).fnmr == pytest.approx(min(allowed), abs=1e-12)


@several
@given(scores, scores, st.integers(1, 40))
def test_binned_figures_keep_their_bounds(genuine: list[float], impostor: list[float], bins: int) -> None:
    edges = np.linspace(-1, 1, bins + 1)
    edges[-1] = np.nextafter(1, 2)
    histograms = [np.histogram(side, edges)[0] for side in (genuine, impostor)]
    exact, binned = measured(genuine, impostor), metrics.figures_of(from_histogram(edges, *histograms))
    for name, bound in binned.bounds.items():
        values = [getattr(found, name) for found in (exact, binned)]
        if name == "eer":
            values = [value.eer for value in values]
        elif "fmr" in name:
            values = [value.fnmr for value in values]
        if np.isfinite(bound):  # d' has no bound if bins are wide against the spread
            assert abs(values[0] - values[1]) <= bound * (1 + 1e-9) + 1e-12, name


def test_a_bin_for_each_score_is_exact() -> None:
    generator = np.random.default_rng(3)
    genuine, impostor = generator.normal(0.6, 0.2, 200), generator.normal(0, 0.2, 900)
    exact = from_scores(genuine, impostor)
    edges = np.append(exact.scores, exact.scores[-1] + 1)
    binned = metrics.figures_of(from_histogram(edges, exact.genuine, exact.impostor))
    found = metrics.figures_of(exact)
    assert (binned.fmr100, binned.fmr10, binned.eer, binned.auc) == (found.fmr100, found.fmr10, found.eer, found.auc)


def test_auc_of_separated_scores_is_one_to_the_bit() -> None:
    """Shares that are added one by one exceed 1: with so many scores by 7e-16 to 1e-12."""
    for genuine, impostor in ((49, 49_999), (100, 100), (1000, 1000)):
        found = metrics.figures(np.arange(genuine) + impostor, np.arange(impostor))
        assert found.auc == 1
        assert metrics.figures(np.arange(impostor), np.arange(genuine) + impostor).auc == 0


def test_auc_is_the_share_of_ordered_pairs_to_the_bit() -> None:
    rng = np.random.default_rng(3)
    genuine, impostor = rng.integers(20, 60, 157).tolist(), rng.integers(0, 50, 1009).tolist()
    twice = sum(2 * (g > i) + (g == i) for g in genuine for i in impostor)
    assert metrics.figures(genuine, impostor).auc == float(Fraction(twice, 2 * len(genuine) * len(impostor)))


def test_operating_points_are_numbers() -> None:
    found = metrics.figures([0.9, 0.8, 0.7, 0.3], [0.4, 0.2, 0.1])
    assert (float(found.fmr100), found.fmr100.value, f"{found.fmr100:.1%}") == (0.25, 0.25, "25.0%")
    assert (float(found.eer), found.eer.value, f"{found.eer:.3f}") == (0.125, 0.125, "0.125")


def test_a_threshold_of_uu_has_its_name_in_the_report() -> None:
    names = [metrics.FixedThreshold(limit, 0.5).name for limit in (metrics.FMR100, metrics.FMR10)]
    assert names == ["fnmr_at_uu_fmr100", "fnmr_at_uu_fmr10"]
    assert metrics.FixedThreshold(1e-5, 0.5).fmr_name == "fmr_at_uu_fmr100000"


@pytest.mark.parametrize(
    ("limit", "name"), [(0.1, "fmr10"), (0.001, "fmr1000"), (1e-5, "fmr100000"), (0.03, "fmr_0.03"), (0.5, "fmr2")]
)
def test_limits_have_names_that_give_them_back(limit: float, name: str) -> None:
    assert limits.name(limit) == name
    assert limits.limit_of(name) == limit


@pytest.mark.parametrize("name", ["eer", "fmr", "fmr0", "fmr1", "fmr_2", "fmr_", "fnmr10"])
def test_other_names_are_not_limits(name: str) -> None:
    with pytest.raises((ValueError, ZeroDivisionError)):
        limits.limit_of(name)


def test_limits_are_read_in_their_order() -> None:
    assert limits.parsed("0.1, 1e-3,0.01") == (0.1, 0.001, 0.01)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("0.1,", "--fmr has ''; give shares between 0 and 1"),
        ("1%", "--fmr has '1%'; give shares"),
        ("1", "--fmr has '1'; give shares"),
        ("0", "--fmr has '0'; give shares"),
        ("nan", "--fmr has 'nan'; give shares"),
        ("0.1,0.10", "--fmr has 0.1 twice; give each limit once"),
        (",".join(f"0.{n}" for n in range(11, 24)), "--fmr has 13 limits; give at most 12"),
    ],
)
def test_wrong_limits_are_one_sentence(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        limits.parsed(text)


def test_a_limit_needs_more_impostors_than_its_inverse() -> None:
    assert not limits.resolved(0.01, 100), "one false match of 100 is 1 %, which is not below it"
    assert limits.resolved(0.01, 101)
