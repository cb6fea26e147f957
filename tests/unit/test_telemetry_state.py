"""The live state: fed record by record, it shows what the journal holds, and stays small."""

from __future__ import annotations

import json
import random
import threading
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.journals import (
    MS,
    SECOND,
    START,
    Builder,
    Load,
    backend_journal,
    cell_plan,
    hello_line,
    launch_journal,
)
from tests.support.oracle import COMMON, Numbers, differences, key, numbers_of
from toolkit.analyse.metrics import quantile_value
from toolkit.analyse.result import build_result
from toolkit.collect.evidence import evidence_of
from toolkit.collect.journal import Journal, encode_journal
from toolkit.model.evidence import LaunchFacts
from toolkit.proto.agent_pb2 import Record
from toolkit.telemetry.prometheus import exposition
from toolkit.telemetry.state import KEPT_ATTEMPTS, Attempt, Judged, LaunchView, LiveState, judged_from

PLAN = cell_plan(duration_seconds=23.0)
RUN = "20260101-120000-go-openai-7f3a"
READBACK = {"containers": {"sdk": {"rows": [{"state": "held"}, {"state": "absent"}]}, "backend": {"rows": []}}}
MIXED = Load(
    latency_ns=lambda n: (41 + n * 7919 % 400) * MS,
    dispatch_ns=lambda n: 10_000 * (n % 5),
    outcome=lambda n: n % 8 if n % 3 == 0 else 0,
    overhead_ns=(10_000, 25_000, 25_001, 40_000_000),
    drops=3,
    rows=(("cpu.quota", "none", "none"), ("pids.limit", "256", "max"), ("namespaces", "", "x")),
)


def attempt(number: int = 1) -> Attempt:
    return Attempt.of(RUN, PLAN, number, 1)


def fed(state: LiveState, at: Attempt, sdk: list[Record], backend: list[Record]) -> LaunchView:
    """An attempt told to the end, its two streams interleaved as they come."""
    state.begin(at, START - 2 * SECOND)
    told = [("sdk", one) for one in sdk] + [("backend", one) for one in backend]
    for role, record in sorted(told, key=lambda pair: pair[1].monotonic_ns):
        state.record(at, role, record)
    view = state.view(at)
    assert view is not None
    return view


def shown(launches: list[LaunchView]) -> Numbers:
    """What a scrape shows, but for what every launch has anyhow."""
    found: Numbers = {}
    for family in text_string_to_metric_families(exposition(launches).decode()):
        for one in family.samples:
            if one.name != "repro_launch_info":
                labels = {name: value for name, value in one.labels.items() if name not in COMMON}
                found[key(one.name, **labels)] = one.value
    return found


def written(folder: Path, sdk: list[Record], backend: list[Record]) -> Path:
    """The attempt's files, as a launch leaves them."""
    (folder / "journal.pb").write_bytes(encode_journal(sdk))
    (folder / "backend.journal.pb").write_bytes(encode_journal(backend))
    told = [evidence_of(Journal(tuple(records))) for records in (sdk, backend)]
    result = build_result(PLAN, *told, LaunchFacts(launch=1, attempt=1))
    (folder / "result.json").write_text(json.dumps(result))
    (folder / "readback.json").write_text(json.dumps(READBACK))
    return folder


@pytest.mark.parametrize("load", [Load(), MIXED], ids=["plain", "mixed"])
def test_every_number_shown_is_the_journals(tmp_path: Path, load: Load) -> None:
    sdk, backend = launch_journal(PLAN, load).records(), backend_journal(PLAN).records()
    state, at = LiveState(), attempt()
    fed(state, at, sdk, backend)
    files = written(tmp_path, sdk, backend)
    result = json.loads((files / "result.json").read_text())
    state.end(at, judged_from(result, READBACK), START + 99 * SECOND)
    expected = numbers_of(files, PLAN)
    assert len(expected) > 200
    assert differences(expected, shown(state.views())) == []


def test_a_number_that_differs_would_be_found(tmp_path: Path) -> None:
    sdk, backend = launch_journal(PLAN).records(), backend_journal(PLAN).records()
    files = written(tmp_path, sdk, backend)
    state, at = LiveState(), attempt()
    fed(state, at, sdk[:-3], backend)
    state.end(at, judged_from(json.loads((files / "result.json").read_text()), READBACK), START)
    assert differences(numbers_of(files, PLAN), shown(state.views())) != []


def test_it_shows_the_same_however_records_are_cut_into_chunks(tmp_path: Path) -> None:
    sdk, backend = launch_journal(PLAN, MIXED).records(), backend_journal(PLAN).records()
    whole, pieces = LiveState(quantiles=True), LiveState(quantiles=True)
    one = fed(whole, attempt(), sdk, backend)
    pieces.begin(attempt(), START - 2 * SECOND)
    generator = random.Random(7)
    while sdk:
        size = generator.randint(1, 40)
        pieces.records(attempt(), "sdk", sdk[:size])
        sdk = sdk[size:]
        assert pieces.views()
    pieces.records(attempt(), "backend", backend)
    other = pieces.view(attempt())
    assert other is not None
    assert other.roles == one.roles


def test_windows_hold_the_results_own_quantiles() -> None:
    sdk, backend = launch_journal(PLAN, MIXED).records(), backend_journal(PLAN).records()
    view = fed(LiveState(quantiles=True), attempt(), sdk, backend)
    told = [evidence_of(Journal(tuple(records))) for records in (sdk, backend)]
    result = build_result(PLAN, *told, LaunchFacts(launch=1, attempt=1))
    windows = view.roles["sdk"].windows
    assert [one.index for one in windows] == [0, 1]
    for mine, theirs in zip(windows, result["windows"], strict=True):
        assert mine.over
        for name in ("lat.sched", "sdk.overhead"):
            value = quantile_value(mine.histograms[name], "p95")
            assert value.value == theirs["metrics"][f"{name}.p95_seconds"]["value"]


def test_a_window_is_over_only_when_its_last_answers_should_have_come() -> None:
    state, at = LiveState(quantiles=True), attempt()
    state.begin(at, START)
    t0 = START + 6 * SECOND
    seen = []
    for record in launch_journal(PLAN).records():
        state.record(at, "sdk", record)
        view = state.view(at)
        assert view is not None
        windows = view.roles["sdk"].windows
        if windows and windows[0].over and not seen:
            seen.append(record.monotonic_ns)
    assert seen[0] >= t0 + 12 * SECOND


def test_requests_that_are_told_before_t0_count_where_the_analysis_counts_them() -> None:
    t0 = START + 2 * SECOND
    rows = [[0, 0, 0, 0, 10, 0, 1, 1, []], [1, 2 * SECOND, 2 * SECOND, 0, 2 * SECOND + 5, 0, 1, 1, []]]
    builder = Builder().hello().lines(START, hello_line(PLAN), {"k": "base", "ns": START}).phase("warmup", START)
    builder.lines(t0 + 10, {"k": "req", "rows": rows})
    builder.phase("measure", t0, t0 + 20)
    view = fed(LiveState(), attempt(), builder.records(), [])
    assert dict(view.roles["sdk"].requests) == {("warmup", "ok"): 1, ("measure", "ok"): 1}


def test_before_t0_a_request_counts_as_warm_up() -> None:
    builder = Builder().hello().lines(START, hello_line(PLAN), {"k": "base", "ns": START}).phase("warmup", START)
    builder.lines(START + SECOND, {"k": "req", "rows": [[0, 0, 0, 0, 10, 0, 1, 1, []]]})
    view = fed(LiveState(), attempt(), builder.records(), [])
    assert dict(view.roles["sdk"].requests) == {("warmup", "ok"): 1}
    assert (view.phase, view.roles["sdk"].sent, view.roles["sdk"].ok) == ("warmup", 1, 1)


def test_what_is_told_twice_counts_once_and_a_gap_is_noticed() -> None:
    sdk = launch_journal(PLAN).records()
    state, at = LiveState(), attempt()
    state.begin(at, START)
    state.records(at, "sdk", sdk[:50])
    state.records(at, "sdk", sdk[:50])
    view = state.view(at)
    assert view is not None
    assert view.roles["sdk"].records == 50
    assert state.unfinished(at) == ["sdk", "backend"]
    state.records(at, "sdk", sdk[51:])
    state.records(at, "backend", backend_journal(PLAN).records())
    assert state.unfinished(at) == ["sdk"]
    state.refill(at, "sdk", sdk)
    assert state.unfinished(at) == []
    again = state.view(at)
    assert again is not None
    assert again.roles["sdk"].records == len(sdk)
    assert again.roles["sdk"].unreadable == 0


def test_lines_that_cannot_be_believed_are_counted() -> None:
    builder = Builder().hello().lines(START, "no json", {"k": "nothing"}, hello_line(PLAN))
    assert fed(LiveState(), attempt(), builder.records(), []).roles["sdk"].unreadable == 2


def test_memory_does_not_grow_with_the_launch() -> None:
    state, at = LiveState(), attempt()
    state.begin(at, START)
    state.records(at, "sdk", launch_journal(cell_plan(duration_seconds=60.0)).records())
    walk = state._attempts[at].folds["sdk"]._walk
    assert walk.reader.requests == []
    assert [len(one) for one in (walk.samples, walk.reader.go, walk.readbacks)] == [1, 1, 1]


def test_only_so_many_attempts_stay() -> None:
    state = LiveState()
    for number in range(1, KEPT_ATTEMPTS + 3):
        state.begin(attempt(number), START)
        state.end(attempt(number), Judged(True, "completed"), START + 1)
    assert [one.attempt.launch for one in state.views()] == list(range(3, KEPT_ATTEMPTS + 3))


def test_an_attempt_that_has_ended_does_not_change_any_more() -> None:
    state, at = LiveState(), attempt()
    sdk = launch_journal(PLAN).records()
    fed(state, at, sdk[:40], [])
    assert state.open() == [at]
    state.end(at, None, START + SECOND)
    before = state.view(at)
    state.records(at, "sdk", sdk)
    state.step(at, "removed", START)
    state.refill(at, "sdk", sdk)
    state.end(at, Judged(True, "completed"), START)
    assert state.view(at) is before
    assert state.open() == []


def test_what_was_never_begun_is_not_shown() -> None:
    state = LiveState()
    state.record(attempt(), "sdk", launch_journal(PLAN).records()[0])
    state.step(attempt(), "created", START)
    state.end(attempt(), None, START)
    assert (state.views(), state.view(attempt()), state.unfinished(attempt())) == ([], None, [])


def test_readers_and_writers_meet_without_harm() -> None:
    state, at = LiveState(quantiles=True), attempt()
    state.begin(at, START)
    failures: list[BaseException] = []
    over = threading.Event()

    def look() -> None:
        try:
            while not over.is_set():
                exposition(state.views())
        except BaseException as problem:  # noqa: BLE001 - whatever it is, the test wants it
            failures.append(problem)

    threads = [threading.Thread(target=look) for _ in range(3)]
    for thread in threads:
        thread.start()
    for record in launch_journal(PLAN).records():
        state.record(at, "sdk", record)
    over.set()
    for thread in threads:
        thread.join(30)
    assert failures == []


def test_labels_name_no_machine(tmp_path: Path) -> None:
    view = fed(LiveState(), attempt(), launch_journal(PLAN).records(), backend_journal(PLAN).records())
    text = exposition([view]).decode()
    for family in text_string_to_metric_families(text):
        for one in family.samples:
            assert set(one.labels) <= {
                *COMMON, "role", "phase", "outcome", "mode", "type", "state", "le",
                "grade", "run", "module", "version", "backend", "tier", "drive",
            }  # fmt: skip


def test_an_engine_in_the_sdks_process_has_no_backend() -> None:
    plan = cell_plan(in_process=True)
    state, at = LiveState(), Attempt.of(RUN, plan, 1, 1)
    state.begin(at, START)
    state.records(at, "sdk", launch_journal(plan).records())
    state.records(at, "backend", backend_journal(plan).records())
    (view,) = state.views()
    assert set(view.roles) == {"sdk"}
    assert state.unfinished(at) == []
    assert 'role="backend"' not in exposition([view]).decode()


def test_cells_and_attempts_are_told_apart() -> None:
    state = LiveState()
    other = cell_plan(sdk="net-http", cell="net-http/chat-stream-128/default")
    attempts = [Attempt.of(RUN, PLAN, 1, 1), Attempt.of(RUN, PLAN, 1, 2), Attempt.of(RUN, other, 1, 1)]
    for at in attempts:
        state.begin(at, START)
    state.records(attempts[1], "sdk", launch_journal(PLAN).records())
    records = {
        (one.labels["sdk"], one.labels["attempt"]): one.value
        for family in text_string_to_metric_families(exposition(state.views()).decode())
        for one in family.samples
        if one.name == "repro_journal_records_total" and one.labels["role"] == "sdk"
    }
    assert records.pop(("go-openai", "2")) > 100
    assert records == {("go-openai", "1"): 0, ("net-http", "1"): 0}
