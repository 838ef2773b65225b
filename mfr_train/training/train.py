"""One call from a built data set to a run folder: stage 1, stage 2, their curve and their files.

RUN/settings.json           what ran, on which data
RUN/curve.csv, curve.png .. loss, learning rate and validation accuracy of both stages
RUN/checkpoints/            the last and the best state of each stage
RUN/backbone.safetensors    the network without its classifier; backbone.onnx for an ONNX network; none for dlib
RUN/embedding.safetensors   what stage 2 trained: W and b, or those of each layer of EUM
RUN/identities.json         the people it was trained on
RUN/README.md               the model card
"""

from __future__ import annotations

import dataclasses
import logging
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import maskgen
from maskgen import Dataset, settings
from maskgen.dataset import damage
from maskgen.errors import UsageError
from maskgen.progress import bar_of
from maskgen.storage import files

from .. import hardware
from ..data.feature_cache import RowIndex, embed_rows, row_index
from ..defaults import CLASSIFY, DLIB, ONNX, RESNETS, SKIP, TRAINED
from ..figure import chosen_formats
from ..networks import onnx_file, onnx_metadata, preprocessing, run_files
from ..networks.backbone import Backbone, Floats
from ..networks.backbones import load_backbone
from ..networks.resnet import Network, load_trunk, read_weights, resnet_backbone, weights_facts
from . import checkpoint, classify, curve, distributed, embed, model_card, own_loss, triplets
from .heads import tensors_of
from .plots import plot_curves
from .run_folder import claimed
from .train_settings import TrainSettings, compared, filled, not_none

__all__ = ["TrainSettings", "train"]

log = logging.getLogger(__name__)


def train(given: TrainSettings) -> Path:
    """Trains with these settings and returns the run folder; the same call resumes an interrupted run.

    Under `torchrun` stage 1 shares its batches among the processes. Stage 2 needs one process: the others return when
    stage 1 is done. Raises `UsageError` for settings or data that cannot be trained on, `MaskgenError` if the training
    cannot continue: every checkpoint until then is kept.
    """
    full, dataset = checked(given)
    with ExitStack() as stack:
        # The group ends before stage 2: processes that wait for hours would time out.
        with distributed.processes(full.device) as group:
            folder = Path(group.shared(str(stack.enter_context(claimed(full, dataset))) if group.first else ""))
            for line in damage.told(dataset) if group.first else ():
                log.warning(line)
            if full.stage != "embed":
                classify.train_classifier(full, dataset, folder, group)
        if group.first:
            if full.stage != "classify":
                _embed(full, dataset, folder)
            with run_files.disk_errors(folder):
                plot_curves(folder / run_files.CURVE, folder / run_files.CURVE_PLOT, chosen_formats(full.figures))
            model_card.write(folder, full, dataset)
    return folder


def checked(given: TrainSettings) -> tuple[TrainSettings, Dataset]:
    """The settings with every value filled in, and the data set that is trained on.

    Raises `UsageError` for what a training refuses before it makes a folder.
    """
    settings.check(given)
    full = _with_input_size(filled(_with_backbone(given)), given.input_size)
    full = dataclasses.replace(full, device=hardware.device(full.device))
    chosen_formats(full.figures)
    if full.tensorboard:
        curve.check_tensorboard()
    if full.stage != CLASSIFY and own_loss.is_function(full.loss):
        own_loss.source_hash(full.loss)  # refuses one that is not there before a folder is made
    dataset = maskgen.open(full.data)
    if full.on_damage == SKIP:
        dataset = damage.without_broken_rows(dataset, ("train", "val"))
    return dataclasses.replace(full, variants=_variants(full, dataset)), dataset


@dataclass(frozen=True)
class Frozen:
    """What stage 2 trains on: a frozen network, and by split the rows and the features of their pictures.

    `features` hold the unmasked picture first, then each of `variants` of the settings: float32 (rows, dim) each.
    """

    backbone: Backbone
    rows: dict[str, RowIndex]
    features: dict[str, list[Floats]]


def frozen(full: TrainSettings, dataset: Dataset, folder: Path) -> Frozen:
    """The network of stage 2, which is copied into the folder, and its features from the cache or computed."""
    backbone = _backbone(full, folder)
    rows = {split: row_index(dataset, split) for split in ("train", "val")}
    triplets.group(rows["train"].labels, full.positive)  # refuses data without triplets before hours of features
    names = ("unmasked", *full.variants)
    features = {}
    with bar_of(total=len(names) * sum(map(len, rows.values())), desc="features", unit=" pictures") as bar:
        for split in rows:
            found = embed_rows(dataset, backbone, split, names, full.cache, full.workers, bar.update)
            features[split] = [found[name] for name in names]
    return Frozen(backbone, rows, features)


def _embed(full: TrainSettings, dataset: Dataset, folder: Path) -> None:
    """Stage 2 on cached features; its files go into the run folder."""
    there = frozen(full, dataset, folder)
    backbone = there.backbone
    pictures = {split: embed.cached(there.features[split], rows.labels) for split, rows in there.rows.items()}
    del there  # and the keys and names of all photographs with it
    # If stage 1 was resumed, its network is another one and stage 2 starts again on it.
    fingerprint = checkpoint.discard_unless(folder / run_files.CHECKPOINTS, "embed", "backbone", backbone.fingerprints)
    facts = {"stage": "embed", "dataset": dataset.content, "backbone": fingerprint, "settings": compared(full)}
    if own_loss.is_function(full.loss):
        facts["loss_sha256"] = own_loss.source_hash(full.loss)
    head = embed.train_embedding(full, pictures["train"], pictures["val"], backbone.dim, folder, facts)
    about = {"backbone": backbone.name, "fingerprint": fingerprint, "dataset": dataset.content, "head": full.head}
    with run_files.disk_errors(folder / run_files.EMBEDDING):
        checkpoint.write_tensors(folder / run_files.EMBEDDING, tensors_of(head), about)


def _backbone(full: TrainSettings, folder: Path) -> Backbone:
    """The frozen network of stage 2: dlib's, the run's own, or a copy of --weights, which becomes the run's own."""
    assert full.backbone
    if full.backbone == DLIB:
        return load_backbone(DLIB, full.device)
    if full.backbone == ONNX:
        return _onnx_backbone(full, folder / run_files.ONNX_BACKBONE)
    own = folder / run_files.BACKBONE
    if not own.is_file():
        if full.weights is None:
            raise UsageError(
                f"--stage embed needs a trained {full.backbone}: give --weights a run or a file, or --stage all."
            )
        tensors, facts = read_weights(full.weights)
        if facts.get("architecture", full.backbone) != full.backbone:
            raise UsageError(
                f"{full.weights} holds {facts['architecture']} weights; give --backbone {facts['architecture']}."
            )
        network, size = Network(full.backbone), not_none(full.input_size)
        load_trunk(network, tensors, full.weights)
        about = {"architecture": full.backbone, "input_size": str(size)}
        with run_files.disk_errors(own):
            checkpoint.write_tensors(own, network.trunk.state_dict(), about)
        return resnet_backbone(network, full.backbone, size, full.device)
    return load_backbone(str(own), full.device)


def _onnx_backbone(full: TrainSettings, own: Path) -> Backbone:
    """An ONNX network, which the run copies; how pictures are given to it is written into the copy."""
    weights, given = not_none(full.weights), preprocessing.of(full)
    if own.is_file():
        return load_backbone(ONNX, full.device, own)
    backbone = load_backbone(ONNX, full.device, weights, given)
    if backbone.pairs:
        raise UsageError(f"{weights} has an embedding for masked faces already (EUM); give the network alone.")
    data = onnx_file.read(weights)
    if given.given():
        data = onnx_metadata.with_preprocessing(data, backbone.preprocessing)
    with run_files.disk_errors(own):
        files.write(own, data)
    return load_backbone(ONNX, full.device, own) if given.given() else backbone


def _with_backbone(given: TrainSettings) -> TrainSettings:
    """Without --backbone the network is the one that the file of weights holds, and not the one of the recipe."""
    source = _trained_network(given)
    if given.backbone is not None or source is None or source.suffix == ".onnx":
        return given
    architecture = weights_facts(source).get("architecture")
    return dataclasses.replace(given, backbone=architecture) if architecture in RESNETS else given


def _trained_network(given: TrainSettings) -> Path | None:
    """The file of the network to start from: for stage 2 alone the run's own if it has one, else --weights."""
    own = given.out / run_files.BACKBONE if given.out else None
    return own if own and given.stage == "embed" and own.is_file() else given.weights


def _with_input_size(full: TrainSettings, asked: int | None) -> TrainSettings:
    """Stage 2 alone shows pictures to a trained network at the size that its file records."""
    source = _trained_network(full)
    if full.stage != "embed" or full.backbone in TRAINED or source is None:
        return full
    trained = int(weights_facts(source).get("input_size", full.input_size or 0))
    if asked not in (None, trained):
        raise UsageError(f"{source} was trained at --input-size {trained}, not {asked}; leave it out.")
    return dataclasses.replace(full, input_size=trained)


def _variants(full: TrainSettings, dataset: Dataset) -> tuple[str, ...]:
    for name in full.variants:
        if name not in dataset.variants:
            raise UsageError(f"{dataset} has no pictures {name!r}; give --variants from {', '.join(dataset.variants)}.")
    if not dataset.count("train"):
        raise UsageError(f"{dataset} has no training photographs; build it with fewer --test-identities.")
    return full.variants or dataset.variants
