"""The gates: conditions without which a launch has no headline number.

Each gate is arithmetic on evidence and says what it found and what the limit was. A gate that cannot be judged has not
been passed. The four timing gates judge whether the load generator kept its promise: an open loop its schedule, a
closed loop that next to nothing but the SDK lies between two requests (design section 9, "Open loop"); on a slow or
shared machine a plan may have them recorded only (``timing_gates: record``).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from toolkit.analyse.histogram import Histogram
from toolkit.analyse.metrics import Timeline
from toolkit.analyse.on_schedule import schedule_gate, warmup_gate
from toolkit.analyse.windows import OWN_PACE, Interval, nanoseconds, windows
from toolkit.model.evidence import NANOSECONDS, Evidence, Finding
from toolkit.model.plan import CellPlan

TIMING_GATES = frozenset({"drops", "dispatch", "backend.delay", "headroom"})
DISPATCH_FLOOR_SECONDS = 0.001
DISPATCH_SHARE = 0.01
BACKEND_DELAY_LIMIT_SECONDS = 0.001
HEADROOM_LIMIT = 3.0
_GATE_QUANTILE = 0.99


def is_paced(plan: CellPlan) -> bool:
    """Whether the backend answers on its own schedule."""
    return plan.backend_settings.get("pacing") == "paced"


def gates(
    plan: CellPlan,
    sdk: Evidence,
    backend: Evidence | None,
    interval: Interval | None,
    found: Mapping[str, Histogram],
) -> tuple[list[Finding], list[Finding]]:
    """What makes the launch invalid, and what is only written down. ``found``: the measured interval's histograms."""
    judged = [
        *sdk.findings,
        *(
            Finding(f"backend.{one.gate}", one.cause, one.found, one.limit)
            for one in (backend.findings if backend else ())
        ),
        *broken_rows("sdk", sdk),
        *(broken_rows("backend", backend) if backend else ()),
        *_identity(plan, sdk),
        *_phases(plan, sdk),
        *_gomaxprocs(plan, sdk),
    ]
    if interval is not None:
        judged += [*_windows(plan, sdk, interval), *_samples(plan, sdk, backend, interval)]
    if plan.drive == "probe" and not sdk.probes:
        judged.append(Finding("probes", "no experiment left a record", 0, 1))
    if plan.drive in OWN_PACE:
        return judged, []
    judged += [*_requests(plan, sdk, interval), *warmup_gate(plan, sdk), *schedule_gate(plan, sdk)]
    timing = list(_timing(plan, sdk, interval, found))
    if plan.timing_gates == "record":
        return judged, timing
    return judged + timing, []


def broken_rows(role: str, evidence: Evidence) -> Iterator[Finding]:
    """Constraints that the agent itself found broken, at whatever moment: the first time of each row."""
    seen = set()
    for readback in evidence.readbacks:
        for row in readback.rows:
            held = row.absent or (not row.error and row.found == row.expected)
            if row.expected and not held and row.id not in seen:
                seen.add(row.id)
                found = row.error or row.found
                cause = f"{role} {row.id} did not hold: agent saw it at {readback.when}"
                yield Finding("constraint", cause, found, row.expected)


def _identity(plan: CellPlan, sdk: Evidence) -> Iterator[Finding]:
    program = sdk.program
    if program is None:
        yield Finding("identity", "the harness never said who it is")
        return
    for name in ("module", "version", "workload"):
        told, planned = getattr(program, name), getattr(plan, name)
        if told != planned:
            yield Finding("identity", f"the harness ran another {name} than planned", told, planned)


def _phases(plan: CellPlan, sdk: Evidence) -> Iterator[Finding]:
    names = [mark.name for mark in sdk.marks]
    needed = (
        ["warmup", "measure", "done"] if plan.drive not in OWN_PACE and plan.warmup_seconds else ["measure", "done"]
    )
    if plan.drive == "probe":
        needed = ["done"]
    missing = [name for name in needed if name not in names]
    if missing:
        yield Finding("phases", f"the program never reached: {', '.join(missing)}", ",".join(names), ",".join(needed))


def _gomaxprocs(plan: CellPlan, sdk: Evidence) -> Iterator[Finding]:
    """What the runtime itself says, each second: the environment (a row of the read-back) is only where it began."""
    told = [(snapshot.monotonic_ns, snapshot.gomaxprocs) for snapshot in sdk.go]
    if sdk.program is not None:
        told.insert(0, (0, sdk.program.gomaxprocs))
    wrong = [(moment, value) for moment, value in told if value != plan.gomaxprocs]
    if wrong:
        values = ",".join(map(str, sorted({value for _moment, value in wrong})))
        cause = f"GOMAXPROCS is not what the plan fixed, first at {_moment(plan, sdk, wrong[0][0])}"
        yield Finding("gomaxprocs", cause, values, plan.gomaxprocs)


def _moment(plan: CellPlan, sdk: Evidence, monotonic_ns: int) -> str:
    """A time as the read-back names it: the start (warm-up included), or the window that it lies in."""
    t0 = sdk.mark("measure")
    if t0 is None or monotonic_ns < t0:
        return "start"
    return f"window:{(monotonic_ns - t0) // nanoseconds(plan.window_seconds)}"


def _windows(plan: CellPlan, sdk: Evidence, interval: Interval) -> Iterator[Finding]:
    planned = windows(plan, interval)
    when = {readback.when for readback in sdk.readbacks}
    missing, unread = [], [name for name in ("start", "end") if name not in when]
    for index, window in enumerate(planned):
        # The last window may end at the very moment of `drain`; then the read-back of the end is its read-back.
        at_drain = window.end_ns == interval.end_ns and "end" in when
        if index not in sdk.window_ends and not at_drain:
            missing.append(str(index))
        if f"window:{index}" not in when and not at_drain:
            unread.append(f"window:{index}")
    if missing:
        yield Finding(
            "windows", f"windows never ended: {', '.join(missing)}", len(planned) - len(missing), len(planned)
        )
    if unread:
        yield Finding("readback", f"the agent did not read the constraints back at: {', '.join(unread)}")


def _samples(plan: CellPlan, sdk: Evidence, backend: Evidence | None, interval: Interval) -> Iterator[Finding]:
    line = Timeline(sdk, backend)
    empty = [str(index) for index, window in enumerate(windows(plan, interval)) if not line.samples(window)]
    if empty:
        yield Finding("samples", f"no sample in windows {', '.join(empty)}", 0, 1)


def _requests(plan: CellPlan, sdk: Evidence, interval: Interval | None) -> Iterator[Finding]:
    totals = sdk.totals
    if totals is None:
        yield Finding("requests", "the load generator never said how many requests it sent")
        return
    if totals.sent != len(sdk.requests):
        yield Finding("requests", "not every request sent left a record", len(sdk.requests), totals.sent)
    if plan.drive == "closed" and totals.max_in_flight != plan.concurrency:
        yield Finding("requests", "another concurrency than planned", totals.max_in_flight, plan.concurrency)
    if interval and not any(interval.holds(request.scheduled_ns) for request in sdk.requests):
        yield Finding("requests", "no request was sent in the measured time", 0, 1)


def _timing(
    plan: CellPlan, sdk: Evidence, interval: Interval | None, found: Mapping[str, Histogram]
) -> Iterator[Finding]:
    if sdk.totals is not None and sdk.totals.dropped:
        cause = "sends were dropped: so many requests were in flight that the schedule could not be kept"
        yield Finding("drops", cause, sdk.totals.dropped, 0)
    if interval is not None and found["dispatch.delay"].n:
        delay = found["dispatch.delay"].quantile(_GATE_QUANTILE)
        latency = found["lat.sched"].quantile(_GATE_QUANTILE) if found["lat.sched"].n else 0
        limit = max(nanoseconds(DISPATCH_FLOOR_SECONDS), latency * DISPATCH_SHARE)
        if delay > limit:
            cause = "P99 of the dispatch delay: the load generator was measured, not the SDK"
            yield Finding("dispatch", cause, delay / NANOSECONDS, limit / NANOSECONDS)
    if interval is not None and is_paced(plan):
        yield from _backend_delay(found["backend.delay"])
    if sdk.selftest_rate_hz is None:
        yield Finding("headroom", "the load generator's self-test left no record", None, HEADROOM_LIMIT)
        return
    spare = headroom(plan, sdk, interval)
    if spare is not None and spare < HEADROOM_LIMIT:
        rate = "the planned rate" if plan.drive == "open" else "the rate that was reached: it is a part of that rate"
        yield Finding("headroom", f"the load generator alone could not do three times {rate}", spare, HEADROOM_LIMIT)


def headroom(plan: CellPlan, sdk: Evidence, interval: Interval | None) -> float | None:
    """The self-test's rate over the planned rate (drive open) or over the rate reached (drive closed).

    None without a self-test, or where a closed loop sent nothing.
    """
    if sdk.selftest_rate_hz is None:
        return None
    if plan.drive == "open":
        return sdk.selftest_rate_hz / plan.rate_hz
    sent = sum(interval.holds(request.scheduled_ns) for request in sdk.requests) if interval else 0
    return sdk.selftest_rate_hz * interval.seconds / sent if interval and sent else None


def _backend_delay(delays: Histogram) -> Iterator[Finding]:
    if not delays.n:
        cause = "the paced backend reported no write delays"
        yield Finding("backend.delay", cause, None, BACKEND_DELAY_LIMIT_SECONDS)
        return
    delay = delays.quantile(_GATE_QUANTILE)
    if delay > nanoseconds(BACKEND_DELAY_LIMIT_SECONDS):
        cause = "P99 of the backend's write delay: it did not keep its schedule"
        yield Finding("backend.delay", cause, delay / NANOSECONDS, BACKEND_DELAY_LIMIT_SECONDS)
