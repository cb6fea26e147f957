"""What an SDK costs over the null SDK: which cells belong together, and the difference."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.journals import cell_plan
from toolkit.analyse.baseline import OVER_NULL, over_null
from toolkit.model.metrics import METRICS
from toolkit.model.plan import CellPlan
from toolkit.report.across import _COLUMNS, across


def metrics(value: float | None, n: int = 10, launches: int = 2) -> dict[str, dict[str, Any]]:
    return {source: {"value": value, "n": n, "launches": launches, "ci": None} for source in OVER_NULL.values()}


def sdk(**changes: Any) -> CellPlan:
    return cell_plan(cell="a", sdk="a", **changes)


def null(**changes: Any) -> CellPlan:
    return cell_plan(cell="null", sdk="net-http", null_sdk=True, **changes)


def over(one: CellPlan, other: CellPlan, value: float | None = 30.0) -> dict[str, dict[str, Any]]:
    return over_null([one, other], {"a": metrics(value), "null": metrics(10.0, 7, 1)}, "net-http").get("a", {})


def test_the_difference_has_the_smaller_n_and_no_interval() -> None:
    found = over(sdk(), null())
    assert set(found) == set(OVER_NULL)
    for entry in found.values():
        assert (entry["value"], entry["n"], entry["launches"], entry["ci"]) == (20.0, 7, 1, None)
        assert entry["compared"] is True


def test_an_sdk_may_cost_less() -> None:
    assert over(sdk(), null(), 4.0)["rss.over_null_bytes"]["value"] == -6.0


def test_no_number_is_made_of_a_missing_one() -> None:
    found = over(sdk(), null(), None)
    assert {name: entry["value"] for name, entry in found.items()} == dict.fromkeys(OVER_NULL)
    assert found["cpu.over_null_seconds"]["reason"] == "no cpu.per_request_seconds of both"


@pytest.mark.parametrize(
    "changes",
    [
        {"workload": "embed-512"},
        {"backend": "llm-d-sim"},
        {"backend_tier": "simulator"},
        {"drive": "closed"},
        {"arms": {"gogc": "50"}},
    ],
    ids=str,
)
def test_cells_that_differ_in_more_than_the_sdk_are_not_subtracted(changes: dict[str, Any]) -> None:
    assert over(sdk(**changes), null()) == {}
    assert over(sdk(), null(**changes)) == {}
    assert over(sdk(**changes), null(**changes))


@pytest.mark.parametrize(
    "arms", [{"sdk-at": "v1.42.0"}, {"sdk": "defaults"}, {"backend": "stub", "tier": "stub"}], ids=str
)
def test_what_only_says_which_sdk_or_where_anyway_does_not_part_them(arms: dict[str, str]) -> None:
    assert over(sdk(arms=arms), null())


def test_another_version_under_a_long_arm_is_still_compared() -> None:
    arms = {"godebug": "madvdontneed=1", "gomemlimit": "100m", "http": "h2", "sdk-at": "dir-0123456789ab"}
    shared = {key: value for key, value in arms.items() if key != "sdk-at"}
    assert over(sdk(arms=arms, arm="cut+0123"), null(arms=shared, arm="another"))


def table(*cells: CellPlan, **values: Any) -> list[tuple[str, str]]:
    entries = {"cpu.per_request_seconds": {"value": 0.001}, "lat.send.p50_seconds": {"value": 0.1, "compared": False}}
    return across(cells, {cell.cell: {**entries, **values} for cell in cells})


def test_one_cell_makes_no_table() -> None:
    assert table(sdk()) == []


def test_cells_of_one_place_stand_in_one_table_and_others_do_not() -> None:
    ((title, text),) = table(sdk(), null(), cell_plan(cell="c", backend="ollama", backend_tier="tiny-model"))
    assert title == "chat-stream-128 against stub (stub), open"
    assert text.splitlines()[0].split("  ")[0] == "SDK"
    assert "net-http v1.43.0 (null SDK)" in text
    assert len(text.splitlines()) == 3


def test_latency_that_is_the_backends_own_is_no_column() -> None:
    ((_, text),) = table(sdk(), null())
    assert "latency" not in text
    assert "CPU/request" in text
    ((_, text),) = table(sdk(), null(), **{"lat.send.p50_seconds": {"value": 0.1}})
    assert "latency p50" in text


def test_the_arm_is_a_column_where_it_differs_and_no_value_is_a_dash() -> None:
    cells = [sdk(), cell_plan(cell="b", arm="sdk-at=v1.42.0")]
    entries: dict[str, Any] = {"a": {"allocs.per_request": {"value": 5}}, "b": {"allocs.per_request": {"value": None}}}
    ((_, text),) = across(cells, entries)
    heading, first, second = text.splitlines()
    assert heading.split() == ["SDK", "arm", "allocs/request"]
    assert first.split()[-2:] == ["default", "5"]
    assert second.split()[-2:] == ["sdk-at=v1.42.0", "-"]


def test_every_column_is_a_metric() -> None:
    """A column of an id that does not exist is always empty: benchmarks had no time per operation."""
    assert [name for _title, names in _COLUMNS for name in names if name not in METRICS] == []


def test_a_benchmark_shows_what_go_test_found() -> None:
    found: dict[str, Any] = {
        "bench.time_per_op_seconds": {"value": 0.001, "compared": True},
        "bench.allocs_per_op": {"value": 70},
    }
    cells = [sdk(drive="bench"), null(drive="bench")]
    ((_, text),) = across(cells, {cell.cell: found for cell in cells})
    assert text.splitlines()[0].split("  ")[-2:] == ["time/op", "allocs/op"]
    found["bench.time_per_op_seconds"]["compared"] = False
    ((_, text),) = across(cells, {cell.cell: found for cell in cells})
    assert "time/op" not in text


def latencies(sent: float, scheduled: float, *, short: bool) -> dict[str, dict[str, Any]]:
    return {
        "lat.send.p50_seconds": {"value": sent, "compared": short},
        "lat.sched.p50_seconds": {"value": scheduled, "compared": not short},
    }


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        (True, True, ["1 ms", "1 ms"]),
        (False, False, ["30 ms", "30 ms"]),
        (True, False, ["3 ms", "30 ms"]),
    ],
    ids=["both short: from the send", "both long: from the schedule", "one of each: from the schedule"],
)
def test_latencies_of_one_column_begin_at_the_same_moment(first: bool, second: bool, shown: list[str]) -> None:
    short, long = latencies(0.001, 0.003, short=True), latencies(0.028, 0.030, short=False)
    cells = {"a": short if first else long, "null": short if second else long}
    ((_, text),) = across([sdk(), null()], cells)
    assert [line.split("  ")[-1].strip() for line in text.splitlines()[1:]] == shown
