"""The tool killed, or asked to stop once or twice: while it builds, measures, seals. Nothing is lost, nothing is left.

Sealing takes milliseconds. To be sure to meet it, a test puts a big sparse file beside the run's own: the seal reads it
for its digest, and that takes some seconds. A launch that is stopped while it measures would go on for a quarter of an
hour: that it ended is that it was stopped, whatever the machine.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.faults_tool import (
    LONG_SECONDS,
    Running,
    Tool,
    check_record,
    check_said,
    own_entry,
    result_of,
    sealed_manifest,
)
from toolkit.collect.evidence import read_evidence
from toolkit.engine.docker import DockerEngine
from toolkit.engine.port import LABEL_RUN, OwnedContainer

SPARSE_BYTES = 2 << 30
BETWEEN_SECONDS = 0.15


def building(tool: Tool, engine: DockerEngine) -> Running:
    """A launch whose compiler is at work in its container."""
    running = tool.begin(*own_entry(tool.folder))
    running.say("compiling")
    running.until(lambda: any(one.running and is_build(one) for one in tool.containers(engine)), "the compiler")
    return running


def is_build(container: OwnedContainer) -> bool:
    return container.labels[LABEL_RUN] == "build"


def measuring(tool: Tool, _engine: DockerEngine) -> Running:
    running = tool.begin("--duration", str(LONG_SECONDS))
    running.say("measuring")
    return running


def sealing(tool: Tool, _engine: DockerEngine) -> Running:
    """A launch that has its result and reads its files for the manifest."""
    running = tool.begin()
    running.say("measuring")
    with (tool.only_run() / "big").open("wb") as stream:
        stream.truncate(SPARSE_BYTES)
    run = tool.wait_for_result(running)
    running.until(lambda: reads(running.process.pid, run / "big"), "the seal to read")
    assert not (run / "manifest.json").exists()
    return running


def reads(pid: int, file: Path) -> bool:
    """Whether a process has the file open."""
    with contextlib.suppress(OSError):
        return any(os.readlink(one) == str(file) for one in Path(f"/proc/{pid}/fd").iterdir())
    return False


Stage = Callable[[Tool, DockerEngine], Running]


@pytest.mark.parametrize("stage", [building, measuring, sealing])
def test_killed(tool: Tool, engine: DockerEngine, stage: Stage) -> None:
    running = stage(tool, engine)
    running.kill()
    assert running.end().code == -9
    if stage is building:
        assert list(tool.runs.iterdir()) == []
        tool.clean()
        return
    run = tool.only_run()
    assert not (run / "manifest.json").exists()
    (run / "big").unlink(missing_ok=True)
    tool.clean()
    if stage is measuring:
        check_record(run, "host-lost", state="recovered")
        return
    # The attempt was over and has its result; only the manifest came from another command.
    manifest = sealed_manifest(run)
    assert (manifest["state"], manifest["valid"]) == ("recovered", False)
    assert (result_of(run)["termination"], result_of(run)["valid"]) == ("completed", True)


def test_the_next_launch_cleans_up_and_goes_on(tool: Tool, engine: DockerEngine) -> None:
    running = measuring(tool, engine)
    running.kill()
    running.end()
    run = tool.only_run()
    ended = tool.launch()
    assert ended.code == 0, ended
    assert run.name in ended.stderr  # said aloud
    check_record(run, "host-lost", state="recovered")
    sealed_manifest(tool.runs / ended.document["run"])


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_building(tool: Tool, engine: DockerEngine, times: int) -> None:
    running = building(tool, engine)
    stop(running, times)
    check_said(running.end(), 130)
    assert list(tool.runs.iterdir()) == []


def test_ctrl_c_while_measuring_keeps_what_was_measured(tool: Tool, engine: DockerEngine) -> None:
    running = measuring(tool, engine)
    (journal,) = tool.only_run().glob("attempts/*/*/journal.pb")
    running.until(lambda: sampled(journal), "a sample of what is measured")
    stop(running, 1)
    check_said(running.end(), 130, "kept")
    result = check_record(tool.only_run(), "interrupted", state="interrupted")
    assert result["samples"]["rows"]


def sampled(journal: Path) -> bool:
    """Whether the agent has taken a sample since the measurement began."""
    told = read_evidence(journal)
    t0 = told.mark("measure")
    return t0 is not None and any(one.monotonic_ns > t0 for one in told.samples)


def test_ctrl_c_twice_while_measuring_stops_at_once(tool: Tool, engine: DockerEngine) -> None:
    running = measuring(tool, engine)
    stop(running, 2)
    check_said(running.end(), 130)
    check_record(tool.only_run(), "interrupted", state="interrupted")


@pytest.mark.parametrize("times", [1, 2])
def test_ctrl_c_while_sealing_finishes_the_seal(tool: Tool, engine: DockerEngine, times: int) -> None:
    """Sealing is the end: nothing is left that could be stopped, and the launch is whole."""
    running = sealing(tool, engine)
    stop(running, times)
    ended = running.end()
    assert ended.code == 0, ended
    manifest = sealed_manifest(tool.only_run())
    assert (manifest["state"], manifest["valid"]) == ("complete", True)


def test_ctrl_c_between_launches_keeps_the_first(tool: Tool) -> None:
    running = tool.begin("--launches", "2")
    running.until(lambda: completed(tool.runs), "the first launch's result")
    stop(running, 1)
    check_said(running.end(), 130)
    manifest = sealed_manifest(tool.only_run())
    assert (manifest["state"], manifest["valid"]) == ("interrupted", False)
    assert manifest["cells"][0]["launches"][0]["valid"] is True


def completed(runs: Path) -> bool:
    return any(runs.glob("*/attempts/*/1.1/result.json"))


def stop(running: Running, times: int) -> None:
    """Ctrl-C so many times, as fast as an impatient person."""
    for number in range(times):
        if number:
            time.sleep(BETWEEN_SECONDS)
        running.interrupt()


def test_ctrl_c_while_the_command_still_loads(tool: Tool) -> None:
    """Only the interpreter's own start is before us. It ends by the signal itself where exec() was interrupted."""
    running = tool.begin(PYTHONPROFILEIMPORTTIME="1")
    running.say("| toolkit.cli\n")
    stop(running, 1)
    ended = running.end()
    assert ended.code in (130, -2), ended
    assert "Traceback" not in ended.stderr
