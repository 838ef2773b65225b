"""What the maskgen command shows: progress bars (quiet where there is no terminal) and tables at the end."""

from __future__ import annotations

import sys
import time
from collections import Counter
from typing import Any

from tqdm import tqdm

from ..builder import Summary, build
from ..dataset.reader import Dataset
from ..dataset.reader import open as open_dataset
from ..dataset.verify import verify
from ..errors import MaskgenError
from ..pipeline.build_settings import BuildSettings
from ..pipeline.shard import Made
from ..storage.uri import plain, redacted
from .table import table


def build_with_progress(settings: BuildSettings) -> str:
    """Builds with a progress bar of photographs, masked pictures and rejects; returns the summary.

    Where no photograph could be used it prints the summary and raises `MaskgenError`: the data set is whole, and empty.
    """
    bar: tqdm[Any] | None = None
    began, masked, rejects = 0.0, 0, 0

    def planned(photographs: int, done: int) -> None:
        nonlocal bar, began
        began = time.perf_counter()
        bar = tqdm(total=photographs, initial=done, unit=" photographs", desc="building", disable=None, smoothing=0.1)

    def progress(made: Made) -> None:
        nonlocal masked, rejects
        assert bar is not None
        masked += made.rows * len(settings.masked_names)
        rejects += made.rejects
        bar.set_postfix_str(
            f"{masked / (time.perf_counter() - began):,.0f} masked/s, {rejects:,} rejects", refresh=False
        )
        bar.update(made.photographs)

    if sys.stderr.isatty():
        print(f"listing {plain(str(settings.src))} ...", file=sys.stderr)
    try:
        summary = build(settings, planned=planned, progress=progress)
    finally:
        if bar is not None:
            bar.close()
    text = _summary_text(summary, settings)
    if not any(summary.rows.values()):
        print(text)
        reason, count = _reasons(summary).most_common(1)[0]
        raise MaskgenError(
            f"not one photograph could be used, {count:,} of {summary.photographs:,} because of {reason}; see "
            f"{summary.out}/rejects.parquet and give other photographs."
        )
    return text


def _reasons(summary: Summary) -> Counter[str]:
    """How many photographs each reason rejected."""
    return sum((Counter(found) for found in summary.rejects.values()), Counter[str]())


def _summary_text(summary: Summary, settings: BuildSettings) -> str:
    lines = [f"{summary.out} holds {sum(summary.rows.values()):,} of {summary.photographs:,} photographs", ""]
    rows = [
        [split, summary.rows[split], summary.rows[split] * summary.masked_per_row, sum(summary.rejects[split].values())]
        for split in summary.rows
    ]
    lines.append(table(["split", "photographs", "masked pictures", "rejected"], rows))
    if reasons := _reasons(summary):
        lines += ["", table(["rejected because", "photographs"], [[name, n] for name, n in reasons.most_common()])]
        lines += ["", f"  Each one is listed in {summary.out}/rejects.parquet."]
    if summary.made:
        rate = summary.made / summary.seconds
        lines += ["", f"  {summary.made:,} photographs in {summary.seconds:,.0f} s: {rate:,.0f} a second."]
    else:
        lines += ["", "  Everything was there already."]
    lines += [f"  {wants}" for split, wants in _WANTS.items() if not summary.rows.get(split)]
    out = redacted(str(settings.out))
    train = f", or mfr train --data {out}" if summary.rows.get("train") else ""
    lines += ["", f"Next: maskgen inspect {out}{train}"]
    return "\n".join(lines)


_WANTS = {
    "train": "No training photographs, which mfr train needs: lower --test-identities, raise --limit, or add people.",
    "test": "No test photographs, which mfr eval needs: raise --test-identities or --limit, or add people.",
}
"""What the summary says of a split in which nothing is."""


def inspection(path: str) -> str:
    """What a data set holds, as text: settings, counts by split, rejects by reason."""
    dataset = open_dataset(path)
    info = dataset.info
    counts = info["counts"]
    rows = [
        [split, count["rows"], _identities(dataset, split), sum(count["rejects"].values()), _shards(dataset, split)]
        for split, count in counts.items()
    ]
    lines = [
        f"{dataset}: {len(dataset):,} photographs, masks {', '.join(dataset.variants)} ({dataset.store})",
        "",
        table(["split", "photographs", "identities", "rejected", "shards"], rows),
    ]
    reasons = sum((Counter(count["rejects"]) for count in counts.values()), Counter[str]())
    if reasons:
        lines += ["", table(["rejected because", "photographs"], [[name, n] for name, n in reasons.most_common()])]
    lines += ["", table(["setting", "value"], sorted([name, str(value)] for name, value in info["settings"].items()))]
    lines += ["", table(["made with", "version"], sorted([name, value] for name, value in info["versions"].items()))]
    lines += ["", f"  fingerprint {dataset.fingerprint}"]
    return "\n".join(lines)


def _identities(dataset: Dataset, split: str) -> int:
    return len({row.identity for row in dataset.rows(split, images=())}) if dataset.count(split) else 0


def _shards(dataset: Dataset, split: str) -> int:
    return len(dataset.shards(split))


def verify_with_progress(out: str) -> str:
    """Verifies with a progress bar; returns a sentence."""
    counted = open_dataset(out).info["counts"].values()
    total = sum(count["rows"] + sum(count["rejects"].values()) for count in counted)
    with tqdm(total=total, unit=" photographs", desc="verifying", disable=None, dynamic_ncols=True) as bar:
        counts = verify(out, bar.update)
    return (
        f"{redacted(out)} is whole: {counts['rows']:,} rows + {counts['rejects']:,} rejects = "
        f"{counts['photographs']:,} photographs in {counts['shards']:,} shards of {counts['bytes'] / 1e6:,.1f} MB, "
        "every byte as its marker says."
    )
