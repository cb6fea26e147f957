"""The Prometheus channel: where it listens, what it answers, how long it stays."""

from __future__ import annotations

import builtins
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families

from tests.support.journals import SECOND, START, backend_journal, cell_plan, launch_journal
from toolkit.errors import UsageError
from toolkit.telemetry.address import Address
from toolkit.telemetry.instruments import INSTRUMENTS, markdown
from toolkit.telemetry.prometheus import (
    FIRST_PATIENCE_SECONDS,
    LEAST_PATIENCE_SECONDS,
    PATIENCE_SECONDS,
    Exporter,
)
from toolkit.telemetry.state import Attempt, Judged, LiveState

PAGE = Path(__file__).resolve().parents[2] / "docs" / "telemetry.md"
PLAN = cell_plan(duration_seconds=12.0)


@pytest.fixture
def state() -> LiveState:
    """One whole attempt."""
    found, at = LiveState(), Attempt.of("20260101-120000-x-7f3a", PLAN, 1, 1)
    found.begin(at, START - 2 * SECOND)
    found.records(at, "sdk", launch_journal(PLAN).records())
    found.records(at, "backend", backend_journal(PLAN).records())
    found.end(at, Judged(True, "completed", rows={("sdk", "held"): 3}, grade="B"), START + 99 * SECOND)
    return found


@pytest.fixture
def exporter(state: LiveState) -> Iterator[Exporter]:
    opened = Exporter(state, Address("127.0.0.1", 0))
    yield opened
    opened.close()


def test_it_listens_on_the_address_given_and_no_other(exporter: Exporter) -> None:
    host, port = exporter.url.removeprefix("http://").removesuffix("/metrics").split(":")
    assert host == "127.0.0.1"
    listening = [line.split()[1] for line in Path("/proc/net/tcp").read_text().splitlines()[1:] if " 0A " in line]
    assert [one for one in listening if one.endswith(f":{int(port):04X}")] == [f"0100007F:{int(port):04X}"]


def test_both_formats_are_answered_and_parse(exporter: Exporter) -> None:
    text = httpx.get(exporter.url)
    assert text.headers["content-type"].startswith("text/plain")
    names = {family.name for family in text_string_to_metric_families(text.text)}
    assert names == {one.prometheus_name for one in INSTRUMENTS}
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    modern = httpx.get(exporter.url, headers=accept)
    assert modern.headers["content-type"].startswith("application/openmetrics-text")
    families = {family.name: family for family in openmetrics(modern.text)}
    assert set(families) == names
    assert {one.unit for one in families.values()} == {"", "seconds", "bytes"}


def test_a_port_that_is_taken_is_a_usage_error_and_leaves_nothing(state: LiveState) -> None:
    before = set(threading.enumerate())
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError) as caught:
            Exporter(state, Address("127.0.0.1", port))
    assert f"127.0.0.1:{port}" in caught.value.title
    assert set(threading.enumerate()) <= before  # those of earlier tests may end meanwhile


@pytest.mark.parametrize("host", ["203.0.113.7", "no-such-host.invalid"])
def test_an_address_that_is_not_ours_is_a_usage_error(state: LiveState, host: str) -> None:
    with pytest.raises(UsageError):
        Exporter(state, Address(host, 9464))


def test_without_the_package_the_error_has_the_command(state: LiveState, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("prometheus_client"):
            raise ImportError("No module named 'prometheus_client'")
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError) as caught:
        Exporter(state, Address("127.0.0.1", 0))
    assert "pip install 'sealbench[telemetry]'" in caught.value.remedy


def test_its_threads_have_the_cpus_of_the_thread_that_opens_it(state: LiveState) -> None:
    former = os.sched_getaffinity(0)
    one = {min(former)}
    os.sched_setaffinity(0, one)
    try:
        exporter = Exporter(state, Address("127.0.0.1", 0))
    finally:
        os.sched_setaffinity(0, former)
    try:
        found = [thread for thread in threading.enumerate() if thread.name == "prometheus"]
        assert [os.sched_getaffinity(thread.native_id or 0) for thread in found] == [one]
    finally:
        exporter.close()


def test_it_waits_for_nobody_when_nobody_has_scraped(exporter: Exporter) -> None:
    assert exporter.linger_seconds() == 0


def test_it_waits_for_a_scraper_as_long_as_its_interval(exporter: Exporter) -> None:
    httpx.get(exporter.url)
    assert exporter.linger_seconds() == FIRST_PATIENCE_SECONDS
    exporter._scrapes = [100.0, 105.0, 112.5]
    assert exporter.linger_seconds(113.0) == pytest.approx(8.5)
    assert exporter.linger_seconds(130.0) == 0  # it has gone
    exporter._scrapes = [100.0, 100.5]
    assert exporter.linger_seconds(101.0) == LEAST_PATIENCE_SECONDS
    exporter._scrapes = [100.0, 1000.0]
    assert exporter.linger_seconds(1001.0) == PATIENCE_SECONDS


def test_the_wait_ends_with_a_scrape_that_began_after_it(exporter: Exporter) -> None:
    httpx.get(exporter.url)
    assert not exporter.linger(0.01)
    done: list[bool] = []
    waiter = threading.Thread(target=lambda: done.append(exporter.linger(30)))
    waiter.start()
    while not done:
        httpx.get(exporter.url)
        waiter.join(0.05)
    waiter.join(30)
    assert done == [True]


def test_a_client_that_reads_nothing_does_not_keep_it_open(state: LiveState) -> None:
    exporter = Exporter(state, Address("127.0.0.1", 0))
    port = int(exporter.url.rsplit(":", 1)[1].removesuffix("/metrics"))
    with socket.create_connection(("127.0.0.1", port)):
        exporter.close()
    with pytest.raises(httpx.ConnectError):
        httpx.get(exporter.url)


def test_the_page_has_the_table_of_all_numbers() -> None:
    assert markdown() in PAGE.read_text()


def test_names_are_unique_and_follow_the_conventions() -> None:
    for names in ([one.name for one in INSTRUMENTS], [one.prometheus_series for one in INSTRUMENTS]):
        assert len(set(names)) == len(names)
    for one in INSTRUMENTS:
        assert one.prometheus_series.endswith("_total") == (one.kind == "counter")
        assert one.name.startswith("repro.")
        assert one.help.endswith(".")
