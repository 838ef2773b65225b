"""The output of the maskgen command: progress bars (only on a terminal) and tables at the end."""

from __future__ import annotations

from collections import Counter
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from ..builder import Summary, build
from ..dataset.reader import Dataset
from ..dataset.reader import open as open_dataset
from ..dataset.verify import verify
from ..errors import MaskgenError, shown, shown_lines
from ..exporting.export import To, export
from ..imaging.search import HOG
from ..pipeline.build_settings import BuildSettings
from ..pipeline.shard import Made
from ..progress import step
from ..storage.uri import plain, redacted
from ..terminal import HINT
from .options import say
from .table import table


def build_with_progress(settings: BuildSettings) -> str:
    """Builds with a progress bar of photographs and rejects, and returns the summary.

    If no photograph could be used, prints the summary and raises `MaskgenError`: the data set is complete but empty.
    """
    rejects = 0
    with ExitStack() as shown_step:
        bar = shown_step.enter_context(step(f"listing {plain(str(settings.src))}", delay=0))

        def planned(photographs: int, done: int) -> None:
            nonlocal bar
            shown_step.close()
            bar = shown_step.enter_context(step("building", photographs, done, delay=0))

        def progress(made: Made) -> None:
            nonlocal rejects
            rejects += made.rejects
            bar.set_postfix_str(f"{rejects:,} rejects", refresh=False)
            bar.update(made.photographs)

        summary = build(settings, planned=planned, progress=progress)
    text = _summary_text(summary, settings)
    if not any(summary.rows.values()):
        say(text)
        reason, count = _reasons(summary).most_common(1)[0]
        raise MaskgenError(
            f"no photograph could be used, {count:,} of {summary.photographs:,} because of {reason}; see "
            f"{summary.out}/rejects.parquet and give other photographs."
        )
    return text


def _reasons(summary: Summary) -> Counter[str]:
    """The number of rejected photographs by reason."""
    return sum((Counter(found) for found in summary.rejects.values()), Counter[str]())


def _summary_text(summary: Summary, settings: BuildSettings) -> str:
    lines = [f"{summary.out} holds {sum(summary.rows.values()):,} of {summary.photographs:,} photographs", ""]
    rows = [
        [split, summary.rows[split], summary.rows[split] * summary.masked_per_row, sum(summary.rejects[split].values())]
        for split in summary.rows
    ]
    lines += table(["split", "photographs", "masked pictures", "rejected"], rows)
    if reasons := _reasons(summary):
        lines += ["", *table(["rejected because", "photographs"], [[name, n] for name, n in reasons.most_common()])]
        lines += ["", f"  They are listed in {summary.out}/rejects.parquet."]
    if summary.made:
        rate = summary.made / summary.seconds
        lines += [
            "",
            f"  {summary.made:,} photographs in {summary.seconds:,.0f} s: {rate:,.{1 if rate < 10 else 0}f} a second.",
        ]
    else:
        lines += ["", "  The data set was already complete."]
    hints = _advice(reasons, summary.photographs, settings)
    if any(summary.rows.values()):  # else an error follows
        hints += [advice for split, advice in _EMPTY_SPLIT.items() if not summary.rows.get(split)]
        out = redacted(str(settings.out))
        train = f", or mfr train --data {out}" if summary.rows.get("train") else ""
        hints.append(f"next, run maskgen inspect {out}{train}")
    return shown_lines([*lines, *(f"{HINT}{each}" for each in hints)])


def _advice(reasons: Counter[str], photographs: int, settings: BuildSettings) -> list[str]:
    """What to try if one photograph in twenty, or more, has no face, or none at its centre."""
    if 20 * reasons["no_central_face"] >= photographs:
        return ["if the photographs are not centred on their subjects, --face largest takes the largest face."]
    if 20 * reasons["no_face"] >= photographs and settings.detectors == (HOG,):
        return [
            "--detector hog,yunet also finds turned and covered faces; it needs --detector-model with YuNet's file."
        ]
    return []


_EMPTY_SPLIT = {
    "train": "there are no training photographs, which mfr train needs; lower --test-identities, raise --limit, or add "
    "identities.",
    "test": "there are no test photographs, which mfr eval needs; raise --test-identities or --limit, or add "
    "identities.",
}
"""The advice of the summary on an empty split."""


def inspection(path: str) -> str:
    """What a data set contains, as text: settings, counts and bytes by split, rejects by reason."""
    dataset = open_dataset(path)
    info = dataset.info
    counts = info["counts"]
    with step("counting identities and bytes"):
        rows = _splits(dataset, counts)
    lines = [
        f"{dataset}: {len(dataset):,} photographs ({dataset.store})",
        f"  masks {', '.join(dataset.variants)}",
        "",
        *table(["split", "photographs", "identities", "rejected", "shards", "bytes"], rows),
    ]
    reasons = sum((Counter(count["rejects"]) for count in counts.values()), Counter[str]())
    if reasons:
        lines += ["", *table(["rejected because", "photographs"], [[name, n] for name, n in reasons.most_common()])]
    lines += ["", *table(["setting", "value"], sorted([name, _value(v)] for name, v in info["settings"].items()))]
    lines += ["", *table(["made with", "version"], sorted([name, value] for name, value in info["versions"].items()))]
    lines += ["", f"  fingerprint {dataset.fingerprint}"]
    return shown_lines(lines)


def _splits(dataset: Dataset, counts: dict[str, Any]) -> list[list[object]]:
    return [
        [
            split,
            count["rows"],
            _identities(dataset, split),
            sum(count["rejects"].values()),
            len(dataset.shards(split)),
            _bytes(dataset, split),
        ]
        for split, count in counts.items()
    ]


def _value(setting: Any) -> str:
    """A setting as people write it."""
    if isinstance(setting, list):
        return ", ".join(map(_value, setting))
    if setting is None:
        return "-"
    if isinstance(setting, bool):
        return "yes" if setting else "no"
    return str(setting)


def _identities(dataset: Dataset, split: str) -> int:
    return len({row.identity for row in dataset.rows(split, images=())}) if dataset.count(split) else 0


def _bytes(dataset: Dataset, split: str) -> int:
    """The bytes of the shards of a split, without their markers."""
    sizes = dataset.storage.entries(split).items()
    return sum(size or 0 for name, size in sizes if name.endswith((".parquet", ".tar")))


def export_with_progress(
    dataset: str, folder: Path, to: To, variants: str, split: str | None, limit: int | None
) -> str:
    """Exports with a progress bar of photographs, and returns a sentence."""
    opened = open_dataset(dataset)
    total = opened.count(split) if split else len(opened)
    with step("exporting photographs", min(total, limit or total)) as bar:
        exported = export(opened, folder, to, variants=variants, split=split, limit=limit, progress=bar.update)
    return shown(
        f"{exported.folder} holds {exported.files:,} {'masks' if to == 'masks' else 'pictures'} of "
        f"{exported.photographs:,} photographs; {exported.written:,} files were written now. pairs.csv lists them."
    )


def verify_with_progress(out: str) -> str:
    """Verifies with a progress bar, and returns a sentence."""
    counted = open_dataset(out).info["counts"].values()
    total = sum(count["rows"] + sum(count["rejects"].values()) for count in counted)
    with step("checking photographs", total) as bar:
        counts = verify(out, bar.update)
    return shown(
        f"{redacted(out)} is intact: {counts['rows']:,} rows + {counts['rejects']:,} rejects = "
        f"{counts['photographs']:,} photographs in {counts['shards']:,} shards of {counts['bytes'] / 1e6:,.1f} MB, "
        "all hashes match."
    )
