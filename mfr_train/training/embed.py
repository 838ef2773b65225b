"""Stage 2: a head on frozen features, by default e = (W l + b) / ||W l + b||, trained with triplets.

The backbone is frozen and its pictures are fixed, so its features are computed once (data/feature_cache.py) and every
step gathers from them: the same numbers as running the network in each step, in a small part of the time.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from maskgen.progress import bar_of

from ..defaults import EUM
from ..networks.backbone import Floats
from ..networks.run_files import CHECKPOINTS, CURVE
from . import checkpoint, own_loss, triplets
from .curve import Curve
from .heads import embedded, new_head
from .losses import distance, embedding_loss
from .train_settings import TrainSettings, not_none
from .triplets import Ints

VALIDATION_TRIPLETS = 4000


@dataclass(frozen=True)
class Pictures:
    """The source of triplets: the labels of the rows, int32 (N,), the number of masked variants, and `gather`.

    `gather(rows, pictures)` gives features, float32 (M, D), of M pictures: row and picture number (0 unmasked).
    """

    labels: npt.NDArray[np.int32]
    variants: int
    gather: Callable[[Ints, Ints], Floats]


def cached(features: Sequence[Floats], labels: npt.NDArray[np.int32]) -> Pictures:
    """Pictures whose features are in arrays (N, D), mapped from disk or not: the unmasked one, then each variant."""

    def gather(rows: Ints, pictures: Ints) -> Floats:
        found = np.empty((len(rows), features[0].shape[1]), np.float32)
        for number, array in enumerate(features):
            chosen = np.flatnonzero(pictures == number)
            found[chosen] = array[rows[chosen]]
        return found

    return Pictures(labels, len(features) - 1, gather)


def train_embedding(
    settings: TrainSettings, train: Pictures, val: Pictures | None, features: int, folder: Path, facts: dict[str, Any]
) -> nn.Module:
    """Trains a head on features of length `features`; returns it as it was when validation loss was lowest.

    `folder` is the run: its curve is written, and its checkpoints `embed-last` and `embed-best`; if it has them,
    training resumes from the last one. `facts` (data set, backbone, settings) are stored in them and must equal those
    found there. Without a validation set the last state is returned. Raises `MaskgenError` if the loss is not finite,
    `UsageError` if no triplet can be drawn.
    """
    iterations, lr = not_none(settings.embed_iterations), not_none(settings.embed_lr)
    log_every, validate_every, number = (
        not_none(settings.log_every),
        not_none(settings.validate_every),
        not_none(settings.triplets),
    )
    saved, device = folder / CHECKPOINTS, torch.device(settings.device)
    groups = triplets.group(train.labels, settings.positive)
    check = _validation(settings, val, device)
    head = new_head(settings.head, features, settings.dim, settings.seed).to(device)
    optimizer = torch.optim.SGD(
        head.parameters(),
        lr,
        settings.momentum,
        weight_decay=settings.embed_weight_decay,
        nesterov=settings.embed_nesterov,
    )
    start, best, total, steps = 0, math.inf, 0.0, 0
    resumed = checkpoint.load(saved, "embed-last", facts)
    if resumed:
        checkpoint.unpack(resumed[0], head, optimizer)
        start, best = resumed[1]["iteration"], resumed[1]["best"]
        checkpoint.refuse_shorter(folder, "--embed-iterations", start, iterations)
    curve = Curve(folder / CURVE, "embed", start, settings.tensorboard)

    bar = bar_of(total=iterations, initial=start, desc="stage 2", unit="step")
    for iteration in range(start + 1, iterations + 1):
        drawn = triplets.draw(
            groups,
            number,
            train.variants,
            settings.masked_share,
            settings.positive,
            settings.negative,
            np.random.default_rng([settings.seed, iteration]),
        )
        if settings.embed_lr_drop:
            optimizer.param_groups[0]["lr"] = lr * 0.1 ** ((iteration - 1) // settings.embed_lr_drop)
        loss = step_loss(head, train, drawn, settings, device)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        bar.update()

        total, steps = total + loss.item(), steps + 1
        if not math.isfinite(total):
            raise checkpoint.not_finite(
                saved, f"the loss of stage 2 is {loss.item()} at step {iteration}", "--embed-lr"
            )
        validates = iteration == iterations or iteration % validate_every == 0
        val_loss, accuracy = check(head) if validates else (None, None)
        if validates or iteration % log_every == 0:
            curve.add(iteration, total / steps, optimizer.param_groups[0]["lr"], accuracy)
            bar.set_postfix(loss=f"{total / steps:.4f}", refresh=False)
            total, steps = 0.0, 0
        if validates:
            better = val_loss is None or val_loss < best
            best = val_loss if val_loss is not None and better else best
            state = {**facts, "iteration": iteration, "best": best}
            for name in ("embed-best", "embed-last") if better else ("embed-last",):
                checkpoint.save(saved, name, checkpoint.pack(head, optimizer), state)
    bar.close()
    curve.close()
    found = checkpoint.load(saved, "embed-best", facts)
    assert found
    checkpoint.unpack(found[0], head, optimizer)
    return head.cpu().eval()


def step_loss(
    head: nn.Module, source: Pictures, drawn: triplets.Triplets, settings: TrainSettings, device: torch.device
) -> Tensor:
    gathered = torch.from_numpy(source.gather(drawn.rows.ravel(), drawn.pictures.ravel())).to(device)
    return _loss(settings, *embedded(head, *gathered.chunk(3)))


def _loss(settings: TrainSettings, anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    margin, kind, weight = not_none(settings.margin), settings.distance, settings.mse_weight
    if own_loss.is_function(settings.loss):
        return own_loss.called(settings.loss, anchor, positive, negative, margin)
    return embedding_loss(anchor, positive, negative, margin, kind, weight, settings.loss)


def _validation(
    settings: TrainSettings, val: Pictures | None, device: torch.device
) -> Callable[[nn.Module], tuple[float | None, float | None]]:
    """Loss and accuracy on the same triplets of the validation photographs each time.

    Accuracy is the share of triplets whose anchor is nearer to the positive than to the negative, which is masked but
    for EUM. Both are None if validation holds fewer than two identities.
    """
    if val is None or len(np.unique(val.labels)) < 2:
        return lambda head: (None, None)
    groups = triplets.group(val.labels)
    rng = np.random.default_rng([settings.seed, 0])
    negative = "unmasked" if settings.head == EUM else "masked"
    drawn = triplets.draw(groups, VALIDATION_TRIPLETS, val.variants, 1.0, "any", negative, rng)
    # Few photographs are in many triplets: each picture is embedded once, as anchor, positive or negative.
    once = [np.unique(pair, axis=1, return_inverse=True) for pair in zip(drawn.rows, drawn.pictures, strict=True)]
    features = [torch.from_numpy(val.gather(*pictures)).to(device) for pictures, _ in once]
    places = [torch.from_numpy(place.ravel()).to(device) for _, place in once]
    if settings.head == EUM:  # whose anchors are the masked pictures
        places[:2] = places[1::-1]

    @torch.inference_mode()
    def check(head: nn.Module) -> tuple[float | None, float | None]:
        head.eval()
        found = zip(embedded(head, *features), places, strict=True)
        anchor, positive, negative = (embeddings[place] for embeddings, place in found)
        head.train()
        loss = _loss(settings, anchor, positive, negative)
        nearer = distance(anchor, positive, "cosine") < distance(anchor, negative, "cosine")
        return float(loss), float(nearer.float().mean())

    return check
