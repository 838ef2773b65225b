"""The pictures of a protocol table, decoded and searched for their faces, in this process or in several others."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import numpy as np
from torch.utils.data import get_worker_info

import maskgen
from maskgen.errors import Rejected, UsageError
from maskgen.imaging.decode import decode

from ..data.decoders import Decoder, decoded, decoding_workers, worker_errors
from ..networks.backbone import CHUNK, Backbone, Floats, Image

PICTURES_PER_WORKER = 512
"""Pictures for each process that is started: starting takes seconds, in which this one decodes as many."""

PIECE = 4
"""Pictures that a process hands over at a time. They have their own size, so that more would take much memory."""

Progress = Callable[[int], object]
"""Called with the number of pictures that have just been done."""


class Picture(NamedTuple):
    """A picture with its landmarks, float32 (68, 2), zeros without a search; or why it is not usable, else ''."""

    image: Image
    landmarks: Floats
    reason: str


NOTHING = np.zeros((0, 0, 3), np.uint8), np.zeros((68, 2), np.float32)


class Pictures(Decoder):
    """The pictures of files in their order, `PIECE` at a time; of several processes each reads every n-th piece."""

    def __init__(self, paths: Sequence[Path], landmarker: maskgen.Landmarker | None) -> None:
        self.paths, self.landmarker = paths, landmarker

    def pieces(self) -> Iterator[list[Picture]]:
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        for start in range(first * PIECE, len(self.paths), step * PIECE):
            yield [_picture(path, self.landmarker) for path in self.paths[start : start + PIECE]]


def _picture(path: Path, landmarker: maskgen.Landmarker | None) -> Picture:
    try:
        image = decode(path.read_bytes())
    except Rejected as rejected:
        return Picture(*NOTHING, rejected.reason)
    except OSError as error:
        raise UsageError(f"cannot read {path} of the protocol table: {error.strerror}; check it.") from None
    if landmarker is None:
        return Picture(image, NOTHING[1], "")
    [face] = landmarker.find_all([image], [None])
    if isinstance(face, Rejected):
        return Picture(*NOTHING, face.reason)
    return Picture(image, face.landmarks, "")


def features(
    paths: Sequence[Path],
    backbone: Backbone,
    landmarker: maskgen.Landmarker | None,
    workers: int | None,
    progress: Progress,
) -> tuple[Floats, list[str]]:
    """Features float32 (N, D) of picture files, and why each is not usable (N,), '' if it is.

    Up to `workers` processes decode, by default one for each core, if there are enough pictures for them. The network
    runs here, always on the usable ones of `CHUNK` pictures, so that the features are the same for any number.
    `landmarker` is None if the network needs no landmarks. Raises `UsageError` for a file that cannot be read.
    """
    found = np.zeros((len(paths), backbone.dim), np.float32)
    reasons: list[str] = []
    with worker_errors():
        pieces = decoded(Pictures(paths, landmarker), min(decoding_workers(workers), len(paths) // PICTURES_PER_WORKER))
        # From another process arrays come as tensors.
        pictures = (Picture(np.asarray(a), np.asarray(b), why) for piece in pieces for a, b, why in piece)
        while group := list(islice(pictures, CHUNK)):
            usable = [number for number, each in enumerate(group) if not each.reason]
            if usable:
                rows = np.array(usable) + len(reasons)
                landmarks = np.stack([group[number].landmarks for number in usable])
                found[rows] = backbone.features([group[number].image for number in usable], landmarks)
            reasons += [each.reason for each in group]
            progress(len(group))
    return found, reasons
