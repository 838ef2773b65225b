"""`mfr eval --scenario identify` on embeddings, against loops over every search."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

import mfr_train
from maskgen.errors import UsageError
from mfr_train.evaluation import identification, plots
from mfr_train.evaluation.report import Report
from mfr_train.evaluation.report_text import report_text

PEOPLE, EACH, LENGTH = 15, 3, 6

Photographs = dict[str, tuple[str, dict[str, np.ndarray]]]
"""By image: its subject, and its embeddings of length 1, unmasked (U) and masked (M)."""


@pytest.fixture(scope="module")
def photographs() -> Photographs:
    draw = np.random.default_rng(4)
    centres = draw.normal(size=(PEOPLE, LENGTH))
    made: Photographs = {}
    for number in range(PEOPLE * EACH):
        seen = {"U": draw.normal(size=LENGTH), "M": 1.4 * draw.normal(size=LENGTH)}
        vectors = {kind: centres[number // EACH] + 0.7 * noise for kind, noise in seen.items()}
        made[f"{number:03}.jpg"] = f"p{number // EACH:02}", {k: v / np.linalg.norm(v) for k, v in vectors.items()}
    return made


@pytest.fixture(scope="module")
def vendor(photographs: Photographs, tmp_path_factory: pytest.TempPathFactory) -> Path:
    rows = [(image, who, kind, seen[kind]) for image, (who, seen) in photographs.items() for kind in "UM"]
    file = tmp_path_factory.mktemp("vendor") / "vendor.npz"
    np.savez(
        file,
        image=[image for image, *_ in rows],
        subject=[who for _, who, *_ in rows],
        masked=[kind == "M" for *_, kind, _ in rows],
        embedding=[3 * vector for *_, vector in rows],
    )
    return file


def measured(file: Path, out: Path, **options) -> Report:
    chosen = {"bootstrap": 100, "scenario": "identify", "seed": 2, "figures": "none"}
    return mfr_train.evaluate(embeddings=file, out=out, **{**chosen, **options})


@pytest.fixture(scope="module")
def usual(vendor: Path) -> Report:
    """The report of a search without further options. Tests only read it."""
    return measured(vendor, vendor.with_name("usual"))


@pytest.fixture
def identify(vendor: Path, tmp_path: Path) -> Callable[..., Report]:
    """Searches with these options: `identify(seed=3)`."""
    return lambda **options: measured(vendor, tmp_path / "eval", **options)


def searched(photographs: Photographs, scenario: str, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Ranks, scores of the mates, and the best scores of others, of every search: loops, and no code of the package
    but the draw of the gallery."""
    images, subjects = list(photographs), [who for who, _ in photographs.values()]
    numbers = np.unique(subjects, return_inverse=True)[1]
    gallery = [
        image for image, chosen in zip(images, identification.enrolled(images, numbers, seed), strict=True) if chosen
    ]
    ranks, mates, others = [], [], []
    for image, (who, seen) in photographs.items():
        if image in gallery:
            continue
        scores = {photographs[each][0]: photographs[each][1][scenario[0]] @ seen[scenario[2]] for each in gallery}
        mate = scores.pop(who)
        ranks.append(1 + sum(score >= mate for score in scores.values()))
        mates.append(mate)
        others.append(max(scores.values()))
    return np.array(ranks), np.array(mates), np.array(others)


def test_figures_are_those_of_loops_over_every_search(usual: Report, photographs: Photographs) -> None:
    report = usual
    assert [each.scenario for each in report.identification] == ["U-U", "U-M", "M-M"]
    for each in report.identification:
        ranks, mates, others = searched(photographs, each.scenario, seed=2)
        assert (each.gallery, each.probes) == (PEOPLE, PEOPLE * (EACH - 1)) == (PEOPLE, len(ranks))
        for rank in (1, 5, 10, 20):
            assert each.hits(rank) == pytest.approx(np.mean(ranks <= rank), abs=1e-12)
        for limit in (0.1, 0.01):
            # the lowest threshold at which a smaller share of the searches without a mate finds anyone
            allowed = [t for t in sorted([*mates, *others, np.inf]) if np.mean(others >= t) < limit]
            assert each.fnir_at(limit) == pytest.approx(np.mean(mates < allowed[0] - 1e-9), abs=1e-12)
    hits = [each.hits(1).value for each in report.identification]
    assert 1 > hits[0] > hits[2] > 1 / PEOPLE  # masks make it harder, and it is not by chance


def test_verification_figures_stay_those_of_all_scenarios(identify, usual: Report) -> None:
    verified = identify(scenario="all")
    assert usual.rows == verified.rows
    assert verified.identification == []
    assert "Identification" not in report_text(verified)


def test_reports_and_tables_hold_what_was_measured(usual: Report) -> None:
    report = usual
    assert Report.load(report.out) == report
    (row, *_) = csv.DictReader((report.out / "tables" / "identification.csv").read_text().splitlines())
    first = report.identification[0]
    assert (row["scenario"], row["gallery"], row["probes"]) == ("U-U", "15", "30")
    assert float(row["rank1"]) == first.hits(1).value
    assert (float(row["rank1_low"]), float(row["rank1_high"])) == first.hits(1).interval
    assert float(row["fnir_at_fpir_0.1"]) == first.fnir_at(0.1).value
    assert row["fnir_at_fpir_0.01"] == "n/a"  # 30 searches cannot show one in 100
    assert "Identification (1:N): hit rates by rank" in report_text(report)


@pytest.mark.parametrize(("kind", "of_cosine"), [("euclidean", lambda c: -np.sqrt(2 - 2 * c)), ("half", None)])
def test_another_kind_of_score_has_the_same_ranks_and_rates(identify, usual: Report, kind: str, of_cosine) -> None:
    """The kinds rise together: ranks and rates are the same, and thresholds are those of the kind."""
    of_cosine = of_cosine or (lambda c: 1 - np.sqrt(2 - 2 * c) / 2)
    other = identify(score=kind)
    for one, same in zip(usual.identification, other.identification, strict=True):
        assert one.cmc == same.cmc
        assert one.cmc_intervals == same.cmc_intervals
        for limit in (0.1, 0.01):
            assert one.fnir_at(limit).value == same.fnir_at(limit).value
            assert one.fnir_at(limit).interval == same.fnir_at(limit).interval
        threshold = one.fnir_at(0.1).threshold
        assert same.fnir_at(0.1).threshold == pytest.approx(of_cosine(threshold), abs=1e-12) != threshold


def test_the_seed_draws_the_gallery(identify, usual: Report) -> None:
    other = identify(seed=3)
    assert [each.cmc for each in usual.identification] != [each.cmc for each in other.identification]


def test_the_plot_has_a_line_for_each_scenario(
    identify, usual: Report, drawn: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = usual
    axes = plots.cmc({each.scenario: each for each in report.identification}).axes[0]
    curves = {tuple(line.get_ydata()[:PEOPLE]) for line in axes.get_lines()}
    for each in report.identification:
        shares = np.array(each.cmc)
        assert any(np.allclose(curve, shares) or np.allclose(curve, 100 * shares) for curve in curves)
    for name in ("det", "roc", "histogram"):
        monkeypatch.setattr(plots, name, lambda *_: Figure())
    report = identify(figures="png")
    assert cv2.imread(str(report.out / "cmc.png")).std() > 5


def test_listed_pairs_cannot_be_searched(identify, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"^--scenario identify searches all photographs, not listed pairs; leave --pairs"
    ):
        identify(pairs=tmp_path / "pairs.csv")
