"""Progress on standard error: what is being done and how long it takes. Shown on a terminal or in a notebook only."""

from __future__ import annotations

import importlib.util
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from .errors import shown

BAR = "{desc}: {percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} [{elapsed}, {remaining} left{postfix}]"
"""A step whose end is known. It leaves room for the bar in 80 columns, also with millions of photographs."""

COUNT, NAME = "{desc}: {n_fmt} [{elapsed}]", "{desc} [{elapsed}]"
"""A step whose end is not known, and one that does not count anything."""

DELAY, TICK = 1.0, 0.5
"""Seconds after which a step is shown, and between two updates of its time. Shorter steps are not shown."""

_inside: ContextVar[bool] = ContextVar("inside", default=False)
_part: ContextVar[str] = ContextVar("part", default="")


@contextmanager
def step(
    what: str, total: int | None = None, done: int = 0, delay: float = DELAY, to_plan: bool = False
) -> Iterator[Any]:
    """Shows a step while it runs: a tqdm bar if its `total` is known, else its name and time.

    `update(n)` of the value counts; with `to_plan` the total is set by `planned` later. The line stays when the step is
    over. Steps inside of a step are not shown, so that there is one line at a time.
    """
    format_ = BAR if total is not None else COUNT if to_plan else NAME
    options = {"total": total, "initial": done, "desc": what, "bar_format": format_, "delay": delay}
    bar = bar_of(**options, **({"disable": True} if _inside.get() else {}))
    inside = _inside.set(True)
    over = threading.Event()
    ticks = not bar.disable and not _in_notebook()
    if ticks:
        threading.Thread(target=_keep_time, args=(bar, over), daemon=True).start()
    try:
        yield bar
    finally:
        over.set()
        _inside.reset(inside)
        bar.close()


def planned(bar: Any) -> Callable[[int], None]:
    """What sets the total of a bar that was opened with `to_plan`."""

    def plan(total: int) -> None:
        bar.total, bar.bar_format = total, BAR

    return plan


@contextmanager
def part(name: str) -> Iterator[None]:
    """Puts a name before that of the steps inside, such as `U-M: resampling people`."""
    token = _part.set(f"{_part.get()}{name}: ")
    try:
        yield
    finally:
        _part.reset(token)


@contextmanager
def quiet() -> Iterator[None]:
    """Shows no step inside: the caller shows progress in another way."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def bar_of(**options: Any) -> Any:
    """A tqdm bar: a widget in a notebook that has ipywidgets, text in a terminal, nothing elsewhere."""
    if _in_notebook():
        from tqdm.notebook import tqdm as bar_type

        options = options | {"delay": 0}
    else:
        from tqdm import tqdm as bar_type
    by_default = {"disable": None, "dynamic_ncols": True, "smoothing": 0.1, "bar_format": BAR, "unit": ""}
    named = {"desc": shown(f"{_part.get()}{options.get('desc', '')}")}
    return bar_type(**by_default | options | named)


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules and importlib.util.find_spec("ipywidgets") is not None


def _keep_time(bar: Any, over: threading.Event) -> None:
    """Shows the time of a step as it passes, also while the step counts nothing."""
    if over.wait(bar.delay):
        return
    bar.delay = 0  # tqdm ends the line of a bar only if it knows that it was shown
    while not over.is_set():
        bar.refresh()
        over.wait(TICK)
