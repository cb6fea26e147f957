"""How the channels of a joint table move together: every pair's covariance and correlations, and what units do."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from typing import Any

from toolkit.analyse.correlate import (
    WEIGHTED,
    Columns,
    Estimate,
    covariance,
    covariance_estimate,
    effective_windows,
    equal,
    fisher,
    pearson,
    ranked,
    resamples,
)
from toolkit.analyse.joint import CHANNELS, DEFAULT_WEIGHTS, Window, by_launch, column

Json = dict[str, Any]
Draws = dict[tuple[int, ...], list[list[list[int]]]]

OTHER_UNITS = {"_seconds": ("ms", 1e3), "_bytes": ("MiB", 1 / 1024**2)}
"""The units that people read, beside those that documents keep."""


def relations(windows: Sequence[Window], method: str, seed: int) -> list[Json]:
    """One entry per pair of channels; ``method`` names the weights that the windows carry."""
    draws: Draws = {}
    return [_relation(windows, pair, method, seed, draws) for pair in combinations(CHANNELS, 2)]


def _relation(windows: Sequence[Window], pair: tuple[str, str], method: str, seed: int, draws: Draws) -> Json:
    parts = by_launch(windows, pair)
    x, y = (column(parts, name) for name in pair)
    n = sum(map(len, x))
    if n < 2:
        few = Estimate(None, reason=f"{n} windows count, it takes 2")
        return _entry(pair, n, few, few, few)
    ranks = ranked(x), ranked(y)
    if method != DEFAULT_WEIGHTS:
        return _weighted(pair, x, y, ranks, [[one.weight or 0.0 for one in part] for part in parts])
    sizes = tuple(map(len, x))
    if sizes not in draws:
        draws[sizes] = resamples(sizes, seed)
    return _entry(
        pair,
        n,
        covariance_estimate(x, y, draws[sizes]),
        fisher(pearson(x, y, equal(x)), effective_windows(x, y), n),
        fisher(pearson(*ranks, equal(x)), effective_windows(*ranks), n, ranks=True),
    )


def _weighted(pair: tuple[str, str], x: Columns, y: Columns, ranks: tuple[Columns, Columns], weights: Columns) -> Json:
    none = "no two windows have a weight above 0, or one of the two never changes"
    found = covariance(x, y, weights), pearson(x, y, weights), pearson(*ranks, weights)
    entries = [Estimate(value, reason=none if value is None else WEIGHTED) for value in found]
    return _entry(pair, sum(map(len, x)), *entries)


def _entry(pair: tuple[str, str], n: int, both: Estimate, linear: Estimate, ranks: Estimate) -> Json:
    return {
        "x": pair[0],
        "y": pair[1],
        "n": n,
        "covariance": both.to_json(),
        "pearson": linear.to_json(),
        "spearman": ranks.to_json(),
    }


def units(pairs: Sequence[Json]) -> Json:
    """The pairs by size of their covariance, in the units of documents and in those that people read.

    The order is a fact about the units; that of the correlations is not.
    """
    factor = {name: next((f for end, (_, f) in OTHER_UNITS.items() if name.endswith(end)), 1.0) for name in CHANNELS}
    base: dict[str, float] = {}
    other: dict[str, float] = {}
    for one in pairs:
        value = one["covariance"]["value"]
        if value is not None:
            name = f"{one['x']} ~ {one['y']}"
            base[name] = abs(value)
            other[name] = abs(value) * factor[one["x"]] * factor[one["y"]]
    orders = [sorted(sizes, key=sizes.__getitem__, reverse=True) for sizes in (base, other)]
    return {
        "base": "seconds, hertz, bytes",
        "other": "ms, hertz, MiB",
        "largest_first_base": orders[0],
        "largest_first_other": orders[1],
        "order_changes": orders[0] != orders[1],
    }
