"""The host's eyes during an attempt: engine and host views of every row, the second witness, the ledger's snapshots.

All of it runs on the housekeeping CPUs, and only at the start, at each window's end and at the end.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from toolkit.engine.port import Engine
from toolkit.errors import EngineLost, EngineRefused
from toolkit.host.witness import ProcessView, view_processes
from toolkit.ledger import LedgerSampler
from toolkit.model.plan import CellPlan
from toolkit.readback.decide import Observation
from toolkit.readback.engine_view import engine_rows
from toolkit.readback.host_view import HostProbe, host_rows


@dataclass
class Watch:
    """Gathers observations; judges nothing."""

    engine: Engine
    cell: CellPlan
    cgroup_version: str
    observations: dict[str, list[Observation]] = field(default_factory=lambda: {"sdk": [], "backend": []})
    witnessed: list[tuple[str, ProcessView]] = field(default_factory=list)
    inspected: dict[str, dict[str, Any]] = field(default_factory=dict)
    ledger: LedgerSampler | None = None
    ended: bool = False
    cost_seconds: float = 0.0
    _containers: dict[str, str] = field(default_factory=dict)
    _pids: dict[str, int] = field(default_factory=dict)

    def attach(self, containers: Mapping[str, str]) -> None:
        """Which container plays which role."""
        self._containers = dict(containers)

    def observe(self, role: str, when: str) -> None:
        """Take the engine's and the host's view of every row of one container. One that has gone shows nothing."""
        began = time.thread_time()
        try:
            inspect = self.engine.inspect(self._containers[role])
        except EngineRefused:
            return
        self.inspected[role] = inspect
        seen = self.observations[role]
        seen += [
            Observation(row, when, "engine", found) for row, found in engine_rows(inspect, self.cgroup_version).items()
        ]
        pid = int(inspect["State"]["Pid"])
        if pid > 0:
            self._pids[role] = pid
            seen += [Observation(row, when, "host", found) for row, found in host_rows(HostProbe(pid)).items()]
            if role == "sdk" and self.ledger is None:
                self.ledger = LedgerSampler(self.cell.cpus, pid)
        self.cost_seconds += time.thread_time() - began

    def snapshot(self, when: str, *, observe: bool = True) -> None:
        """The ledger first (its moment matters), then the second witness, then the rows of both containers."""
        if self.ledger is not None:
            self.ledger.snapshot(when)
        if "sdk" in self._pids:
            self.witnessed.append((when, view_processes(self._pids["sdk"])))
        if observe:
            for role in ("sdk", "backend"):
                self.observe(role, when)

    def end(self) -> None:
        """The last look, while the program still lives (it announces its drain)."""
        self.ended = True
        try:
            self.snapshot("end")
        except EngineLost:
            self.ended = False
            raise
