"""Steady state: what is judged, when it settled, and that nothing is invalidated."""

from __future__ import annotations

import random
from typing import Any

import pytest

from tests.support.journals import MS, Load, backend_journal, cell_plan, evidence, launch_journal
from toolkit.analyse.metrics import Timeline
from toolkit.analyse.result import build_result
from toolkit.analyse.steady import MOST_BINS, SERIES, bin_seconds, judge, overall, steady_state
from toolkit.model.evidence import Evidence

PLAN = cell_plan()


def found(load: Load | None = None, **changes: object) -> dict[str, object]:
    plan = cell_plan(**changes)
    result = build_result(plan, evidence(launch_journal(plan, load)), evidence(backend_journal(plan)))
    assert result["valid"]
    value: dict[str, object] = result["steady_state"]
    return value


def test_a_level_launch_is_steady_in_every_series() -> None:
    state = found()
    assert (state["verdict"], state["reason"], state["bin_seconds"]) == ("steady", None, 1)
    series = state["series"]
    assert isinstance(series, dict)
    assert {name: one["verdict"] for name, one in series.items()} == dict.fromkeys(SERIES, "steady")
    assert series["qps.ok_hz"]["levels"] == [{"from_seconds": 0.0, "median": 40.0}]


def test_a_launch_that_settles_late_says_when_and_stays_valid() -> None:
    # The first request of the measured interval is number 200; 12 s later the answers take half as long again.
    state = found(Load(latency_ns=lambda number: (150 if number < 200 + 12 * 40 else 225) * MS))
    assert state["verdict"] == "no-steady-state"
    assert state["reason"] == "the level changes after warm-up: lat.sched.p50_seconds"
    series = state["series"]
    assert isinstance(series, dict)
    assert series["lat.sched.p50_seconds"]["settled_seconds"] == 12.0
    assert series["sdk.overhead.p50_seconds"]["verdict"] == "steady"


def test_a_change_within_the_margin_is_none() -> None:
    assert found(Load(latency_ns=lambda number: (150 if number < 700 else 156) * MS))["verdict"] == "steady"


def tainted(*numbers: int, windows: int) -> dict[str, Any]:
    """A ledger's word on windows, some of them tainted."""
    taint = {"quantity": "foreign_cpu_share", "found": 0.5, "budget": 0.02}
    rows = [
        {"index": one, "tainted": one in numbers, "taints": [taint] if one in numbers else []} for one in range(windows)
    ]
    return {"windows": rows, "rest": None}


def disturbed(*numbers: int, windows: int, load: Load, **changes: object) -> dict[str, Any]:
    plan = cell_plan(duration_seconds=windows * 10.0, **changes)
    told = evidence(launch_journal(plan, load)), evidence(backend_journal(plan))
    found: dict[str, Any] = build_result(plan, *told, ledger=tainted(*numbers, windows=windows))["steady_state"]
    return found


def between(first: int, last: int) -> Load:
    """Answers that take twice as long in these seconds of the measured time."""
    return Load(latency_ns=lambda number: (300 if 200 + first * 40 <= number < 200 + last * 40 else 150) * MS)


def test_a_level_that_a_neighbour_changed_is_not_the_programs() -> None:
    assert disturbed(windows=6, load=between(20, 40))["verdict"] == "no-steady-state"
    state = disturbed(2, 3, windows=6, load=between(20, 40))
    assert (state["verdict"], state["judged_seconds"]) == ("steady", 40.0)
    assert state["series"]["qps.ok_hz"]["points"] == 40
    assert disturbed(2, 3, windows=6, load=between(20, 40), timing_gates="record")["verdict"] == "no-steady-state"


def test_a_level_that_changed_behind_a_tainted_window_is_still_found() -> None:
    state = disturbed(2, windows=6, load=between(0, 25))
    assert state["verdict"] == "no-steady-state"
    assert state["series"]["lat.sched.p50_seconds"]["settled_seconds"] == 30.0


def test_no_pair_of_samples_spans_a_tainted_window() -> None:
    points = disturbed(2, windows=5, load=Load())["series"]["cpu.per_request_seconds"]["points"]
    assert points <= 39  # between 40 samples in two parts, at most 19 and 19 and one more by rounding


def test_too_little_that_is_clean_is_not_judged() -> None:
    assert disturbed(0, 2, windows=4, load=Load())["reason"] == "too few: no series has 25 points"
    state = disturbed(0, 1, 2, windows=3, load=Load())
    assert (state["verdict"], state["reason"]) == ("not-judged", "all that was measured is tainted")


def test_a_short_launch_is_not_judged() -> None:
    state = found(duration_seconds=12.0)
    assert (state["verdict"], state["reason"]) == ("not-judged", "too few: no series has 25 points")


@pytest.mark.parametrize("drive", ["bench", "probe"])
def test_drives_with_a_pace_of_their_own_are_not_judged(drive: str) -> None:
    plan = cell_plan(drive=drive)
    sdk = evidence(launch_journal(plan))
    from toolkit.analyse.windows import measured_interval

    assert steady_state(plan, Timeline(sdk, None), measured_interval(plan, sdk))["reason"] == f"drive {drive}"


def test_a_launch_that_never_began_is_not_judged() -> None:
    assert steady_state(PLAN, Timeline(Evidence(), None), None)["reason"] == "nothing was measured"


def test_a_transient_level_counts_and_a_return_to_it_settles() -> None:
    source = random.Random(4)
    values = [10.0] * 20 + [20.0] * 20 + [10.0] * 20
    one = judge([(float(place), value + source.gauss(0, 0.1)) for place, value in enumerate(values)])
    assert one["verdict"] == "no-steady-state"
    assert one["settled_seconds"] == 40.0
    assert [level["from_seconds"] for level in one["levels"]] == [0.0, 20.0, 40.0]


def test_any_unsteady_series_decides_and_one_that_is_too_short_does_not() -> None:
    assert overall({"a": {"verdict": "steady"}, "b": {"verdict": "not-judged"}}) == ("steady", None)
    assert overall({"a": {"verdict": "steady"}, "b": {"verdict": "no-steady-state"}})[0] == "no-steady-state"


@pytest.mark.parametrize("seconds", [0.5, 30, 200, 201, 86_400])
def test_there_are_never_more_bins_than_the_bound(seconds: float) -> None:
    assert seconds / bin_seconds(seconds) <= MOST_BINS


@pytest.mark.parametrize("spread", [0.02, 0.1, 0.3])
def test_a_stationary_series_is_hardly_ever_called_unsteady(spread: float) -> None:
    source = random.Random(round(spread * 100))
    trials = 300
    found = [judge([(float(at), source.lognormvariate(-5, spread)) for at in range(30)]) for _ in range(trials)]
    assert sum(one["verdict"] == "no-steady-state" for one in found) <= 0.015 * trials
