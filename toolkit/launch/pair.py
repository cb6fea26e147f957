"""The two containers of a launch, removed on every path."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Self

from toolkit.engine.port import LABEL_ROLE, ContainerState, Engine
from toolkit.errors import EngineError, EngineRefused
from toolkit.model.container import ContainerSpec
from toolkit.owner import start_ticks

_WAIT_SECONDS = 24 * 3600.0


@dataclass
class Member:
    """One container of the pair. ``pid`` is its first process as the host numbers it, 0 before the start.

    ``ended`` means that its end was seen, not that the engine stopped answering.
    """

    role: str
    id: str
    warnings: tuple[str, ...]
    engine: Engine
    started: bool = False
    ended: bool = False
    pid: int = 0
    born: int | None = None
    thread: threading.Thread | None = field(default=None, repr=False)

    def start(self, on_exit: Callable[[int | None], None]) -> None:
        """Start it, and tell ``on_exit`` its exit code from a thread of its own (a blocking call costs no wake-ups)."""
        self.engine.start(self.id)
        self.started = True
        self.pid = self.engine.state(self.id).pid
        self.born = start_ticks(self.pid)
        self.thread = threading.Thread(target=self._wait, args=(on_exit,), name=f"wait-{self.role}", daemon=True)
        self.thread.start()

    def lives(self) -> bool:
        """Whether the engine knows it and says that it runs. Raises EngineLost."""
        try:
            return self.engine.state(self.id).running
        except EngineRefused:
            return False

    def _wait(self, on_exit: Callable[[int | None], None]) -> None:
        code: int | None = None
        with suppress(EngineError):  # an engine that was lost shows in the next call of the main thread
            code = self.engine.wait(self.id, _WAIT_SECONDS)
            self.ended = True
        on_exit(code)


class Pair:
    """Creates containers with our labels and removes them when the body is left, however it is left.

    ``guard`` makes the context in which they are removed: one that Ctrl-C cannot cut short.
    """

    def __init__(
        self,
        engine: Engine,
        labels: Mapping[str, str],
        guard: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._guard = guard
        self._engine = engine
        self._labels = dict(labels)
        self._members: dict[str, Member] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # The SDK first: it lives in the backend's network namespace.
        with self._guard():
            for member in reversed(list(self._members.values())):
                with suppress(EngineError):
                    self._engine.remove(member.id)

    def create(self, role: str, spec: ContainerSpec, labels: Mapping[str, str], network: str = "none") -> Member:
        """Create the container of a role."""
        full = replace(spec, network=network, labels={**self._labels, **labels, LABEL_ROLE: role})
        container, warnings = self._engine.create(full)
        member = Member(role, container, warnings, self._engine)
        self._members[role] = member
        return member

    def started(self, role: str) -> bool:
        """Whether that container was started."""
        return role in self._members and self._members[role].started

    def running(self) -> bool:
        """Whether any container that was started has not been seen to end."""
        return any(member.started and not member.ended for member in self._members.values())

    def mark_ended(self, role: str) -> None:
        """Its end was seen."""
        self._members[role].ended = True

    def signal(self, role: str, name: str) -> None:
        """Signal a container that was started."""
        if self.started(role):
            self._engine.signal(self._members[role].id, name)

    def stop(self, role: str, grace_seconds: int) -> None:
        """TERM, then KILL after the grace."""
        if self.started(role):
            self._engine.stop(self._members[role].id, grace_seconds)

    def final_state(self, role: str, grace_seconds: int) -> ContainerState:
        """The engine's last account, after making sure that the container has ended."""
        member = self._members[role]
        state = self._engine.state(member.id)
        if state.running:
            self._engine.stop(member.id, grace_seconds)
            state = self._engine.state(member.id)
        return state

    def logs(self, role: str, *, stderr: bool, limit_bytes: int) -> bytes:
        """What the container wrote, at most so many bytes."""
        return self._engine.logs(self._members[role].id, stderr=stderr, limit_bytes=limit_bytes)

    def kill_processes(self) -> None:
        """With the engine gone, end the containers' first processes ourselves: they are ours, by number and start."""
        for member in self._members.values():
            if member.pid > 0 and not member.ended and start_ticks(member.pid) == member.born:
                with suppress(ProcessLookupError, PermissionError):
                    os.kill(member.pid, signal.SIGKILL)
