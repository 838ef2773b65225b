"""Stage 1 alone (CE) against CE+TL and CE+TL+MSE on one split, by the small recipe.

    python benchmarks/losses.py [--src FOLDER] [--test-identities 0.4] [--seeds 2] [--mse-weight 30]

One network is trained a seed, and both second stages start from it. Prints figures with 95 % intervals over the test
subjects. The shared faces are 5 people and the demo 12, each of one portrait: such sets show that the chain runs and
what a figure of a handful of subjects is worth, and no more. `orl.py` compares on 20 people at a time.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from _common import DATA, machine, table

import maskgen
from maskgen.cli.demo import write_demo
from mfr_train.evaluation.eval_settings import EvalSettings
from mfr_train.evaluation.evaluate import evaluate
from mfr_train.training.train import train
from mfr_train.training.train_settings import TrainSettings

FIGURES = ("eer", "fmr10", "auc")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, help="identity folders [../shared/data/faces, and the demo]")
    parser.add_argument("--test-identities", type=float, default=0.4)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--mse-weight", type=float, default=30.0)
    parser.add_argument("--iterations", type=int, help="of stage 1 [the recipe's]")
    chosen = parser.parse_args()
    machine()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        sources = {"given": chosen.src} if chosen.src else {"faces": DATA / "faces", "demo": scratch / "demo"}
        if "demo" in sources:
            write_demo(sources["demo"])
        for name, src in sources.items():
            if src.is_dir():
                for seed in range(chosen.seeds):
                    compare(name, src, scratch / f"{name}{seed}", seed, chosen)


def compare(name: str, src: Path, scratch: Path, seed: int, chosen: argparse.Namespace) -> None:
    smfd = scratch / "smfd"
    share = float(chosen.test_identities)
    maskgen.build(maskgen.BuildSettings(src=src, out=smfd, test_identities=share, seed=seed, engine="serial"))

    def trained(run: str, stage: str, weights: Path | None = None, mse_weight: float = 0.0) -> Path:
        return train(
            TrainSettings(
                data=str(smfd), out=scratch / run, stage=stage, recipe="small", weights=weights, mse_weight=mse_weight,
                seed=seed, device="cpu", iterations=chosen.iterations, cache=scratch / "features",
            )
        )  # fmt: skip

    first = trained("CE", "classify")
    runs = {
        "CE": first,
        "CE+TL": trained("TL", "embed", first),
        f"CE+TL+{chosen.mse_weight:g} MSE": trained("MSE", "embed", first, chosen.mse_weight),
    }
    rows = []
    for model, run in runs.items():
        report = evaluate(
            EvalSettings(
                data=str(smfd), run=run, out=scratch / "eval", breakdown=False, cache=scratch / "features", seed=seed
            )
        )
        for row in report.rows:
            found, ends = row.figures, row.intervals.intervals if row.intervals else {}
            values = {"eer": found.eer.eer, "fmr10": found.fmr10.fnmr, "auc": found.auc}
            cells = (
                f"{values[figure]:.3f}" + (f" [{ends[figure][0]:.3f}, {ends[figure][1]:.3f}]" if ends else "")
                for figure in FIGURES
            )
            rows.append((row.scenario, model, *cells, f"{found.genuine:.0f}"))
    rows.sort(key=lambda row: ("U-U", "U-M", "M-M").index(str(row[0])))
    title = f"{name}, seed {seed}: {report.subjects} test subjects, {report.photographs} photographs"
    table(title, ("scenario", "model", *FIGURES, "genuine pairs"), rows)


if __name__ == "__main__":
    main()
