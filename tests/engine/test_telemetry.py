"""One launch that is scraped by a real Prometheus, sends to a real OTLP service and is watched: all three hold what its
journals hold, number by number.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.canaries import own_names
from tests.support.faults_tool import Ended, Tool, check_said, quick, sealed_manifest
from tests.support.oracle import COMMON, Numbers, differences, key, numbers_of
from tests.support.otlp import Received, plain, receiver
from tests.support.prometheus_server import bring, promtool_says, serving
from toolkit.engine.docker import DockerEngine
from toolkit.launch.folder import RunFolder
from toolkit.model.cpulist import parse_cpulist
from toolkit.model.plan import CellPlan
from toolkit.schemas import validate
from toolkit.seal import read_plan
from toolkit.telemetry.instruments import INSTRUMENTS

pytestmark = pytest.mark.timeout(600)
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
Json = dict[str, Any]


@dataclass(frozen=True)
class Shown:
    """What everybody saw of one launch."""

    run: Path
    cell: CellPlan
    ended: Ended
    watched: Ended
    scraped: Numbers
    targets: list[Json]
    received: Received
    bodies: dict[str, httpx.Response]
    affinities: dict[str, str]
    containers: list[str]
    folder: Path

    @property
    def attempt(self) -> Path:
        (path,) = self.run.glob("attempts/*/1.1")
        return path

    @property
    def expected(self) -> Numbers:
        return numbers_of(self.attempt, self.cell)


@pytest.fixture(scope="module")
def programs(request: pytest.FixtureRequest) -> Path:
    return bring(request.config)


@pytest.fixture(scope="module")
def own_tool(tmp_path_factory: pytest.TempPathFactory, engine: DockerEngine) -> Iterator[Tool]:
    one = Tool(tmp_path_factory.mktemp("telemetry"))
    yield one
    one.end_all()
    leftovers = one.leftovers(engine)
    one.close(engine)
    assert leftovers == []


@pytest.fixture(scope="module")
def shown(own_tool: Tool, programs: Path, engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Shown:
    """One launch of one window, with everything on."""
    folder = tmp_path_factory.mktemp("prometheus")
    with receiver() as received:
        channels = ("--prometheus", "127.0.0.1:0", "--otlp", received.endpoint)
        running = own_tool.begin("--duration", "10", *channels)
        running.say("Prometheus: ")
        target = re.search(r"Prometheus: http://([^/]+)/metrics", running.stderr)
        assert target is not None
        with serving(programs, target[1], folder, interval="2s") as server:
            running.say("starting", 600)  # the first time images are built
            watching = own_tool.start("watch", "--json", str(own_tool.only_run()))
            running.say("measuring")
            url = f"http://{target[1]}/metrics"
            bodies = {
                "text": httpx.get(url, timeout=300),
                "openmetrics": httpx.get(url, headers=OPENMETRICS, timeout=300),
            }
            affinities = _affinities(running.process.pid)
            containers = [one.id for one in own_tool.containers(engine)]
            ended = running.end()
            watched = watching.end()
            scraped, targets = server.last_numbers(), server.targets()
    run = own_tool.only_run()
    (cell,) = read_plan(RunFolder(run)).cells
    return Shown(run, cell, ended, watched, scraped, targets, received, bodies, affinities, containers, own_tool.folder)


def _affinities(pid: int) -> dict[str, str]:
    """The CPUs that each thread of the command may use."""
    found = {}
    for task in Path(f"/proc/{pid}/task").iterdir():
        status = (task / "status").read_text()
        found[task.name] = status.partition("Cpus_allowed_list:")[2].split()[0]
    return found


def test_the_launch_is_as_valid_as_without(shown: Shown) -> None:
    assert shown.ended.code == 0, shown.ended
    assert shown.ended.document["valid"] is True
    assert "did not take" not in shown.ended.stderr
    assert "were not scraped" not in shown.ended.stderr


def test_prometheus_holds_what_the_journals_hold(shown: Shown) -> None:
    assert len(shown.expected) > 250
    assert differences(shown.expected, shown.scraped) == []


def test_the_otlp_receiver_holds_what_the_journals_hold(shown: Shown) -> None:
    assert differences(shown.expected, shown.received.last_numbers()) == []


def test_the_numbers_are_those_of_a_launch_that_worked(shown: Shown) -> None:
    """So that two empty sides do not agree."""
    counts = json.loads((shown.attempt / "result.json").read_text())["counts"]
    measured = shown.scraped[key("repro_requests_total", role="sdk", phase="measure", outcome="ok")]
    assert measured == counts["ok"] > 0
    assert shown.scraped[key("repro_lat_sched_seconds_count", role="sdk")] == measured
    assert shown.scraped[key("repro_sdk_overhead_seconds_count", role="sdk")] > 100 * measured
    assert shown.scraped[key("repro_cpu_time_seconds_total", role="sdk", mode="user")] > 0
    assert shown.scraped[key("repro_windows_total", role="sdk")] == 1
    assert shown.scraped[key("repro_launch_valid")] == 1


def test_it_was_scraped_without_an_error_while_it_ran(shown: Shown) -> None:
    (target,) = shown.targets
    assert target["labels"]["job"] == "repro"
    bodies = shown.bodies
    assert bodies["text"].headers["content-type"].startswith("text/plain")
    assert bodies["openmetrics"].headers["content-type"].startswith("application/openmetrics-text")
    assert "repro_launch_phase{" in bodies["text"].text


def test_promtool_finds_nothing_to_say(shown: Shown, programs: Path) -> None:
    assert promtool_says(programs, shown.bodies["text"].content) == (0, "")


def test_promtool_finds_what_is_wrong(programs: Path) -> None:
    code, said = promtool_says(programs, b"# TYPE repro_x counter\nrepro_x 1\n")
    assert code != 0
    assert "_total" in said


def test_the_trace_is_the_launchs(shown: Shown) -> None:
    spans = {span.name: span for span in shown.received.spans()}
    stages = ("create", "start", "read back", "warm-up", "measure", "window 0", "drain", "remove", "judge")
    assert set(spans) == {"launch", *stages}
    root = spans["launch"]
    said = plain(root.attributes)
    assert said["repro.run"] == shown.run.name
    assert (said["repro.cell"], said["repro.valid"], said["repro.termination"]) == (shown.cell.cell, True, "completed")
    manifest = json.loads((shown.run / "manifest.json").read_text())
    assert said["repro.grade"] == manifest["grade"]["letter"]
    assert said["repro.grade.reason"] == "; ".join(manifest["grade"]["reasons"])
    result = json.loads((shown.attempt / "result.json").read_text())
    t0 = result["clock"]["wall_unix_ns"]
    window = spans["window 0"]
    assert (window.start_time_unix_nano, window.end_time_unix_nano) == (t0, t0 + 10_000_000_000)
    assert spans["measure"].start_time_unix_nano == t0
    assert window.parent_span_id == spans["measure"].span_id
    begins = [spans[name].start_time_unix_nano for name in stages]
    assert begins == sorted(begins)
    for name, span in spans.items():
        assert root.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano, name
        assert span.end_time_unix_nano <= root.end_time_unix_nano, name


def test_every_thread_of_the_command_sits_on_the_housekeeping_cpus(shown: Shown) -> None:
    assert len(shown.affinities) > 4
    wanted = parse_cpulist(shown.cell.housekeeping_cpus)
    assert {parse_cpulist(found) for found in shown.affinities.values()} == {wanted}
    if not shown.cell.shared_cpus:  # on one CPU there is no other
        assert not set(wanted) & set(parse_cpulist(shown.cell.cpus))


def test_watching_shows_the_same(shown: Shown) -> None:
    assert shown.watched.code == 0, shown.watched
    lines = [json.loads(line) for line in shown.watched.stdout.splitlines()]
    for line in lines:
        validate(line, "watch")
    events = [line["event"] for line in lines]
    assert events[0] == "run"
    assert events[-2:] == ["end", "sealed"]
    assert events.count("window") == 1
    (end,) = [line for line in lines if line["event"] == "end"]
    (window,) = end["windows"]
    result = json.loads((shown.attempt / "result.json").read_text())
    for name in ("lat.sched.p95_seconds", "sdk.overhead.p50_seconds", "ttft.p95_seconds"):
        assert window["metrics"][name] == result["windows"][0]["metrics"][name]["value"]
    assert (end["valid"], end["termination"]) == (True, "completed")
    assert differences(_without_buckets(shown.expected), _watched(end)) == []


def _without_buckets(numbers: Numbers) -> Numbers:
    return {one: value for one, value in numbers.items() if not one[0].endswith("_bucket")}


def _watched(end: Json) -> Numbers:
    histograms = {one.prometheus_series for one in INSTRUMENTS if one.kind == "histogram"}
    found: Numbers = {}
    for one in end["numbers"]:
        labels = {name: value for name, value in one["labels"].items() if name not in COMMON}
        if one["name"] in histograms:
            found[key(f"{one['name']}_count", **labels)] = one["value"]["count"]
            found[key(f"{one['name']}_sum", **labels)] = one["value"]["sum_seconds"]
        elif one["name"] != "repro_launch_info":
            found[key(one["name"], **labels)] = one["value"]
    return found


def test_the_run_says_that_it_was_shown(shown: Shown) -> None:
    manifest = sealed_manifest(shown.run)
    assert manifest["telemetry"] == ["otlp", "prometheus"]
    assert json.loads((shown.run / "setup.json").read_text())["telemetry"] == ["otlp", "prometheus"]
    assert "telemetry" not in manifest["definition"]


def test_nothing_that_left_names_the_machine(shown: Shown) -> None:
    wire = b"".join(one.SerializeToString() for one in (*shown.received.metrics, *shown.received.traces))
    wire += b"".join(body.content for body in shown.bodies.values()) + shown.watched.stdout.encode()
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    names = [str(shown.folder), boot, *shown.containers, *(one[:12] for one in shown.containers)]
    assert len(shown.containers) == 2
    for name in [*names, *own_names().values()]:
        assert name.encode() not in wire, name
    for one in shown.received.resources():
        assert not [name for name in one if name.startswith(("host.", "process.", "os.", "container."))]


def test_a_port_that_is_taken_ends_before_anything_starts(own_tool: Tool, shown: Shown) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = own_tool.run(*quick("--prometheus", f":{port}"))
    check_said(ended, 2, "--prometheus", f"127.0.0.1:{port}")
    assert own_tool.only_run() == shown.run
