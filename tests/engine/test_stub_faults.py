"""Each fault of the stub, seen through a real SDK, ends in the right outcome; the open drive's account is complete."""

from __future__ import annotations

import json
import subprocess
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.stub import build_stub, build_workload, running_stub

OK, TRANSPORT, HTTP_STATUS, JSON_PARSE, TRUNCATED, WRONG_ANSWER, TIMEOUT = range(7)
CHAT: dict[str, Any] = {"workload": "chat-stream-128", "rate_hz": 50, "tokens": 128, "dimensions": 0}
EMBED: dict[str, Any] = {"workload": "embed-512", "rate_hz": 50, "tokens": 512, "dimensions": 768}


@dataclass(frozen=True)
class Programs:
    """What a launch starts."""

    stub: Path
    workload: Path


@pytest.fixture(scope="module", params=["go-openai", "net-http"])
def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Programs:
    folder = tmp_path_factory.mktemp("programs")
    return Programs(build_stub(folder), build_workload(folder, request.param))


def drive(program: Path, folder: Path, url: str, workload: dict[str, Any], *arguments: str) -> list[dict[str, Any]]:
    """The records of one short launch without a container."""
    settings = {
        "schema": "repro.workload/1", "drive": "open", "arrival": "poisson", "seed": 1, "warmup_seconds": 0.1,
        "duration_seconds": 1, "drain_seconds": 0.1, "max_in_flight": 512, "request_timeout_seconds": 60,
        "base_url": url + "/v1", "model": "stub", **workload,
    }  # fmt: skip
    records = folder / "harness.records"
    with records.open("wb") as out:
        environment = {"REPRO_WORKLOAD": json.dumps(settings), "REPRO_FD": str(out.fileno()), "GOMAXPROCS": "1"}
        done = subprocess.run(
            [program, *arguments],
            check=False,
            env=environment,
            pass_fds=[out.fileno()],
            timeout=600,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, done.stderr
    if arguments:
        assert done.stdout.count("BenchmarkWorkload/") == 2, done.stdout
    return [json.loads(line) for line in records.read_text().splitlines()]


def outcomes(records: list[dict[str, Any]]) -> Counter[int]:
    """How many requests ended how; checks that each sent request has one row."""
    rows = [row for record in records if record["k"] == "req" for row in record["rows"]]
    (account,) = [record for record in records if record["k"] == "open"]
    assert account["sent"] == len(rows) == len({row[0] for row in rows})
    assert account["scheduled"] == account["sent"] + account["dropped"]
    return Counter(row[5] for row in rows)


@pytest.mark.parametrize("workload", [CHAT, EMBED], ids=["chat", "embed"])
@pytest.mark.parametrize(
    ("fault", "expected"),
    [
        ("", OK),
        ("http503:1", HTTP_STATUS),
        ("corrupt:1", JSON_PARSE),
        ("truncate:1", TRUNCATED),
        ("reset:1", TRANSPORT),
    ],
)
def test_a_fault_ends_in_its_outcome(
    programs: Programs, tmp_path: Path, workload: dict[str, Any], fault: str, expected: int
) -> None:
    with running_stub(programs.stub, tmp_path, fault=fault) as stub:
        records = drive(programs.workload, tmp_path, stub.url, workload)
    assert set(outcomes(records)) == {expected}
    errors = [record for record in records if record["k"] == "error"]
    assert bool(errors) == (expected != OK)
    assert {error["status"] for error in errors} <= ({503} if expected == HTTP_STATUS else {0})


def test_a_backend_that_dies_is_transport(programs: Programs, tmp_path: Path) -> None:
    """It dies as soon as it has answered something, however long that takes; the rest of the schedule meets nobody."""
    with running_stub(programs.stub, tmp_path) as stub, ThreadPoolExecutor(1) as beside:
        lasting = EMBED | {"duration_seconds": 5}
        driven = beside.submit(drive, programs.workload, tmp_path, stub.url, lasting)
        while (
            not driven.done()
            and httpx.get(stub.url + "/stub/stats", trust_env=False, timeout=60).json()["requests"] < 10
        ):
            time.sleep(0.01)
        stub.process.kill()
        count = outcomes(driven.result())
    assert set(count) == {OK, TRANSPORT}


def test_a_backend_that_is_too_slow_is_a_timeout(programs: Programs, tmp_path: Path) -> None:
    slow = {"pacing": "paced", "first_token_seconds": 10.0}
    with running_stub(programs.stub, tmp_path, **slow) as stub:
        count = outcomes(drive(programs.workload, tmp_path, stub.url, CHAT | {"request_timeout_seconds": 0.2}))
    assert set(count) == {TIMEOUT}


def test_another_number_of_tokens_is_a_wrong_answer(programs: Programs, tmp_path: Path) -> None:
    with running_stub(programs.stub, tmp_path, dimensions=384) as stub:
        count = outcomes(drive(programs.workload, tmp_path, stub.url, EMBED))
    assert set(count) == {WRONG_ANSWER}


@pytest.mark.parametrize("workload", [CHAT, EMBED], ids=["chat", "embed"])
def test_a_closed_drive_keeps_its_concurrency(programs: Programs, tmp_path: Path, workload: dict[str, Any]) -> None:
    closed = workload | {"drive": "closed", "concurrency": 3}
    with running_stub(programs.stub, tmp_path) as stub:
        records = drive(programs.workload, tmp_path, stub.url, closed)
    rows = [row for record in records if record["k"] == "req" for row in record["rows"]]
    (account,) = [record for record in records if record["k"] == "closed"]
    assert account == {"k": "closed", "sent": len(rows), "concurrency": 3}
    assert {row[5] for row in rows} == {OK}
    # A request is due when the one before it ended: what lies between is the generator's own time.
    assert all(row[1] <= row[2] for row in rows)
    ends = sorted([(row[2], 1) for row in rows] + [(row[4], -1) for row in rows])
    in_flight = [sum(step for _, step in ends[: i + 1]) for i in range(min(len(ends), 1000))]
    assert max(in_flight) == 3
    assert [record["name"] for record in records if record["k"] == "phase"] == ["warmup", "measure", "drain", "done"]


def test_bench_drive_gives_go_test_text(programs: Programs, tmp_path: Path) -> None:
    arguments = ["-test.run=^$", "-test.bench=^BenchmarkWorkload$/^embed-512$", "-test.benchmem", "-test.count=2"]
    with running_stub(programs.stub, tmp_path) as stub:
        records = drive(
            programs.workload, tmp_path, stub.url, EMBED | {"drive": "bench"}, *arguments, "-test.benchtime=200ms"
        )
    lines = [record["line"] for record in records if record["k"] == "bench"]
    assert len(lines) == 2
    assert all(" ns/op" in line and " allocs/op" in line and " 0 errors/op" in line for line in lines)
    assert [record["name"] for record in records if record["k"] == "phase"] == ["measure", "done"]
