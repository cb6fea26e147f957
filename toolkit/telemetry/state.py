"""The live state of a run: one fold per container of each attempt, and frozen views of them for whoever shows them.

    state = LiveState()
    state.begin(Attempt.of(run, cell, launch=1, attempt=1), now_ns)
    state.record(attempt, "sdk", record)
    for launch in state.views(): ...

Every method may be called from any thread.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from toolkit.grade import Grade
from toolkit.model.plan import CellPlan
from toolkit.proto.agent_pb2 import Record
from toolkit.telemetry.fold import RoleFold, RoleView

KEPT_ATTEMPTS = 16
"""So many attempts stay visible after their end: a scraper that comes by once a minute still finds the last ones."""

COMMON_LABELS = ("sdk", "workload", "arm", "launch", "attempt")

LIVE_PHASES = ("starting", "warmup", "measure", "drain", "done", "ended")


@dataclass(frozen=True)
class Attempt:
    """Which attempt. Nothing in it names a machine, a path or a container."""

    run: str
    cell: CellPlan = field(compare=False)
    id: str
    launch: int
    attempt: int

    @staticmethod
    def of(run: str, cell: CellPlan, launch: int, attempt: int) -> Attempt:
        """The attempt of a cell's launch."""
        return Attempt(run, cell, cell.cell, launch, attempt)

    @property
    def labels(self) -> dict[str, str]:
        """What every number of it carries."""
        cell = self.cell
        values = (cell.sdk, cell.workload, cell.arm, str(self.launch), str(self.attempt))
        return dict(zip(COMMON_LABELS, values, strict=True))


@dataclass(frozen=True)
class Judged:
    """What an attempt came to. ``windows`` are (index, start_ns, end_ns, tainted); ``rows`` counts rows by state.

    ``grade`` is that of a run of this attempt alone, empty where it is not known.
    """

    valid: bool
    termination: str
    reason: str = ""
    windows: tuple[tuple[int, int, int, bool], ...] = ()
    rows: Mapping[tuple[str, str], int] = field(default_factory=dict)
    grade: str = ""
    grade_reasons: tuple[str, ...] = ()

    @property
    def tainted_windows(self) -> int:
        """Windows with interference beyond the budget."""
        return sum(tainted for *_rest, tainted in self.windows)


@dataclass(frozen=True)
class LaunchView:
    """An attempt as it is now. ``steps`` are the host's own moments, in nanoseconds of CLOCK_MONOTONIC."""

    attempt: Attempt
    roles: Mapping[str, RoleView]
    steps: Mapping[str, int]
    host_offset_ns: int
    judged: Judged | None = None

    @property
    def phase(self) -> str:
        """One of ``LIVE_PHASES``."""
        if "ended" in self.steps:
            return "ended"
        return self.roles["sdk"].phase or "starting"

    @property
    def wall_offset_ns(self) -> int:
        """Wall clock minus monotonic clock, by the one anchor of the launch: the SDK's journal, else the backend's."""
        for role in ("sdk", "backend"):
            offset = self.roles[role].wall_offset_ns if role in self.roles else None
            if offset is not None:
                return offset
        return self.host_offset_ns

    @property
    def last_ns(self) -> int:
        """The latest moment that anything was heard of."""
        heard = [one.last_ns for one in self.roles.values() if one.last_ns is not None]
        return max([*heard, *self.steps.values()])


@dataclass
class _Live:
    folds: dict[str, RoleFold]
    steps: dict[str, int]
    host_offset_ns: int
    judged: Judged | None = None
    last: LaunchView | None = None


class LiveState:
    """All attempts of a run that can still be seen. ``quantiles``: also HDR histograms per window, for people."""

    def __init__(self, *, quantiles: bool = False) -> None:
        self._quantiles = quantiles
        self._lock = threading.Lock()
        self._attempts: OrderedDict[Attempt, _Live] = OrderedDict()

    def begin(self, attempt: Attempt, at_ns: int) -> None:
        """An attempt begins; the oldest of too many is forgotten."""
        offset = time.time_ns() - time.monotonic_ns()
        roles = ("sdk",) if attempt.cell.in_process else ("sdk", "backend")
        with self._lock:
            folds = {role: self._fold(attempt, role) for role in roles}
            self._attempts[attempt] = _Live(folds, {"begin": at_ns}, offset)
            while len(self._attempts) > KEPT_ATTEMPTS:
                self._attempts.popitem(last=False)

    def step(self, attempt: Attempt, name: str, at_ns: int) -> None:
        """The host came to a moment of its own: ``created``, ``removing``, ``removed``."""
        with self._lock:
            if (live := self._attempts.get(attempt)) is not None and live.last is None:
                live.steps.setdefault(name, at_ns)

    def record(self, attempt: Attempt, role: str, record: Record) -> None:
        """A record of one of its containers."""
        self.records(attempt, role, [record])

    def records(self, attempt: Attempt, role: str, records: Iterable[Record]) -> None:
        """Several records of one of its containers, seen together or not at all."""
        with self._lock:
            live = self._attempts.get(attempt)
            if live is None or live.last is not None or role not in live.folds:
                return
            for record in records:
                live.folds[role].take(record)

    def unfinished(self, attempt: Attempt) -> list[str]:
        """The roles whose records have a gap or lack the agent's last one: only their journals know the rest."""
        with self._lock:
            live = self._attempts.get(attempt)
            return (
                [] if live is None else [role for role, one in live.folds.items() if not (one.complete and one.ended)]
            )

    def refill(self, attempt: Attempt, role: str, records: Iterable[Record]) -> None:
        """Put a journal's records in the place of what was heard of a container."""
        with self._lock:
            live = self._attempts.get(attempt)
            if live is None or live.last is not None:
                return
            fold = self._fold(attempt, role)
            for record in records:
                fold.take(record)
            live.folds[role] = fold

    def end(self, attempt: Attempt, judged: Judged | None, at_ns: int) -> None:
        """An attempt is over; its numbers stay as they are from here on."""
        with self._lock:
            live = self._attempts.get(attempt)
            if live is None or live.last is not None:
                return
            live.steps["ended"] = at_ns
            live.judged = judged
            live.last = _view(attempt, live)
            live.folds.clear()

    def views(self) -> list[LaunchView]:
        """Every attempt that can still be seen, oldest first."""
        with self._lock:
            return [live.last or _view(attempt, live) for attempt, live in self._attempts.items()]

    def view(self, attempt: Attempt) -> LaunchView | None:
        """One attempt, or None when it is not to be seen."""
        with self._lock:
            live = self._attempts.get(attempt)
            return None if live is None else live.last or _view(attempt, live)

    def open(self) -> list[Attempt]:
        """Attempts that have begun and not ended."""
        with self._lock:
            return [attempt for attempt, live in self._attempts.items() if live.last is None]

    def _fold(self, attempt: Attempt, role: str) -> RoleFold:
        return RoleFold(attempt.cell, role, quantiles=self._quantiles)


def judged_from(
    result: Mapping[str, Any], readback: Mapping[str, Any] | None, reason: str = "", grade: Grade | None = None
) -> Judged:
    """What ``result.json`` and ``readback.json`` of an attempt say."""
    rows: dict[tuple[str, str], int] = {}
    for role, part in (readback or {}).get("containers", {}).items():
        for state in ("held", "broken", "unwitnessed", "absent"):
            rows[role, state] = sum(row["state"] == state for row in part["rows"])
    return Judged(
        valid=bool(result["valid"]),
        termination=str(result["termination"]),
        reason=reason,
        windows=tuple(
            (one["index"], one["start_ns"], one["end_ns"], bool(one["tainted"])) for one in result["windows"]
        ),
        rows=rows,
        grade=grade.letter if grade else "",
        grade_reasons=grade.reasons if grade else (),
    )


def _view(attempt: Attempt, live: _Live) -> LaunchView:
    roles = {role: fold.view() for role, fold in live.folds.items()}
    return LaunchView(
        attempt, MappingProxyType(roles), MappingProxyType(dict(live.steps)), live.host_offset_ns, live.judged
    )
