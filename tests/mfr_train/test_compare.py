"""`mfr compare` on evaluations of made-up embeddings: figures, differences, conclusions, files and errors."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from itertools import combinations, product
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure
from sklearn.metrics import roc_auc_score

import mfr_train
from maskgen.errors import MaskgenError, UsageError
from mfr_train.cli.main import mfr
from mfr_train.comparison import comparison_files
from mfr_train.evaluation import plots
from mfr_train.evaluation.report import Report

PEOPLE, EACH, LENGTH = 16, 3, 12

Measure = Callable[..., Report]


def vendor(path: Path, noise: float, seed: int, people: int = PEOPLE, rename: str = "p") -> Path:
    """Embeddings of the same photographs as every vendor sees them; more noise is a worse vendor."""
    same, own = np.random.default_rng(0), np.random.default_rng(seed)
    photographs = np.repeat(same.normal(size=(people, LENGTH)), EACH, axis=0)
    photographs += 0.8 * same.normal(size=photographs.shape)
    rows = list(product(range(len(photographs)), (0, 1)))
    np.savez(
        path,
        subject=[f"{rename}{number // EACH}" for number, _ in rows],
        masked=[masked for _, masked in rows],
        image=[f"{number:03}.jpg" for number, _ in rows],
        embedding=[photographs[number] + (noise + 0.3 * masked) * own.normal(size=LENGTH) for number, masked in rows],
    )
    return path


@pytest.fixture(autouse=True)
def empty_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots are made for `found`, which lives longer than a test, and left empty in other comparisons."""
    monkeypatch.setattr(plots, "det", lambda *_: Figure())


@pytest.fixture(scope="module")
def measure(tmp_path_factory: pytest.TempPathFactory) -> Measure:
    """Measures a vendor, in a folder of its own."""

    def measured(name: str, noise: float, seed: int, people: int = PEOPLE, rename: str = "p", **options) -> Report:
        folder = tmp_path_factory.mktemp(name)
        file = vendor(folder / f"{name}.npz", noise, seed, people, rename)
        return mfr_train.evaluate(embeddings=file, bootstrap=0, out=folder / "eval", figures="none", **options)

    return measured


@pytest.fixture(scope="module")
def good(measure: Measure) -> Report:
    return measure("good", 0.2, 1)


@pytest.fixture(scope="module")
def equal(measure: Measure) -> Report:
    return measure("equal", 0.2, 2)


@pytest.fixture(scope="module")
def worse(measure: Measure) -> Report:
    return measure("worse", 1.5, 3)


@pytest.fixture(scope="module")
def found(good: Report, equal: Report, worse: Report, tmp_path_factory: pytest.TempPathFactory):
    out = tmp_path_factory.mktemp("compared")
    return mfr_train.compare(good, equal, worse, bootstrap=240, figure="eer", out=out)


def test_figures_and_differences_are_those_of_the_reports(found, good: Report, equal: Report, worse: Report) -> None:
    assert found.systems == ["good", "equal", "worse"]
    for scenario in found.scenarios:
        for report, system in zip((good, equal, worse), scenario.found, strict=True):
            for figure in ("fmr100", "fmr10", "eer", "auc", "gmean", "imean", "d_prime"):
                assert system.values[figure] == pytest.approx(float(getattr(report[scenario.name], figure)), abs=1e-12)
    for each in found.differences:
        if each.figure in ("fmr10", "eer", "auc"):
            value = getattr({"equal": equal, "worse": worse}[each.system][each.scenario], each.figure)
            assert each.value == pytest.approx(value - getattr(good[each.scenario], each.figure), abs=1e-12)
            assert each.low <= each.value <= each.high
    at_uu = next(
        e for e in found.differences if (e.scenario, e.system, e.figure) == ("M-M", "worse", "fnmr_at_uu_fmr10")
    )
    assert at_uu.value == pytest.approx(worse["M-M"].at_uu(0.1) - good["M-M"].at_uu(0.1), abs=1e-12)


def test_figures_are_those_of_scikit_learn_on_the_vendors_own_embeddings(found, worse: Report) -> None:
    with np.load(worse.settings.embeddings) as file:
        subject, masked, embedding = (file[name] for name in ("subject", "masked", "embedding"))
    vectors = embedding[masked == 0] / np.linalg.norm(embedding[masked == 0], axis=1, keepdims=True)
    who = subject[masked == 0]
    pairs = list(combinations(range(len(who)), 2))
    expected = roc_auc_score([who[a] == who[b] for a, b in pairs], [vectors[a] @ vectors[b] for a, b in pairs])
    assert found.scenarios[0].found[2].values["auc"] == pytest.approx(expected, abs=1e-6)
    assert (found.scenarios[0].genuine, found.scenarios[0].impostor) == (16 * 3, len(pairs) - 16 * 3)


def test_a_worse_system_is_called_worse_and_an_equal_one_cannot_be_told(found) -> None:
    assert len(found.conclusions) == 6
    for sentence, (scenario, system) in zip(
        found.conclusions, product(("U-U", "U-M", "M-M"), ("equal", "worse")), strict=True
    ):
        if system == "worse":
            assert sentence.startswith(f"{scenario}: worse is worse than good: EER is ")
            assert " points higher [" in sentence
        else:
            assert sentence.startswith(f"{scenario}: whether equal or good is better cannot be told: EER differs by ")


def test_the_first_system_is_the_one_that_others_are_compared_with(good: Report, worse: Report, tmp_path: Path) -> None:
    """The same two systems the other way round: the sentence and the sign turn, the sizes stay."""
    there = mfr_train.compare(good, worse, bootstrap=120, figure="auc", out=tmp_path / "a", figures="none")
    back = mfr_train.compare(worse, good, bootstrap=120, figure="auc", out=tmp_path / "b", figures="none")
    for one, other in zip(there.differences, back.differences, strict=True):
        assert (one.value, one.low, one.high) == pytest.approx((-other.value, -other.high, -other.low), abs=1e-12)
        assert one.p == other.p
    assert there.conclusions[0].startswith("U-U: worse is worse than good: AUC is 0.")
    assert back.conclusions[0].startswith("U-U: good is better than worse: AUC is 0.")
    assert back.conclusions[0].split(" is ")[2].split()[:2] == [
        there.conclusions[0].split(" is ")[2].split()[0],
        "higher",
    ]


def test_a_system_without_errors_has_the_limits_of_its_evaluation(tmp_path: Path) -> None:
    """Six people without an error. Of the impostor pairs 0-1, 2-3 and 4-5 share nobody, though 1-2 is listed first.

    All scores of a kind are equal, so d' is infinite, which JSON cannot hold.
    """
    rows = [f"{who}{number}.jpg" for who in range(6) for number in range(2)]
    subjects = [row[0] for row in rows]
    impostors = [f"{one}0.jpg,{one + 1}0.jpg,0" for one in (1, 3, 0, 2, 4)]
    genuine = [f"{who}0.jpg,{who}1.jpg,1" for who in range(6)]
    (tmp_path / "pairs.csv").write_text("\n".join(["a,b,genuine", *impostors, *genuine]))
    reports = []
    for name in ("one", "other"):
        embeddings = np.eye(6)[[int(subject) for subject in subjects]]
        np.savez(tmp_path / f"{name}.npz", subject=subjects, masked=[0] * 12, image=rows, embedding=embeddings)
        reports.append(
            mfr_train.evaluate(
                embeddings=tmp_path / f"{name}.npz", pairs=tmp_path / "pairs.csv", scenario="U-U", bootstrap=100,
                out=tmp_path / name, figures="none",
            )
        )  # fmt: skip
    found = mfr_train.compare(*reports, bootstrap=100, figure="eer", out=tmp_path / "compared", figures="none")
    limits = {"eer": 1 - 0.025 ** (1 / 3), "fmr10": 1 - 0.05 ** (1 / 6)}
    recorded = json.loads((found.out / "comparison.json").read_text())["scenarios"]["U-U"]["figures"]["one"]
    for figure, limit in limits.items():
        assert getattr(reports[0]["U-U"], figure).interval == (0, pytest.approx(limit))
        assert recorded[figure] == [0, 0, pytest.approx(limit)]
    assert recorded["d_prime"] == [None]


def test_p_values_are_corrected_over_systems_and_scenarios(found) -> None:
    chosen = [each for each in found.differences if each.adjusted_p is not None]
    assert [(each.scenario, each.system, each.figure) for each in chosen] == [
        (scenario, system, "eer") for scenario in ("U-U", "U-M", "M-M") for system in ("equal", "worse")
    ]
    ordered = sorted(each.p for each in chosen)
    assert min(each.adjusted_p for each in chosen) == pytest.approx(6 * ordered[0])
    assert all(each.p <= each.adjusted_p <= 1 for each in chosen)


def test_files_hold_what_is_printed(found, good: Report) -> None:
    facts = json.loads((found.out / "comparison.json").read_text())
    assert facts == json.loads(json.dumps(found.as_json()))
    assert [each["name"] for each in facts["systems"]] == ["good", "equal", "worse"]
    value, low, high = facts["scenarios"]["U-M"]["figures"]["good"]["eer"]
    assert value == good["U-M"].eer.value
    assert low <= value <= high
    rows = list(csv.DictReader((found.out / "U-M_differences.csv").read_text().splitlines()))
    assert [row["system"] for row in rows] == ["equal", "worse"]
    step = next(e for e in found.differences if (e.scenario, e.system, e.figure) == ("U-M", "worse", "eer"))
    assert [float(rows[1][name]) for name in ("eer", "eer_low", "eer_high")] == [step.value, step.low, step.high]
    assert (found.out / "det-M-M.png").is_file()
    lines = comparison_files.text(found)
    assert "M-M, difference from good over the same draws of subjects:" in lines
    assert all(sentence in lines for sentence in found.conclusions)
    assert "p-values are corrected for 6 conclusions (Holm)." in lines
    assert not found.notes


def test_the_command_reads_folders_of_evaluations(good: Report, worse: Report, tmp_path: Path) -> None:
    out = tmp_path / "out"
    call = ["compare", str(good.out), str(worse.out / "report.json"), "--figures", "none", "--bootstrap", "120"]
    result = CliRunner().invoke(mfr, [*call, "--figure", "fmr10", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert "U-U: worse is worse than good: FMR10 is " in result.output
    assert f"{out} holds M-M_differences.csv" in result.output


def test_pairs_that_one_system_lacks_are_left_out_of_both(good: Report, measure: Measure, tmp_path: Path) -> None:
    fewer = measure("fewer", 0.2, 5, people=10)
    found = mfr_train.compare(good, fewer, bootstrap=120, figure="fmr10", figures="none", out=tmp_path)
    assert found.scenarios[0].genuine == 10 * 3
    assert found.scenarios[0].left_out == [16 * 15 // 2 * 9 + 16 * 3 - (10 * 9 // 2 * 9 + 10 * 3), 0]
    assert found.scenarios[0].found[1].values["eer"] == pytest.approx(fewer["U-U"].eer.value, abs=1e-12)
    assert found.notes[0].startswith("U-U: 693 pairs of good are left out; ")


def test_two_systems_of_one_name_are_told_apart_by_their_folders(
    good: Report, measure: Measure, tmp_path: Path
) -> None:
    again = measure("good", 0.2, 9)
    found = mfr_train.compare(good, again, bootstrap=120, figures="none", out=tmp_path)
    assert found.systems == [f"good ({good.out})", f"good ({again.out})"]


def test_scores_in_shards_are_read_as_one_table(good: Report, worse: Report, measure: Measure, tmp_path: Path) -> None:
    """Above --exact-pairs scores are kept as float32 in a folder: the same conclusion, figures equal to rounding."""
    sharded = measure("sharded", 1.5, 3, exact_pairs=10, keep_scores="all")
    assert (sharded.out / "U-U").is_dir()
    found = mfr_train.compare(good, sharded, bootstrap=120, figure="eer", figures="none", out=tmp_path)
    for scenario in found.scenarios:
        assert scenario.left_out == [0, 0]
        assert scenario.found[1].values["gmean"] == pytest.approx(worse[scenario.name].gmean.value, abs=1e-7)
        assert scenario.found[1].values["eer"] == pytest.approx(worse[scenario.name].eer.value, abs=1e-3)
    assert found.conclusions[0].startswith("U-U: sharded is worse than good")


def test_too_few_impostor_pairs_for_the_figure_are_no_conclusion(measure: Measure, tmp_path: Path) -> None:
    """Four people of three photographs: 54 impostor pairs in U-U and M-M, 108 in U-M; an FMR of 1 % takes over 100."""
    reports = [measure("few", 0.2, 1, people=4), measure("others", 0.9, 2, people=4)]
    found = mfr_train.compare(*reports, bootstrap=120, figures="none", out=tmp_path / "all")
    assert [sentence[:4] for sentence in found.conclusions] == ["U-M:"]
    sentence = "U-U: FMR100 takes more than 100 impostor pairs, and the systems share 54; give --figure eer."
    assert sentence in found.notes
    assert next(csv.DictReader((found.out / "U-U_systems.csv").read_text().splitlines()))["fmr100"] == "n/a"
    short = [measure("few", 0.2, 1, people=4, scenario="U-U"), measure("others", 0.9, 2, people=4, scenario="U-U")]
    with pytest.raises(MaskgenError) as failed:
        mfr_train.compare(*short, bootstrap=120, figures="none", out=tmp_path / "none")
    assert str(failed.value) == sentence
    assert not (tmp_path / "none").exists()


def test_resamples_that_can_show_no_difference_are_refused(good: Report, equal: Report, worse: Report) -> None:
    """The smallest p of R resamples is 2 / (R + 1); six conclusions make it 12 / 240 at R = 239."""
    with pytest.raises(
        UsageError, match=r"^--bootstrap 239 cannot show any difference in 6 conclusions; give at least 240"
    ):
        mfr_train.compare(good, equal, worse, bootstrap=239)


def test_wrong_calls_are_one_sentence(good: Report, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^a comparison needs two systems or more; give folders of evaluations"):
        mfr_train.compare(good)
    with pytest.raises(UsageError, match=r"is neither an evaluation nor a run: it holds no report\.json; give another"):
        mfr_train.compare(good, tmp_path)
    relative = Path(good.out.parent, "..", good.out.parent.name, good.out.name)
    for again in (good, good.out, relative):
        with pytest.raises(UsageError, match=r"^good \(.*\) is given twice; compare it with another system\.$"):
            mfr_train.compare(good, again)
    with pytest.raises(UsageError, match="typo"):
        mfr_train.compare(good, tmp_path / "typo")


def test_evaluations_that_do_not_fit_are_one_sentence(good: Report, measure: Measure) -> None:
    one, other = measure("one", 0.2, 1, scenario="U-U"), measure("other", 0.2, 2, scenario="M-M")
    with pytest.raises(MaskgenError, match=r"share no scenario \(one: U-U; other: M-M\); measure them on the same"):
        mfr_train.compare(one, other)
    without = measure("without", 0.2, 2, keep_scores="none")
    with pytest.raises(MaskgenError, match=r"holds no scores of U-U; measure again without --keep-scores none\.$"):
        mfr_train.compare(good, without)
    large = measure("large", 0.2, 2, exact_pairs=10)
    with pytest.raises(MaskgenError, match=r"holds no scores of U-U; measure again with --keep-scores all\.$"):
        mfr_train.compare(good, large)
    strangers = measure("strangers", 0.2, 2, rename="q")
    with pytest.raises(MaskgenError, match=r"000\.jpg shows p0 in one evaluation and q0 in another; compare"):
        mfr_train.compare(good, strangers)


def test_scores_that_are_not_those_of_the_report_are_one_sentence(good: Report, measure: Measure) -> None:
    damaged = measure("damaged", 0.4, 7)
    (damaged.out / "U-U.parquet").write_bytes((damaged.out / "U-M.parquet").read_bytes())
    with pytest.raises(
        MaskgenError, match=r"does not hold the scores of its report \(2,256 scores in place of 1,128\)"
    ):
        mfr_train.compare(good, damaged)
    (damaged.out / "U-U.parquet").write_bytes(b"PAR1")
    with pytest.raises(MaskgenError, match=r"U-U\.parquet does not hold the scores of its report"):
        mfr_train.compare(good, damaged)
