"""Where the time of a serial build goes, function by function (cProfile). Prints shares.

cProfile slows Python and leaves libraries as they are: the shares of small functions are upper bounds.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import tempfile
from pathlib import Path

from _common import anew, machine, on_one_core, repeated, source, table

import maskgen


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--src", type=Path, help="folder of photographs [../shared/data/faces, or astronauts]")
    parser.add_argument("--photographs", type=int, default=1024, help="copies fill up [1024]")
    parser.add_argument("--lines", type=int, default=16, help="functions to print [16]")
    arguments = parser.parse_args()
    machine()
    on_one_core()
    with tempfile.TemporaryDirectory() as folder:
        src = repeated(source(arguments.src, Path(folder)), Path(folder, "photographs"), arguments.photographs)
        settings = maskgen.BuildSettings(src=src, out=Path(folder, "out"), engine="serial")
        maskgen.build(anew(settings))  # loads the model
        anew(settings)
        with cProfile.Profile() as profile:
            summary = maskgen.build(settings)
    stats = pstats.Stats(profile)
    spent = sorted(((own, calls, place) for place, (_, calls, own, _, _) in stats.stats.items()), reverse=True)
    total = stats.total_tt
    rows = [(name(*place), calls / summary.photographs, own / total) for own, calls, place in spent[: arguments.lines]]
    rows.append(("everything else", "", sum(own for own, _, _ in spent[arguments.lines :]) / total))
    table(
        f"A build of {summary.photographs} photographs", ("function", "calls a photograph", "share of the time"), rows
    )


def name(file: str, line: int, function: str) -> str:
    if file == "~":
        return function.strip("<>{}").removeprefix("built-in method ")
    return f"{'/'.join(Path(file).parts[-2:])} {function}"


if __name__ == "__main__":
    main()
