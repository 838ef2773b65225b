"""Leases: who may build in a store, when a lease counts for nothing, and that no clock on a wall matters."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from typing import Any

import pytest

from maskgen.errors import MaskgenError
from maskgen.storage import lease

NAME = ".maskgen-lock"


class Memory:
    """What a lease needs of a storage, in this process."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.writes = 0

    def __str__(self) -> str:
        return "s3://bucket/smfd"

    def read(self, name: str) -> bytes:
        if name not in self.files:
            raise FileNotFoundError(name)
        return self.files[name]

    def write(self, name: str, data: bytes) -> None:
        self.files[name] = data
        self.writes += 1


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(lease, "SETTLE", 0.01)
    monkeypatch.setattr(lease, "RENEW", 0.05)
    return Memory()


def other(**change: Any) -> bytes:
    there = {"token": "0123", "host": "far", "pid": 7, "machine": "far", "renewed": 0, "time": "2020-01-01T00:00:00Z"}
    return json.dumps(there | change).encode()


def wait(ready: Any) -> None:
    end = time.monotonic() + 60
    while not ready():
        assert time.monotonic() < end
        time.sleep(0.005)


def test_a_lease_names_its_holder_is_renewed_and_given_back(store: Memory) -> None:
    with lease.hold(store, NAME) as held:
        first = json.loads(store.files[NAME])
        assert (first["pid"], len(first["token"]), first["renewed"]) == (os.getpid(), 16, 0)
        assert first["host"]
        assert first["time"].endswith("Z")
        wait(lambda: json.loads(store.files[NAME])["renewed"] >= 3)
        assert json.loads(store.files[NAME])["token"] == first["token"]
        held()
    assert store.files == {NAME: b"{}\n"}
    writes = store.writes
    time.sleep(0.2)
    assert store.writes == writes, "nobody renews it any more"
    with lease.hold(store, NAME):
        pass


def test_a_lease_that_is_renewed_is_respected_whatever_time_it_tells(
    store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "STALE", 60)
    for when in ("1970-01-01T00:00:00Z", "2199-01-01T00:00:00Z", None):
        store.files[NAME] = other(time=when)
        ended = threading.Event()

        def renew(when: Any = when, ended: threading.Event = ended) -> None:
            number = 0
            while not ended.wait(0.02):
                number += 1
                store.files[NAME] = other(time=when, renewed=number)

        thread = threading.Thread(target=renew)
        thread.start()
        try:
            with (
                pytest.raises(MaskgenError, match=r"another build \(process 7 on far\) is at work in s3://bucket/smfd"),
                lease.hold(store, NAME),
            ):
                pass
        finally:
            ended.set()
            thread.join()
        assert json.loads(store.files[NAME])["token"] == "0123", "it is left alone"


def test_a_lease_that_nobody_renews_is_taken_over_though_clocks_jump(
    store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "STALE", 0.3)
    steady = time.monotonic
    monkeypatch.setattr(time, "time", lambda: 0.0)
    for when in ("1970-01-01T00:00:00Z", "2199-01-01T00:00:00Z"):
        store.files[NAME] = other(time=when)
        began = steady()
        with lease.hold(store, NAME) as held:
            assert steady() - began >= 0.3, "not before it was watched for that long"
            held()


def test_the_lease_of_a_dead_process_of_this_machine_is_no_obstacle(
    store: Memory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "STALE", 10**6)  # watching it would take forever
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    store.files[NAME] = other(pid=ended.pid, machine=lease._machine())
    with lease.hold(store, NAME):
        pass
    for damaged in (b"", b"{", b"[]", b"3"):
        store.files[NAME] = damaged
        with lease.hold(store, NAME):
            pass


def test_a_lease_taken_by_another_is_noticed_and_not_given_back(store: Memory) -> None:
    def build() -> None:
        with lease.hold(store, NAME) as held:
            store.files[NAME] = other()
            wait(lambda: not any(thread.name == "maskgen-lease" for thread in threading.enumerate()))
            held()

    with pytest.raises(MaskgenError, match="another build has taken over s3://bucket/smfd; let it finish"):
        build()
    assert store.files[NAME] == other()


def test_a_store_that_is_away_for_a_while_costs_no_lease(store: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    away, read = threading.Event(), store.read
    asked = []

    def reading(name: str) -> bytes:
        if away.is_set():
            asked.append(name)
            raise MaskgenError("the store does not answer.")
        return read(name)

    monkeypatch.setattr(store, "read", reading)
    with lease.hold(store, NAME) as held:
        away.set()
        wait(lambda: len(asked) >= 3)
        away.clear()
        number = json.loads(store.files[NAME])["renewed"]
        wait(lambda: json.loads(store.files[NAME])["renewed"] > number)
        held()


def test_a_lease_emptied_by_a_late_write_is_written_again(store: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    write, late = store.write, [b"{}\n"]

    def writing(name: str, data: bytes) -> None:
        write(name, late.pop() if late else data)

    monkeypatch.setattr(store, "write", writing)
    with lease.hold(store, NAME) as held:
        token = json.loads(store.files[NAME])["token"]
        store.files[NAME] = b"{}\n"
        wait(lambda: json.loads(store.files[NAME]).get("token") == token)
        held()
    monkeypatch.setattr(store, "write", lambda name, data: write(name, b"{}\n"))
    with pytest.raises(MaskgenError, match="does not keep the lease"), lease.hold(store, NAME):
        pass


def test_of_builds_that_start_together_one_goes_on(store: Memory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "SETTLE", 0.5)
    monkeypatch.setattr(lease, "RENEW", 5)
    for _ in range(5):
        store.files.clear()
        start, done = threading.Barrier(4), threading.Barrier(4)
        refused: list[str] = []
        holders: list[int] = []

        def build(start: Any = start, done: Any = done, refused: Any = refused, holders: Any = holders) -> None:
            start.wait()
            try:
                with lease.hold(store, NAME):
                    holders.append(threading.get_ident())
                    done.wait(60)
            except MaskgenError as error:
                refused.append(str(error))
                done.wait(60)

        threads = [threading.Thread(target=build) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(holders) == 1
        assert len(refused) == 3
