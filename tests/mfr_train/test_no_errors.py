"""Exact limits of rates without errors, with SciPy's beta distribution as the judge."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import beta

from mfr_train.evaluation import metrics, scores
from mfr_train.evaluation.measure import measure
from mfr_train.evaluation.no_errors import Trials, trials, trials_of_pairs, upper_limit, widened
from mfr_train.evaluation.scores import Comparison


def test_no_error_in_n_trials_leaves_about_three_over_n() -> None:
    assert upper_limit(1) == pytest.approx(0.95)
    assert upper_limit(2) == pytest.approx(1 - 0.05**0.5)
    assert upper_limit(1000) == pytest.approx(3 / 1000, rel=0.01)
    assert upper_limit(0) == 1


@pytest.mark.parametrize("count", [1, 3, 10, 300, 100_000])
@pytest.mark.parametrize("level", [0.9, 0.95, 0.975])
def test_it_is_clopper_and_pearsons_one_sided_limit(count: int, level: float) -> None:
    assert upper_limit(count, level) == pytest.approx(beta.ppf(level, 1, count), rel=1e-9)


def comparison(subjects: list[int], probes: list[int] | None = None, listed: np.ndarray | None = None) -> Comparison:
    """Pictures of these subjects, whose embeddings are unit vectors: genuine scores are 1, impostor scores 0."""
    size = max([*subjects, *(probes or [])]) + 1

    def side(who: list[int], first: int) -> scores.Side:
        return scores.side(np.eye(size, dtype=np.float32)[who], who, np.arange(len(who)) + first)[0]

    left = side(subjects, 0)
    right = left if probes is None else side(probes, len(subjects))
    pairs = None if listed is None else (listed[:, 0], listed[:, 1])
    return Comparison(left, right, probes is None and listed is None, pairs)


def test_trials_count_subjects_and_disjoint_pairs() -> None:
    # Subject 2 has one picture and no genuine pair; five subjects make two disjoint pairs.
    assert trials(comparison([0, 0, 1, 1, 1, 2, 3, 3, 4, 4])) == Trials(4, 2)
    # References of two subjects only: no two disjoint pairs beyond them.
    assert trials(comparison([0, 0, 1], [0, 1, 2, 3, 4, 5])) == Trials(2, 2)
    assert Trials(4, 2).ordered == 1


def test_trials_of_pairs_are_subjects_and_disjoint_pairs() -> None:
    one, other = np.array([0, 0, 1, 2, 3, 3, 4]), np.array([0, 1, 2, 2, 1, 4, 0])
    assert trials_of_pairs(one, other) == Trials(2, 2)  # subjects 0 and 2; pairs 1-2 and 0-4
    assert trials_of_pairs(one[:0], other[:0]) == Trials(0, 0)


@pytest.mark.parametrize(("left", "right"), [(7, range(7)), (2, range(6)), (4, range(2, 9)), (6, range(6, 8))])
def test_pairs_one_by_one_are_as_many_as_the_sides_allow(left: int, right: range) -> None:
    """All references with all probes: by the formula for whole sides, and from the list of their pairs."""
    ours, theirs = list(range(left)), list(right)
    every = np.array([(a, b) for a in ours for b in theirs])
    whole = trials(comparison(ours * 2, theirs * 2))
    assert whole == trials_of_pairs(every[:, 0], every[:, 1])
    assert whole.impostor == min(left, len(right), len({*ours, *theirs}) // 2)


def test_the_order_of_a_list_is_no_matter() -> None:
    """Positions are subjects, 5 and 6 the same one: 0-1 and 2-3 share nobody, though 1-2 is listed first."""
    listed = np.array([[1, 2], [0, 1], [3, 2], [4, 0], [5, 6]])
    for order in (listed, listed[::-1], listed[:, ::-1]):
        assert trials(comparison([0, 1, 2, 3, 4, 5, 5], listed=order)) == Trials(1, 2)


def test_only_rates_of_zero_and_one_are_widened() -> None:
    found = Trials(10, 4)
    values = {"fmr100": 0.0, "fmr10": 0.2, "eer": 0.0, "auc": 1.0, "gmean": 1.0, "fmr_at_uu_fmr10": 0.0, "fmr1000": 1.0}
    degenerate = {name: (value, value) for name, value in values.items()}
    ends = widened(degenerate, values, found)
    assert ends["fmr10"] == (0.2, 0.2)
    assert ends["gmean"] == (1.0, 1.0)
    assert ends["fmr100"] == (0, pytest.approx(1 - 0.05 ** (1 / 10)))
    assert ends["fmr_at_uu_fmr10"] == (0, pytest.approx(1 - 0.05 ** (1 / 4)))
    assert ends["fmr1000"] == (pytest.approx(0.05 ** (1 / 10)), 1)
    assert ends["eer"] == (0, pytest.approx(1 - 0.025 ** (1 / 4)))
    assert ends["auc"] == (pytest.approx(0.05 ** (1 / 3)), 1)
    assert widened({"fmr100": (0.0, 0.9)}, values, found)["fmr100"] == (0, 0.9), "a wider one stays"


def test_a_perfect_system_is_not_known_to_be_perfect() -> None:
    perfect = comparison([who for who in range(12) for _ in range(3)])
    fixed = metrics.FixedThreshold(0.1, 0.5)
    intervals = measure(perfect, 12, 100, 0, (fixed,)).intervals
    assert intervals is not None
    assert intervals.intervals["fmr10"] == (0, pytest.approx(1 - 0.05 ** (1 / 12)))
    assert intervals.intervals["eer"] == (0, pytest.approx(1 - 0.025 ** (1 / 6)))
    assert intervals.intervals["auc"] == (pytest.approx(0.05 ** (1 / 4)), 1)
    assert intervals.intervals[fixed.name] == (0, pytest.approx(1 - 0.05 ** (1 / 12)))
    assert intervals.intervals[fixed.fmr_name] == (0, pytest.approx(1 - 0.05 ** (1 / 6)))
    assert intervals.intervals["gmean"] == (1, 1)
