"""How long and how much memory a full comparison of many pictures takes, from a timed slice of it.

    python benchmarks/eval_scale.py [--pictures 170000] [--subjects 500] [--dim 512] [--blocks 40] [--scenario U-M]

Compares `pictures` references with as many probes (random embeddings; U-M order, or M-M with each pair once), in the
blocks and with the counting of `mfr eval`, and times some of them. The floor is the bare matrix product of the same
blocks, in float64 as used (sums without rounding, so that no score depends on the size of a block) and in float32.
Prints a ratio, measured in one run with the contestants taking turns, and hours at that speed.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
from collections.abc import Callable
from itertools import islice

import numpy as np

from mfr_train.evaluation import bootstrap, measure, metrics, scores
from mfr_train.evaluation.drawn import in_resamples
from mfr_train.evaluation.scores import Block, Comparison, Side


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=170_000)
    parser.add_argument("--subjects", type=int, default=500)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--blocks", type=int, default=40, help="blocks to time")
    parser.add_argument("--scenario", choices=("U-M", "M-M"), default="U-M")
    chosen = parser.parse_args()

    one = random_side(chosen.pictures, chosen.subjects, chosen.dim)
    comparison = Comparison(one, one, chosen.scenario == "M-M")
    blocks = spread_blocks(comparison, chosen.blocks)
    pairs = sum((b.rows.stop - b.rows.start) * (b.columns.stop - b.columns.start) for b in blocks)
    units = bootstrap.units(chosen.subjects)

    began = time.perf_counter()
    sample = measure.sample_counts(comparison)
    planned = time.perf_counter() - began
    table = bootstrap.empty_table(sample, int(units[-1]) + 1)
    tally = measure.tally(comparison, units, table, impostor=True)
    contestants: dict[str, Callable[[Block], object]] = {
        "float32 product": lambda b: one.embeddings[b.rows] @ one.embeddings[b.columns].T,
        "float64 product": lambda b: one.embeddings[b.rows].astype(float) @ one.embeddings[b.columns].astype(float).T,
        "counts": lambda b: scores.histogram(comparison, iter([b])),
        "counts and bootstrap": lambda b: scores.histogram(comparison, iter([b]), tally),
    }
    seconds = take_turns(contestants, blocks)

    # A rectangle of the diagonal is computed whole though half of it counts: block by block, so that hours include it.
    total = sum(
        (b.rows.stop - b.rows.start) * (b.columns.stop - b.columns.start) for b in scores.impostor_blocks(comparison)
    )
    print(f"{chosen.pictures} x {chosen.pictures} {chosen.scenario}: {total:.3g} pairs; timed {pairs:.3g} of them")
    print(f"{'':22} {'ns/pair':>8} {'hours':>7} {'/ float64':>10} {'/ float32':>10}")
    for name, spent in seconds.items():
        ratios = (spent / seconds[floor] for floor in ("float64 product", "float32 product"))
        hours = spent / pairs * total / 3600
        print(f"{name:22} {spent / pairs * 1e9:8.1f} {hours:7.2f} " + " ".join(f"{ratio:10.2f}" for ratio in ratios))
    began = time.perf_counter()
    figures = metrics.figures_of(sample)
    in_resamples(table_of_slice(table), sample, figures, 20, 0)
    per_resample = (time.perf_counter() - began) / 20
    tables = table.impostor.nbytes + table.genuine.nbytes
    print(f"planning the bins: {planned:.0f} s; 1000 resamples: {1000 * per_resample:.0f} s")
    print(
        f"embeddings {one.embeddings.nbytes / 2**20:.0f} MiB, table of the bootstrap {tables / 2**20:.0f} MiB "
        f"({len(table.edges) - 1} bins); peak {peak_mib():.0f} MiB, whatever the number of pairs"
    )
    print("error bounds of the grid: " + ", ".join(f"{name} {bound:.1e}" for name, bound in figures.bounds.items()))


def random_side(pictures: int, subjects: int, dim: int) -> Side:
    """Pictures scattered around a centre for each subject so that genuine and impostor scores overlap."""
    generator = np.random.default_rng(0)
    who = np.arange(pictures) * subjects // pictures
    centres = generator.normal(size=(subjects, dim)).astype(np.float32)
    values = np.empty((pictures, dim), np.float32)
    for start in range(0, pictures, 4096):
        part = slice(start, start + 4096)
        values[part] = centres[who[part]] + 3 * generator.normal(size=values[part].shape).astype(np.float32)
    return scores.side(values, who, np.arange(pictures))[0]


def spread_blocks(comparison: Comparison, count: int) -> list[Block]:
    """Full blocks from all over the comparison, so that masks and subjects come as they do in a whole run."""
    total = sum(1 for _ in scores.impostor_blocks(comparison))
    step = max(1, total // count)
    return list(islice(islice(scores.impostor_blocks(comparison), step // 2, None, step), count))


def take_turns(contestants: dict[str, Callable[[Block], object]], blocks: list[Block]) -> dict[str, float]:
    """Seconds of each on all blocks: block by block in turn, so that a busy moment hits all of them."""
    for run in contestants.values():
        run(blocks[0])
    seconds = dict.fromkeys(contestants, 0.0)
    for block in blocks:
        for name, run in contestants.items():
            began = time.perf_counter()
            run(block)
            seconds[name] += time.perf_counter() - began
    return seconds


def table_of_slice(table: bootstrap.Table) -> bootstrap.Table:
    """The table with a genuine score in each bin, which the slice has not counted."""
    return bootstrap.Table(table.edges, table.genuine + np.uint32(1), table.impostor, table.exact)


def peak_mib() -> float:
    """Largest resident memory of this process so far."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10


if __name__ == "__main__":
    main()
