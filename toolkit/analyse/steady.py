"""Whether a launch was in a steady state while it was measured: a check afterwards that never moves the warm-up.

The warm-up is fixed in the plan, because one that is chosen from the data may differ between a run and its re-run. Many
programs never settle, or settle late (Barrett et al., OOPSLA 2017: at most 43.5 % of VM and benchmark pairs reach a
steady state consistently), so each launch carries a verdict beside its numbers. It invalidates nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from statistics import median, median_low
from typing import Any

from toolkit.analyse.changepoint import FEWEST_POINTS, cuts
from toolkit.analyse.metrics import Timeline
from toolkit.analyse.windows import OWN_PACE, Interval, nanoseconds
from toolkit.model.evidence import NANOSECONDS
from toolkit.model.plan import CellPlan

STEADY, UNSTEADY, NOT_JUDGED = "steady", "no-steady-state", "not-judged"

TOLERANCE = 0.05
"""Levels that differ by less are one level: the margin within which a median counts as reproduced."""

MOST_BINS = 200
SHORTEST_BIN_SECONDS = 1

Point = tuple[float, float]
"""Seconds since t0, value."""


def steady_state(plan: CellPlan, timeline: Timeline, interval: Interval | None) -> dict[str, Any]:
    """``steady_state`` of ``result.json``."""
    if interval is None or plan.drive in OWN_PACE:
        reason = "nothing was measured" if interval is None else f"drive {plan.drive}"
        return {"verdict": NOT_JUDGED, "reason": reason, "bin_seconds": None, "tolerance": TOLERANCE, "series": {}}
    width = bin_seconds(interval.seconds)
    series = {name: judge(list(points(timeline, interval, width))) for name, points in SERIES.items()}
    verdict, why = overall(series)
    return {"verdict": verdict, "reason": why, "bin_seconds": width, "tolerance": TOLERANCE, "series": series}


def overall(series: Mapping[str, Mapping[str, Any]]) -> tuple[str, str | None]:
    """One verdict of all series, and why it is not ``steady``."""
    unsteady = [name for name, one in series.items() if one["verdict"] == UNSTEADY]
    if unsteady:
        return UNSTEADY, "the level changes after warm-up: " + ", ".join(unsteady)
    if any(one["verdict"] == STEADY for one in series.values()):
        return STEADY, None
    return NOT_JUDGED, f"too few: no series has {FEWEST_POINTS} points"


def bin_seconds(seconds: float) -> int:
    """The length of a bin: whole seconds, and never more than ``MOST_BINS`` of them."""
    return max(math.ceil(seconds / MOST_BINS), SHORTEST_BIN_SECONDS)


def judge(points: list[Point]) -> dict[str, Any]:
    """The verdict on one series, with its levels."""
    found: dict[str, Any] = {"verdict": NOT_JUDGED, "points": len(points), "levels": [], "settled_seconds": None}
    if len(points) < FEWEST_POINTS:
        return found
    values = [value for _, value in points]
    edges = [0, *cuts(values), len(values)]
    levels = [(points[begin][0], median(values[begin:end])) for begin, end in pairwise(edges)]
    last = levels[-1][1]
    differs = [abs(level - last) > TOLERANCE * abs(last) for _, level in levels]
    settled = max((place + 1 for place, wrong in enumerate(differs) if wrong), default=0)
    return {
        **found,
        "verdict": UNSTEADY if any(differs) else STEADY,
        "levels": [{"from_seconds": start, "median": level} for start, level in levels],
        "settled_seconds": levels[settled][0],
    }


def _bins(interval: Interval, width: int) -> Iterator[Interval]:
    """The whole bins of an interval; a rest at the end is left out."""
    length = nanoseconds(width)
    for number in range((interval.end_ns - interval.start_ns) // length):
        start = interval.start_ns + number * length
        yield Interval(start, start + length)


def _since(interval: Interval, moment_ns: int) -> float:
    return (moment_ns - interval.start_ns) / NANOSECONDS


def _latency(timeline: Timeline, interval: Interval, width: int) -> Iterator[Point]:
    for one in _bins(interval, width):
        values = [sent.end_ns - sent.scheduled_ns for sent in timeline.requests(one) if sent.outcome == 0]
        if values:
            yield _since(interval, one.start_ns), median_low(values) / NANOSECONDS


def _overhead(timeline: Timeline, interval: Interval, width: int) -> Iterator[Point]:
    for one in _bins(interval, width):
        values = [value for sent in timeline.requests(one) if sent.outcome == 0 for value in sent.overhead_ns]
        if values:
            yield _since(interval, one.start_ns), median_low(values) / NANOSECONDS


def _throughput(timeline: Timeline, interval: Interval, width: int) -> Iterator[Point]:
    for one in _bins(interval, width):
        yield _since(interval, one.start_ns), timeline.completed(one) / one.seconds


def _cpu(timeline: Timeline, interval: Interval, width: int) -> Iterator[Point]:
    """Between samples at least a bin apart: CPU time between two samples cannot be known, and sharing it out by
    interpolation would make neighbours alike.
    """
    samples = timeline.samples(interval)
    # A timer that fires a little early must not cost a bin.
    least_ns = nanoseconds(0.9 * width)
    before = samples[0] if samples else None
    for sample in samples[1:]:
        if before is None or sample.monotonic_ns - before.monotonic_ns < least_ns:
            continue
        sent = timeline.scheduled_between(before.monotonic_ns, sample.monotonic_ns)
        spent = sample.cpu_ns - before.cpu_ns
        if sent and spent >= 0:
            yield _since(interval, before.monotonic_ns), spent / NANOSECONDS / sent
        before = sample


SERIES: dict[str, Callable[[Timeline, Interval, int], Iterator[Point]]] = {
    "lat.sched.p50_seconds": _latency,
    "sdk.overhead.p50_seconds": _overhead,
    "cpu.per_request_seconds": _cpu,
    "qps.ok_hz": _throughput,
}
"""What is looked at, by the metric of each bin."""
