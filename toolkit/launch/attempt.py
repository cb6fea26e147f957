"""One attempt of one launch: create, read back, start, watch, read back, remove.

The flow is a queue of events (a record from an agent, the end of a container, Ctrl-C, a window boundary) and one method
per event. It only gathers evidence; ``toolkit.launch.judge`` decides what the evidence means.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any

from toolkit.collect.server import Collector
from toolkit.engine.port import LABEL_CPUS, LABEL_RUN, Engine
from toolkit.errors import ContainerFailed, EngineLost, EngineRefused
from toolkit.launch.containers import Wiring, backend_container, sdk_container, stop_after_seconds
from toolkit.launch.folder import AttemptFolder
from toolkit.launch.interrupts import Interrupts
from toolkit.launch.onlooker import Onlooker
from toolkit.launch.pair import Member, Pair
from toolkit.launch.terminate import Ending, Evidence
from toolkit.launch.watch import Watch
from toolkit.model.container import ContainerSpec
from toolkit.model.evidence import Finding
from toolkit.model.plan import CellPlan
from toolkit.owner import Owner
from toolkit.proto.agent_pb2 import Record
from toolkit.readback.decide import CREATED
from toolkit.readback.rows import requested_rows
from toolkit.redact import blacked_out

# Beyond the moment at which the agent itself ends a hung program: one that cannot even do that (its memory thrashes) is
# ended from here, and before the backend's own end comes, or that would seem to have gone first.
_SLACK_SECONDS = 6.0
_BACKEND_STOP_SECONDS = 5
_READY_LIMIT_SECONDS = 20.0  # the agent gives up after 10
_LOG_LIMIT_BYTES = 1024 * 1024


@dataclass(frozen=True)
class AttemptInputs:
    """All that an attempt needs to be told."""

    cell: CellPlan
    launch: int
    attempt: int
    run_id: str
    sdk_image: str
    backend_image: str | None
    seccomp: Mapping[str, object]
    cgroup_version: str
    apparmor: bool
    owner: Owner
    resolver: str
    model_source: str = ""
    agent_rows: frozenset[str] | None = None


@dataclass(frozen=True)
class Hands:
    """What an attempt works with: the engine, Ctrl-C, a way to say what it is doing, and who else is told."""

    engine: Engine
    interrupts: Interrupts
    progress: Callable[[str], None]
    onlooker: Onlooker = field(default_factory=Onlooker)


@dataclass
class AttemptEvidence:
    """What one attempt left behind, beside its journals: specs by role, observations, ledger, endings."""

    specs: dict[str, ContainerSpec]
    watch: Watch
    evidence: Evidence = field(default_factory=Evidence)
    warnings: tuple[str, ...] = ()
    engine_failure: ContainerFailed | None = None
    refused: str = ""  # why nothing was started
    findings: tuple[Finding, ...] = ()  # what was seen from outside the containers


class AttemptRunner:
    """Runs one attempt; ``run`` returns the evidence and never leaves a container behind."""

    def __init__(self, hands: Hands, inputs: AttemptInputs, folder: AttemptFolder) -> None:
        self._engine = hands.engine
        self._inputs = inputs
        self._cell = inputs.cell
        self._folder = folder
        self._interrupts = hands.interrupts
        self._progress = hands.progress
        self._onlooker = hands.onlooker
        self._events: SimpleQueue[tuple[str, Any]] = SimpleQueue()
        self._t0_ns: int | None = None
        self._next_window = 0
        self._watch_windows = 0
        self._deadline = 0.0

    def run(self) -> AttemptEvidence:
        """Run to the end, whatever the end is: an engine that is lost or refuses is evidence too."""
        with ExitStack() as stack:
            self._folder.prepare(backend=self._inputs.backend_image is not None)
            stack.callback(self._folder.close)
            collector = stack.enter_context(Collector(self._heard))
            wiring = self._wiring(collector)
            found = self._specs(wiring)
            pair = stack.enter_context(Pair(self._engine, self._labels(), self._interrupts.hold))
            stack.enter_context(self._interrupts.to(self._events))
            try:
                self._drive(pair, found, collector)
            except EngineRefused as problem:
                found.engine_failure = ContainerFailed(problem.title, problem.cause, problem.remedy)
            except EngineLost as problem:
                found.evidence.engine_lost = problem.cause or problem.title
                pair.kill_processes()
            self._onlooker.step("removing")
            return found

    def _heard(self, role: str, record: Record) -> None:
        """A record on a stream: the flow first, then whoever looks on."""
        self._events.put(("record", (role, record)))
        self._onlooker.record(role, record)

    def _wiring(self, collector: Collector) -> tuple[Wiring, Wiring]:
        socket = str(collector.folder)
        common = (socket, self._inputs.resolver, self._inputs.model_source, self._inputs.agent_rows)
        return (
            Wiring(str(self._folder.sdk_journal.resolve()), *common),
            Wiring(str(self._folder.backend_journal.resolve()), *common),
        )

    def _specs(self, wiring: tuple[Wiring, Wiring]) -> AttemptEvidence:
        inputs = self._inputs
        cell, version = self._cell, inputs.cgroup_version
        specs = {"sdk": sdk_container(cell, inputs.sdk_image, inputs.seccomp, wiring[0])}
        if inputs.backend_image is not None:
            specs["backend"] = backend_container(cell, inputs.backend_image, inputs.seccomp, wiring[1])
        return AttemptEvidence(specs, Watch(self._engine, cell, version))

    def _labels(self) -> dict[str, str]:
        return {LABEL_RUN: self._inputs.run_id, **self._inputs.owner.labels()}

    def _drive(self, pair: Pair, found: AttemptEvidence, collector: Collector) -> None:
        backend = None
        if (spec := found.specs.get("backend")) is not None:
            backend = pair.create("backend", spec, {LABEL_CPUS: spec.cpuset_cpus})
        # An engine in the SDK's own process needs nobody: a namespace of its own, with nothing but loopback.
        network = f"container:{backend.id}" if backend else "none"
        sdk = pair.create("sdk", found.specs["sdk"], {LABEL_CPUS: self._cell.cpus}, network=network)
        members = [backend, sdk] if backend else [sdk]
        found.warnings = tuple(warning for member in members for warning in member.warnings)
        found.watch.attach({member.role: member.id for member in members})
        self._onlooker.step("created")
        found.refused = self._created_otherwise(found)
        if found.refused:
            return
        self._progress("starting")
        if backend is not None:
            self._start(backend, found.evidence.backend)
        if (backend is None or self._await_ready(found, collector)) and self._start_beside(backend, sdk, found):
            self._deadline = time.monotonic() + stop_after_seconds(self._cell, "sdk") + _SLACK_SECONDS
            self._loop(pair, found, collector)
        self._finish(pair, found, collector)

    def _created_otherwise(self, found: AttemptEvidence) -> str:
        """What the engine made of the request, before anything runs; empty when that is what was asked for.

        An engine that warns has dropped something that it cannot do here: the kernel's readers say what that means.
        """
        if found.warnings:
            return ""
        wrong = []
        for role, spec in found.specs.items():
            found.watch.observe(role, CREATED)
            wanted = requested_rows(spec, self._cell, role, apparmor=self._inputs.apparmor)
            seen = found.watch.observations[role]
            wrong += [
                f"{role} {one.row} was asked to be {wanted[one.row]!r}, the engine made it {one.found!r}"
                for one in seen
                if one.row in wanted and one.found != wanted[one.row]
            ]
        return "; ".join(wrong)

    def _start(self, member: Member, ending: Ending) -> None:
        member.start(lambda code, role=member.role: self._events.put(("exit", (role, code))))  # type: ignore[misc]
        ending.started = True

    def _start_beside(self, backend: Member | None, sdk: Member, found: AttemptEvidence) -> bool:
        """Start the SDK's container; False when its backend, which was ready, has ended meanwhile.

        The engine then only says that there is no network to join: how the backend ended is told by its own exit code,
        log and journal, which are kept like those of one that ends later. Raises EngineRefused for any other reason.
        """
        try:
            self._start(sdk, found.evidence.sdk)
        except EngineRefused:
            if backend is None or backend.lives():
                raise
            found.evidence.backend.ended_first = True
            return False
        return True

    def _await_ready(self, found: AttemptEvidence, collector: Collector) -> bool:
        deadline = time.monotonic() + _READY_LIMIT_SECONDS
        while time.monotonic() < deadline:
            name, body = self._next(deadline)
            if name == "record":
                self._record(found, collector, *body)
                if found.evidence.backend_ready:
                    found.watch.observe("backend", "start")
                    return True
            elif name == "exit":
                return False
            elif name == "interrupt":
                found.evidence.interrupted = True
                return False
        return False

    def _next(self, deadline: float) -> tuple[str, Any]:
        try:
            return self._events.get(timeout=max(0.0, deadline - time.monotonic()))
        except Empty:
            return ("time", None)

    def _loop(self, pair: Pair, found: AttemptEvidence, collector: Collector) -> None:
        while True:
            name, body = self._next(min(self._deadline, self._boundary_time()))
            if name == "record":
                self._record(found, collector, *body)
            elif name == "exit":
                role, _code = body
                found.evidence.backend.ended_first = role == "backend"
                if role == "backend":  # what the SDK would measure from here on is nothing
                    pair.signal("sdk", "TERM")
                return
            elif name == "interrupt":
                found.evidence.interrupted = True
                self._progress("stopping")
                pair.signal("sdk", "TERM")
                self._deadline = min(self._deadline, time.monotonic() + 2 * _BACKEND_STOP_SECONDS)
            elif time.monotonic() >= self._deadline:
                found.evidence.hung = not found.evidence.interrupted
                return
            else:
                self._boundary(found)

    def _boundary_time(self) -> float:
        """When the next window ends, in seconds of the monotonic clock that containers and host share."""
        if self._t0_ns is None or self._next_window >= self._watch_windows:
            return float("inf")
        return self._t0_ns / 1e9 + (self._next_window + 1) * self._cell.window_seconds

    def _boundary(self, found: AttemptEvidence) -> None:
        when = f"window:{self._next_window}"
        self._next_window += 1
        found.watch.snapshot(when)
        self._progress(f"window {self._next_window} of {found.watch.windows}")

    def _record(self, found: AttemptEvidence, collector: Collector, role: str, record: Any) -> None:
        ending = found.evidence.sdk if role == "sdk" else found.evidence.backend
        kind = record.WhichOneof("kind")
        if kind == "ready":
            found.evidence.backend_ready = found.evidence.backend_ready or role == "backend"
        elif kind == "refused":
            rows = [f"{row.id} is {row.found or row.error!r}, not {row.expected!r}" for row in record.refused.rows]
            collector.release(role)  # nothing of it is measured any more: it need not wait for a last look
            ending.refused = ": ".join([record.refused.reason, *([", ".join(rows)] if rows else [])])
        elif kind == "child_exit":
            collector.release(role)
        elif kind == "phase" and role == "sdk":
            self._phase(found, record.phase.name, record.phase.program_monotonic_ns)
        elif kind == "readback" and role == "sdk" and _program_started(record.readback):
            found.watch.observe("sdk", "start")

    def _phase(self, found: AttemptEvidence, name: str, at_ns: int) -> None:
        if name == "warmup":
            self._progress("warming up")
        elif name == "measure":
            self._t0_ns = at_ns
            self._watch_windows = found.watch.windows
            found.watch.snapshot("t0", observe=False)
            self._progress("measuring")
        elif name in ("drain", "done") and not found.watch.ended:
            found.watch.end()
            self._progress("draining")

    def _finish(self, pair: Pair, found: AttemptEvidence, collector: Collector) -> None:
        """Stop what runs, hear the agents out, keep exit codes and logs."""
        if found.evidence.hung:
            pair.stop("sdk", _BACKEND_STOP_SECONDS)
        if pair.started("backend"):
            pair.signal("backend", "TERM")
        limit = time.monotonic() + _BACKEND_STOP_SECONDS
        while pair.running() and time.monotonic() < limit:
            name, body = self._next(limit)
            if name == "record":
                self._record(found, collector, *body)
            elif name == "exit":
                pair.mark_ended(body[0])
        self._drain_events(found, collector)
        for role, ending in (("sdk", found.evidence.sdk), ("backend", found.evidence.backend)):
            if ending.started:
                self._keep(pair, role, ending)

    def _drain_events(self, found: AttemptEvidence, collector: Collector) -> None:
        with suppress(Empty):
            while True:
                name, body = self._events.get_nowait()
                if name == "record":
                    self._record(found, collector, *body)

    def _keep(self, pair: Pair, role: str, ending: Ending) -> None:
        try:
            state = pair.final_state(role, _BACKEND_STOP_SECONDS)
        except EngineRefused:
            ending.engine_error = f"the {role} container was removed from outside, with its exit code and its log"
            return
        ending.exit_code, ending.oom_killed, ending.engine_error = state.exit_code, state.oom_killed, state.error
        prefix = "" if role == "sdk" else "backend."
        for stream in ("stdout", "stderr"):
            text, keys = blacked_out(pair.logs(role, stderr=stream == "stderr", limit_bytes=_LOG_LIMIT_BYTES))
            if keys:
                self._progress(f"{prefix}{stream}.log: {keys} text(s) of the form of a key blacked out")
            self._folder.write_bytes(f"{prefix}{stream}.log", text)
            if stream == "stderr":
                ending.stderr = text


def _program_started(readback: Any) -> bool:
    """Whether this is the agent's second reading at the start, with the program's rows.

    Looked at earlier, the program may still be ``numactl`` before it has set its policy, and a good launch look broken.
    """
    return readback.when == "start" and any(row.id == "workload.affinity" for row in readback.rows)
