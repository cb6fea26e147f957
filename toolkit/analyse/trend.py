"""Whether a series of windows goes up or down: the slope of Theil and Sen with its interval, in pure Python.

The slope is the median of the slopes between all pairs of points; its interval inverts Kendall's rank test of the
points against time (Sen, Journal of the American Statistical Association 1968), ties included. One odd window moves
neither.

>>> trend([0.0, 10.0, 20.0, 30.0, 40.0], [1.0, 2.0, 9.0, 4.0, 5.0]).slope
0.1
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from statistics import NormalDist, median

MOST_POINTS = 200
"""Longer series are thinned: all pairs of 200 points are 20,000 slopes."""

LEVEL = 0.95


@dataclass(frozen=True)
class Trend:
    """``slope`` and its interval ``low`` to ``high`` are per second, in the series' unit.

    ``start`` is the median of the first third, ``change`` what the slope makes of the whole span.
    """

    n: int
    slope: float
    low: float
    high: float
    start: float
    change: float

    @property
    def relative(self) -> float:
        """The change over the start; infinite from nothing."""
        if self.start:
            return self.change / abs(self.start)
        return math.copysign(math.inf, self.change) if self.change else 0.0


def trend(seconds: Sequence[float], values: Sequence[float]) -> Trend:
    """The trend of at least two points at different times, ascending; raises ValueError for fewer."""
    seconds, values = thinned(seconds), thinned(values)
    n = len(values)
    if n < 2 or seconds[0] == seconds[-1]:
        raise ValueError(f"{n} points have no trend")
    slopes = sorted((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(zip(seconds, values, strict=True), 2))
    slope = median(slopes)
    spread = NormalDist().inv_cdf((1 + LEVEL) / 2) * math.sqrt(_variance(values))
    # The ranks of the interval's ends, as scipy.stats.theilslopes takes them.
    low = max(round((len(slopes) - spread) / 2) - 1, 0)
    high = min(round((len(slopes) + spread) / 2), len(slopes) - 1)
    start = median(values[: max(n // 3, 1)])
    return Trend(n, slope, slopes[low], slopes[high], start, slope * (seconds[-1] - seconds[0]))


def _variance(values: Sequence[float]) -> float:
    """Of Kendall's statistic under no trend; times differ, values may be equal."""
    n = len(values)
    ties = sum(count * (count - 1) * (2 * count + 5) for count in Counter(values).values())
    return (n * (n - 1) * (2 * n + 5) - ties) / 18


def thinned(values: Sequence[float]) -> list[float]:
    """At most ``MOST_POINTS``: medians of neighbours."""
    step = math.ceil(len(values) / MOST_POINTS)
    if step <= 1:
        return list(values)
    return [median(values[at : at + step]) for at in range(0, len(values), step)]
