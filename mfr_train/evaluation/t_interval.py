"""A 95 % interval of a figure from its resamples: value +- t standard deviations, on a scale that suits the figure.

The spread of a rate shrinks as the rate nears 0 or 1, and that of a standard deviation as the deviation falls. Test
subjects who happen to be easy therefore give a figure that is too good with an interval that is too narrow, and
percentiles of the resamples hold the true figure too seldom. On the logit scale for rates, EER and AUC, and on the
logarithmic scale for standard deviations, the spread depends less on the value. Mean scores take the logit scale
between the lowest and the highest possible score, for cosines twice Fisher's z. So no interval ends beyond a possible
value. The interval is, on its scale,

    h(value) +- t * sd(h(resamples)) * sqrt(n / (n - 1))

for n subjects (or groups of subjects); the root undoes the bias of the variance of a bootstrap. If a few subjects make
most of the spread, it is known as badly as if there were few subjects. So Student's t has the degrees of freedom with
which a variance of n values is known if their kurtosis is that of the subjects' effects on the figure.

Sources: Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapters 5 and 12; Hesterberg, The American
Statistician 69(4), 2015 (the root and t); Satterthwaite, Biometrics Bulletin 2(6), 1946 (degrees of freedom by the
variance of a variance); Efron, JASA 109(507), 2014 (effects as covariances with the weights of resamples).
"""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from ..defaults import COSINE
from .counts import Floats
from .similarity import RANGES

LEVEL = 0.95

PLAIN = ("d_prime",)
"""Figures on their own scale: d' varies as the inverse of a standard deviation does, with a spread that stays."""

MEANS = ("gmean", "imean")

DEVIATIONS = ("gstd", "istd")

FARTHEST = 10
"""A resample's distance from 0 or 1 counts as at least the value's, divided by this: a rate of 0 has no logit."""


def ends(
    name: str, value: float, draws: Floats, excess: Floats, pair_variance: float = 0.0, score: str = COSINE
) -> tuple[float, float]:
    """The interval of the figure `name` from its values in resamples, float64 (R,).

    `excess` float64 (R', n) is how often each subject was drawn in the first R' resamples, less one, and
    `pair_variance` that of `without_pairs`. `score` is the kind of the scores. A rate of 0 or 1, a mean at the end of
    its range, and a standard deviation of 0 have no place on the scale: theirs are the percentiles of the resamples.
    """
    if name in MEANS:
        least, greatest = RANGES[score]
        width = greatest - least
        low, high = _ends("", (value - least) / width, (draws - least) / width, excess, pair_variance / width**2)
        return least + width * low, least + width * high
    return _ends(name, value, draws, excess, pair_variance)


def _ends(name: str, value: float, draws: Floats, excess: Floats, pair_variance: float) -> tuple[float, float]:
    if value <= 0 if name in DEVIATIONS else name not in PLAIN and not 0 < value < 1:
        low, high = percentiles(draws)
        return float(low), float(high)
    center, scaled = _scaled(name, value, draws)
    count = excess.shape[1]
    spread = float(np.std(scaled)) * math.sqrt(count / (count - 1)) * without_pairs(draws, pair_variance)
    reach = quantile(degrees_of_freedom(scaled, excess)) * spread
    return _back(name, center - reach), _back(name, center + reach)


def percentiles(draws: npt.ArrayLike) -> Floats:
    """The 2.5 % and 97.5 % percentiles of resamples (R, ...): two rows, float64 (2, ...)."""
    found: Floats = np.quantile(np.asarray(draws, np.float64), [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return found


def degrees_of_freedom(draws: Floats, excess: Floats) -> float:
    """2 n / (k - 1), where k is the kurtosis of the effects of the n subjects; between 2 and n - 1.

    The variance of a variance of n values is its square times (k - 1) / n, and with d degrees of freedom times 2 / d.
    The effect of a subject is the covariance of the figure and the weight of the subject over the resamples. Its error
    is nearly normal and so adds nothing to a fourth cumulant. So the kurtosis is 3 + fourth cumulant / variance^2, with
    the variance of the figure, divided by n, as that of the effects.
    """
    count = excess.shape[1]
    first = draws[: len(excess)]
    variance = float(np.var(first)) / count
    if not variance:
        return count - 1
    effects = (first - first.mean()) @ excess / len(first)
    cumulant = float(np.mean(effects**4) - 3 * np.mean(effects**2) ** 2)
    beyond = 2 + cumulant / variance**2  # k - 1
    return min(max(2 * count / beyond, 2), count - 1) if beyond > 0 else count - 1


def without_pairs(draws: Floats, pair_variance: float) -> float:
    """By how much to shrink the spread of a figure of impostor pairs that was resampled with products of weights.

    With e the effect of a pair of subjects on the figure, `pair_variance` is P = sum of e^2. The variance of a figure
    of pairs is that of its subjects plus P. A resample draws both subjects of a pair, and so has 3 P in its place:
    a weight w has a variance of 1, a product of two has E[w^2]^2 - 1 = 3.
    """
    variance = float(np.var(draws))
    if not pair_variance or not variance:
        return 1.0
    return math.sqrt(min(max(variance - 2 * pair_variance, pair_variance) / variance, 1.0))


def quantile(degrees: float, level: float = LEVEL) -> float:
    """The t that a central share `level` of Student's distribution lies within; within 1 % from 2 degrees of freedom.

    Cornish and Fisher's expansion (Abramowitz and Stegun, Handbook of Mathematical Functions, 26.7.5).
    """
    z = NormalDist().inv_cdf((1 + level) / 2)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
        (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / 92160,
    )
    return z + sum(term / degrees**power for power, term in enumerate(terms, 1))


def _scaled(name: str, value: float, draws: Floats) -> tuple[float, Floats]:
    if name in PLAIN:
        return value, draws
    if name in DEVIATIONS:
        return math.log(value), np.log(np.maximum(draws, value / FARTHEST))
    nearest = min(value, 1 - value) / FARTHEST
    inside = np.clip(draws, nearest, 1 - nearest)
    return math.log(value / (1 - value)), np.log(inside / (1 - inside))


def _back(name: str, scaled: float) -> float:
    if name in PLAIN:
        return scaled
    if name in DEVIATIONS:
        return math.exp(scaled)
    return 1 / (1 + math.exp(-scaled)) if scaled > 0 else math.exp(scaled) / (1 + math.exp(scaled))
