"""Snapshots of all sources, taken when told, on whatever CPUs this program runs (the housekeeping ones)."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from toolkit.ledger.sources import Observed, Sources


@dataclass(frozen=True)
class Snapshot:
    """Cumulative counters and gauges at one moment; what is missing in ``values`` has its reason in ``problems``.

    ``monotonic_ns`` is when the reading began, ``cpu_seconds`` what it cost this program.
    """

    label: str
    monotonic_ns: int
    values: Mapping[str, float | str] = field(default_factory=dict)
    problems: Mapping[str, str] = field(default_factory=dict)
    cpu_seconds: float = 0.0


class LedgerSampler:
    """Takes snapshots when told: ``t0``, ``window:<k>`` at the end of window k, ``end``."""

    def __init__(self, observed: Observed, root: Path = Path("/")) -> None:
        self._sources = Sources(observed, root)
        self._table = self._sources.table
        self._snapshots: list[Snapshot] = []

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """Those taken so far."""
        return tuple(self._snapshots)

    @property
    def method(self) -> str:
        """How CPU time is counted here: ``cpuacct`` or ``proc-stat``."""
        return self._sources.method

    def snapshot(self, label: str) -> Snapshot:
        """Read everything now. Never raises: what cannot be read has a reason instead."""
        values: dict[str, float | str] = {}
        problems: dict[str, str] = {}
        moment, started = time.monotonic_ns(), time.thread_time()
        for reader, names in self._table.items():
            try:
                found = reader()
            except (OSError, ValueError, LookupError) as problem:
                problems.update(dict.fromkeys(names, _why(problem)))
                continue
            values.update(found)
            problems.update(dict.fromkeys((name for name in names if name not in found), _NO_FIELD))
        taken = Snapshot(label, moment, values, problems, time.thread_time() - started)
        self._snapshots.append(taken)
        return taken


_NO_FIELD = "the kernel's file has not the field"


def _why(problem: Exception) -> str:
    """A reason without paths: they would name this machine's containers."""
    if isinstance(problem, OSError):
        return problem.strerror or "cannot be read"
    said = problem.args[0] if type(problem) is LookupError and problem.args else ""
    return str(said) or _NO_FIELD


def snapshot_cost(observed: Observed, repeats: int = 50) -> dict[str, float]:
    """What one snapshot costs, in seconds: median CPU and wall time of ``repeats`` of them, for ``bench/``.

    ``observed.pid`` may be any process of this machine.
    """
    sampler = LedgerSampler(observed)
    walls = []
    for _turn in range(repeats):
        started = time.perf_counter()
        sampler.snapshot("bench")
        walls.append(time.perf_counter() - started)
    costs = [one.cpu_seconds for one in sampler.snapshots]
    return {"cpu_seconds": median(costs), "wall_seconds": median(walls)}
