"""Several metrics of a cell, window by window, on each launch's own monotonic origin; which windows count, and why not.

A *rule* says which windows are complete, *weights* say how much each counts. Both have names, and those of the article
go-ai-sdk-2024 stand beside our own so that their effect can be seen (docs/joint-analysis.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from toolkit.model.evidence import NANOSECONDS

Json = dict[str, Any]

LATENCY, THROUGHPUT = "lat.sched.p95_seconds", "qps.ok_hz"
GC_PAUSE, MEMORY, GOROUTINES = "gc.pause.max_seconds", "rss.process.last_bytes", "goroutines.last"

REQUIRED = (LATENCY, THROUGHPUT, GC_PAUSE, MEMORY)
"""What a complete window has: P95, throughput, GC pause, resident memory."""

CHANNELS = (*REQUIRED, GOROUTINES)
"""What is correlated."""

COLUMNS = (
    LATENCY,
    THROUGHPUT,
    GC_PAUSE,
    "gc.pause.total_seconds",
    "gc.cycles",
    MEMORY,
    "rss.anon.max_bytes",
    "rss.file.max_bytes",
    "rss.peak.last_bytes",
    "rss.cgroup.last_bytes",
    GOROUTINES,
    "goroutines.mean",
    "goroutines.max",
)
"""The aligned table."""

DEFAULT_RULE, DEFAULT_WEIGHTS = "zero-gc", "equal"
ARTICLE = "article-2024"


@dataclass(frozen=True)
class Window:
    """One window of one launch. ``values`` are its metrics, None where unknown; a window without a pause of the
    collector has pauses of zero. ``dropped`` says why it does not count; ``weight`` is None where it has none.
    """

    launch: int
    index: int
    start_ns: int
    start_seconds: float
    seconds: float
    tainted: bool
    pauses: int
    values: Mapping[str, float | None]
    missing: Mapping[str, str]
    taints: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    weight: float | None = field(default=None, compare=False)

    @property
    def kept(self) -> bool:
        """Whether it counts."""
        return not self.dropped

    @property
    def middle_seconds(self) -> float:
        """Since t0."""
        return self.start_seconds + self.seconds / 2


Rule = Callable[[Window], list[str]]
"""Why a window is incomplete; empty when it is complete."""


def incomplete(window: Window) -> list[str]:
    """A window without a collection has pauses of zero and is complete; what nobody measured is missing."""
    return [f"{name}: {window.missing[name]}" for name in REQUIRED if window.values[name] is None]


def incomplete_for_the_article(window: Window) -> list[str]:
    """As pandas' dropna does after a resample: no pause in the window is a missing value."""
    reasons = incomplete(window)
    if window.values[GC_PAUSE] is not None and not window.pauses:
        reasons.append(f"{GC_PAUSE}: no pause in the window, which this rule calls missing")
    return reasons


RULES: dict[str, tuple[Rule, str]] = {
    DEFAULT_RULE: (incomplete, "a window without a collection has pauses of zero and is complete"),
    ARTICLE: (incomplete_for_the_article, "a window without a collection is dropped"),
}
"""Rule by name, with what it means."""


def windows_of(launch: int, rows: Sequence[Json], t0_ns: int) -> list[Window]:
    """The windows of one launch, from ``windows`` of its ``result.json``."""
    return [_window(launch, row, t0_ns) for row in rows]


def _window(launch: int, row: Json, t0_ns: int) -> Window:
    metrics = row["metrics"]
    values = {name: entry["value"] for name, entry in metrics.items()}
    missing = {name: entry["reason"] or "not measured" for name, entry in metrics.items() if entry["value"] is None}
    for name in CHANNELS:
        values.setdefault(name, None)
        if values[name] is None:
            missing.setdefault(name, "the version that wrote this result did not measure it")
    seconds = (row["end_ns"] - row["start_ns"]) / NANOSECONDS
    cycles, total = values.get("gc.cycles"), metrics.get("gc.pause.total_seconds", {})
    pauses = total.get("n", 0)
    if total.get("value") is not None and not pauses:
        values[GC_PAUSE] = values["gc.pause.p99_seconds"] = 0.0
    values["gc.cycles.rate_hz"] = cycles / seconds if cycles is not None else None
    return Window(
        launch=launch,
        index=row["index"],
        start_ns=row["start_ns"],
        start_seconds=(row["start_ns"] - t0_ns) / NANOSECONDS,
        seconds=seconds,
        tainted=row["tainted"],
        pauses=pauses,
        values=values,
        missing=missing,
        taints=tuple(dict.fromkeys(one["what"] for one in row.get("taints", ()))),
    )


def judged(windows: Sequence[Window], rule: str, *, with_tainted: bool = False) -> list[Window]:
    """The windows with the reasons why they do not count. Raises KeyError for an unknown rule."""
    why = RULES[rule][0]
    return [
        replace(one, dropped=(*why(one), *(_taint(one) if one.tainted and not with_tainted else []))) for one in windows
    ]


def _taint(window: Window) -> list[str]:
    beyond = f": {', '.join(window.taints)}" if window.taints else ""
    return [f"tainted, interference beyond the plan's budget{beyond}"]


def weighed(windows: Sequence[Window], method: str) -> list[Window]:
    """The windows with their weights, those that count adding up to 1. Raises KeyError for an unknown method."""
    weights = WEIGHTS[method][0](windows)
    total = sum(weight for weight in weights if weight)
    return [
        replace(one, weight=weight / total if weight is not None and total else None)
        for one, weight in zip(windows, weights, strict=True)
    ]


def _equal(windows: Sequence[Window]) -> list[float | None]:
    return [1.0 if one.kept else None for one in windows]


def _article(windows: Sequence[Window]) -> list[float | None]:
    """|Change of resident memory per second since the last window that counts| x pauses per second."""
    before: Window | None = None
    found: list[float | None] = []
    for one in windows:
        weight = None
        if one.kept:
            if before is not None and before.launch == one.launch:
                elapsed = one.start_seconds - before.start_seconds
                change = (one.values[MEMORY] or 0.0) - (before.values[MEMORY] or 0.0)
                weight = abs(change) / elapsed * one.pauses / one.seconds
            before = one
        found.append(weight)
    return found


WEIGHTS: dict[str, tuple[Callable[[Sequence[Window]], list[float | None]], str]] = {
    DEFAULT_WEIGHTS: (_equal, "every window that counts weighs the same"),
    ARTICLE: (_article, "|change of resident memory per second| x GC pauses per second, normalised to a sum of 1"),
}
"""Weights by name, with their formula."""


def bias(windows: Sequence[Window], rule: str, *, with_tainted: bool = False) -> Json | None:
    """What a rule does to the means: those of the default rule beside those of this one; None for the default."""
    if rule == DEFAULT_RULE:
        return None
    whole = [one for one in judged(windows, DEFAULT_RULE, with_tainted=with_tainted) if one.kept]
    kept = [one for one in judged(windows, rule, with_tainted=with_tainted) if one.kept]
    means = {name: {"default": _mean(whole, name), "rule": _mean(kept, name)} for name in CHANNELS}
    return {"windows_default": len(whole), "windows_rule": len(kept), "means": means}


def _mean(windows: Sequence[Window], name: str) -> float | None:
    known = [value for one in windows if (value := one.values[name]) is not None]
    return fmean(known) if known else None


def by_launch(windows: Sequence[Window], names: Sequence[str]) -> list[list[Window]]:
    """Windows that count, have a weight and all of these metrics, by launch; launches without any are left out."""
    found: dict[int, list[Window]] = {}
    for one in windows:
        if one.kept and one.weight is not None and all(one.values.get(name) is not None for name in names):
            found.setdefault(one.launch, []).append(one)
    return list(found.values())


def column(parts: Sequence[Sequence[Window]], name: str) -> list[list[float]]:
    """Per launch the values of a metric that all these windows have."""
    return [[value for one in part if (value := one.values[name]) is not None] for part in parts]


def series(windows: Sequence[Window]) -> dict[str, list[tuple[float, float]]]:
    """Every metric of one launch over time, for the patterns."""
    found: dict[str, list[tuple[float, float]]] = {}
    for one in windows:
        for name, value in one.values.items():
            if value is not None:
                found.setdefault(name, []).append((one.middle_seconds, value))
    return found
