"""Intervals of a launch: what was measured, and its windows.

t0 is the scheduled send of the first request after warm-up. A request belongs to the interval of its *scheduled* send,
so that no slow answer moves it. A duration D gives exactly floor(D / window) windows; what is left over at the end
counts for the headline and for no window.

Tainted windows (``ledger.json``) are left out of the headline, which is then made of the *clean parts*: what remains,
neighbours joined, so that a counter's difference spans as much as it can.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

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


Parts = Sequence[Interval]
"""Intervals in order that do not overlap."""


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


def rest(plan: CellPlan, interval: Interval) -> Interval | None:
    """What no window covers; the whole interval when there are no windows, None when there is nothing."""
    start = interval.start_ns + window_count(plan) * nanoseconds(plan.window_seconds)
    return Interval(start, interval.end_ns) if start < interval.end_ns else None


def taints_of(ledger: Mapping[str, Any] | None) -> dict[int | None, list[dict[str, Any]]]:
    """The taints that ``ledger.json`` found, by window; those of the rest stand under None."""
    document = ledger or {}
    found: dict[int | None, list[dict[str, Any]]] = {
        one["index"]: list(one.get("taints") or ()) for one in document.get("windows", ()) if one.get("tainted")
    }
    over = document.get("rest")
    if over and over.get("tainted"):
        found[None] = list(over["taints"])
    return found


def clean_parts(plan: CellPlan, interval: Interval, ledger: Mapping[str, Any] | None) -> tuple[Interval, ...]:
    """What the headline is made of: the measured interval without its tainted windows, neighbours joined.

    Where the plan has its timing gates recorded, taints are recorded, too, and the headline is made of everything.
    """
    tainted = set(taints_of(ledger))
    if plan.timing_gates == "record" or not tainted:
        return (interval,)
    planned = windows(plan, interval)
    kept = [window for index, window in enumerate(planned) if index not in tainted]
    over = rest(plan, interval)
    # A rest too short to be judged goes with the window before it.
    judged_with = None if (ledger or {}).get("rest") or not planned else len(planned) - 1
    if over is not None and judged_with not in tainted:
        kept.append(over)
    return tuple(_joined(kept))


def _joined(parts: Parts) -> list[Interval]:
    joined: list[Interval] = []
    for part in parts:
        if joined and joined[-1].end_ns == part.start_ns:
            joined[-1] = Interval(joined[-1].start_ns, part.end_ns)
        else:
            joined.append(part)
    return joined
