"""Whether an open drive sent by the plan's schedule: every request is held against the moments that arrival, rate and
seed fix (``toolkit.model.schedule``). A generator that moved a send, or left one out, would measure its own choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import takewhile

from toolkit.model.evidence import NANOSECONDS, Evidence, Finding
from toolkit.model.plan import CellPlan
from toolkit.model.schedule import schedule, schedule_digest

TOLERANCE_NS = 1000
"""A logarithm's last digit may differ between processors, and each is a nanosecond at most."""


def planned_sends(plan: CellPlan) -> tuple[list[int], int]:
    """Every send of an open drive and its t0, in nanoseconds after the start of warm-up.

    t0 is the first send at or after the end of warm-up; sends go on until t0 + duration + drain.
    """

    def sends() -> Iterator[int]:
        return schedule(plan.arrival, plan.rate_hz, plan.seed)

    # Cut as the harness cuts (whole nanoseconds, images/harness/schedule.go), or a send at the edge would be missed.
    warmup, length, drain = (int(s * 1e9) for s in (plan.warmup_seconds, plan.duration_seconds, plan.drain_seconds))
    t0 = next(at for at in sends() if at >= warmup)
    return list(takewhile(lambda at: at < t0 + length + drain, sends())), t0


def warmup_gate(plan: CellPlan, sdk: Evidence) -> Iterator[Finding]:
    """Measuring that began before the warm-up that the plan fixes was over, in an open or a closed drive."""
    begin, t0 = sdk.mark("warmup"), sdk.mark("measure")
    if begin is not None and t0 is not None and t0 - begin < int(plan.warmup_seconds * 1e9):
        cause = "measuring began before the end of warm-up"
        yield Finding("phases", cause, (t0 - begin) / NANOSECONDS, plan.warmup_seconds)


def schedule_gate(plan: CellPlan, sdk: Evidence) -> Iterator[Finding]:
    """What was not sent, or not scheduled, as the plan says; nothing for the other drives."""
    if plan.drive != "open":
        return
    made = schedule_digest(plan.arrival, plan.rate_hz, plan.seed)
    if plan.schedule_sha256 not in ("", made):
        yield Finding("schedule", "the plan's seed makes another schedule here", made, plan.schedule_sha256)
    begin = sdk.mark("warmup")
    if begin is None:
        return  # gate "phases" names it
    planned, t0 = planned_sends(plan)
    announced = sdk.mark("measure")
    if announced is not None and abs(announced - begin - t0) > TOLERANCE_NS:
        cause = "t0 is not the plan's first send after warm-up"
        yield Finding("schedule", cause, (announced - begin) / NANOSECONDS, t0 / NANOSECONDS)
    moved = [
        request.sequence
        for request in sdk.requests
        if request.sequence >= len(planned)
        or abs(request.scheduled_ns - begin - planned[request.sequence]) > TOLERANCE_NS
    ]
    if moved:
        cause = f"requests were not scheduled when the plan's seed says, request {moved[0]} the first of them"
        yield Finding("schedule", cause, len(moved), 0)
    if sdk.totals is not None and sdk.totals.scheduled != len(planned):
        cause = "the load generator scheduled another number of sends than the plan"
        yield Finding("schedule", cause, sdk.totals.scheduled, len(planned))
