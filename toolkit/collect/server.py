"""The live half of collecting: agents attach over a Unix socket and tell what they journal, for the eye and for timing.

Nothing here is evidence (the journal is); it says when a container is ready, when a window ended, when all is over::

    with Collector(on_record=show) as collector:
        mount(collector.folder, "/repro/run")
        collector.wait(lambda states: states["sdk"].t0_ns is not None, timeout_seconds=30)
        collector.release("sdk")

A program without phases of its own (the backend) is told the SDK container's: its agent then reads back, samples and
sends on the same t0. gRPC is imported when the context is entered, not before. Each container costs two threads, which
sleep: one reads, one answers.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from toolkit.collect.socket_folder import SocketFolder
from toolkit.errors import HostUnfit

if TYPE_CHECKING:
    from toolkit.proto.agent_pb2 import Chunk, Directive, Record

ROLES = ("sdk", "backend")
LEADER = "sdk"
"""Whose phases count for all."""

MAX_MESSAGE_BYTES = 16 * 1024 * 1024
STOP_GRACE_SECONDS = 0.5
_SPARE_THREADS = 1
"""A stranger in a container (it can reach the socket too) must not take the last thread."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RoleState:
    """What one container's agent has said so far. ``exit_code`` is the program's; ``closed``: its stream has ended."""

    hello: bool = False
    refused: str | None = None
    ready: bool = False
    phases: tuple[str, ...] = ()
    t0_ns: int | None = None
    windows: int = 0
    exit_code: int | None = None
    closed: bool = False
    records: int = 0
    broken: bool = False
    """The stream ended before the host released it: the agent, its container or its patience is gone."""


@dataclass(frozen=True)
class _Turned:
    """Put into an outbox: the stream is turned away, and why."""

    why: str


_Outbox = queue.SimpleQueue["Directive | _Turned | None"]
"""What a stream has to say; None ends it."""


@dataclass
class _Stream:
    """One container's stream: what was said, what is to be said once it attaches, and whether it may end."""

    state: RoleState = field(default_factory=RoleState)
    outbox: _Outbox | None = None
    unsaid: list[Directive] = field(default_factory=list)
    released: bool = False

    def say(self, directive: Directive) -> None:
        """Now, or when it attaches."""
        if self.outbox is None:
            self.unsaid.append(directive)
        else:
            self.outbox.put(directive)

    def end(self) -> None:
        """Say no more."""
        if self.outbox is not None:
            self.outbox.put(None)


class Collector:
    """A context manager: the socket exists inside it. All methods may be called from any thread."""

    def __init__(
        self,
        on_record: Callable[[str, Record], None] | None = None,
        *,
        roles: tuple[str, ...] = ROLES,
        folder: SocketFolder | None = None,
    ) -> None:
        self._on_record = on_record
        self._streams = {role: _Stream() for role in roles}
        self._changed = threading.Condition()
        self._place = folder or SocketFolder()
        self._server: Any = None

    @property
    def folder(self) -> Path:
        """The host folder to mount, read-only, at ``/repro/run``."""
        return self._place.mounted

    @property
    def socket(self) -> Path:
        """The socket in it, ``collector.sock``."""
        return self._place.socket

    def __enter__(self) -> Self:
        """Open the socket. Raises HostUnfit when there is no place for it or it cannot be bound."""
        self._place.__enter__()
        try:
            self._server = _listen(self, self._place.socket, len(self._streams) + _SPARE_THREADS)
        except BaseException:
            self._place.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for role in self._streams:
            self.release(role)
        try:
            self._server.stop(STOP_GRACE_SECONDS).wait(STOP_GRACE_SECONDS + 2)
        finally:
            self._place.close()

    def state(self, role: str) -> RoleState:
        """What that container has said so far."""
        with self._changed:
            return self._streams[role].state

    def release(self, role: str) -> None:
        """Let that agent end: everything that needs its container alive has been read. Harmless when repeated."""
        from toolkit.proto.agent_pb2 import Directive

        with self._changed:
            stream = self._streams[role]
            if stream.released:
                return
            stream.released = True
            stream.say(Directive(release=True))
            if stream.state.closed:
                stream.end()

    def wait(self, predicate: Callable[[Mapping[str, RoleState]], bool], timeout_seconds: float) -> bool:
        """Sleep until the states satisfy ``predicate``, at most so long; whether they do."""

        def satisfied() -> bool:
            return predicate({role: stream.state for role, stream in self._streams.items()})

        with self._changed:
            return self._changed.wait_for(satisfied, timeout_seconds)

    def attach(self, chunks: Iterator[Chunk], context: Any) -> Iterator[Directive]:
        """The RPC ``Collector.Attach``: one thread reads until the agent closes its side, this one answers."""
        import grpc

        outbox: _Outbox = queue.SimpleQueue()
        if not context.add_callback(lambda: self._terminated(outbox)):
            return
        threading.Thread(target=self._read, args=(chunks, outbox), name="collector-read", daemon=True).start()
        while (said := outbox.get()) is not None:
            if isinstance(said, _Turned):
                context.abort(grpc.StatusCode.FAILED_PRECONDITION, said.why)
            else:
                yield said

    def _read(self, chunks: Iterator[Chunk], outbox: _Outbox) -> None:
        import grpc

        role = ""
        try:
            for chunk in chunks:
                for record in chunk.records:
                    role = role or self._claim(record, outbox)
                    if not role:
                        outbox.put(_Turned("no stream is expected from this role"))
                        return
                    self._take(role, record)
        except grpc.RpcError:
            log.debug("the stream of %s broke", role or "a stranger")
        finally:
            if role:
                self._closed(role)
            else:
                outbox.put(None)

    def _closed(self, role: str) -> None:
        self._update(role, lambda state: replace(state, closed=True))
        with self._changed:
            if self._streams[role].released:
                self._streams[role].end()

    def _terminated(self, outbox: _Outbox) -> None:
        """The RPC is over: wake whoever waits on the outbox; if the host had not let it go, the agent has gone."""
        outbox.put(None)
        with self._changed:
            for stream in self._streams.values():
                if stream.outbox is outbox and not stream.released:
                    stream.state = replace(stream.state, closed=True, broken=True)
            self._changed.notify_all()

    def _claim(self, record: Record, outbox: _Outbox) -> str:
        """The role a stream speaks for, or '': its first record says, and only the first stream may."""
        name = record.hello.role if record.WhichOneof("kind") == "hello" else ""
        with self._changed:
            if name not in self._streams or self._streams[name].outbox is not None:
                return ""
            stream = self._streams[name]
            stream.state = replace(stream.state, hello=True)
            stream.outbox = outbox
            for directive in stream.unsaid:
                outbox.put(directive)
            self._changed.notify_all()
        return name

    def _take(self, role: str, record: Record) -> None:
        self._update(role, lambda state: advance(state, record))
        if role == LEADER and record.WhichOneof("kind") == "phase":
            self._pass_on(record)
        if self._on_record is None:
            return
        try:
            self._on_record(role, record)
        except Exception:  # a display that fails must not cost the stream
            log.exception("showing progress failed")
            self._on_record = None

    def _pass_on(self, record: Record) -> None:
        """Tell the others when the leader's measurement began and ended."""
        from toolkit.proto.agent_pb2 import Directive

        moment = record.phase.program_monotonic_ns
        match record.phase.name:
            case "measure":
                directive = Directive(measure_ns=moment)
            case "drain" | "done":
                # `done` where no drain came; the agent takes the first.
                directive = Directive(drain_ns=moment)
            case _:
                return
        with self._changed:
            for role, stream in self._streams.items():
                if role != LEADER:
                    stream.say(directive)

    def _update(self, role: str, change: Callable[[RoleState], RoleState]) -> None:
        with self._changed:
            stream = self._streams[role]
            stream.state = change(stream.state)
            self._changed.notify_all()


def advance(state: RoleState, record: Record) -> RoleState:
    """The state after one more record."""
    state = replace(state, records=state.records + 1)
    match record.WhichOneof("kind"):
        case "refused":
            return replace(state, refused=record.refused.reason)
        case "ready":
            return replace(state, ready=True)
        case "phase":
            t0 = record.phase.program_monotonic_ns if record.phase.name == "measure" else state.t0_ns
            return replace(state, phases=(*state.phases, record.phase.name), t0_ns=t0)
        case "window_end":
            return replace(state, windows=state.windows + 1)
        case "child_exit":
            return replace(state, exit_code=record.child_exit.exit_code)
    return state


def _listen(collector: Collector, path: Path, threads: int) -> Any:
    from concurrent.futures import ThreadPoolExecutor

    import grpc

    from toolkit.proto.agent_pb2_grpc import add_CollectorServicer_to_server

    class Servicer:
        """What the generated code calls."""

        def Attach(self, chunks: Iterator[Chunk], context: Any) -> Iterator[Directive]:  # noqa: N802 - the proto's name
            return collector.attach(chunks, context)

    server = grpc.server(
        ThreadPoolExecutor(threads, thread_name_prefix="collector"),
        options=[("grpc.max_receive_message_length", MAX_MESSAGE_BYTES), ("grpc.so_reuseport", 0)],
    )
    add_CollectorServicer_to_server(Servicer(), server)
    try:
        server.add_insecure_port(f"unix:{path}")
        server.start()
        path.chmod(0o666)
    except (RuntimeError, OSError) as problem:
        server.stop(None)
        raise HostUnfit(
            "the collector's socket cannot be opened",
            f"{path}: {problem}",
            "look whether that file system allows Unix sockets; TMPDIR chooses another",
        ) from problem
    return server
