"""Containers that end otherwise than planned: exit 5, the right word, a sealed record, nothing left."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from tests.support.altered import pace
from tests.support.faults_tool import LONG_SECONDS, Running, Tool, check_record, check_said, misbehaving
from toolkit.engine.docker import DockerEngine
from toolkit.engine.port import LABEL_ROLE

root_only = pytest.mark.skipif(os.geteuid() != 0, reason="needs root: signals processes inside containers")
MEGABYTE = 1 << 20


def first_process(tool: Tool, engine: DockerEngine, running: Running, role: str) -> int:
    """The host's number of a container's PID 1, once the launch measures."""
    running.say("measuring")
    ids = [one.id for one in tool.containers(engine) if one.labels[LABEL_ROLE] == role]
    assert len(ids) == 1
    return engine.state(ids[0]).pid


def children(pid: int) -> list[int]:
    """Whatever thread of it they were born of."""
    lists = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/children")]
    return [int(word) for text in lists for word in text.split()]


def test_memory_below_need_is_told_as_such(tool: Tool) -> None:
    ended = tool.launch("--memory", "8m")
    check_said(ended, 5, "--memory")
    # Just below its need the kernel may find pages of the program's own file to drop for ever, on a busy machine.
    result = check_record(tool.only_run(), "oom", "hang")
    if result["termination"] == "oom":
        check_said(ended, 5, "ran out of memory", str(8 * MEGABYTE))


def test_124_a_program_that_outgrows_its_limit_in_the_middle(tool: Tool) -> None:
    ended = tool.launch(*misbehaving("hoard"), "--memory", "96m")
    check_said(ended, 5, "ran out of memory", str(96 * MEGABYTE), "--memory")
    result = check_record(tool.only_run(), "oom")
    assert result["samples"]["rows"]


@root_only
def test_125_a_plain_kill_is_not_out_of_memory(tool: Tool, engine: DockerEngine) -> None:
    running = tool.begin("--duration", str(LONG_SECONDS))
    (workload,) = children(first_process(tool, engine, running, "sdk"))
    os.kill(workload, signal.SIGKILL)
    check_said(running.end(), 5, "killed", "not out of memory")
    check_record(tool.only_run(), "killed")


@root_only
@pytest.mark.parametrize("role", ["sdk", "backend"])
def test_a_killed_agent(tool: Tool, engine: DockerEngine, role: str) -> None:
    running = tool.begin("--duration", str(LONG_SECONDS))
    os.kill(first_process(tool, engine, running, role), signal.SIGKILL)
    check_said(running.end(), 5, "agent")
    check_record(tool.only_run(), "agent-lost")


def test_a_backend_that_never_gets_ready(tool: Tool) -> None:
    ended = tool.launch("--arm", "fault=never_ready")
    check_said(ended, 5, "never got ready", "backend.stderr.log")
    check_record(tool.only_run(), "backend-not-ready")


def test_a_backend_that_dies_in_the_middle(tool: Tool) -> None:
    # Late enough that the SDK is at work on this machine, and long before the end.
    ended = tool.launch("--arm", f"fault=exit_after-{8 * pace():g}", "--duration", str(LONG_SECONDS))
    check_said(ended, 5, "backend ended", "backend.stderr.log")
    assert check_record(tool.only_run(), "backend-died")["samples"]["rows"]


def test_a_backend_that_dies_before_the_sdk_starts(tool: Tool) -> None:
    ended = tool.launch("--arm", "fault=exit_after-0.01")
    check_said(ended, 5, "backend")
    # Whether the readiness probe was answered within these 10 ms is nobody's promise.
    assert check_record(tool.only_run(), "backend-died", "backend-not-ready")["counts"]["ok"] == 0


def test_a_panic_shows_its_first_line(tool: Tool) -> None:
    ended = tool.launch(*misbehaving("panic"))
    check_said(ended, 5, "panicked", "panic: the fault catalogue's adapter panics", "stderr.log")
    run = tool.only_run()
    result = check_record(run, "panic")
    assert result["samples"]["rows"]
    (log,) = run.glob("attempts/*/*/stderr.log")
    assert "adapter.go" in log.read_text()


def test_127_a_hang_ends_at_the_planned_end_and_its_grace(tool: Tool) -> None:
    # By itself it would never end.
    ended = tool.launch(*misbehaving("hang"), "--timing-gates", "judge")  # its grace is shorter
    check_said(ended, 5, "did not end at its planned end", "stderr.log")
    check_record(tool.only_run(), "hang")


def test_128_a_flood_of_output_is_cut(tool: Tool) -> None:
    ended = tool.launch(*misbehaving("flood"))
    assert "Traceback" not in ended.stderr
    assert ended.code in (0, 1), ended  # drops under the flood make it invalid; that is the program's affair
    run = tool.only_run()
    logs = {path.name: path.stat().st_size for path in run.glob("attempts/*/*/std*.log")}
    assert logs.keys() == {"stdout.log", "stderr.log"}
    assert 0 < max(logs.values()) <= MEGABYTE, logs
    assert sum(path.stat().st_size for path in run.rglob("*") if path.is_file()) < 8 * MEGABYTE


def test_a_benchmark_whose_backend_never_gets_ready(tool: Tool) -> None:
    words = "launch --sdk go-openai --workload embed-512 --cpus 0 --drive bench --warmup 1 --wait 60 --json"
    ended = tool.run(*words.split(), "--arm", "fault=never_ready")
    check_said(ended, 5, "never got ready")
    check_record(tool.only_run(), "backend-not-ready")
