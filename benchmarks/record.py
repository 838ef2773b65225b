"""Runs a benchmark and puts what it prints into docs/performance.md: `python benchmarks/record.py build --rounds 5`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance.md"


def main() -> None:
    name, *options = sys.argv[1:] or [""]
    script, page = Path(__file__).with_name(f"{name}.py"), PAGE.read_text()
    begin, end = (f"<!-- {word}: benchmarks/{name}.py -->\n" for word in ("begin", "end"))
    if not script.is_file() or begin not in page:
        sys.exit(f"{PAGE.name} has no part for benchmarks/{name}.py; name a benchmark that it has a part for.")
    lines = []
    with subprocess.Popen([sys.executable, str(script), *options], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line)
    if process.returncode:
        sys.exit(f"{script.name} failed; the page stays as it was.")
    before, _, rest = PAGE.read_text().partition(begin)
    PAGE.write_text(before + begin + "".join(lines) + end + rest.partition(end)[2])


if __name__ == "__main__":
    main()
