"""Listed pairs: the files that are read, what is compared and refused, and the accuracy over folds."""

from __future__ import annotations

import csv
import json
import math
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score

import maskgen
from maskgen.errors import MaskgenError, UsageError
from mfr_train.evaluation import bootstrap, folds, metrics, t_interval
from mfr_train.evaluation.eval_settings import EvalSettings
from mfr_train.evaluation.evaluate import evaluate
from mfr_train.evaluation.measure import measure
from mfr_train.evaluation.pair_list import Name, PairCounts, read_pairs
from mfr_train.evaluation.report import Report
from mfr_train.evaluation.report_text import report_text
from mfr_train.evaluation.scores import Comparison, side
from tests.support.pixel_model import pixels, use_pixel_model

FOLDS = "2\t1\nAnn\t1\t2\nAnn\t1\tBob\t3\nCyd\t0004\t5\nCyd\t4\tDee Lee\t1\n"
"""Two folds of one genuine and one impostor pair each."""


@pytest.fixture(autouse=True)
def pixel_model(monkeypatch: pytest.MonkeyPatch, undrawn: object) -> None:
    use_pixel_model(monkeypatch)


@pytest.fixture(scope="module")
def people(tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Five test identities of five or six photographs, as LFW names its files."""
    source = tmp_path_factory.mktemp("lfw")
    for path in sorted(tree.glob("*/*.jpg")):
        name = path.parent.name.capitalize()
        (source / name).mkdir(exist_ok=True)
        shutil.copy(path, source / name / f"{name}_{int(path.name[:4]) + 1:04d}.jpg")
    return make(source, tmp_path_factory.mktemp("people") / "smfd", test_identities=1)


@pytest.fixture
def settings(people: Path, tmp_path: Path) -> EvalSettings:
    return EvalSettings(data=str(people), out=tmp_path / "eval", cache=tmp_path / "cache", bootstrap=0, breakdown=False)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str | bytes], Path]:
    def written(text: str | bytes) -> Path:
        path = tmp_path / "pairs.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return written


def lines(*pairs: tuple[str, ...]) -> str:
    return "".join("\t".join(pair) + "\n" for pair in pairs)


LISTED = lines(
    ("Dee", "1", "2"), ("Dee", "3", "1"), ("Eva", "1", "6"), ("Ann", "1", "2"), ("Bob", "3", "4"), ("Zoe", "1", "2"),
    ("Dee", "1", "Eva", "1"), ("Eva", "2", "Ann", "4"), ("Bob", "5", "Dee", "2"), ("Cyd", "5", "Dee", "2"),
)  # fmt: skip
"""Ann_0003, Bob_0004 and Cyd_0005 cannot be used, and there is no Zoe: lines 5, 6 and 10 fail."""


def cosine(data: Path, first: tuple[str, str], second: tuple[str, str]) -> float:
    """Of two pictures, each given as the name of its file and of the picture."""
    rows = {Path(row.source).stem: row for row in maskgen.open(data).rows("test")}
    a, b = (pixels(rows[stem].image(picture)).astype(float) for stem, picture in (first, second))
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


# What is read


def test_folds_of_lfws_format_are_those_of_the_first_line(write: Callable) -> None:
    listed = read_pairs(write(FOLDS))
    assert listed.folds == (0, 0, 1, 1)
    assert [pair.genuine for pair in listed.pairs] == [True, False, True, False]
    assert [pair.line for pair in listed.pairs] == [2, 3, 4, 5]
    assert (listed.pairs[2].first, listed.pairs[2].second) == (Name("Cyd", "4"), Name("Cyd", "5"))
    assert [name.stem for name in listed.pairs[3][1:3]] == ["Cyd_0004", "Dee Lee_0001"]


@pytest.mark.parametrize(
    "text",
    [
        FOLDS.partition("\n")[2],
        "1\nAnn\t1\t2\nAnn\t1\tBob\t3\n",
        "﻿" + FOLDS.partition("\n")[2],
        FOLDS.partition("\n")[2].replace("\n", "\r\n") + "\r\n",
    ],
)
def test_without_the_number_of_folds_there_are_none(write: Callable, text: str) -> None:
    listed = read_pairs(write(text))
    assert listed.folds is None
    assert listed.pairs[0][1:] == (Name("Ann", "1"), Name("Ann", "2"), True)
    assert listed.pairs[1][1:] == (Name("Ann", "1"), Name("Bob", "3"), False)


def test_a_csv_table_names_sources_or_keys_and_may_have_folds(write: Callable) -> None:
    listed = read_pairs(write("genuine,b,a,fold\n1,000000003,ann/1.jpg,x\nFalse, y ,z,w\ntrue,p,q,x\n"))
    assert [pair[1:] for pair in listed.pairs] == [
        (Name("", "ann/1.jpg"), Name("", "000000003"), True),
        (Name("", "z"), Name("", "y"), False),
        (Name("", "q"), Name("", "p"), True),
    ]
    assert listed.folds == (0, 1, 0)
    assert read_pairs(write("a,b,genuine\nx,y,1\nx,z,0\n")).folds is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no column 'a'; give a CSV table whose first line names a, b, genuine, or a list in LFW's format"),
        ("a,b\nx,y\n", "has no column 'genuine'"),
        ("Ann 1 2\n", "has no column 'a'.*with tabs"),
        ("a,b,genuine\nx,y,1\nx,z,2\n", r"line 3 of .*pairs\.txt is not a pair; it needs a, b, and genuine 0 or 1"),
        ("a,b,genuine\nx,,1\n", "line 2 .* is not a pair"),
        ("a,b,genuine\nx\n", "line 2 .* is not a pair"),
        ("a,b,genuine,fold\nx,y,1,1\nx,z,0,\n", "line 3 .* it needs a, b, fold, and genuine"),
        ("a,b,genuine,fold\nx,y,1,1\nx,z,0,1\n", "has one fold, 1; give two or more"),
        ("a,b,genuine\nx,x,1\n", "line 2 .* compares x with itself"),
        ("a,b,genuine\nx,y,1\n", "lists no impostor pairs"),
        ("a,b,genuine\nx,y,0\n", "lists no genuine pairs"),
        ("a,b,genuine\nx\0,y,0\n", r"is not a list of pairs|lists no genuine pairs"),
        (b"Ann\t1\t2\nB\xff\t1\t2\n", "is not a list of pairs .*UTF-8"),
        ("Ann\t1\t2\nAnn\t1\n", "line 2 .* is not a pair; LFW's format has a name and two numbers"),
        ("Ann\t1\t2\nAnn\t1\tx\n", "line 2 .* is not a pair"),
        ("Ann\t1\t²\n", "line 1 .* is not a pair"),
        (f"Ann\t1\t{'9' * 5000}\n", "line 1 .* is not a pair"),
        ("Ann\t1\t2\n\t1\t2\n", "line 2 .* is not a pair"),
        ("Ann\t1\t01\n", "line 1 .* compares Ann 1 with itself"),
        ("Ann\t1\t2\nAnn\t1\tAnn\t2\n", "line 2 .* lists two photographs of Ann as an impostor pair"),
        (
            "10\t300\nAnn\t1\t2\n",
            r"stands for 6,000 pairs \(10 x 300 genuine and 300 impostor\), but 1 follow; .*remove",
        ),
        ("0\t1\nAnn\t1\t2\n", "stands for 0 pairs"),
        ("5\nAnn\t1\t2\n", "stands for 10 pairs"),
        ("1\nAnn\t1\tBob\t2\nAnn\t1\t2\n", "line 2 .* should be a genuine pair by the first line"),
        ("1\nAnn\t1\t2\nAnn\t1\t3\n", "line 3 .* should be an impostor pair by the first line"),
    ],
)
def test_files_that_are_no_lists_of_pairs_are_one_sentence(write: Callable, text: str | bytes, words: str) -> None:
    with pytest.raises(UsageError, match=words):
        read_pairs(write(text))


def test_a_list_that_cannot_be_opened_is_one_sentence(tmp_path: Path) -> None:
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(UsageError, match=r"cannot read the list of pairs .*; check --pairs"):
            read_pairs(path)


def test_the_list_of_half_of_lfw_is_read(shared: Path) -> None:
    listed = read_pairs(shared / "lfw/pairs.txt")
    assert sum(pair.genuine for pair in listed.pairs) == 1446
    assert (len(listed.pairs), listed.folds) == (1446 + 747, None)
    assert listed.pairs[0] == (1, Name("Abel_Pacheco", "1"), Name("Abel_Pacheco", "4"), True)


# Accuracy over folds


@pytest.mark.parametrize(
    ("genuine", "impostor", "threshold"),
    [
        ([0.75, 0.5], [0.25, 0.0], 0.375),  # between 0.25 and 0.5 all are right
        ([0.75, 0.25], [0.5, 0.0], 0.125),  # three right here and between 0.5 and 0.75: the lowest is taken
        ([0.5], [0.75], 0.5),  # one right if all match, or none
        ([0.0], [0.5, 0.75], math.inf),  # two right if none matches
        ([0.5, 0.5], [0.5], 0.5),
    ],
)
def test_the_best_threshold_is_the_middle_of_a_gap(
    genuine: list[float], impostor: list[float], threshold: float
) -> None:
    assert folds.best_threshold(genuine, impostor) == threshold


def test_each_fold_is_decided_at_the_threshold_of_the_others() -> None:
    # Fold 0: genuine 0.9 and 0.3, impostor 0.2; fold 1: genuine 0.5, impostor 0.1 and 0.4.
    # Best on fold 1: (0.4 + 0.5) / 2 = 0.45, which in fold 0 takes 0.3 for an impostor: 2 of 3 are right.
    # Best on fold 0: (0.2 + 0.3) / 2 = 0.25, which in fold 1 takes 0.4 for genuine: 2 of 3 are right.
    found = folds.accuracy(
        np.array([0.9, 0.3, 0.5]), np.array([0.2, 0.1, 0.4]), np.array([0, 0, 1]), np.array([0, 1, 1]), 2
    )
    assert found.thresholds == (pytest.approx(0.45), pytest.approx(0.25))
    assert found.folds == (2 / 3, 2 / 3)
    assert (found.mean, found.standard_error) == (2 / 3, 0)


def test_the_standard_error_is_that_of_view_2() -> None:
    found = folds.FoldAccuracy((0.5, 0.75, 1.0), (0.0, 0.0, 0.0))
    assert found.mean == 0.75
    # The standard deviation with n - 1 is sqrt((1/16 + 0 + 1/16) / 2) = 1/4.
    assert found.standard_error == pytest.approx(0.25 / math.sqrt(3), abs=1e-15)


def test_accuracy_is_that_of_every_threshold_tried_with_scikit_learn() -> None:
    chance = np.random.default_rng(1)
    scores, labels = chance.normal(size=120).round(1), np.tile([True, False], 60)
    scores[labels] += 1
    parts = np.arange(120) // 2 % 5
    found = folds.accuracy(scores[labels], scores[~labels], parts[labels], parts[~labels], 5)
    for fold, (share, threshold) in enumerate(zip(found.folds, found.thresholds, strict=True)):
        train, test = parts != fold, parts == fold
        tried = [accuracy_score(labels[train], scores[train] >= t) for t in [*np.unique(scores), np.inf]]
        assert accuracy_score(labels[train], scores[train] >= threshold) == max(tried)
        assert share == accuracy_score(labels[test], scores[test] >= threshold)


def test_a_fold_without_scores_is_named() -> None:
    with pytest.raises(MaskgenError, match="no pair of fold 2 could be measured"):
        folds.accuracy(np.array([0.5, 0.6]), np.array([0.1, 0.2]), np.array([0, 2]), np.array([0, 2]), 3)


def test_folds_of_a_list_without_any_are_equal_parts_of_each_kind() -> None:
    kinds = [True] * 4 + [False] * 2 + [True]
    assert folds.contiguous(kinds, 2).tolist() == [0, 0, 0, 1, 0, 1, 1]
    with pytest.raises(MaskgenError, match="3 folds need as many"):
        folds.contiguous(kinds, 3)


# What is compared


def test_scores_of_listed_pairs_are_in_the_order_of_the_list() -> None:
    # Subjects 1, 0, 0: sorting by subject moves the photographs.
    vectors = np.array([[3, 4], [1, 0], [0, 2]], np.float32)
    made, order = side(vectors, [1, 0, 0], [0, 1, 2])
    place = np.argsort(order)
    listed = Comparison(made, made, False, (place[[2, 0, 1, 0]], place[[0, 1, 2, 2]]))
    found = measure(listed, 2, 0, 0, limit=0)
    assert found.scores is not None, "however small the limit"
    assert found.scores[0].values.tolist() == [0.0]
    assert found.scores[1].values == pytest.approx([0.8, 0.6, 0.8], abs=1e-7)


@pytest.mark.parametrize(
    ("scenario", "pictures"), [("U-U", ("unmasked", "unmasked")), ("U-M", ("unmasked", "wide_low"))]
)
def test_the_second_picture_of_a_pair_wears_the_mask(
    settings: EvalSettings, people: Path, write: Callable, scenario: str, pictures: tuple[str, str]
) -> None:
    report = evaluate(replace(settings, pairs=write(LISTED), breakdown=True))
    group = "" if scenario == "U-U" else "wide_low"
    row = report[scenario, group]
    genuine = [("Dee_0001", "Dee_0002"), ("Dee_0003", "Dee_0001"), ("Eva_0001", "Eva_0006"), ("Ann_0001", "Ann_0002")]
    impostor = [("Dee_0001", "Eva_0001"), ("Eva_0002", "Ann_0004"), ("Bob_0005", "Dee_0002")]
    sides = [[cosine(people, (a, pictures[0]), (b, pictures[1])) for a, b in pairs] for pairs in (genuine, impostor)]
    assert (row.figures.genuine, row.figures.impostor) == (4, 3)
    assert row.figures.gmean == pytest.approx(np.mean(sides[0]), abs=1e-6)
    assert row.figures.imean == pytest.approx(np.mean(sides[1]), abs=1e-6)


def test_the_scores_that_are_written_are_those_of_the_list(
    settings: EvalSettings, people: Path, write: Callable
) -> None:
    report = evaluate(replace(settings, pairs=write(LISTED)))
    stems = {row.key: Path(row.source).stem for row in maskgen.open(people).rows("test", images=())}
    for scenario, (plain, other) in {"U-U": (True, True), "U-M": (True, False), "M-M": (False, False)}.items():
        table = pq.read_table(report.out / f"{scenario}.parquet").to_pylist()
        assert [(stems[pair["reference"]], stems[pair["probe"]], pair["genuine"]) for pair in table] == [
            ("Dee_0001", "Dee_0002", True), ("Dee_0003", "Dee_0001", True), ("Eva_0001", "Eva_0006", True),
            ("Ann_0001", "Ann_0002", True), ("Dee_0001", "Eva_0001", False), ("Eva_0002", "Ann_0004", False),
            ("Bob_0005", "Dee_0002", False),
        ]  # fmt: skip
        for pair in table:
            assert (pair["reference_picture"] == "unmasked", pair["probe_picture"] == "unmasked") == (plain, other)
            first = (stems[pair["reference"]], pair["reference_picture"])
            second = (stems[pair["probe"]], pair["probe_picture"])
            assert pair["score"] == pytest.approx(cosine(people, first, second), abs=1e-5)


def test_pairs_that_cannot_be_compared_are_counted_and_named(settings: EvalSettings, write: Callable) -> None:
    path = write(LISTED)
    report = evaluate(replace(settings, pairs=path))
    assert report.pairs == PairCounts(str(path), 6, 4, {"absent": 1, "no_face": 1, "not_an_image": 1}, 2)
    assert report.failures == {"absent": 2, "no_face": 1, "not_an_image": 1}, "photographs; Zoe has two"
    # Dee 1 2 3, Eva 1 2 6, Ann 1 2 4 and Bob 5
    assert (report.subjects, report.photographs) == (4, 10)
    with (report.out / "failed_pairs.csv").open(newline="") as file:
        assert list(csv.reader(file)) == [
            ["line", "a", "b", "genuine", "photograph", "reason"],
            ["5", "Bob 3", "Bob 4", "1", "Bob 4", "not_an_image"],
            ["6", "Zoe 1", "Zoe 2", "1", "Zoe 1", "absent"],
            ["10", "Cyd 5", "Dee 2", "0", "Cyd 5", "no_face"],
        ]
    text = report_text(report)
    failed = "3 failed (1 absent, 1 no_face, 1 not_an_image; 2 of them genuine)"
    assert f"6 genuine and 4 impostor pairs, {failed}" in text
    assert any("too few pairs to make 10: no accuracy" in note for note in report.notes)


def test_an_evaluation_of_all_pairs_removes_the_list_of_failed_ones(settings: EvalSettings, write: Callable) -> None:
    out = evaluate(replace(settings, pairs=write(LISTED))).out
    assert (out / "failed_pairs.csv").exists()
    assert evaluate(settings).out == out
    assert not (out / "failed_pairs.csv").exists()
    assert "pairs" not in json.loads((out / "report.json").read_text())


def test_sources_and_keys_name_the_same_pairs(settings: EvalSettings, people: Path, write: Callable) -> None:
    keys = {Path(row.source).stem: (row.key, row.source) for row in maskgen.open(people).rows("test", images=())}
    made = []
    for which in (0, 1):
        names = [keys[stem][which] for stem in ("Dee_0001", "Dee_0002", "Eva_0001")]
        table = write(f"a,b,genuine\n{names[0]},{names[1]},1\n{names[0]},{names[2]},0\n")
        made.append(evaluate(replace(settings, pairs=table)).rows)
    assert made[0] == made[1] == evaluate(replace(settings, pairs=write(lines(
        ("Dee", "1", "2"), ("Dee", "1", "Eva", "1"))))).rows  # fmt: skip


def test_photographs_of_another_split_fail_and_say_so(
    settings: EvalSettings, tree: Path, make: Callable[..., Path], write: Callable, tmp_path: Path
) -> None:
    out = make(tree, tmp_path / "split", test_identities=0.6)
    by_split: dict[str, list[str]] = {}
    for row in maskgen.open(out):
        by_split.setdefault("test" if row.split == "test" else "rest", []).append(row.source)
    test, rest = by_split["test"], by_split["rest"][0]
    other = next(source for source in test if source[:3] != test[0][:3])
    table = write(f"a,b,genuine\n{test[0]},{test[1]},1\n{test[0]},{other},0\n{test[0]},{rest},0\n")
    report = evaluate(replace(settings, data=str(out), pairs=table))
    assert report.pairs is not None
    assert report.pairs.failed == {"other_split": 1}
    with pytest.raises(UsageError, match=r"no impostor pair of .* \(other_split\).*--test-identities 1 puts all into"):
        evaluate(replace(settings, data=str(out), pairs=write(
            f"a,b,genuine\n{test[0]},{test[1]},1\n{test[0]},{rest},0\n")))  # fmt: skip


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (
            "Dee/Dee_0001.jpg,Eva/Eva_0001.jpg,1",
            "line 2 of .* is a genuine pair, but its photographs are of Dee and Eva",
        ),
        (
            "Dee/Dee_0001.jpg,Dee/Dee_0002.jpg,0",
            "line 2 of .* is an impostor pair, but its photographs are of both Dee",
        ),
        ("Bob/Bob_0004.jpg,Dee/Dee_0002.jpg,1", "line 2 of .* photographs are of Bob and Dee"),
        ("000000000,Ann/Ann_0001.jpg,1", r"line 2 of .* compares Ann/Ann_0001\.jpg with itself"),
    ],
)
def test_pairs_that_contradict_the_data_set_are_one_sentence(
    settings: EvalSettings, write: Callable, text: str, words: str
) -> None:
    with pytest.raises(UsageError, match=words):
        evaluate(replace(settings, pairs=write(f"a,b,genuine\n{text}\nx,y,0\nx,z,1\n")))


def test_a_name_of_two_photographs_is_one_sentence(
    settings: EvalSettings, takes: Callable, make: Callable[..., Path], write: Callable, tmp_path: Path,
    write_tree: Callable,
) -> None:  # fmt: skip
    files = {f"{name}/{name}_{number:04d}.jpg": takes(number) for name in ("Ann", "Bob") for number in (1, 2)}
    source = write_tree(tmp_path / "source", files | {"Ann/Ann_0001.jpeg": takes(3)})
    out = make(source, tmp_path / "twice", test_identities=1)
    pairs = write(lines(("Ann", "1", "2"), ("Ann", "1", "Bob", "1")))
    with pytest.raises(
        UsageError, match=r"line 1 .* names Ann 1, which is Ann/Ann_0001\.jp.*; give a CSV table of keys"
    ):
        evaluate(replace(settings, data=str(out), pairs=pairs))


def test_pairs_belong_to_a_data_set(settings: EvalSettings, write: Callable) -> None:
    path = write(LISTED)
    with pytest.raises(UsageError, match="--pairs lists photographs of --data, not of --protocol"):
        evaluate(replace(settings, pairs=path, protocol=path))


def test_a_damaged_table_of_rejects_is_one_sentence(
    settings: EvalSettings, people: Path, write: Callable, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(people, copy)
    for name in ("rejects.parquet", "plan.parquet"):
        (copy / name).write_bytes(b"PAR1")
        with pytest.raises(MaskgenError, match=rf"{name} cannot be read .*maskgen verify"):
            evaluate(replace(settings, data=str(copy), pairs=write(LISTED)))


# The report


def folded(count: int) -> str:
    """Folds of one genuine and one impostor pair each, with every second pair the other way round."""
    text: list[tuple[str, ...]] = [(str(count), "1")]
    for fold in range(count):
        text += [("Dee", "1", str(fold + 2)), ("Eva", str(fold + 1), "Dee", str(fold + 1))]
    return lines(*text)


def test_accuracy_stands_in_the_report_and_the_table(settings: EvalSettings, write: Callable) -> None:
    report = evaluate(replace(settings, pairs=write(folded(5)), scenario="U-U"))
    table = pq.read_table(report.out / "U-U.parquet").to_pydict()
    scores, genuine = np.array(table["score"]), np.array(table["genuine"])
    expected = folds.accuracy(scores[genuine], scores[~genuine], np.arange(5), np.arange(5), 5)
    found = report["U-U"].accuracy
    assert found == expected
    assert found is not None
    facts = json.loads((report.out / "report.json").read_text())
    assert facts["scenarios"][0]["accuracy"]["mean"] == expected.mean
    assert facts["scenarios"][0]["accuracy"]["standard_error"] == expected.standard_error
    printed = report_text(report).splitlines()
    line = printed[next(number for number, line in enumerate(printed) if line.startswith("scenario  accuracy")) + 1]
    assert line.split()[1:4] == [f"{100 * expected.mean:.2f}", f"{100 * expected.standard_error:.2f}", "5"]
    assert Report.load(report.out) == replace(report, settings=Report.load(report.out).settings)
    figures = {record["figure"]: record["value"] for record in report["U-U"].records()}
    assert figures["accuracy"] == expected.mean


def test_a_fold_that_failed_as_a_whole_leaves_accuracy_out(settings: EvalSettings, write: Callable) -> None:
    text = folded(2) + lines(("Zoe", "1", "2"), ("Zoe", "1", "Dee", "1"))
    report = evaluate(replace(settings, pairs=write(text.replace("2\t1\n", "3\t1\n", 1)), scenario="U-U"))
    assert report["U-U"].accuracy is None
    assert report.notes[1:] == ["No accuracy of U-U: no pair of fold 3 could be measured; give photographs for it."]


def test_lists_without_folds_repeats_and_imbalance_are_notes(settings: EvalSettings, write: Callable) -> None:
    genuine = [("Dee", str(one), str(other)) for one in range(1, 6) for other in range(one + 1, 7)]
    impostor = [("Dee", str(one), "Eva", str(other)) for one in range(1, 6) for other in (1, 2)]
    path = write(lines(*genuine, *impostor, ("Dee", "2", "1")))
    report = evaluate(replace(settings, pairs=path, scenario="U-U"))
    assert report.notes == [
        f"{path} has no folds: accuracy is over 10 parts of it in its order, each with a tenth of the genuine and of "
        "the impostor pairs.",
        "The list has unequal numbers of genuine and impostor pairs, and accuracy counts every pair alike.",
        "Pairs that are listed again, in the same or the other order, count again: 1.",
        "2 subjects are too few for intervals, which need 3.",
    ]
    assert report["U-U"].figures.genuine == 16
    assert report["U-U"].accuracy is not None
    assert len(report["U-U"].accuracy.folds) == 10


def test_intervals_weigh_listed_pairs_by_their_subjects(settings: EvalSettings, write: Callable) -> None:
    """The ends of the interval of the means, from the weights of the resamples and the scores that were written."""
    report = evaluate(replace(settings, pairs=write(LISTED), bootstrap=400, scenario="U-U", seed=3))
    table = pq.read_table(report.out / "U-U.parquet").to_pydict()
    order = ("Ann", "Bob", "Dee", "Eva")
    owners, couples = ["Dee", "Dee", "Eva", "Ann"], [("Dee", "Eva"), ("Eva", "Ann"), ("Bob", "Dee")]
    scores = np.array(table["score"])
    means: list[list[float]] = [[], []]
    used = []
    for weights in np.concatenate(list(bootstrap.resample(4, 400, 3))):
        of = dict(zip(order, weights.tolist(), strict=True))
        genuine = np.array([of[name] for name in owners])
        impostor = np.array([of[a] * of[b] for a, b in couples])
        if genuine.sum() and impostor.sum():
            used.append(weights.astype(float))
            means[0].append(genuine @ scores[:4] / genuine.sum())
            means[1].append(impostor @ scores[4:] / impostor.sum())
    intervals = report["U-U"].intervals
    assert intervals is not None
    assert intervals.resamples == len(means[0]) > 300
    pair_variance = float((((scores[4:] - scores[4:].mean()) / len(couples)) ** 2).sum())
    for name, value, values, variance in (
        ("gmean", scores[:4].mean(), means[0], 0.0),
        ("imean", scores[4:].mean(), means[1], pair_variance),
    ):
        expected = t_interval.ends(name, value, np.array(values), np.array(used) - 1, variance)
        assert intervals.intervals[name] == pytest.approx(expected, abs=1e-12)


def test_intervals_of_impostors_that_share_no_subject_are_too_wide_by_the_root_of_three() -> None:
    """As the documentation says: each pair has weight w * v with variance 3, where the pair alone would have 1."""
    pairs = 400
    chance = np.random.default_rng(0)
    scores = chance.normal(size=pairs)
    weights = np.concatenate(list(bootstrap.resample(2 * pairs, 2000, 0)))
    products = weights[:, ::2] * weights[:, 1::2]
    means = products @ scores / products.sum(axis=1)
    assert means.std() / (scores.std() / math.sqrt(pairs)) == pytest.approx(math.sqrt(3), rel=0.1)


def test_figures_of_listed_pairs_are_those_of_their_scores(settings: EvalSettings, write: Callable) -> None:
    report = evaluate(replace(settings, pairs=write(LISTED)))
    for row in report.rows:
        table = pq.read_table(report.out / f"{row.scenario}.parquet").to_pydict()
        scores, genuine = np.array(table["score"]), np.array(table["genuine"])
        assert metrics.figures(scores[genuine], scores[~genuine]) == row.figures
