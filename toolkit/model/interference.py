"""Interference: what the ledger counts in a window, and how much of it a window may have before it is tainted.

``QUANTITIES`` are the numbers of ``ledger.json``, ``BUDGET`` the keys of a plan's ``interference_budget`` with their
defaults. By default only that is judged which the workload cannot do to itself: pressure, run-queue wait, major faults
and softirqs also come of the workload's own work, so they are recorded, and judged only where a user says so.
``docs/interference.md`` holds both tables, and a test says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Quantity:
    """One number of a window. ``source`` is the kernel's file; ``scope`` is whom it counts."""

    id: str
    unit: str
    scope: str
    source: str
    definition: str


_MACHINE = "machine"
_MEASURED = "measured CPUs"
_CONTAINER = "SDK container"
_PROGRAM = "program"
_SIBLINGS = "idle siblings"


def _pressure() -> list[Quantity]:
    rows = []
    for prefix, scope, folder in (
        ("pressure", _MACHINE, "/proc/pressure/"),
        ("container_pressure", _CONTAINER, "cgroup v2 *.pressure"),
    ):
        for resource in ("cpu", "memory", "io", "irq"):
            for word, text in (("some", "some task"), ("full", "every task that was not idle")):
                if (resource, word) == ("irq", "some"):
                    continue  # the kernel knows only the full line of irq
                source = f"{folder}{resource}" if scope == _MACHINE else folder
                rows.append(
                    Quantity(
                        f"{prefix}_{resource}_{word}_seconds",
                        "seconds",
                        scope,
                        source,
                        f"time in which {text} waited for {resource}",
                    )
                )
    return rows


QUANTITIES: tuple[Quantity, ...] = (
    Quantity(
        "foreign_cpu_seconds",
        "seconds",
        _MEASURED,
        "cpuacct.usage_percpu (v1), /proc/stat and cpu.stat (v2)",
        "CPU time of tasks that are not ours",
    ),
    Quantity("sibling_cpu_seconds", "seconds", _SIBLINGS, "as above", "CPU time of any task"),
    Quantity("steal_seconds", "seconds", _MEASURED, "/proc/stat", "time that the hypervisor gave to others"),
    Quantity("irq_seconds", "seconds", _MEASURED, "/proc/stat", "time in interrupt handlers, ours included"),
    Quantity("softirq_seconds", "seconds", _MEASURED, "/proc/stat", "time in soft interrupts, our loopback's included"),
    Quantity("throttled_periods", "count", _CONTAINER, "cpu.stat", "periods in which a CPU quota stopped it"),
    Quantity("throttled_seconds", "seconds", _CONTAINER, "cpu.stat", "time for which a CPU quota stopped it"),
    Quantity("swap_in_pages", "count", _MACHINE, "/proc/vmstat pswpin", "pages read from swap"),
    Quantity("swap_out_pages", "count", _MACHINE, "/proc/vmstat pswpout", "pages written to swap"),
    *_pressure(),
    Quantity("interrupts", "count", _MEASURED, "/proc/interrupts", "interrupts of every kind"),
    Quantity("device_interrupts", "count", _MEASURED, "/proc/interrupts", "those of devices (numbered lines)"),
    Quantity("softirqs", "count", _MEASURED, "/proc/softirqs", "soft interrupts of every kind"),
    Quantity("context_switches", "count", _MACHINE, "/proc/stat ctxt", "context switches"),
    Quantity("timeslices", "count", _MEASURED, "/proc/schedstat", "turns that tasks were given"),
    Quantity(
        "cpu_run_queue_wait_seconds", "seconds", _MEASURED, "/proc/schedstat", "time that tasks stood in the run queues"
    ),
    Quantity(
        "run_queue_wait_seconds", "seconds", _PROGRAM, "/proc/PID/schedstat, by the agent", "its time in run queues"
    ),
    Quantity(
        "voluntary_switches",
        "count",
        _PROGRAM,
        "/proc/PID/status, by the agent",
        "times that its threads let go of a CPU",
    ),
    Quantity(
        "involuntary_switches",
        "count",
        _PROGRAM,
        "/proc/PID/status, by the agent",
        "times that its threads were put off a CPU for another task's sake",
    ),
    Quantity("major_faults", "count", _PROGRAM, "/proc/PID/stat, by the agent", "faults that had to wait for a disk"),
    Quantity("machine_major_faults", "count", _MACHINE, "/proc/vmstat pgmajfault", "the same of all programs"),
    Quantity(
        "oom_kills",
        "count",
        _CONTAINER,
        "memory.oom_control (v1), memory.events (v2)",
        "processes killed for lack of memory",
    ),
    Quantity("machine_oom_kills", "count", _MACHINE, "/proc/vmstat oom_kill", "the same of all programs"),
    Quantity("frequency_mean_hz", "hertz", _MEASURED, "scaling_cur_freq", "mean of the CPUs at the end"),
    Quantity("frequency_lowest_hz", "hertz", _MEASURED, "scaling_cur_freq", "slowest CPU at either end"),
    Quantity(
        "thermal_throttles",
        "count",
        _MEASURED,
        "thermal_throttle/core_throttle_count, package_throttle_count",
        "times that heat slowed them",
    ),
    Quantity(
        "clock_step_seconds",
        "seconds",
        _MACHINE,
        "CLOCK_REALTIME against CLOCK_MONOTONIC",
        "how far the wall clock was set, either way",
    ),
    Quantity(
        "clock_slew_seconds",
        "seconds",
        _MACHINE,
        "CLOCK_MONOTONIC against CLOCK_MONOTONIC_RAW",
        "how far the monotonic clock was steered, signed",
    ),
    Quantity(
        "suspended_seconds",
        "seconds",
        _MACHINE,
        "CLOCK_BOOTTIME against CLOCK_MONOTONIC",
        "how long the machine was suspended",
    ),
    Quantity(
        "clock_source_changes", "count", _MACHINE, "current_clocksource", "1 if the kernel changed its clock source"
    ),
)


@dataclass(frozen=True)
class Key:
    """One key of the budget: the most that a window may have of it, ``default`` None for "recorded, not judged".

    ``says`` is what people read; ``essential``: a window of which this cannot be said was not judged (grade C at most).
    """

    id: str
    unit: str
    default: float | None
    says: str
    definition: str
    why: str
    essential: bool = False


_SELF = "off: the workload does it to itself, too"

BUDGET: dict[str, Key] = {
    key.id: key
    for key in (
        Key(
            "foreign_cpu_share",
            "ratio",
            0.02,
            "foreign CPU",
            "foreign_cpu_seconds / (length x measured CPUs)",
            "above what kernel threads take on a quiet host, below what a neighbour does",
            essential=True,
        ),
        Key(
            "sibling_cpu_share",
            "ratio",
            0.02,
            "CPU time on the idle siblings",
            "sibling_cpu_seconds / (length x idle siblings)",
            "a sibling shares the core's pipelines: it counts as much as the CPU itself",
        ),
        Key(
            "steal_share",
            "ratio",
            0.01,
            "steal",
            "steal_seconds / (length x measured CPUs)",
            "ten times the 10 ms grain of the counter over a window",
            essential=True,
        ),
        Key(
            "throttled_periods",
            "count",
            0,
            "throttled periods",
            "throttled_periods",
            "no launch asks for a quota: one period is somebody else's limit",
            essential=True,
        ),
        Key(
            "swap_pages_hz",
            "hertz",
            256,
            "swapped pages per second",
            "(swap_in_pages + swap_out_pages) / length",
            "1 MiB a second: a container has no swap, but beyond a trickle the kernel's reclaim is felt",
            essential=True,
        ),
        Key("oom_kills", "count", 0, "processes killed for lack of memory", "oom_kills", "none is normal"),
        Key("thermal_throttles", "count", 0, "thermal throttles", "thermal_throttles", "none is normal"),
        Key(
            "clock_step_seconds",
            "seconds",
            0.01,
            "step of the wall clock",
            "clock_step_seconds",
            "steering never does it; a set clock or a paused virtual machine does",
        ),
        Key(
            "suspended_seconds",
            "seconds",
            0.01,
            "time in suspend",
            "suspended_seconds",
            "none is normal",
        ),
        Key(
            "clock_source_changes",
            "count",
            0,
            "changes of the clock source",
            "clock_source_changes",
            "another source makes each reading of the clock dearer",
        ),
        Key(
            "run_queue_wait_share",
            "ratio",
            None,
            "run-queue wait of the program",
            "run_queue_wait_seconds / length",
            f"{_SELF} (its own threads wait for each other)",
        ),
        Key("softirq_share", "ratio", None, "soft interrupts", "softirq_seconds / (length x measured CPUs)", _SELF),
        Key("irq_share", "ratio", None, "interrupts", "irq_seconds / (length x measured CPUs)", _SELF),
        Key(
            "device_interrupts_hz",
            "hertz",
            None,
            "device interrupts per second",
            "device_interrupts / length",
            "off: what is normal differs by machine",
        ),
        Key("major_faults_hz", "hertz", None, "major faults per second", "major_faults / length", _SELF),
        Key(
            "pressure_cpu_share",
            "ratio",
            None,
            "CPU pressure of the machine",
            "pressure_cpu_some_seconds / length",
            "off: it counts CPUs that are not measured",
        ),
        Key(
            "pressure_memory_share",
            "ratio",
            None,
            "memory pressure of the machine",
            "pressure_memory_some_seconds / length",
            "off: it counts everybody's",
        ),
        Key(
            "pressure_io_share",
            "ratio",
            None,
            "I/O pressure of the machine",
            "pressure_io_some_seconds / length",
            "off: it counts everybody's",
        ),
    )
}


def default_budget() -> dict[str, float | None]:
    """The budget of a plan that nobody changed."""
    return {key.id: key.default for key in BUDGET.values()}


def loosened(budget: Mapping[str, float | None]) -> list[str]:
    """Keys that a budget judges less strictly than the defaults, or not at all."""
    return [
        key.id
        for key in BUDGET.values()
        if key.default is not None
        and (key.id not in budget or (limit := budget[key.id]) is None or limit > key.default)
    ]


def amount_text(key: str, value: float) -> str:
    """An amount of a budget key for people: ``31 %``, ``12``, ``0.5 s``."""
    unit = BUDGET[key].unit if key in BUDGET else ""
    if unit == "ratio":
        return f"{value * 100:.3g} %"
    return f"{value:.4g} s" if unit == "seconds" else f"{value:.4g}"


def taint_text(taint: Mapping[str, Any], cpus: str = "") -> str:
    """One taint in words. ``cpus`` are the measured CPUs, named where they were disturbed."""
    key = str(taint["what"])
    says = BUDGET[key].says if key in BUDGET else key
    where = f" of CPU {cpus}" if cpus and key in ("foreign_cpu_share", "steal_share") else ""
    return f"{says} {amount_text(key, taint['found'])}{where}, budget {amount_text(key, taint['limit'])}"


def markdown() -> str:
    """The two tables of ``docs/interference.md``."""
    lines = ["| number | unit | of | read from | meaning |", "| --- | --- | --- | --- | --- |"]
    lines += [f"| `{one.id}` | {one.unit} | {one.scope} | {one.source} | {one.definition} |" for one in QUANTITIES]
    lines += ["", "| key | default | what it is | why |", "| --- | --- | --- | --- |"]
    for key in BUDGET.values():
        limit = "off" if key.default is None else f"{key.default:g}"
        why = key.why.removeprefix("off: ")
        lines.append(f"| `{key.id}` | {limit} | {key.definition} | {why} |")
    return "\n".join(lines) + "\n"
