"""Writes docs/images/report.png from a page of `mfr report`: python docs/make_screenshot.py report.html

It shows the head of the page, the scores of its first model and the first hardest pairs.
"""

from __future__ import annotations

import io
import shutil
import sys
from pathlib import Path

from PIL import Image
from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("images") / "report.png"

WIDTH, MARGIN = 1216, 16

PARTS = (".top", "#scores-0", "section[aria-labelledby=hardest] .pairs >> nth=2")
"""What is shown, from the top down."""

COLORS = 160
"""The picture has a palette, which makes it a third as large."""


def main(page: Path) -> None:
    """Opens the page in an installed Chromium and saves its parts below each other."""
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=shutil.which("chromium") or "/usr/bin/chromium")
        opened = browser.new_page(viewport={"width": WIDTH, "height": 1500}, color_scheme="light")
        opened.goto(page.resolve().as_uri())
        opened.wait_for_function("[...document.querySelectorAll('.chart .plot')].every(plot => plot.firstChild)")
        parts = [Image.open(io.BytesIO(opened.locator(part).screenshot())) for part in PARTS]
        browser.close()
    height = sum(part.height + MARGIN for part in parts) + MARGIN
    picture = Image.new("RGB", (WIDTH + 2 * MARGIN, height), "white")
    top = MARGIN
    for part in parts:
        picture.paste(part, (MARGIN, top))
        top += part.height + MARGIN
    picture.quantize(COLORS, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
    print(f"{PICTURE} has {PICTURE.stat().st_size:,} bytes")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
