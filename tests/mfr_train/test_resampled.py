"""The figures of many resamples at once are those of each of them alone."""

from __future__ import annotations

import math

import numpy as np
import pytest

from mfr_train.evaluation import bootstrap, metrics, resampled
from mfr_train.evaluation.counts import Counts
from mfr_train.evaluation.metrics import FixedThreshold
from mfr_train.evaluation.resampled import Moments

BINS, RESAMPLES = 40, 60


def drawn(binned: bool, seed: int = 0) -> Counts:
    """Resamples whose rates meet at thresholds and between them, with empty bins and equal rates among them."""
    generator = np.random.default_rng(seed)
    edges = np.sort(generator.uniform(-1, 1, BINS + 1))
    place = np.arange(BINS)
    genuine = generator.poisson(4 * np.exp(-(((place - 28) / 9) ** 2)), (RESAMPLES, BINS))
    impostor = generator.poisson(30 * np.exp(-(((place - 12) / 9) ** 2)), (RESAMPLES, BINS))
    genuine[0] = np.where(place > 30, 1, 0)  # apart from the impostor scores
    impostor[0] = np.where(place < 20, 1, 0)
    genuine[1] = impostor[1] = 1
    genuine[2], impostor[2] = place == 5, place == 5
    genuine[3], impostor[3] = place == 0, place == BINS - 1  # every pair on the wrong side
    return Counts(edges[:-1], genuine.astype(float), impostor.astype(float), edges[1:] if binned else None)


def moments(counts: Counts) -> tuple[Moments, Moments]:
    """Of scores that all lie at the beginning of their bin."""
    return Moments(counts.scores, (counts.scores - 0.1) ** 2, 0.1), Moments(counts.scores, counts.scores**2, 0.0)


@pytest.mark.parametrize("binned", [False, True])
def test_each_resample_has_the_figures_that_it_has_alone(binned: bool) -> None:
    counts = drawn(binned)
    fixed = [FixedThreshold(0.01, counts.scores[7]), FixedThreshold(0.1, math.inf)]
    values, bounds = resampled.figures(counts, (0.02, 0.3), moments(counts), fixed)
    most: dict[str, float] = {}
    for number in range(RESAMPLES):
        alone = Counts(counts.scores, counts.genuine[number], counts.impostor[number], counts.tops)
        figures = metrics.figures_of(alone, (0.02, 0.3))
        expected = bootstrap.plain(figures) | bootstrap.at_thresholds(alone, fixed)
        assert set(expected) - set(values) == {"zero_fmr"}
        for name in set(values) - {"gmean", "imean", "gstd", "istd", "d_prime"}:
            assert values[name][number] == expected[name], (name, number)
        at_beginnings = bootstrap.plain(metrics.figures_of(alone._replace(tops=None)))
        for name in ("gmean", "imean", "gstd", "istd"):
            assert values[name][number] == pytest.approx(at_beginnings[name], abs=1e-7), (name, number)
        most = {name: max(most.get(name, 0.0), bound) for name, bound in figures.bounds.items()}
    assert bounds == {name: most[name] for name in bounds}
    assert {"eer", "auc", "nearest_fmr100", "fmr100"} <= set(bounds)
    assert all((bound > 0) == binned for bound in bounds.values())


def test_a_resample_without_spread_has_the_decidability_that_it_has_alone() -> None:
    counts = drawn(False)
    values, _ = resampled.figures(counts, (), moments(counts))
    assert values["d_prime"][2] == 0
    assert values["d_prime"][3] == math.inf
    assert np.isfinite(np.delete(values["d_prime"], 3)).all()


@pytest.mark.parametrize("cells", [1, 700])
def test_how_many_are_measured_at_a_time_changes_nothing(cells: int, monkeypatch: pytest.MonkeyPatch) -> None:
    generator = np.random.default_rng(2)
    units, counts = 5, drawn(False)
    genuine, impostor = (
        generator.poisson(1, (rows, BINS)).astype(np.uint32) for rows in (units, units * (units + 1) // 2)
    )
    table = bootstrap.Table(np.append(counts.scores, 1.0), genuine, impostor, True)
    seen: list[Counts] = []
    [whole] = bootstrap.replicates(table, moments(counts), 90, 1)
    monkeypatch.setattr(bootstrap, "CELLS_AT_ONCE", cells)
    parts = list(bootstrap.replicates(table, moments(counts), 90, 1, watch=seen.append))
    assert len(parts) == -(-90 // max(1, cells // (BINS + 1)))
    for name, values in whole.values.items():
        assert np.array_equal(values, np.concatenate([part.values[name] for part in parts]))
    assert np.array_equal(whole.weights, np.concatenate([part.weights for part in parts]))
    assert [metrics.auc(one) for one in seen] == whole.values["auc"].tolist()
