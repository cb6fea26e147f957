"""Whole ways of lanes: what a command does before it leases, which lane it gets, what it says when there is none."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.journals import cell_plan
from tests.support.machines import MACHINES, laptop, uniform
from tests.support.runs import RUN_ID, unsealed_run
from toolkit.catalogue import load_catalogue
from toolkit.cli.app import run
from toolkit.cli.rerunning import check_cpus
from toolkit.cli.where import Where, leased, placements
from toolkit.engine.fake import FakeEngine
from toolkit.engine.port import LABEL_CPUS, LABEL_ROLE, LABEL_RUN
from toolkit.errors import HostUnfit, LaneBusy
from toolkit.fetch.store import Store
from toolkit.host.placement import place
from toolkit.launch.prepare import World
from toolkit.lease import Lane, lease_first
from toolkit.model.container import ContainerSpec
from toolkit.model.plan import Plan, Turn, plan_from_json
from toolkit.model.topology import Topology
from toolkit.output import Output
from toolkit.owner import current_owner
from toolkit.plan import moved
from toolkit.schemas import problems

Json = dict[str, Any]
LAB = MACHINES["lab"]().topology()


@pytest.fixture(autouse=True)
def lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRO_LANES", str(tmp_path / "lanes"))
    monkeypatch.setattr("toolkit.collect.socket_folder.base_folders", lambda: [tmp_path / "sockets"])


def world(tmp_path: Path, engine: FakeEngine, topology: Topology = LAB) -> tuple[World, io.StringIO]:
    words = io.StringIO()
    store = Store.open(tmp_path / "store")
    report = Output(stderr=words).talk
    return World(engine, store, load_catalogue(), topology, tmp_path / "runs", report), words


def orphan(engine: FakeEngine, cpus: str) -> str:
    """A container whose command was killed in another life."""
    engine.images["x"] = {}
    owner = replace(current_owner(), boot_id="another")
    labels = {LABEL_RUN: RUN_ID, LABEL_CPUS: cpus, LABEL_ROLE: "sdk", **owner.labels()}
    container, _ = engine.create(ContainerSpec("x", ("y",), labels=labels))
    engine.start(container)
    return container


def test_what_a_dead_command_left_is_ended_and_sealed_as_host_lost_before_the_lease(
    tmp_path: Path, fake_engine: FakeEngine
) -> None:
    around, words = world(tmp_path, fake_engine)
    folder = unsealed_run(tmp_path / "runs")
    (attempt,) = folder.path.glob("attempts/*/1.1")
    (attempt / "result.json").unlink()  # it was cut off
    container = orphan(fake_engine, "1")
    with leased(around, [place(LAB, "1")], 0.0, Output(stderr=words)):
        assert container not in fake_engine.containers
        assert json.loads((attempt / "result.json").read_text())["termination"] == "host-lost"
        assert json.loads((folder.path / "manifest.json").read_text())["state"] == "recovered"
    assert f"sealed run {RUN_ID}, whose command was killed" in words.getvalue()


def test_orphans_elsewhere_are_ended_too_and_one_that_stays_there_is_in_nobodys_way(
    tmp_path: Path, fake_engine: FakeEngine
) -> None:
    around, words = world(tmp_path, fake_engine)
    container = orphan(fake_engine, "6")
    with leased(around, [place(LAB, "1")], 0.0, Output(stderr=words)):
        assert container not in fake_engine.containers
    orphan(fake_engine, "6")
    with lease_first([Lane("1")], fake_engine, recover=lambda: None, topology=LAB):
        pass


def test_commands_side_by_side_take_one_lane_each(tmp_path: Path, fake_engine: FakeEngine) -> None:
    around, words = world(tmp_path, fake_engine)
    seats = placements(LAB, Where("", lanes=2))
    with (
        leased(around, seats, 0.0, Output(stderr=words)) as first,
        leased(around, seats, 0.0, Output(stderr=words)) as second,
        pytest.raises(LaneBusy, match="all 2 lanes are busy"),
        leased(around, seats, 0.0, Output(stderr=words)),
    ):
        pass
    assert (first.cpus, second.cpus) == ("4-5", "1-2")


def plan_on(placement: Any) -> Plan:
    cell = cell_plan()
    return moved(Plan((cell,), (Turn(cell.cell, 1),), 1), placement)


def test_a_plan_moves_to_another_lane_and_back_from_its_file() -> None:
    first, second = placements(LAB, Where("", lanes=2))
    there = plan_on(second)
    assert moved(there, first) == plan_on(first)
    written = json.loads(json.dumps(there.to_json()))
    assert problems(written, "plan") == []
    assert plan_from_json(written) == there
    assert (there.cells[0].cpus, there.cells[0].mems, there.cells[0].lane_notes[0]) == ("1-2", "0", "lane 2 of 2")


@pytest.mark.parametrize("machine", [LAB, laptop().topology(), uniform(4, smt=2).topology()])
def test_a_rerun_takes_the_very_same_cpus(machine: Topology) -> None:
    for where in (Where("", cores=2), Where("", lanes=1), Where("1"), Where("", cores=1, threads_per_core="all")):
        check_cpus(plan_on(placements(machine, where)[0]), machine)


def test_a_rerun_elsewhere_says_what_is_not_there() -> None:
    plan = plan_on(placements(LAB, Where("", lanes=2))[0])
    with pytest.raises(HostUnfit) as caught:
        check_cpus(plan, replace(LAB, cpus=(1, 2, 3, 4, 5)))
    assert "agent ran on CPU 0" in caught.value.cause
    assert "backend ran on CPU 7" in caught.value.cause
    with pytest.raises(HostUnfit, match="cannot place the run as it was") as caught:
        check_cpus(plan_on(placements(uniform(8).topology(), Where("1"))[0]), uniform(8, smt=2).topology())
    assert "siblings of measured CPUs were '' and are '9'" in caught.value.cause


def test_a_plan_that_is_older_than_idle_cpus_can_be_run_again() -> None:
    cell = cell_plan(cpus="1", agent_cpus="15", backend_cpus="14", housekeeping_cpus="0")
    check_cpus(Plan((cell,), (Turn(cell.cell, 1),), 1), uniform(8, smt=2).topology())


# what the command line says


def repro(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    code = run(["plan", "--sdk", "go-openai", *words])
    said = capsys.readouterr()
    return code, said.out, said.err


@pytest.fixture
def on_laptop(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.host.topology.read_topology", lambda: laptop().topology())


@pytest.mark.usefixtures("on_laptop")
def test_plan_shows_the_lane_and_why(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = repro(capsys, "--cores", "2")
    assert code == 0
    assert "measured 0,2, idle 1,3, agent 12, backend 8-11, host program 12" in out
    assert "2 cores of class P, one thread of each, of 6 that could be measured on" in out
    assert "GOMAXPROCS    2" in out


@pytest.mark.usefixtures("on_laptop")
def test_plan_shows_all_lanes(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = repro(capsys, "--lanes", "2", "--threads-per-core", "all")
    assert code == 0
    assert "a launch takes the first that is free" in out
    rows = [line.split() for line in out.partition("lane  measured")[2].splitlines()[1:3]]
    assert [row[:3] for row in rows] == [["1", "0-5", "-"], ["2", "6-11", "-"]]


@pytest.mark.usefixtures("on_laptop")
def test_plan_json_holds_the_lane(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = repro(capsys, "--cores", "2", "--json")
    (cell,) = json.loads(out)["cells"]
    assert (code, cell["idle_cpus"], cell["shared_cores"]) == (0, "1,3", False)
    assert cell["lane_notes"][-1] == "kept for host program and agents: CPU 12"


@pytest.mark.usefixtures("on_laptop")
def test_warnings_stand_in_the_plan(capsys: pytest.CaptureFixture[str]) -> None:
    assert "warning: they mix classes of core (P, E)" in repro(capsys, "--cpus", "0,12")[1]


def test_a_plan_for_a_machine_that_was_recorded(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    MACHINES["epyc"]().write(tmp_path)
    code, out, _ = repro(capsys, "--machine", str(tmp_path), "--cores", "8")
    assert code == 0
    assert "measured 8-15, idle 136-143" in out


def test_a_folder_without_a_machine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = repro(capsys, "--machine", str(tmp_path), "--cores", "8")
    assert (code, "no machine is recorded there" in err) == (2, True)
    (tmp_path / "sys/devices/system/cpu").mkdir(parents=True)
    (tmp_path / "sys/devices/system/cpu/online").write_text("zero\n0-\n")
    assert repro(capsys, "--machine", str(tmp_path), "--cores", "8")[0] == 2


@pytest.mark.usefixtures("on_laptop")
@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ((), 2, "--cores 1"),
        (("--cpus", "0", "--cores", "1"), 2, "does not go with"),
        (("--cpus", "0", "--lanes", "1"), 2, "does not go with"),
        (("--cpus", "0", "--threads-per-core", "all"), 2, "needs --cores or --lanes"),
        (("--cores", "1", "--threads-per-core", "3"), 2, "or all"),
        (("--cores", "0"), 2, "at least 1"),
        (("--cores", "9"), 3, "what fits: --cores 8"),
        (("--lanes", "30"), 3, "what fits: --lanes"),
    ],
)
def test_what_cannot_be_is_refused(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, said: str
) -> None:
    found, out, err = repro(capsys, *words)
    assert (found, out) == (code, "")
    assert said in err
