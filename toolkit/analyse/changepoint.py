"""Where the level of a short series changes: optimal partitioning of its normal scores, in pure Python.

Each value is replaced by the normal score of its rank, so that no outlier moves a level and the rate of false alarms on
independent noise is the same whatever its distribution. The scores are then cut into segments that minimise the sum of
squares about the segments' means plus a penalty for each cut: exactly, by dynamic programming (Jackson et al., IEEE
Signal Processing Letters 2005; PELT of Killick, Fearnhead and Eckley, JASA 2012, finds the same cuts and prunes, which
pays from thousands of points on). Correlation between neighbours inflates the gain of a cut, so the penalty grows with
a robust estimate of it (Chakar et al., Bernoulli 2017).

>>> cuts([1.0, 1.1, 0.9, 1.05, 0.95] * 3 + [2.0, 2.1, 1.9, 2.05, 1.95] * 3)
[15]
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import accumulate, pairwise
from statistics import NormalDist, median

SHORTEST_SEGMENT = 5
"""Points. A level that lasts no longer is an event, not a state."""

FEWEST_POINTS = 25
"""Below this not even a clear drift outweighs the penalty: nothing can be said."""

LARGEST_INFLATION = 3.0


def cuts(values: Sequence[float], penalty: float | None = None) -> list[int]:
    """Indices at which a new segment begins, ascending; empty when the level never changes.

    ``penalty`` is the cost of a cut in units of the scores' variance; None: ``default_penalty`` of the values.
    """
    scores = normal_scores(values)
    return partition(scores, default_penalty(scores) if penalty is None else penalty)


def default_penalty(scores: Sequence[float]) -> float:
    """2 ln n + 1.5, times ``inflation``: on independent noise about one series in a hundred gets a cut."""
    return (2 * math.log(max(len(scores), 2)) + 1.5) * inflation(scores)


def normal_scores(values: Sequence[float]) -> list[float]:
    """The van der Waerden score of each value: the normal quantile of (mid-rank / (n + 1))."""
    normal = NormalDist()
    return [normal.inv_cdf(rank / (len(values) + 1)) for rank in mid_ranks(values)]


def mid_ranks(values: Sequence[float]) -> list[float]:
    """Ranks from 1; equal values share the mean of theirs."""
    order = sorted(range(len(values)), key=values.__getitem__)
    ranks = [0.0] * len(values)
    start = 0
    while start < len(order):
        end = start
        while end < len(order) and values[order[end]] == values[order[start]]:
            end += 1
        for place in order[start:end]:
            ranks[place] = (start + 1 + end) / 2
        start = end
    return ranks


def inflation(scores: Sequence[float]) -> float:
    """(1 + r) / (1 - r) for the correlation r of neighbours, at least 1 and at most 1 + n / 60 (and 3).

    r comes from the medians of differences over one and over two steps, which a few changes of level do not move. A
    steady drift does move them: without the upper bound none would be found in a short series.
    """
    largest = min(1 + len(scores) / 60, LARGEST_INFLATION)
    if len(scores) < 4:
        return 1.0
    one = median(abs(b - a) for a, b in pairwise(scores))
    two = median(abs(b - a) for a, b in zip(scores, scores[2:], strict=False))
    if one == 0:
        return 1.0
    correlation = (two / one) ** 2 - 1
    if correlation <= 0:
        return 1.0
    return largest if correlation >= 1 else min((1 + correlation) / (1 - correlation), largest)


def partition(scores: Sequence[float], penalty: float, shortest: int = SHORTEST_SEGMENT) -> list[int]:
    """The cuts with the least sum of squares plus ``penalty`` each, no segment shorter than ``shortest`` points."""
    n = len(scores)
    if n < 2 * shortest:
        return []
    sums = [0.0, *accumulate(scores)]
    squares = [0.0, *accumulate(score * score for score in scores)]
    best = [-penalty] + [math.inf] * n
    last = [0] * (n + 1)
    for end in range(shortest, n + 1):
        least, place, total = math.inf, 0, sums[end]
        for begin in range(end - shortest + 1):
            cost = best[begin] - squares[begin] - (total - sums[begin]) ** 2 / (end - begin)
            if cost < least:
                least, place = cost, begin
        best[end], last[end] = least + squares[end] + penalty, place
    found = []
    end = n
    while last[end]:
        end = last[end]
        found.append(end)
    return found[::-1]
