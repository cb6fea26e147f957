"""``result.json``: everything that one launch measured, and whether it may be believed.

Metrics and histograms are those of the clean parts of the measured time (``toolkit.analyse.windows``): tainted windows
stay in ``windows``, marked, with their own metrics. The timing gates judge the same parts, for they say whether the
headline may be believed. A launch without any clean part has no headline, and is not invalid for it: every limit held.

``build_result`` is pure; the values of an invalid launch are kept as evidence, and no headline is made of them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from toolkit.analyse.baseline import NO_BASELINE
from toolkit.analyse.bench_text import bench_metrics, parse_bench
from toolkit.analyse.gates import gates, headroom, is_paced
from toolkit.analyse.histogram import Histogram
from toolkit.analyse.metrics import Timeline, Value, error_counts, histograms, interval_metrics, window_metrics
from toolkit.analyse.steady import steady_state
from toolkit.analyse.termination import termination
from toolkit.analyse.windows import (
    OWN_PACE,
    Interval,
    Parts,
    clean_parts,
    measured_interval,
    rest,
    taints_of,
    window_count,
    windows,
)
from toolkit.model.evidence import OUTCOMES, Evidence, Finding, GoSnapshot, LaunchFacts, Sample
from toolkit.model.metrics import HISTOGRAMS, IN_WINDOWS, METRICS, is_compared
from toolkit.model.plan import CellPlan

RESULT_SCHEMA = "repro.result/1"

_EMPTY = Histogram({}, 0, 0)
_GO_COLUMNS = (
    "monotonic_ns",
    "goroutines",
    "gomaxprocs",
    "heap_live_bytes",
    "heap_goal_bytes",
    "alloc_bytes",
    "alloc_objects",
    "gc_cycles",
    "gc_cpu_seconds",
    "total_bytes",
)


def build_result(
    plan: CellPlan,
    sdk: Evidence,
    backend: Evidence | None,
    facts: LaunchFacts | None = None,
    ledger: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The result of one launch, in the shape of ``schemas/result.schema.json``.

    ``ledger`` is ``ledger.json``; without it nothing is tainted.
    """
    facts = facts or LaunchFacts()
    interval = measured_interval(plan, sdk)
    timeline = Timeline(sdk, backend)
    parts = clean_parts(plan, interval, ledger) if interval else ()
    everything = _histograms(timeline, (interval,) if interval else ())
    found = everything if parts == (interval,) else _histograms(timeline, parts)
    word, ending = termination(sdk, backend, facts)
    invalid, recorded = gates(plan, sdk, backend, interval, found if parts else everything)
    invalid = _once([*([ending] if ending else []), *facts.findings, *invalid])
    bench, unread = parse_bench(sdk.bench_lines)
    invalid += _bench_findings(plan, len(bench), unread)
    benched = bench_metrics(bench, drive=plan.drive)
    values = _whole(plan, sdk, timeline, (interval, parts), found) | _clean_bench(plan, interval, parts, benched)
    with_tainted = None
    if interval is not None and found is not everything:
        with_tainted = _whole(plan, sdk, timeline, (interval, (interval,)), everything) | benched
    return {
        "schema": RESULT_SCHEMA,
        "cell": plan.cell,
        "launch": facts.launch,
        "attempt": facts.attempt,
        "valid": not invalid,
        "invalid": [one.to_json() for one in invalid],
        "recorded": [one.to_json() for one in recorded],
        "termination": word,
        "clock": _clock(sdk, interval),
        "interval": {"start_ns": interval.start_ns, "end_ns": interval.end_ns} if interval else None,
        "windows": _windows(plan, timeline, interval, ledger),
        "steady_state": steady_state(plan, timeline, interval, tuple(parts)),
        "rest": _rest(plan, interval, ledger),
        "headline_seconds": sum(part.seconds for part in parts),
        "metrics": _metrics(plan, values),
        "with_tainted": _metrics(plan, with_tainted) if with_tainted else None,
        "histograms": {name: one.encode() for name, one in found.items() if one.n},
        "counts": _counts(sdk, timeline, interval),
        "errors": _errors(sdk),
        "samples": {"columns": list(Sample._fields), "rows": [list(sample) for sample in sdk.samples]},
        "go": _go(sdk.go),
        "language": _language(sdk),
        "agent": _agent(timeline, interval),
        "bench": [asdict(line) for line in bench] if plan.drive == "bench" else None,
        "probes": [asdict(one) for one in sdk.probes] if plan.drive == "probe" else None,
    }


def _histograms(timeline: Timeline, parts: Parts) -> dict[str, Histogram]:
    return histograms(timeline, parts) if parts else dict.fromkeys(HISTOGRAMS, _EMPTY)


def _clean_bench(
    plan: CellPlan, interval: Interval | None, parts: Parts, values: Mapping[str, Value]
) -> dict[str, Value]:
    """go test's own metrics know no windows: they count, or the whole was tainted and they do not."""
    lost = interval is not None and not parts
    return {name: _no_headline(plan) if lost and one.value is not None else one for name, one in values.items()}


def _no_headline(plan: CellPlan) -> Value:
    what = "every window was tainted" if window_count(plan) else "the measured time was tainted"
    return Value(None, 0, f"{what}: interference beyond the budget")


def _once(findings: Sequence[Finding]) -> list[Finding]:
    """Each broken row once: the launch judges the agent's rows with everybody else's, the gates judge them alone."""
    named: dict[tuple[str, str], Finding] = {}
    for one in findings:
        subject = one.cause.partition(" did not hold")[0] if one.gate == "constraint" else one.cause
        named.setdefault((one.gate, subject), one)
    return list(named.values())


def _whole(
    plan: CellPlan,
    sdk: Evidence,
    timeline: Timeline,
    measured: tuple[Interval | None, Parts],
    found: Mapping[str, Histogram],
) -> dict[str, Value]:
    """The metrics of the clean parts of the measured interval, the bench ones excepted."""
    interval, parts = measured
    if interval is not None and not parts:
        values = dict.fromkeys(METRICS, _no_headline(plan))
    elif interval is None:
        reason = "nothing was measured: " + ("no t0" if sdk.mark("measure") is None else "no end of the measurement")
        values = dict.fromkeys(METRICS, Value(None, 0, reason))
    else:
        values = interval_metrics(timeline, parts, found)
        peaks = [sample.rss_peak_bytes for part in parts for sample in timeline.samples(part)]
        values["rss.peak_bytes"] = Value(float(max(peaks)), len(peaks)) if peaks else Value(None, 0, "no samples")
    if not is_paced(plan):
        for name in ("backend.delay.p50_seconds", "backend.delay.p99_seconds"):
            if values[name].value is None and parts:
                values[name] = Value(None, 0, "the backend does not pace its answers")
    if plan.drive == "bench" and not sdk.requests:
        # go test's own loop leaves no rows: no rate is not a rate of nothing.
        values["qps.ok_hz"] = values["qps.offered_hz"] = Value(None, 0, "drive bench")
    totals, spare = sdk.totals, headroom(plan, sdk, interval)
    off = Value(None, 0, "no record of it" if plan.drive == "open" else f"drive {plan.drive}")
    values["drop.rate"] = (
        Value(totals.dropped / totals.scheduled, totals.scheduled)
        if totals and totals.scheduled and plan.drive == "open"
        else off
    )
    values["generator.headroom"] = (
        Value(spare, 1)
        if spare is not None
        else Value(None, 0, f"drive {plan.drive}" if plan.drive in OWN_PACE else "no record of it")
    )
    values["rss.over_null_bytes"] = values["cpu.over_null_seconds"] = Value(None, 0, NO_BASELINE)
    return values


def _metrics(plan: CellPlan, values: Mapping[str, Value]) -> dict[str, Any]:
    paced = is_paced(plan)
    median = values["lat.sched.p50_seconds"].value
    return {
        name: values[name].to_json() | {"compared": is_compared(metric, paced=paced, lat_sched_p50_seconds=median)}
        for name, metric in METRICS.items()
    }


def _windows(
    plan: CellPlan, timeline: Timeline, interval: Interval | None, ledger: Mapping[str, Any] | None
) -> list[dict[str, Any]]:
    if interval is None:
        return []
    taints = taints_of(ledger)
    rows = []
    for index, window in enumerate(windows(plan, interval)):
        values = window_metrics(timeline, window, histograms(timeline, window))
        rows.append(
            {
                "index": index,
                "start_ns": window.start_ns,
                "end_ns": window.end_ns,
                "tainted": index in taints,
                "taints": taints.get(index, []),
                "metrics": {name: values[name].to_json() for name, metric in IN_WINDOWS.items()},
            }
        )
    return rows


def _rest(plan: CellPlan, interval: Interval | None, ledger: Mapping[str, Any] | None) -> dict[str, Any] | None:
    """What no window covers, judged like one; None where there is nothing, or too little to be judged by itself."""
    over = rest(plan, interval) if interval else None
    if over is None or not (ledger or {}).get("rest"):
        return None
    taints = taints_of(ledger).get(None, [])
    return {"start_ns": over.start_ns, "end_ns": over.end_ns, "tainted": bool(taints), "taints": taints}


def windows_again(
    plan: CellPlan, sdk: Evidence, backend: Evidence | None, window_seconds: float
) -> list[dict[str, Any]]:
    """The windows of a launch cut anew at another length, in seconds; the taint marks are the caller's to set."""
    interval = measured_interval(plan, sdk)
    return _windows(replace(plan, window_seconds=window_seconds), Timeline(sdk, backend), interval, None)


def _clock(sdk: Evidence, interval: Interval | None) -> dict[str, Any]:
    t0 = interval.start_ns if interval else sdk.mark("measure")
    agent = sdk.agent
    wall = agent.wall_unix_ns + t0 - agent.monotonic_ns if agent and t0 is not None else None
    return {"t0_monotonic_ns": t0, "wall_unix_ns": wall}


def _counts(sdk: Evidence, timeline: Timeline, interval: Interval | None) -> dict[str, Any]:
    """Of the measured interval; ``drive`` holds the load generator's own totals with warm-up and drain."""
    requests = timeline.requests(interval) if interval else ()
    failed = error_counts(requests)
    totals = sdk.totals
    dropped = totals.dropped if totals else 0
    return {
        "scheduled": len(requests) + dropped,
        "sent": len(requests),
        "dropped": dropped,
        "ok": len(requests) - sum(failed.values()),
        "failed": sum(failed.values()),
        **failed,
        "drive": asdict(totals) if totals else None,
    }


def _errors(sdk: Evidence) -> list[dict[str, Any]]:
    return [
        {"sequence": one.sequence, "outcome": OUTCOMES[one.outcome], "status": one.status, "text": one.text}
        for one in sdk.errors
    ]


def _go(snapshots: Sequence[GoSnapshot]) -> dict[str, Any]:
    """Snapshots as a table; the pauses of the last one, cumulative since the program's start."""
    last = snapshots[-1] if snapshots else None
    return {
        "columns": list(_GO_COLUMNS),
        "rows": [[getattr(one, name) for name in _GO_COLUMNS] for one in snapshots],
        "pause": [list(pair) for pair in last.pause] if last else [],
        "stop_other": [list(pair) for pair in last.stop_other] if last else [],
    }


def _language(sdk: Evidence) -> dict[str, Any] | None:
    if sdk.program is None:
        return None
    return asdict(sdk.program) | {"settings": dict(sdk.program.settings)}


def _agent(timeline: Timeline, interval: Interval | None) -> dict[str, Any]:
    """What measuring cost: CPU as a share of one core over the measured interval, and the largest resident memory."""
    samples = timeline.samples(interval) if interval else []
    if len(samples) < 2:
        return {"cpu_share": None, "rss_bytes": max((one.agent_rss_bytes for one in samples), default=None)}
    first, last = samples[0], samples[-1]
    elapsed = last.monotonic_ns - first.monotonic_ns
    share = (last.agent_cpu_ns - first.agent_cpu_ns) / elapsed if elapsed else None
    return {"cpu_share": share, "rss_bytes": max(one.agent_rss_bytes for one in samples)}


def _bench_findings(plan: CellPlan, results: int, unread: Sequence[str]) -> list[Finding]:
    if plan.drive != "bench":
        return []
    findings = [Finding("bench", f"a benchmark line cannot be read: {line[:80]!r}") for line in unread[:3]]
    if results != plan.bench_count:
        findings.append(Finding("bench", "not every repetition left a result", results, plan.bench_count))
    return findings
