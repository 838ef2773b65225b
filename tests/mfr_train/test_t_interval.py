"""Intervals from resamples: by hand, against SciPy, and by how often they hold the truth."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from mfr_train.evaluation import bootstrap, scores, t_interval
from mfr_train.evaluation.measure import measure
from mfr_train.evaluation.scores import Comparison, Side


@pytest.mark.parametrize("degrees", [2, 2.5, 3, 7, 29, 499])
def test_quantiles_are_those_of_scipy(degrees: float) -> None:
    assert t_interval.quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=0.01)
    if degrees > 20:
        assert t_interval.quantile(degrees) == pytest.approx(stats.t.ppf(0.975, degrees), rel=1e-5)


def resampled(values: np.ndarray, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Means of the values in resamples, and the weights of the resamples, less one."""
    weights = np.random.default_rng(seed).multinomial(len(values), np.full(len(values), 1 / len(values)), count)
    return weights @ values / len(values), weights - 1.0


def test_the_interval_of_a_mean_is_students() -> None:
    values = np.random.default_rng(4).uniform(0, 1, 40)  # kurtosis 1.8: as many degrees of freedom as there can be
    draws, excess = resampled(values, 40_000)
    found = t_interval.ends("d_prime", values.mean(), draws, excess)
    expected = stats.t.interval(0.95, 39, values.mean(), stats.sem(values))
    assert found == pytest.approx(expected, abs=0.01 * (expected[1] - expected[0]))


def test_degrees_of_freedom_follow_the_kurtosis_of_the_subjects() -> None:
    values = np.append(np.random.default_rng(1).normal(size=57), [6, -5, 7])
    kurtosis = stats.kurtosis(values, fisher=False)
    assert kurtosis > 8
    found = t_interval.degrees_of_freedom(*resampled(values, 40_000))
    assert found == pytest.approx(2 * 60 / (kurtosis - 1), rel=0.1)
    # The error of few resamples adds nothing on average.
    few = np.mean([t_interval.degrees_of_freedom(*resampled(values, 300, seed)) for seed in range(60)])
    assert few == pytest.approx(found, rel=0.15)


def test_degrees_of_freedom_lie_between_two_and_n_less_one() -> None:
    one = np.zeros(50)
    one[3] = 1
    assert t_interval.degrees_of_freedom(*resampled(one, 2000)) == pytest.approx(2, abs=0.5)
    assert t_interval.degrees_of_freedom(*resampled(np.tile([0.0, 1.0], 25), 2000)) == 49
    assert t_interval.degrees_of_freedom(np.full(9, 0.5), np.zeros((9, 50))) == 49


def test_scales_by_hand() -> None:
    """Four subjects, whose effects do not vary: t of 3 degrees of freedom is 3.182, the root of 4 / 3 is 1.155."""
    excess = np.zeros((2, 4))
    reach = 3.1824 * math.sqrt(4 / 3)
    low, high = t_interval.ends("eer", 0.2, np.array([0.19, 0.21]), excess)
    half = reach * 0.01 / (0.2 * 0.8)
    assert (low / (1 - low), high / (1 - high)) == pytest.approx((math.exp(-half) / 4, math.exp(half) / 4), rel=0.002)
    low, high = t_interval.ends("gstd", 0.2, np.array([0.19, 0.21]), excess)
    assert (low, high) == pytest.approx((0.2 * math.exp(-reach * 0.05), 0.2 * math.exp(reach * 0.05)), rel=0.002)
    low, high = t_interval.ends("d_prime", 2.0, np.array([1.9, 2.1]), excess)
    assert (low, high) == pytest.approx((2 - reach * 0.1, 2 + reach * 0.1), rel=0.002)


def test_means_have_the_scale_of_their_scores() -> None:
    """The same four subjects: Fisher's z of a cosine, and a distance as the cosine that lies as far from its ends."""
    excess, draws = np.zeros((2, 4)), np.array([0.96, 0.98])
    half = 3.1824 * math.sqrt(4 / 3) * np.std(np.arctanh(draws))
    expected = math.tanh(math.atanh(0.97) - half), math.tanh(math.atanh(0.97) + half)
    found = t_interval.ends("gmean", 0.97, draws, excess)
    assert found == pytest.approx(expected, rel=0.002)
    assert found[1] < 1 < 0.97 + 3.1824 * math.sqrt(4 / 3) * 0.01, "the interval without a scale ends above 1"
    assert t_interval.ends("imean", -0.97, -draws, excess) == pytest.approx((-found[1], -found[0]))
    shifted = t_interval.ends("gmean", -0.03, draws - 1, excess, score="euclidean")
    assert shifted == pytest.approx((found[0] - 1, found[1] - 1))
    halved = t_interval.ends("gmean", (1 + 0.97) / 2, (1 + draws) / 2, excess, score="half")
    assert halved == pytest.approx(((1 + found[0]) / 2, (1 + found[1]) / 2))


def test_what_pairs_add_is_taken_from_means_of_every_scale() -> None:
    generator = np.random.default_rng(3)
    draws, excess = generator.normal(0.1, 0.02, 400), generator.multinomial(30, np.full(30, 1 / 30), 400) - 1.0
    whole = t_interval.ends("imean", 0.1, draws, excess)
    shrunk = t_interval.ends("imean", 0.1, draws, excess, 0.25 * float(np.var(draws)))
    assert np.arctanh(shrunk[1]) - np.arctanh(shrunk[0]) == pytest.approx(
        math.sqrt(0.5) * (np.arctanh(whole[1]) - np.arctanh(whole[0]))
    )


@pytest.mark.parametrize(("name", "value"), [("eer", 0.0), ("auc", 1.0), ("gstd", 0.0)])
def test_the_ends_of_a_scale_have_percentiles(name: str, value: float) -> None:
    draws = np.linspace(0, 1, 41)
    assert t_interval.ends(name, value, draws, np.zeros((41, 5))) == pytest.approx((0.025, 0.975))


def test_a_pair_counts_once_though_both_subjects_are_drawn() -> None:
    """Figures of 100 impostor pairs, each of two other subjects: the variance is the sum of the squared effects."""
    generator = np.random.default_rng(0)
    effects = generator.normal(size=100) / 100
    effects -= effects.mean()
    weights = generator.multinomial(200, np.full(200, 1 / 200), 40_000)
    draws = (weights[:, ::2] * weights[:, 1::2]) @ effects
    variance = float(effects @ effects)
    assert np.var(draws) == pytest.approx(3 * variance, rel=0.1)
    shrunk = np.std(draws) * t_interval.without_pairs(draws, variance)
    assert shrunk == pytest.approx(math.sqrt(variance), rel=0.1)
    assert t_interval.without_pairs(draws, 0.0) == 1


def people(count: int, generator: np.random.Generator) -> Side:
    """Photographs of people of whom some are much harder than others."""
    who = np.repeat(np.arange(count), generator.integers(2, 7, count))
    spread = 0.6 * generator.lognormal(0, 0.3, count)[who, None]
    values = generator.normal(size=(count, 16))[who] + spread * generator.normal(size=(len(who), 16))
    return scores.side(values.astype(np.float32), who, np.arange(len(who)))[0]


@pytest.mark.slow
def test_intervals_hold_the_true_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Percentiles of the same resamples hold fewer of the first five figures."""
    monkeypatch.setattr(bootstrap, "MAX_BINS", 256)
    generator = np.random.default_rng(0)
    everyone = people(1500, generator)
    true = bootstrap.plain(measure(Comparison(everyone, everyone, True), 1500, 0, 0).figures)
    names = ("fmr10", "eer", "auc", "gmean", "gstd", "d_prime", "imean", "istd")
    held = dict.fromkeys(names, 0)
    laboratories = 60
    for seed in range(laboratories):
        side = people(40, generator)
        found = measure(Comparison(side, side, True), 40, 150, seed).intervals
        assert found is not None
        for name in names:
            low, high = found.intervals[name]
            held[name] += low <= true[name] <= high
    shares = {name: count / laboratories for name, count in held.items()}
    assert np.mean([shares[name] for name in ("fmr10", "eer", "auc", "gstd", "d_prime")]) > 0.92, shares
    assert min(shares.values()) > 0.85, shares
