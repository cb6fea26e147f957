"""Lanes with real containers: cores that are chosen, side by side, and after a command that was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import (
    LONG_SECONDS,
    Ended,
    Running,
    Tool,
    check_record,
    check_said,
    quick,
    sealed_manifest,
)
from toolkit.cli.app import run
from toolkit.engine.docker import DockerEngine
from toolkit.errors import HostUnfit
from toolkit.host.allocate import Wanted, choose
from toolkit.host.placement import Placement
from toolkit.host.topology import read_topology
from toolkit.lease import lease
from toolkit.model.cpulist import format_cpulist, parse_cpulist

pytestmark = pytest.mark.timeout(600)
Json = dict[str, Any]


def chosen(*arguments: str) -> list[str]:
    """A quick launch whose CPUs are chosen by other options than ``--cpus``."""
    words = quick(*arguments)
    at = words.index("--cpus")
    return words[:at] + words[at + 2 :]


def fitting(wanted: Wanted) -> tuple[Placement, ...]:
    """The lanes that this machine has for it; none where it is refused."""
    try:
        return choose(read_topology(), wanted)
    except HostUnfit:
        return ()


def cell_of(run: Path) -> Json:
    (cell,) = json.loads((run / "plan.json").read_text())["cells"]
    return dict(cell)


def check_seats(run: Path, lane: Placement) -> None:
    """The plan names the lane, and kernel, engine and agent saw everybody in their seats."""
    cell = cell_of(run)
    assert (cell["cpus"], cell["mems"], cell["idle_cpus"]) == (lane.cpus, lane.mems, lane.idle_cpus)
    (rows,) = sealed_manifest(run)["constraints"].values()
    held = {row["id"]: row["effective"] for row in rows["sdk"] if row["state"] == "held"}
    assert held["workload.affinity"] == lane.cpus
    assert held["agent.affinity"] == lane.agent_cpus
    assert held["container.mems"] == lane.mems
    both = {*parse_cpulist(lane.cpus), *parse_cpulist(lane.agent_cpus)}
    assert held["container.cpuset"] == format_cpulist(both)
    assert not both & (set(parse_cpulist(lane.idle_cpus)) if lane.idle_cpus else set())


def test_a_chosen_core_is_measured_on_and_again(tool: Tool) -> None:
    lanes = fitting(Wanted(cores=1))
    ended = tool.run(*chosen("--cores", "1"))
    if not lanes:  # one core is all there is: said, with what to do
        check_said(ended, 3, "--cores 1", "--cpus")
        return
    assert ended.code == 0, ended
    run = tool.only_run()
    check_seats(run, lanes[0])
    again = tool.run("rerun", run.name, "--wait", "120", "--json")
    assert again.code == 0, again
    (other,) = set(tool.runs.iterdir()) - {run}
    assert cell_of(other) == cell_of(run)
    check_seats(other, lanes[0])


def test_two_commands_side_by_side_and_a_third_is_told_who(tool: Tool) -> None:
    lanes = fitting(Wanted(lanes=2))
    words = chosen("--lanes", "2", "--duration", "60", "--wait", "0")
    if not lanes:  # two lanes take three cores
        offer = "what fits: --lanes 1" if fitting(Wanted(lanes=1)) else "--cpus"
        check_said(tool.run(*words), 3, "--lanes 2", offer)
        return
    running = [tool.start(*words), tool.start(*words)]
    for one in running:
        one.say("measuring")
    check_said(tool.run(*words), 7, "all 2 lanes are busy", *(f"process {one.process.pid}" for one in running))
    ended = [one.end() for one in running]
    assert [one.code for one in ended] == [0, 0], ended
    runs = {cell_of(Path(one.document["path"]))["cpus"]: Path(one.document["path"]) for one in ended}
    assert set(runs) == {lane.cpus for lane in lanes}
    for lane in lanes:
        check_seats(runs[lane.cpus], lane)


def begun(tool: Tool, words: list[str]) -> Running:
    """One that measures."""
    running = tool.start(*words)
    running.say("measuring")
    return running


def test_a_run_moves_to_the_lane_that_is_free(
    tmp_path: Path, engine: DockerEngine, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Two lanes that overlap nowhere, made by hand so that two CPUs are enough: all of a launch on one of them."""
    numbers = [str(cpu) for cpu in read_topology().cpus[:2]]
    if len(numbers) < 2:
        pytest.skip("one CPU is one lane")
    first, second = (Placement(cpu, "0", cpu, cpu, cpu, shared=True) for cpu in numbers)
    monkeypatch.setenv("REPRO_LANES", str(tmp_path / "lanes"))
    monkeypatch.setattr("toolkit.cli.where.placements", lambda *_: (first, second))
    with lease(first.cpus, engine, wait_seconds=600):
        code = run(chosen("--lanes", "2", "--runs", str(tmp_path / "runs")))
    said = capsys.readouterr()
    assert code == 0, said.err
    check_seats(Path(json.loads(said.out)["path"]), second)


def test_who_waited_for_a_killed_command_ends_its_containers_before_it_measures(
    tool: Tool, engine: DockerEngine
) -> None:
    """The lock is free when its owner dies; the containers are not gone, and would be measured beside."""
    first = begun(tool, quick("--duration", str(LONG_SECONDS)))
    mine = first.process.pid
    orphans = {one.id for one in tool.containers(engine)}
    assert len(orphans) == 2
    second: Running = tool.start(*quick())
    second.say(f"waiting for a lane: CPU 0 is leased by process {mine}")
    first.kill()
    assert first.end().code == -9
    ended: Ended = second.end()
    assert ended.code == 0, ended
    # Every command ends such containers; here another one may have been first.
    assert not orphans & {one.id for one in tool.containers(engine)}
    assert "whose command was killed" in ended.stderr
    (cut,) = [run for run in tool.runs.iterdir() if run.name != ended.document["run"]]
    check_record(cut, "host-lost", state="recovered")
