"""Processes that decode, or a thread: how they are started, and how their errors are reported by this process."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, IterableDataset

from maskgen.errors import MaskgenError

from .. import hardware
from .overlap import ahead

START_METHOD = "forkserver" if sys.platform == "linux" else "spawn"
"""How the processes start: a fork of this one would share its threads and its GPU.

On Linux a process that has only imported `PRELOADED` is started once and then forked: further ones start at once
and share its memory. Elsewhere a fork is missing (Windows) or unsafe (macOS), and each process imports PyTorch again.
"""

PRELOADED = ["mfr_train.data.batches", "mfr_train.data.one_pass"]
"""The modules that decode."""

PREFETCHED_PIECES = 2
"""Pieces that each process decodes in advance."""

MAX_DEFAULT_WORKERS = 8
"""Largest default number of processes that decode for one GPU: they keep it busy."""


def decoding_workers(given: int | None, sharing: int = 1) -> int:
    """How many processes decode: so many as are given, or by default one for each core, as far as they are of use.

    `sharing` is the number of processes that share the cores and each have their own decoding processes.
    """
    return min(hardware.cores() // sharing, MAX_DEFAULT_WORKERS) if given is None else given


class Decoder(IterableDataset[Any]):
    """What each process runs: `pieces` gives its share, by `torch.utils.data.get_worker_info`."""

    def pieces(self) -> Iterator[Any]:
        raise NotImplementedError

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self.pieces()
        except MaskgenError as error:
            yield error  # raised here, it would reach the main process with a traceback as its message


def decoded(decoder: Decoder, workers: int) -> Iterator[Any]:
    """The pieces of so many processes, taken from each in turn; with 0 workers, of a thread of this process."""
    if not workers:
        yield from ahead(decoder.pieces())
        return
    loader = DataLoader(
        decoder,
        batch_size=None,
        num_workers=workers,
        prefetch_factor=PREFETCHED_PIECES,
        worker_init_fn=_start,
        multiprocessing_context=_context(),
    )
    for piece in _started(loader):
        if isinstance(piece, MaskgenError):
            raise piece
        yield piece


def _context() -> Any:
    context = multiprocessing.get_context(START_METHOD)
    if START_METHOD == "forkserver":
        context.set_forkserver_preload(PRELOADED)
    return context


def _started(loader: DataLoader[Any]) -> Iterator[Any]:
    """Starts the processes. One that is killed is noticed when a piece is fetched, and nowhere else.

    PyTorch's handler of SIGCHLD would raise its error wherever this process is when a worker ends, also while an error
    is shown, once for each worker.
    """
    if not hasattr(signal, "SIGCHLD") or threading.current_thread() is not threading.main_thread():
        return iter(loader)
    handler = signal.getsignal(signal.SIGCHLD)
    try:
        return iter(loader)
    finally:
        signal.signal(signal.SIGCHLD, handler)


@contextmanager
def worker_errors() -> Iterator[None]:
    """Raises `MaskgenError`, one sentence, if a process that decodes was killed or memory ran out."""
    killed = MaskgenError(
        "a process that decodes was killed, perhaps for lack of memory; give fewer --workers and run again."
    )
    try:
        yield
    except (ConnectionError, EOFError):  # a pipe of a process that has ended
        raise killed from None
    except MemoryError:  # of this process, or what a worker sent, with its traceback as the message
        raise MaskgenError(
            "memory ran out while pictures were decoded or embedded; give fewer --workers and run again."
        ) from None
    except RuntimeError as error:
        if "DataLoader worker" not in str(error):
            raise
        raise killed from None


def _start(worker: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the main process handles Ctrl-C
    cv2.setNumThreads(1)
    pa.set_cpu_count(1)
    torch.set_num_threads(1)
    threading.Thread(target=_end_with_parent, name="mfr-parent", daemon=True).start()


def _end_with_parent() -> None:
    """PyTorch looks whether the process that forked this one lives, which is not the one that started it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
