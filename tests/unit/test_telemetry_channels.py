"""The channels around a run: what is told reaches both, what a stream lost comes from the journal."""

from __future__ import annotations

import io
import json
import os
import threading
from pathlib import Path

import httpx
import pytest

from tests.support.journals import Load, backend_journal, cell_plan, launch_journal
from tests.support.oracle import COMMON, Numbers, differences, key, numbers_of
from tests.support.otlp import closed_port, plain, receiver
from tests.support.runs import unsealed_run
from tests.unit.test_telemetry_state import shown
from toolkit.cli.channels import channels_of, wanted
from toolkit.collect.journal import encode_journal, read_journal
from toolkit.errors import Interrupted, LaunchInvalid, Reported, UsageError
from toolkit.launch.folder import AttemptFolder, RunFolder
from toolkit.launch.onlooker import Onlooker
from toolkit.model.plan import Plan, Turn
from toolkit.output import Output
from toolkit.telemetry import otlp, prometheus
from toolkit.telemetry.address import listen_address, otlp_endpoint
from toolkit.telemetry.channels import Channels, Wanted

CELL = cell_plan(duration_seconds=12.0, housekeeping_cpus=str(min(os.sched_getaffinity(0))))
PLAN = Plan((CELL,), (Turn(CELL.cell, 1),), 1)
LOAD = Load(overhead_ns=(30_000,))


@pytest.fixture
def files(tmp_path: Path) -> AttemptFolder:
    """A whole attempt on disk, as the launch leaves it when it tells of the end."""
    folder: RunFolder = unsealed_run(tmp_path, duration_seconds=12.0, load=LOAD)
    found = folder.attempt(CELL.cell, 1, 1)
    found.sdk_journal.write_bytes(encode_journal(launch_journal(CELL, LOAD).records()))
    found.backend_journal.write_bytes(encode_journal(backend_journal(CELL).records()))
    return found


def tell(onlooker: Onlooker, files: AttemptFolder, *, lose: int = 0, end: bool = True) -> None:
    """What a launch tells; ``lose``: so many records the stream did not bring."""
    onlooker.begins("20261123-121530-go-openai-7f3a", CELL, 1, 1)
    onlooker.step("created")
    for role, path in (("sdk", files.sdk_journal), ("backend", files.backend_journal)):
        records = read_journal(path).records
        for record in records[: len(records) - lose]:
            onlooker.record(role, record)
    onlooker.step("removing")
    onlooker.step("removed")
    if end:
        result, readback = (json.loads((files.path / f"{name}.json").read_text()) for name in ("result", "readback"))
        onlooker.ends(result, readback, files)


def expected(files: AttemptFolder) -> Numbers:
    """By the oracle; the grade of a run is known when it is sealed, of this attempt before that."""
    return numbers_of(files.path, CELL)


def without_grade(numbers: Numbers) -> Numbers:
    return {one: value for one, value in numbers.items() if one[0] != "repro_launch_grade"}


@pytest.mark.parametrize("lose", [0, 1, 60], ids=["whole", "without its end", "broken off"])
def test_both_channels_have_the_last_word_from_the_journal(files: AttemptFolder, lose: int) -> None:
    before = set(threading.enumerate())
    with receiver() as received:
        channels = Channels(Wanted(listen_address(":0"), otlp_endpoint(received.endpoint)))
        tell(channels, files, lose=lose)
        said: list[str] = []
        state = channels.state
        assert channels.close(linger=True, say=said.append) == []
    assert said == []  # nobody has scraped, so nobody is waited for
    assert differences(expected(files), without_grade(shown(state.views()))) == []
    assert differences(expected(files), without_grade(received.last_numbers())) == []
    ours = {thread.name for thread in set(threading.enumerate()) - before}
    assert not ours & {"otlp", "prometheus"}, "a thread of ours stays"


def test_the_grade_of_an_attempt_is_shown(files: AttemptFolder) -> None:
    channels = Channels(Wanted())
    tell(channels, files)
    channels.close(linger=False, say=print)
    found = [one for one in shown(channels.state.views()) if one[0] == "repro_launch_grade"]
    assert len(found) == 1


def test_a_run_that_was_stopped_leaves_a_trace_of_what_it_was_doing(files: AttemptFolder) -> None:
    with receiver() as received:
        channels = Channels(Wanted(otlp=otlp_endpoint(received.endpoint)))
        tell(channels, files, lose=200, end=False)
        assert channels.close(linger=False, say=print) == []
    root = next(span for span in received.spans() if span.name == "launch")
    assert plain(root.attributes)["repro.termination"] == "interrupted"
    assert root.status.message == "interrupted"


def test_a_scraper_is_waited_for_once_and_has_the_final_numbers(files: AttemptFolder) -> None:
    channels = Channels(Wanted(prometheus=listen_address(":0")))
    httpx.get(channels.url)
    tell(channels, files)
    answers: list[str] = []
    said = threading.Event()

    def scrape() -> None:
        said.wait(300)
        answers.append(httpx.get(channels.url, timeout=300).text)

    scraper = threading.Thread(target=scrape)
    scraper.start()
    assert channels.close(linger=True, say=lambda _text: said.set()) == []
    scraper.join(300)
    assert 'repro_launch_phase{arm="default",attempt="1",launch="1",phase="ended"' in answers[0]


def test_a_scraper_that_does_not_come_back_is_said(files: AttemptFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prometheus.Exporter, "linger_seconds", lambda _self: 0.05)
    channels = Channels(Wanted(prometheus=listen_address(":0")))
    httpx.get(channels.url)
    (said,) = channels.close(linger=True, say=lambda _text: None)
    assert said.startswith("Prometheus: the last numbers were not scraped")


def test_nothing_is_loaded_and_nothing_told_without_the_options() -> None:
    assert wanted(None, None) is None
    with channels_of(None, PLAN, Output()) as onlooker:
        assert type(onlooker) is Onlooker


@pytest.mark.parametrize("error", [None, LaunchInvalid("x"), Interrupted("y")])
def test_an_endpoint_that_is_down_is_one_line_and_changes_no_ending(
    files: AttemptFolder, error: LaunchInvalid | Interrupted | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "SEND_SECONDS", 0.5)
    output = Output(stderr=io.StringIO())
    raised = None
    try:
        with closed_port() as port, channels_of(wanted(None, f"127.0.0.1:{port}"), PLAN, output) as onlooker:
            tell(onlooker, files)
            if error is not None:
                raise Reported(error)
    except Reported as reported:
        raised = reported.error
    assert raised is error
    (line,) = output.stderr.getvalue().splitlines()  # type: ignore[attr-defined]
    assert "did not take 1 trace(s) and the last metrics" in line


def test_ctrl_c_ends_the_wait_and_nothing_else(files: AttemptFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(self: object, seconds: float) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(prometheus.Exporter, "linger", interrupted)
    output = Output(stderr=io.StringIO())
    with channels_of(wanted(":0", None), PLAN, output) as onlooker:
        assert isinstance(onlooker, Channels)
        url = onlooker.url
        httpx.get(url)
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_what_cannot_be_opened_leaves_nothing_open() -> None:
    before = {thread.name for thread in threading.enumerate()}
    with pytest.raises(UsageError), channels_of(wanted("203.0.113.9:1", "127.0.0.1:1"), PLAN, Output()):
        pytest.fail("it was opened")
    assert {thread.name for thread in threading.enumerate()} <= before


def test_a_mistake_of_ours_costs_the_channel_and_not_the_run(
    files: AttemptFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    channels = Channels(Wanted())
    monkeypatch.setattr(channels.state, "record", lambda *_: 1 / 0)
    tell(channels, files)
    (said,) = channels.close(linger=False, say=print)
    assert said.startswith("telemetry is incomplete: ZeroDivisionError")


def test_labels_are_the_common_ones(files: AttemptFolder) -> None:
    channels = Channels(Wanted())
    tell(channels, files)
    channels.close(linger=False, say=print)
    (view,) = channels.state.views()
    assert tuple(view.attempt.labels) == COMMON
    assert key("repro_launch_valid") in shown([view])
