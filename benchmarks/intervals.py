"""How often the 95 % intervals of `mfr eval` cover the true figures: many laboratories with other subjects each.

    python benchmarks/intervals.py --population harsh mild --subjects 30 100 --laboratories 500

A person is a point in a space of few dimensions, and a photograph that point with noise, so that all pairs of a person
depend on each other, as do all impostor pairs with that person. In the harsh population persons differ much in how
noisy their photographs are, and have two to six of them. In the mild one they differ little, and have four; their
points lie around a common centre, so that some persons resemble all others more. A laboratory draws so many persons.
Its figures and intervals are those of `mfr_train.evaluation.measure`, with percentiles of the same resamples beside
them. The true figures are those of one very large laboratory.

--moments counts only the means, standard deviations and d', whose resamples need only sums over pairs of subjects: a
hundred times faster, and without bins.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from mfr_train.evaluation import bootstrap, metrics, scores, t_interval
from mfr_train.evaluation.counts import Floats, from_histogram
from mfr_train.evaluation.measure import measure
from mfr_train.evaluation.scores import Comparison, Side

FIXED = "uu_fmr100"
FIGURES = ("fmr100", "fmr10", "eer", "auc", "gmean", "imean", "gstd", "istd", "d_prime", f"fmr_at_{FIXED}")

Ends = tuple[float, float]

TRUE_SUBJECTS, TRUE_PAIRS_OF = 100_000, 6000
"""Subjects whose genuine pairs, and subjects whose impostor pairs, are the truth."""


def photographs(population: str, subjects: int, rng: np.random.Generator, dim: int, noise: float) -> Side:
    """The photographs of so many new persons."""
    if population == "harsh":
        counts = rng.integers(2, 7, subjects)
        spread = noise * rng.lognormal(0, 0.3, subjects)
        centres = rng.normal(size=(subjects, dim))
    else:
        counts = np.full(subjects, 4)
        spread = noise * np.clip(rng.normal(1, 0.12, subjects), 0.3, None)
        centres = rng.normal(0.3, 1, (subjects, dim))
    who = np.repeat(np.arange(subjects), counts)
    values = centres[who] + spread[who, None] * rng.normal(size=(len(who), dim))
    return scores.side(values.astype(np.float32), who, np.arange(len(who)))[0]


def truth(population: str, rng: np.random.Generator, dim: int, noise: float) -> tuple[dict[str, float], float]:
    """The figures of all genuine pairs of many persons and all impostor pairs of fewer, and the threshold of FMR100."""
    genuine, impostor = (photographs(population, count, rng, dim, noise) for count in (TRUE_SUBJECTS, TRUE_PAIRS_OF))
    many, few = (Comparison(side, side, True) for side in (genuine, impostor))
    counts = from_histogram(
        scores.grid(),
        scores.histogram(many, scores.genuine_blocks(many)),
        scores.histogram(few, scores.impostor_blocks(few)),
    )
    figures = metrics.figures_of(counts)
    threshold = figures.fmr100.threshold
    return bootstrap.plain(figures) | {f"fmr_at_{FIXED}": metrics.fmr_at_threshold(counts, threshold)}, threshold


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--population", nargs="+", choices=["harsh", "mild"], default=["harsh", "mild"])
    parser.add_argument("--subjects", type=int, nargs="+", default=[30, 100, 300])
    parser.add_argument("--laboratories", type=int, default=500)
    parser.add_argument("--resamples", type=int, default=400)
    parser.add_argument("--bins", type=int, default=512, help="bins of a resample; mfr eval has up to 8,192")
    parser.add_argument("--dim", type=int, default=16)
    parser.add_argument("--noise", type=float, default=0.6)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--moments", action="store_true", help="only means, standard deviations and d'")
    given = parser.parse_args()
    if given.moments:
        for population in given.population:
            for subjects in given.subjects:
                report_moments(population, subjects, given)
        return
    bootstrap.MAX_BINS = given.bins
    for population in given.population:
        rng = np.random.default_rng(given.seed)
        true, threshold = truth(population, rng, given.dim, given.noise)
        print(population.ljust(24) + line(dict(zip(FIGURES, FIGURES, strict=True))))
        print("true".ljust(24) + line(true))
        for subjects in given.subjects:
            report(population, subjects, true, threshold, rng, given)


def report(
    population: str,
    subjects: int,
    true: dict[str, float],
    threshold: float,
    rng: np.random.Generator,
    given: argparse.Namespace,
) -> None:
    """Prints the share of laboratories whose interval holds the true value, and on which side the others miss it."""
    started = time.process_time()
    percentiles: list[dict[str, Ends]] = []
    intervals: list[dict[str, Ends]] = []
    formula = t_interval.ends

    def watched(name: str, value: float, draws: Floats, *rest: Any) -> Ends:
        low, high = t_interval.percentiles(draws)
        percentiles[-1][name] = low, high
        return formula(name, value, draws, *rest)

    t_interval.ends = watched
    fixed = metrics.FixedThreshold(metrics.FMR100, threshold)
    for laboratory in range(given.laboratories):
        side = photographs(population, subjects, rng, given.dim, given.noise)
        percentiles.append({})
        found = measure(Comparison(side, side, True), subjects, given.resamples, laboratory, (fixed,)).intervals
        if found is None:
            raise SystemExit("too few subjects for intervals")
        intervals.append(found.intervals)
    t_interval.ends = formula
    print(f"{population}, {subjects} subjects")
    for method, made in (("percentiles", percentiles), ("interval", intervals)):
        low, high = (np.array([[ends[name][k] for name in FIGURES] for ends in made]) for k in (0, 1))
        print_coverage(method, low, high, np.array([true[name] for name in FIGURES]), 24)
    print(f"  {time.process_time() - started:.0f} s of CPU time", flush=True)


class Sums(NamedTuple):
    """Numbers of scores, their sums and sums of squares: genuine (n,) by subject, impostor (n, n) by pair of subjects.

    The impostor pairs are those above the diagonal, counted on both sides of it.
    """

    genuine: tuple[Floats, Floats, Floats]
    impostor: tuple[Floats, Floats, Floats]


def sums(side: Side) -> Sums:
    """The sums of all pairs of photographs, each pair once."""
    vectors = side.embeddings.astype(np.float64)
    own = side.subjects == np.arange(side.subjects.max() + 1)[:, None]
    by_subject = own.astype(np.float64)
    products = vectors @ vectors.T
    genuine, impostor = [], []
    for power in range(3):
        found = by_subject @ products**power @ by_subject.T
        alone = by_subject @ np.diag(products) ** power
        genuine.append((np.diag(found) - alone) / 2)
        impostor.append(found - np.diag(np.diag(found)))
    return Sums((genuine[0], genuine[1], genuine[2]), (impostor[0], impostor[1], impostor[2]))


def figures_of_sums(genuine: Sequence[Any], impostor: Sequence[Any]) -> dict[str, Any]:
    """The figures from numbers of scores, sums and sums of squares: one each, or (R,) of resamples."""
    gmean, imean = genuine[1] / genuine[0], impostor[1] / impostor[0]
    gstd = np.sqrt(genuine[2] / genuine[0] - gmean**2)
    istd = np.sqrt(impostor[2] / impostor[0] - imean**2)
    d_prime = (gmean - imean) / np.sqrt((gstd**2 + istd**2) / 2)
    return {"gmean": gmean, "imean": imean, "gstd": gstd, "istd": istd, "d_prime": d_prime}


def true_moments(population: str, rng: np.random.Generator, given: argparse.Namespace) -> dict[str, float]:
    """The figures of many persons: sums over all pairs are those of the vectors, without a loop over pairs."""
    side = photographs(population, TRUE_SUBJECTS, rng, given.dim, given.noise)
    vectors = side.embeddings.astype(np.float64)
    starts = np.flatnonzero(np.diff(side.subjects, prepend=-1))
    numbers = np.diff(np.append(starts, len(vectors))).astype(np.float64)
    own, own_squares = 0.0, 0.0
    for size in np.unique(numbers).astype(int):
        groups = vectors[starts[numbers == size][:, None] + np.arange(size)]
        own += float((groups.sum(axis=1) ** 2).sum())
        own_squares += float((np.einsum("gid,gie->gde", groups, groups) ** 2).sum())
    alone = (vectors**2).sum(axis=1)
    every = (vectors.sum(axis=0) ** 2).sum(), ((vectors.T @ vectors) ** 2).sum()
    genuine = (numbers**2).sum() - len(vectors), own - alone.sum(), own_squares - (alone**2).sum()
    impostor = len(vectors) ** 2 - (numbers**2).sum(), every[0] - own, every[1] - own_squares
    return {name: float(value) for name, value in figures_of_sums(genuine, impostor).items()}


def report_moments(population: str, subjects: int, given: argparse.Namespace) -> None:
    """What `report` prints, for the figures that are moments of the scores."""
    started = time.process_time()
    rng = np.random.default_rng(given.seed)
    true = true_moments(population, rng, given)
    names = tuple(true)
    made: dict[str, list[list[Ends]]] = {"percentiles": [], "interval": []}
    for laboratory in range(given.laboratories):
        found = sums(photographs(population, subjects, rng, given.dim, given.noise))
        totals = [part.sum() for part in found.genuine], [part.sum() / 2 for part in found.impostor]
        values = figures_of_sums(*totals)
        weights = np.concatenate(list(bootstrap.resample(subjects, given.resamples, laboratory))).astype(np.float64)
        draws = figures_of_sums(
            [weights @ part for part in found.genuine],
            [np.einsum("rs,rs->r", weights @ part, weights) / 2 for part in found.impostor],
        )
        count, total, squares = found.impostor
        effects = {
            "imean": total - count * values["imean"],
            "istd": (squares - 2 * total * values["imean"] + count * (values["imean"] ** 2 - values["istd"] ** 2))
            / (2 * values["istd"]),
        }
        pairs = {name: float((effect**2).sum() / 2 / totals[1][0] ** 2) for name, effect in effects.items()}
        made["percentiles"].append([t_interval.percentiles(draws[name]).tolist() for name in names])
        made["interval"].append(
            [
                t_interval.ends(name, float(values[name]), draws[name], weights - 1, pairs.get(name, 0.0))
                for name in names
            ]
        )
    print(
        f"{population}, {subjects} subjects, {given.laboratories} laboratories".ljust(44)
        + "".join(f"{n:>10}" for n in names)
    )
    for method, ends in made.items():
        low, high = np.moveaxis(np.array(ends), 2, 0)
        print_coverage(method, low, high, np.array([true[name] for name in names]), 44)
    print(f"  {time.process_time() - started:.0f} s of CPU time", flush=True)


def print_coverage(method: str, low: Floats, high: Floats, goal: Floats, width: int) -> None:
    """Prints how often intervals, (laboratories, figures), hold the true figures (figures,), and their widths."""
    below, above = (high < goal).mean(axis=0), (low > goal).mean(axis=0)
    for label, values, digits in (
        ("covered %", 100 * (1 - below - above), 1),
        ("below %", 100 * below, 1),
        ("above %", 100 * above, 1),
        ("median width", np.median(high - low, axis=0), 4),
    ):
        print(f"  {method}: {label}".ljust(width) + "".join(f"{value:>10.{digits}f}" for value in values))


def line(values: Mapping[str, float | str]) -> str:
    return "".join(f"{v[-9:]:>10}" if isinstance(v := values[name], str) else f"{v:>10.4f}" for name in FIGURES)


if __name__ == "__main__":
    main()
