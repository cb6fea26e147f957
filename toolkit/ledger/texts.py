"""Kernel texts as numbers. Pure; each function raises LookupError or ValueError when its text lacks the field.

Sources: proc(5), Documentation/scheduler/sched-stats.rst, Documentation/accounting/psi.rst, cgroup-v1 and cgroup-v2.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence

_NS = 1_000_000_000
_US = 1_000_000
_IDLE, _IOWAIT, _IRQ, _SOFTIRQ, _STEAL = 3, 4, 5, 6, 7
"""Fields of a cpu line (after its name): user nice system idle iowait irq softirq steal guest guest_nice."""


def ticks_hz() -> int:
    """Clock ticks a second of the counters in ``/proc``."""
    return os.sysconf("SC_CLK_TCK")


def pairs(text: str) -> dict[str, str]:
    """Lines of a name and a value."""
    return {parts[0]: parts[1] for line in text.splitlines() if len(parts := line.split()) == 2}


def read_stat(text: str, cpus: Collection[int]) -> dict[str, float]:
    """Seconds of some CPUs and the machine's context switches, from ``/proc/stat``. KeyError for a CPU not there."""
    lines = dict(line.split(" ", 1) for line in text.splitlines() if line.startswith(("cpu", "ctxt")))
    rows = [[int(number) for number in lines[f"cpu{cpu}"].split()] for cpu in cpus]
    seconds = {
        "idle_seconds": sum(row[_IDLE] + row[_IOWAIT] for row in rows),
        "steal_seconds": sum(row[_STEAL] for row in rows),
        "irq_seconds": sum(row[_IRQ] for row in rows),
        "softirq_seconds": sum(row[_SOFTIRQ] for row in rows),
    }
    return {name: ticks / ticks_hz() for name, ticks in seconds.items()} | {"context_switches": int(lines["ctxt"])}


def read_usage_percpu(text: str, cpus: Collection[int]) -> float:
    """Seconds that a cgroup's tasks ran on some CPUs, from ``cpuacct.usage_percpu`` (nanoseconds, one per CPU)."""
    used = text.split()
    return sum(int(used[cpu]) for cpu in cpus) / _NS


def read_vmstat(text: str) -> dict[str, int]:
    """Counters of the whole machine, from ``/proc/vmstat``. ``oom_kill`` came with Linux 4.13."""
    values = pairs(text)
    names = {
        "swap_in_pages": "pswpin",
        "swap_out_pages": "pswpout",
        "machine_major_faults": "pgmajfault",
        "machine_oom_kills": "oom_kill",
    }
    return {name: int(values[key]) for name, key in names.items() if key in values}


def read_throttling(text: str) -> dict[str, float]:
    """Throttled periods and time, from a ``cpu.stat``: nanoseconds in v1, microseconds in v2."""
    values = pairs(text)
    spent = int(values["throttled_usec"]) / _US if "throttled_usec" in values else int(values["throttled_time"]) / _NS
    return {"throttled_periods": int(values["nr_throttled"]), "throttled_seconds": spent}


def read_pressure(text: str) -> dict[str, float]:
    """Seconds of each line of a pressure file (``some``, ``full``): its running total."""
    found = {}
    for line in text.splitlines():
        word, *parts = line.split()
        found[word] = int(dict(part.split("=", 1) for part in parts)["total"]) / _US
    return found


def read_interrupts(text: str, cpus: Collection[int]) -> dict[str, int]:
    """Interrupts that some CPUs took, from ``/proc/interrupts`` or ``/proc/softirqs``: all, and the numbered lines.

    Lines that are not per CPU (ERR, MIS) are left out. KeyError for a CPU that has no column.
    """
    head, *lines = text.splitlines()
    columns = {int(word[3:]): place for place, word in enumerate(head.split(), start=1)}
    wanted = [columns[cpu] for cpu in cpus]
    every = devices = 0
    for line in lines:
        parts = line.split(None, len(columns) + 1)
        if len(parts) <= len(columns) or not parts[len(columns)].isdecimal():
            continue
        taken = sum(int(parts[place]) for place in wanted)
        every += taken
        devices += taken if parts[0].rstrip(":").isdecimal() else 0
    return {"all": every, "devices": devices}


def read_schedstat(text: str, cpus: Collection[int]) -> dict[str, float]:
    """Run-queue wait and turns on some CPUs, from ``/proc/schedstat`` (columns 8 and 9 of every version)."""
    lines = dict(line.split(" ", 1) for line in text.splitlines() if line.startswith("cpu"))
    rows = [[int(number) for number in lines[f"cpu{cpu}"].split()] for cpu in cpus]
    return {
        "cpu_run_queue_wait_seconds": sum(row[7] for row in rows) / _NS,
        "timeslices": sum(row[8] for row in rows),
    }


def read_oom_kills(text: str) -> int:
    """Processes of a cgroup that were killed for lack of memory: ``memory.oom_control`` or ``memory.events``."""
    return int(pairs(text)["oom_kill"])


def tightest(readings: Sequence[tuple[int, int, int]]) -> int:
    """The difference of two clocks, in nanoseconds: of (before, other, after) the reading with the least between.

    A reading that was interrupted shows a difference that never was.
    """
    before, other, after = min(readings, key=lambda one: one[2] - one[0])
    return other - (before + after) // 2
