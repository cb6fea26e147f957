"""Intervals of a launch: what was measured, and its windows.

t0 is the scheduled send of the first request after warm-up. A request belongs to the interval of its *scheduled* send,
so that no slow answer moves it. A duration D gives exactly floor(D / window) windows; what is left over at the end
counts for the headline and for no window.
"""

from __future__ import annotations

from dataclasses import dataclass

from toolkit.model.evidence import NANOSECONDS, Evidence
from toolkit.model.plan import CellPlan

OWN_PACE = ("bench", "probe")
"""Drives whose end is the program's own affair."""


@dataclass(frozen=True)
class Interval:
    """[start_ns, end_ns) of CLOCK_MONOTONIC."""

    start_ns: int
    end_ns: int

    @property
    def seconds(self) -> float:
        """Its length."""
        return (self.end_ns - self.start_ns) / NANOSECONDS

    def holds(self, moment_ns: int) -> bool:
        """Whether a moment lies in it."""
        return self.start_ns <= moment_ns < self.end_ns


def nanoseconds(seconds: float) -> int:
    """Seconds of a plan as whole nanoseconds."""
    return round(seconds * NANOSECONDS)


def measured_interval(plan: CellPlan, evidence: Evidence) -> Interval | None:
    """What was measured; None without t0, or when a drive with an end of its own never came to it."""
    t0 = evidence.mark("measure")
    if t0 is None:
        return None
    if plan.drive not in OWN_PACE:
        return Interval(t0, t0 + nanoseconds(plan.duration_seconds))
    end = evidence.mark("drain") or evidence.mark("done")
    return Interval(t0, end) if end is not None and end > t0 else None


def window_count(plan: CellPlan) -> int:
    """How many windows a launch of this plan has."""
    if plan.drive in OWN_PACE:
        # The program decides how long it takes (testing.B, the probes), so no number of windows can be promised.
        return 0
    return nanoseconds(plan.duration_seconds) // nanoseconds(plan.window_seconds)


def windows(plan: CellPlan, interval: Interval) -> tuple[Interval, ...]:
    """The windows of a measured interval, in order."""
    length = nanoseconds(plan.window_seconds)
    starts = (interval.start_ns + index * length for index in range(window_count(plan)))
    return tuple(Interval(start, start + length) for start in starts)
