"""Two published networks on LFW's pairs, against their published accuracy, and every figure against other libraries.

    python benchmarks/truth.py [--lfw DIR] [--networks DIR] [--data DATASET] [--work DIR] [--sheet PNG] [--all-pairs]

DIR holds photographs of LFW as tars or folders, pairs.txt (View 2 or a part of it) and draws.txt, the published draws
of masks. The data set is built with those draws unless --data gives it; --work keeps it and the features.

Prints accuracy with its standard error, the figures of U-U, U-M and M-M, the largest difference of a figure from what
scikit-learn, pyeer and NumPy find in the same scores, and the pairs that each network gets wrong. --sheet draws those.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
from _common import DATA, machine, table
from pyeer import eer_stats
from sklearn.metrics import roc_auc_score, roc_curve

import maskgen
import mfr_train
from mfr_train import Report

SCENARIOS = ("U-U", "U-M", "M-M")
SIDES = ("reference", "probe")
MAX_DIFFERENCE = 1e-6
SHOWN = 12
"""Wrong pairs that the table names at most."""

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Network:
    """A network with the accuracy on LFW's View 2 that its authors publish."""

    name: str
    model: str
    published: float


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lfw", type=Path, default=DATA / "lfw", help="folder of photographs, pairs.txt, draws.txt")
    parser.add_argument("--networks", type=Path, default=DATA / "networks", help="folder of mobilefacenet.onnx")
    parser.add_argument("--data", type=Path, help="data set that was built of them before")
    parser.add_argument("--work", type=Path, help="folder that keeps the data set, features and reports")
    parser.add_argument("--resamples", type=int, default=1000, help="of the subjects, for the intervals [1000]")
    parser.add_argument("--sheet", type=Path, help="picture of the wrong pairs of U-U")
    parser.add_argument("--all-pairs", action="store_true", help="also all pairs of the photographs")
    chosen = parser.parse_args()
    for path in (chosen.lfw / "pairs.txt", chosen.lfw / "draws.txt", chosen.networks / "mobilefacenet.onnx"):
        if not path.is_file():
            raise SystemExit(f"there is no {path}; give --lfw and --networks folders that hold it.")
    machine()
    networks = (
        Network("dlib", "dlib", 99.38),
        Network("MobileFaceNet", str(chosen.networks / "mobilefacenet.onnx"), 99.5),
    )
    with tempfile.TemporaryDirectory() as scratch:
        work = chosen.work or Path(scratch)
        data = chosen.data or built(chosen.lfw, work / "lfw-masked")
        common = {"data": data, "breakdown": False, "cache": work / "cache", "figures": "none"}
        listed = {"pairs": chosen.lfw / "pairs.txt", "bootstrap": chosen.resamples, **common}
        reports = [mfr_train.evaluate(model=each.model, out=work / each.name, **listed) for each in networks]
        accuracies(networks, reports)
        figures("Listed pairs", networks, reports)
        judged(networks, reports)
        for network, report in zip(networks, reports, strict=True):
            wrong_pairs(network, report, sources(data))
        if chosen.sheet:
            sheet(chosen.sheet, data, reports)
        if chosen.all_pairs:
            everything = {"bootstrap": chosen.resamples, **common}
            reports = [
                mfr_train.evaluate(model=each.model, out=work / f"{each.name}-all", **everything) for each in networks
            ]
            figures("All pairs of these photographs", networks, reports)


def built(lfw: Path, out: Path) -> Path:
    """The data set with the published draws, all of it for the test."""
    if not (out / "dataset.json").is_file():
        maskgen.build(src=lfw, out=out, draws=lfw / "draws.txt", test_identities=1.0)
    return out


def accuracies(networks: Any, reports: list[Report]) -> None:
    """Accuracy over folds against the published one, and where its difference comes from."""
    rows = []
    for network, report in zip(networks, reports, strict=True):
        for name in SCENARIOS:
            found = report[name].accuracy
            genuine, impostor = scores(report, name)
            threshold = float(np.mean(found.thresholds))
            fnmr, fmr = np.mean(genuine < threshold), np.mean(impostor >= threshold)
            rows.append(
                (
                    network.name,
                    name,
                    f"{100 * found.mean:.2f} +- {100 * found.standard_error:.2f}",
                    f"{network.published:g}" if name == "U-U" else "",
                    f"{100 - 50 * (fnmr + fmr):.2f}",
                    f"{np.sum(genuine < threshold)} of {len(genuine):,}",
                    f"{np.sum(impostor >= threshold)} of {len(impostor):,}",
                )
            )
    head = (
        "network",
        "",
        "accuracy % +- standard error",
        "published",
        "balanced %",
        "false non-matches",
        "false matches",
    )
    table("Accuracy at the best threshold of the other folds", head, rows)


def figures(title: str, networks: Any, reports: list[Report]) -> None:
    rows = [
        (network.name, name, *(percent(getattr(report[name], figure)) for figure in ("eer", "fmr100", "fmr10")))
        for network, report in zip(networks, reports, strict=True)
        for name in SCENARIOS
    ]
    table(f"{title}, % with 95 % intervals over subjects", ("network", "", "EER", "FMR100", "FMR10"), rows)


def percent(measured: Any) -> str:
    ends = f" [{', '.join(f'{100 * end:.2f}' for end in measured.interval)}]" if measured.interval else ""
    return f"{100 * measured:.2f}{ends}"


def scores(report: Report, scenario: str) -> tuple[Floats, Floats]:
    """The genuine and impostor scores that an evaluation wrote."""
    found = pq.read_table(report.out / f"{scenario}.parquet", columns=["genuine", "score"])
    genuine, values = found["genuine"].to_numpy(), found["score"].to_numpy()
    return values[genuine], values[~genuine]


def judged(networks: Any, reports: list[Report]) -> None:
    """The largest difference of each figure from what other libraries find in the same scores."""
    worst: dict[str, float] = {}
    for report in reports:
        for name in SCENARIOS:
            row = report[name]
            for figure, value in independent(*scores(report, name)).items():
                worst[figure] = max(worst.get(figure, 0.0), abs(float(getattr(row, figure)) - value))
    rows = [(figure, f"{difference:.1e}") for figure, difference in worst.items()]
    table(f"Largest difference from scikit-learn, pyeer and NumPy (below {MAX_DIFFERENCE:g})", ("figure", ""), rows)
    if max(worst.values()) >= MAX_DIFFERENCE:
        raise SystemExit("a figure is not that of the other libraries")


def independent(genuine: Floats, impostor: Floats) -> dict[str, float]:
    """Every figure without the package's code."""
    labels = np.repeat([1, 0], [len(genuine), len(impostor)])
    values = np.concatenate([genuine, impostor])
    fpr, tpr, _ = roc_curve(labels, values, drop_intermediate=False)
    _, fmr, fnmr = eer_stats.calculate_roc(genuine.tolist(), impostor.tolist())
    fmr, fnmr = np.append(fmr, 0), np.append(fnmr, 1)  # pyeer leaves out the threshold above all scores
    gmean, imean, gstd, istd = genuine.mean(), impostor.mean(), genuine.std(), impostor.std()
    return {
        **{f"fmr{round(1 / limit)}": 1 - tpr[fpr < limit].max() for limit in (0.1, 0.01, 0.001)},
        "zero_fmr": float(np.mean(genuine <= impostor.max())),
        "nearest_fmr100": float(eer_stats.get_fmr_op(fmr, fnmr, 0.01)[1]),
        "eer": float(eer_stats.get_eer_values(fmr, fnmr)[3]),
        "auc": float(roc_auc_score(labels, values)),
        "gmean": gmean,
        "imean": imean,
        "gstd": gstd,
        "istd": istd,
        "d_prime": float(eer_stats.get_decidability_value(gmean, gstd, imean, istd)),
    }


def wrong(report: Report) -> list[dict[str, Any]]:
    """The pairs of U-U on the wrong side of the mean threshold, the furthest first."""
    threshold = float(np.mean(report["U-U"].accuracy.thresholds))
    pairs = pq.read_table(report.out / "U-U.parquet").to_pylist()
    bad = [pair for pair in pairs if (pair["score"] < threshold) == pair["genuine"]]
    return sorted(bad, key=lambda pair: -abs(pair["score"] - threshold))


def sources(data: Path) -> dict[str, str]:
    """The name that each photograph had before the build, by its key."""
    found = pq.read_table(data / "plan.parquet", columns=["key", "source"]).to_pydict()
    return {key: Path(source).stem for key, source in zip(found["key"], found["source"], strict=True)}


def wrong_pairs(network: Network, report: Report, named: dict[str, str]) -> None:
    found = wrong(report)
    rows = [
        ("genuine" if pair["genuine"] else "impostor", f"{pair['score']:.3f}", *(named[pair[side]] for side in SIDES))
        for pair in found[:SHOWN]
    ]
    table(f"{network.name}, U-U: {len(found)} wrong pairs", ("called", "score", "", ""), rows)


def sheet(path: Path, data: Path, reports: list[Report]) -> None:
    """The wrong pairs of all reports, each once: a column of two pictures, ten pairs a row."""
    pairs = list({(pair["reference"], pair["probe"]): pair for report in reports for pair in wrong(report)}.values())
    wanted = {pair[side] for pair in pairs for side in SIDES}
    pictures = {row.key: row.image("unmasked") for row in maskgen.open(data) if row.key in wanted}
    columns = []
    for pair in pairs:
        column = np.concatenate([cv2.resize(pictures[pair[side]], (112, 112)) for side in SIDES])
        color = (0, 160, 0) if pair["genuine"] else (200, 0, 0)
        columns.append(cv2.copyMakeBorder(column, 3, 3, 3, 3, cv2.BORDER_CONSTANT, value=color))
    while len(columns) % 10:
        columns.append(np.zeros_like(columns[0]))
    rows = [np.concatenate(columns[start : start + 10], axis=1) for start in range(0, len(columns), 10)]
    cv2.imwrite(str(path), cv2.cvtColor(np.concatenate(rows), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    main()
