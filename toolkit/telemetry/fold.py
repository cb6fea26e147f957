"""One container's records, folded one by one into its latest numbers: the decoding is ``toolkit.collect``'s own.

Memory stays bounded however long a launch is: of what the decoder gathers, a fold keeps counts and the last values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from toolkit.analyse.metrics import request_values
from toolkit.analyse.windows import OWN_PACE, Interval, nanoseconds, window_count
from toolkit.collect.evidence import Walk
from toolkit.model.evidence import NANOSECONDS, OUTCOMES, DriveTotals, Exit, GoSnapshot, Program, Request, Sample
from toolkit.model.plan import CellPlan
from toolkit.proto.agent_pb2 import Record, Row
from toolkit.telemetry.tally import Tally, TallyView
from toolkit.telemetry.windowed import WindowTable, WindowView

REQUEST_TALLIES = ("lat.sched", "lat.send", "dispatch.delay", "ttft", "ttft.send", "tpot", "sdk.overhead")
READ = ("held", "broken", "absent", "unreadable")
_HELD_BACK_NS = 2 * NANOSECONDS
"""A program announces t0 at once and its requests within a second: older ones without t0 belong to the warm-up."""


@dataclass(frozen=True)
class RoleView:
    """What one container has shown so far. Times are nanoseconds of CLOCK_MONOTONIC; counters run from its start."""

    role: str
    records: int = 0
    unreadable: int = 0
    """Records or lines that cannot be believed; the launch will be invalid for them."""
    last_ns: int | None = None
    wall_offset_ns: int | None = None
    """Wall clock minus monotonic clock by the journal's one anchor (the agent's hello)."""
    moments: Mapping[str, int] = field(default_factory=dict)
    """When: ``hello``, ``readback`` (the last one at the start), ``ready``, ``exit``, and each phase mark by name."""
    phase: str = ""
    window_ends: int = 0
    program: Program | None = None
    sample: Sample | None = None
    go: GoSnapshot | None = None
    requests: Mapping[tuple[str, str], int] = field(default_factory=dict)
    """(phase of the scheduled send, outcome) to how many."""
    tallies: Mapping[str, TallyView] = field(default_factory=dict)
    totals: DriveTotals | None = None
    readback: Mapping[str, int] = field(default_factory=dict)
    """The agent's latest reading of each row: how many were ``held``, ``broken``, ``absent``, ``unreadable``."""
    served: int | None = None
    exit: Exit | None = None
    refused: bool = False
    windows: tuple[WindowView, ...] = ()

    @property
    def sent(self) -> int:
        """Requests sent, those of warm-up and drain too."""
        return sum(self.requests.values())

    @property
    def ok(self) -> int:
        """Those that succeeded."""
        return sum(count for (_phase, outcome), count in self.requests.items() if outcome == OUTCOMES[0])


class RoleFold:
    """Takes one container's records in order. ``quantiles`` also keeps an HDR histogram per window, for people."""

    def __init__(self, plan: CellPlan, role: str, *, quantiles: bool = False) -> None:
        self._plan = plan
        self._role = role
        self._walk = Walk()
        self._records = 0
        self._moments: dict[str, int] = {}
        self._offset: int | None = None
        self._rows: dict[str, str] = {}
        self._requests: Counter[tuple[str, str]] = Counter()
        self._held: list[Request] = []
        self._tallies = {name: Tally() for name in REQUEST_TALLIES} if role == "sdk" else {"backend.delay": Tally()}
        self._table = WindowTable() if quantiles and role == "sdk" else None
        self.complete = True
        """No record is missing between the first and the last that came."""

    @property
    def ended(self) -> bool:
        """Whether the agent's last record has come."""
        return "exit" in self._moments or "refusal" in self._walk.parts

    def take(self, record: Record) -> None:
        """The next record. One that was taken before changes nothing."""
        if record.sequence <= self._walk.sequence:
            return
        self.complete = self.complete and record.sequence == self._walk.sequence + 1
        self._walk.record(record)
        self._records += 1
        match record.WhichOneof("kind"):
            case "hello":
                self._moments.setdefault("hello", record.monotonic_ns)
                if self._offset is None:
                    self._offset = record.hello.wall_unix_ns - record.monotonic_ns
            case "readback":
                self._rows |= _states(record.readback.rows)
                if record.readback.when == "start":
                    self._moments["readback"] = record.monotonic_ns
            case "ready":
                self._moments.setdefault("ready", record.monotonic_ns)
            case "child_exit":
                self._moments.setdefault("exit", record.monotonic_ns)
            case "lines":
                self._lines(record.monotonic_ns)
        self._forget()

    def view(self) -> RoleView:
        """What it has shown so far."""
        walk, reader = self._walk, self._walk.reader
        requests = Counter(self._requests)
        requests.update(("warmup", OUTCOMES[one.outcome]) for one in self._held)
        return RoleView(
            role=self._role,
            records=self._records,
            unreadable=len(walk.causes) + sum(int(one.found or 0) for one in reader.findings()),
            last_ns=walk.last_ns,
            wall_offset_ns=self._offset,
            moments=MappingProxyType({**self._moments, **{mark.name: mark.program_ns for mark in reader.marks}}),
            phase=reader.marks[-1].name if reader.marks else "",
            window_ends=len(walk.window_ends),
            program=reader.program,
            sample=walk.samples[-1] if walk.samples else None,
            go=reader.go[-1] if reader.go else None,
            requests=MappingProxyType(dict(requests)),
            tallies=MappingProxyType(self._views()),
            totals=reader.totals,
            readback=MappingProxyType({one: list(self._rows.values()).count(one) for one in READ if self._rows}),
            served=reader.counts.get("backend.requests"),
            exit=walk.parts.get("exit"),
            refused="refusal" in walk.parts,
            windows=self._windows(),
        )

    def _views(self) -> dict[str, TallyView]:
        views = {name: tally.view() for name, tally in self._tallies.items()}
        if self._walk.reader.go:
            pauses = Tally()
            pauses.add_weighted((nanoseconds(edge), count) for edge, count in self._walk.reader.go[-1].pause)
            views["gc.pause"] = pauses.view()
        return views

    def _windows(self) -> tuple[WindowView, ...]:
        t0, last = self._mark("measure"), self._walk.last_ns
        if self._table is None or t0 is None or last is None:
            return ()
        over = self.ended or self._mark("done") is not None
        return self._table.views(self._intervals(t0), now_ns=last, over=over)

    def _intervals(self, t0: int) -> list[Interval]:
        length = nanoseconds(self._plan.window_seconds)
        return [Interval(t0 + k * length, t0 + (k + 1) * length) for k in range(window_count(self._plan))]

    def _mark(self, name: str) -> int | None:
        return next((mark.program_ns for mark in self._walk.reader.marks if mark.name == name), None)

    def _lines(self, at_ns: int) -> None:
        """Count what the lines have brought: requests by phase and outcome, values of the measured ones."""
        reader = self._walk.reader
        if "backend.delay" in self._tallies:
            for batch in reader.series:
                if batch.name == "backend.delay_seconds":
                    self._tallies["backend.delay"].add(batch.values_ns)
        t0 = self._mark("measure")
        arrived = self._held + reader.requests
        if t0 is None:
            self._held = [one for one in arrived if one.end_ns >= at_ns - _HELD_BACK_NS]
            arrived = [one for one in arrived if one.end_ns < at_ns - _HELD_BACK_NS]
        else:
            self._held = []
        if not arrived:
            return
        measured = []
        for one in arrived:
            phase = self._phase_of(one, t0)
            self._requests[phase, OUTCOMES[one.outcome]] += 1
            if phase == "measure":
                measured.append(one)
        if "lat.sched" in self._tallies:
            for name, values in request_values(measured).items():
                self._tallies[name].add(values)
        if self._table is not None and t0 is not None:
            self._table.add(measured, t0, nanoseconds(self._plan.window_seconds))

    def _phase_of(self, request: Request, t0: int | None) -> str:
        """By its scheduled send, as the analysis assigns requests to intervals."""
        if t0 is None or request.scheduled_ns < t0:
            return "warmup"
        if self._plan.drive in OWN_PACE:
            end = self._mark("drain") or self._mark("done")
        else:
            end = t0 + nanoseconds(self._plan.duration_seconds)
        return "measure" if end is None or request.scheduled_ns < end else "drain"

    def _forget(self) -> None:
        """Let go of what was counted; the decoder compares with the last sample and snapshot, so these stay."""
        walk, reader = self._walk, self._walk.reader
        reader.requests.clear()
        reader.series.clear()
        del walk.samples[:-1], reader.go[:-1], walk.readbacks[:-1]


def _states(rows: Iterable[Row]) -> dict[str, str]:
    """How an agent's rows compare with what was expected of them; rows that are only recorded are left out."""
    states = {}
    for row in rows:
        if row.absent:
            states[row.id] = "absent"
        elif row.error:
            states[row.id] = "unreadable"
        elif row.expected:
            states[row.id] = "held" if row.found == row.expected else "broken"
    return states
