"""An iterable of byte blocks, read as a file: what the engine or a decompressor gives, for a reader of tars."""

from __future__ import annotations

import io
from collections.abc import Iterable


class Blocks(io.RawIOBase):
    """An iterable of blocks as a file. What the iterable raises comes out of a read."""

    def __init__(self, blocks: Iterable[bytes]) -> None:
        self._blocks = iter(blocks)
        self._rest = memoryview(b"")

    def readable(self) -> bool:
        return True

    def readinto(self, target: memoryview) -> int:  # type: ignore[override]
        while not self._rest:
            block = next(self._blocks, None)
            if block is None:
                return 0
            self._rest = memoryview(block)
        n = min(len(target), len(self._rest))
        target[:n] = self._rest[:n]
        self._rest = self._rest[n:]
        return n
