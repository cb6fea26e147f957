"""Fault patterns: what several metrics of one launch do together, judged against thresholds that are data.

``patterns.json`` beside this file holds them (``schemas/patterns.schema.json``); nothing here names a pattern. One is
found when all its conditions hold. It is a suspicion with its evidence, never a gate.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from statistics import median
from typing import Any

from toolkit.analyse.trend import Trend, trend
from toolkit.units import readable

FOUND, NOT_FOUND, NOT_JUDGED = "found", "not-found", "not-judged"

Series = Sequence[tuple[float, float]]
"""(Seconds since t0 of a window's middle, value), in order of time."""


@dataclass(frozen=True)
class Condition:
    """One condition on one metric. ``is_``: ``rising`` and ``falling`` want a slope whose 95 % interval has one sign
    and a change over the whole run of at least ``relative`` of its start and ``absolute`` in the metric's unit;
    ``not-rising`` and ``not-falling`` are their negations. ``at-least``: the windows' median against ``value``.
    ``often-times``: in a ``share`` of the windows at least ``times`` the metric ``of``, and ``more`` above it.
    """

    metric: str
    is_: str
    relative: float = 0.0
    absolute: float = 0.0
    value: float = 0.0
    of: str = ""
    times: float = 0.0
    more: float = 0.0
    share: float = 0.0

    @property
    def metrics(self) -> tuple[str, ...]:
        """All metrics that it needs."""
        return (self.metric, self.of) if self.of else (self.metric,)


@dataclass(frozen=True)
class Pattern:
    """One pattern: what it is called, what it means, where it is from, and when it is found."""

    id: str
    title: str
    means: str
    source: str
    fewest_windows: int
    conditions: tuple[Condition, ...]


@cache
def patterns() -> tuple[Pattern, ...]:
    """All that there are, in their order."""
    document = json.loads(Path(__file__).with_name("patterns.json").read_text(encoding="utf-8"))
    return tuple(_pattern(one) for one in document["patterns"])


def _pattern(value: Mapping[str, Any]) -> Pattern:
    conditions = tuple(
        Condition(**{("is_" if key == "is" else key): item for key, item in one.items()}) for one in value["conditions"]
    )
    return Pattern(**{**value, "conditions": conditions})


def judge_pattern(pattern: Pattern, series: Mapping[str, Series]) -> dict[str, Any]:
    """The verdict on one launch: ``verdict``, ``reason`` and each condition with what was found.

    Whether enough windows are there is asked first: conditions on too few are shown by nothing.
    """
    needed = pattern.fewest_windows
    short = {
        name: len(series.get(name, ()))
        for one in pattern.conditions
        for name in one.metrics
        if len(series.get(name, ())) < needed
    }
    if short:
        name, n = min(short.items(), key=lambda item: item[1])
        return {
            "verdict": NOT_JUDGED,
            "reason": f"{name} has a value in {n} windows, it takes {needed}",
            "conditions": [],
        }
    judged = [_judge(one, series) for one in pattern.conditions]
    holds = all(one["holds"] for one in judged)
    return {"verdict": FOUND if holds else NOT_FOUND, "reason": None, "conditions": judged}


def _judge(one: Condition, series: Mapping[str, Series]) -> dict[str, Any]:
    points = series[one.metric]
    document = {"metric": one.metric, "is": one.is_, "n": len(points), "trend": None, "found": None}
    match one.is_:
        case "at-least":
            found = median(value for _, value in points)
            return {**document, "found": found, "limit": one.value, "holds": found >= one.value}
        case "often-times":
            found = _share(one, points, series[one.of])
            return {**document, "of": one.of, "found": found, "limit": one.share, "holds": found >= one.share}
        case _:
            seen = trend(*zip(*points, strict=True))
            return {
                **document,
                "trend": _shown(seen),
                "found": seen.change,
                "limit": max(one.relative * abs(seen.start), one.absolute),
                "holds": _moves(one, seen),
            }


def _moves(one: Condition, seen: Trend) -> bool:
    sign = 1 if one.is_.endswith("rising") else -1
    clear = seen.low > 0 if sign > 0 else seen.high < 0
    large = sign * seen.change >= max(one.relative * abs(seen.start), one.absolute)
    return (clear and large) != one.is_.startswith("not-")


def _shown(seen: Trend) -> dict[str, Any]:
    return {
        "start": seen.start,
        "change": seen.change,
        "slope_per_second": seen.slope,
        "ci": [seen.low, seen.high],
    }


def _share(one: Condition, points: Series, others: Series) -> float:
    """In which share of the windows, among those in which both have a value."""
    base = dict(others)
    both = [(value, base[when]) for when, value in points if when in base]
    often = sum(value >= one.times * other and value - other >= one.more for value, other in both)
    return often / len(both) if both else 0.0


def markdown() -> str:
    """The table of ``docs/joint-analysis.md``."""
    lines = ["| pattern | all of these (threshold) | fewest windows | it suggests |", "| --- | --- | --- | --- |"]
    for one in patterns():
        conditions = "; ".join(map(_words, one.conditions))
        lines.append(f"| `{one.id}` | {conditions} | {one.fewest_windows} | {one.means} |")
    return "\n".join(lines) + "\n"


def _words(one: Condition) -> str:
    metric, word = f"`{one.metric}`", one.is_.replace("-", " ")
    if one.is_ == "at-least":
        return f"{metric} {word} {one.value:g}"
    if one.is_ == "often-times":
        often = f"in {_percent(one.share)} of the windows"
        return f"{metric} {one.times:g} times `{one.of}` and {_amount(one.metric, one.more)} above it, {often}"
    relative = _percent(one.relative) if one.relative else ""
    absolute = _amount(one.metric, one.absolute) if one.absolute else ""
    return f"{metric} {word} ({', '.join(filter(None, (relative, absolute)))})"


def _percent(share: float) -> str:
    return f"{share * 100:g} %"


def _amount(metric: str, value: float) -> str:
    number, unit = readable(value, metric)
    return f"{number} {unit}".strip()
