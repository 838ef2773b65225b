"""dlib's network on masked faces, as it is and after stage 2 on top of it: several halves of the identities.

    python benchmarks/orl.py --src ORL [--seeds 4] [--lambdas 0 10 30 100] [--iterations 1000] [--work DIR]

ORL is the AT&T face database: 40 people, 10 photographs each, as identity folders; any other tree will do. Each seed
cuts the identities in half as `maskgen build --test-identities 0.5 --seed S` does: stage 2 trains on one half
(80 % of its photographs; the rest chooses the iteration), everything is measured on the other. All masks are drawn
once and every picture goes through dlib's network once, so a seed costs its training alone; --work keeps both.

Prints, for dlib's network and for each lambda (0 is the triplet loss alone), means over the seeds with the mean ends of
the 95 % intervals over subjects, and the paired differences from dlib's network on the same halves.
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from _common import DATA, machine, table

import maskgen
from maskgen.pipeline.plan import make_plan
from mfr_train.data.feature_cache import embed_rows, row_index
from mfr_train.defaults import DLIB
from mfr_train.evaluation import bootstrap
from mfr_train.evaluation.material import Embedded, Material
from mfr_train.evaluation.measure import measure
from mfr_train.evaluation.scenarios import Photographs, pairing
from mfr_train.networks.backbone import Backbone, Floats
from mfr_train.networks.backbones import load_backbone
from mfr_train.networks.model import Model
from mfr_train.training import embed, train_settings

MEASURED = {
    "U-U": ("U-U", None),
    "U-M": ("U-M", None),
    "U-M wide_high": ("U-M", ("wide_high",)),
    "U-M round_low": ("U-M", ("round_low",)),
}
FIGURES = ("eer", "fmr100", "fmr10", "auc")

Rows = npt.NDArray[np.intp]
Found = dict[str, dict[str, tuple[float, float, float]]]
"""By what was compared and by figure: its value and the ends of its interval."""


@dataclass(frozen=True)
class Faces:
    """Every photograph of the source: keys (N,), subjects (N,), and the features of each of its pictures, (N, 128)."""

    src: Path
    sources: list[str]
    keys: npt.NDArray[np.str_]
    subjects: Rows
    features: dict[str, Floats]
    backbone: Backbone


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--src", type=Path, default=DATA / "orl", help="folder of identity folders")
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--lambdas", type=float, nargs="+", default=[0, 10, 30, 100], help="values of --mse-weight")
    parser.add_argument("--iterations", type=int, default=1000)
    parser.add_argument("--resamples", type=int, default=300, help="of the subjects, for the intervals")
    parser.add_argument("--work", type=Path, help="folder that keeps the data set and the features")
    chosen = parser.parse_args()
    if not chosen.src.is_dir():
        raise SystemExit(f"there is no folder {chosen.src}; give --src a tree of identity folders.")
    machine()
    with tempfile.TemporaryDirectory() as scratch:
        faces = gathered(chosen.src, chosen.work or Path(scratch))
        results: dict[str, list[Found]] = {}
        for seed in range(chosen.seeds):
            split = halves(faces, seed)
            results.setdefault("dlib", []).append(measured(faces, split == "test", None, seed, chosen.resamples))
            for weight in chosen.lambdas:
                name = f"TL + {weight:g} MSE" if weight else "TL"
                folder = Path(scratch) / f"{seed}-{weight:g}"
                layer = trained(faces, split, weight, seed, chosen.iterations, folder)
                shutil.rmtree(folder)
                results.setdefault(name, []).append(measured(faces, split == "test", layer, seed, chosen.resamples))
                print(f"seed {seed}, {name}: U-M EER {100 * results[name][-1]['U-M']['eer'][0]:.2f} %", flush=True)
    tell(results)


def gathered(src: Path, work: Path) -> Faces:
    """Builds all masks of all photographs and computes their features, or takes those that `work` has."""
    maskgen.build(maskgen.BuildSettings(src=src, out=work / "smfd", size=0, test_identities=1.0, engine="serial"))
    dataset, backbone = maskgen.open(work / "smfd"), load_backbone(DLIB)
    names = ("unmasked", *dataset.variants)
    features = embed_rows(dataset, backbone, "test", names, work / "features")
    index = row_index(dataset, "test")
    sources = [row.source for row in dataset.rows("test", images=())]
    subjects = np.unique(index.identities, return_inverse=True)[1]
    return Faces(src, sources, index.keys, subjects, {name: np.array(features[name]) for name in names}, backbone)


def halves(faces: Faces, seed: int) -> npt.NDArray[np.str_]:
    """The split of each photograph, (N,), as `maskgen build --test-identities 0.5 --seed SEED` makes it."""
    settings = maskgen.BuildSettings(src=faces.src, out=Path("unused"), test_identities=0.5, seed=seed)
    plan = make_plan(settings)[0]
    split = dict(zip(plan["source"].to_pylist(), plan["split"].to_pylist(), strict=True))
    return np.array([split[source] for source in faces.sources])


def trained(
    faces: Faces, split: npt.NDArray[np.str_], weight: float, seed: int, iterations: int, folder: Path
) -> torch.nn.Linear:
    """Stage 2 as `mfr train --recipe small --backbone dlib` does it."""
    settings = train_settings.filled(
        train_settings.TrainSettings(
            recipe="small", backbone=DLIB, mse_weight=weight, seed=seed, embed_iterations=iterations, device="cpu",
            validate_every=100, log_every=100,
        )
    )  # fmt: skip
    folder.mkdir()
    parts = []
    for name in ("train", "val"):
        rows = np.flatnonzero(split == name)
        labels = np.unique(faces.subjects[split != "test"], return_inverse=True)
        numbers = np.searchsorted(labels[0], faces.subjects[rows]).astype(np.int32)
        parts.append(embed.cached([values[rows] for values in faces.features.values()], numbers))
    return embed.train_embedding(settings, parts[0], parts[1], faces.backbone.dim, folder, {"seed": seed})


def measured(
    faces: Faces, test: npt.NDArray[np.bool_], layer: torch.nn.Linear | None, seed: int, resamples: int
) -> Found:
    """Figures on the photographs of the test half."""
    weight, bias = (layer.weight.detach().numpy(), layer.bias.detach().numpy()) if layer else (None, None)
    model = Model("", faces.backbone, weight, bias)
    names, subjects = np.unique(faces.subjects[test], return_inverse=True)
    variants = tuple(name for name in faces.features if name != "unmasked")
    photographs = Photographs(faces.keys[test], subjects, variants, np.full(int(test.sum()), ""))
    material = Material(
        "", "", tuple(photographs.keys), subjects, tuple(names), {}, {},
        {name: Embedded(np.arange(len(subjects)), model.project(of[test])) for name, of in faces.features.items()},
        {},
    )  # fmt: skip
    found: Found = {}
    for title, (scenario, masks) in MEASURED.items():
        comparison = material.comparison(pairing(scenario, photographs, seed, masks))[0]
        result = measure(comparison, len(names), resamples, seed)
        assert result.intervals
        plain, ends = bootstrap.plain(result.figures), result.intervals.intervals
        found[title] = {figure: (plain[figure], *ends[figure]) for figure in FIGURES}
    return found


def tell(results: dict[str, list[Found]]) -> None:
    seeds = len(results["dlib"])
    for title in MEASURED:
        rows = [
            (name, *(cell([one[title][figure] for one in found], figure) for figure in FIGURES))
            for name, found in results.items()
        ]
        table(f"{title}: mean over {seeds} seeds, mean ends of the 95 % intervals", ("model", *FIGURES), rows)
    rows = []
    for name, found in results.items():
        for title in MEASURED if name != "dlib" else ():
            pairs = zip(found, results["dlib"], strict=True)
            changes = np.array([(one[title]["eer"][0] - base[title]["eer"][0]) * 100 for one, base in pairs])
            spread = f"{changes.min():+.2f} .. {changes.max():+.2f}"
            rows.append((name, title, f"{changes.mean():+.2f}", spread, f"{(changes < 0).sum()} of {seeds}"))
    head = ("model", "compared", "mean", "smallest .. largest", "seeds with less")
    table("EER in points, less dlib's on the same half", head, rows)


def cell(values: Sequence[tuple[float, float, float]], figure: str) -> str:
    mean, low, high = np.mean(values, axis=0)
    if figure == "auc":
        return f"{mean:.4f} [{low:.4f}, {high:.4f}]"
    return f"{100 * mean:.2f} [{100 * low:.2f}, {100 * high:.2f}]"


if __name__ == "__main__":
    main()
