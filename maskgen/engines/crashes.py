"""Shards over which a worker died: made apart from all others, and the photographs found that kill processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ..errors import MaskgenError
from ..pipeline.shard import Made, ShardTask, make_shard, planned_rows, try_photographs
from .processes import Died, apart

log = logging.getLogger(__name__)

TIMES = 2
"""New processes that a photograph must kill, each alone in it, before it is rejected: one may be killed by chance."""


def make_apart(task: ShardTask) -> Made:
    """Makes and commits a shard in a new process; photographs that kill processes are rejected as `crashed_worker`.

    The others become rows as ever, so the shard's bytes are those of any machine on which the same photographs kill.
    Raises `MaskgenError` where processes die though no photograph of the shard kills one alone.
    """
    crashing: frozenset[str] = frozenset()
    unexplained = 0
    while unexplained < TIMES:
        try:
            [made] = apart(_made, task, crashing)
            return made
        except Died:
            log.warning("a process that made shard %s alone died; its photographs are tried one by one.", task.name)
        found = _crashing(task, crashing)
        crashing |= found
        unexplained += not found
    raise MaskgenError(
        f"{TIMES} processes died making shard {task.name} (killed, or out of memory), and no photograph alone does it; "
        "free some memory and run the same command again: it resumes from here."
    )


def check_a_process_lives(task: ShardTask) -> None:
    """Raises `MaskgenError` where a new process dies before it has any photograph: none is to blame then."""
    try:
        for _ in apart(try_photographs, task, frozenset()):
            pass
    except Died:
        raise MaskgenError(
            "a worker process died (killed, or out of memory) before its first photograph; "
            "free some memory or start fewer --workers, and run the same command again: it resumes from here."
        ) from None


def _made(task: ShardTask, crashing: frozenset[str]) -> Iterator[Made]:
    yield make_shard(task, crashing)


def _crashing(task: ShardTask, known: frozenset[str]) -> frozenset[str]:
    """Keys of a shard's photographs, without those known, each of which killed `TIMES` processes of its own.

    One process makes them in turn. Where it dies, the one it had in hand is suspect, and another process goes on
    with the next.
    """
    left = [key for row in planned_rows(task) if (key := row["key"]) not in known]
    found = set()
    while left:
        suspect = _dies_at(task, left)
        if suspect is None:
            break
        if all(_dies_at(task, [suspect]) for _ in range(TIMES)):
            found.add(suspect)
        left = left[left.index(suspect) + 1 :]
    return frozenset(found)


def _dies_at(task: ShardTask, wanted: list[str]) -> str | None:
    """The key of the photograph over which a new process dies, or None where it makes all that are wanted."""
    last = None
    try:
        for key in apart(try_photographs, task, frozenset(wanted)):
            last = key
    except Died:
        if last is None:
            check_a_process_lives(task)
        return last
    return None
