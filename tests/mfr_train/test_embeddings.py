"""Embeddings of other programs: the figures of a data set, of scikit-learn and of NumPy; and what is refused."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from itertools import combinations, product
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import roc_auc_score

import maskgen
from maskgen.errors import MaskgenError, UsageError
from mfr_train.evaluation.embeddings_file import read_embeddings
from mfr_train.evaluation.eval_settings import EvalSettings
from mfr_train.evaluation.evaluate import evaluate
from mfr_train.evaluation.report import Report
from mfr_train.evaluation.report_text import report_text
from mfr_train.networks import model as models
from tests.support.pixel_model import pixels, use_pixel_model

VARIANTS = ("wide_high", "round_low")

Table = dict[str, Any]
Write = Callable[..., Path]


@pytest.fixture(scope="module")
def people(tree: Path, make: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four test identities, of six photographs or five, with two masks."""
    out = tmp_path_factory.mktemp("people") / "smfd"
    return make(tree, out, test_identities=0.8, variants=",".join(VARIANTS))


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a table as Parquet or npz."""

    def written(table: Table, ending: str = "parquet") -> Path:
        path = tmp_path / f"vendor.{ending}"
        if ending == "npz":
            np.savez(path, **{name: np.asarray(values) for name, values in table.items()})
        else:
            lists = {**table, "embedding": [list(map(float, row)) for row in table["embedding"]]}
            pq.write_table(pa.table(lists), path)
        return path

    return written


@pytest.fixture
def settings(tmp_path: Path) -> EvalSettings:
    return EvalSettings(out=tmp_path / "eval", cache=tmp_path / "cache", bootstrap=0)


def random_table(seed: int = 0, subjects: int = 4, each: int = 3) -> Table:
    """Unmasked and masked pictures of `each` images of every subject: noise around a direction of the subject."""
    chance = np.random.default_rng(seed)
    centres = chance.normal(size=(subjects, 8))
    table: Table = {"subject": [], "masked": [], "image": [], "embedding": []}
    for subject, number, masked in product(range(subjects), range(each), (0, 1)):
        table["subject"].append(f"p{subject}")
        table["masked"].append(masked)
        table["image"].append(f"p{subject}/{number}.jpg")
        table["embedding"].append(7 * (centres[subject] + chance.normal(size=8)))
    return table


def expected(table: Table, scenario: str) -> tuple[list[float], list[float]]:
    """Genuine and impostor cosines by the definition, with NumPy alone."""
    rows = list(zip(*(table[name] for name in ("subject", "image", "masked", "embedding")), strict=True))
    sides = [[row for row in rows if row[2] == int(letter == "M")] for letter in scenario.split("-")]
    pairs = combinations(sides[0], 2) if scenario[0] == scenario[2] else product(*sides)
    found: tuple[list[float], list[float]] = ([], [])
    for one, other in pairs:
        if one[1] != other[1]:
            cosine = one[3] @ other[3] / np.linalg.norm(one[3]) / np.linalg.norm(other[3])
            found[one[0] != other[0]].append(float(cosine))
    return found


@pytest.mark.parametrize("ending", ["parquet", "npz"])
def test_figures_are_those_of_numpy_and_scikit_learn(settings: EvalSettings, write: Write, ending: str) -> None:
    table = random_table()
    report = evaluate(replace(settings, embeddings=write(table, ending)))
    assert [row.scenario for row in report.rows] == ["U-U", "U-M", "M-M"]
    for row, counts in zip(report.rows, ((12, 54), (24, 108), (12, 54)), strict=True):
        genuine, impostor = expected(table, row.scenario)
        assert (len(genuine), len(impostor)) == counts == (row.figures.genuine, row.figures.impostor)
        labels, scores = [1] * len(genuine) + [0] * len(impostor), [*genuine, *impostor]
        assert row.figures.auc == pytest.approx(roc_auc_score(labels, scores), abs=1e-6)
        assert row.figures.gmean == pytest.approx(np.mean(genuine), abs=1e-6)
        assert row.figures.imean == pytest.approx(np.mean(impostor), abs=1e-6)
        limits = [t for t in [*scores, np.inf] if np.mean(np.array(impostor) >= t) < 0.1]
        assert row.figures.fmr10.fnmr == pytest.approx(min(np.mean(np.array(genuine) < t) for t in limits), abs=1e-6)
        written = pq.read_table(report.out / f"{row.scenario}.parquet").to_pydict()
        assert sorted(written["score"]) == pytest.approx(sorted(scores), abs=1e-6)
        assert set(written["reference"]) <= set(table["image"])
    assert (report.model, report.subjects, report.photographs) == ("vendor", 4, 12)
    assert any(note.startswith("The embeddings had lengths from ") for note in report.notes)
    assert Report.load(report.out) == report


def of_data_set(data: Path, variants: Sequence[str] = VARIANTS) -> Table:
    """Every picture of the test split as a row, embedded by `pixels`."""
    table: Table = {"subject": [], "masked": [], "variant": [], "image": [], "embedding": []}
    for row in maskgen.open(data).rows("test"):
        for name in ("unmasked", *variants):
            values = (row.identity, name != "unmasked", name, row.key, pixels(row.image(name)))
            for column, value in zip(table.values(), values, strict=True):
                column.append(value)
    return table


@pytest.mark.parametrize(("pairs", "ending"), [(False, "parquet"), (True, "npz")])
def test_they_are_measured_as_the_data_set_is(
    settings: EvalSettings,
    people: Path,
    write: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    pairs: bool,
    ending: str,
) -> None:
    """Every variant of each photograph is in the file: the same one is drawn, and the breakdown is the same."""

    use_pixel_model(monkeypatch)
    settings = replace(settings, bootstrap=100, seed=3)
    if pairs:
        rows = list(maskgen.open(people).rows("test", images=()))
        listed = [(a, b) for a, b in combinations(rows, 2) if int(a.key + b.key, 10) % 3]
        lines = [f"{a.key},{b.key},{int(a.identity == b.identity)}" for a, b in listed]
        (tmp_path / "pairs.csv").write_text("\n".join(["a,b,genuine", *lines]) + "\n")
        settings = replace(settings, pairs=tmp_path / "pairs.csv")
    direct = evaluate(replace(settings, data=str(people)))
    monkeypatch.setattr(models, "chosen_model", None)
    wanted = [row for row in direct if not row.group.startswith("color_")]  # a file of embeddings has no colours
    table = of_data_set(people)
    given = evaluate(replace(settings, embeddings=write(table, ending), out=tmp_path / ending))
    assert [(row.scenario, row.group) for row in given] == [(row.scenario, row.group) for row in wanted]
    for one, other in zip(given, wanted, strict=True):
        for name in ("fmr100", "fmr10", "eer", "auc", "gmean", "imean"):
            a, b = getattr(one, name), getattr(other, name)
            assert a.value == pytest.approx(b.value, abs=1e-6), (one.scenario, one.group, name)
            assert a.interval == pytest.approx(b.interval, abs=1e-6)
        assert one.accuracy == other.accuracy or one.accuracy.mean == pytest.approx(other.accuracy.mean)
    assert (given.subjects, given.photographs) == (direct.subjects, direct.photographs)
    assert (given.pairs is None) == (not pairs)


def test_roles_are_sides_and_one_photograph_is_not_compared_with_itself(settings: EvalSettings, write: Write) -> None:
    """Ann: references a1 (both), probes a2 unmasked and a1 in another mask. Bob: reference b1, probe b2, unmasked."""
    table = {
        "subject": ["ann", "ann", "ann", "ann", "bob", "bob"],
        "masked": [False, True, False, True, False, False],
        "role": ["reference", "reference", "probe", "probe", "reference", "probe"],
        "image": ["a1", "a1", "a2", "a1", "b1", "b2"],
        "variant": [None, "cloth", None, "paper", None, None],
        "embedding": np.eye(6)[[0, 0, 1, 2, 3, 3]] + 0.1,
    }
    report = evaluate(replace(settings, embeddings=write(table), scenario="U-U"))
    figures = report.rows[0].figures  # a1-a2, b1-b2; a1-b2, b1-a2
    assert (figures.genuine, figures.impostor) == (2, 2)
    with pytest.raises(MaskgenError, match=r"U-M on .*no genuine scores"):
        evaluate(replace(settings, embeddings=write(table), scenario="U-M"))  # a1 and a1 in a mask are one photograph
    table["image"] = ["a1", "a1", "a2", "a3", "b1", "b2"]
    report = evaluate(replace(settings, embeddings=write(table), scenario="U-M", breakdown=False))
    figures = report.rows[0].figures  # a1-a3; b1-a3
    assert (figures.genuine, figures.impostor) == (1, 1)


def test_without_names_every_row_is_a_photograph(settings: EvalSettings, write: Write) -> None:
    table = random_table()
    del table["image"]
    report = evaluate(replace(settings, embeddings=write(table, "npz")))
    # 6 rows of each of 4 subjects: 3 unmasked and 3 masked
    assert [(row.figures.genuine, row.figures.impostor) for row in report.rows] == [(12, 54), (36, 108), (12, 54)]
    assert set(pq.read_table(report.out / "U-U.parquet")["reference"].to_pylist()) <= {f"row {n}" for n in range(24)}


def test_single_images_and_absent_sides_are_notes(settings: EvalSettings, write: Write) -> None:
    table = random_table(subjects=3)
    kept = [n for n in range(18) if not table["masked"][n] and n not in (14, 16)]
    table = {name: [values[n] for n in kept] for name, values in table.items()}
    report = evaluate(replace(settings, embeddings=write(table)))
    assert [row.scenario for row in report.rows] == ["U-U"]
    assert "1 of 3 identities has only one photograph, which is compared in impostor pairs alone." in report.notes
    assert sum("has no pictures for" in note for note in report.notes) == 2
    with pytest.raises(UsageError, match="has no pictures for M-M; choose another --scenario"):
        evaluate(replace(settings, embeddings=write(table), scenario="M-M"))


def test_pairs_name_images_and_what_is_not_there_is_counted(
    settings: EvalSettings, write: Write, tmp_path: Path
) -> None:
    table = random_table()
    table["image"] = [f"set/{subject}_{n // 2 % 3 + 1:04d}.png" for n, subject in enumerate(table["subject"])]
    gone = table["image"].index("set/p1_0002.png") + 1  # its masked picture
    table = {name: [value for n, value in enumerate(values) if n != gone] for name, values in table.items()}
    pairs = tmp_path / "pairs.txt"
    pairs.write_text("p0\t1\t2\np1\t1\t2\np1\t9\t1\np0\t1\tp1\t2\np2\t1\tp3\t2\n")
    report = evaluate(replace(settings, embeddings=write(table), pairs=pairs, breakdown=False))
    assert (report.pairs.failed, report.pairs.failed_genuine, report.photographs) == ({"absent": 1}, 1, 6)
    counts = {row.scenario: (row.figures.genuine, row.figures.impostor) for row in report.rows}
    assert counts == {"U-U": (2, 2), "U-M": (1, 1), "M-M": (1, 1)}
    notes = [note for note in report.notes if "the file has no such picture" in note]
    assert [note.split(": ")[0] for note in notes] == [
        "2 of the 4 pairs are not compared in U-M", "2 of the 4 pairs are not compared in M-M",
    ]  # fmt: skip
    written = pq.read_table(report.out / "U-M.parquet").to_pylist()
    assert [(row["reference"], row["probe"], row["genuine"]) for row in written] == [
        ("set/p0_0001.png", "set/p0_0002.png", True), ("set/p2_0001.png", "set/p3_0002.png", False),
    ]  # fmt: skip
    del table["image"]
    with pytest.raises(UsageError, match="has no column 'image', by which --pairs names"):
        evaluate(replace(settings, embeddings=write(table), pairs=pairs))


def test_accuracy_of_pairs_that_a_scenario_lacks_is_that_of_the_others(
    settings: EvalSettings, write: Write, tmp_path: Path
) -> None:
    """The pair that is left out lies before others of its fold."""
    table = random_table()
    gone = table["image"].index("p0/1.jpg") + 1
    table = {name: [value for n, value in enumerate(values) if n != gone] for name, values in table.items()}
    lines = ["a,b,genuine,fold"]
    for fold, number in (("x", 1), ("y", 2)):
        lines += [f"p{who}/0.jpg,p{who}/{number}.jpg,1,{fold}" for who in range(4)]
        lines += [f"p{who}/0.jpg,p{(who + 1) % 4}/{number}.jpg,0,{fold}" for who in range(4)]
    (tmp_path / "pairs.csv").write_text("\n".join(lines) + "\n")
    chosen = replace(settings, embeddings=write(table), pairs=tmp_path / "pairs.csv", breakdown=False)
    report = evaluate(chosen)
    assert [row.figures.genuine for row in report.rows] == [8, 7, 7]
    scores = pq.read_table(report.out / "U-M.parquet").to_pylist()
    folds = [[row for row in scores if row["probe"].endswith(f"/{number}.jpg")] for number in (1, 2)]
    accuracy = report["U-M"].accuracy
    shares = [
        np.mean([(row["score"] >= threshold) == row["genuine"] for row in fold])
        for fold, threshold in zip(folds, accuracy.thresholds, strict=True)
    ]
    assert [len(fold) for fold in folds] == [6, 8]
    assert list(accuracy.folds) == pytest.approx(shares)


@pytest.mark.parametrize("ending", ["parquet", "npz"])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"embedding": (4, np.nan)}, "row 4 of .* values that are no finite numbers"),
        ({"embedding": (5, -np.inf)}, "row 5 of .* values that are no finite numbers"),
        ({"embedding": (1, 0.0)}, "row 1 of .* its embedding is all zeros"),
        ({"masked": (2, 2)}, "row 2 of .* masked is not 0 or 1"),
        ({"masked": (2, -1)}, "row 2 of .* masked is not 0 or 1"),
        ({"subject": (7, "")}, "row 7 of .* subject is empty"),
        ({"subject": (7, "x" * 1001)}, "of .* subject has more than 1,000 characters"),
        ({"subject": (7, "zoe")}, "rows 6 and 7 of .* give the image 'p1/0.jpg' two subjects; correct one"),
        ({"masked": (3, 0)}, "rows 2 and 3 of .* both hold the unmasked picture of 'p0/1.jpg'; leave one out"),
        ({"masked": None}, "has no .* 'masked'; it needs subject, masked, embedding"),
        ({"subject": [1.5] * 24}, "subject of .* is .*; give text or whole numbers"),
        ({"masked": [0.0] * 24}, "masked of .* is .*; give 0 and 1"),
        ({"image": list(range(24))}, "image of .* is .*; give text"),
        ({"subject": ["p0"] * 24}, "has one subject, p0, and so no impostor pairs"),
        ({"role": ["probe"] * 23 + ["Probe"]}, "row 23 of .* has role 'Probe'; give reference or probe"),
        ({"variant": ["unmasked"] * 24}, "row 1 of .* is masked and has the variant 'unmasked'"),
    ],
)
def test_a_wrong_value_is_one_sentence_with_its_row(
    settings: EvalSettings, write: Write, change: dict[str, Any], words: str, ending: str
) -> None:
    table = random_table()
    for name, value in change.items():
        if value is None:
            del table[name]
        elif isinstance(value, list):
            table[name] = value
        else:
            row, wrong = value
            table[name][row] = np.full(8, wrong) if name == "embedding" else wrong
    with pytest.raises(UsageError, match=words) as raised:
        evaluate(replace(settings, embeddings=write(table, ending)))
    assert "vendor" in str(raised.value)
    assert str(raised.value).endswith(".")


def test_embeddings_of_several_lengths_are_refused(settings: EvalSettings, write: Write) -> None:
    for row, length in ((9, 7), (9, 9), (0, 9), (23, 0)):
        table = random_table()
        table["embedding"][row] = np.ones(length)
        named = row or 1
        with pytest.raises(
            UsageError, match=rf"row {named} of .* has {length if row else 8} values, and that of row 0"
        ):
            evaluate(replace(settings, embeddings=write(table)))


def test_values_that_float32_does_not_hold_keep_their_direction(settings: EvalSettings, write: Write) -> None:
    table = random_table()
    expected_rows = evaluate(replace(settings, embeddings=write(table, "npz"))).rows
    for scale in (1e-300, 1e300):
        scaled = {**table, "embedding": [scale * row for row in table["embedding"]]}
        for ending in ("npz", "parquet"):
            found = evaluate(replace(settings, embeddings=write(scaled, ending))).rows
            assert [row.auc for row in found] == pytest.approx([row.auc for row in expected_rows], abs=1e-6)
            assert [row.gmean for row in found] == pytest.approx([row.gmean for row in expected_rows], abs=1e-6)


@pytest.mark.parametrize(
    ("given", "option"),
    [
        ({"data": "other"}, "data"),
        ({"model": "dlib"}, "model"),
        ({"run": Path("run")}, "run"),
        ({"protocol": Path("table.csv")}, "protocol"),
        ({"split": "train"}, "split"),
        ({"on_damage": "skip"}, "on-damage"),
        ({"predictor": Path("x.dat")}, "predictor"),
    ],
)
def test_settings_of_pictures_are_refused_beside_embeddings(
    settings: EvalSettings, given: dict[str, Any], option: str
) -> None:
    with pytest.raises(UsageError, match=rf"--{option} .*--embeddings|--embeddings.*--{option}"):
        evaluate(replace(settings, embeddings=Path("none.npz"), **given))


def test_a_picture_cannot_have_both_roles(settings: EvalSettings, write: Write) -> None:
    table = random_table()
    doubled = {name: [*values, *values] for name, values in table.items()}
    doubled["role"] = ["reference"] * 24 + ["probe"] * 24
    with pytest.raises(UsageError, match=r"rows 0 and 24 of .*leave out the column role if every picture is both"):
        evaluate(replace(settings, embeddings=write(doubled)))


def test_a_breakdown_has_a_limit(settings: EvalSettings, write: Write) -> None:
    table = random_table(subjects=2, each=101)
    table["variant"] = [f"kind {n // 2 % 101}" for n in range(len(table["masked"]))]
    with pytest.raises(UsageError, match="has 101 variants, and a breakdown has at most 100; give --no-breakdown"):
        evaluate(replace(settings, embeddings=write(table)))
    assert evaluate(replace(settings, embeddings=write(table), breakdown=False)).breakdown == []


# Files that were made to do harm


def npz(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.npy", data)
    return path


def npy(array: np.ndarray, shape: str | None = None) -> bytes:
    file = io.BytesIO()
    np.save(file, array, allow_pickle=True)
    data = file.getvalue()
    if shape is None:
        return data
    start, end = data.index(b"'shape': ") + 9, data.index(b"\n")
    head = data[:start] + shape.encode() + b", }"
    return head + b" " * (end - len(head)) + data[end:]


def members(**changed: bytes) -> dict[str, bytes]:
    good = {"subject": np.array(["a", "b"]), "masked": np.zeros(2, np.uint8), "embedding": np.eye(2)}
    return {name: npy(array) for name, array in good.items()} | changed


class Harm:
    """Pickled, it would write a file."""

    def __reduce__(self) -> Any:
        return Path("harm").write_text, ("x",)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"subject": npy(np.array([Harm(), Harm()], object))}, "subject of .* is object"),
        ({"embedding": npy(np.array([Harm(), Harm()], object))}, "embedding of .* is object"),
        ({"embedding": npy(np.eye(2), "(99999999, 9999999)")}, "its header stands for"),
        ({"embedding": npy(np.eye(2), "(-2, -2)")}, "cannot be read"),
        ({"masked": npy(np.zeros(2, np.uint8), "(3,)")}, "its header stands for"),
        ({"masked": npy(np.zeros(3, np.uint8))}, "masked of .* has 3 rows and embedding has 2"),
        ({"embedding": npy(np.ones(4))}, "give a 2-d array"),
        ({"embedding": npy(np.ones((0, 4)))}, "has shape .*; give .* with N and d above 0"),
        ({"embedding": npy(np.ones((2, 0)))}, "has shape .*; give .* with N and d above 0"),
        ({"embedding": npy(np.eye(2, dtype=complex))}, "embedding of .* is complex"),
        ({"embedding": b"\x93NUMPY\x01\x00" + b"\xff\xff{" + b"(" * 60000}, "cannot be read"),
        ({"subject": npy(np.array(["a", "b"])).replace(b"a\0\0\0", b"\xff\xff\xff\x7f")}, "no text|cannot be read"),
        ({"subject": npy(np.array(["a", "b"])).replace(b"a\0\0\0", b"\x00\xd8\x00\x00")}, "no text"),
    ],
)
def test_an_npz_that_was_made_to_do_harm_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changed: dict[str, bytes], words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert len(read_embeddings(npz(tmp_path / "good.npz", members()))) == 2
    with pytest.raises(UsageError, match=words) as raised:
        read_embeddings(npz(tmp_path / "bad.npz", members(**changed)))
    assert "bad.npz" in str(raised.value)
    assert not (tmp_path / "harm").exists()


def test_files_that_unpack_to_much_more_are_refused_before(tmp_path: Path) -> None:
    rows = 300_000
    zeros = np.zeros((rows, 64), np.float32)
    bomb = npz(tmp_path / "bomb.npz", members(embedding=npy(zeros), masked=npy(np.zeros(rows, bool))))
    assert bomb.stat().st_size < 1 << 20
    columns = {"subject": pa.array(["a"] * rows), "masked": pa.array(np.zeros(rows, bool))}
    lists = pa.FixedSizeListArray.from_arrays(pa.array(np.ones(rows * 64, np.float32)), 64)
    pq.write_table(pa.table({**columns, "embedding": lists}), tmp_path / "bomb.parquet", compression="zstd")
    assert (tmp_path / "bomb.parquet").stat().st_size < 1 << 20
    for path in (bomb, tmp_path / "bomb.parquet"):
        with pytest.raises(UsageError, match=rf"{path.name} says that it unpacks to .* more than 16 times its size"):
            read_embeddings(path)


def test_a_long_name_that_a_dictionary_holds_once_is_refused(tmp_path: Path) -> None:
    names = pa.DictionaryArray.from_arrays(pa.array([0] * 5000, pa.int32()), pa.array(["n" * 1_000_000]))
    lists = pa.array([[1.0, 2.0]] * 5000, pa.list_(pa.float32()))
    pq.write_table(pa.table({"subject": names, "masked": [0] * 5000, "embedding": lists}), tmp_path / "long.parquet")
    with pytest.raises(UsageError, match="subject has more than 1,000 characters"):
        read_embeddings(tmp_path / "long.parquet")


@pytest.mark.parametrize("kind", ["large", "fixed", "half", "dictionary"])
def test_other_columns_that_mean_the_same_are_read(write: Write, tmp_path: Path, kind: str) -> None:
    table = random_table()
    known = read_embeddings(write(table))
    values = [list(map(float, row)) for row in table["embedding"]]
    types = {
        "large": pa.large_list(pa.float64()), "fixed": pa.list_(pa.float32(), 8), "half": pa.list_(pa.float16()),
        "dictionary": pa.list_(pa.float64()),
    }  # fmt: skip
    columns: Table = {**table, "embedding": pa.array(values, types[kind])}
    if kind == "dictionary":
        columns["subject"] = pa.array(table["subject"]).dictionary_encode()
        columns["masked"] = pa.array(table["masked"], pa.uint8())
    if kind == "large":
        columns["subject"], columns["masked"] = [int(name[1:]) for name in table["subject"]], pa.array(known.masked)
    pq.write_table(pa.table(columns), tmp_path / "other.parquet", row_group_size=7)
    found = read_embeddings(tmp_path / "other.parquet")
    np.testing.assert_allclose(found.embeddings, known.embeddings, atol=2e-3 if kind == "half" else 1e-6)
    np.testing.assert_array_equal(found.subjects.codes, known.subjects.codes)
    np.testing.assert_array_equal(found.masked, known.masked)


def test_other_files_are_one_sentence(settings: EvalSettings, tmp_path: Path) -> None:
    (tmp_path / "x.npz").write_bytes(b"text")
    (tmp_path / "cut.parquet").write_bytes(b"PAR1 and no more")
    (tmp_path / "cut.npz").write_bytes(b"PK\3\4 and no more")
    for name, words in (
        ("x.npz", "is neither Parquet nor npz"),
        ("cut.parquet", r"cut\.parquet cannot be read"),
        ("cut.npz", r"cut\.npz cannot be read"),
        ("none.npz", "No such file or directory; check --embeddings"),
        (".", "Is a directory; check --embeddings"),
    ):
        with pytest.raises(UsageError, match=words):
            evaluate(replace(settings, embeddings=tmp_path / name))


def test_the_table_and_the_report_say_whose_embeddings_they_are(settings: EvalSettings, write: Write) -> None:
    path = write(random_table())
    report = evaluate(replace(settings, embeddings=path))
    assert report_text(report).startswith(f"vendor on {path}: 4 subjects, 12 photographs, 0 failures")
    assert json.loads((report.out / "report.json").read_bytes())["settings"]["embeddings"] == str(path)
