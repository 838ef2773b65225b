"""Pages as people see them: Debian's or another installed Chromium, without a window, driven by Playwright.

No browser is downloaded. A page that is opened may say nothing on the console, and may load nothing but its file.
"""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

WIDTHS = (360, 1440)
"""A phone and a desk."""

NAMES = ("chromium", "chromium-browser", "google-chrome")

RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")
"""axe-core's rules: names, roles, contrast, headings, landmarks, size of what is pressed."""


def chromium() -> str:
    """The path of an installed Chromium. Skips the test if there is none."""
    for name in NAMES:
        if found := shutil.which(name) or shutil.which(name, path="/usr/bin"):
            return found
    pytest.skip(f"no browser is installed ({', '.join(NAMES)})")


class Browser:
    """One Chromium. Playwright's calls without `await` leave its event loop set as the running one of this thread,
    where no other test could run a loop: outside of `page` it is taken away."""

    def __init__(self, driver: Any, path: str) -> None:
        self._chromium = driver.chromium.launch(executable_path=path)
        self._loop = asyncio.get_running_loop()
        asyncio._set_running_loop(None)

    def close(self) -> None:
        asyncio._set_running_loop(self._loop)
        self._chromium.close()

    @contextmanager
    def page(
        self,
        file: Path,
        width: int = 1440,
        *,
        dark: bool = False,
        printed: bool = False,
        expected: Sequence[str] = (),
    ) -> Iterator[Any]:
        """Playwright's `Page` of a file, at that width.

        When the block ends, fails on every message and request but those that hold an `expected` text, and if one of
        these never came.
        """
        asyncio._set_running_loop(self._loop)
        context = self._chromium.new_context(
            viewport={"width": width, "height": 900}, color_scheme="dark" if dark else "light", reduced_motion="reduce"
        )
        try:
            page, found = context.new_page(), []
            page.on("console", lambda message: found.append(f"console {message.type}: {message.text}"))
            page.on("pageerror", lambda error: found.append(f"error: {error}"))
            page.on("requestfailed", lambda request: found.append(f"failed: {request.url[:200]} {request.failure}"))
            page.on("request", lambda request: _is_own(request.url, file) or found.append(f"asked for {request.url}"))
            if printed:
                page.emulate_media(media="print")
            page.goto(file.as_uri())
            settled(page)
            yield page
            settled(page)
            assert not [text for text in found if not any(part in text for part in expected)], found
            assert all(any(part in text for text in found) for part in expected), found
        finally:
            context.close()
            asyncio._set_running_loop(None)


def _is_own(url: str, file: Path) -> bool:
    return url.startswith("data:") or url.partition("#")[0] == file.as_uri()


def settled(page: Any) -> None:
    """Waits until charts that are drawn in the next frame are there."""
    page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done())))")


def violations(page: Any, *rules: str) -> list[str]:
    """What axe-core finds wrong: rule, element and why. By default all `RULES` are checked, or only those named."""
    from axe_playwright_python.sync_playwright import Axe

    only = {"type": "rule", "values": list(rules)} if rules else {"type": "tag", "values": list(RULES)}
    options = {"runOnly": only, "resultTypes": ["violations"]}
    found = Axe().run(page, options=options).response["violations"]
    return [
        f"{rule['id']}: {' '.join(map(str, node['target']))}: {node['failureSummary']}"
        for rule in found
        for node in rule["nodes"]
    ]


def overhang(page: Any) -> list[str]:
    """What makes the page wider than its window; empty if nothing does. Boxes that scroll by themselves are allowed."""
    return page.evaluate(
        """() => {
          const root = document.documentElement;
          if (root.scrollWidth <= root.clientWidth) return [];
          const wide = [...document.body.querySelectorAll("*")]
            .filter(element => element.getBoundingClientRect().right > root.clientWidth + 1)
            .map(element => element.outerHTML.slice(0, 120));
          return [`${root.scrollWidth} of ${root.clientWidth} pixels`, ...wide.slice(0, 5)];
        }"""
    )


def column(page: Any, table: str, number: int) -> list[str]:
    """The texts of a column of a table, from the top down, as they stand now."""
    return page.eval_on_selector_all(
        f"{table} tbody tr", f"rows => rows.map(row => row.cells[{number}].textContent.trim())"
    )


def tab_to(page: Any, selector: str, most: int = 200) -> None:
    """Presses Tab until an element has the focus, as a person without a mouse does."""
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def screenshot(page: Any, name: str) -> None:
    """Writes the whole page as a picture into the folder that the variable SCREENSHOTS names, if it is set."""
    if folder := os.environ.get("SCREENSHOTS"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


def check_look(page: Any, name: str) -> None:
    """Nothing of a page is wider than its window, and all is accessible, in light and in dark."""
    assert overhang(page) == []
    assert violations(page) == []
    screenshot(page, name)
    page.emulate_media(color_scheme="dark")
    assert violations(page, "color-contrast") == []
    screenshot(page, f"{name}-dark")
