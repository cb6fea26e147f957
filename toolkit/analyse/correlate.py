"""Covariance, Pearson's and Spearman's correlation over the windows of one or more launches, with intervals.

All are *within* launches: each launch's own mean is subtracted first, so that a launch that was slower and larger as a
whole makes no correlation. Pure Python; ``tests/unit/test_correlate.py`` holds every number against NumPy and SciPy.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean
from typing import Any

from toolkit.analyse.changepoint import mid_ranks

FEWEST_WINDOWS = 8
FEWEST_EFFECTIVE = 5.0
RESAMPLES = 1000
_DRAWN = 1_000_000
"""Windows drawn for all resamples of one interval: a day has 8,640 windows, and few resamples do for so many."""

LEVEL = 0.95
WEIGHTED = "no interval: the weights are made of the same data"

Columns = Sequence[Sequence[float]]
"""One column per launch, a value per window."""


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, or why it or the interval is missing."""

    value: float | None
    ci: tuple[float, float] | None = None
    method: str | None = None
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As in ``schemas/joint.schema.json``."""
        ci = list(self.ci) if self.ci else None
        return {"value": self.value, "ci": ci, "method": self.method, "reason": self.reason}


def covariance(x: Columns, y: Columns, weights: Columns) -> float | None:
    """Within launches, each centred at its weighted mean; unbiased for weights of reliability, None without spread of
    weights over at least two windows. Equal weights, one launch: the sample covariance.
    """
    products = freedom = 0.0
    for a, b, w in zip(x, y, weights, strict=True):
        total = sum(w)
        if not total:
            continue
        mean_a, mean_b = _mean(a, w, total), _mean(b, w, total)
        products += sum(c * (p - mean_a) * (q - mean_b) for p, q, c in zip(a, b, w, strict=True))
        freedom += total - sum(c * c for c in w) / total
    return products / freedom if freedom > 1e-12 else None


def _mean(values: Sequence[float], weights: Sequence[float], total: float) -> float:
    return sum(value * weight for value, weight in zip(values, weights, strict=True)) / total


def pearson(x: Columns, y: Columns, weights: Columns) -> float | None:
    """None where one of the two never changes: asked of the values, since the mean of equal ones is rounded."""
    if _constant(x, weights) or _constant(y, weights):
        return None
    both, own_x, own_y = (covariance(*pair, weights) for pair in ((x, y), (x, x), (y, y)))
    if both is None or not own_x or not own_y:
        return None
    return max(-1.0, min(1.0, both / math.sqrt(own_x) / math.sqrt(own_y)))


def _constant(columns: Columns, weights: Columns) -> bool:
    for column, own in zip(columns, weights, strict=True):
        if len({value for value, weight in zip(column, own, strict=True) if weight}) > 1:
            return False
    return True


def ranked(columns: Columns) -> list[list[float]]:
    """Mid-ranks within each launch, from 0 to 1: Spearman's correlation is Pearson's of these."""
    return [[rank / (len(column) + 1) for rank in mid_ranks(column)] for column in columns]


def effective_windows(x: Columns, y: Columns) -> float:
    """How many independent windows tell as much about a correlation as these do, at most as many as there are.

    n / (1 + 2 sum of (1 - k / n) r_x(k) r_y(k)) per launch (Bayley and Hammersley, JRSS Supplement 1946), with lags up
    to a quarter of the launch and 10 log10(n); less one for each launch's mean but the first.
    """
    total = 0.0
    for a, b in zip(x, y, strict=True):
        n = len(a)
        lags = range(1, min(n // 4, round(10 * math.log10(n))) + 1)
        shared = sum((1 - lag / n) * autocorrelation(a, lag) * autocorrelation(b, lag) for lag in lags)
        total += min(n / (1 + 2 * shared), n) if 1 + 2 * shared > 0 else n
    return total - (len(x) - 1)


def autocorrelation(values: Sequence[float], lag: int) -> float:
    """The sample autocorrelation; 0 of what never changes."""
    mean = fmean(values)
    away = [value - mean for value in values]
    spread = sum(value * value for value in away)
    return sum(a * b for a, b in zip(away, away[lag:], strict=False)) / spread if spread else 0.0


def fisher(r: float | None, effective: float, n: int, *, ranks: bool = False) -> Estimate:
    """A correlation with the interval of Fisher's z at ``effective`` windows (of ranks: Bonett and Wright 2000)."""
    if r is None:
        return Estimate(None, reason="one of the two never changes")
    if n < FEWEST_WINDOWS:
        return Estimate(r, reason=f"no interval: {n} windows, it takes {FEWEST_WINDOWS}")
    if effective < FEWEST_EFFECTIVE:
        few = f"no interval: neighbours are so alike that {n} windows tell as much as {effective:.1f} independent ones"
        return Estimate(r, reason=f"{few}; two trends always correlate")
    if abs(r) > 1 - 1e-12:
        return Estimate(r, reason="no interval: the two move exactly together")
    error = math.sqrt((1 + r * r / 2 if ranks else 1) / (effective - 3)) * NormalDist().inv_cdf((1 + LEVEL) / 2)
    z = math.atanh(r)
    return Estimate(r, (math.tanh(z - error), math.tanh(z + error)), f"fisher-z at {effective:.1f} effective windows")


def resamples(sizes: Sequence[int], seed: int) -> list[list[list[int]]]:
    """Per resample and launch the windows drawn: circular blocks of about n ** (1/3), so that neighbours stay together.

    random() is the one generator call that Python promises to keep the same.
    """
    source = random.Random(seed)
    count = min(RESAMPLES, max(100, _DRAWN // max(sum(sizes), 1)))
    return [[_blocks(source, size) for size in sizes] for _ in range(count)]


def _blocks(source: random.Random, n: int) -> list[int]:
    length = max(round(n ** (1 / 3)), 1)
    drawn: list[int] = []
    while len(drawn) < n:
        start = int(source.random() * n)
        drawn += [(start + step) % n for step in range(length)]
    return drawn[:n]


def covariance_estimate(x: Columns, y: Columns, draws: Sequence[Sequence[Sequence[int]]]) -> Estimate:
    """The covariance under equal weights, with a percentile interval over ``draws``."""
    n = sum(map(len, x))
    value = covariance(x, y, equal(x))
    if value is None or n < FEWEST_WINDOWS:
        reason = f"no interval: {n} windows, it takes {FEWEST_WINDOWS}" if value is not None else "fewer than 2 windows"
        return Estimate(value, reason=reason)
    found = sorted(_resampled(x, y, drawn) for drawn in draws)
    tail = int((1 - LEVEL) / 2 * len(found))
    return Estimate(value, (found[tail], found[-1 - tail]), f"block bootstrap, {len(found)} resamples")


def _resampled(x: Columns, y: Columns, drawn: Sequence[Sequence[int]]) -> float:
    products, freedom = 0.0, 0
    for a, b, chosen in zip(x, y, drawn, strict=True):
        p, q = [a[at] for at in chosen], [b[at] for at in chosen]
        products += sum(map(_product, p, q)) - sum(p) * sum(q) / len(chosen)
        freedom += len(chosen) - 1
    return products / freedom


def _product(a: float, b: float) -> float:
    return a * b


def equal(columns: Columns) -> list[list[float]]:
    """The same weight for every window."""
    n = sum(map(len, columns))
    return [[1 / n] * len(column) for column in columns]
