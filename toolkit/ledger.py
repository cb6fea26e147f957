"""The ledger of interference: what else happened on the measured CPUs, window by window.

Thin readers of kernel counters (proc(5) ``/proc/stat``, ``/proc/vmstat``, ``/proc/pressure``; the container's cgroup,
v1 or v2) and a pure difference. The host reads them: newer engines mask such files inside containers. Take the
snapshots at t0 and at each t0 + k windows of CLOCK_MONOTONIC, which host and containers share::

    sampler = LedgerSampler("0", 4711, agent_cpus="1")
    sampler.snapshot("t0"); ...; sampler.snapshot("window:0"); ...
    write(ledger(sampler.snapshots, windows=3))
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from toolkit.model.cpulist import parse_cpulist

LEDGER_SCHEMA = "repro.ledger/1"
START = "t0"
_NS = 1_000_000_000
_US = 1_000_000
_STEAL = 7
"""Field of a cpu line (after its name): user nice system idle iowait irq softirq steal guest guest_nice."""

_BUSY = (0, 1, 2, 5, 6)
"""Guest time is part of user time already."""


@dataclass(frozen=True)
class Snapshot:
    """Cumulative counters at one moment; None where the kernel does not tell, with the reason in ``problems``.

    Busy and steal time are sums over the measured CPUs; ``ours_seconds`` is what our containers used there.
    """

    label: str
    monotonic_ns: int
    busy_seconds: float | None = None
    steal_seconds: float | None = None
    swap_in_pages: int | None = None
    swap_out_pages: int | None = None
    ours_seconds: float | None = None
    throttled_periods: int | None = None
    throttled_seconds: float | None = None
    pressure_cpu_seconds: float | None = None
    problems: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class CgroupFiles:
    """Where one container's CPU counters are. ``percpu`` is None on v2, which has no counters per CPU."""

    stat: Path
    percpu: Path | None


def cgroup_files(pid: int, root: Path = Path("/")) -> CgroupFiles:
    """The files of the cgroup that a process is in. Raises OSError when the process is gone."""
    base = root / "sys/fs/cgroup"
    groups = {}
    for line in (root / f"proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path.lstrip("/")
    if "cpu" in groups:
        percpu = base / "cpuacct" / groups.get("cpuacct", groups["cpu"]) / "cpuacct.usage_percpu"
        return CgroupFiles(base / "cpu" / groups["cpu"] / "cpu.stat", percpu)
    return CgroupFiles(base / groups.get("", "") / "cpu.stat", None)


class LedgerSampler:
    """Takes snapshots when told. ``pid`` is the host's number of the SDK container's first process, the agent.

    ``backend_pid`` is given where the backend shares the measured CPUs: its time there is then ours, too. The agent's
    own time counts as ours only where ``agent_cpus`` are measured CPUs.
    """

    def __init__(
        self,
        cpus: str,
        pid: int,
        *,
        backend_pid: int | None = None,
        agent_cpus: str = "",
        root: Path = Path("/"),
    ) -> None:
        self._cpus = parse_cpulist(cpus)
        self._pid = pid
        self._ours = (pid,) if backend_pid is None else (pid, backend_pid)
        self._agent_is_ours = bool(agent_cpus) and bool(set(parse_cpulist(agent_cpus)) & set(self._cpus))
        self._root = root
        self._files: dict[int, CgroupFiles] = {}
        self._snapshots: list[Snapshot] = []

    @property
    def snapshots(self) -> tuple[Snapshot, ...]:
        """Those taken so far."""
        return tuple(self._snapshots)

    def snapshot(self, label: str) -> Snapshot:
        """Read all counters now: ``t0``, ``window:<k>`` at the end of window k, ``end``. Never raises."""
        values: dict[str, Any] = {}
        problems: dict[str, str] = {}
        readers = (self._read_stat, self._read_swap, self._read_ours, self._read_throttling, self._read_pressure)
        moment = time.monotonic_ns()
        for reader in readers:
            try:
                values.update(reader())
            except (OSError, ValueError, LookupError) as problem:
                problems.update(dict.fromkeys(_FIELDS[reader.__name__], _why(problem)))
        taken = Snapshot(label, moment, **values, problems=problems)
        self._snapshots.append(taken)
        return taken

    def _read_stat(self) -> dict[str, Any]:
        return read_stat((self._root / "proc/stat").read_text(), self._cpus)

    def _read_swap(self) -> dict[str, Any]:
        return read_vmstat((self._root / "proc/vmstat").read_text())

    def _read_pressure(self) -> dict[str, Any]:
        return read_pressure((self._root / "proc/pressure/cpu").read_text())

    def _read_ours(self) -> dict[str, Any]:
        return {"ours_seconds": sum(self._used(pid) for pid in self._ours)}

    def _used(self, pid: int) -> float:
        files = self._cgroup(pid)
        if files.percpu is not None:
            used = files.percpu.read_text().split()
            return sum(int(used[cpu]) for cpu in self._cpus) / _NS
        total = int(_pairs(files.stat.read_text())["usage_usec"]) / _US
        if self._agent_is_ours:
            return total
        # v2 counts per group only: take away its one process that may run elsewhere, the agent (user + system).
        stat = (self._root / f"proc/{pid}/stat").read_text()
        fields = stat[stat.rindex(")") + 2 :].split()
        return total - (int(fields[11]) + int(fields[12])) / _ticks_hz()

    def _read_throttling(self) -> dict[str, Any]:
        return read_throttling(self._cgroup(self._pid).stat.read_text())

    def _cgroup(self, pid: int) -> CgroupFiles:
        if pid not in self._files:
            self._files[pid] = cgroup_files(pid, self._root)
        return self._files[pid]


_FIELDS = {
    "_read_stat": ("busy_seconds", "steal_seconds"),
    "_read_swap": ("swap_in_pages", "swap_out_pages"),
    "_read_ours": ("ours_seconds",),
    "_read_throttling": ("throttled_periods", "throttled_seconds"),
    "_read_pressure": ("pressure_cpu_seconds",),
}


def read_stat(text: str, cpus: Sequence[int]) -> dict[str, float]:
    """Busy and steal seconds of some CPUs, from ``/proc/stat``. Raises KeyError when one of them is not there."""
    lines = dict(line.split(" ", 1) for line in text.splitlines() if line.startswith("cpu"))
    rows = [[int(number) for number in lines[f"cpu{cpu}"].split()] for cpu in cpus]
    busy = sum(row[column] for row in rows for column in _BUSY)
    steal = sum(row[_STEAL] for row in rows)
    return {"busy_seconds": busy / _ticks_hz(), "steal_seconds": steal / _ticks_hz()}


def read_vmstat(text: str) -> dict[str, int]:
    """Pages swapped in and out by the whole machine, from ``/proc/vmstat``."""
    values = _pairs(text)
    return {"swap_in_pages": int(values["pswpin"]), "swap_out_pages": int(values["pswpout"])}


def read_throttling(text: str) -> dict[str, float]:
    """Throttled periods and time, from a ``cpu.stat``: nanoseconds in v1, microseconds in v2."""
    values = _pairs(text)
    spent = int(values["throttled_usec"]) / _US if "throttled_usec" in values else int(values["throttled_time"]) / _NS
    return {"throttled_periods": int(values["nr_throttled"]), "throttled_seconds": spent}


def read_pressure(text: str) -> dict[str, float]:
    """Time in which some task of the machine waited for a CPU, from ``/proc/pressure/cpu``."""
    some = next(line for line in text.splitlines() if line.startswith("some "))
    total = dict(part.split("=", 1) for part in some.split()[1:])["total"]
    return {"pressure_cpu_seconds": int(total) / _US}


def ledger(snapshots: Sequence[Snapshot], *, windows: int) -> dict[str, Any]:
    """``ledger.json``: differences per window, and over the whole measured time (``schemas/ledger.schema.json``)."""
    taken = {snapshot.label: snapshot for snapshot in snapshots}
    labels = [START, *(f"window:{index}" for index in range(windows))]
    rows = [
        {"index": index} | _difference(taken.get(before), taken.get(after), (before, after))
        for index, (before, after) in enumerate(pairwise(labels))
    ]
    last = "end" if "end" in taken else labels[-1]
    return {
        "schema": LEDGER_SCHEMA,
        "resolution_seconds": 1 / _ticks_hz(),
        "windows": rows,
        "total": _difference(taken.get(START), taken.get(last), (START, last)),
    }


def _difference(first: Snapshot | None, last: Snapshot | None, labels: tuple[str, str]) -> dict[str, Any]:
    if first is None or last is None or first is last:
        missing = labels[0] if first is None else labels[1]
        reasons = dict.fromkeys(_RESULTS, f"no snapshot was taken at {missing}")
        return {"seconds": None, **dict.fromkeys(_RESULTS), "reason_unavailable": reasons}
    values: dict[str, Any] = {name: _delta(first, last, name) for name in _RESULTS if name != "foreign_cpu_seconds"}
    busy, ours = _delta(first, last, "busy_seconds"), _delta(first, last, "ours_seconds")
    # Ticks of the two counters do not fall together: a small negative rest is nothing, not less than nothing.
    values["foreign_cpu_seconds"] = max(busy - ours, 0.0) if busy is not None and ours is not None else None
    problems = {**first.problems, **last.problems}
    problems["foreign_cpu_seconds"] = problems.get("busy_seconds") or problems.get("ours_seconds", "")
    reasons = {name: problems.get(name) or "not read" for name in _RESULTS if values[name] is None}
    elapsed = (last.monotonic_ns - first.monotonic_ns) / _NS
    return {"seconds": elapsed, **values, "reason_unavailable": reasons or None}


_RESULTS = (
    "throttled_periods",
    "throttled_seconds",
    "steal_seconds",
    "swap_in_pages",
    "swap_out_pages",
    "foreign_cpu_seconds",
    "pressure_cpu_seconds",
)


def _delta(first: Snapshot, last: Snapshot, name: str) -> Any:
    before, after = getattr(first, name), getattr(last, name)
    return None if before is None or after is None else after - before


def _pairs(text: str) -> dict[str, str]:
    return {parts[0]: parts[1] for line in text.splitlines() if len(parts := line.split()) == 2}


def _ticks_hz() -> int:
    return os.sysconf("SC_CLK_TCK")


def _why(problem: Exception) -> str:
    """A reason without paths: they would name this machine's containers."""
    if isinstance(problem, OSError):
        return problem.strerror or "cannot be read"
    return "the kernel's file has not the field"
