"""Shards over which a worker died: made apart from all others, and the photographs found that kill processes."""

from __future__ import annotations

import logging
from collections.abc import Iterator

from ..errors import MaskgenError
from ..pipeline.shard import CRASHED, Made, ShardTask, make_shard, planned_rows, too_slow, try_photographs
from .processes import Died, OutOfTime, apart

log = logging.getLogger(__name__)

DEATHS = 2
"""New processes that a photograph must kill, each alone in it, before it is rejected: one may be killed by chance."""


def make_apart(task: ShardTask) -> Made:
    """Makes and commits a shard in a new process. Photographs that kill processes are rejected as `crashed_worker`,
    those for which a process is ended by the time limit as `too_slow`.

    The others become rows as ever, so the shard's bytes are those of any machine on which the same photographs kill.
    Raises `MaskgenError` if processes die though no photograph of the shard kills one alone.
    """
    problems: dict[str, str] = {}
    unexplained = 0
    while unexplained < DEATHS:
        try:
            [made] = apart(_made, task, problems)
            return made
        except Died as died:
            why = "ran out of time" if isinstance(died, OutOfTime) else "died"
            log.warning("a process that made shard %s alone %s; its photographs are tried one by one.", task.name, why)
        found = _problems(task, problems)
        problems |= found
        unexplained += not found
    raise MaskgenError(
        f"{DEATHS} processes died making shard {task.name} (killed, or out of memory), and no photograph alone "
        "does it; free some memory and run the same command again: it resumes from here."
    )


def check_a_process_lives(task: ShardTask) -> None:
    """Raises `MaskgenError` if a new process dies before it has any photograph, so that no photograph is the cause."""
    try:
        for _ in apart(try_photographs, task, frozenset()):
            pass
    except Died:
        raise MaskgenError(
            "a worker process died (killed, or out of memory) before its first photograph; "
            "free some memory or start fewer --workers, and run the same command again: it resumes from here."
        ) from None


def _made(task: ShardTask, problems: dict[str, str]) -> Iterator[Made]:
    yield make_shard(task, problems)


def _problems(task: ShardTask, known: dict[str, str]) -> dict[str, str]:
    """The problems, by key, of a shard's photographs, without those known, that end processes.

    One process makes them in turn. If it dies, the one it was making is suspect, and another process resumes with
    the next. One that ran out of time is rejected; one that died otherwise, if it kills `DEATHS`
    processes of its own.
    """
    left = [key for row in planned_rows(task) if (key := row["key"]) not in known]
    found = {}
    while left:
        suspect, slow = _dies_at(task, left)
        if suspect is None:
            break
        if slow:  # its time does not depend on what else the machine does
            found[suspect] = too_slow(task.build)
        elif all(_dies_at(task, [suspect])[0] for _ in range(DEATHS)):
            found[suspect] = CRASHED
        left = left[left.index(suspect) + 1 :]
    return found


def _dies_at(task: ShardTask, wanted: list[str]) -> tuple[str | None, bool]:
    """The key of the photograph over which a new process ends, and whether the time limit ended it.

    The key is None if the process makes all that are wanted.
    """
    last = None
    try:
        for key in apart(try_photographs, task, frozenset(wanted)):
            last = key
    except Died as died:
        if last is None:
            check_a_process_lives(task)
        return last, isinstance(died, OutOfTime)
    return None, False
