"""Requests of each window with their HDR histograms, for people who watch: the quantiles that the result will hold.

A window is shown as over once everything of it should have come; ``result.json`` is what counts.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from toolkit.analyse.histogram import Histogram, merge
from toolkit.analyse.metrics import request_values
from toolkit.analyse.windows import Interval
from toolkit.model.evidence import NANOSECONDS, Request

SHOWN = ("lat.sched", "lat.send", "ttft", "sdk.overhead")
SETTLED_NS = 2 * NANOSECONDS
"""So long after a window's end its last answers should have been written down (a second's batch, and their latency)."""


@dataclass(frozen=True)
class WindowView:
    """A window so far. ``over``: nothing more of it is to be expected."""

    index: int
    over: bool
    sent: int
    ok: int
    histograms: Mapping[str, Histogram]

    @property
    def failed(self) -> int:
        """Requests with any failure."""
        return self.sent - self.ok


@dataclass
class _Window:
    sent: int = 0
    ok: int = 0
    histograms: dict[str, Histogram] = field(default_factory=dict)


class WindowTable:
    """Requests by the window of their scheduled send."""

    def __init__(self) -> None:
        self._windows: dict[int, _Window] = {}

    def add(self, measured: Sequence[Request], t0_ns: int, length_ns: int) -> None:
        """Take requests scheduled at or after t0."""
        groups: dict[int, list[Request]] = {}
        for one in measured:
            groups.setdefault((one.scheduled_ns - t0_ns) // length_ns, []).append(one)
        for index, group in groups.items():
            window = self._windows.setdefault(index, _Window())
            window.sent += len(group)
            window.ok += sum(one.outcome == 0 for one in group)
            values = request_values(group)
            for name in SHOWN:
                known = [window.histograms[name]] if name in window.histograms else []
                window.histograms[name] = merge([*known, Histogram.of(values[name])])

    def views(self, windows: Sequence[Interval], *, now_ns: int, over: bool) -> tuple[WindowView, ...]:
        """Every window that has begun; a duration's rest that fills no window is in none."""
        begun = [(index, one) for index, one in enumerate(windows) if one.start_ns <= now_ns]
        return tuple(self._view(index, over or now_ns >= one.end_ns + SETTLED_NS) for index, one in begun)

    def _view(self, index: int, over: bool) -> WindowView:
        found = self._windows.get(index, _Window())
        return WindowView(index, over, found.sent, found.ok, MappingProxyType(dict(found.histograms)))
