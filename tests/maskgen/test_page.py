"""The dress of pages, in a real browser: what tables, charts, names of strangers and foreign scripts do."""

from __future__ import annotations

import asyncio
import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from maskgen.page import page as pages
from maskgen.page.page import Cell, Table, page
from tests.support.browser import WIDTHS, Browser, check_look, column, overhang, settled, tab_to

VENDOR = Path(pages.__file__).parent / "vendor"

HOSTILE = "<script>window.foreign = 1</script><img src=x onerror='window.foreign = 2'>\"'\u202egnp.exe\nnext"
"""A name that tries all at once: markup, quotes, a turned direction of writing and a second line."""

ROWS = [
    ["ann", 1000, Cell("12.5 %", 0.125), "-"],
    ["bob", 20, Cell("", None), "b10"],
    [HOSTILE, 3, Cell("2.0 %", 0.02), ""],
    ["dee", 100, Cell("100 %", 1.0), "b9"],
]

TEMPLATE = """{% extends "base.html" %}
{% block summary %}<p>{{ name | shown }}</p>{% endblock %}
{% block contents %}{{ macros.entry("table", "Table") }}{{ macros.entry("chart-1", "Chart") }}{% endblock %}
{% block main %}
<h2 id="table">Table</h2>{{ macros.table(table) }}
<h2 id="numbered">Numbers first</h2>{{ macros.table(numbered) }}
<h2>Chart</h2>{{ macros.chart("chart-1", name, "A note.") }}
{{ macros.facts([("setting", name), ("other", 1)]) }}
<label>Choice <select id="choice"><option>{{ name | shown }}</option></select></label> <output>1</output>
<figure class="gallery"><img src="{{ photograph }}" alt="a face"></figure><pre>maskgen build --src a --out b</pre>
{% endblock %}
{% block footer %}Made by a test.{% endblock %}
"""

SCRIPT = """
page.chart("chart-1", width => Plot.plot({ width, marks: [
  Plot.barX(page.data.counts, { x: "count", y: "name", fill: page.color(0) }), Plot.ruleX([0])] }));
"""


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("page")
    (folder / "test.html").write_text(TEMPLATE)
    (folder / "test.js").write_text(SCRIPT)
    pixel = "R0lGODlhAQABAIAAAAUEBAAAACwAAAAAAQABAAACAkQBADs="
    text = page(
        folder,
        "test.html",
        generator="maskgen",
        title=f"Of {HOSTILE}",
        data={"counts": [{"name": HOSTILE, "count": 3}, {"name": "dee", "count": 1}]},
        scripts=[folder / "test.js"],
        name=HOSTILE,
        table=Table(f"Shares of {HOSTILE}", ("name", "rows", "share", HOSTILE), ROWS),
        numbered=Table("Numbers", ("number", "square"), [[number, number**2] for number in (1000, 9, 20)]),
        photograph=f"data:image/gif;base64,{pixel}",
    )
    made = folder / "page.html"
    made.write_text(text, encoding="utf-8")
    return made


def test_the_libraries_are_those_of_the_table() -> None:
    listed = dict(re.findall(r"^\| (\S+\.js) \|.*\| ([0-9a-f]{64}) \|$", (VENDOR / "README.md").read_text(), re.M))
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in VENDOR.glob("*.js")}
    assert listed == found
    assert len(found) == 2


@pytest.mark.parametrize("width", WIDTHS)
def test_a_page_is_quiet_fits_its_window_and_is_accessible(browser: Browser, file: Path, width: int) -> None:
    with browser.page(file, width) as shown:
        check_look(shown, f"dress-{width}")
        box = shown.locator("#chart-1 svg").bounding_box()
        assert 200 < box["width"] <= width


def test_a_chart_is_drawn_again_when_the_window_changes(browser: Browser, file: Path) -> None:
    with browser.page(file, 1440) as shown:
        wide = shown.locator("#chart-1 svg").get_attribute("width")
        shown.set_viewport_size({"width": 360, "height": 700})
        shown.wait_for_function(
            "wide => document.querySelector('#chart-1 svg').getAttribute('width') !== wide", arg=wide
        )
        settled(shown)
        assert overhang(shown) == []


def test_names_of_strangers_are_text_and_only_text(browser: Browser, file: Path) -> None:
    written = HOSTILE.replace("\u202e", "\\u202e").replace("\n", "\\n")
    with browser.page(file) as shown:
        assert shown.evaluate("window.foreign") is None
        assert shown.title() == f"Of {written}"
        assert written in shown.locator("#table + .scroll").inner_text()
        assert shown.evaluate("page.data.counts[0].name") == HOSTILE
        assert shown.locator("img").count() == 1


@pytest.mark.parametrize(
    ("tag", "fields", "also"),
    [
        ("script", "text: 'window.foreign = 1'", ()),
        ("div", "innerHTML: '<img src=data:, onerror=\"window.foreign = 1\">'", ()),
        ("img", "src: 'http://127.0.0.1:9/x.png'", ("127.0.0.1:9",)),
        ("iframe", "src: 'http://127.0.0.1:9/'", ()),
    ],
    ids=["script", "handler", "picture", "frame"],
)
def test_the_policy_stops_what_a_hole_in_the_escaping_would_let_in(
    browser: Browser, file: Path, tag: str, fields: str, also: tuple[str, ...]
) -> None:
    """Playwright's own `evaluate` stands above the policy; what it puts into the page does not."""
    add = f"() => document.body.append(Object.assign(document.createElement('{tag}'), {{ {fields} }}))"
    with browser.page(file, expected=("Content Security Policy", *also)) as shown:
        shown.evaluate(f"() => {{ ({add})() }}")
        shown.wait_for_timeout(100)
        assert shown.evaluate("window.foreign") is None


@pytest.mark.parametrize(
    ("place", "up", "down"),
    [
        (1, ["3", "20", "100", "1,000"], ["1,000", "100", "20", "3"]),
        (2, ["2.0 %", "12.5 %", "100 %", ""], ["100 %", "12.5 %", "2.0 %", ""]),
        (3, ["-", "b9", "b10", ""], ["b10", "b9", "-", ""]),
    ],
    ids=["numbers", "percents", "texts"],
)
def test_a_table_is_sorted_by_keyboard(
    browser: Browser, file: Path, place: int, up: list[str], down: list[str]
) -> None:
    head = f"#table + .scroll th:nth-child({place + 1})"

    def sorts(shown: Any) -> list[str | None]:
        return [shown.locator(f"#table + .scroll thead th >> nth={n}").get_attribute("aria-sort") for n in range(4)]

    with browser.page(file, 360) as shown:
        assert sorts(shown) == [None] * 4
        tab_to(shown, f"{head} button")
        shown.keyboard.press("Enter")
        assert column(shown, "#table + .scroll", place) == up
        assert sorts(shown)[place] == "ascending"
        shown.keyboard.press("Space")
        assert column(shown, "#table + .scroll", place) == down
        assert sorts(shown)[place] == "descending"
        tab_to(shown, "#numbered + .scroll button")  # the other table has stayed as it was
        assert column(shown, "#numbered + .scroll", 0) == ["1,000", "9", "20"]
        shown.keyboard.press("Enter")
        assert column(shown, "#numbered + .scroll", 0) == ["9", "20", "1,000"]


def test_an_open_browser_leaves_other_tests_their_event_loops(browser: Browser) -> None:
    assert asyncio.run(asyncio.sleep(0, "done")) == "done"


def test_the_keyboard_skips_to_the_content(browser: Browser, file: Path) -> None:
    with browser.page(file) as shown:
        shown.keyboard.press("Tab")
        assert shown.evaluate("document.activeElement.textContent") == "Skip to the content"
        shown.keyboard.press("Enter")
        assert shown.evaluate("document.activeElement.id") == "main"


def test_a_printed_page_is_dark_on_white_without_its_controls(browser: Browser, file: Path) -> None:
    with browser.page(file, 800, dark=True, printed=True) as shown:
        assert not shown.locator(".contents").is_visible()
        assert shown.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
        assert shown.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
        colors = "['--c0', '--genuine', '--heat'].map(name => getComputedStyle(document.body).getPropertyValue(name))"
        assert shown.evaluate(colors) == ["#0072b2", "#0072b2", "#d55e00"]  # of the light style
        assert overhang(shown) == []
        assert shown.pdf().startswith(b"%PDF-")


def test_a_table_looks_at_each_cell_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    seen: list[object] = []
    cell_of = pages._cell
    monkeypatch.setattr(pages, "_cell", lambda value: seen.append(value) or cell_of(value))
    (tmp_path / "test.html").write_text(
        "{% extends 'base.html' %}{% block main %}{{ macros.table(table) }}{% endblock %}"
    )
    table = Table("Large", ["name", *map(str, range(9))], [[f"p{row}", *range(9)] for row in range(40)])
    page(tmp_path, "test.html", generator="maskgen", title="t", data={}, table=table)
    assert len(seen) == 40 * 10


def test_pages_are_known_by_what_made_them(file: Path, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text('<meta name="generator" content="mfr report, maskgen 1">')
    (tmp_path / "mine.html").write_text("<html>")
    assert pages.is_made_by("maskgen", file)
    assert not pages.is_made_by("mfr report", file)
    assert not pages.is_made_by("maskgen", tmp_path / "report.html")
    assert pages.is_made_by("mfr report", tmp_path / "report.html")
    assert not pages.is_made_by("maskgen", tmp_path / "mine.html")
    assert not pages.is_made_by("maskgen", tmp_path / "none.html")
