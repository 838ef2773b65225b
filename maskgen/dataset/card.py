"""The data set's card: a README.md that people read and from which `datasets.load_dataset(OUT)` works."""

from __future__ import annotations

from typing import Any


def text(facts: dict[str, Any], counts: dict[str, Any], format: str) -> str:
    """The card as Markdown with a YAML head. `facts` is dataset.json, `counts` its counts by split."""
    splits = [split for split, count in counts.items() if count["rows"]]
    made = facts["settings"]
    lines = [
        "---",
        "pretty_name: Synthetic masked face data",
        "task_categories:",
        "- image-classification",
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
    lines += [
        f"Face photographs with synthetic masks ({masks}; colours: {made['colors']}), drawn by NIST's method from 68 "
        "landmarks with maskgen.",
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
        "The rights in the photographs are those of their source. dlib's packaged landmark model was trained on "
        "iBUG 300-W, whose licence excludes commercial use.",
        "",
        f"Fingerprint: `{facts['fingerprint']}`",
        "",
    ]
    return "\n".join(lines)


def _size(made: dict[str, Any]) -> str:
    return f"{made['size']} x {made['size']} ({made['fit']})" if made["size"] else "full-size"
