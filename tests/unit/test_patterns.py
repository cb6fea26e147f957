"""Fault patterns: data that is valid, found on series that have them, and hardly ever on noise."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Callable
from pathlib import Path

import pytest

from toolkit.analyse.patterns import FOUND, NOT_FOUND, NOT_JUDGED, Pattern, judge_pattern, markdown, patterns
from toolkit.model.metrics import IN_WINDOWS
from toolkit.schemas import problems

MIB = 1024.0**2
FILE = Path(__file__).resolve().parents[2] / "toolkit/analyse/patterns.json"
DERIVED = {"gc.cycles.rate_hz"}
Shape = Callable[[float], float]
"""A level over time: the argument runs from 0 to 1."""

STEADY: dict[str, float] = {
    "lat.sched.p50_seconds": 0.002,
    "lat.sched.p95_seconds": 0.004,
    "qps.ok_hz": 100.0,
    "in_flight.last": 3.0,
    "gc.cycles": 20.0,
    "gc.cycles.rate_hz": 2.0,
    "gc.cpu.share": 0.05,
    "rss.process.last_bytes": 40 * MIB,
    "rss.anon.max_bytes": 30 * MIB,
    "rss.file.max_bytes": 10 * MIB,
    "heap.live.last_bytes": 12 * MIB,
    "goroutines.last": 20.0,
    "error.rate": 0.001,
}


def up(times: float) -> Shape:
    return lambda at: 1 + (times - 1) * at


def early(times: float) -> Shape:
    """Rises in the first quarter and stays: a cache that is full."""
    return lambda at: 1 + (times - 1) * min(at * 4, 1)


FAULTS: dict[str, dict[str, Shape]] = {
    "leak": {"lat.sched.p95_seconds": up(3), "gc.cycles": up(3), "rss.process.last_bytes": up(2)},
    "exhausted-pool": {"lat.sched.p95_seconds": up(9), "qps.ok_hz": up(0.5), "rss.process.last_bytes": up(1.3)},
    "overload": {"in_flight.last": up(40), "lat.sched.p95_seconds": up(9)},
    "goroutine-leak": {"goroutines.last": up(10)},
    "retained-memory": {"heap.live.last_bytes": up(3), "rss.anon.max_bytes": up(2)},
    "file-memory-growth": {"rss.file.max_bytes": up(3)},
    "gc-death-spiral": {"gc.cpu.share": lambda _: 9, "gc.cycles.rate_hz": lambda _: 5},
    "lost-work": {"qps.ok_hz": up(0.6), "error.rate": up(400)},
    "recurring-stall": {"lat.sched.p95_seconds": lambda _: 20},
}


def launch(
    source: random.Random, n: int, shapes: dict[str, Shape], spread: float = 0.05, memory: float = 0.0
) -> dict[str, list[tuple[float, float]]]:
    """Series of one launch: each level times its shape, with noise that remembers its past."""
    found = {}
    for name, level in STEADY.items():
        shape, away, points = shapes.get(name, lambda _: 1.0), 0.0, []
        for place in range(n):
            away = memory * away + math.sqrt(1 - memory**2) * source.gauss(0, spread)
            points.append((10.0 * place + 5, level * shape(place / (n - 1)) * math.exp(away)))
        found[name] = points
    return found


def by_id(name: str) -> Pattern:
    return next(one for one in patterns() if one.id == name)


def verdicts(series: dict[str, list[tuple[float, float]]]) -> dict[str, str]:
    return {one.id: judge_pattern(one, series)["verdict"] for one in patterns()}


def test_the_data_has_its_published_shape() -> None:
    assert problems(json.loads(FILE.read_text(encoding="utf-8")), "patterns") == []


def test_the_page_has_the_thresholds_of_the_data() -> None:
    page = Path(__file__).resolve().parents[2] / "docs/joint-analysis.md"
    assert markdown() in page.read_text(encoding="utf-8")


def test_every_pattern_is_proven_here_and_names_metrics_that_windows_have() -> None:
    assert {one.id for one in patterns()} == set(FAULTS)
    for one in patterns():
        for condition in one.conditions:
            assert set(condition.metrics) <= set(IN_WINDOWS) | DERIVED
            assert set(condition.metrics) <= set(STEADY)


@pytest.mark.parametrize("name", FAULTS)
@pytest.mark.parametrize("n", [8, 12, 60])
def test_a_fault_is_found_with_its_evidence(name: str, n: int) -> None:
    judged = judge_pattern(by_id(name), launch(random.Random(n), n, FAULTS[name]))
    assert judged["verdict"] == FOUND
    for one in judged["conditions"]:
        assert one["holds"]
        assert one["n"] == n
        assert one["trend"] is None or one["trend"]["ci"][0] <= one["trend"]["slope_per_second"]


@pytest.mark.parametrize(("memory", "most"), [(0.0, 0.01), (0.4, 0.03)])
@pytest.mark.parametrize("n", [8, 12, 30])
def test_noise_is_hardly_ever_a_fault(n: int, memory: float, most: float) -> None:
    source = random.Random(n)
    trials = 200
    found = [verdicts(launch(source, n, {}, spread=0.15, memory=memory)) for _ in range(trials)]
    for name in FAULTS:
        assert sum(one[name] == FOUND for one in found) <= most * trials, name


def test_a_cache_that_fills_and_then_stays_is_no_leak() -> None:
    warming = {"heap.live.last_bytes": early(4), "rss.anon.max_bytes": early(3), "rss.process.last_bytes": early(2.5)}
    warming |= {"gc.cycles": early(2)}
    judged = verdicts(launch(random.Random(1), 24, warming))
    assert {judged["leak"], judged["retained-memory"]} == {NOT_FOUND}


def test_plain_overload_is_no_exhausted_pool_and_the_other_way_round() -> None:
    shapes = {**FAULTS["overload"], "rss.process.last_bytes": up(1.5), "goroutines.last": up(10)}
    judged = verdicts(launch(random.Random(2), 12, shapes))
    assert (judged["overload"], judged["exhausted-pool"], judged["goroutine-leak"]) == (FOUND, NOT_FOUND, NOT_FOUND)
    shapes |= {"qps.ok_hz": up(0.5), "error.rate": up(400), "lat.sched.p50_seconds": up(9)}
    judged = verdicts(launch(random.Random(2), 12, shapes))
    assert (judged["overload"], judged["exhausted-pool"], judged["lost-work"]) == (NOT_FOUND, FOUND, NOT_FOUND)


def test_a_change_that_is_certain_but_small_is_none() -> None:
    slow = launch(random.Random(3), 30, {"goroutines.last": up(1.4)}, spread=0.001)
    (rising, _) = judge_pattern(by_id("goroutine-leak"), slow)["conditions"]
    assert rising["trend"]["ci"][0] > 0
    assert not rising["holds"]


@pytest.mark.parametrize("name", FAULTS)
def test_too_few_windows_are_not_judged(name: str) -> None:
    pattern = by_id(name)
    series = launch(random.Random(4), pattern.fewest_windows, FAULTS[name])
    metric = pattern.conditions[0].metric
    series[metric] = series[metric][1:]
    judged = judge_pattern(pattern, series)
    assert judged["verdict"] == NOT_JUDGED
    wanted = f"{metric} has a value in {pattern.fewest_windows - 1} windows, it takes {pattern.fewest_windows}"
    assert judged["reason"] == wanted


def test_a_metric_that_nobody_measured_is_not_judged() -> None:
    assert set(verdicts({}).values()) == {NOT_JUDGED}
