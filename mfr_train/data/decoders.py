"""Processes that decode: how they are started, and how what goes wrong in them is said by this one."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import Any

import cv2
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, IterableDataset

from maskgen.errors import MaskgenError

AHEAD = 2
"""Pieces that a process decodes before they are asked for."""


MOST = 8
"""Most processes that decode for one GPU where nobody says how many: it takes no more than they give."""


class Decoder(IterableDataset[Any]):
    """What each process does: `pieces` are its part, by `torch.utils.data.get_worker_info`."""

    def pieces(self) -> Iterator[Any]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.pieces()
        except MaskgenError as error:
            yield error  # raised here, it would reach the main process with a traceback for its message


def decoded(decoder: Decoder, workers: int) -> Iterator[Any]:
    """The pieces of so many processes, taken from each in turn; of this process where they are 0."""
    if not workers:
        yield from decoder.pieces()
        return
    loader = DataLoader(
        decoder,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=AHEAD,
        worker_init_fn=_start,
        multiprocessing_context="spawn",
    )
    for piece in loader:
        if isinstance(piece, MaskgenError):
            raise piece
        yield piece


@contextmanager
def worker_errors() -> Iterator[None]:
    """One sentence, `MaskgenError`, where a process that decodes or runs dlib's network was killed.

    PyTorch raises its own error wherever the main process is when it hears of that, so this goes around whatever is
    done with the pieces, and not only around fetching them.
    """
    killed = MaskgenError(
        "a process that decodes was killed, perhaps for want of memory; give fewer --workers and run again."
    )
    try:
        yield
    except (BrokenProcessPool, ConnectionError, EOFError):  # joblib's, or a pipe from a process that is no more
        raise killed from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise killed from None


def _start(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the main process's to answer
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    torch.set_num_threads(1)
