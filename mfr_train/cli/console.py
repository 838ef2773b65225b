"""The output of the mfr command: progress bars (only on a terminal) and tables at the end."""

from __future__ import annotations

import os
from pathlib import Path

from maskgen.cli.table import table
from maskgen.errors import shown, shown_lines
from maskgen.storage.uri import redacted
from maskgen.terminal import HINT, noted

from ..ablation import ablation_files
from ..ablation.ablate import ablate
from ..ablation.ablate_settings import AblateSettings
from ..comparison import comparison_files
from ..comparison import side_by_side as tables_of_reports
from ..comparison.compare import compare
from ..comparison.compare_settings import CompareSettings
from ..evaluation.eval_settings import EvalSettings
from ..evaluation.evaluate import evaluate
from ..evaluation.outputs import PAGE, TABLES
from ..evaluation.report_text import report_text, short_text
from ..explaining.explain import explain
from ..explaining.explain_settings import ExplainSettings
from ..explaining.explanation import faithfulness_table, share_table, versus_table
from ..figure import FORMATS
from ..networks.run_files import BACKBONE, CHECKPOINTS, CURVE_PLOT, EMBEDDING, ONNX_BACKBONE, record_of
from ..reporting.report import report as write_page
from ..training import curve
from ..training.train import train
from ..training.train_settings import TrainSettings


def train_with_summary(settings: TrainSettings) -> str:
    """Trains with a progress bar for each stage, and returns the summary. Only the first process returns text."""
    folder = train(settings)
    return _training(folder, settings.data) if os.environ.get("RANK", "0") == "0" else ""


def _training(folder: Path, data: str) -> str:
    stages: dict[str, list[dict[str, str]]] = {}
    for row in curve.read(folder / "curve.csv"):
        stages.setdefault(row["stage"], []).append(row)
    lines = []
    for stage, found in stages.items():
        measured = [float(row["val_accuracy"]) for row in found if row["val_accuracy"]]
        best = f"{100 * max(measured):.1f} %" if measured else "-"
        lines.append(
            [stage, int(found[-1]["iteration"]), *(f"{float(row['loss']):.3g}" for row in (found[0], found[-1])), best]
        )
    plots = [f"{CURVE_PLOT}.{ending}" for ending in FORMATS]
    made = [name for name in (*plots, BACKBONE, ONNX_BACKBONE, EMBEDDING) if (folder / name).is_file()]
    head = ["stage", "iterations", "first loss", "last loss", "best validation accuracy"]
    return shown_lines(
        [
            f"{folder} holds {', '.join(made)}, and the last and best {CHECKPOINTS}",
            "",
            *table(head, lines),
            "",
            *_left_out(folder),
            f"{HINT}next, run mfr eval --run {folder} --data {redacted(data)}",
        ]
    )


def _left_out(folder: Path) -> list[str]:
    """What a run with `--on-damage skip` records of broken rows."""
    counts = record_of(folder).get("left_out")
    if not isinstance(counts, dict):
        return []
    shards = ", ".join(f"{count} of {shard}" for shard, count in counts.items())
    return [f"Broken rows of damaged shards were left out: {shards}", ""]


def eval_with_progress(settings: EvalSettings, whole: bool = False, html: bool = False) -> str:
    """Measures, and returns the short table, or with `whole` all of them, and the folder of the report.

    With `html` it also writes the page of the report.
    """
    report = evaluate(settings)
    if html:
        write_page(report, out=report.out / PAGE)
    shown_paths = (path for path in report.out.iterdir() if not path.name.startswith("."))
    written = ", ".join(sorted(f"{path.name}/" if path.is_dir() else path.name for path in shown_paths))
    what = "by mask, at fixed thresholds and more" if settings.breakdown else "at fixed thresholds and more"
    hint = f"--breakdown prints all tables: {what}. They are in {report.out / TABLES}."
    return shown_lines(
        [
            *(report_text(report) if whole else short_text(report)).split("\n"),
            "",
            f"{report.out} holds {written}",
            *([] if whole else ["", f"{HINT}{hint}"]),
        ]
    )


def side_by_side(reports: tuple[str, ...], out: str | None) -> str:
    """Puts reports side by side, and returns the tables and the files that were written."""
    found = tables_of_reports.lines(reports)
    written = [] if out is None else tables_of_reports.write(found, Path(out))
    names = ", ".join(path.name for path in written)
    return tables_of_reports.text(found) + (shown(f"\n\n{out} holds {names}") if written else "")


def compared(systems: tuple[str, ...], settings: CompareSettings) -> str:
    """Compares systems, and returns the tables, the conclusions and the folder of the results."""
    found = compare(*systems, settings=settings)
    written = ", ".join(sorted(path.name for path in found.out.iterdir() if path.is_file()))
    return shown_lines([*comparison_files.text(found), "", f"{found.out} holds {written}"])


def ablated(settings: AblateSettings) -> str:
    """Trains and measures with progress bars, and returns the tables, the conclusions and the folder of the results."""
    found = ablate(settings)
    written = ", ".join(
        sorted(f"{path.name}/" if path.is_dir() else path.name for path in found.out.iterdir() if path.name[0] != ".")
    )
    return shown_lines([*ablation_files.text(found), "", f"{found.out} holds {written}"])


def explain_with_progress(models: tuple[str, ...], settings: ExplainSettings) -> str:
    """Explains with a progress bar of maps, and returns the tables and the folder of the figures."""
    found = explain(*models, settings=settings)
    methods = ", ".join(f"{each.name} ({each.method})" for each in found.models)
    lines = [
        f"{methods} on {redacted(found.data)}: {found.subjects} subjects, {found.photographs} photographs",
        "",
        "Attention, as a share of the map, with 95 % intervals over subjects:",
        *table(*share_table(found)),
    ]
    if len(found.models) > 1:
        lines += ["", f"Minus that of {found.models[0].name}, in points:", *table(*versus_table(found))]
    if found.faithfulness:
        lines += ["", "Areas under the curves of deletion (small for a good map) and insertion (large):"]
        lines += table(*faithfulness_table(found))
    written = ", ".join(sorted(path.name for path in found.out.iterdir() if path.is_file()))
    return shown_lines(
        [*lines, *(["", *map(noted, found.notes)] if found.notes else []), "", f"{found.out} holds {written}"]
    )
