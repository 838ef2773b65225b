"""How often the 95 % intervals of `mfr eval` cover the true figures: many laboratories with other subjects each.

    python benchmarks/intervals.py --subjects 30 100 300 --laboratories 500

A person is a point in a space of few dimensions, and a photograph that point with noise, so that all pairs of a person
depend on each other, as do all impostor pairs with that person. Persons differ in how noisy their photographs are, and
have two to six of them. A laboratory draws so many persons, and its figures and intervals are those of
`mfr_train.evaluation.measure`. The true figures are those of one very large laboratory.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence

import numpy as np

from mfr_train.evaluation import bootstrap, metrics, scores
from mfr_train.evaluation.measure import measure
from mfr_train.evaluation.scores import Comparison, Side

FIGURES = ("fmr100", "fmr10", "eer", "auc", "gmean", "imean", "gstd", "istd", "d_prime")

TRUE_SUBJECTS, TRUE_PAIRS_OF = 100_000, 6000
"""Subjects whose genuine pairs, and subjects whose impostor pairs, are the truth."""


def photographs(subjects: int, rng: np.random.Generator, dim: int, noise: float) -> Side:
    """The photographs of so many new persons."""
    counts = rng.integers(2, 7, subjects)
    who = np.repeat(np.arange(subjects), counts)
    spread = noise * rng.lognormal(0, 0.3, subjects)
    values = rng.normal(size=(subjects, dim))[who] + spread[who, None] * rng.normal(size=(len(who), dim))
    return scores.side(values.astype(np.float32), who, np.arange(len(who)))[0]


def truth(rng: np.random.Generator, dim: int, noise: float) -> dict[str, float]:
    """The figures of all genuine pairs of very many persons and all impostor pairs of many."""
    genuine, impostor = (photographs(count, rng, dim, noise) for count in (TRUE_SUBJECTS, TRUE_PAIRS_OF))
    many, few = (Comparison(side, side, True) for side in (genuine, impostor))
    counts = metrics.from_histogram(
        scores.grid(),
        scores.histogram(many, scores.genuine_blocks(many)),
        scores.histogram(few, scores.impostor_blocks(few)),
    )
    return bootstrap.plain(metrics.figures_of(counts))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subjects", type=int, nargs="+", default=[30, 100, 300])
    parser.add_argument("--laboratories", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=200)
    parser.add_argument("--bins", type=int, default=512, help="bins of a resample; mfr eval has up to 8,192")
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--noise", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    bootstrap.MAX_BINS = given.bins
    rng = np.random.default_rng(given.seed)
    true = truth(rng, given.dim, given.noise)
    print("true".ljust(24) + "".join(f"{true[name]:>9.4f}" for name in FIGURES))
    print("subjects".ljust(24) + "".join(f"{name:>9}" for name in FIGURES))
    for subjects in given.subjects:
        report(subjects, true, rng, given)


def report(subjects: int, true: dict[str, float], rng: np.random.Generator, given: argparse.Namespace) -> None:
    """Prints the share of laboratories whose interval holds the true value, and on which side the others miss it."""
    started = time.process_time()
    below, above, width = (dict.fromkeys(FIGURES, 0.0) for _ in range(3))
    for laboratory in range(given.laboratories):
        side = photographs(subjects, rng, given.dim, given.noise)
        found = measure(Comparison(side, side, True), subjects, given.resamples, laboratory).intervals
        if found is None:
            raise SystemExit("too few subjects for intervals")
        for name in FIGURES:
            low, high = found.intervals[name]
            below[name] += high < true[name]
            above[name] += low > true[name]
            width[name] += (high - low) / given.laboratories
    covered = {name: 1 - (below[name] + above[name]) / given.laboratories for name in FIGURES}
    for label, values, scale in (
        (f"{subjects}: covered %", covered, 100.0),
        ("  interval below %", below, 100 / given.laboratories),
        ("  interval above %", above, 100 / given.laboratories),
    ):
        print(label.ljust(24) + line(values, scale, 1))
    print("  mean width".ljust(24) + line(width, 1, 4))
    print(f"  {time.process_time() - started:.0f} s of CPU time", flush=True)


def line(values: dict[str, float], scale: float, digits: int, names: Sequence[str] = FIGURES) -> str:
    return "".join(f"{scale * values[name]:>9.{digits}f}" for name in names)


if __name__ == "__main__":
    main()
