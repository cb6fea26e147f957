"""Launches that cannot begin: each ends with its exit code and a remedy, and leaves nothing."""

from __future__ import annotations

import os

import pytest

from tests.support.faults_engine import old_engine
from tests.support.faults_tool import Tool, check_said, sealed_manifest
from toolkit.model.cpulist import format_cpulist


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (("--sdk", "go-opanai"), 2, ("go-opanai", "go-openai")),
        (("--workload", "chat-stream-129"), 2, ("chat-stream-129", "chat-stream-128")),
        (("--cpus", "zero"), 2, ("zero", "--cpus 2 means CPU number 2")),
        (("--cpus", "0-"), 2, ("0-",)),
        (("--cpus", ""), 2, ("nobody said where", "--cpus 0")),
        (("--cpus", "4095"), 3, ("no CPU 4095", "--cpus 0")),
        (("--cpus", "0,4095"), 3, ("no CPU 4095",)),
    ],
)
def test_what_does_not_exist_is_named_with_the_nearest_that_does(
    tool: Tool, options: tuple[str, ...], code: int, words: tuple[str, ...]
) -> None:
    ended = tool.launch(*options)
    check_said(ended, code, *words)
    assert not tool.runs.exists()


def test_the_nearest_cpus_keep_those_that_exist(tool: Tool) -> None:
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        pytest.skip("needs two CPUs")
    check_said(tool.launch("--cpus", f"{cpus[1]},4095"), 3, f"--cpus {format_cpulist(cpus[:2])}")


def test_all_cpus_of_the_machine_run_and_cost_the_grade(tool: Tool) -> None:
    everything = format_cpulist(sorted(os.sched_getaffinity(0)))
    ended = tool.launch("--cpus", everything)
    assert ended.code == 0, ended
    assert ended.document["grade"] in ("C", "D")
    manifest = sealed_manifest(tool.only_run())
    assert "measured CPUs are shared with agent, backend or host program" in manifest["grade"]["reasons"]
    assert "shared" in tool.run("show", ended.document["run"]).stdout


def test_an_absent_engine(tool: Tool) -> None:
    missing = tool.short / "nobody.sock"
    ended = tool.launch(DOCKER_HOST=f"unix://{missing}")
    check_said(ended, 4, str(missing), "dockerd" if os.geteuid() == 0 else "start")
    assert list(tool.runs.iterdir()) == []


def test_an_engine_elsewhere(tool: Tool) -> None:
    check_said(tool.launch(DOCKER_HOST="tcp://127.0.0.1:2375"), 4, "not local", "DOCKER_HOST")


def test_an_engine_that_is_too_old(tool: Tool) -> None:
    with old_engine(tool.short / "old.sock") as address:
        ended = tool.launch(DOCKER_HOST=address)
    check_said(ended, 4, "too old", "1.40", "1.41")
    assert list(tool.runs.iterdir()) == []
