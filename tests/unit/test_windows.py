"""Intervals: exactly floor(D / window) windows, all aligned to t0."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.journals import SECOND, START, Builder, Load, cell_plan, evidence, launch_journal
from toolkit.analyse.windows import Interval, measured_interval, window_count, windows


@pytest.mark.parametrize(
    ("duration", "count"), [(9.999, 0), (10.0, 1), (12.0, 1), (19.99, 1), (20.0, 2), (30.0, 3), (0.5, 0), (300.0, 30)]
)
def test_a_duration_has_floor_of_tenths_windows(duration: float, count: int) -> None:
    plan = cell_plan(duration_seconds=duration)
    assert window_count(plan) == count
    assert len(windows(plan, Interval(START, START + round(duration * SECOND)))) == count


@given(st.floats(0.1, 600, allow_nan=False), st.sampled_from([1.0, 2.5, 10.0, 0.1]))
def test_windows_follow_each_other_from_t0_and_stay_inside(duration: float, window: float) -> None:
    plan = cell_plan(duration_seconds=duration, window_seconds=window)
    interval = Interval(START, START + round(duration * SECOND))
    found = windows(plan, interval)
    assert [one.start_ns for one in found] == [START + k * round(window * SECOND) for k in range(len(found))]
    assert all(a.end_ns == b.start_ns for a, b in pairwise(found))
    assert not found or found[-1].end_ns <= interval.end_ns < found[-1].end_ns + round(window * SECOND)


def test_a_duration_that_is_no_binary_fraction_loses_no_window() -> None:
    # 0.3 / 0.1 is 2.9999999999999996: whole nanoseconds know better.
    assert window_count(cell_plan(duration_seconds=0.3, window_seconds=0.1)) == 3


def test_the_end_of_an_interval_is_outside() -> None:
    interval = Interval(10, 20)
    assert interval.holds(10)
    assert interval.holds(19)
    assert not interval.holds(20)


def test_without_t0_nothing_was_measured() -> None:
    plan = cell_plan()
    assert measured_interval(plan, evidence(launch_journal(plan, Load(without=frozenset({"measure"}))))) is None


def test_the_bench_drive_measures_from_measure_to_done_without_windows() -> None:
    plan = cell_plan(drive="bench")
    builder = Builder().hello().phase("measure", START + SECOND)
    assert measured_interval(plan, evidence(builder)) is None
    builder.phase("done", START + 100 * SECOND)
    assert measured_interval(plan, evidence(builder)) == Interval(START + SECOND, START + 100 * SECOND)
    assert window_count(plan) == 0
