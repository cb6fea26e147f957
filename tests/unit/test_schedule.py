"""The schedule that a plan fixes, and the gate that holds each request of an open drive against it."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace
from itertools import islice, pairwise
from typing import Any

import pytest

from tests.support.journals import SECOND, Load, backend_journal, cell_plan, evidence, launch_journal
from toolkit.analyse.on_schedule import planned_sends
from toolkit.analyse.result import build_result
from toolkit.model.evidence import DriveTotals, Evidence
from toolkit.model.plan import CellPlan
from toolkit.model.schedule import schedule, schedule_digest

PINNED = "f9a54598388d48983522bd9dff233c26bbd7f4f8756e249250a286251ab8fae5"
"""The first 1,000 sends of (poisson, 40/s, seed 1): images/harness/schedule_test.go has the same text."""

POISSON = cell_plan(arrival="poisson")


def first(arrival: str, rate_hz: float, seed: int, count: int) -> list[int]:
    """The first sends."""
    return list(islice(schedule(arrival, rate_hz, seed), count))


def test_the_schedule_is_the_harness_s_to_the_nanosecond() -> None:
    # The same pins as in Go. They may never change: a re-run sends at the same moments.
    assert first("poisson", 40.0, 1, 8) == [
        14204238, 21537295, 22272944, 42550994, 62834362, 69600254, 72871523, 89072657
    ]  # fmt: skip
    assert first("constant", 3.0, 1, 4) == [0, 333333333, 666666667, 1000000000]
    assert schedule_digest("poisson", 40.0, 1) == PINNED


def test_the_digest_is_of_the_sends_as_bytes() -> None:
    packed = b"".join(at.to_bytes(8, "little") for at in first("constant", 3.0, 1, 1000))
    assert schedule_digest("constant", 3.0, 1) == hashlib.sha256(packed).hexdigest()


def test_the_same_seed_is_the_same_schedule_and_another_seed_or_rate_is_not() -> None:
    assert first("poisson", 100.0, 7, 5000) == first("poisson", 100.0, 7, 5000)
    assert len({schedule_digest("poisson", 100.0, seed) for seed in range(50)}) == 50
    assert schedule_digest("poisson", 100.0, 7) != schedule_digest("poisson", 101.0, 7)
    assert schedule_digest("constant", 100.0, 7) == schedule_digest("constant", 100.0, 8)


def test_poisson_gaps_are_those_of_the_exponential() -> None:
    sends = first("poisson", 100.0, 7, 50_000)
    gaps = [(after - before) / SECOND for before, after in pairwise(sends)]
    mean = math.fsum(gaps) / len(gaps)
    deviation = math.sqrt(math.fsum((gap - mean) ** 2 for gap in gaps) / len(gaps))
    assert min(gaps) >= 0
    assert mean == pytest.approx(0.01, rel=0.02)
    assert deviation == pytest.approx(0.01, rel=0.03)


def test_sends_go_on_until_the_end_of_drain_counted_from_t0() -> None:
    sends, t0 = planned_sends(POISSON)
    assert t0 == next(at for at in sends if at >= 5 * SECOND)
    assert sends[-1] < t0 + 35 * SECOND <= first("poisson", 40.0, 1, len(sends) + 1)[-1]


def found(plan: CellPlan, sdk: Evidence) -> list[dict[str, Any]]:
    """The findings of the schedule's gate."""
    result = build_result(plan, sdk, evidence(backend_journal(plan)))
    return [one for one in result["invalid"] if one["gate"] == "schedule"]


@pytest.mark.parametrize("arrival", ["constant", "poisson"])
@pytest.mark.parametrize("gates", ["judge", "record"])
def test_a_launch_on_schedule_passes_and_drops_do_not_change_that(arrival: str, gates: str) -> None:
    plan = cell_plan(arrival=arrival, timing_gates=gates, schedule_sha256=schedule_digest(arrival, 40.0, 1))
    assert found(plan, evidence(launch_journal(plan))) == []
    assert found(plan, evidence(launch_journal(plan, Load(drops=3)))) == []


@pytest.mark.parametrize("gates", ["judge", "record"])
@pytest.mark.parametrize("number", [0, 700, 1599])
def test_one_send_that_was_moved_is_found_even_where_timing_is_recorded_only(gates: str, number: int) -> None:
    plan = replace(POISSON, timing_gates=gates)  # type: ignore[arg-type]
    sdk = evidence(launch_journal(plan))
    number = min(number, len(sdk.requests) - 1)
    moved = sdk.requests[number]._replace(scheduled_ns=sdk.requests[number].scheduled_ns + 2000)
    requests = (*sdk.requests[:number], moved, *sdk.requests[number + 1 :])
    (finding,) = found(plan, replace(sdk, requests=requests))
    assert (finding["found"], finding["limit"]) == (1, 0)
    assert f"request {number}" in finding["cause"]


def test_another_seed_than_the_plan_s_is_found() -> None:
    sdk = evidence(launch_journal(replace(POISSON, seed=2)))
    assert max(one["found"] for one in found(POISSON, sdk)) > 1000


def test_a_generator_that_leaves_sends_out_is_found_though_its_account_adds_up() -> None:
    sdk = evidence(launch_journal(POISSON))
    fewer = sdk.requests[:-5]
    totals = DriveTotals(len(fewer), len(fewer), 0, 9)
    (finding,) = found(POISSON, replace(sdk, requests=fewer, totals=totals))
    assert finding["found"] == finding["limit"] - 5


def test_a_request_beyond_the_schedule_is_found() -> None:
    sdk = evidence(launch_journal(POISSON))
    wild = sdk.requests[-1]._replace(sequence=2**60)
    (finding,) = found(POISSON, replace(sdk, requests=(*sdk.requests[:-1], wild)))
    assert finding["found"] == 1


def test_a_plan_whose_digest_this_program_cannot_make_is_not_measured_by_it() -> None:
    plan = replace(POISSON, schedule_sha256="0" * 64)
    (finding,) = found(plan, evidence(launch_journal(plan)))
    assert (finding["found"], finding["limit"]) == (PINNED, "0" * 64)


def moved_t0(sdk: Evidence, by_ns: int) -> Evidence:
    """The same launch with another announcement of t0."""
    marks = tuple(
        mark._replace(program_ns=mark.program_ns + by_ns) if mark.name == "measure" else mark for mark in sdk.marks
    )
    return replace(sdk, marks=marks)


def test_t0_is_the_plan_s_first_send_after_warm_up_and_no_other() -> None:
    sdk = evidence(launch_journal(POISSON))
    (finding,) = found(POISSON, moved_t0(sdk, 5000))
    assert finding["found"] == pytest.approx(finding["limit"] + 5e-6)


@pytest.mark.parametrize("drive", ["open", "closed"])
def test_a_warm_up_that_was_cut_short_is_found_in_both_drives(drive: str) -> None:
    plan = cell_plan(drive=drive)
    sdk = moved_t0(evidence(launch_journal(cell_plan())), -SECOND // 10)
    result = build_result(plan, sdk, evidence(backend_journal(plan)))
    (finding,) = (one for one in result["invalid"] if one["gate"] == "phases")
    assert (finding["found"], finding["limit"]) == (pytest.approx(4.9), 5.0)


def test_a_closed_loop_has_no_schedule() -> None:
    plan = cell_plan(drive="closed", arrival="poisson")
    assert found(plan, evidence(launch_journal(cell_plan()))) == []
