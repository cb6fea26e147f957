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

_HANDED_BYTES = 512 * 1024
"""So much is handed over at once: less, and the handing over takes longer than the digesting."""
_WAITING = 8
"""Hand-overs that may wait: 4 MiB of both digests together, and what each still gathers."""

Pieces = list[bytes | memoryview]


class Digest:
    """One sha256 that is fed in pieces. The pieces must not change afterwards."""

    def __init__(self, hashing: Hashing | None = None) -> None:
        self._state = hashlib.sha256()
        self._hashing = hashing
        self._gathered: Pieces = []
        self._gathered_bytes = 0
        self._behind = False

    def update(self, piece: bytes | memoryview) -> None:
        """The next bytes."""
        if self._hashing is None:
            self._state.update(piece)
            return
        self._gathered.append(piece)
        self._gathered_bytes += len(piece)
        if self._gathered_bytes >= _HANDED_BYTES:
            self._hashing.put(self, self._gathered)
            self._gathered, self._gathered_bytes, self._behind = [], 0, True

    def digest(self, pieces: Pieces) -> None:
        """Digest them now: by the thread, or by the reader when the thread is through with all before."""
        for piece in pieces:
            self._state.update(piece)

    def hexdigest(self) -> str:
        """Of everything fed so far. Waits for the thread."""
        if self._behind and self._hashing is not None:
            self._hashing.settle()
            self._behind = False
        self.digest(self._gathered)
        self._gathered, self._gathered_bytes = [], 0
        return self._state.hexdigest()


class Hashing:
    """The thread, for the length of a ``with``. Digests made by it stay readable afterwards."""

    def __init__(self) -> None:
        self._queue: queue.Queue[tuple[Digest, Pieces] | threading.Event | None] = queue.Queue(_WAITING)
        self._thread = threading.Thread(target=self._work, name="sha256", daemon=True)
        self._problem: BaseException | None = None

    def digest(self) -> Digest:
        """A new sha256."""
        return Digest(self)

    def put(self, digest: Digest, pieces: Pieces) -> None:
        """Digest them when their turn comes. Waits while too much is waiting."""
        self._queue.put((digest, pieces))

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
                    item[0].digest(item[1])
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
