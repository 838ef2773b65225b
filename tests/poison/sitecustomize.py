"""With this folder on PYTHONPATH, a photograph that holds `poison:SIGNAL` kills every process that decodes it.

`poison:SIGNAL:TIMES:FILE` kills that often and then no more; each death leaves a byte in FILE. SIGNAL 0
stands for a MemoryError.
"""

import importlib.util
import os
import re
import resource
import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class Poison(MetaPathFinder):
    """Wraps `maskgen.imaging.decode` as that module is loaded, so that other processes are left as they are."""

    def find_spec(self, name: str, path: Any, target: ModuleType | None = None) -> ModuleSpec | None:
        if name != "maskgen.imaging.decode":
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        assert spec is not None
        assert spec.loader is not None
        load = spec.loader.exec_module

        def load_and_wrap(module: ModuleType) -> None:
            load(module)
            decode = module.decode_with_warnings

            def poisoned(data: bytes, *arguments: Any) -> Any:
                if found := re.search(rb"poison:(\d+)(?::(\d+):([^:]+):)?", data):
                    die(int(found[1]), found[2] and int(found[2]), found[3])
                return decode(data, *arguments)

            module.decode_with_warnings = poisoned  # type: ignore[attr-defined]

        spec.loader.exec_module = load_and_wrap  # type: ignore[method-assign]
        return spec


def die(signal: int, times: int | None, count: bytes | None) -> None:
    if times is not None and count is not None:
        with open(count, "ab") as file:
            if file.tell() >= times:
                return
            file.write(b".")
    if not signal:
        raise MemoryError
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.kill(os.getpid(), signal)


sys.meta_path.insert(0, Poison())

if log := os.environ.get("MASKGEN_WRITES"):  # Python loads one sitecustomize.py, see tests/watched
    from tests.support.writes import tell_to

    tell_to(log)
