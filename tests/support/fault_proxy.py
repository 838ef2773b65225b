"""A proxy that stands between a client and a store and does to requests what networks and busy stores do."""

from __future__ import annotations

import contextlib
import random
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

METHODS = (b"GET ", b"PUT ", b"HEAD ", b"POST ", b"DELETE ")
BUSY = b"HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


class FaultProxy:
    """A TCP proxy. `choose(request)` gives the fate of each request by its first bytes:

    "pass"; "drop" (the connection breaks before the store hears of it); "lose" (the store acts, the answer never
    comes); "cut" (the answer ends in its midst); "behead" (it ends in its headers); "late" (0.3 s late); "busy" (503);
    "hang" (nothing ever comes back); or the bytes of an answer. `fates` counts what was done.
    """

    def __init__(self, upstream: int, choose: Callable[[bytes], Any]) -> None:
        self.upstream, self.choose = upstream, choose
        self.fates: Counter[str] = Counter()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self.listener.getsockname()[1]
        self.lock, self.open = threading.Lock(), set[socket.socket]()
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in list(self.open):
            _break(connection)

    def before(self, request: bytes) -> None:
        """What a subclass does before a request is answered."""

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        store = socket.create_connection(("127.0.0.1", self.upstream))
        self.open |= {client, store}
        answers = {"fate": "pass"}
        threading.Thread(target=self._answers, args=(store, client, answers), daemon=True).start()
        hanging = False
        with contextlib.suppress(OSError):
            while data := client.recv(1 << 16):
                if data.startswith(METHODS):
                    self.before(data)
                    with self.lock:
                        fate = self.choose(data)
                        self.fates[fate if isinstance(fate, str) else "answer"] += 1
                    if fate == "drop":
                        break
                    if fate == "busy" or isinstance(fate, bytes):
                        client.sendall(BUSY if fate == "busy" else fate)
                        break
                    hanging = fate == "hang"
                    answers["fate"] = fate
                    if fate == "late":
                        time.sleep(0.3)
                if not hanging:
                    store.sendall(data)
        _break(client, store)
        self.open -= {client, store}

    def _answers(self, store: socket.socket, client: socket.socket, answers: dict[str, str]) -> None:
        with contextlib.suppress(OSError):
            while data := store.recv(1 << 16):
                body = data.find(b"\r\n\r\n") + 4
                end = {"lose": 0, "behead": 60, "cut": (body + len(data)) // 2}.get(answers["fate"], len(data))
                if end < len(data) and b" 100 " not in data[:20]:
                    client.sendall(data[:end])
                    break
                client.sendall(data)
        _break(client, store)


def _break(*connections: socket.socket) -> None:
    for connection in connections:
        with contextlib.suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
        connection.close()


def faults(seed: int, rate: float, kinds: tuple[str, ...]) -> Callable[[bytes], str]:
    """Fates by a seed: `rate` of the requests meet one of the kinds, the others pass."""
    chance = random.Random(seed)
    return lambda _: chance.choice(kinds) if chance.random() < rate else "pass"
