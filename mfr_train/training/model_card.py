"""The model card of a run: a README.md that says what was trained, on what, how well it did, and its limits."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from maskgen import Dataset, settings
from maskgen.dataset.card import LICENCE
from maskgen.errors import shown
from maskgen.storage import files
from maskgen.storage.uri import redacted

from ..defaults import CLASSIFY, EMBED, EUM
from ..figure import FORMATS
from ..networks import run_files
from ..version import __version__
from . import curve
from .train_settings import TrainSettings, filled

MARK = "<!-- Written by mfr train, which replaces this file. Remove this line to keep your changes. -->"

CONTENTS = {
    run_files.BACKBONE: "the network without its classifier",
    run_files.ONNX_BACKBONE: "the network, a copy of the file that was given",
    run_files.EMBEDDING: "what stage 2 trained",
    run_files.SETTINGS: "all settings, the hash of the data, and whether the run is finished",
    run_files.IDENTITIES: "the names of the people that it was trained on",
    run_files.CURVE: "loss, learning rate and validation accuracy",
    **{f"{run_files.CURVE_PLOT}.{ending}": "the same as a plot" for ending in FORMATS},
    run_files.CHECKPOINTS: "states to resume from; not needed to use the model",
}


def write(folder: Path, full: TrainSettings, dataset: Dataset) -> None:
    """Writes the card of a run. A README.md that is not ours stays."""
    path = folder / run_files.CARD
    with run_files.disk_errors(path):
        if path.is_symlink() or (path.exists() and not _is_ours(path)):
            return
        files.write(path, text(folder, full, dataset).encode("utf-8", "backslashreplace"))


def _is_ours(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(MARK)) == MARK.encode()


def text(folder: Path, full: TrainSettings, dataset: Dataset) -> str:
    """The card as Markdown."""
    name, data = shown(folder.name), shown(redacted(full.data))
    counts = [f"{dataset.count(split):,} photographs in `{split}`" for split in ("train", "val")]
    variants = ", ".join(f"`{variant}`" for variant in full.variants)
    people = len(dataset.info["identities"])
    lines = [
        MARK,
        "",
        f"# Model card of {name}",
        "",
        _what(full),
        "",
        "## Data",
        "",
        f"`{data}`, content `{dataset.content}`: {counts[0]} and {counts[1]}, each unmasked and with the masks "
        f"{variants}. Its training people are {people:,}, with those whose photographs were all rejected.",
        "",
        LICENCE,
        "",
        "## Settings",
        "",
        *_settings(full),
        "",
        f"Trained with mfr {__version__} and PyTorch {torch.__version__}.",
        "",
        "## Training",
        "",
        "| stage | steps | last loss | best validation accuracy |",
        "|---|---:|---:|---:|",
        *_curve(folder),
        "",
        "Validation is on other photographs of the training people, with masks. It says nothing about other people.",
        "",
        "## Figures",
        "",
        f"Error rates on people that the model never saw are not in this file: `mfr eval --run {name} --data {data}` "
        "measures them.",
        "",
        "## Intended use and limits",
        "",
        "For research on face recognition with masks. The masks of training are drawn; how far results hold for real "
        "ones has to be measured (`mfr eval --protocol`). The people are those of the data set: error rates may differ "
        "for groups that are rare in it. Not tested for decisions about people.",
        "",
        "## How to load it",
        "",
        "```python",
        "import mfr_train",
        "",
        f"model = mfr_train.load_model({name!r})",
        'embeddings = model.embed(["face.jpg"])  # float32 (1, d), of length 1',
        "```",
        "",
        "## Files",
        "",
        *(f"- `{file}`: {what}" for file, what in CONTENTS.items() if (folder / file).exists()),
        "",
    ]
    return "\n".join(lines)


def _what(full: TrainSettings) -> str:
    network = f"{full.backbone} on pictures of {full.input_size} x {full.input_size} pixels"
    if full.stage == CLASSIFY:
        return f"A {network}, trained to classify the people of the data set. The embedding is its pooled feature."
    head = "an embedding unmasking model (EUM) for masked faces" if full.head == EUM else "a linear embedding"
    if full.stage == EMBED:
        return f"A trained network ({full.backbone}) and {head}, trained by the loss `{full.loss}` on its features."
    return (
        f"A {network}, trained to classify the people of the data set, and {head}, trained by the loss `{full.loss}`."
    )


def _settings(full: TrainSettings) -> Iterator[str]:
    """The settings that differ from those of the recipe."""
    usual = settings.jsonable(filled(TrainSettings(recipe=full.recipe)), run_only=False)
    own = settings.jsonable(full, run_only=False)
    # Not the data, which is above, nor the stage, whose default depends on the network.
    left_out = ("data", "stage", "variants")
    changed = {
        name: value
        for name, value in own.items()
        if value != usual[name] and value is not None and name not in left_out
    }
    yield f"Those of the recipe `{full.recipe}`" + (", but for:" if changed else ".")
    if changed:
        yield ""
    for name, value in changed.items():
        yield f"- `--{name}`: {_shown(value)}"


def _shown(value: Any) -> str:
    return ", ".join(map(str, value)) if isinstance(value, list) else shown(str(value))


def _curve(folder: Path) -> Iterator[str]:
    found = curve.learning_curve(folder / run_files.CURVE)
    for stage in dict.fromkeys(found.column("stage")):
        rows = found.stage(stage)
        accuracies = [row.val_accuracy for row in rows if row.val_accuracy is not None]
        best = f"{100 * max(accuracies):.1f} %" if accuracies else "not measured"
        yield f"| {stage} | {rows[-1].iteration:,} | {rows[-1].loss:.4g} | {best} |"
