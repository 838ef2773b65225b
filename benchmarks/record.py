"""Runs benchmarks and puts what they print into docs/performance.md.

    python benchmarks/record.py build --rounds 5   # one of them, with its options
    python benchmarks/record.py                    # all that the page has a part for

On an idle machine all take less than 15 minutes; the build then takes its quick sizes. One that fails leaves its part
as it was.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"

SHORT: dict[str, tuple[str, ...]] = {
    "build": ("--quick",),
    "export": ("--rounds", "2"),
    "loader": ("--photographs", "2000", "--rounds", "3"),
    "memory": ("--photographs", "200", "2000"),
    "systems": ("--pictures", "16", "--rounds", "2"),
}
"""Options of those that take long, where all are run."""


def main() -> None:
    name, *options = sys.argv[1:] or [""]
    if name.startswith("-"):
        sys.exit("name a benchmark before its options; without a name all run, and take none.")
    if name:
        sys.exit(record(name, options) or 0)
    failed = []
    for part in re.findall(r"<!-- begin: benchmarks/(\w+)\.py -->", PAGE.read_text()):
        began = time.monotonic()
        print(f"\n== {part}", flush=True)
        if record(part, SHORT.get(part, ())):
            failed.append(part)
        print(f"== {part}: {time.monotonic() - began:.0f} s", flush=True)
    sys.exit(f"{', '.join(failed)} failed; those parts stay as they were." if failed else 0)


def record(name: str, options: Sequence[str]) -> str:
    """Puts what a benchmark prints into its part of the page; why not, or an empty text."""
    script, page = Path(__file__).with_name(f"{name}.py"), PAGE.read_text()
    begin, end = (f"<!-- {word}: benchmarks/{name}.py -->\n" for word in ("begin", "end"))
    if not script.is_file() or begin not in page:
        return f"{PAGE.name} has no part for benchmarks/{name}.py; name a benchmark that it has a part for."
    lines = []
    with subprocess.Popen([sys.executable, str(script), *options], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        return f"{script.name} failed; the page stays as it was."
    before, _, rest = PAGE.read_text().partition(begin)
    PAGE.write_text(before + begin + "".join(lines) + end + rest.partition(end)[2])
    return ""


if __name__ == "__main__":
    main()
