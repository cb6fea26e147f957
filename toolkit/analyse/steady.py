"""Whether a launch was in a steady state while it was measured: a check afterwards that never moves the warm-up.

The warm-up is fixed in the plan, because one that is chosen from the data may differ between a run and its re-run. Many
programs never settle, or settle late (Barrett et al., OOPSLA 2017: at most 43.5 % of VM and benchmark pairs reach a
steady state consistently), so each launch carries a verdict beside its numbers. It invalidates nothing.

It looks at what the headline is made of: the clean parts of the measured time. A level that changed because a neighbour
came is said by the ledger already; it is not the program that did not settle.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from statistics import median, median_low
from typing import Any

from toolkit.analyse.changepoint import FEWEST_POINTS, cuts
from toolkit.analyse.metrics import Timeline
from toolkit.analyse.windows import OWN_PACE, Interval, Parts, nanoseconds
from toolkit.model.evidence import NANOSECONDS
from toolkit.model.plan import CellPlan

STEADY, UNSTEADY, NOT_JUDGED = "steady", "no-steady-state", "not-judged"

TOLERANCE = 0.05
"""Levels that differ by less are one level: the margin within which a median counts as reproduced."""

MOST_BINS = 200
SHORTEST_BIN_SECONDS = 1

Point = tuple[float, float]
"""Seconds since t0, value."""


@dataclass(frozen=True)
class Looked:
    """What is looked at: the clean ``parts`` of the measured ``interval``, in bins of ``width`` seconds from t0 on."""

    interval: Interval
    parts: Parts
    width: int

    def since(self, moment_ns: int) -> float:
        """Seconds from t0."""
        return (moment_ns - self.interval.start_ns) / NANOSECONDS

    def bins(self) -> Iterator[Interval]:
        """The whole bins; what is left at the end is left out, and so is a bin that is not all in one part."""
        length = nanoseconds(self.width)
        for number in range((self.interval.end_ns - self.interval.start_ns) // length):
            start = self.interval.start_ns + number * length
            one = Interval(start, start + length)
            if any(part.start_ns <= one.start_ns and one.end_ns <= part.end_ns for part in self.parts):
                yield one


def steady_state(
    plan: CellPlan, timeline: Timeline, interval: Interval | None, parts: Parts | None = None
) -> dict[str, Any]:
    """``steady_state`` of ``result.json``. ``parts`` are the clean ones of the interval; None: all of it is."""
    if interval is None:
        return _document(NOT_JUDGED, "nothing was measured")
    if plan.drive in OWN_PACE:
        return _document(NOT_JUDGED, f"drive {plan.drive}")
    if parts == ():
        return _document(NOT_JUDGED, "all that was measured is tainted")
    looked = Looked(interval, (interval,) if parts is None else parts, bin_seconds(interval.seconds))
    series = {name: judge(list(points(timeline, looked))) for name, points in SERIES.items()}
    verdict, why = overall(series)
    return _document(verdict, why, looked, series)


def _document(
    verdict: str, reason: str | None, looked: Looked | None = None, series: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "reason": reason,
        "bin_seconds": looked.width if looked else None,
        "judged_seconds": sum(part.seconds for part in looked.parts) if looked else 0.0,
        "tolerance": TOLERANCE,
        "series": dict(series or {}),
    }


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


def _latency(timeline: Timeline, looked: Looked) -> Iterator[Point]:
    for one in looked.bins():
        values = [sent.end_ns - sent.scheduled_ns for sent in timeline.requests(one) if sent.outcome == 0]
        if values:
            yield looked.since(one.start_ns), median_low(values) / NANOSECONDS


def _overhead(timeline: Timeline, looked: Looked) -> Iterator[Point]:
    for one in looked.bins():
        values = [value for sent in timeline.requests(one) if sent.outcome == 0 for value in sent.overhead_ns]
        if values:
            yield looked.since(one.start_ns), median_low(values) / NANOSECONDS


def _throughput(timeline: Timeline, looked: Looked) -> Iterator[Point]:
    for one in looked.bins():
        yield looked.since(one.start_ns), timeline.completed(one) / one.seconds


def _cpu(timeline: Timeline, looked: Looked) -> Iterator[Point]:
    """Between samples at least a bin apart: CPU time between two samples cannot be known, and sharing it out by
    interpolation would make neighbours alike. No pair of samples spans what is not looked at.
    """
    # A timer that fires a little early must not cost a bin.
    least_ns = nanoseconds(0.9 * looked.width)
    for part in looked.parts:
        samples = timeline.samples(part)
        before = samples[0] if samples else None
        for sample in samples[1:]:
            if before is None or sample.monotonic_ns - before.monotonic_ns < least_ns:
                continue
            sent = timeline.scheduled_between(before.monotonic_ns, sample.monotonic_ns)
            spent = sample.cpu_ns - before.cpu_ns
            if sent and spent >= 0:
                yield looked.since(before.monotonic_ns), spent / NANOSECONDS / sent
            before = sample


SERIES: dict[str, Callable[[Timeline, Looked], Iterator[Point]]] = {
    "lat.sched.p50_seconds": _latency,
    "sdk.overhead.p50_seconds": _overhead,
    "cpu.per_request_seconds": _cpu,
    "qps.ok_hz": _throughput,
}
"""What is looked at, by the metric of each bin."""
