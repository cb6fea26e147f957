"""The host's eyes during an attempt: engine and host views of every row, the second witness, the ledger's snapshots.

All of it runs on the housekeeping CPUs, and only at the start, at each window's end and at the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from toolkit.analyse.windows import window_count
from toolkit.engine.port import Engine
from toolkit.errors import EngineLost, EngineRefused
from toolkit.host.witness import ProcessView, disagreements, view_processes
from toolkit.ledger import LEAD, Judged, LedgerSampler, Observed, ledger
from toolkit.model.evidence import Evidence, Finding, Sample
from toolkit.model.plan import CellPlan
from toolkit.readback.decide import Observation
from toolkit.readback.engine_view import engine_rows
from toolkit.readback.host_view import HostProbe, host_rows
from toolkit.readback.namespaces import own_namespaces


@dataclass
class Watch:
    """Gathers observations; judges nothing."""

    engine: Engine
    cell: CellPlan
    cgroup_version: str
    observations: dict[str, list[Observation]] = field(default_factory=lambda: {"sdk": [], "backend": []})
    witnessed: dict[str, list[tuple[str, ProcessView]]] = field(default_factory=lambda: {"sdk": [], "backend": []})
    sampler: LedgerSampler | None = None
    ended: bool = False
    own_namespaces: Mapping[str, str] = field(default_factory=dict)
    """The host program's: what a container must not be in."""
    _containers: dict[str, str] = field(default_factory=dict)
    _pids: dict[str, int] = field(default_factory=dict)

    def attach(self, containers: Mapping[str, str]) -> None:
        """Which container plays which role."""
        self._containers = dict(containers)
        self.own_namespaces = own_namespaces()

    def observe(self, role: str, when: str) -> None:
        """Take the engine's and the host's view of every row of one container. One that has gone shows nothing."""
        try:
            inspect = self.engine.inspect(self._containers[role])
        except EngineRefused:
            return
        seen = self.observations[role]
        seen += [
            Observation(row, when, "engine", found) for row, found in engine_rows(inspect, self.cgroup_version).items()
        ]
        pid = int(inspect["State"]["Pid"])
        if pid > 0:
            self._pids[role] = pid
            other = next((one for name, one in self._pids.items() if name != role), 0)
            probe = HostProbe(pid, other_pid=other, cgroup_version=self.cgroup_version)
            seen += [Observation(row, when, "host", found) for row, found in host_rows(probe).items()]
            if role == "sdk" and self.sampler is None:
                self.sampler = LedgerSampler(self._observed(pid))
                self.sampler.snapshot(LEAD)

    def _observed(self, pid: int) -> Observed:
        """Whose time on the measured CPUs is ours: where they are shared, the backend's and this program's, too."""
        shared = self.cell.shared_cpus
        return Observed(
            cpus=self.cell.cpus,
            pid=pid,
            backend_pid=self._pids.get("backend") if shared else None,
            agent_cpus=self.cell.agent_cpus,
            idle_cpus=self.cell.idle_cpus,
            host_shares=shared,
        )

    def snapshot(self, when: str, *, observe: bool = True) -> None:
        """The ledger first (its moment matters), then the second witness, then the rows of both containers."""
        if self.sampler is not None:
            self.sampler.snapshot(when)
        for role, pid in self._pids.items():
            self.witnessed[role].append((when, view_processes(pid)))
        if observe:
            for role in sorted(self._containers, reverse=True):  # the SDK first: its moment matters
                self.observe(role, when)

    def end(self) -> None:
        """The last look, while the program still lives (it announces its drain)."""
        self.ended = True
        try:
            self.snapshot("end")
        except EngineLost:
            self.ended = False
            raise

    @property
    def windows(self) -> int:
        """How many windows the plan has."""
        return window_count(self.cell)

    def ledger_document(self, samples: Sequence[Sample] = (), t0_ns: int | None = None) -> dict[str, Any]:
        """``ledger.json``. ``samples`` are the agent's, of the SDK's container; ``t0_ns`` is when the windows begin."""
        taken, method = ((), "") if self.sampler is None else (self.sampler.snapshots, self.sampler.method)
        return ledger(taken, Judged.of(self.cell, self.windows, method, samples, t0_ns))

    def witness_findings(self, told: Mapping[str, Evidence]) -> list[Finding]:
        """Where psutil's account and the journals disagree; nothing when the program never ran."""
        workload = {"sdk": self.cell.cpus, "backend": self.cell.backend_cpus}
        return [
            finding
            for role, evidence in told.items()
            if self.witnessed[role]
            for finding in disagreements(
                role,
                self.witnessed[role],
                evidence.samples,
                affinity=workload[role],
                agent_affinity=self.cell.agent_cpus,
            )
        ]
