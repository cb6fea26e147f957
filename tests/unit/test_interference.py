"""The budget, and what is left of a launch without its tainted windows, against arithmetic that is done another way."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.support.interference import QUIET
from tests.support.journals import SECOND, START, Load, backend_journal, cell_plan, evidence, launch_journal
from toolkit.analyse.histogram import Histogram, decode
from toolkit.analyse.merge import merge_launches
from toolkit.analyse.result import build_result
from toolkit.errors import UsageError
from toolkit.ledger import Judged, Snapshot, ledger, parse_budget, reasons_against
from toolkit.model.evidence import Evidence
from toolkit.model.interference import BUDGET, QUANTITIES, default_budget, loosened
from toolkit.model.plan import CellPlan
from toolkit.report.interference import budget_options, budget_text, clean_text

ROOT = Path(__file__).resolve().parents[2]
SCHEMA = json.loads((ROOT / "toolkit/model/schemas/result.schema.json").read_text(encoding="utf-8"))
PLAN = cell_plan(duration_seconds=65.0, interference_budget=default_budget())
WINDOWS = 6
T0 = START + 6 * SECOND
Bursts = Sequence[tuple[float, float, float]]
"""(start and length in seconds after t0, share of the CPU) of foreign work."""


def overlap(bursts: Bursts, start: float, end: float) -> float:
    """Seconds of foreign work between two moments."""
    return sum(max(min(end, at + length) - max(start, at), 0.0) * share for at, length, share in bursts)


def snapshots(bursts: Bursts) -> list[Snapshot]:
    """A ledger's snapshots under such a neighbour: our own work is 20 % of the CPU throughout."""
    moments = {"t0": 0.0, **{f"window:{k}": 10.0 * (k + 1) for k in range(WINDOWS)}, "end": PLAN.duration_seconds}
    taken = []
    for label, at in moments.items():
        ours, foreign = 0.2 * at, overlap(bursts, 0.0, at)
        values = {**QUIET, "total_cpu_seconds": 50 + ours + foreign, "ours_cpu_seconds": 7 + ours}
        taken.append(Snapshot(label, T0 + round(at * SECOND), values))
    return taken


@cache
def launch() -> tuple[Evidence, Evidence]:
    """A launch of which every request and every second is unlike its neighbours; one request in 40 fails."""
    load = Load(
        latency_ns=lambda number: 100_000_000 + (number * 7919 % 1009) * 100_000,
        dispatch_ns=lambda number: 1_000 + number * 97 % 40_000,
        outcome=lambda number: 2 if number % 41 == 0 else 0,
    )
    sdk = evidence(launch_journal(PLAN, load))
    cpu = rss = 0
    samples = []
    for index, sample in enumerate(sdk.samples):
        cpu, rss = cpu + 50_000_000 + index * index * 31_337 % 90_000_000, 10_000_000 + index * 104_729 % 7_000_000
        samples.append(sample._replace(cpu_user_ns=cpu, rss_anon_bytes=rss))
    objects = pauses = 0
    go = []
    for index, one in enumerate(sdk.go):
        objects, pauses = objects + 40_000 + index * 7907 % 30_000, pauses + index % 4
        go.append(replace(one, alloc_objects=objects, alloc_bytes=objects * 64, pause=((0.0001, pauses),)))
    return replace(sdk, samples=tuple(samples), go=tuple(go)), evidence(backend_journal(PLAN))


def result_under(bursts: Bursts, plan: CellPlan = PLAN) -> tuple[dict[str, Any], dict[str, Any]]:
    """The ledger and the result of that launch with such a neighbour."""
    document = ledger(snapshots(bursts), Judged.of(plan, WINDOWS))
    result = json.loads(json.dumps(build_result(plan, *launch(), None, document), allow_nan=False))
    Draft202012Validator(SCHEMA).validate(result)
    return document, result


bursts_of = st.lists(
    st.tuples(
        st.floats(0, 64, allow_nan=False),
        st.floats(0.01, 20, allow_nan=False),
        st.sampled_from([0.005, 0.019, 0.021, 0.1, 0.5, 0.8]),
    ),
    max_size=4,
)


@settings(max_examples=60, deadline=None)
@given(bursts=bursts_of, limit=st.sampled_from([0.0, 0.01, 0.02, 0.05, 0.3, None]))
def test_exactly_the_windows_beyond_the_budget_are_tainted_and_left_out(bursts: Bursts, limit: float | None) -> None:
    plan = replace(PLAN, interference_budget={**default_budget(), "foreign_cpu_share": limit})
    _document, result = result_under(bursts, plan)
    edges = [*((10.0 * k, 10.0 * (k + 1)) for k in range(WINDOWS)), (60.0, 65.0)]
    pieces = [*result["windows"], result["rest"]]
    clean = []
    for (start, end), piece in zip(edges, pieces, strict=True):
        share = overlap(bursts, start, end) / (end - start)
        if limit is not None and abs(share - limit) < 1e-9:
            return  # neither side of the limit in floating point
        assert piece["tainted"] == (limit is not None and share > limit)
        if piece["tainted"]:
            (taint,) = piece["taints"]
            assert taint == {"what": "foreign_cpu_share", "found": pytest.approx(share), "limit": limit}
        else:
            clean.append((start, end))
    assert result["valid"], result["invalid"]
    assert result["headline_seconds"] == pytest.approx(sum(end - start for start, end in clean))
    check_headline(result, clean)


def check_headline(result: dict[str, Any], clean: Sequence[tuple[float, float]]) -> None:
    """Every headline number against one summed up request by request and second by second."""
    metrics = result["metrics"]
    if not clean:
        assert result["histograms"] == {}
        assert metrics["lat.sched.p95_seconds"]["value"] is None
        assert metrics["lat.sched.p95_seconds"]["reason"] == "every window was tainted: interference beyond the budget"
        return
    sdk, _backend = launch()

    def kept(moment_ns: int) -> bool:
        return any(start <= (moment_ns - T0) / SECOND < end for start, end in clean)

    requests = [one for one in sdk.requests if kept(one.scheduled_ns)]
    latencies = [one.end_ns - one.scheduled_ns for one in requests if one.outcome == 0]
    histogram = Histogram.of(latencies)
    assert decode(result["histograms"]["lat.sched"]) == histogram
    assert metrics["lat.sched.p95_seconds"]["value"] == histogram.quantile(0.95) / SECOND
    assert metrics["lat.sched.max_seconds"]["value"] == max(latencies) / SECOND
    failed = len(requests) - len(latencies)
    assert metrics["error.rate"]["value"] == pytest.approx(failed / len(requests))
    ended = sum(1 for one in sdk.requests if one.outcome == 0 and kept(one.end_ns))
    seconds = sum(end - start for start, end in clean)
    assert metrics["qps.ok_hz"]["value"] == pytest.approx(ended / seconds)
    check_counters(metrics, clean)


def check_counters(metrics: dict[str, Any], clean: Sequence[tuple[float, float]]) -> None:
    """Differences of counters, added up over each second that has both its ends inside one stretch of clean time."""
    sdk, _backend = launch()

    def asked(start_ns: int, end_ns: int) -> int:
        return sum(1 for one in sdk.requests if start_ns <= one.scheduled_ns < end_ns)

    # Samples come 2 ms after each full second: the one after a stretch's end is no longer of it, while a runtime
    # snapshot speaks for the boundary that it is nearest to.
    spans = list(joined(clean))
    cpu = sum(b.cpu_ns - a.cpu_ns for a, b in pairs(sdk.samples, spans, slack=0.0))
    requests = sum(asked(a.monotonic_ns, b.monotonic_ns) for a, b in pairs(sdk.samples, spans, slack=0.0))
    assert metrics["cpu.per_request_seconds"]["value"] == pytest.approx(cpu / SECOND / requests)
    snaps = list(pairs(sdk.go, spans, slack=0.5))
    objects = sum(b.alloc_objects - a.alloc_objects for a, b in snaps)
    asked_then = sum(asked(a.monotonic_ns, b.monotonic_ns) for a, b in snaps)
    assert metrics["allocs.per_request"]["value"] == pytest.approx(objects / asked_then)
    assert metrics["gc.cycles"]["value"] == sum(b.gc_cycles - a.gc_cycles for a, b in snaps)
    paused = sum(b.pause[0][1] - a.pause[0][1] for a, b in snaps)
    assert metrics["gc.pause.total_seconds"]["n"] == paused
    inside = [one.rss_bytes for one in sdk.samples if any(a <= (one.monotonic_ns - T0) / SECOND <= b for a, b in spans)]
    assert metrics["rss.process.max_bytes"]["value"] == max(inside)
    assert metrics["rss.process.last_bytes"]["value"] == inside[-1]


def joined(clean: Sequence[tuple[float, float]]) -> Iterator[tuple[float, float]]:
    """Neighbouring windows as one stretch."""
    current: tuple[float, float] | None = None
    for start, end in clean:
        if current is not None and current[1] == start:
            current = (current[0], end)
            continue
        if current is not None:
            yield current
        current = (start, end)
    if current is not None:
        yield current


def pairs(rows: Sequence[Any], spans: Sequence[tuple[float, float]], slack: float) -> Iterator[tuple[Any, Any]]:
    """Neighbouring rows that both lie in one stretch."""
    for a, b in pairwise(rows):
        at = [(one.monotonic_ns - T0) / SECOND for one in (a, b)]
        if any(start <= at[0] and at[1] <= end + slack for start, end in spans):
            yield a, b


def test_windows_keep_their_own_metrics_however_tainted() -> None:
    _document, quiet = result_under(())
    _document, disturbed = result_under([(15.0, 3.0, 0.5)])
    assert [one["tainted"] for one in disturbed["windows"]] == [False, True, False, False, False, False]
    assert [one["metrics"] for one in disturbed["windows"]] == [one["metrics"] for one in quiet["windows"]]
    assert disturbed["counts"] == quiet["counts"]
    assert disturbed["headline_seconds"] == 55
    assert disturbed["with_tainted"] == quiet["metrics"]
    assert disturbed["metrics"] != quiet["metrics"]
    assert quiet["with_tainted"] is None


def test_without_taint_nothing_changes() -> None:
    _document, watched = result_under(())
    plain = json.loads(json.dumps(build_result(PLAN, *launch())))
    assert watched["rest"] == {"start_ns": T0 + 60 * SECOND, "end_ns": T0 + 65 * SECOND, "tainted": False, "taints": []}
    assert {**watched, "rest": None} == plain


def test_a_timing_gate_judges_what_the_headline_is_made_of() -> None:
    late = Load(dispatch_ns=lambda number: 30_000_000 if 600 <= number < 1_000 else 1_000)  # windows 1 to 2 of 40/s
    plan = cell_plan(duration_seconds=60.0, interference_budget=default_budget())
    told = evidence(launch_journal(plan, late)), evidence(backend_journal(plan))
    assert [one["gate"] for one in build_result(plan, *told)["invalid"]] == ["dispatch"]
    rows = ledger(snapshots([(10.0, 20.0, 0.5)]), Judged.of(plan, WINDOWS))
    assert build_result(plan, *told, None, rows)["valid"]


def test_a_rest_too_short_to_be_judged_goes_with_the_last_window() -> None:
    plan = replace(PLAN, duration_seconds=60.4)
    document = ledger(snapshots([(55.0, 1.0, 0.9)]), Judged.of(plan, WINDOWS))
    assert document["rest"] is None
    result = build_result(plan, *launch(), None, document)
    assert result["rest"] is None
    assert result["headline_seconds"] == 50


def test_without_windows_the_whole_is_judged_as_one() -> None:
    plan = cell_plan(duration_seconds=8.0, interference_budget=default_budget())
    told = evidence(launch_journal(plan)), evidence(backend_journal(plan))
    taken = [
        Snapshot("t0", T0, {**QUIET, "total_cpu_seconds": 0, "ours_cpu_seconds": 0}),
        Snapshot("end", T0 + 8 * SECOND, {**QUIET, "total_cpu_seconds": 4, "ours_cpu_seconds": 1}),
    ]
    document = ledger(taken, Judged.of(plan, 0))
    result = json.loads(json.dumps(build_result(plan, *told, None, document)))
    Draft202012Validator(SCHEMA).validate(result)
    assert result["valid"]
    assert result["headline_seconds"] == 0
    assert result["rest"]["taints"] == [{"what": "foreign_cpu_share", "found": 0.375, "limit": 0.02}]
    reason = "the measured time was tainted: interference beyond the budget"
    assert result["metrics"]["lat.sched.p95_seconds"] == {
        "value": None,
        "n": 0,
        "reason": reason,
        "compared": False,
    }


def test_recorded_gates_record_taints_too() -> None:
    plan = replace(PLAN, timing_gates="record")
    _document, result = result_under([(15.0, 3.0, 0.5)], plan)
    assert result["windows"][1]["tainted"]
    assert result["headline_seconds"] == 65
    plain = build_result(plan, *launch())
    assert result["metrics"] == json.loads(json.dumps(plain["metrics"]))


def test_a_launch_without_a_headline_stands_behind_no_value() -> None:
    _document, clean = result_under(())
    _document, lost = result_under([(0.0, 65.0, 0.5)])
    assert lost["valid"]
    alone = merge_launches([lost])["lat.sched.p95_seconds"]
    assert (alone["value"], alone["launches"]) == (None, 0)
    assert alone["reason"] == "every window was tainted: interference beyond the budget"
    both, one = merge_launches([clean, lost]), merge_launches([clean])
    assert both == one
    assert both["lat.sched.p95_seconds"]["launches"] == 1


def test_budget_options_are_read_or_refused() -> None:
    assert parse_budget([]) == default_budget()
    changed = parse_budget(["foreign_cpu_share=0.05", "steal_share=none"])
    assert changed == default_budget() | {"foreign_cpu_share": 0.05, "steal_share": None}
    assert loosened(changed) == ["foreign_cpu_share", "steal_share"]
    assert loosened(parse_budget(["foreign_cpu_share=0.001", "irq_share=0.5"])) == []
    with pytest.raises(UsageError) as unknown:
        parse_budget(["noise=1"])
    assert all(key in unknown.value.cause for key in BUDGET)
    for wrong in ("foreign_cpu_share", "foreign_cpu_share=", "=1", "foreign_cpu_share=1.5", "steal_share=-1"):
        with pytest.raises(UsageError):
            parse_budget([wrong])
    for wrong in ("foreign_cpu_share=nan", "swap_pages_hz=inf", "swap_pages_hz=many"):
        with pytest.raises(UsageError):
            parse_budget([wrong])
    with pytest.raises(UsageError, match="twice"):
        parse_budget(["irq_share=0.1", "irq_share=0.2"])


@pytest.mark.parametrize("key", BUDGET)
def test_every_key_taints_a_window_that_has_more_of_it(key: str) -> None:
    first = Snapshot("t0", 0, {**QUIET, "total_cpu_seconds": 0, "ours_cpu_seconds": 0})
    loud: dict[str, float | str] = {**QUIET, "total_cpu_seconds": 9.0, "ours_cpu_seconds": 0.0, "clock_source": "hpet"}
    loud |= {one.id: 9.0 if one.unit == "seconds" else 9_000 for one in QUANTITIES}
    loud |= {"wall_offset_seconds": -3.0, "boot_offset_seconds": 2.0}
    samples = [
        launch()[0].samples[0]._replace(monotonic_ns=at, run_queue_wait_ns=at, major_faults=at)
        for at in (0, 10 * SECOND)
    ]
    for limit in (0.0, None):
        judged = Judged(1, 10.0, False, {key: limit}, 1, 1, samples=samples)
        (row,) = ledger([first, Snapshot("window:0", 10 * SECOND, loud)], judged)["windows"]
        assert row["tainted"] == (limit is not None)
        assert row["unjudged"] == []


def test_the_words_name_window_amount_and_budget() -> None:
    taint = {"what": "foreign_cpu_share", "found": 0.3123, "limit": 0.02}
    entry = {"windows": 3, "tainted_windows": 1, "taints": [{"window": 1, **taint}], "headline_seconds": 25.0}
    assert clean_text(entry, PLAN) == (
        "2 of 3 windows clean; window 1 tainted: foreign CPU 31.2 % of CPU 0, budget 2 %; its numbers are of 25 s"
    )
    assert clean_text(entry, replace(PLAN, timing_gates="record")).endswith(
        "only recorded: its numbers are of everything"
    )
    whole = {"windows": 0, "tainted_windows": 0, "taints": [{"window": None, **taint}], "headline_seconds": 0}
    assert clean_text(whole, PLAN).startswith("the measured time tainted: foreign CPU 31.2 %")
    assert clean_text(whole, PLAN).endswith("so it has no numbers")
    assert clean_text({"windows": 3, "tainted_windows": 0}) == ""


def test_a_budget_is_written_down_as_it_was_asked_for() -> None:
    assert budget_options(PLAN) == []
    assert budget_options(cell_plan()) == []
    changed = replace(PLAN, interference_budget=parse_budget(["foreign_cpu_share=0.5", "oom_kills=none"]))
    assert budget_options(changed) == ["--budget foreign_cpu_share=0.5", "--budget oom_kills=none"]
    assert budget_text(PLAN) == "in a window foreign CPU at most 2 %, steal at most 1 %; the default budget"
    assert budget_text(changed).endswith("changed: foreign_cpu_share 50 %, oom_kills off")
    assert budget_text(cell_plan()) == "not judged"


def test_reasons_against_a_better_grade() -> None:
    budget = default_budget()
    quiet = ledger(snapshots(()), Judged.of(PLAN, WINDOWS))
    loud = ledger(snapshots([(15.0, 10.0, 0.5), (61.0, 1.0, 0.9)]), Judged.of(PLAN, WINDOWS))
    assert reasons_against([quiet], budget, "0") == ()
    assert reasons_against([quiet, loud], budget, "0") == (
        "2 of 12 windows and the rest of 1 of 2 launches tainted, the worst: foreign CPU 25 % of CPU 0, budget 2 %",
    )
    assert reasons_against([], budget, "0") == ("interference not judged",)
    assert reasons_against([quiet], {}, "0") == ("interference not judged",)
    assert reasons_against([{"windows": [{"index": 0}]}], budget, "0") == ("interference not judged",)
    (wide,) = reasons_against([quiet], parse_budget(["foreign_cpu_share=0.5", "steal_share=none"]), "0")
    assert wide == "interference judged by a wider budget than the default: foreign_cpu_share 50 %, steal_share off"
    nothing = ledger([], Judged.of(PLAN, WINDOWS))
    assert reasons_against([nothing], budget, "0") == ("interference not judged",)
    (missing,) = reasons_against([quiet, nothing], budget, "0")
    assert missing.startswith("interference not judged in every window: foreign_cpu_share")
