"""The kinds of containers, in one table: how each is listed, and how its photographs are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import NamedTuple

from . import parquet, recordio, tars
from .photograph import Photograph
from .place import Container, Place


class Kind(NamedTuple):
    """`photographs(place, name, identity_field, image_column)` lists a container. `reader(container, image_column)`
    gives the function of (offset, size) that reads a photograph of it."""

    photographs: Callable[[Place, str, str | None, str | None], Iterator[Photograph]]
    reader: Callable[[Container, str | None], Callable[[int, int], bytes]]


CONTAINERS = {
    "tar": Kind(lambda place, name, field, _: tars.photographs(place, name, field), lambda c, _: partial(tars.read, c)),
    "parquet": Kind(parquet.photographs, lambda container, column: parquet.Rows(container, column).read),
    "recordio": Kind(lambda place, name, *_: recordio.photographs(place, name), lambda c, _: partial(recordio.read, c)),
}
"""By the names of `kinds.ENDINGS`."""
