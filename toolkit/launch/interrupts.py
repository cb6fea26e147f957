"""Ctrl-C: the first finishes or drops the current launch cleanly and keeps its data, the second stops at once.

A handler only raises or puts a word into a queue; the work is done where the queue is read.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from types import FrameType
from typing import Any

_PATIENCE = 3


class Interrupts:
    """Installed once for a command. Outside ``to`` and ``shield`` an interrupt raises KeyboardInterrupt at once.

    What was raised once unwinds: the next interrupt must not keep it from removing containers, so it is swallowed; the
    one after that raises again, whatever is under way.
    """

    def __init__(self) -> None:
        self.count = 0
        self._queue: SimpleQueue[tuple[str, Any]] | None = None
        self._shielded = False
        self._held = False
        self._patience = _PATIENCE

    @contextmanager
    def installed(self) -> Iterator[Interrupts]:
        """Handle SIGINT, SIGTERM and SIGHUP for the body; the former handlers come back afterwards."""
        numbers = [signal.SIGINT, signal.SIGTERM]
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # nohup(1) wants it ignored
            numbers.append(signal.SIGHUP)
        former = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in former.items():
                signal.signal(number, handler)

    @contextmanager
    def to(self, queue: SimpleQueue[tuple[str, Any]]) -> Iterator[None]:
        """While the body runs, the first interrupt becomes an event of this queue."""
        self._queue = queue
        if self.count:
            queue.put(("interrupt", None))
        try:
            yield
        finally:
            self._queue = None

    @contextmanager
    def shield(self) -> Iterator[None]:
        """While the body runs, the first interrupt only counts: the body looks at ``pending`` where it can stop."""
        self._shielded = True
        try:
            yield
        finally:
            self._shielded = False

    @contextmanager
    def hold(self) -> Iterator[None]:
        """While the body runs (removing, sealing: short, and never to be half done), two interrupts only count."""
        former, self._held = self._held, True
        try:
            yield
        finally:
            self._held = former

    @property
    def pending(self) -> bool:
        """Whether the user asked to stop."""
        return self.count > 0

    def _handle(self, _number: int, _frame: FrameType | None) -> None:
        self.count += 1
        if self._held or self._patience < _PATIENCE:
            self._patience -= 1
            if self._patience > 0:
                return
            raise KeyboardInterrupt
        # SimpleQueue.put is reentrant: it may be called from a handler that interrupts a get.
        if self.count == 1 and self._queue is not None:
            self._queue.put(("interrupt", None))
            return
        if self.count == 1 and self._shielded:
            return
        self._patience -= 1
        raise KeyboardInterrupt
