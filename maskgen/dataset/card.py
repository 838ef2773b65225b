"""The data set's card: a README.md that people read and from which `datasets.load_dataset(OUT)` works."""

from __future__ import annotations

from typing import Any

LICENCE = (
    "The rights in the photographs are those of their source. dlib's packaged landmark model was trained on "
    "iBUG 300-W, whose licence excludes commercial use."
)
"""What a data set, and everything made from it, says about its licence."""


def text(facts: dict[str, Any], counts: dict[str, Any], format: str) -> str:
    """The card as Markdown with a YAML head. `facts` is dataset.json, `counts` its counts by split."""
    splits = [split for split, count in counts.items() if count["rows"]]
    made = facts["settings"]
    lines = [
        "---",
        "pretty_name: Synthetic masked face data",
        "task_categories:",
        "- image-classification",
        "license: other",
        "license_name: that-of-the-source-photographs",
        "size_categories:",
        f"- {_size_category(sum(count['rows'] for count in counts.values()))}",
        "tags:",
        "- face-recognition",
        "- masked-faces",
        "- synthetic",
    ]
    if splits:  # an empty list of files is what `datasets` cannot read
        lines += ["configs:", "- config_name: default", "  data_files:"]
    # `datasets` takes all configs of a folder for one format; where there are both, it gets Parquet.
    ending = "tar" if format == "webdataset" else "parquet"
    for split in splits:
        name = {"val": "validation"}.get(split, split)
        lines += [f"  - split: {name}", f"    path: {split}/*.{ending}"]
    lines += ["---", "", "# Synthetic masked face data", ""]
    masks = ", ".join(f"`{name}`" for name in facts["variants"])
    colors = "masks and colours: from a draws file" if made.get("draws") else f"colours: {made['colors']}"
    lines += [
        f"Face photographs with synthetic masks ({masks}; {colors}{_style(made)}), drawn by NIST's method from 68 "
        "landmarks with maskgen.",
        _faces(made),
        f"One row is one photograph; pictures are {_size(made)} JPEG of quality {made['quality']}"
        + ("." if facts["store"] == "rendered" else ", and readers draw the masks from landmarks and colours."),
        "",
        "| split | rows | rejected |",
        "|---|---:|---:|",
        *(f"| {split} | {count['rows']:,} | {sum(count['rejects'].values()):,} |" for split, count in counts.items()),
        "",
        f"Training identities: {len(facts['identities']):,}. Every rejected photograph is in `rejects.parquet` with "
        "its reason; `plan.parquet` lists all of them.",
        "",
        "```python",
        "import maskgen",
        "",
        'for row in maskgen.open("."):',
        f'    row.source, row.landmarks, row.image("{facts["variants"][0]}")',
        "```",
        "",
        "## Licence",
        "",
        LICENCE,
        "",
        f"Fingerprint: `{facts['fingerprint']}`",
        "",
    ]
    return "\n".join(lines)


def _style(made: dict[str, Any]) -> str:
    return f"; style: {made['style']}" if "style" in made else ""


def _faces(made: dict[str, Any]) -> str:
    """Which faces were taken. Data sets of earlier versions do not say so: theirs were the largest ones."""
    which = "the face nearest to its centre for its size" if made.get("face") == "central" else "the largest face"
    return f"Of each photograph {which} was taken, found by: {', '.join(made.get('detector', 'hog').split(','))}."


def _size_category(rows: int) -> str:
    """The category of a data set of so many rows, as the Hub names it."""
    names = ["1K", "10K", "100K", "1M", "10M", "100M", "1B", "10B", "100B", "1T"]
    for power, name in enumerate(names, 3):
        if rows < 10**power:
            return f"{names[power - 4]}<n<{name}" if power > 3 else f"n<{name}"
    return "n>1T"


def _size(made: dict[str, Any]) -> str:
    return f"{made['size']} x {made['size']} ({made['fit']})" if made["size"] else "full-size"
