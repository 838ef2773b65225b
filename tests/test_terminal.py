"""What commands print: hints apart from results, lines and tables that fit the terminal, and progress."""

from __future__ import annotations

import io
import time
from contextlib import nullcontext, redirect_stderr

import click
import pytest
from click.testing import CliRunner

from maskgen import progress, terminal
from maskgen.cli.options import CommandGroup, say
from maskgen.cli.table import table
from mfr_train.cli.main import mfr as mfr_command


class Screen(io.StringIO):
    """A text file that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal of 80 columns."""
    monkeypatch.setattr(terminal, "width", lambda err=False: 80)


def test_hints_are_on_standard_error_and_last(capsys: pytest.CaptureFixture[str]) -> None:
    say("out holds 3 photographs\nHint: next, run maskgen inspect out\n\nNote: one is grey.\n\nHint: look")
    assert capsys.readouterr() == (
        "out holds 3 photographs\n\nNote: one is grey.\n",
        "Hint: next, run maskgen inspect out\nHint: look\n",
    )


def test_lines_stay_whole_where_nobody_reads_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert terminal.width() is None
    say("word " * 40)
    assert capsys.readouterr().out == "word " * 40 + "\n"


def test_lines_fit_a_terminal(narrow: None, capsys: pytest.CaptureFixture[str]) -> None:
    path = "/a" * 50
    say("word " * 40 + f"\n  see {path} for more\nHint: " + "word " * 20)
    out, err = (click.unstyle(text).splitlines() for text in capsys.readouterr())
    assert out[:2] == [("word " * 16).strip()] * 2
    assert out[3:] == ["  see", f"  {path}", "  for more"], "a path can be copied"
    assert err == ["", "Hint: " + ("word " * 15).strip(), "      " + ("word " * 5).strip()]


def test_an_error_fits_a_terminal(narrow: None) -> None:
    @click.group(cls=CommandGroup, name="maskgen")
    def group() -> None: ...

    @group.command()
    @click.option("--kind", type=click.Choice(["one" * 10, "two" * 10, "three" * 10]))
    def build(kind: str) -> None: ...

    lines = CliRunner().invoke(group, ["build", "--kind", "none"]).stderr.splitlines()
    assert lines[-1].endswith(f"{'three' * 10}'.")
    assert max(map(len, lines)) <= 80


def test_a_table_folds_its_widest_text(narrow: None) -> None:
    lines = table(["name", "count", "says"], [["a" * 50, 1234, "three words here " * 4], ["b", 5, "x"]])
    assert max(map(len, lines)) == 80
    counts = [line for line in lines if "1,234" in line or line.rstrip().endswith("5  x")]
    assert len(counts) == 2
    assert "".join(line.split()[0] for line in lines[2:-1]).startswith("a" * 34)
    assert lines[-1].split() == ["b", "5", "x"]
    assert {len(dash) for dash in lines[1].split()} == {34, 5, 35}


def test_a_table_that_fits_is_not_folded(narrow: None) -> None:
    assert table(["name", "count"], [["a b", 1]]) == ["  name  count", "  ----  -----", "  a b       1"]


def test_short_steps_are_not_shown() -> None:
    with redirect_stderr(Screen()) as screen, progress.step("reading", 3) as bar:
        bar.update(3)
    assert screen.getvalue() == ""


def test_a_step_says_what_is_done_and_how_long_it_takes() -> None:
    named, step = progress.part("U-M"), progress.step("resampling people", 4, delay=0)
    with redirect_stderr(Screen()) as screen, named, step as bar:
        bar.update(3)
        with progress.step("inside", delay=0):
            pass
    shown = screen.getvalue()
    assert "U-M: resampling people:  75%|" in shown
    assert "| 3/4 [00:00, 00:00 left]" in shown
    assert "inside" not in shown, "one line at a time"
    assert shown.endswith("\n")


def test_a_step_without_an_end_shows_its_time_though_it_counts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "TICK", 0.01)
    with redirect_stderr(Screen()) as screen, progress.step("loading the model", delay=0.02):
        deadline = time.monotonic() + 20
        while "loading the model [00:00]" not in screen.getvalue():
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert screen.getvalue().endswith("\n")


def test_a_total_may_be_known_later() -> None:
    with redirect_stderr(Screen()) as screen, progress.step("embedding pictures", to_plan=True, delay=0) as bar:
        progress.planned(bar)(20)
        bar.update(20)
        bar.refresh()
    assert "embedding pictures: 100%|" in screen.getvalue()


@pytest.mark.parametrize("shown", [True, False])
def test_nothing_is_shown_elsewhere_or_if_the_caller_shows_progress(shown: bool) -> None:
    quiet = progress.quiet() if shown else nullcontext()
    screen = Screen() if shown else io.StringIO()
    with redirect_stderr(screen), quiet, progress.step("hashing", 2, delay=0) as bar:
        bar.update(2)
    assert screen.getvalue() == ""


@pytest.mark.parametrize(
    ("given", "measured", "all_tables"),
    [
        ((), True, False),
        (("--breakdown",), True, False),
        (("--all-tables",), True, True),
        (("--no-breakdown",), False, False),
        (("--no-breakdown", "--all-tables"), False, True),
    ],
)
def test_all_tables_are_printed_if_asked_for(
    given: tuple[str, ...], measured: bool, all_tables: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mfr_train.cli import console

    seen = []
    monkeypatch.setattr(console, "eval_with_progress", lambda settings, found, *_: seen.append((settings, found)) or "")
    assert CliRunner().invoke(mfr_command, ["eval", *given]).exit_code == 0
    [(settings, found)] = seen
    assert (settings.breakdown, found) == (measured, all_tables)
