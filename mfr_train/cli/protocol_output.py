"""What `mfr protocol` prints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from maskgen.cli.table import table
from maskgen.errors import shown_lines
from maskgen.imaging import search
from maskgen.imaging.landmarks import Landmarker
from maskgen.progress import planned, step
from maskgen.terminal import HINT, noted

from ..evaluation.protocol_check import CheckedProtocol, check_protocol, failure_rows, sides_table
from ..evaluation.protocol_table import Protocol


def made(out: Path, protocol: Protocol, notes: Sequence[str]) -> str:
    """The summary of a table that was made."""
    return shown_lines(
        [
            _title(out, protocol),
            "",
            *_sides(protocol),
            "",
            *map(noted, notes),
            *([""] if notes else []),
            f"{HINT}next, run mfr protocol check {out}",
        ]
    )


def check_with_progress(path: Path, counts: str | None, finding: dict[str, Any] | None) -> tuple[str, int]:
    """Checks with a progress bar of pictures. Returns the text to print and the number of problems."""
    landmarker = None
    if finding is not None:
        search.check(finding["face"], search.names_of(finding["detector"]), finding["detector_model"])
        landmarker = Landmarker(**finding)
    with step("checking pictures", to_plan=True) as bar:
        checked = check_protocol(path, counts, landmarker, planned(bar), bar.update)
    return _findings(path, checked), len(checked.problems)


def _findings(path: Path, checked: CheckedProtocol) -> str:
    lines = [_title(path, checked.protocol), "", *_sides(checked.protocol)]
    if checked.scenarios:
        rows = [
            (each.scenario, each.references, each.probes, each.genuine, each.impostor) for each in checked.scenarios
        ]
        lines += ["", *table(["scenario", "references", "probes", "genuine pairs", "impostor pairs"], rows)]
    failures = failure_rows(checked)
    if failures:
        lines += ["", *table(["cannot be used", "pictures", "unmasked", "masked"], failures)]
    elif checked.faces:
        lines += ["", "A face was found in every picture."]
    if checked.notes:
        lines += ["", *map(noted, checked.notes)]
    if checked.problems:
        lines += ["", "Problems:", *(f"  {problem}" for problem in checked.problems)]
    return shown_lines(lines)


def _title(path: Path, protocol: Protocol) -> str:
    return f"{path}: {len(protocol.names):,} subjects, {len(protocol.labels):,} pictures"


def _sides(protocol: Protocol) -> list[str]:
    return table(["role", "mask", "pictures", "subjects"], sides_table(protocol))
