"""Keeps two builds apart in an object store, which has no locks: a lease is an object that its holder renews.

What it guarantees: a build refuses to start while another one renews its lease; a lease that nobody renews is taken
over after `STALE` seconds, or at once where its process is known to be dead. Of two builds that start together one
goes on, as long as a write takes less than `SETTLE` seconds; one that finds its lease taken by another stops. No clock
is compared with another machine's, and no date is looked at: a lease is stale when its bytes stay the same for
`STALE` seconds of the watcher's own steady clock. Where all this fails (a store that answers late, a machine that
slept), two builds of the same settings still write the same bytes.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..errors import MaskgenError
from . import files

if TYPE_CHECKING:
    from .base import Storage

RENEW = 10.0
"""Seconds between two renewals."""

STALE = 60.0
"""Seconds without a renewal after which a lease counts for nothing."""

SETTLE = 1.0
"""Seconds between writing a lease and looking whose it is: longer than a write of another build may take."""


@contextlib.contextmanager
def hold(storage: Storage, name: str) -> Iterator[Callable[[], None]]:
    """Holds a lease while its context lasts; what it gives raises `MaskgenError` if another build took it.

    Raises `MaskgenError` if another build is at work.
    """
    _wait_for(storage, name)
    own = {"token": secrets.token_hex(8), "host": socket.gethostname(), "pid": os.getpid(), "machine": _machine()}
    lost, ended = threading.Event(), threading.Event()

    def renew() -> None:
        number = 0
        while not ended.wait(RENEW):
            number += 1
            with contextlib.suppress(MaskgenError):  # a store that is away for a while: the build itself will tell
                if _token(storage, name) not in (own["token"], None):
                    lost.set()
                    return
                _write(storage, name, own, number)

    def check() -> None:
        if lost.is_set():
            raise MaskgenError(f"another build has taken over {storage}; let it finish, or run the same command again.")

    thread = threading.Thread(target=renew, name="maskgen-lease", daemon=True)
    try:
        _take(storage, name, own)
        thread.start()
        yield check
    finally:
        ended.set()
        if thread.ident:
            thread.join()
        with contextlib.suppress(MaskgenError):  # one that cannot be given back grows stale
            if _token(storage, name) == own["token"]:
                # Emptied and not deleted: after a deletion Arrow leaves an object in the place of the folder.
                storage.write(name, b"{}\n")


def _take(storage: Storage, name: str, own: dict[str, Any]) -> None:
    """Writes the lease and sees that it stays. Raises `MaskgenError` if another build wrote its own."""
    for _ in range(3):  # a late write of a build that ended may have emptied it
        _write(storage, name, own, 0)
        time.sleep(SETTLE)
        token = _token(storage, name)
        if token == own["token"]:
            return
        if token is not None:
            raise MaskgenError(f"another build has just begun in {storage}; wait for it or stop it first.")
    raise MaskgenError(f"{storage} does not keep the lease {name}; run the same command again.")


def _wait_for(storage: Storage, name: str) -> None:
    """Returns when nobody holds the lease. Raises `MaskgenError` once its holder is seen to be at work."""
    there = _read(storage, name)
    if "token" not in there or _dead(there):
        return
    end = time.monotonic() + STALE
    while time.monotonic() < end:
        time.sleep(min(RENEW / 4, STALE / 4))
        now = _read(storage, name)
        if "token" not in now:
            return
        if now != there:
            raise MaskgenError(
                f"another build (process {now.get('pid')} on {now.get('host')}) is at work in {storage}; "
                "wait for it or stop it first."
            )


def _read(storage: Storage, name: str) -> dict[str, Any]:
    try:
        value = files.parse_json(storage.read(name))
    except (FileNotFoundError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}


def _token(storage: Storage, name: str) -> Any:
    return _read(storage, name).get("token")


def _write(storage: Storage, name: str, own: dict[str, Any], number: int) -> None:
    # The time is for people who look at the object; what counts is that `renewed` changes.
    value = {**own, "renewed": number, "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
    storage.write(name, (json.dumps(value) + "\n").encode())


def _dead(there: dict[str, Any]) -> bool:
    """Whether the holder ran among the processes that this one sees, and is no more."""
    if there.get("machine") != _machine() or not isinstance(there.get("pid"), int) or os.name == "nt":
        return False
    try:
        os.kill(there["pid"], 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def _machine() -> str:
    """What all processes share that see each other's numbers: the host since it started, and its process space."""
    parts = [socket.gethostname()]
    with contextlib.suppress(OSError):
        with open("/proc/sys/kernel/random/boot_id") as file:
            parts.append(file.read().strip())
        parts.append(os.readlink("/proc/self/ns/pid"))
    return " ".join(parts)
