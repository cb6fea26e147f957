"""``repro watch``: a run that grows under its eyes, one that is sealed, one whose command died; what it prints."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from tests.support.journals import MS, START, Builder, Load, backend_journal, cell_plan, hello_line, launch_journal
from tests.support.runs import RUN_ID, readback, result_of, unsealed_run
from toolkit.cli import watch
from toolkit.cli.app import run
from toolkit.collect.journal import encode_journal
from toolkit.launch.folder import RunFolder
from toolkit.owner import current_owner
from toolkit.report.live import block, printable
from toolkit.schemas import problems
from toolkit.seal import seal
from toolkit.telemetry.follow import RunFollower
from toolkit.telemetry.state import Attempt, LiveState

CELL = "go-openai/chat-stream-128/default"
PLAN = cell_plan(duration_seconds=23.0, launches=2)
LOAD = Load(latency_ns=lambda n: (50 + n % 100) * MS)
ROOT = Path(__file__).resolve().parents[2]


def between_looks(monkeypatch: pytest.MonkeyPatch, work: Iterator[None]) -> None:
    """Whenever the command would sleep, one step of the work is done instead."""
    monkeypatch.setattr(watch.time, "sleep", lambda _seconds: next(work, None))


@pytest.fixture(autouse=True)
def _own_cpus() -> Iterator[None]:
    """Leave the tests' own CPUs as they were."""
    former = os.sched_getaffinity(0)
    yield
    os.sched_setaffinity(0, former)


def begun(runs: Path, **changes: Any) -> RunFolder:
    """A run of two launches of a living command, of which none has begun."""
    folder = unsealed_run(runs, launches=2, duration_seconds=23.0, load=LOAD, **changes)
    shutil.rmtree(folder.path / "attempts")
    (folder.path / ".owner.json").write_text(json.dumps(asdict(current_owner())))
    return folder


def grow(folder: RunFolder, number: int, pieces: int = 1) -> Iterator[None]:
    """Write an attempt as a launch does: journals in pieces, then what was made of them. Each step is one piece."""
    files = folder.attempt(CELL, number, 1)
    files.prepare()
    files.backend_journal.write_bytes(encode_journal(backend_journal(PLAN).records()))
    data = encode_journal(launch_journal(PLAN, LOAD).records())
    step = len(data) // pieces + 1
    for at in range(0, len(data), step):
        with files.sdk_journal.open("ab") as stream:
            stream.write(data[at : at + step])
        yield
    files.close()
    files.write("readback.json", readback(PLAN))
    files.write("result.json", result_of(PLAN, LOAD, number))


def launch(folder: RunFolder, number: int) -> None:
    """Write a whole attempt."""
    for _ in grow(folder, number):
        pass


def whole(runs: Path) -> RunFolder:
    """A sealed run of two launches."""
    folder = begun(runs)
    for number in (1, 2):
        launch(folder, number)
    seal(folder)
    return folder


def watched(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, list[str], str]:
    """Exit code, lines of stdout, stderr."""
    code = run(["watch", *arguments])
    said = capsys.readouterr()
    return code, said.out.splitlines(), said.err


def test_a_sealed_run_is_told_from_its_beginning(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole(tmp_path)
    code, lines, err = watched(capsys, "--runs", str(tmp_path))
    assert (code, err) == (0, "")
    assert lines[0] == f"run {RUN_ID}"
    assert lines[-1].startswith("sealed: valid, grade ")
    windows = [line for line in lines if ": window " in line]
    assert [line.partition(": window ")[2][:6] for line in windows] == ["1 of 2", "2 of 2"] * 2
    assert "400 sent, 400 ok, 0 failed" in windows[0]
    ends = [line for line in lines if ": valid" in line and line.startswith(CELL)]
    assert ends == [f"{CELL} launch {n}/2: valid, grade {lines[-1].split()[3]}" for n in (1, 2)]


def test_json_lines_have_the_published_shape_and_the_results_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = whole(tmp_path)
    code, lines, _ = watched(capsys, "--runs", str(tmp_path), "--json")
    assert code == 0
    events = [json.loads(line) for line in lines]
    for event in events:
        assert problems(event, "watch") == []
    assert [one["event"] for one in events if one["event"] != "phase"] == [
        "run", "launch", "window", "window", "end", "launch", "window", "window", "end", "sealed",
    ]  # fmt: skip
    result = json.loads((folder.attempt(CELL, 2, 1).path / "result.json").read_text())
    end = events[-2]
    assert (end["launch"], end["valid"], end["termination"], end["reason"]) == (2, True, "completed", None)
    for mine, theirs in zip(end["windows"], result["windows"], strict=True):
        for name, value in mine["metrics"].items():
            if name in theirs["metrics"]:
                assert value == theirs["metrics"][name]["value"], name


def test_a_run_is_followed_while_it_grows(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path)

    def work() -> Iterator[None]:
        for number in (1, 2):
            yield
            yield from grow(folder, number, pieces=12)
        yield
        seal(folder)

    between_looks(monkeypatch, work())
    code, lines, err = watched(capsys, RUN_ID, "--runs", str(tmp_path), "--json")
    assert (code, err) == (0, "")
    events = [json.loads(line) for line in lines]
    assert [one["event"] for one in events].count("window") == 4
    phases = [one["phase"] for one in events if one["event"] == "phase" and one["launch"] == 1]
    assert phases == sorted(phases, key=("warmup", "measure", "drain", "done").index)
    assert {"warmup", "measure", "drain"} <= set(phases)
    assert events[-1]["event"] == "sealed"


def test_a_second_attempt_is_followed_too(tmp_path: Path) -> None:
    folder = begun(tmp_path)
    launch(folder, 1)
    follower = RunFollower(folder)
    assert [one.kind for one in follower.poll()][-1] == "end"
    first = folder.attempt(CELL, 1, 1).path
    shutil.copytree(first, first.parent / "1.2")
    again = follower.poll()
    assert (again[0].kind, again[0].launch.attempt.attempt) == ("launch", 2)
    assert again[-1].kind == "end"
    launch(folder, 2)
    assert {one.launch.attempt.launch for one in follower.poll()} == {2}
    assert not follower.over
    seal(folder)
    assert follower.poll() == []
    assert follower.over


def test_a_run_whose_command_was_killed_ends_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    unsealed_run(tmp_path, launches=1)
    code, lines, err = watched(capsys, "--runs", str(tmp_path))
    assert code == 1
    assert "'repro clean' seals it" in err
    assert lines[0] == f"run {RUN_ID}"


def test_a_run_that_is_deleted_meanwhile_is_an_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = begun(tmp_path)
    monkeypatch.setattr(watch.time, "sleep", lambda _seconds: shutil.rmtree(folder.path))
    code, _, err = watched(capsys, "--runs", str(tmp_path))
    assert code == 1
    assert "the run folder has gone" in err


@pytest.mark.parametrize("arguments", [("nothing",), ()])
def test_no_run_is_a_usage_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: tuple[str, ...]
) -> None:
    code, _, err = watched(capsys, *arguments, "--runs", str(tmp_path))
    assert code == 2
    assert "'repro list runs'" in err


@pytest.mark.parametrize("broken", ["result.json", "journal.pb", "readback.json"])
def test_damaged_files_are_said_and_followed_past(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], broken: str
) -> None:
    folder = begun(tmp_path)
    launch(folder, 1)
    (folder.attempt(CELL, 1, 1).path / broken).write_text('{"containers": 1}')
    follower = RunFollower(folder)
    assert [one.kind for one in follower.poll()][-1] == "end"
    assert follower.problem


def test_it_moves_to_the_housekeeping_cpus_of_a_run_that_goes_on(tmp_path: Path) -> None:
    cpu = max(os.sched_getaffinity(0))
    folder = begun(tmp_path, housekeeping_cpus=str(cpu))
    watch._stand_aside(RunFollower(folder))
    assert os.sched_getaffinity(0) == {cpu}


def test_ctrl_c_ends_it_with_130(tmp_path: Path) -> None:
    begun(tmp_path)
    process = subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, "-m", "toolkit", "watch", "--runs", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("run ")
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=600)
    assert process.returncode == 130
    assert "Traceback" not in err


def test_on_a_terminal_a_block_changes_in_place(tmp_path: Path) -> None:
    folder = whole(tmp_path)
    leader, follower = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    process = subprocess.Popen(
        [sys.executable, "-m", "toolkit", "watch", str(folder.path)],
        cwd=ROOT,
        stdout=follower,
        env={**environment, "COLUMNS": "100", "LINES": "40"},
    )
    os.close(follower)
    text = b""
    while True:
        try:
            piece = os.read(leader, 4096)
        except OSError:  # the other side has gone
            break
        text += piece
    os.close(leader)
    assert process.wait(600) == 0
    shown = text.decode().replace("\r\n", "\n")
    assert f"{CELL} launch 2/2: valid" in shown
    assert "read-back" in shown
    assert max(len(line) for line in shown.split("\n")) <= 100


def test_escape_sequences_in_a_run_do_not_reach_the_terminal() -> None:
    evil = "\x1b]0;x\x07\x9b31m\u202e\n"
    plan = cell_plan()
    state, at = LiveState(quantiles=True), Attempt.of(evil, plan, 1, 1)
    state.begin(at, START)
    builder = Builder().hello().lines(START, hello_line(plan) | {"settings": {evil: evil}})
    state.records(at, "sdk", builder.records())
    named: Any = cell_plan(cell=f"{evil}/x/y")
    for lines in (block(named, None), block(plan, state.view(at))):
        assert all(line.isprintable() for line in lines)
    assert printable(evil).isprintable()
    assert printable("naïve 128 µs") == "naïve 128 µs"
