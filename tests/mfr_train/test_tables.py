"""Tables as text, CSV and LaTeX: worked out by hand, read back, and with names that attack the reader."""

from __future__ import annotations

import csv
import io
import math

import pytest

from mfr_train.evaluation import table_formats
from mfr_train.evaluation.measurement import Measurement
from mfr_train.evaluation.tables import Column, Table

COLUMNS = (
    Column("scenario", "scenario", "text"),
    Column("eer", "EER %", "percent", 2, starred=True),
    Column("auc", "AUC", "number", 4),
    Column("genuine", "Ng", "count"),
)
ROWS = (
    ("U-U", Measurement(1 / 3, (0.25, 0.5), 0.7, few_errors=True), -0.125, 123_456.0),
    ("M-M", Measurement(0.01), None, 7.0),
)
TABLE = Table("rates", "Rates", COLUMNS, ROWS, "lines")


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_text_has_intervals_in_lines() -> None:
    assert table_formats.as_text(TABLE) == [
        "scenario      EER %      AUC    Ng",
        "U-U          33.33*  -0.1250  123k",
        "  95 % from  25.00",
        "  95 % to    50.00",
        "M-M           1.00               7",
    ]


def test_csv_holds_the_numbers_themselves() -> None:
    first, second = read(table_formats.as_csv(TABLE))
    assert list(first) == ["scenario", "eer", "eer_low", "eer_high", "auc", "genuine", "few_errors"]
    assert float(first["eer"]) == 1 / 3
    assert (first["eer_low"], first["eer_high"], first["auc"]) == ("0.25", "0.5", "-0.125")
    assert (first["genuine"], first["few_errors"]) == ("123456", "eer")
    assert (second["eer"], second["eer_low"], second["auc"], second["few_errors"]) == ("0.01", "", "", "")


def test_latex_is_a_booktabs_table() -> None:
    assert table_formats.as_latex([TABLE]).splitlines() == [
        r"% \usepackage{booktabs}",
        "",
        r"\begin{table}",
        r"\centering",
        r"\caption{Rates}",
        r"\label{tab:rates}",
        r"\begin{tabular}{lrrr}",
        r"\toprule",
        r"scenario & EER \% & AUC & Ng \\",
        r"\midrule",
        r"U-U & 33.33* & $-0.1250$ & 123k \\",
        r" & {\scriptsize [25.00, 50.00]} &  &  \\",
        r"M-M & 1.00 &  & 7 \\",
        r"\bottomrule",
        r"\end{tabular}",
        "",
        r"{\footnotesize In brackets: 95 \% intervals over subjects. "
        "* fewer than 30 expected errors: too few for a precise figure.}",
        r"\end{table}",
    ]


@pytest.mark.parametrize("name", ['=HYPERLINK("http://x")', "+1", "-1+cmd|' /C calc'!A0", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_text_of_a_csv_is_a_formula(name: str) -> None:
    [row] = read(table_formats.as_csv(Table("t", "T", COLUMNS[:1], ((name,),))))
    assert row["scenario"] == f"'{name}"


@pytest.mark.parametrize("name", ['a,"b"\nc', "O'Neil", "a-b", "1=1"])
def test_other_names_are_read_back_from_csv(name: str) -> None:
    [row] = read(table_formats.as_csv(Table("t", "T", COLUMNS[:1], ((name,),))))
    assert row["scenario"] == name


@pytest.mark.parametrize(
    ("name", "escaped"),
    [
        (r"\input{/etc/passwd}", r"\textbackslash{}input\{/etc/passwd\}"),
        ("50% & #1 $x_1^2$~", r"50\% \& \#1 \$x\_1\textasciicircum{}2\$\textasciitilde{}"),
        ("a\n\nb\x1b", "a  b "),
        ("[9cm]", "{[}9cm{]}"),
        ("*", "{*}"),
    ],
)
def test_names_are_no_commands_of_latex(name: str, escaped: str) -> None:
    assert table_formats.latex_escaped(name) == escaped
    assert rf"{escaped} \\" in table_formats.as_latex([Table("t", "T", COLUMNS[:1], ((name,),))]).splitlines()


def test_file_names_are_plain_and_differ() -> None:
    tables = [Table(name, "T", COLUMNS[:1], ()) for name in ("../../x", "......x", "U-M_by_mask", "é" * 300)]
    assert list(table_formats.csv_files(tables)) == [
        "------x.csv",
        "------x-2.csv",
        "U-M_by_mask.csv",
        "-" * 80 + ".csv",
    ]


def test_infinite_thresholds_are_numbers() -> None:
    [row] = read(table_formats.as_csv(Table("t", "T", (Column("threshold", "t", "number", 4),), ((math.inf,),))))
    assert float(row["threshold"]) == math.inf
