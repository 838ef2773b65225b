"""How each report was made: the command, its settings, versions and hashes."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from maskgen import settings as declared
from maskgen.errors import shown
from maskgen.storage import files

from ..evaluation.eval_settings import EvalSettings
from ..evaluation.report import REPORT, Report
from ..networks import run_files
from .given import Evaluation


@dataclass(frozen=True)
class Made:
    """One report."""

    title: str
    command: str
    facts: list[tuple[str, str]]
    settings: list[tuple[str, str]]
    training: list[tuple[str, str]]


def made(evaluations: Sequence[Evaluation]) -> list[Made]:
    """How each report was made."""
    return [
        Made(
            each.name,
            command(each.report.settings),
            _facts(each.report),
            [(name, _value(value)) for name, value in declared.jsonable(each.report.settings).items()],
            _training(each.report),
        )
        for each in evaluations
    ]


def command(settings: EvalSettings) -> str:
    """The command with every setting that is not the default. Credentials of URIs are hidden."""
    words = ["mfr", "eval"]
    values = declared.jsonable(settings)
    for field in dataclasses.fields(settings):
        name = declared.option_name(field)
        value = values[name]
        if getattr(settings, field.name) == field.default or value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no-{name}")
        else:
            words += [f"--{name}", shlex.quote(shown(_value(value)))]
    return " ".join(words)


def _facts(report: Report) -> list[tuple[str, str]]:
    file = report.out / REPORT
    return [
        ("folder", shown(report.out)),
        ("made on", report.date or "not recorded"),
        *((name, shown(version)) for name, version in report.versions.items()),
        ("model", shown(report.model)),
        ("fingerprint of the model", report.fingerprint),
        *([("SHA-256 of report.json", files.sha256(file))] if file.is_file() else []),
        *((f"pictures: {name}", _value(value)) for name, value in report.preprocessing.items()),
    ]


def _training(report: Report) -> list[tuple[str, str]]:
    """The settings of the run, if it is still there."""
    record = run_files.record_of(report.settings.run) if report.settings.run else {}
    there = record.get("settings")
    if not isinstance(there, dict):
        return []
    head = [(name, _value(record[name])) for name in ("dataset", "weights_sha256", "torch") if record.get(name)]
    return [*((shown(name), value) for name, value in head), *((shown(name), _value(there[name])) for name in there)]


def _value(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "none"
    return shown(value)
