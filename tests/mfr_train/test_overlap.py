"""Decoding while a network works: the order, what runs at once, and how errors and early ends leave."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from mfr_train.data.overlap import ahead, in_threads

PATIENCE = 20
"""Seconds that a test waits for another thread before it fails."""


def test_a_piece_is_made_while_the_one_before_is_used():
    second = threading.Event()

    def pieces():
        yield 1
        second.set()
        yield 2

    found = []
    for piece in ahead(pieces()):
        assert second.wait(PATIENCE)
        found.append(piece)
    assert found == [1, 2]


def test_further_pieces_are_fetched_while_a_function_works():
    fetched = [threading.Event() for _ in range(4)]

    def pieces():
        for number, event in enumerate(fetched):
            event.set()
            yield number

    def work(number):
        assert all(event.wait(PATIENCE) for event in fetched[: number + 2])
        return 10 * number

    assert list(in_threads(work, pieces(), 1)) == [0, 10, 20, 30]


def test_two_threads_work_at_once_and_results_keep_their_order():
    both = threading.Barrier(2)

    def work(number):
        both.wait(PATIENCE)
        return number

    assert list(in_threads(work, iter(range(6)), 2)) == [0, 1, 2, 3, 4, 5]


def failing():
    yield 1
    raise OSError("damaged")


@pytest.mark.parametrize("begun", [lambda: ahead(failing()), lambda: in_threads(abs, failing(), 2)])
def test_an_error_of_a_piece_is_raised_here(begun):
    with pytest.raises(OSError, match="damaged"):
        list(begun())


def test_an_error_of_the_function_is_raised_here():
    with pytest.raises(ZeroDivisionError):
        list(in_threads(lambda number: 1 // number, iter([1, 0, 1]), 1))


def test_no_thread_is_left_where_reading_stops_early():
    before = threading.active_count()
    streams: list[Any] = [ahead(iter(range(9))), in_threads(abs, iter(range(9)), 2)]
    for begun in streams:
        assert next(begun) == 0
        begun.close()
    assert threading.active_count() == before


def test_nothing_is_read_before_it_is_asked_for():
    read = []
    pieces = (read.append(number) or number for number in range(3))
    ahead(pieces)
    in_threads(abs, pieces, 1)
    assert read == []
