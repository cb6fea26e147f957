"""What both channels must show of an attempt, worked out from its files by the plain definitions and nothing of ours
but the journal's reader: the live state, its folds and tallies have no part in it.

Numbers are keyed by Prometheus series and the labels beside the common ones.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from toolkit.collect.evidence import read_evidence
from toolkit.collect.journal import read_journal
from toolkit.model.evidence import Evidence, Request
from toolkit.model.plan import CellPlan

Key = tuple[str, tuple[tuple[str, str], ...]]
Numbers = dict[Key, float]
COMMON = ("sdk", "workload", "arm", "launch", "attempt")

LES = [
    "1e-05", "2.5e-05", "5e-05", "0.0001", "0.00025", "0.0005", "0.001", "0.0025", "0.005", "0.01", "0.025", "0.05",
    "0.1", "0.25", "0.5", "1.0", "2.5", "5.0", "10.0", "25.0", "50.0", "+Inf",
]  # fmt: skip
OUTCOMES = (
    "ok", "transport", "http_status", "json_parse", "truncated_stream", "wrong_answer", "timeout", "other",
)  # fmt: skip
SECOND = 1_000_000_000


def key(series: str, **labels: str) -> Key:
    """A series and its labels, in an order that compares."""
    return series, tuple(sorted(labels.items()))


def numbers_of(attempt: Path, cell: CellPlan) -> Numbers:
    """Everything that must be shown of an attempt whose files are complete."""
    found: Numbers = {}
    names = {"sdk": "journal.pb", "backend": "backend.journal.pb"}
    for role, name in names.items():
        path = attempt / name
        if not path.exists():
            continue
        told = read_evidence(path)
        records = len(read_journal(path).records)
        found |= _role(role, told, records)
        if role == "sdk":
            found |= _requests(told, cell)
            anchor = told.agent
    assert anchor is not None
    for role, name in names.items():
        if (attempt / name).exists():
            last = read_journal(attempt / name).records[-1].monotonic_ns
            wall = last + anchor.wall_unix_ns - anchor.monotonic_ns
            found[key("repro_journal_last_record_time_seconds", role=role)] = wall / SECOND
    return found | _judged(attempt)


def _judged(attempt: Path) -> Numbers:
    result = json.loads((attempt / "result.json").read_text())
    readback = json.loads((attempt / "readback.json").read_text())
    found = {
        key("repro_launch_valid"): float(result["valid"]),
        key("repro_launch_tainted_windows"): float(sum(one["tainted"] for one in result["windows"])),
    }
    for role, part in readback["containers"].items():
        for state in ("held", "broken", "unwitnessed", "absent"):
            count = sum(row["state"] == state for row in part["rows"])
            found[key("repro_readback_rows", role=role, state=state)] = float(count)
    manifest = attempt.parents[2] / "manifest.json"
    if manifest.exists():  # of a run of one launch: its grade is the launch's
        found[key("repro_launch_grade", grade=json.loads(manifest.read_text())["grade"]["letter"])] = 1.0
    for phase in ("starting", "warmup", "measure", "drain", "done", "ended"):
        found[key("repro_launch_phase", phase=phase)] = float(phase == "ended")
    return found


def _role(role: str, told: Evidence, records: int) -> Numbers:
    found = {
        key("repro_journal_records_total", role=role): float(records),
        key("repro_journal_unreadable_total", role=role): 0.0,
        key("repro_windows_total", role=role): float(len(told.window_ends)),
    }
    rows: dict[str, str] = {}
    for row in [row for one in told.readbacks for row in one.rows]:
        if row.absent or row.error or row.expected:
            same = "held" if row.found == row.expected else "broken"
            rows[row.id] = "absent" if row.absent else "unreadable" if row.error else same
    if rows:
        for state in ("held", "broken", "absent", "unreadable"):
            found[key("repro_readback_agent_rows", role=role, state=state)] = float([*rows.values()].count(state))
    if "backend.requests" in told.counts:
        found[key("repro_backend_requests_total", role=role)] = float(told.counts["backend.requests"])
    if role == "backend":
        delays = [value for one in told.series if one.name == "backend.delay_seconds" for value in one.values_ns]
        found |= histogram("repro_backend_delay_seconds", delays, role)
    return found | _sample(role, told) | _go(role, told)


def _sample(role: str, told: Evidence) -> Numbers:
    if not told.samples:
        return {}
    last = told.samples[-1]
    plain = {
        "repro_rss_peak_bytes": last.rss_peak_bytes,
        "repro_processes": last.processes,
        "repro_threads": last.threads,
        "repro_major_faults_total": last.major_faults,
        "repro_run_queue_wait_seconds_total": last.run_queue_wait_ns / SECOND,
        "repro_cgroup_memory_bytes": last.cgroup_memory_bytes,
        "repro_cgroup_swap_bytes": last.cgroup_swap_bytes,
        "repro_cgroup_cpu_time_seconds_total": last.cgroup_cpu_ns / SECOND,
        "repro_cgroup_throttled_periods_total": last.cgroup_throttled_periods,
        "repro_cgroup_throttled_time_seconds_total": last.cgroup_throttled_ns / SECOND,
        "repro_cgroup_pids": last.cgroup_pids,
        "repro_agent_cpu_time_seconds_total": last.agent_cpu_ns / SECOND,
        "repro_agent_rss_bytes": last.agent_rss_bytes,
    }
    found = {key(series, role=role): float(value) for series, value in plain.items()}
    for mode, value in (("user", last.cpu_user_ns), ("system", last.cpu_system_ns)):
        found[key("repro_cpu_time_seconds_total", role=role, mode=mode)] = value / SECOND
    for kind in ("anon", "file", "shmem"):
        found[key("repro_rss_bytes", role=role, type=kind)] = float(getattr(last, f"rss_{kind}_bytes"))
    for kind in ("voluntary", "involuntary"):
        value = float(getattr(last, f"context_switches_{kind}"))
        found[key("repro_context_switches_total", role=role, type=kind)] = value
    return found


def _go(role: str, told: Evidence) -> Numbers:
    if not told.go:
        return {}
    last = told.go[-1]
    plain = {
        "repro_go_goroutines": last.goroutines,
        "repro_go_heap_live_bytes": last.heap_live_bytes,
        "repro_go_heap_goal_bytes": last.heap_goal_bytes,
        "repro_go_memory_bytes": last.total_bytes,
        "repro_go_alloc_bytes_total": last.alloc_bytes,
        "repro_go_alloc_objects_total": last.alloc_objects,
        "repro_go_gc_cycles_total": last.gc_cycles,
    }
    pauses = [round(edge * SECOND) for edge, count in last.pause for _ in range(count)]
    found = {key(series, role=role): float(value) for series, value in plain.items()}
    return found | histogram("repro_gc_pause_seconds", pauses, role)


def _requests(told: Evidence, cell: CellPlan) -> Numbers:
    t0 = told.mark("measure")
    assert t0 is not None
    end = t0 + round(cell.duration_seconds * SECOND)
    phases: dict[str, list[Request]] = {"warmup": [], "measure": [], "drain": []}
    for one in told.requests:
        phases["warmup" if one.scheduled_ns < t0 else "measure" if one.scheduled_ns < end else "drain"].append(one)
    found: Numbers = {}
    for phase, requests in phases.items():
        for number, outcome in enumerate(OUTCOMES):
            count = sum(one.outcome == number for one in requests)
            found[key("repro_requests_total", role="sdk", phase=phase, outcome=outcome)] = float(count)
    if told.totals is not None:
        found[key("repro_requests_dropped_total", role="sdk")] = float(told.totals.dropped)
    measured = phases["measure"]
    ok = [one for one in measured if one.outcome == 0]
    first = [(one, one.first_ns) for one in ok if one.first_ns]
    values = {
        "repro_lat_sched_seconds": [one.end_ns - one.scheduled_ns for one in ok],
        "repro_lat_send_seconds": [one.end_ns - one.sent_ns for one in ok],
        "repro_dispatch_delay_seconds": [one.sent_ns - one.scheduled_ns for one in measured],
        "repro_ttft_seconds": [at - one.scheduled_ns for one, at in first],
        "repro_ttft_send_seconds": [at - one.sent_ns for one, at in first],
        "repro_tpot_seconds": [(one.end_ns - at) // (one.tokens - 1) for one, at in first if one.tokens > 1],
        "repro_sdk_overhead_seconds": [value for one in ok for value in one.overhead_ns],
    }
    for series, numbers in values.items():
        found |= histogram(series, numbers, "sdk")
    return found


def histogram(series: str, values_ns: Iterable[int], role: str) -> Numbers:
    """Buckets, sum and count as Prometheus has them."""
    values = list(values_ns)
    found = {
        key(f"{series}_sum", role=role): sum(values) / SECOND,
        key(f"{series}_count", role=role): float(len(values)),
    }
    for le in LES:
        # In whole nanoseconds: an edge such as 2.5e-05 has no exact float, and a value may lie on it.
        limit = float("inf") if le == "+Inf" else round(float(le) * SECOND)
        found[key(f"{series}_bucket", role=role, le=le)] = float(sum(value <= limit for value in values))
    return found


def differences(expected: Mapping[Key, float], shown: Mapping[Key, float]) -> list[Any]:
    """Where two sets of numbers disagree, exactly; empty when they do not."""
    keys = sorted({*expected, *shown})
    return [(one, expected.get(one), shown.get(one)) for one in keys if expected.get(one) != shown.get(one)]
