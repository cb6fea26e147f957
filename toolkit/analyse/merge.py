"""One headline from the launches of a cell: histograms merged, never percentiles averaged; an interval over launches.

The launch is the unit of replication (requests of one launch share a heap, a layout and a moment), so the interval
resamples launches: a percentile bootstrap, seeded by the plan, from 5 launches on.
"""

from __future__ import annotations

import random
from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from itertools import accumulate
from statistics import fmean, median
from typing import Any

from toolkit.analyse.histogram import Histogram, decode, merge, nearest_rank, upper_edge
from toolkit.analyse.metrics import Value, quantile_value
from toolkit.model.evidence import NANOSECONDS
from toolkit.model.metrics import METRICS, QUANTILES, SAMPLES_NEEDED, Metric

INTERVAL_LAUNCHES = 5
RESAMPLES = 2000
LEVEL = 0.95
FEW_LAUNCHES = "fewer than 5 launches"
_NO_CLEAN = "every window was tainted: interference beyond the budget"

Result = Mapping[str, Any]
Estimator = Callable[[Sequence[int]], float | None]
"""A metric's value over launches given by index (with repetition)."""


def merge_launches(results: Sequence[Result], *, seed: int = 1) -> dict[str, dict[str, Any]]:
    """Each metric over the valid launches: value, n, launches, ci, and why value or ci are null.

    Raises ValueError when a result's histogram cannot be decoded.
    """
    every = [result for result in results if result["valid"]]
    # A launch that had no clean window is valid and has no headline: it is no launch behind a value.
    valid = [result for result in every if result.get("headline_seconds") != 0]
    histograms = {metric.histogram for metric in METRICS.values() if metric.histogram}
    decoded = {name: [_histogram(result, name) for result in valid] for name in histograms}
    draws = _draws(len(valid), seed) if len(valid) >= INTERVAL_LAUNCHES else []
    nothing = _NO_CLEAN if every else "no valid launch"
    return {name: _headline(metric, valid, decoded, draws, nothing) for name, metric in METRICS.items()}


def _histogram(result: Result, name: str) -> Histogram:
    encoded = result["histograms"].get(name)
    return decode(encoded) if encoded is not None else Histogram({}, 0, 0)


def _headline(
    metric: Metric,
    valid: Sequence[Result],
    decoded: Mapping[str, list[Histogram]],
    draws: Sequence[Sequence[int]],
    nothing: str,
) -> dict[str, Any]:
    """One metric over launches. ``nothing``: why there is no value where there is no launch."""
    values = [_value(result["metrics"][metric.id]) for result in valid]
    if not values:
        merged, estimate = Value(None, 0, nothing), None
    elif metric.histogram:
        merged = quantile_value(merge(decoded[metric.histogram]), metric.quantile)
        estimate = _quantile_estimator(decoded[metric.histogram], metric.quantile)
    else:
        known = [value for value in values if value.value is not None]
        number = _combine(metric, known)
        merged = Value(number, sum(value.n for value in known)) if number is not None else values[0]
        estimate = _plain_estimator(metric, values)
    if merged.value is None and values and values[0].reason:
        # A launch knows better why there is nothing than an empty histogram does.
        merged = Value(None, merged.n, merged.reason if merged.n else values[0].reason)
    ci, ci_reason = _interval(merged, estimate, draws)
    return {
        "value": merged.value,
        "n": merged.n,
        "launches": len(valid),
        "ci": ci,
        "reason": merged.reason,
        "ci_reason": ci_reason,
        "compared": bool(valid) and bool(valid[0]["metrics"][metric.id]["compared"]),
    }


def _value(entry: Mapping[str, Any]) -> Value:
    return Value(entry["value"], entry["n"], entry["reason"])


def _combine(metric: Metric, known: Sequence[Value]) -> float | None:
    """One value from those of launches, none of them None."""
    numbers = [value.value for value in known if value.value is not None]
    if not numbers:
        return None
    match metric.merge:
        case "max":
            return max(numbers)
        case "min":
            return min(numbers)
        case "mean":
            return fmean(numbers)
        case "median":
            return median(numbers)
        case _:
            weights = [value.n for value in known]
            return fmean(numbers, weights) if sum(weights) else fmean(numbers)


def _plain_estimator(metric: Metric, values: Sequence[Value]) -> Estimator:
    def estimate(chosen: Sequence[int]) -> float | None:
        return _combine(metric, [values[index] for index in chosen if values[index].value is not None])

    return estimate


def _quantile_estimator(histograms: Sequence[Histogram], quantile: str) -> Estimator:
    """The quantile of merged histograms, by bisection over cumulative counts: merging 2000 times takes seconds."""
    buckets = sorted({bucket for one in histograms for bucket in one.counts})
    cumulative = [[0, *accumulate(one.counts.get(bucket, 0) for bucket in buckets)] for one in histograms]
    needed, q = SAMPLES_NEEDED[quantile], QUANTILES[quantile]

    def estimate(chosen: Sequence[int]) -> float | None:
        n = sum(histograms[index].n for index in chosen)
        if n < needed:
            return None
        columns = [cumulative[index] for index in chosen]
        below = nearest_rank(q, n) - 1
        place = bisect_right(range(len(buckets)), below, key=lambda at: sum(column[at + 1] for column in columns))
        maximum = max(histograms[index].maximum for index in chosen)
        return min(upper_edge(buckets[place]), maximum) / NANOSECONDS

    return estimate


def _draws(launches: int, seed: int) -> list[list[int]]:
    """Resamples of launch indices. random() is the one generator call that Python promises to keep the same."""
    source = random.Random(seed)
    return [[int(source.random() * launches) for _ in range(launches)] for _ in range(RESAMPLES)]


def _interval(
    merged: Value, estimate: Estimator | None, draws: Sequence[Sequence[int]]
) -> tuple[list[float] | None, str | None]:
    if merged.value is None or estimate is None:
        return None, merged.reason
    if not draws:
        return None, FEW_LAUNCHES
    estimates = sorted(value for chosen in draws if (value := estimate(chosen)) is not None)
    if len(estimates) < len(draws):
        return None, "some launches have no value"
    tail = (1 - LEVEL) / 2
    low = estimates[nearest_rank(round(tail, 6), len(estimates)) - 1]
    high = estimates[nearest_rank(round(1 - tail, 6), len(estimates)) - 1]
    return [low, high], None
