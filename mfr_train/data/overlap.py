"""Decoding while a network works: both let other threads run."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")
Result = TypeVar("Result")


def ahead(pieces: Iterator[T]) -> Iterator[T]:
    """The same pieces, each made by a thread while the one before is used."""
    with ThreadPoolExecutor(1, "mfr-decode") as thread:
        following = thread.submit(next, pieces, None)
        while (piece := following.result()) is not None:
            following = thread.submit(next, pieces, None)
            yield piece


def in_threads(function: Callable[[T], Result], pieces: Iterable[T], threads: int) -> Iterator[Result]:
    """What a function gives for each piece, in their order: computed by threads while further pieces are fetched."""
    with ThreadPoolExecutor(threads, "mfr-network") as pool:
        begun: deque[Future[Result]] = deque()
        for piece in pieces:
            begun.append(pool.submit(function, piece))
            if len(begun) > threads:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
