"""sha256 beside the reading: one thread digests while the next piece is read and unpacked.

hashlib and zstandard let go of the interpreter's lock for the length of a piece, so that two CPUs work at once; with
one CPU it costs next to nothing. What waits is bounded, and therefore memory is.
"""

from __future__ import annotations

import hashlib
import queue
import threading
from types import TracebackType
from typing import Self

_WAITING_PIECES = 32
"""Of at most 128 KiB each: 4 MiB."""
_SMALL_BYTES = 16 * 1024
"""Handing over a shorter piece takes longer than digesting it."""


class Digest:
    """One sha256 that is fed in pieces. The pieces must not change afterwards."""

    def __init__(self, hashing: Hashing | None = None) -> None:
        self._state = hashlib.sha256()
        self._hashing = hashing
        self._behind = False

    def update(self, piece: bytes | memoryview) -> None:
        """The next bytes."""
        if self._hashing is None or (len(piece) < _SMALL_BYTES and not self._behind):
            self._state.update(piece)
        else:
            self._behind = True
            self._hashing.put(self, piece)

    def digest_now(self, piece: bytes | memoryview) -> None:
        """Called by the thread alone."""
        self._state.update(piece)

    def hexdigest(self) -> str:
        """Of everything fed so far. Waits for the thread."""
        if self._behind and self._hashing is not None:
            self._hashing.settle()
            self._behind = False
        return self._state.hexdigest()


class Hashing:
    """The thread, for the length of a ``with``. Digests made by it stay readable afterwards."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Digest, bytes | memoryview] | threading.Event | None] = queue.Queue(
            _WAITING_PIECES
        )
        self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)
        self._problem: BaseException | None = None

    def digest(self) -> Digest:
        """A new sha256."""
        return Digest(self)

    def put(self, digest: Digest, piece: bytes | memoryview) -> None:
        """Digest it when its turn comes. Waits while too much is waiting."""
        self._queue.put((digest, piece))

    def settle(self) -> None:
        """Wait until all that was put is digested. Raises what the thread met (MemoryError)."""
        if self._thread.is_alive():
            done = threading.Event()
            self._queue.put(done)
            done.wait()
        if self._problem is not None:
            raise self._problem

    def _work(self) -> None:
        while (item := self._queue.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
            elif self._problem is None:
                try:
                    item[0].digest_now(item[1])
                except BaseException as problem:  # noqa: BLE001 -- the reader must not wait for a thread that ended
                    self._problem = problem

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._queue.put(None)
        self._thread.join()
