"""Trends: the slope and interval of SciPy, thinned where long, and false alarms as rare as the level says."""

from __future__ import annotations

import random
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolkit.analyse.trend import MOST_POINTS, thinned, trend

VALUES = st.lists(st.integers(-20, 20).map(float), min_size=4, max_size=40)


@given(VALUES)
def test_slope_and_interval_are_those_of_scipy(values: list[float]) -> None:
    seconds = [10.0 * place for place in range(len(values))]
    theirs = stats.theilslopes(values, seconds, alpha=0.95)
    ours = trend(seconds, values)
    assert (ours.slope, ours.low, ours.high) == pytest.approx((theirs.slope, theirs.low_slope, theirs.high_slope))


def test_change_is_over_the_span_and_relative_to_the_first_third() -> None:
    one = trend([0, 10, 20, 30, 40, 50], [10, 10, 12, 14, 16, 18])
    assert one.start == 10
    assert one.change == pytest.approx(one.slope * 50)
    assert one.relative == pytest.approx(one.change / 10)


def test_from_nothing_the_relative_change_is_infinite() -> None:
    assert trend([0, 1, 2], [0, 1, 2]).relative == float("inf")
    assert trend([0, 1, 2], [0, 0, 0]).relative == 0
    assert trend([0, 1, 2], [0, -1, -2]).relative == float("-inf")


@pytest.mark.parametrize("points", [[], [1.0]])
def test_one_point_has_no_trend(points: list[float]) -> None:
    with pytest.raises(ValueError, match="no trend"):
        trend(points, points)


def test_a_long_series_is_thinned_to_medians() -> None:
    values = [float(place) for place in range(8640)]
    few = thinned(values)
    assert len(few) <= MOST_POINTS
    assert few[0] == median(values[:44])
    assert trend(values, [3 * value for value in values]).slope == pytest.approx(3)


def test_one_odd_window_moves_nothing() -> None:
    seconds = [float(place) for place in range(20)]
    values = [2 * second for second in seconds]
    values[7] = 1e6
    assert trend(seconds, values).slope == pytest.approx(2)


def test_noise_has_a_direction_in_at_most_seven_of_a_hundred_series() -> None:
    source = random.Random(2)
    seconds = [float(place) for place in range(12)]
    found = [trend(seconds, [source.gauss(0, 1) for _ in seconds]) for _ in range(1000)]
    assert sum(one.low > 0 or one.high < 0 for one in found) <= 70
