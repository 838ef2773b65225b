"""Names that a terminal would obey, or that are markup: shown escaped, and kept as they are in files."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import struct
import subprocess
import sys
import unicodedata
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result
from hypothesis import given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

import maskgen
from maskgen.cli.main import maskgen as maskgen_command
from maskgen.cli.options import CommandGroup
from maskgen.cli.table import table
from maskgen.dataset.notebook import html_table
from maskgen.errors import MaskgenError, Rejected, shown
from mfr_train.cli.main import mfr as mfr_command
from mfr_train.notebook import html_table as mfr_table
from tests.support.processes import ROOT, SMALL_PREDICTOR

RED, LINK, BELL = "\x1b[31mred", "\x1b]8;;http:evil\x1b\\link", "bell\x07"
HOSTILE = [
    *(
        RED,
        LINK,
        BELL,
        "\x9b31mC1",
        "two\nlines",
        "tab\there",
        "back\x08\rspace",
        "\u202egnp.exe",
        "\u2066isolate\u2069",
    ),
    *("zero\u200bwidth\u200d", "a|b|c", "`code`", "[text](javascript:alert)", "<script>alert(1)", "<img src=x>"),
    *("=cmd|' !A0", "+1", "@SUM(A1)", "\u2028line", "hangul\u3164filler", "nul_less\x7f"),
]
needs_such_names = pytest.mark.skipif(sys.platform != "linux", reason="such file names exist on Linux")


def plain(text: str) -> bool:
    """Whether text has nothing but line breaks that controls a terminal or cannot be seen."""
    return not [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


def run(*arguments: object, group: click.Command = maskgen_command) -> Result:
    return CliRunner().invoke(group, [str(argument) for argument in arguments])


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        (RED, r"\x1b[31mred"),
        ("two\nlines\r\t", r"two\nlines\r\t"),
        ("\u202egnp.exe", r"\u202egnp.exe"),
        ("zero\u200bwidth", r"zero\u200bwidth"),
        ("hangul\u3164", r"hangul\u3164"),
        ("\udcff", r"\udcff"),
        ("\U000e0041", r"\U000e0041"),
        ("Zoë 王 🙂 a|b <i> C:\\x", "Zoë 王 🙂 a|b <i> C:\\x"),
    ],
)
def test_what_is_shown(name: str, safe: str) -> None:
    assert shown(name) == safe


@given(st.text(st.characters()))
def test_whatever_is_shown_is_plain(text: str) -> None:
    found = shown(text)
    assert plain(found)
    assert "\n" not in found
    assert shown(found) == found
    found.encode()  # also broken Unicode
    if text.isascii() and text.isprintable():
        assert found == text


def test_errors_are_shown_in_python_too_and_hold_the_true_words() -> None:
    assert str(MaskgenError(f"there is no {RED}.")) == r"there is no \x1b[31mred."
    rejected = Rejected("damaged", RED)
    assert (str(rejected), rejected.detail) == (r"damaged: \x1b[31mred", RED)


def test_a_line_break_in_a_name_makes_no_line_of_a_table() -> None:
    lines = table(["na\nme", "n"], [["an\x1bn", 1], ["bob\nall is well", 2]])
    assert lines == [
        r"  na\nme            n",
        "  ----------------  -",
        r"  an\x1bn           1",
        r"  bob\nall is well  2",
    ]


@pytest.fixture(scope="module")
def hostile_tree(
    tmp_path_factory: pytest.TempPathFactory,
    takes: Callable[[int], bytes],
    write_tree: Callable[..., Path],
) -> Path:
    """People with these names, each with a good photograph and one that is rejected, also under such names."""
    if sys.platform != "linux":
        pytest.skip("such file names exist on Linux")
    files = {}
    for number, name in enumerate(HOSTILE):
        if "/" not in name:
            files[f"{name}/{name}.jpg"] = takes(number) if number < 4 else b"not a picture"
    return write_tree(tmp_path_factory.mktemp("names") / "so\x1b[31m\nurce", files)


@pytest.fixture(scope="module")
def hostile(hostile_tree: Path) -> Path:
    out = hostile_tree.parent / "o\x1b[1mu\u202et\n"
    options = ["--engine=serial", "--size=48", "--shard-size=9", f"--predictor={SMALL_PREDICTOR}"]
    result = run("build", "--src", hostile_tree, "--out", out, *options)
    assert result.exit_code == 0, result.output
    assert plain(result.output)
    assert r"o\x1b[1mu\u202et\n holds" in result.output
    return out


@needs_such_names
def test_files_hold_the_true_names(hostile: Path) -> None:
    planned = pq.read_table(hostile / "plan.parquet")
    true = {f"{name}/{name}.jpg" for name in HOSTILE}
    assert set(planned["source"].to_pylist()) == true
    assert set(planned["identity"].to_pylist()) == set(HOSTILE)
    described = json.loads((hostile / "dataset.json").read_bytes())
    assert set(described["identities"]) <= set(HOSTILE)


@needs_such_names
def test_commands_show_them_escaped(hostile: Path, hostile_tree: Path, tmp_path: Path) -> None:
    for command in (["inspect", hostile], ["verify", hostile]):
        result = run(*command)
        assert result.exit_code == 0, result.output
        assert plain(result.output), command
        assert r"o\x1b[1mu\u202et\n" in result.output

    sheets = run("preview", hostile, "-o", tmp_path / "a\x1b.png")
    assert (sheets.exit_code, plain(sheets.output)) == (0, True), sheets.output
    photographs = run("preview", hostile_tree, "--predictor", SMALL_PREDICTOR, "-o", tmp_path / "b.png")
    assert (photographs.exit_code, plain(photographs.output)) == (0, True), photographs.output
    problems = photographs.output.splitlines()[1:]
    assert len(problems) == len(HOSTILE) - 4, "a line for each, whatever is in its name"
    assert all(line.startswith("  /") for line in problems)


@needs_such_names
def test_errors_show_them_escaped(hostile: Path, hostile_tree: Path, tmp_path: Path) -> None:
    broken = Path(shutil.copytree(hostile, tmp_path / RED))
    next((broken / "train").glob("*.parquet")).write_bytes(b"")
    failures = [
        run("verify", broken),
        run("build", "--src", tmp_path / BELL, "--out", tmp_path / "x"),
        run("build", "--src", hostile_tree, "--out", tmp_path / "x", "--config", tmp_path / RED),
        run("inspect", tmp_path / "two\nlines"),
        run("preview", tmp_path / "\u202eevil.jpg"),
        run("verify", "--\x1b[31moption", tmp_path),
        run("\x1b[31mcommand"),
        run("--\x1b[31moption"),
        run("build", "--src", hostile_tree, "--out", "x", "--size", "\x1b[31m9"),
        run("eval", "--config", tmp_path / RED, group=mfr_command),
        run("train", "--config", tmp_path / RED, group=mfr_command),
    ]
    for number, result in enumerate(failures):
        assert result.exit_code in (1, 2), (number, result.output)
        assert isinstance(result.exception, SystemExit), (number, result.exception)
        assert plain(result.output), (number, result.output)
        assert "\\" in result.output, (number, result.output)


@needs_such_names
def test_what_reaches_a_terminal(hostile_tree: Path, tmp_path: Path) -> None:
    """A build on a real terminal: beside text it gets carriage returns and what tqdm moves the cursor with."""
    import fcntl
    import pty
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    out = tmp_path / "o\x1b[31mut"
    command = [sys.executable, "-m", "maskgen", "build", f"--src={hostile_tree}", f"--out={out}", "--engine=serial"]
    options = ["--size=48", f"--predictor={SMALL_PREDICTOR}"]
    with subprocess.Popen([*command, *options], cwd=ROOT, stdout=theirs, stderr=theirs, close_fds=True) as process:
        os.close(theirs)
        written = b""
        with contextlib.suppress(OSError):  # Linux reports the end of a terminal as an error
            while part := os.read(ours, 1 << 16):
                written += part
    os.close(ours)
    assert process.returncode == 0, written
    text = written.decode()
    assert "building" in text, "the progress bar"
    assert rb"so\x1b[31m\nurce" in written, "the line about listing"
    dim = text.replace("\x1b[2m", "").replace("\x1b[0m", "")  # of hints
    assert plain(dim.replace("\r", "").replace("\x1b[A", "")), text


def test_warnings_of_the_log_are_escaped(capsys: pytest.CaptureFixture[str]) -> None:
    @click.group(cls=CommandGroup, name="maskgen")
    def group() -> None: ...

    @group.command()
    def warn() -> None:
        logging.lastResort.handle(
            logging.LogRecord("maskgen", logging.WARNING, "", 0, "photograph %s died", ("two\nlines \x1b[31m",), None)
        )

    assert run("warn", group=group).stderr == "photograph two\\nlines \\x1b[31m died\n"


@needs_such_names
def test_a_sheet_has_one_line_for_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    from PIL import ImageDraw

    from maskgen.cli.preview import Strip, _sheet

    written = []
    monkeypatch.setattr(ImageDraw.ImageDraw, "text", lambda _, place, text, *rest, **options: written.append(text))
    _sheet([Strip(name, [], "damaged: two\nlines") for name in HOSTILE], ("wide_high",))
    assert len(written) == 2 + len(HOSTILE)
    assert all(text.isprintable() and text.isascii() for text in written)
    assert r"\x1b[31mred: damaged: two\nlines" in written


@needs_such_names
def test_the_card_renders_as_written(hostile: Path) -> None:
    text = (hostile / "README.md").read_text()
    assert plain(text)
    body = text.split("---\n", 2)[2]
    tokens = MarkdownIt("commonmark").enable("table").parse(body)
    kinds = {token.type for token in tokens} | {child.type for token in tokens for child in token.children or ()}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    cells = [tokens[n + 1].content for n, token in enumerate(tokens) if token.type in ("td_open", "th_open")]
    counts = json.loads((hostile / "dataset.json").read_bytes())["counts"]
    expected = [[split, f"{c['rows']}", f"{sum(c['rejects'].values())}"] for split, c in counts.items()]
    assert cells[:3] == ["split", "rows", "rejected"]
    assert sorted(cells[n : n + 3] for n in range(3, len(cells), 3)) == sorted(expected)


class Cells(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def read(html: str) -> Cells:
    cells = Cells()
    cells.feed(html)
    return cells


def test_notebooks_show_them_as_text() -> None:
    expected = [shown(name) for name in HOSTILE]
    ours = read(html_table(RED, [*HOSTILE], [HOSTILE]))
    assert ours.tags == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert ours.text == [shown(RED), *expected, *expected]
    theirs = read(mfr_table([*HOSTILE], [HOSTILE]))
    assert theirs.tags == {"table", "thead", "tbody", "tr", "th", "td"}
    assert theirs.text == [*expected, *expected]


@needs_such_names
def test_objects_show_themselves_as_text(hostile: Path) -> None:
    found = read(maskgen.open(hostile)._repr_html_())
    assert plain("".join(found.text))
    assert str(hostile.parent / r"o\x1b[1mu\u202et\n") in "".join(found.text)
    assert plain(repr(maskgen.open(hostile)))
    assert all(plain(repr(row)) for row in maskgen.open(hostile))
