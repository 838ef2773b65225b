"""A file object over bytes that can be asked for at any offset: what pyarrow and tarfile want to read from."""

from __future__ import annotations

import io
from typing import Any


class RandomAccess(io.RawIOBase):
    """Subclasses have a `size` and give the bytes `at` an offset; reading never asks beyond the end."""

    size: int
    _position = 0

    def at(self, offset: int, size: int) -> bytes:
        """The `size` bytes at `offset`, all of which lie in the file."""
        raise NotImplementedError

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        position = offset + (0, self._position, self.size)[whence]
        if position < 0:
            raise OSError("a position before the beginning was asked for")
        self._position = position
        return position

    def read(self, size: int | None = -1, /) -> bytes:
        left = max(self.size - self._position, 0)
        wanted = left if size is None or size < 0 else min(size, left)
        data = self.at(self._position, wanted) if wanted else b""
        self._position += len(data)
        return data

    def readinto(self, buffer: Any, /) -> int:
        data = self.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)
