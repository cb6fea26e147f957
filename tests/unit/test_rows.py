"""The harness's lines are claims: whatever cannot be true becomes a finding, and nothing raises."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.journals import MS, SECOND, START, Builder, cell_plan, evidence, hello_line, launch_journal
from toolkit.collect.rows import LineReader

NOW = 10 * SECOND
KINDS = [
    "hello", "phase", "base", "req", "error", "go", "open", "closed", "probe", "selftest", "bench", "values", "counts",
]  # fmt: skip
BASE = {"k": "base", "ns": SECOND}
GOOD = [0, 10, 20, 30, 60, 0, 128, 2560, [5, 40]]
GO = {
    "k": "go",
    "ns": SECOND,
    "goroutines": 3,
    "gomaxprocs": 1,
    "heap_live_bytes": 1,
    "heap_goal_bytes": 1,
    "alloc_bytes": 100,
    "alloc_objects": 10,
    "gc_cycles": 4,
    "gc_cpu_seconds": 0.1,
    "total_bytes": 1,
    "pause": [[0.001, 4]],
    "stop_other": [],
}


def read(*lines: dict[str, Any] | bytes) -> LineReader:
    """A reader that was fed these lines, all written down at NOW."""
    reader = LineReader()
    for line in lines:
        reader.line(line if isinstance(line, bytes) else json.dumps(line).encode(), NOW)
    return reader


def causes(reader: LineReader) -> str:
    """All findings as one text."""
    return " ".join(finding.cause for finding in reader.findings())


def request(**changes: Any) -> dict[str, Any]:
    """A req line with one row; changes by position name."""
    names = ["seq", "sched", "sent", "first", "end", "outcome", "tokens", "bytes", "overhead"]
    return {"k": "req", "rows": [[changes.get(name, value) for name, value in zip(names, GOOD, strict=True)]]}


def test_a_row_is_a_request_with_absolute_times() -> None:
    reader = read(BASE, request())
    assert reader.findings() == ()
    (one,) = reader.requests
    assert (one.scheduled_ns, one.sent_ns, one.first_ns, one.end_ns) == tuple(SECOND + t for t in (10, 20, 30, 60))
    assert (one.tokens, one.size_bytes, one.overhead_ns) == (128, 2560, (5, 40))


def test_first_of_zero_means_none() -> None:
    assert read(BASE, request(first=0)).requests[0].first_ns is None


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"sent": 5}, "run backwards"),
        ({"end": 15}, "run backwards"),
        ({"first": 15}, "run backwards"),
        ({"first": 61}, "run backwards"),
        ({"end": NOW}, "ends in the future"),
        ({"outcome": 8}, "unknown outcome"),
        ({"outcome": -1}, "negative"),
        ({"seq": 2**63}, "beyond 63 bits"),
        ({"tokens": True}, "not a whole number"),
        ({"tokens": 1.5}, "not a whole number"),
        ({"tokens": "128"}, "not a whole number"),
        ({"overhead": None}, "not a whole number"),
        ({"overhead": [1, None]}, "not a whole number"),
        ({"overhead": [-1]}, "less than nothing"),
        ({"overhead": [41]}, "longer than its request"),
    ],
)
def test_an_impossible_request_is_a_finding_and_no_request(changes: dict[str, Any], says: str) -> None:
    reader = read(BASE, request(**changes))
    assert says in causes(reader)
    assert reader.requests == []


def test_one_bad_row_does_not_hide_its_neighbours() -> None:
    rows = [[1, *GOOD[1:]], [2, 10], [3, *GOOD[1:]]]
    reader = read(BASE, {"k": "req", "rows": rows})
    assert [one.sequence for one in reader.requests] == [1, 3]
    assert reader.findings()[0].found == 1


def test_the_stamps_of_a_failed_answer_may_be_nonsense() -> None:
    reader = read(BASE, request(outcome=5, overhead=[-7, 10**15]))
    assert reader.findings() == ()


def test_a_request_is_told_once() -> None:
    assert "twice" in causes(read(BASE, request(), request()))


def test_rows_before_base_have_no_time() -> None:
    assert "req before base" in causes(read(request()))


@pytest.mark.parametrize(
    "line",
    [
        b"not json",
        b"[1,2]",
        b"\xff\xfe",
        b'{"k":"selftest","rate_hz":NaN}',
        b'{"k":"selftest","rate_hz":Infinity}',
        b'{"k":"selftest","rate_hz":-1}',
        b'{"k":"nonsense"}',
        b'{"k":["req"]}',
        b"{}",
        b"[" * 50_000,
        b'{"k":"req","rows":' + b"9" * 5_000 + b"}",
        b'{"k":"bench","line":"' + b"x" * 70_000 + b'"}',
        b'{"k":"bench","line":"two\\nlines"}',
        b'{"k":"phase","name":"nap","ns":1}',
        b'{"k":"phase","name":"drain","ns":99000000000}',
        b'{"k":"base","ns":99000000000}',
        b'{"k":"open","scheduled":5,"sent":3,"dropped":1,"max_in_flight":1}',
        b'{"k":"values","name":"backend.delay_seconds","ns":1,"values_ns":[1,-2]}',
        b'{"k":"values","name":"backend.delay_seconds","ns":1,"values_ns":[1,2.5]}',
        b'{"k":"counts","name":"x","ns":1,"value":-1}',
        b'{"k":"error","seq":1,"outcome":0,"text":""}',
        b'{"k":"go","ns":1}',
        b'{"k":"hello","gomaxprocs":"1"}',
        b'{"k":"closed","sent":5}',
        b'{"k":"closed","sent":-1,"concurrency":1}',
        b'{"k":"probe","outcome":"yes","text":"no id"}',
        b'{"k":"probe","id":"streams","outcome":"maybe","text":""}',
        b'{"k":"probe","id":"streams","outcome":"yes","text":7.5,"value":"many"}',
        b'{"k":"probe","id":"streams","outcome":"yes","text":"","unit":["ms"]}',
        b'{"k":"probe","id":"streams","outcome":"yes","text":"","data":[1]}',
    ],
)
def test_a_malformed_line_is_a_finding(line: bytes) -> None:
    reader = read(line)
    assert [finding.gate for finding in reader.findings()] == ["rows"]


@given(st.binary(max_size=80) | st.text(max_size=80).map(str.encode))
def test_no_line_raises(line: bytes) -> None:
    read(line)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=9) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=12,
)


@given(
    st.sampled_from(
        [
            "hello",
            "phase",
            "base",
            "req",
            "error",
            "go",
            "open",
            "closed",
            "probe",
            "selftest",
            "bench",
            "values",
            "counts",
        ]
    ),
    st.dictionaries(
        st.sampled_from(["name", "ns", "rows", "value", "values_ns", "line", "rate_hz", "text", "outcome", "pause"]),
        json_values,
    ),
)
def test_no_value_of_a_known_kind_raises(kind: str, value: dict[str, Any]) -> None:
    read(BASE, json.dumps({**value, "k": kind}).encode())


@pytest.mark.parametrize("name", ["alloc_bytes", "alloc_objects", "gc_cycles"])
def test_a_counter_that_runs_backwards_is_a_finding(name: str) -> None:
    later: dict[str, Any] = {**GO, name: 0}
    assert f"{name} runs backwards" in causes(read(GO, later))


def test_pauses_that_vanish_are_a_finding() -> None:
    assert "pauses runs backwards" in causes(read(GO, {**GO, "pause": []}))


def test_snapshots_out_of_order_are_a_finding() -> None:
    assert "snapshots run backwards" in causes(read(GO, {**GO, "ns": 1}))


def test_phases_come_once_and_in_order() -> None:
    def mark(name: str, ns: int) -> dict[str, Any]:
        return {"k": "phase", "name": name, "ns": ns}

    assert read(mark("warmup", 1), mark("measure", 2), mark("done", 3)).findings() == ()
    assert "twice" in causes(read(mark("warmup", 1), mark("warmup", 2)))
    assert "is before" in causes(read(mark("measure", 2), mark("warmup", 3)))
    assert "is before" in causes(read(mark("warmup", 2), mark("measure", 1)))


def test_measure_may_be_announced_a_moment_early() -> None:
    assert read({"k": "phase", "name": "measure", "ns": NOW + MS}).findings() == ()


def test_a_closed_loop_drops_nothing_and_says_how_many_were_in_flight() -> None:
    reader = read({"k": "closed", "sent": 7, "concurrency": 2})
    assert reader.findings() == ()
    assert reader.totals is not None
    assert (reader.totals.scheduled, reader.totals.sent, reader.totals.dropped) == (7, 7, 0)
    assert reader.totals.max_in_flight == 2
    assert "closed twice" in causes(read(*[{"k": "closed", "sent": 7, "concurrency": 2}] * 2))


def test_an_experiment_is_told_once_with_a_number_or_without() -> None:
    line = {"k": "probe", "id": "cancel", "outcome": "yes", "value": 1.5, "unit": "ms", "text": "x" * 2000}
    reader = read(line, {**line, "id": "streams", "value": None, "unit": "", "data": {"at": [1]}})
    assert reader.findings() == ()
    first, second = reader.probes
    assert (first.value, first.unit, len(first.text), first.data) == (1.5, "ms", 1000, {})
    assert (second.value, second.data) == (None, {"at": [1]})
    assert "cancel twice" in causes(read(line, line))


@pytest.mark.parametrize(
    "line",
    [
        b'{"k":"probe","id":"streams","outcome":"yes","value":' + b"9" * 400 + b"}",
        b'{"k":"selftest","rate_hz":' + b"9" * 400 + b"}",
        b'{"k":"probe","id":"streams","outcome":"yes","data":{"x":1e999}}',
        b'{"k":"probe","id":"streams","outcome":"yes","text":1e999}',
        b'{"k":"probe","id":"streams","outcome":"yes","text":"\\ud800"}',
        b'{"k":"hello","gomaxprocs":1,"settings":{"a":"\\udfff"}}',
        b'{"k":"probe","id":"streams","outcome":"yes","data":' + b'{"a":' * 400 + b"1" + b"}" * 401,
        b'{"k":"probe","id":"streams\\u001b[2J","outcome":"yes"}',
        b'{"k":"probe","id":"streams","outcome":"yes","unit":"\\u001b[2J"}',
        b'{"k":"probe","id":"streams","outcome":"yes","unit":"' + b"m" * 41 + b'"}',
    ],
)
def test_what_no_file_or_table_could_hold_is_a_finding(line: bytes) -> None:
    """Each of these once reached the result: a number beyond floats, half a character, 400 levels, a cursor moved."""
    reader = read(line)
    assert [finding.gate for finding in reader.findings()] == ["rows"]
    assert (reader.probes, reader.program) == ([], None)


def test_an_escaped_character_of_two_halves_is_text() -> None:
    (probe,) = read(b'{"k":"probe","id":"streams","outcome":"yes","text":"\\ud83d\\ude00"}').probes
    assert probe.text == "\U0001f600"


def test_many_bad_lines_are_counted_and_a_few_quoted() -> None:
    reader = read(*[b"x"] * 500)
    (finding,) = reader.findings()
    assert finding.found == 500
    assert "and 497 more" in finding.cause
    assert len(finding.cause) < 300


def test_error_texts_are_cut() -> None:
    reader = read({"k": "error", "seq": 1, "outcome": 2, "status": 503, "text": "x" * 1000})
    assert len(reader.errors[0].text) == 300


def test_a_good_launch_has_no_findings() -> None:
    assert evidence(launch_journal(cell_plan())).findings == ()


def test_a_gap_in_the_records_is_a_finding() -> None:
    from toolkit.collect.evidence import evidence_of
    from toolkit.collect.journal import Journal

    records = launch_journal(cell_plan()).records()
    del records[5]
    causes = [finding.cause for finding in evidence_of(Journal(tuple(records))).findings]
    assert any("stands where 6 should" in cause for cause in causes)


def test_records_older_than_their_predecessor_are_a_finding() -> None:
    from toolkit.collect.evidence import evidence_of
    from toolkit.collect.journal import Journal

    records = Builder().hello().sample(START + SECOND).records()
    records[1].monotonic_ns = START - 1
    assert "older" in evidence_of(Journal(tuple(records))).findings[0].cause


def test_a_journal_begins_with_hello_and_has_one() -> None:
    assert "first record" in evidence(Builder().sample(START)).findings[0].cause
    assert "second agent" in evidence(Builder().hello().hello(START + 1)).findings[0].cause


def test_a_phase_line_that_the_agent_did_not_hear_is_a_finding() -> None:
    builder = Builder().hello().lines(NOW + START, {"k": "phase", "name": "measure", "ns": START})
    assert "the agent heard (none)" in evidence(builder).findings[0].cause


def test_an_unreadable_end_is_a_finding() -> None:
    (finding,) = evidence(launch_journal(cell_plan()), truncated_bytes=17).findings
    assert (finding.gate, finding.found) == ("journal", 17)


def test_a_record_of_a_later_version_is_a_finding() -> None:
    builder = Builder().hello().add(START + 1)
    assert "unknown kind" in evidence(builder).findings[0].cause


def test_hello_settings_and_numbers_as_text() -> None:
    reader = read(hello_line(cell_plan()))
    assert reader.program is not None
    assert reader.program.gomemlimit == "9223372036854775807"


def test_what_an_experiment_found_may_be_below_zero() -> None:
    reader = LineReader()
    reader.line(b'{"k":"probe","id":"first-request","outcome":"yes","value":-0.4,"unit":"ms more","text":"faster"}', 5)
    assert reader.findings() == ()
    assert reader.probes[0].value == -0.4
