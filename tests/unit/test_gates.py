"""Each gate on synthetic evidence: what passes, what does not, what is only recorded, and what an ending is called."""

from __future__ import annotations

from dataclasses import replace
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
    hello_line,
    launch_journal,
)
from toolkit.analyse.gates import _gomaxprocs
from toolkit.analyse.result import build_result
from toolkit.analyse.termination import termination
from toolkit.model.evidence import TERMINATIONS, Evidence, LaunchFacts, Termination
from toolkit.model.plan import CellPlan

PLAN = cell_plan()
END = START + 41 * SECOND
"""When a whole launch is in its drain."""


def judged(load: Load | None = None, plan: CellPlan = PLAN, delay_ns: int = 100_000) -> dict[str, Any]:
    """The result of a launch."""
    sdk, backend = evidence(launch_journal(plan, load)), evidence(backend_journal(plan, delay_ns))
    return build_result(plan, sdk, backend)


def gates(result: dict[str, Any]) -> list[str]:
    """Names of the gates that were not passed."""
    return [finding["gate"] for finding in result["invalid"]]


def without(*parts: str) -> Load:
    """A launch that lacks parts."""
    return Load(without=frozenset(parts))


def test_a_good_launch_passes_every_gate() -> None:
    result = judged()
    assert result["valid"]
    assert result["invalid"] == result["recorded"] == []


@pytest.mark.parametrize(
    ("load", "gate"),
    [
        (Load(drops=1), "drops"),
        (Load(dispatch_ns=lambda _: 2 * MS), "dispatch"),
        (Load(headroom=2.9), "headroom"),
        (Load(headroom=None), "headroom"),
        (Load(gomaxprocs=2), "gomaxprocs"),
        (Load(skip_window=0), "windows"),
        (Load(skip_window=1), "windows"),
        (Load(exit_code=1), "termination"),
        (Load(rows=(("cpu.quota", "none", "50000/100000"),)), "constraint"),
        (without("open"), "requests"),
        (without("samples"), "samples"),
        (without("readback"), "readback"),
        (without("measure"), "phases"),
        (without("done"), "phases"),
        (without("exit"), "termination"),
    ],
)
def test_a_broken_condition_invalidates_by_name(load: Load, gate: str) -> None:
    result = judged(load)
    assert gate in gates(result)
    assert not result["valid"]


@pytest.mark.parametrize(
    ("dispatch_ns", "latency_ns", "passes"),
    [(MS, 50 * MS, True), (MS + 2000, 50 * MS, False), (4 * MS, 500 * MS, True), (6 * MS, 500 * MS, False)],
)
def test_dispatch_may_take_a_millisecond_or_a_hundredth_of_the_latency(
    dispatch_ns: int, latency_ns: int, passes: bool
) -> None:
    result = judged(Load(dispatch_ns=lambda _: dispatch_ns, latency_ns=lambda _: latency_ns))
    assert ("dispatch" not in gates(result)) == passes


def test_one_late_send_in_a_hundred_passes_and_two_do_not() -> None:
    def late(every: int) -> Load:
        return Load(dispatch_ns=lambda number: 20 * MS if number % every == 0 else 50_000)

    assert judged(late(101))["valid"]
    assert gates(judged(late(50))) == ["dispatch"]


def test_a_backend_that_misses_its_schedule_invalidates() -> None:
    assert judged(delay_ns=999_000)["valid"]
    assert gates(judged(delay_ns=1_100_000)) == ["backend.delay"]


def test_a_paced_backend_that_reports_nothing_has_not_passed() -> None:
    backend = Builder().hello(START - SECOND, role="backend").ready(START).exit(START + 100 * SECOND)
    result = build_result(PLAN, evidence(launch_journal(PLAN)), evidence(backend))
    assert gates(result) == ["backend.delay"]


def test_an_unpaced_backend_has_no_schedule_to_keep() -> None:
    plan = cell_plan(backend_settings={"pacing": "unpaced"})
    assert judged(plan=plan, delay_ns=5 * MS)["valid"]


@pytest.mark.parametrize(
    ("load", "delay_ns", "gate"),
    [
        (Load(dispatch_ns=lambda _: 5 * MS), 0, "dispatch"),
        (Load(), 5 * MS, "backend.delay"),
        (Load(headroom=1.0), 0, "headroom"),
        (Load(drops=1), 0, "drops"),
    ],
)
def test_timing_gates_may_be_recorded_only(load: Load, delay_ns: int, gate: str) -> None:
    result = judged(load, replace(PLAN, timing_gates="record"), delay_ns)
    assert result["valid"]
    assert [finding["gate"] for finding in result["recorded"]] == [gate]


def test_a_runtime_that_changes_its_own_threads_is_named_with_its_window() -> None:
    plan = cell_plan(duration_seconds=30.0)
    told = evidence(launch_journal(plan))
    t0 = told.mark("measure")
    assert t0 is not None
    go = [replace(one, gomaxprocs=3) if one.monotonic_ns - t0 >= 15 * SECOND else one for one in told.go]
    (finding,) = _gomaxprocs(plan, replace(told, go=tuple(go)))
    assert (finding.cause, finding.found) == ("GOMAXPROCS is not what the plan fixed, first at window:1", "3")
    (early,) = _gomaxprocs(plan, replace(told, go=(replace(told.go[0], gomaxprocs=3),)))
    assert early.cause.endswith("first at start")


@pytest.mark.parametrize("load", [Load(gomaxprocs=2), Load(exit_code=1), Load(skip_window=1)])
def test_no_other_gate_can_be_recorded_only(load: Load) -> None:
    assert not judged(load, replace(PLAN, timing_gates="record"))["valid"]


def closed(concurrency: int = 1, sent: int = 1600, gap_ns: int = 400, headroom: float | None = 20.0) -> dict[str, Any]:
    """The result of a closed loop: what is due is due when the last request ended, and the account is its own."""
    plan = cell_plan(drive="closed")
    load = Load(dispatch_ns=lambda _: gap_ns, headroom=headroom, without=frozenset({"open"}))
    journal = launch_journal(plan, load)
    journal.lines(END + 9 * SECOND, {"k": "closed", "sent": sent, "concurrency": concurrency})
    return build_result(plan, evidence(journal), evidence(backend_journal(plan)))


def test_a_closed_loop_passes_the_same_gates() -> None:
    result = closed()
    assert gates(result) == []
    assert result["metrics"]["dispatch.delay.p99_seconds"]["value"] == pytest.approx(400e-9, rel=0.01)


def test_the_generator_s_own_time_between_two_requests_of_a_closed_loop_is_judged() -> None:
    assert gates(closed(gap_ns=MS)) == []
    assert gates(closed(gap_ns=2 * MS)) == ["dispatch"]


def test_a_closed_loop_s_headroom_is_over_the_rate_that_it_reached() -> None:
    # 40 requests a second were reached, whatever rate_hz says: it is no part of a closed drive.
    assert closed(headroom=3.0)["metrics"]["generator.headroom"]["value"] == pytest.approx(3)
    assert gates(closed(headroom=3.0)) == []
    (finding,) = closed(headroom=2.9)["invalid"]
    assert (finding["gate"], finding["found"], finding["limit"]) == ("headroom", pytest.approx(2.9), 3)
    assert "rate that was reached" in finding["cause"]
    assert gates(closed(headroom=None)) == ["headroom"]


def test_a_closed_loop_is_held_to_its_account_and_to_its_concurrency() -> None:
    assert gates(closed(sent=1601)) == ["requests"]
    (finding,) = closed(concurrency=2)["invalid"]
    assert (finding["gate"], finding["found"], finding["limit"]) == ("requests", 2, 1)


def test_a_closed_loop_without_an_account_has_not_passed() -> None:
    plan = cell_plan(drive="closed")
    result = build_result(plan, evidence(launch_journal(plan, without("open"))), evidence(backend_journal(plan)))
    assert gates(result) == ["requests"]


def probed(*lines: dict[str, Any]) -> dict[str, Any]:
    """The result of a probe: experiments, no phase but the last, no requests."""
    plan = cell_plan(drive="probe", workload="probe", workload_kind="probe")
    journal = Builder().hello().readback(START, "start").lines(START + SECOND, hello_line(plan), *lines)
    journal.sample(START + SECOND).readback(START + 2 * SECOND, "end").phase("done", START + 3 * SECOND)
    return build_result(plan, evidence(journal.exit(START + 4 * SECOND)), evidence(backend_journal(plan)))


def test_a_probe_needs_experiments_and_nothing_else() -> None:
    result = probed({"k": "probe", "id": "streams", "outcome": "no", "text": "all came at once"})
    assert result["invalid"] == []
    assert [(one["id"], one["outcome"]) for one in result["probes"]] == [("streams", "no")]
    assert gates(probed()) == ["probes"]


def test_the_last_window_may_end_with_the_drain() -> None:
    # The read-back at the drain is the one of a window that ends at that very moment.
    assert judged(Load(skip_window=2))["valid"]
    assert "windows" in gates(judged(Load(skip_window=2), cell_plan(duration_seconds=32.0)))


def test_a_request_that_left_no_record_invalidates() -> None:
    builder = launch_journal(PLAN, without("open"))
    builder.lines(END + 9 * SECOND, {"k": "open", "scheduled": 1601, "sent": 1601, "dropped": 0, "max_in_flight": 3})
    result = build_result(PLAN, evidence(builder), None)
    finding = next(one for one in result["invalid"] if one["gate"] == "requests")
    assert (finding["found"], finding["limit"]) == (1600, 1601)


@pytest.mark.parametrize("key", ["module", "version", "workload"])
def test_another_program_than_planned_invalidates(key: str) -> None:
    result = build_result(replace(PLAN, **{key: "other"}), evidence(launch_journal(PLAN)), None)
    assert "identity" in gates(result)


def test_a_row_that_drifts_in_one_window_invalidates_and_names_it() -> None:
    builder = launch_journal(PLAN).readback(
        START + 26 * SECOND, "window:1", [("memory.swap_bytes", "0", "9223372036854771712")]
    )
    result = build_result(PLAN, evidence(builder), None)
    (finding,) = (one for one in result["invalid"] if one["gate"] == "constraint")
    assert finding["cause"] == "sdk memory.swap_bytes did not hold: agent saw it at window:1"
    assert (finding["found"], finding["limit"]) == ("9223372036854771712", "0")


def test_rows_that_are_only_recorded_break_nothing() -> None:
    assert judged(Load(rows=(("namespaces", "", "ipc=1"),)))["valid"]


def test_findings_of_other_judges_invalidate() -> None:
    from toolkit.model.evidence import Finding

    facts = LaunchFacts(findings=(Finding("witness", "sdk: seen elsewhere", "1", "0"),))
    result = build_result(PLAN, evidence(launch_journal(PLAN)), evidence(backend_journal(PLAN)), facts)
    assert gates(result) == ["witness"]


def test_a_row_that_two_judges_found_broken_is_listed_once() -> None:
    from toolkit.model.evidence import Finding

    theirs = Finding("constraint", "sdk cpu.quota did not hold: host saw it at start", "50000/100000", "none")
    sdk = evidence(launch_journal(PLAN, Load(rows=(("cpu.quota", "none", "50000/100000"),))))
    result = build_result(PLAN, sdk, evidence(backend_journal(PLAN)), LaunchFacts(findings=(theirs,)))
    assert [one["cause"] for one in result["invalid"]] == [theirs.cause]


def test_forged_records_of_the_backend_invalidate() -> None:
    backend = backend_journal(PLAN).lines(START, b"nonsense")
    result = build_result(PLAN, evidence(launch_journal(PLAN)), evidence(backend))
    assert gates(result) == ["backend.rows"]


def ended(code: int, signal: int = 0, oom: int = 0, at: int = END) -> Evidence:
    """An SDK whose program ended before it was done."""
    return evidence(Builder().hello().phase("warmup", START + SECOND).exit(at, code, signal, oom))


READY = evidence(Builder().hello(START - SECOND, role="backend").ready(START - SECOND // 2).sample(END + 100 * SECOND))
SILENT = Evidence()


@pytest.mark.parametrize(
    ("sdk", "backend", "facts", "word"),
    [
        (evidence(launch_journal(PLAN)), READY, LaunchFacts(), "completed"),
        (ended(2), READY, LaunchFacts(), "panic"),
        (ended(64), READY, LaunchFacts(), "container-failed"),
        (ended(0), READY, LaunchFacts(), "container-failed"),
        (ended(137, 9), READY, LaunchFacts(), "killed"),
        (ended(137, 9, oom=1), READY, LaunchFacts(), "oom"),
        (ended(2, oom=1), READY, LaunchFacts(), "oom"),
        (ended(143, 15), READY, LaunchFacts(stop_after_seconds=40), "hang"),
        (ended(137, 9), READY, LaunchFacts(stop_after_seconds=40), "hang"),
        (ended(143, 15), READY, LaunchFacts(stop_after_seconds=60), "killed"),
        (evidence(Builder().hello().sample(END)), READY, LaunchFacts(), "agent-lost"),
        (evidence(Builder().hello().sample(END)), READY, LaunchFacts(sdk_oom=True), "oom"),
        (SILENT, READY, LaunchFacts(), "container-failed"),
        (SILENT, SILENT, LaunchFacts(), "container-failed"),
        (SILENT, evidence(Builder().hello(role="backend")), LaunchFacts(), "backend-not-ready"),
        (SILENT, evidence(Builder().hello(role="backend").exit(END, 137, 9, 1)), LaunchFacts(), "oom"),
        (evidence(Builder().hello().refused(END, "cpu.quota")), READY, LaunchFacts(), "refused"),
        (SILENT, evidence(Builder().hello(role="backend").refused(END, "x")), LaunchFacts(), "refused"),
        (evidence(launch_journal(PLAN)), READY, LaunchFacts(stopped="interrupted"), "interrupted"),
        (ended(137, 9), READY, LaunchFacts(stopped="engine-lost"), "engine-lost"),
        (SILENT, None, LaunchFacts(stopped="disk-full"), "disk-full"),
        (evidence(launch_journal(PLAN)), None, LaunchFacts(stopped="host-lost"), "host-lost"),
    ],
)
def test_every_ending_has_its_word(
    sdk: Evidence, backend: Evidence | None, facts: LaunchFacts, word: Termination
) -> None:
    found, finding = termination(sdk, backend, facts)
    assert found == word
    assert (finding is None) == (word == "completed")


def test_a_backend_that_ends_before_the_drain_has_died() -> None:
    backend = Builder().hello(START - SECOND, role="backend").ready(START).exit(START + 15 * SECOND, 1)
    assert termination(evidence(launch_journal(PLAN)), evidence(backend), LaunchFacts())[0] == "backend-died"
    # Even if the SDK panicked over it: the earlier cause counts.
    assert termination(ended(2), evidence(backend), LaunchFacts())[0] == "backend-died"


def test_a_backend_out_of_memory_is_told_apart_from_one_that_was_killed() -> None:
    dead = Builder().hello(START - SECOND, role="backend").ready(START)
    oom = evidence(dead.exit(START + 15 * SECOND, 137, 9, 1))
    assert termination(evidence(launch_journal(PLAN)), oom, LaunchFacts())[0] == "oom"


def test_a_backend_that_is_ended_after_the_drain_is_fine() -> None:
    backend = evidence(backend_journal(PLAN))
    assert termination(evidence(launch_journal(PLAN)), backend, LaunchFacts()) == ("completed", None)


def test_a_backend_that_falls_silent_has_lost_its_agent() -> None:
    backend = evidence(Builder().hello(START - SECOND, role="backend").ready(START).sample(START + 10 * SECOND))
    assert termination(evidence(launch_journal(PLAN)), backend, LaunchFacts())[0] == "agent-lost"


def test_the_vocabulary_is_the_published_one() -> None:
    assert len(set(TERMINATIONS)) == 14


def bench_evidence(*lines: str) -> Evidence:
    """A whole bench drive that printed these lines."""
    plan = cell_plan(drive="bench")
    builder = Builder().hello().readback(START, "start").lines(START, hello_line(plan), {"k": "base", "ns": START})
    builder.phase("measure", START + SECOND)
    builder.lines(START + 2 * SECOND, *[{"k": "bench", "line": line} for line in lines])
    builder.phase("done", START + 100 * SECOND).readback(START + 100 * SECOND, "end")
    return evidence(builder.exit(START + 101 * SECOND))


LINES = ["goos: linux", "pkg: sealbench.org/sdks/go-openai", "cpu: Some CPU @ 2.00GHz"]
RESULT = "BenchmarkWorkload/chat-stream-128 \t 100\t 1480 ns/op\t 0.01 errors/op\t 640 B/op\t 12 allocs/op"


def test_a_bench_drive_needs_no_open_loop_gates() -> None:
    plan = cell_plan(drive="bench", bench_count=2)
    result = build_result(plan, bench_evidence(*LINES, RESULT, RESULT), READY)
    assert result["invalid"] == []
    assert result["windows"] == []
    metrics = result["metrics"]
    assert metrics["bench.time_per_op_seconds"]["value"] == pytest.approx(1.48e-6)
    assert metrics["bench.time_per_op_seconds"]["n"] == 2
    assert not metrics["bench.time_per_op_seconds"]["compared"]
    assert metrics["bench.allocs_per_op"] == {"value": 12.0, "n": 2, "reason": None, "compared": True}
    assert metrics["error.rate"]["value"] == pytest.approx(0.01)
    assert metrics["qps.ok_hz"]["reason"] == "drive bench"
    assert metrics["lat.sched.p95_seconds"]["value"] is None


def test_a_bench_drive_that_lost_a_repetition_is_invalid() -> None:
    plan = cell_plan(drive="bench", bench_count=5)
    assert "bench" in gates(build_result(plan, bench_evidence(*LINES, RESULT), None))


def test_a_benchmark_line_that_cannot_be_read_is_invalid() -> None:
    plan = cell_plan(drive="bench", bench_count=1)
    assert "bench" in gates(build_result(plan, bench_evidence(RESULT, "BenchmarkWorkload/x 10 fast ns/op"), None))
