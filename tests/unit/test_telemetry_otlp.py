"""The OTLP channel: the protocol's own services over gRPC, and an endpoint that is slow, gone or late."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path

import pytest

from tests.support.canaries import own_names
from tests.support.journals import SECOND, START, WALL, backend_journal, cell_plan, launch_journal
from tests.support.oracle import differences, numbers_of
from tests.support.otlp import closed_port, plain, receiver
from tests.unit.test_telemetry_state import MIXED, READBACK, attempt, fed, written
from toolkit.errors import UsageError
from toolkit.telemetry import otlp
from toolkit.telemetry.address import otlp_endpoint
from toolkit.telemetry.otlp import Exporter
from toolkit.telemetry.spans import launch_span
from toolkit.telemetry.state import Judged, LaunchView, LiveState, judged_from

PLAN = cell_plan(duration_seconds=23.0)
BEGIN = START - 2 * SECOND


def ended(state: LiveState, judged: Judged | None = None) -> LaunchView:
    """A whole attempt with the host's own moments."""
    sdk, backend = launch_journal(PLAN, MIXED).records(), backend_journal(PLAN).records()
    at = attempt()
    fed(state, at, sdk, backend)
    state.step(at, "created", BEGIN + SECOND // 2)
    last = sdk[-1].monotonic_ns
    state.step(at, "removing", last + SECOND)
    state.step(at, "removed", last + 2 * SECOND)
    state.end(at, judged, last + 3 * SECOND)
    view = state.view(at)
    assert view is not None
    return view


def test_every_number_that_arrives_is_the_journals(tmp_path: Path) -> None:
    sdk, backend = launch_journal(PLAN, MIXED).records(), backend_journal(PLAN).records()
    files = written(tmp_path, sdk, backend)
    state, at = LiveState(), attempt()
    with receiver() as received:
        exporter = Exporter(state, otlp_endpoint(received.endpoint))
        fed(state, at, sdk[: len(sdk) // 2], backend)
        exporter.changed()
        state.records(at, "sdk", sdk)
        state.end(at, judged_from(json.loads((files / "result.json").read_text()), READBACK), START + 99 * SECOND)
        exporter.changed()
        assert exporter.close() == []
    assert differences(numbers_of(files, PLAN), received.last_numbers()) == []


def test_a_trace_has_every_stage_in_its_place(tmp_path: Path) -> None:
    windows = tuple((k, START + (6 + 10 * k) * SECOND, START + (16 + 10 * k) * SECOND, k == 1) for k in range(2))
    state = LiveState()
    with receiver() as received:
        exporter = Exporter(state, otlp_endpoint(received.endpoint))
        exporter.ended(
            ended(state, Judged(True, "completed", windows=windows, grade="C", grade_reasons=("shared", "swap")))
        )
        assert exporter.close() == []
    spans = {span.name: span for span in received.spans()}
    stages = ("create", "start", "read back", "warm-up", "measure", "drain", "remove", "judge")
    assert len(spans) == len(received.spans())
    assert set(spans) == {"launch", *stages, "window 0", "window 1"}
    root = spans["launch"]
    assert len({span.trace_id for span in spans.values()}) == 1
    for name, span in spans.items():
        parent = None if name == "launch" else spans["measure"] if name.startswith("window") else root
        assert span.parent_span_id == (b"" if parent is None else parent.span_id), name
        if parent is not None:
            assert parent.start_time_unix_nano <= span.start_time_unix_nano
            assert span.end_time_unix_nano <= parent.end_time_unix_nano
    # One anchor for all: the SDK's hello says what the wall clock was when the monotonic one was START.
    assert root.start_time_unix_nano == WALL - 2 * SECOND
    assert spans["measure"].start_time_unix_nano == WALL + 6 * SECOND
    assert spans["measure"].end_time_unix_nano == WALL + 29 * SECOND
    assert spans["window 1"].start_time_unix_nano == WALL + 16 * SECOND
    assert plain(spans["window 1"].attributes)["repro.tainted"] is True
    said = plain(root.attributes)
    assert said["repro.cell"] == PLAN.cell
    assert (said["repro.launch"], said["repro.valid"], said["repro.termination"]) == (1, True, "completed")
    assert (said["repro.grade"], said["repro.grade.reason"]) == ("C", "shared; swap")
    assert root.status.code == 0


def test_an_invalid_launch_says_why_and_one_that_was_cut_off_says_that() -> None:
    view = ended(LiveState(), Judged(False, "oom", "memory: it ran out of it"))
    span = launch_span(view)
    assert (span.failed, span.attributes["repro.invalid.reason"]) == ("oom", "memory: it ran out of it")
    cut = launch_span(ended(LiveState()))
    assert (cut.failed, cut.attributes["repro.termination"]) == ("interrupted", "interrupted")
    assert [child.name for child in cut.children if child.name == "measure"] == ["measure"]


def test_an_attempt_whose_containers_never_spoke_has_a_trace_too() -> None:
    state, at = LiveState(), attempt()
    state.begin(at, START)
    state.end(at, Judged(False, "container-failed"), START + SECOND)
    view = state.view(at)
    assert view is not None
    assert [child.name for child in launch_span(view).children] == ["create"]


def test_the_resource_names_neither_host_nor_user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "host.name=canary-host")
    monkeypatch.setenv("OTEL_EXPERIMENTAL_RESOURCE_DETECTORS", "*")
    state = LiveState()
    with receiver() as received:
        exporter = Exporter(state, otlp_endpoint(received.endpoint))
        exporter.ended(ended(state, Judged(True, "completed")))
        exporter.close()
    wire = b"".join(one.SerializeToString() for one in (*received.metrics, *received.traces))
    assert b"canary-host" not in wire
    assert not [name for name in own_names().values() if name.encode() in wire]
    for one in received.resources():
        assert set(one) == {
            "service.name", "service.version", "service.instance.id",
            "telemetry.sdk.language", "telemetry.sdk.name", "telemetry.sdk.version",
        }  # fmt: skip


def test_an_endpoint_that_is_not_there_costs_a_sentence(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "SEND_SECONDS", 0.5)
    state = LiveState()
    with closed_port() as port:
        exporter = Exporter(state, otlp_endpoint(f"127.0.0.1:{port}"))
        exporter.ended(ended(state, Judged(True, "completed")))
        (said,) = exporter.close()
    assert "1 trace(s) and the last metrics" in said
    assert "UNAVAILABLE" in said
    assert "\n" not in said
    assert capfd.readouterr().err == ""


def test_an_endpoint_that_never_answers_holds_nothing_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "SEND_SECONDS", 0.3)
    monkeypatch.setattr(otlp, "FLUSH_SECONDS", 0.5)
    state, hold = LiveState(), threading.Event()
    with receiver(hold=hold) as received:
        exporter = Exporter(state, otlp_endpoint(received.endpoint))
        view = ended(state, Judged(True, "completed"))
        exporter.ended(view)  # comes back although nobody has answered
        assert not hold.is_set()
        (said,) = exporter.close()
        assert received.traces == []
    assert "did not take" in said


def test_what_could_not_be_sent_is_sent_when_the_endpoint_comes() -> None:
    state = LiveState()
    with closed_port() as port:
        exporter = Exporter(state, otlp_endpoint(f"127.0.0.1:{port}"))
        exporter.ended(ended(state, Judged(True, "completed")))
        deadline = time.monotonic() + 600
        while not exporter._unsent:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with receiver(port) as received:
            exporter.changed()
            while exporter._unsent:
                assert time.monotonic() < deadline
                time.sleep(0.05)
            assert exporter.close() == []
    assert [span.name for span in received.spans()][-1] == "launch"


def test_more_traces_than_can_wait_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(otlp, "KEPT_TRACES", 2)
    state = LiveState()
    view = ended(state, Judged(True, "completed"))
    with closed_port() as port:
        exporter = Exporter(state, otlp_endpoint(f"127.0.0.1:{port}"))
        for _ in range(5):
            exporter.ended(view)
        (said,) = exporter.close()
    assert "5 trace(s)" in said


@pytest.mark.parametrize(
    ("name", "value"), [("OTEL_SDK_DISABLED", "true"), ("OTEL_EXPORTER_OTLP_COMPRESSION", "brotli")]
)
def test_a_setting_that_makes_it_impossible_is_a_usage_error(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError):
        Exporter(LiveState(), otlp_endpoint("127.0.0.1:4317"))
