"""Writes docs/images/report.png, the head of a page of `mfr report`: python docs/make_screenshot.py report.html"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("images") / "report.png"

WIDTH, HEIGHT = 1080, 1500


def main(page: Path) -> None:
    """Opens the page in an installed Chromium and saves what a reader sees first."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium") or "/usr/bin/chromium")
        opened = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme="light")
        opened.goto(page.resolve().as_uri())
        opened.wait_for_function("[...document.querySelectorAll('.chart .plot')].every(plot => plot.firstChild)")
        opened.screenshot(path=PICTURE)
        browser.close()
    print(f"{PICTURE} has {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
