"""Where the time of a serial build goes, function by function (cProfile). Prints shares.

cProfile slows Python and leaves libraries as they are: the shares of small functions are upper bounds.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path

from _common import anew, machine, on_one_core, repeated, table
from _sets import SETS

import maskgen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, help="folder of tight crops [../shared/data/faces, or astronauts]")
    parser.add_argument("--photographs", type=int, default=1024, help="copies fill up [1024]")
    parser.add_argument("--set", action="append", choices=tuple(SETS), help="[tight crops, LFW framing]")
    parser.add_argument("--lines", type=int, default=16, help="functions to print [16]")
    arguments = parser.parse_args()
    machine()
    on_one_core()
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        for name in arguments.set or ("tight crops", "LFW framing"):
            src = repeated(SETS[name](scratch, arguments.src), scratch / f"{name} repeated", arguments.photographs)
            profiled(name, maskgen.BuildSettings(src=src, out=scratch / "out", engine="serial"), arguments.lines)


def profiled(title: str, settings: maskgen.BuildSettings, lines: int) -> None:
    """Prints where the time of a build goes, once the models are loaded."""
    maskgen.build(anew(settings))
    anew(settings)
    with cProfile.Profile() as profile:
        summary = maskgen.build(settings)
    stats = pstats.Stats(profile)
    spent = sorted(((own, calls, place) for place, (_, calls, own, _, _) in stats.stats.items()), reverse=True)
    total = stats.total_tt
    rows = [(name(*place), calls / summary.photographs, own / total) for own, calls, place in spent[:lines]]
    rows.append(("everything else", "", sum(own for own, _, _ in spent[lines:]) / total))
    table(
        f"A build of {summary.photographs} photographs, {title}",
        ("function", "calls a photograph", "share of the time"),
        rows,
    )


def name(file: str, line: int, function: str) -> str:
    if file == "~":
        return function.strip("<>{}").removeprefix("built-in method ")
    return f"{'/'.join(Path(file).parts[-2:])} {function}"


if __name__ == "__main__":
    main()
