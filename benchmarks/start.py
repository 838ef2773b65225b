"""CPU time of every `--help` as a multiple of importing click alone. Prints ratios; the limit is 3."""

from __future__ import annotations

import os
import subprocess
import sys

from _common import machine, table

RUNS = 10
COMMANDS = ("maskgen", "maskgen build", "maskgen preview", "mfr_train", "mfr_train train", "mfr_train eval")


def main() -> None:
    machine()
    commands = {"import click": ["-c", "import click"]}
    commands |= {f"{name} --help".replace("mfr_train", "mfr"): ["-m", *name.split(), "--help"] for name in COMMANDS}
    times = dict.fromkeys(commands, float("inf"))
    for _ in range(RUNS):  # in turns, so that what else the machine does meets them alike
        for name, arguments in commands.items():
            times[name] = min(times[name], cpu_seconds(arguments))
    rows = [(name, seconds / times["import click"]) for name, seconds in times.items()]
    table(f"CPU time of the start, least of {RUNS}", ("command", "times `import click`"), rows)


def cpu_seconds(arguments: list[str]) -> float:
    """User and system time of a new Python process."""
    process = subprocess.Popen([sys.executable, *arguments], stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{arguments} ended with {process.returncode}")
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    main()
