"""Every number that leaves by a channel: name, unit, meaning, the metric or journal field behind it, and its reader.

One table for both channels. OTLP takes ``name`` and ``unit`` as they are; Prometheus' name follows from them by the
OpenTelemetry rules (dots to underscores, unit spelt out, ``_total`` for counters). ``docs/telemetry.md`` holds
``markdown()`` and a test says so.
"""

from __future__ import annotations

from toolkit.model.evidence import NANOSECONDS, OUTCOMES, PHASES
from toolkit.telemetry.fold import REQUEST_TALLIES, RoleView
from toolkit.telemetry.instrument import (
    Found,
    Instrument,
    Number,
    maybe,
    of_go,
    of_histogram,
    of_launch,
    of_role,
    of_sample,
    sample_by,
)
from toolkit.telemetry.state import LIVE_PHASES, LaunchView


def _info(launch: LaunchView) -> Found:
    cell = launch.attempt.cell
    yield (
        {
            "run": launch.attempt.run,
            "module": cell.module,
            "version": cell.version,
            "backend": cell.backend,
            "tier": cell.backend_tier,
            "drive": cell.drive,
        },
        1,
    )


def _last_heard(role: RoleView, launch: LaunchView) -> Number:
    return ((role.last_ns or 0) + launch.wall_offset_ns) / NANOSECONDS


def _last_record(launch: LaunchView) -> Found:
    return [
        ({"role": role}, _last_heard(view, launch)) for role, view in launch.roles.items() if view.last_ns is not None
    ]


def _rows(launch: LaunchView) -> Found:
    judged = launch.judged
    return [({"role": role, "state": state}, n) for (role, state), n in judged.rows.items()] if judged else []


def _requests(role: RoleView) -> Found:
    if role.role != "sdk":
        return []
    return [
        ({"phase": phase, "outcome": outcome}, role.requests.get((phase, outcome), 0))
        for phase in PHASES[:3]
        for outcome in OUTCOMES
    ]


_LAUNCH = (
    of_launch(
        "launch.info", "gauge", "1", "What an attempt runs; always 1.", "plan.json, the run's id",
        labels=("run", "module", "version", "backend", "tier", "drive"), read=_info,
    ),
    of_launch(
        "launch.phase", "gauge", "1", "1 for the phase that an attempt is in, 0 for all others.",
        "phase marks", labels=("phase",),
        read=lambda launch: [({"phase": one}, int(one == launch.phase)) for one in LIVE_PHASES],
    ),
    of_launch(
        "launch.valid", "gauge", "1", "Whether every gate held: 1 or 0; absent until the attempt was judged.",
        "result.json `valid`", read=lambda launch: maybe(None if launch.judged is None else int(launch.judged.valid)),
    ),
    of_launch(
        "launch.grade", "gauge", "1", "The grade of a run of this attempt alone; always 1, once judged.",
        "as manifest.json `grade`", labels=("grade",),
        read=lambda launch: [({"grade": launch.judged.grade}, 1)] if launch.judged and launch.judged.grade else [],
    ),
    of_launch(
        "launch.tainted_windows", "gauge", "{window}", "Windows with interference beyond the budget, once judged.",
        "result.json `windows`",
        read=lambda launch: maybe(None if launch.judged is None else launch.judged.tainted_windows),
    ),
    of_launch(
        "readback.rows", "gauge", "{row}", "Rows of the read-back by what all witnesses together decided, once judged.",
        "readback.json `state`", labels=("role", "state"), read=_rows,
    ),
    of_launch(
        "journal.last_record_time", "gauge", "s", "When the last record was written, in seconds of Unix time.",
        "`monotonic_ns` by the journal's anchor", labels=("role",), read=_last_record,
    ),
)  # fmt: skip

_JOURNAL = (
    of_role(
        "journal.records", "counter", "{record}", "Records of the journal that were taken in.", "records",
        read=lambda role: maybe(role.records),
    ),
    of_role(
        "journal.unreadable", "counter", "{record}", "Records or lines that cannot be believed.",
        "gates `journal` and `rows`", read=lambda role: maybe(role.unreadable),
    ),
    of_role("windows", "counter", "{window}", "Windows that have ended.", "`WindowEnd`",
             read=lambda role: maybe(role.window_ends)),
    of_role(
        "readback.agent_rows", "gauge", "{row}", "Rows as the agent last read each, against what was asked for.",
        "latest `Readback`", labels=("state",),
        read=lambda role: [({"state": key}, n) for key, n in role.readback.items()],
    ),
)  # fmt: skip

_REQUESTS = (
    of_role(
        "requests", "counter", "{request}", "Requests sent, by the phase of their scheduled send and by outcome.",
        "`error.rate`, `error.*.rate`, `qps.offered_hz`", labels=("phase", "outcome"), read=_requests,
    ),
    of_role(
        "requests.dropped", "counter", "{request}", "Sends never made; known when the load generator has ended.",
        "`drop.rate`", read=lambda role: maybe(role.totals.dropped if role.totals else None),
    ),
    of_role(
        "backend.requests", "counter", "{request}", "Requests that the backend counted itself.",
        "record `counts`", read=lambda role: maybe(role.served),
    ),
)  # fmt: skip

_HISTOGRAMS = (
    *(of_histogram(name, f"{text}, measured requests.") for name, text in zip(
        REQUEST_TALLIES,
        (
            "Response end minus scheduled send, successful",
            "Response end minus actual send, successful",
            "Actual minus scheduled send: the load generator's own lateness, all",
            "First token minus scheduled send, successful",
            "First token minus actual send, successful",
            "Time per output token after the first, successful",
            "Receipt of a frame minus the backend's write stamp in it, one value per frame, successful",
        ),
        strict=True,
    )),
    of_histogram("backend.delay", "Actual minus scheduled write of a frame by a paced backend, since its start."),
    of_histogram("gc.pause", "Stop-the-world pauses of the garbage collector since the program's start, upper edges."),
)  # fmt: skip

_SAMPLES = (
    sample_by(
        "cpu.time", "counter", "s", "CPU time of the process tree.", "`cpu.per_request_seconds`", label="mode",
        values={
            "user": lambda one: one.cpu_user_ns / NANOSECONDS,
            "system": lambda one: one.cpu_system_ns / NANOSECONDS,
        },
    ),
    sample_by(
        "rss", "gauge", "By", "Resident memory of the process tree.", "`rss.process.last_bytes`, `rss.anon.max_bytes`",
        label="type",
        values={
            "anon": lambda one: one.rss_anon_bytes,
            "file": lambda one: one.rss_file_bytes,
            "shmem": lambda one: one.rss_shmem_bytes,
        },
    ),
    of_sample("rss.peak", "gauge", "By", "The kernel's high-water mark of the program (VmHWM).", "`rss.peak_bytes`",
            value=lambda one: one.rss_peak_bytes),
    of_sample("processes", "gauge", "{process}", "Processes of the tree.", "`processes`",
            value=lambda one: one.processes),
    of_sample("threads", "gauge", "{thread}", "Threads of the process tree.", "`threads`",
            value=lambda one: one.threads),
    of_sample("major_faults", "counter", "{fault}", "Page faults that needed the disk.", "`major_faults`",
            value=lambda one: one.major_faults),
    sample_by(
        "context_switches", "counter", "{switch}", "Context switches of the process tree.", "`context_switches_*`",
        label="type",
        values={
            "voluntary": lambda one: one.context_switches_voluntary,
            "involuntary": lambda one: one.context_switches_involuntary,
        },
    ),
    of_sample("run_queue_wait", "counter", "s", "Time in which threads were ready to run and did not.",
            "`run_queue_wait_ns`", value=lambda one: one.run_queue_wait_ns / NANOSECONDS),
    of_sample("cgroup.memory", "gauge", "By", "Memory of the container's control group.", "`rss.cgroup.max_bytes`",
            value=lambda one: one.cgroup_memory_bytes),
    of_sample("cgroup.swap", "gauge", "By", "Swap of the container's control group.", "`cgroup_swap_bytes`",
            value=lambda one: one.cgroup_swap_bytes),
    of_sample("cgroup.cpu.time", "counter", "s", "CPU time of the container's control group.", "`cgroup_cpu_ns`",
            value=lambda one: one.cgroup_cpu_ns / NANOSECONDS),
    of_sample("cgroup.throttled_periods", "counter", "{period}", "Periods in which the control group was throttled.",
            "`cgroup_throttled_periods`", value=lambda one: one.cgroup_throttled_periods),
    of_sample("cgroup.throttled.time", "counter", "s", "Time for which the control group was throttled.",
            "`cgroup_throttled_ns`", value=lambda one: one.cgroup_throttled_ns / NANOSECONDS),
    of_sample("cgroup.pids", "gauge", "{process}", "Processes and threads in the control group.", "`cgroup_pids`",
            value=lambda one: one.cgroup_pids),
    of_sample("agent.cpu.time", "counter", "s", "CPU time of our agent in the container.", "`agent_cpu_ns`",
            value=lambda one: one.agent_cpu_ns / NANOSECONDS),
    of_sample("agent.rss", "gauge", "By", "Resident memory of our agent in the container.", "`agent_rss_bytes`",
            value=lambda one: one.agent_rss_bytes),
)  # fmt: skip

_GO = (
    of_go("go.goroutines", "gauge", "{goroutine}", "Goroutines.", "`goroutines.max`", value=lambda one: one.goroutines),
    of_go("go.heap.live", "gauge", "By", "Heap that the last collection found live.", "`heap_live_bytes`",
        value=lambda one: one.heap_live_bytes),
    of_go("go.heap.goal", "gauge", "By", "Heap size at which the next collection ends.", "`heap_goal_bytes`",
        value=lambda one: one.heap_goal_bytes),
    of_go("go.memory", "gauge", "By", "All memory mapped by the Go runtime.", "`total_bytes`",
        value=lambda one: one.total_bytes),
    of_go("go.alloc", "counter", "By", "Heap bytes allocated.", "`alloc_bytes.per_request_bytes`",
        value=lambda one: one.alloc_bytes),
    of_go("go.alloc.objects", "counter", "{object}", "Heap objects allocated.", "`allocs.per_request`",
        value=lambda one: one.alloc_objects),
    of_go("go.gc.cycles", "counter", "{cycle}", "Garbage collections completed.", "`gc.cycles`",
        value=lambda one: one.gc_cycles),
)  # fmt: skip

INSTRUMENTS: tuple[Instrument, ...] = (*_LAUNCH, *_JOURNAL, *_REQUESTS, *_HISTOGRAMS, *_SAMPLES, *_GO)


def markdown() -> str:
    """The table of ``docs/telemetry.md``."""
    lines = [
        "| Prometheus | OTLP | unit | what | labels beside the common ones | metric id or field |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in INSTRUMENTS:
        series = one.prometheus_series + ("_bucket" if one.kind == "histogram" else "")
        labels = ", ".join(f"`{label}`" for label in one.labels) or "-"
        source = one.source if "`" in one.source or " " in one.source else f"`{one.source}`"
        lines.append(f"| `{series}` | `{one.name}` | {one.unit} | {one.help} | {labels} | {source} |")
    return "\n".join(lines) + "\n"
