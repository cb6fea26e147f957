"""Change points: the same cuts as ruptures, a bounded rate of false alarms, quick enough for every launch."""

from __future__ import annotations

import math
import random
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import numpy as np
import pytest
import ruptures
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from toolkit.analyse.changepoint import (
    FEWEST_POINTS,
    SHORTEST_SEGMENT,
    cuts,
    default_penalty,
    inflation,
    mid_ranks,
    normal_scores,
    partition,
)

Draw = Callable[[random.Random], float]
Tracer = Callable[[FrameType, str, Any], Any]


def noise(source: random.Random, n: int, correlation: float = 0.0) -> list[float]:
    """Gaussian noise of variance 1 whose neighbours have this correlation."""
    value, found = source.gauss(0, 1), []
    for _ in range(n):
        value = correlation * value + math.sqrt(1 - correlation**2) * source.gauss(0, 1)
        found.append(value)
    return found


def stepped(source: random.Random, sizes: list[int], levels: list[float]) -> list[float]:
    return [level + source.gauss(0, 1) for size, level in zip(sizes, levels, strict=True) for _ in range(size)]


@given(st.lists(st.integers(-5, 5).map(float), min_size=1, max_size=60))
def test_ranks_are_those_of_scipy(values: list[float]) -> None:
    assert mid_ranks(values) == stats.rankdata(values).tolist()


@settings(deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from([0.5, 3.0, 12.0]))
def test_cuts_are_those_of_ruptures(seed: int, segments: int, penalty: float) -> None:
    source = random.Random(seed)
    sizes = [source.randint(6, 30) for _ in range(segments)]
    scores = normal_scores(stepped(source, sizes, [source.uniform(-4, 4) for _ in sizes]))
    signal = np.array(scores)
    # Its Pelt prunes candidates that a smallest segment still needs; its exact search by number of cuts does not.
    exact = ruptures.Dynp(model="l2", min_size=SHORTEST_SEGMENT, jump=1).fit(signal)
    most = len(scores) // SHORTEST_SEGMENT - 1
    costs = {
        count: exact.cost.sum_of_costs(found) + penalty * count
        for count in range(min(most, 6) + 1)
        if (found := exact.predict(n_bkps=count) if count else [len(scores)])
    }
    best = min(costs.values())
    ours = partition(scores, penalty)
    assert exact.cost.sum_of_costs([*ours, len(scores)]) + penalty * len(ours) <= best + 1e-6


def test_pelt_of_ruptures_finds_the_same_two_steps() -> None:
    scores = normal_scores(stepped(random.Random(3), [40, 30, 50], [0, 5, 2]))
    penalty = default_penalty(scores)
    found = ruptures.Pelt(model="l2", min_size=SHORTEST_SEGMENT, jump=1).fit(np.array(scores)).predict(pen=penalty)
    assert partition(scores, penalty) == found[:-1] == [40, 70]


@pytest.mark.parametrize(
    ("name", "draw"),
    [
        ("gauss", lambda source: source.gauss(0, 1)),
        ("heavy tails", lambda source: source.paretovariate(1.1)),
        ("poisson-like", lambda source: float(sum(source.random() < 0.4 for _ in range(100)))),
    ],
)
@pytest.mark.parametrize("n", [25, 30, 60])
def test_false_alarms_on_independent_noise_are_at_most_two_in_a_hundred(name: str, draw: Draw, n: int) -> None:
    source = random.Random(f"{name} {n}")
    trials = 300
    assert sum(bool(cuts([draw(source) for _ in range(n)])) for _ in range(trials)) <= 0.02 * trials


@pytest.mark.parametrize("n", [30, 100])
def test_correlated_noise_gives_at_most_eight_in_a_hundred(n: int) -> None:
    source = random.Random(n)
    trials = 200
    assert sum(bool(cuts(noise(source, n, 0.4))) for _ in range(trials)) <= 0.08 * trials


@pytest.mark.parametrize("n", [FEWEST_POINTS, 30, 60, 200])
def test_a_step_and_a_drift_are_found(n: int) -> None:
    source = random.Random(n)
    step = [(4.0 if place >= n // 2 else 0.0) + source.gauss(0, 1) for place in range(n)]
    drift = [10.0 * place / n + source.gauss(0, 1) for place in range(n)]
    (cut,) = cuts(step)
    assert abs(cut - n // 2) <= 2
    assert cuts(drift)


def test_one_outlier_is_no_change() -> None:
    source = random.Random(8)
    values = [source.gauss(0, 1) for _ in range(60)]
    values[20] = 1e9
    assert cuts(values) == []


@pytest.mark.parametrize("values", [[], [1.0], [1.0] * 200])
def test_what_never_changes_has_no_cut(values: list[float]) -> None:
    assert cuts(values) == []


def test_inflation_knows_independent_from_correlated() -> None:
    source = random.Random(1)
    assert inflation(noise(source, 2000)) < 1.25
    assert 1.8 < inflation(noise(source, 4000, 0.4)) <= 3
    assert inflation([float(place) for place in range(30)]) == 1.5
    assert inflation([0.0] * 30) == inflation([1.0, 2.0]) == 1.0


def steps_of(count: int) -> int:
    """Lines that are executed to cut a series of so many points: the same on every machine."""
    values, steps = noise(random.Random(1), count), 0

    def count_one(_frame: FrameType, event: str, _argument: object) -> Tracer:
        nonlocal steps
        steps += event == "line"
        return count_one

    former = sys.gettrace()
    sys.settrace(count_one)
    try:
        cuts(values)
    finally:
        sys.settrace(former)
    return steps


def test_the_work_grows_no_faster_than_the_square_of_the_points() -> None:
    few, many = steps_of(100), steps_of(200)
    assert many < 5 * few
    # A series of a launch has at most 200 points (MOST_BINS): this is a few milliseconds, anywhere far below a second.
    assert many < 3 * 200**2
