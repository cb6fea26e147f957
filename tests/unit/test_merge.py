"""Headlines over launches: merged, never averaged percentiles; an interval from five launches on."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.journals import MS, Load, backend_journal, cell_plan, evidence, launch_journal
from toolkit.analyse.histogram import Histogram, decode, merge
from toolkit.analyse.merge import merge_launches
from toolkit.analyse.result import build_result
from toolkit.model.metrics import METRICS

PLAN = cell_plan(duration_seconds=12.0, warmup_seconds=1.0, drain_seconds=1.0)


def launch(load: Load | None = None) -> dict[str, Any]:
    """One result."""
    return build_result(PLAN, evidence(launch_journal(PLAN, load)), evidence(backend_journal(PLAN)))


def spread(count: int) -> list[dict[str, Any]]:
    """Launches that differ: each a millisecond slower, with more CPU."""
    return [
        launch(Load(latency_ns=lambda _, extra=number: (100 + extra) * MS, cpu_per_second_ns=(100 + number) * MS))  # type: ignore[misc]
        for number in range(count)
    ]


def test_every_metric_has_an_entry() -> None:
    merged = merge_launches([launch()])
    assert set(merged) == set(METRICS)
    assert all((one["value"] is None) == (one["reason"] is not None) for one in merged.values())
    assert all((one["ci"] is None) == (one["ci_reason"] is not None) for one in merged.values())


def test_quantiles_come_from_merged_histograms() -> None:
    results = [*spread(1), launch(Load(latency_ns=lambda _: 500 * MS))]
    merged = merge_launches(results)["lat.send.p95_seconds"]
    histogram = merge(decode(result["histograms"]["lat.send"]) for result in results)
    assert merged["value"] == histogram.quantile(0.95) / 1e9
    # The mean of the two P95 would be 0.3 s.
    assert merged["value"] == pytest.approx(0.5, rel=1e-3)
    assert (merged["n"], merged["launches"]) == (960, 2)


def test_a_quantile_that_one_launch_cannot_give_may_come_from_all() -> None:
    results = [launch() for _ in range(10)]
    assert results[0]["metrics"]["gc.pause.p99_seconds"]["value"] is None
    merged = merge_launches(results[:1])["gc.pause.p99_seconds"]
    assert merged["reason"] == "P99 needs at least 368 samples, there are 24"
    assert merge_launches(results * 2)["gc.pause.p99_seconds"]["value"] is not None


def test_ratios_are_weighted_by_their_requests() -> None:
    plans = [PLAN, cell_plan(duration_seconds=24.0, warmup_seconds=1.0, drain_seconds=1.0)]
    failing = Load(outcome=lambda _: 1)
    results = [
        build_result(plans[0], evidence(launch_journal(plans[0], failing)), evidence(backend_journal(plans[0]))),
        build_result(plans[1], evidence(launch_journal(plans[1])), evidence(backend_journal(plans[1]))),
    ]
    assert merge_launches(results)["error.rate"]["value"] == pytest.approx(1 / 3)


def test_extremes_and_means() -> None:
    merged = merge_launches([launch(Load(headroom=5.0, pauses_per_second=1)), launch(Load(headroom=9.0))])
    assert merged["generator.headroom"]["value"] == 5
    assert merged["gc.pause.total_seconds"]["value"] == pytest.approx(0.0018)
    slow = merge_launches([launch(), launch(Load(latency_ns=lambda number: 900 * MS if number == 99 else MS))])
    assert slow["lat.send.max_seconds"]["value"] == pytest.approx(0.9)


def test_invalid_launches_give_no_headline() -> None:
    good, bad = launch(), launch(Load(drops=1))
    assert merge_launches([good, bad])["lat.sched.p95_seconds"]["launches"] == 1
    alone = merge_launches([bad])["lat.sched.p95_seconds"]
    assert (alone["value"], alone["launches"], alone["reason"]) == (None, 0, "no valid launch")
    assert merge_launches([])["lat.sched.p95_seconds"]["reason"] == "no valid launch"


@pytest.mark.parametrize("count", [1, 4])
def test_below_five_launches_there_is_no_interval(count: int) -> None:
    merged = merge_launches([launch()] * count)["lat.sched.p95_seconds"]
    assert merged["ci"] is None
    assert merged["ci_reason"] == "fewer than 5 launches"


def test_from_five_launches_on_there_is_an_interval_around_the_value() -> None:
    merged = merge_launches(spread(6), seed=7)
    for name in ("lat.send.p50_seconds", "cpu.per_request_seconds", "lat.send.max_seconds"):
        low, high = merged[name]["ci"]
        assert low <= merged[name]["value"] <= high
    low, high = merged["cpu.per_request_seconds"]["ci"]
    assert low < high
    assert merged["error.rate"]["ci"] == [0.0, 0.0]


def test_the_interval_is_the_same_for_the_same_seed_only() -> None:
    results = spread(5)
    first = merge_launches(results, seed=1)
    assert first == merge_launches(results, seed=1)
    assert (
        first["cpu.per_request_seconds"]["value"] == merge_launches(results, seed=2)["cpu.per_request_seconds"]["value"]
    )


def test_bisection_finds_what_merging_finds() -> None:
    from toolkit.analyse.merge import _quantile_estimator

    histograms = [Histogram.of(range(start, start + 5000, 7)) for start in (10, 3000, 40_000, 900, 5)]
    for quantile, q in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        estimate = _quantile_estimator(histograms, quantile)
        for chosen in ([0, 1, 2, 3, 4], [0, 0, 0, 1, 1], [2, 2, 2, 2, 4], [4, 3, 4, 3, 4]):
            assert estimate(chosen) == merge(histograms[index] for index in chosen).quantile(q) / 1e9


def test_what_is_null_everywhere_stays_null_with_its_reason() -> None:
    merged = merge_launches([launch()] * 6)["rss.over_null_bytes"]
    assert (merged["value"], merged["reason"], merged["ci"]) == (None, "no baseline", None)
