"""``result.json`` validates, is the same for the same input, and says of an unfinished launch what there is."""

from __future__ import annotations

import json
import math
import time
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.support.journals import (
    SECOND,
    START,
    WALL,
    Builder,
    Load,
    backend_journal,
    cell_plan,
    evidence,
    launch_journal,
)
from toolkit.analyse.histogram import decode
from toolkit.analyse.result import build_result
from toolkit.model.evidence import Evidence, LaunchFacts
from toolkit.model.metrics import METRICS
from toolkit.model.plan import CellPlan

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "toolkit/model/schemas/result.schema.json").read_text(encoding="utf-8"))
PLAN = cell_plan()


def validated(plan: CellPlan, sdk: Evidence, backend: Evidence | None = None, **more: Any) -> dict[str, Any]:
    """A result that was through JSON and its schema."""
    result = json.loads(json.dumps(build_result(plan, sdk, backend, **more), allow_nan=False))
    Draft202012Validator(SCHEMA).validate(result)
    assert isinstance(result, dict)
    return result


def whole(plan: CellPlan = PLAN, load: Load | None = None) -> dict[str, Any]:
    """The result of a whole launch."""
    return validated(plan, evidence(launch_journal(plan, load)), evidence(backend_journal(plan)))


def test_the_schema_is_one() -> None:
    Draft202012Validator.check_schema(SCHEMA)


def test_a_whole_launch() -> None:
    result = whole()
    assert result["valid"]
    assert [window["index"] for window in result["windows"]] == [0, 1, 2]
    assert result["counts"]["sent"] == result["counts"]["ok"] == 1200
    assert result["counts"]["drive"]["sent"] == 1600
    assert result["language"]["go"] == "go1.26.6"
    assert result["agent"]["cpu_share"] == pytest.approx(0.0003)
    assert result["samples"]["columns"][0] == "monotonic_ns"
    assert result["bench"] is None
    assert result["metrics"]["rss.over_null_bytes"]["reason"] == "no baseline"
    assert result["metrics"]["cpu.over_null_seconds"]["reason"] == "no baseline"
    assert result["metrics"]["generator.headroom"]["value"] == 20


def test_the_launch_that_the_issue_asks_for_has_one_window_with_its_numbers() -> None:
    (window,) = whole(cell_plan(duration_seconds=12.0))["windows"]
    for name in ("lat.sched.p95_seconds", "qps.ok_hz", "gc.pause.total_seconds", "rss.process.max_bytes"):
        assert window["metrics"][name]["value"] is not None


def test_the_same_evidence_gives_the_same_result() -> None:
    assert whole() == whole()


def test_a_short_duration_has_a_headline_and_no_window() -> None:
    result = whole(cell_plan(duration_seconds=8.0))
    assert result["valid"]
    assert result["windows"] == []
    assert result["metrics"]["lat.sched.p95_seconds"]["n"] == 320


def test_the_wall_clock_is_that_of_t0() -> None:
    result = whole()
    t0 = START + 6 * SECOND
    assert result["clock"] == {"t0_monotonic_ns": t0, "wall_unix_ns": WALL + 6 * SECOND}


def test_histograms_hold_what_the_metrics_say() -> None:
    result = whole()
    histogram = decode(result["histograms"]["lat.sched"])
    assert histogram.n == result["metrics"]["lat.sched.p95_seconds"]["n"]
    assert histogram.quantile(0.95) / 1e9 == result["metrics"]["lat.sched.p95_seconds"]["value"]


def test_a_launch_without_t0_has_no_numbers_and_says_so() -> None:
    builder = launch_journal(PLAN, Load(without=frozenset({"measure", "done"}), exit_code=2))
    result = validated(PLAN, evidence(builder))
    assert result["clock"]["t0_monotonic_ns"] is None
    assert result["interval"] is None
    assert result["termination"] == "panic"
    assert result["histograms"] == {}
    for name in METRICS:
        value = result["metrics"][name]
        assert value["value"] is None or name in ("drop.rate", "generator.headroom")
    assert result["metrics"]["lat.sched.p95_seconds"]["reason"] == "nothing was measured: no t0"


@pytest.mark.parametrize("stopped", ["interrupted", "engine-lost", "disk-full"])
def test_a_launch_that_never_began(stopped: Any) -> None:
    result = validated(PLAN, Evidence(), None, facts=LaunchFacts(2, 3, stopped))
    assert (result["launch"], result["attempt"], result["termination"]) == (2, 3, stopped)
    assert not result["valid"]
    assert result["language"] is None


def test_a_journal_cut_anywhere_gives_a_valid_document() -> None:
    plan = cell_plan(duration_seconds=12.0, warmup_seconds=1.0, drain_seconds=1.0)
    records = launch_journal(plan).records()
    from toolkit.collect.evidence import evidence_of
    from toolkit.collect.journal import Journal

    for kept in range(0, len(records), 3):
        result = validated(plan, evidence_of(Journal(tuple(records[:kept]), 5)), evidence(backend_journal(plan)))
        assert not result["valid"]


def test_what_a_killed_launch_measured_is_kept_up_to_its_last_window() -> None:
    plan = cell_plan()
    records = [record for record in launch_journal(plan).records() if record.monotonic_ns < START + 30 * SECOND]
    from toolkit.collect.evidence import evidence_of
    from toolkit.collect.journal import Journal

    result = validated(plan, evidence_of(Journal(tuple(records))), None, facts=LaunchFacts(stopped="host-lost"))
    assert result["termination"] == "host-lost"
    assert [window["metrics"]["lat.sched.p95_seconds"]["n"] for window in result["windows"]][:2] == [400, 400]


def test_errors_keep_their_first_texts() -> None:
    builder = launch_journal(PLAN, Load(outcome=lambda number: 2 if number == 300 else 0))
    builder.lines(START + 60 * SECOND, {"k": "error", "seq": 300, "outcome": 2, "status": 503, "text": "no"})
    result = validated(PLAN, evidence(builder), evidence(backend_journal(PLAN)))
    assert result["valid"]
    assert result["errors"] == [{"sequence": 300, "outcome": "http_status", "status": 503, "text": "no"}]
    assert result["counts"]["http_status"] == 1
    assert result["metrics"]["error.rate"]["value"] == pytest.approx(1 / 1200)


def test_taint_comes_from_the_ledger() -> None:
    ledger = {"windows": [{"index": 1, "tainted": True}, {"index": 2}]}
    result = build_result(PLAN, evidence(launch_journal(PLAN)), evidence(backend_journal(PLAN)), None, ledger)
    assert [window["tainted"] for window in result["windows"]] == [False, True, False]


def test_unpaced_latency_below_20_ms_is_compared_from_the_send() -> None:
    plan = cell_plan(backend_settings={"pacing": "unpaced"})
    metrics = whole(plan, Load(latency_ns=lambda _: 5_000_000))["metrics"]
    assert metrics["lat.send.p95_seconds"]["compared"]
    assert not metrics["lat.sched.p95_seconds"]["compared"]
    assert metrics["backend.delay.p99_seconds"]["compared"] is False


def test_no_number_is_beyond_json() -> None:
    def finite(value: Any) -> bool:
        if isinstance(value, dict):
            return all(map(finite, value.values()))
        if isinstance(value, list):
            return all(map(finite, value))
        return not isinstance(value, float) or math.isfinite(value)

    assert finite(whole())


def cost_of(rate_hz: float) -> float:
    """CPU seconds of the analysis of a launch with 50 s of requests at this rate."""
    plan = cell_plan(rate_hz=rate_hz, duration_seconds=45.0, warmup_seconds=2.0, drain_seconds=3.0)
    journal = launch_journal(plan)
    began = time.process_time()
    result = build_result(plan, evidence(journal), evidence(backend_journal(plan)))
    assert result["counts"]["drive"]["sent"] == 50 * rate_hz
    return time.process_time() - began


def test_five_times_the_requests_take_about_five_times_the_work() -> None:
    few, many = cost_of(400.0), cost_of(2000.0)
    # By what this very machine took for the fewer: anything quadratic would be 25.
    assert many < 15 * few


def test_an_empty_journal_pair_is_a_container_that_failed() -> None:
    assert validated(PLAN, evidence(Builder()), evidence(Builder()))["termination"] == "container-failed"
