"""A histogram with fixed edges and an exact sum: what Prometheus and OTLP carry, beside our HDR histograms."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import accumulate

from toolkit.model.evidence import NANOSECONDS

EDGES_NS = tuple(step * 10**power for power in range(3, 10) for step in (10, 25, 50))
"""1, 2.5, 5 of each decade from 10 us to 50 s: an edge belongs to its own bucket (Prometheus' ``le``)."""

EDGES_SECONDS = tuple(edge / NANOSECONDS for edge in EDGES_NS)


@dataclass(frozen=True)
class TallyView:
    """A tally as it was at one moment. ``counts`` are per bucket, not cumulative; the last is beyond every edge."""

    counts: tuple[int, ...]
    sum_ns: int
    lowest_ns: int
    highest_ns: int

    @property
    def n(self) -> int:
        """How many values."""
        return sum(self.counts)

    @property
    def sum_seconds(self) -> float:
        """Their sum in seconds."""
        return self.sum_ns / NANOSECONDS

    @property
    def cumulative(self) -> tuple[int, ...]:
        """How many values at or below each edge; the last is ``n``."""
        return tuple(accumulate(self.counts))


class Tally:
    """Counts values in nanoseconds, none negative."""

    def __init__(self) -> None:
        self._counts = [0] * (len(EDGES_NS) + 1)
        self._sum = 0
        self._lowest: int | None = None
        self._highest = 0

    def add(self, values: Iterable[int]) -> None:
        """Take more values."""
        self.add_weighted((value, 1) for value in values)

    def add_weighted(self, pairs: Iterable[tuple[int, int]]) -> None:
        """Take (value, how often)."""
        for value, count in pairs:
            if not count:
                continue
            self._counts[bisect_left(EDGES_NS, value)] += count
            self._sum += value * count
            self._highest = max(self._highest, value)
            self._lowest = value if self._lowest is None else min(self._lowest, value)

    def view(self) -> TallyView:
        """What was counted so far."""
        return TallyView(tuple(self._counts), self._sum, self._lowest or 0, self._highest)
