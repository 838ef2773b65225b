"""inspect(): a data set -> one HTML page."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset.card import LICENCE
from ..imaging.variants import VARIANTS
from ..page.page import page
from ..page.text import clip, plural
from ..progress import step
from ..storage.uri import plain
from ..version import __version__
from . import figures, pictures, shapes, tables
from .contents import WHOLE, Contents, contents
from .duplicates import Group, duplicates
from .rebuild import command
from .sample import SAMPLE, Sample, covered, sample
from .spacing import spaced

HERE = Path(__file__).parent

GENERATOR = "maskgen"
"""What a page says that it was made by."""

EACH = 8
"""Pictures of each mask, and groups of duplicates that are shown."""

WORST = 12
"""Unusual landmarks that are shown."""

EXAMPLES = 4
"""Rejected photographs of each reason that are named."""


def inspect(dataset: str, *, src: str | None = None, with_pictures: bool = True, most: int = SAMPLE) -> str:
    """The page of a data set, finished or not; equal data sets at the same place give equal pages.

    Args:
        dataset: A folder or a URI.
        src: Its source, from which rejected photographs are shown.
        with_pictures: Whether any faces are shown.
        most: Photographs that are measured at most.

    Raises:
        UsageError: There is no data set, or nothing at `src`.
        MaskgenError: Its dataset.json or its plan is damaged. Damaged shards are named on the page.
    """
    if src is not None:
        pictures.check_source(src)
    there = contents(dataset)
    measured = sample(there, most)
    groups, uncompared = duplicates(measured)
    pose = shapes.pose(measured.landmarks)
    unusual, directions = shapes.unusual(measured.landmarks)
    identities = there.identities()
    shares = covered(measured.rows)
    worst = _worst(unusual)
    gallery = _gallery(there, measured) if with_pictures else []
    faces = _faces(measured, worst, groups) if with_pictures else {}
    examples = there.examples(tables.LARGEST, EXAMPLES)
    rejected, problem = pictures.rejected(examples, src) if src and with_pictures else ({}, "")
    colors, distinct, shared = figures.swatches(color for row in measured.rows for color in row.colors.values())
    per_identity = list(identities.values())
    return page(
        HERE / "templates",
        "inspection.html",
        generator=GENERATOR,
        title=f"Data set {there.dataset}",
        data={
            "histograms": {
                "eyes": figures.histogram(pose.eyes, "pixels between the outer eye corners", "photographs"),
                "roll": figures.histogram(pose.roll, "roll in degrees", "photographs"),
                "yaw": figures.histogram(pose.yaw, "yaw in degrees", "photographs"),
                "identities": figures.histogram(per_identity, "photographs of an identity", "identities", whole=True),
                "shapes": figures.histogram(unusual * 100, "% of the distance of the eyes", "photographs"),
            },
            "covered": {name: [round(100 * value, 1) for value in values] for name, values in shares.items()},
        },
        scripts=[HERE / "assets" / "inspection.js"],
        styles=[HERE / "assets" / "inspection.css"],
        summary=_summary(there, measured, identities, groups),
        splits=tables.splits(there, identities),
        facts=_facts(there),
        settings=[(name, _value(value)) for name, value in sorted(there.dataset.info["settings"].items())],
        versions=[(clip(name), clip(value)) for name, value in sorted(there.dataset.info["versions"].items())],
        command=command(there.dataset.info["settings"], plain(src) if src else "SRC", str(there.dataset)),
        licence=LICENCE,
        measured=_measured(there, measured),
        with_pictures=with_pictures,
        src=src,
        gallery=gallery,
        faces=faces,
        swatches=[(color, f"{count:,}") for color, count in colors],
        distinct=f"{distinct:,}",
        shared=shared,
        shares=tables.shares(shares),
        notes={
            "eyes": figures.spread(pose.eyes, " pixels"),
            "roll": figures.spread(pose.roll, "°"),
            "yaw": figures.spread(pose.yaw, "°"),
            "identities": figures.spread(per_identity, "", 0),
            "shapes": figures.spread(unusual * 100, " %"),
        },
        nose=shapes.NOSE_DEPTH,
        directions=directions,
        worst=[_landmarks_entry(measured, number, unusual, pose) for number in worst],
        worst_table=tables.worst(measured, worst, unusual, pose),
        without_shape=int(np.isnan(unusual).sum()),
        largest=tables.largest(identities),
        groups=[(number, _group_text(measured, group)) for number, group in enumerate(groups[:EACH])],
        group_table=tables.duplicates(measured, groups),
        uncompared=uncompared,
        reasons=tables.reasons(there),
        examples=[_reject_entry(row, rejected.get(row["key"], "")) for row in examples],
        reject_problem=problem,
        shards=tables.shards(there, measured),
        shown_shards=min(tables.LISTED, len(there.parts)),
        parts=len(there.parts),
        version=__version__,
    )


def _summary(
    there: Contents, measured: Sample, identities: Counter[tuple[str, str]], groups: Sequence[Group]
) -> list[str]:
    people = len({identity for _, identity in identities})
    planned = there.plan.num_rows
    rejects = sum(there.reasons.values())
    lines = [
        f"{measured.total:,} of {plural(planned, 'photograph')} of the source, "
        f"of {plural(people, 'identity', 'identities')}; masks: {_masks(there)}."
    ]
    not_whole = sum(part.state != WHOLE for part in there.parts) + len(measured.broken)
    if not there.finished:
        done = sum(part.state == WHOLE for part in there.parts)
        lines.append(f"The build is not finished: {done:,} of {plural(len(there.parts), 'shard')} are done.")
    elif not_whole:
        lines.append(f"{not_whole:,} of {plural(len(there.parts), 'shard')} cannot be used; see Shards.")
    across = sum(group.where(measured) != "within an identity" for group in groups)
    twice = f"{plural(len(groups), 'photograph')} found more than once, {across:,} across identities or splits"
    lines.append(f"{plural(rejects, 'photograph')} rejected; {twice if groups else 'none found twice'}.")
    return lines


def _masks(there: Contents) -> str:
    """Which masks its photographs wear."""
    if there.dataset.variants != ("masked",):
        return ", ".join(there.dataset.variants)
    drawn = "drawn by a file" if there.dataset.info["settings"].get("draws") else "drawn at random"
    return f"one of {', '.join(VARIANTS)} each, {drawn}"


def _measured(there: Contents, measured: Sample) -> str:
    count = len(measured.rows)
    if count == measured.total:
        return f"Measured on all {plural(count, 'photograph')}."
    shards = len({shard.name for shard, _ in measured.places})
    return (
        f"Measured on {count:,} of {measured.total:,} photographs, evenly spaced in {shards:,} of "
        f"{plural(len(there.parts), 'shard')}, the same ones each time; --sample N measures more."
    )


def _facts(there: Contents) -> list[tuple[str, str]]:
    info, made = there.dataset.info, there.dataset.info["settings"]
    size = made.get("size")
    return [
        ("pictures", f"{size} x {size} pixels, {made['fit']}" if size else "in the size of each photograph"),
        ("JPEG quality", str(made.get("quality", ""))),
        ("masks", _masks(there)),
        ("style", str(made.get("style", "flat"))),
        ("format", made["format"]),
        ("store", f"{info['store']}{' (masks are drawn when it is read)' if info['store'] == 'recipe' else ''}"),
        ("content", info["content"] if there.finished else "known when the build is finished"),
        ("fingerprint", there.dataset.fingerprint),
    ]


def _value(setting: Any) -> str:
    """A setting as people write it."""
    if isinstance(setting, list):
        return clip(", ".join(map(str, setting)))
    named = {None: "-", True: "yes", False: "no"}
    return named[setting] if setting is None or isinstance(setting, bool) else clip(setting)


def _gallery(there: Contents, measured: Sample) -> list[dict[str, Any]]:
    """For each mask, pictures of evenly spaced photographs; for all masks the same ones, so that they compare."""
    variants = there.dataset.variants
    if variants == ("masked",):
        worn: dict[str, list[int]] = {}
        for number, row in enumerate(measured.rows):
            worn.setdefault(str(row.variant), []).append(number)
        chosen = {name: [found[i] for i in spaced(len(found), EACH)] for name, found in sorted(worn.items())}
        shown_as = dict.fromkeys(chosen, "masked")
    else:
        numbers = spaced(len(measured.rows), EACH)
        chosen = dict.fromkeys(("unmasked", *variants), numbers)
        shown_as = {name: name for name in chosen}
    wanted = sorted({number for numbers in chosen.values() for number in numbers})
    found: dict[str, list[dict[str, str]]] = {name: [] for name in chosen}
    with step("drawing pictures", len(wanted)) as bar:
        for number, row in measured.read(wanted, tuple(dict.fromkeys(shown_as.values()))):
            for name, numbers in chosen.items():
                if number in numbers and (url := pictures.photograph(row, shown_as[name])):
                    color = row.colors.get(shown_as[name])
                    found[name].append(
                        {
                            "url": url,
                            "alt": clip(f"{name}: {row.source}"),
                            "caption": clip(row.identity),
                            "color": "" if color is None else "#{:02x}{:02x}{:02x}".format(*color),
                        }
                    )
            bar.update()
    return [{"name": name, "entries": entries} for name, entries in found.items() if entries]


def _faces(measured: Sample, worst: Sequence[int], groups: Sequence[Group]) -> dict[str, str]:
    """Pictures with landmarks of the unusual faces, `w0` and so on, and one of each group of duplicates, `d0`."""
    named = {f"w{place}": number for place, number in enumerate(worst)}
    named |= {f"d{place}": group.numbers[0] for place, group in enumerate(groups[:EACH])}
    numbers = sorted(set(named.values()))
    found: dict[str, str] = {}
    with step("drawing landmarks", len(numbers)) as bar:
        for number, row in measured.read(numbers, ("unmasked",)):
            for name, wanted in named.items():
                if wanted == number:
                    found[name] = pictures.photograph(row, points=name.startswith("w"))
            bar.update()
    return found


def _worst(unusual: shapes.Values) -> list[int]:
    order = np.argsort(np.nan_to_num(-unusual, nan=np.inf), kind="stable")[:WORST]
    return [int(number) for number in order if np.isfinite(unusual[number])]


def _landmarks_entry(measured: Sample, number: int, unusual: shapes.Values, pose: shapes.Pose) -> dict[str, str]:
    row = measured.rows[number]
    return {
        "alt": clip(f"landmarks on {row.source}"),
        "caption": f"{100 * unusual[number]:.1f} %, yaw {figures.plain(pose.yaw[number], 0)}°",
    }


def _group_text(measured: Sample, group: Group) -> dict[str, str]:
    row = measured.rows[group.numbers[0]]
    return {"alt": clip(row.source), "caption": f"{len(group.numbers):,} times, {group.where(measured)}"}


def _reject_entry(row: dict[str, Any], url: str) -> dict[str, str]:
    names = ("reason", "source", "identity", "detail")
    return {"url": url, **{name: clip(row[name]) for name in names}}
