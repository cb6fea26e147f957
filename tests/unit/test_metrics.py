"""Metrics of an interval: each by hand on a small journal, and none without its n or its reason."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.journals import (
    MS,
    SECOND,
    START,
    Builder,
    Load,
    backend_journal,
    cell_plan,
    evidence,
    launch_journal,
)
from toolkit.analyse.histogram import Histogram
from toolkit.analyse.metrics import Timeline, Value, histograms, interval_metrics, quantile_value
from toolkit.analyse.windows import Interval, measured_interval, windows
from toolkit.model.metrics import METRICS, SAMPLES_NEEDED
from toolkit.model.plan import CellPlan

T0 = START + 10 * SECOND


def whole(plan: CellPlan, load: Load | None = None) -> dict[str, Value]:
    """The metrics of a launch's measured interval."""
    sdk = evidence(launch_journal(plan, load))
    interval = measured_interval(plan, sdk)
    assert interval is not None
    timeline = Timeline(sdk, evidence(backend_journal(plan)))
    return interval_metrics(timeline, interval, histograms(timeline, interval))


def by_hand(rows: list[list[Any]], seconds: int = 10, **more: Any) -> dict[str, Value]:
    """The metrics of [T0, T0 + seconds) over hand-written rows, whose times are ms after T0."""
    builder = Builder().hello().lines(START, {"k": "base", "ns": START})
    shift = T0 - START
    moved = []
    for number, (sched, sent, first, end, outcome, tokens, overhead) in enumerate(rows):
        times = [round(t * MS) + shift for t in (sched, sent, first, end)]
        moved.append([number, times[0], times[1], times[2] if first else 0, times[3], outcome, tokens, 1, overhead])
    builder.lines(START + 1000 * SECOND, {"k": "req", "rows": moved})
    timeline = Timeline(evidence(builder), None)
    interval = Interval(T0, T0 + seconds * SECOND)
    return interval_metrics(timeline, interval, histograms(timeline, interval))


def test_every_windowed_metric_is_there_with_n_or_reason() -> None:
    values = whole(cell_plan())
    assert set(values) == {name for name, metric in METRICS.items() if metric.windowed}
    assert all((value.value is None) == (value.reason is not None) for value in values.values())


def test_latency_counts_from_the_schedule_and_from_the_send() -> None:
    values = by_hand([[0, 5, 10, 25, 0, 4, [MS]]])
    assert values["lat.sched.p50_seconds"] == Value(0.025, 1)
    assert values["lat.send.p50_seconds"] == Value(0.020, 1)
    assert values["dispatch.delay.p50_seconds"] == Value(0.005, 1)
    assert values["ttft.p50_seconds"] == Value(0.010, 1)
    assert values["ttft.send.p50_seconds"] == Value(0.005, 1)
    assert values["tpot.p50_seconds"] == Value(0.005, 1)
    assert values["sdk.overhead.p50_seconds"] == Value(0.001, 1)
    assert values["lat.sched.max_seconds"] == Value(0.025, 1)


def test_failures_are_no_latency_but_are_sends() -> None:
    values = by_hand([[0, 1, 0, 9, 2, 0, []], [1, 2, 0, 9, 6, 0, []], [2, 3, 4, 10, 0, 2, []], [3, 4, 5, 11, 0, 2, []]])
    assert values["lat.sched.p50_seconds"].n == 2
    assert values["dispatch.delay.p50_seconds"].n == 4
    assert values["error.rate"] == Value(0.5, 4)
    assert values["error.http_status.rate"] == Value(0.25, 4)
    assert values["error.timeout.rate"] == Value(0.25, 4)
    assert values["error.transport.rate"] == Value(0.0, 4)


def test_error_parts_add_up() -> None:
    values = whole(cell_plan(), Load(outcome=lambda number: number % 8))
    parts = [value.value for name, value in values.items() if name.startswith("error.") and name != "error.rate"]
    assert sum(part for part in parts if part is not None) == pytest.approx(values["error.rate"].value)
    assert values["error.rate"].value == pytest.approx(7 / 8)


def test_a_request_belongs_to_the_interval_of_its_scheduled_send() -> None:
    # Scheduled just before the end and answered after it: inside. Scheduled before t0, answered in it: outside.
    values = by_hand(
        [[-1, 0, 0, 50, 0, 1, []], [9_999, 10_000, 0, 10_500, 0, 1, []], [10_000, 10_000, 0, 10_001, 0, 1, []]]
    )
    assert values["lat.sched.p50_seconds"] == Value(0.501, 1)
    assert values["qps.offered_hz"] == Value(0.1, 1)


def test_throughput_counts_successes_that_end_in_the_interval() -> None:
    values = by_hand([[-1, 0, 0, 50, 0, 1, []], [9_999, 10_000, 0, 10_500, 0, 1, []], [5, 5, 0, 6, 3, 1, []]])
    assert values["qps.ok_hz"] == Value(0.1, 1)


def test_a_single_token_has_no_time_per_token() -> None:
    assert by_hand([[0, 1, 2, 3, 0, 1, []]])["tpot.p50_seconds"].reason == "no samples"


def test_nothing_sent_is_no_rate() -> None:
    values = by_hand([])
    assert values["error.rate"] == Value(None, 0, "no requests were sent")
    assert values["lat.sched.p95_seconds"] == Value(None, 0, "no samples")


@pytest.mark.parametrize(("quantile", "needed"), SAMPLES_NEEDED.items())
def test_a_quantile_needs_enough_values(quantile: str, needed: int) -> None:
    enough = quantile_value(Histogram.of(range(1, needed + 1)), quantile)
    assert enough.value is not None
    few = quantile_value(Histogram.of(range(1, needed)), quantile)
    assert few.value is None
    assert few.n == needed - 1
    assert few.reason is not None


def test_thresholds_are_those_of_the_design() -> None:
    assert SAMPLES_NEEDED["p95"] == 72
    assert SAMPLES_NEEDED["p99"] == 368


def test_cpu_is_the_difference_of_samples_inside_over_their_requests() -> None:
    # 100 ms of CPU a second at 40 requests a second, whatever was spent before t0.
    assert whole(cell_plan())["cpu.per_request_seconds"].value == pytest.approx(0.0025)


def test_one_sample_is_no_difference() -> None:
    builder = Builder().hello().sample(T0 + SECOND, cpu_user_ns=5)
    timeline = Timeline(evidence(builder), None)
    interval = Interval(T0, T0 + 10 * SECOND)
    value = interval_metrics(timeline, interval, histograms(timeline, interval))["cpu.per_request_seconds"]
    assert value.value is None
    assert value.reason == "fewer than 2 samples in the interval (1)"


def test_cpu_that_shrinks_is_no_number() -> None:
    builder = Builder().hello().sample(T0, cpu_user_ns=5 * SECOND).sample(T0 + SECOND, cpu_user_ns=SECOND)
    timeline = Timeline(evidence(builder), None)
    interval = Interval(T0, T0 + 10 * SECOND)
    assert interval_metrics(timeline, interval, histograms(timeline, interval))["cpu.per_request_seconds"].value is None


def test_allocations_are_the_difference_of_snapshots_over_requests() -> None:
    values = whole(cell_plan())
    assert values["allocs.per_request"].value == pytest.approx(1000)
    assert values["alloc_bytes.per_request_bytes"].value == pytest.approx(64_000)
    assert values["allocs.per_request"].n == 1200


def test_gc_pauses_are_a_difference_of_cumulative_histograms() -> None:
    values = whole(cell_plan())
    # 2 pauses of 100 us a second for 30 s; those of warm-up are in every count and in no difference.
    assert values["gc.pause.total_seconds"].value == pytest.approx(0.006)
    assert values["gc.pause.total_seconds"].n == 60
    assert values["gc.pause.max_seconds"].value == pytest.approx(0.0001)
    assert values["gc.cycles"].value == 30


def test_no_pause_is_zero_seconds_in_total_and_no_maximum() -> None:
    values = whole(cell_plan(), Load(pauses_per_second=0))
    assert values["gc.pause.total_seconds"].value == 0.0
    assert values["gc.pause.max_seconds"].reason == "no pause in the interval"


def test_without_snapshots_the_runtime_is_unknown() -> None:
    values = whole(cell_plan(), Load(without=frozenset({"go"})))
    for name in ("allocs.per_request", "gc.pause.total_seconds", "gc.pause.max_seconds", "goroutines.max"):
        assert values[name].value is None
        assert values[name].reason


def test_three_kinds_of_resident_memory() -> None:
    values = whole(cell_plan(), Load(rss_bytes=1_000_000))
    assert values["rss.process.max_bytes"].value == 1_001_024
    assert values["rss.process.last_bytes"].value == 1_001_024
    assert values["rss.anon.max_bytes"].value == 1_000_000
    assert values["rss.cgroup.max_bytes"].value == 2_000_000


def test_each_window_has_its_own_numbers() -> None:
    plan = cell_plan()
    # The second window is slow: requests 600 to 999 of 40 a second from 5 s before t0.
    slow = Load(latency_ns=lambda number: 300 * MS if 600 <= number < 1000 else 100 * MS)
    sdk = evidence(launch_journal(plan, slow))
    interval = measured_interval(plan, sdk)
    assert interval is not None
    timeline = Timeline(sdk, None)
    found = [
        interval_metrics(timeline, window, histograms(timeline, window))["lat.send.p95_seconds"]
        for window in windows(plan, interval)
    ]
    assert [value.n for value in found] == [400, 400, 400]
    assert [value.value for value in found] == pytest.approx([0.1, 0.3, 0.1], rel=1e-3)


def test_delays_of_the_backend_are_those_reported_in_the_interval() -> None:
    values = whole(cell_plan())
    assert values["backend.delay.p99_seconds"].value == pytest.approx(0.0001)
    assert values["backend.delay.p99_seconds"].n == 1200
