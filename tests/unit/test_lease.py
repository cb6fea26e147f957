"""Lanes: exclusive CPUs between processes of one machine."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.machines import uniform
from toolkit.engine.fake import FakeEngine
from toolkit.engine.port import LABEL_CPUS, LABEL_ROLE, LABEL_RUN
from toolkit.errors import HostUnfit, LaneBusy
from toolkit.lease import Lane, lease, lease_first
from toolkit.lease_files import held_lanes, holders
from toolkit.model.container import ContainerSpec
from toolkit.owner import Owner, current_owner, start_ticks

HOLD = """
import sys
from toolkit.engine.fake import FakeEngine
from toolkit.lease import lease
with lease(sys.argv[1], FakeEngine()):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def lanes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("REPRO_LANES", str(tmp_path / "lanes"))
    return tmp_path / "lanes"


def run_container(engine: FakeEngine, cpus: str, owner: Owner) -> str:
    engine.images["x"] = {}
    labels = {LABEL_RUN: "r1", LABEL_CPUS: cpus, **owner.labels()}
    container, _ = engine.create(ContainerSpec("x", ("y",), labels=labels))
    engine.start(container)
    return container


def test_a_lane_is_free_again_after_the_body(fake_engine: FakeEngine) -> None:
    for _ in range(2):
        with lease("0-1", fake_engine):
            pass


def test_a_lane_is_free_again_after_an_error(fake_engine: FakeEngine) -> None:
    with pytest.raises(ZeroDivisionError), lease("0", fake_engine):
        raise ZeroDivisionError
    with lease("0", fake_engine):
        pass


def test_one_shared_cpu_is_enough_to_be_refused(fake_engine: FakeEngine) -> None:
    with lease("0-3", fake_engine), pytest.raises(LaneBusy) as caught, lease("3-5", fake_engine):
        pass
    assert caught.value.exit_code == 7
    assert f"process {os.getpid()}" in caught.value.cause
    assert "CPU 3" in caught.value.cause


def test_a_refused_lease_leaves_no_lock_behind(fake_engine: FakeEngine) -> None:
    with lease("3", fake_engine):
        with pytest.raises(LaneBusy), lease("1-3", fake_engine):
            pass
        with lease("1-2", fake_engine):
            pass


def test_other_cpus_are_no_matter(fake_engine: FakeEngine) -> None:
    with lease("0", fake_engine), lease("1", fake_engine):
        pass


def test_a_lock_dies_with_its_process(fake_engine: FakeEngine) -> None:
    command = [sys.executable, "-c", HOLD, "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        with pytest.raises(LaneBusy, match="CPU 0 is busy"), lease("0", fake_engine):
            pass
        child.kill()
        child.wait()
        with lease("0", fake_engine):
            pass


def test_waiting_ends_when_the_lane_is_free(fake_engine: FakeEngine) -> None:
    command = [sys.executable, "-c", HOLD, "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        began = time.monotonic()
        with pytest.raises(LaneBusy), lease("0", fake_engine, wait_seconds=0.3):
            pass
        assert time.monotonic() - began >= 0.3
        assert child.stdin is not None
        child.stdin.close()
        with lease("0", fake_engine, wait_seconds=300):
            pass


def test_a_labelled_container_occupies_its_cpus(fake_engine: FakeEngine) -> None:
    run_container(fake_engine, "0-1", current_owner())
    with pytest.raises(LaneBusy, match="busy") as caught, lease("1", fake_engine):
        pass
    assert caught.value.cause == f"a container of run r1 runs on CPU 0-1, of process {os.getpid()}"
    with lease("2", fake_engine):
        pass


def test_a_dead_owners_container_occupies_nothing(fake_engine: FakeEngine) -> None:
    run_container(fake_engine, "0", replace(current_owner(), boot_id="another"))
    with lease("0", fake_engine):
        pass


def test_a_container_that_ended_occupies_nothing(fake_engine: FakeEngine) -> None:
    container = run_container(fake_engine, "0", current_owner())
    fake_engine.containers[container].finish(0)
    with lease("0", fake_engine):
        pass


def test_locks_can_be_taken_by_other_users(fake_engine: FakeEngine, lanes: Path) -> None:
    former = os.umask(0o077)
    try:
        with lease("0", fake_engine):
            assert lanes.stat().st_mode & 0o7777 == 0o1777
            assert (lanes / "cpu0.lock").stat().st_mode & 0o777 == 0o666
    finally:
        os.umask(former)


def test_a_folder_that_cannot_be_made_is_said(
    fake_engine: FakeEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("REPRO_LANES", str(tmp_path / "file" / "lanes"))
    with pytest.raises(HostUnfit) as caught, lease("0", fake_engine):
        pass
    assert "REPRO_LANES" in caught.value.remedy


def test_nobody_measures_where_anothers_backend_runs(fake_engine: FakeEngine) -> None:
    with (
        lease("0", fake_engine, shared="1,1"),
        pytest.raises(LaneBusy),
        lease("1", fake_engine, shared="0"),
    ):
        pass


def test_backends_of_two_lanes_may_share_a_cpu(fake_engine: FakeEngine) -> None:
    with lease("0", fake_engine, shared="3"), lease("1", fake_engine, shared="2-3"):
        pass


def test_a_backend_may_not_go_where_another_program_is_measured(fake_engine: FakeEngine) -> None:
    fake_engine.images["x"] = {}
    labels = {LABEL_RUN: "r1", LABEL_CPUS: "1", LABEL_ROLE: "sdk", **current_owner().labels()}
    container, _ = fake_engine.create(ContainerSpec("x", ("y",), labels=labels))
    fake_engine.start(container)
    with pytest.raises(LaneBusy), lease("0", fake_engine, shared="1"):
        pass


def test_a_folder_that_was_there_keeps_its_mode(fake_engine: FakeEngine, lanes: Path) -> None:
    lanes.mkdir(mode=0o700)
    with lease("0", fake_engine):
        assert lanes.stat().st_mode & 0o7777 == 0o700


SMT = uniform(4, smt=2).topology()
"""CPU n and n + 4 are one core."""


@pytest.mark.parametrize(("mine", "theirs"), [("0", "4"), ("4", "0"), ("0-1", "5")])
def test_a_core_is_leased_whole_both_ways(fake_engine: FakeEngine, mine: str, theirs: str) -> None:
    with lease(mine, fake_engine, topology=SMT):
        with pytest.raises(LaneBusy), lease(theirs, fake_engine, topology=SMT):
            pass
        with pytest.raises(LaneBusy), lease("3", fake_engine, shared=theirs, topology=SMT):
            pass
        with lease("2", fake_engine, shared="7", topology=SMT):
            pass


def test_nobody_measures_beside_anothers_agent_on_one_core(fake_engine: FakeEngine) -> None:
    with (
        lease("0", fake_engine, shared="7", topology=SMT),
        pytest.raises(LaneBusy) as caught,
        lease("3", fake_engine, topology=SMT),
    ):
        pass
    assert f"process {os.getpid()}" in caught.value.cause
    assert "agent or backend of a launch" in caught.value.cause


def test_an_agent_may_sit_on_a_sibling_of_its_own_lane(fake_engine: FakeEngine) -> None:
    with lease("0", fake_engine, shared="4", topology=SMT):
        pass


def test_a_measured_container_occupies_its_siblings(fake_engine: FakeEngine) -> None:
    fake_engine.images["x"] = {}
    labels = {LABEL_RUN: "r1", LABEL_CPUS: "0", LABEL_ROLE: "sdk", **current_owner().labels()}
    container, _ = fake_engine.create(ContainerSpec("x", ("y",), labels=labels))
    fake_engine.start(container)
    for options in ({"cpus": "4"}, {"cpus": "1", "shared": "4"}):
        with pytest.raises(LaneBusy, match="busy"), lease(engine=fake_engine, topology=SMT, **options):
            pass
    with lease("1", fake_engine, shared="5", topology=SMT):
        pass


def test_the_holder_is_named_with_what_it_does(fake_engine: FakeEngine) -> None:
    with lease("0-1", fake_engine, topology=SMT), pytest.raises(LaneBusy) as caught, lease("1", fake_engine):
        pass
    assert re.search(rf"process {os.getpid()} \(user \S+, measures on CPU 0-1,4-5, since [0-9:]+\)", caught.value.cause)
    assert "--wait" in caught.value.remedy


def test_words_of_one_who_was_killed_are_not_believed(fake_engine: FakeEngine, lanes: Path) -> None:
    with lease("0", fake_engine):
        pass
    (lanes / "cpu0.lock").write_text('{"pid": 1, "start_ticks": 1, "cpus": "0-99", "since_seconds": 1.0}')
    assert holders(lanes / "cpu0.lock") == []
    descriptor = os.open(lanes / "cpu0.lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        (holder,) = holders(lanes / "cpu0.lock")
    finally:
        os.close(descriptor)
    assert (holder.pid, holder.cpus) == (os.getpid(), "")


@pytest.mark.parametrize(
    "words",
    ['"\\u001b[31mmine"', '{"pid": PID, "start_ticks": TICKS, "cpus": "\\u001b[31m0", "since_seconds": 1.0}',
     '{"pid": PID, "start_ticks": TICKS, "cpus": "0", "since_seconds": 1e300}', "[", "\x00\xff", ""],
)  # fmt: skip
def test_strange_words_of_another_user_are_not_repeated(lanes: Path, words: str, fake_engine: FakeEngine) -> None:
    me = current_owner()
    with lease("0", fake_engine):
        text = words.replace("PID", str(me.pid)).replace("TICKS", str(me.start_ticks))
        (lanes / "cpu0.lock").write_text(text)
        (holder,) = holders(lanes / "cpu0.lock")
        assert (holder.pid, holder.cpus, holder.since_seconds) == (me.pid, "", None)
        assert holder.text.isprintable()


def test_a_wait_that_is_no_number_is_none(fake_engine: FakeEngine) -> None:
    with lease("0", fake_engine), pytest.raises(LaneBusy), lease("0", fake_engine, wait_seconds=float("nan")):
        pass


def test_everybody_who_measures_is_listed_once(fake_engine: FakeEngine, lanes: Path) -> None:
    assert held_lanes(lanes) == []
    with lease("0-1", fake_engine, shared="3", topology=SMT):
        (holder,) = held_lanes(lanes)
        assert (holder.pid, holder.cpus, holder.alone) == (os.getpid(), "0-1,4-5", True)
    assert held_lanes(lanes) == []


LANES = (Lane("1", shared="0"), Lane("2", shared="0"), Lane("3", shared="0"))


def test_the_first_free_lane_is_taken(fake_engine: FakeEngine) -> None:
    with lease_first(LANES, fake_engine) as first, lease_first(LANES, fake_engine) as second:
        assert (first, second) == (0, 1)
        hold = lease_first(LANES, fake_engine)
        with lease_first(LANES, fake_engine) as third, pytest.raises(LaneBusy) as caught, hold:
            pass
        assert third == 2
    assert caught.value.title == "all 3 lanes are busy"
    assert [f"lane {number} (CPU {number})" in caught.value.cause for number in (1, 2, 3)] == [True] * 3
    assert caught.value.cause.count(f"process {os.getpid()}") == 3


def test_who_is_waited_for_is_said_once(fake_engine: FakeEngine) -> None:
    said: list[str] = []
    hold = lease_first([Lane("0")], fake_engine, wait_seconds=0.5, waiting=said.append)
    with lease("0", fake_engine), pytest.raises(LaneBusy), hold:
        pass
    assert len(said) == 1
    assert f"process {os.getpid()}" in said[0]


def test_a_container_of_a_command_that_dies_while_we_wait_is_ended_first(fake_engine: FakeEngine) -> None:
    """Its lock is free at once; its container may still be at work on our CPUs."""
    command = [sys.executable, "-c", HOLD, "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        owner = replace(current_owner(), pid=child.pid, start_ticks=start_ticks(child.pid) or 0)
        container = run_container(fake_engine, "0", owner)
        with pytest.raises(LaneBusy), lease("0", fake_engine):
            pass
        assert container in fake_engine.containers
        child.kill()
        with lease("0", fake_engine, wait_seconds=300):
            assert container not in fake_engine.containers


def test_after_a_wait_the_leftovers_of_dead_commands_are_looked_for(fake_engine: FakeEngine) -> None:
    called: list[str] = []
    command = [sys.executable, "-c", HOLD, "0"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.readline()
        options: dict[str, Any] = {"recover": lambda: called.append("recover"), "waiting": lambda _: child.kill()}
        with lease_first([Lane("0")], fake_engine, wait_seconds=300, **options):
            assert called == ["recover"]
    with lease_first([Lane("0")], fake_engine, wait_seconds=300, **options):
        assert called == ["recover"]


def test_a_dead_commands_container_that_stays_keeps_the_lane(fake_engine: FakeEngine) -> None:
    run_container(fake_engine, "0", replace(current_owner(), boot_id="another"))
    called: list[str] = []
    hold = lease_first([Lane("0")], fake_engine, recover=lambda: called.append("recover"))
    with pytest.raises(LaneBusy) as caught, hold:
        pass
    assert called == ["recover"]
    assert "its command is dead, and it cannot be removed" in caught.value.cause
    with lease("1", fake_engine):
        pass


def test_one_who_keeps_the_gate_shut_is_named(
    fake_engine: FakeEngine, lanes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("toolkit.lease._GATE_SECONDS", 0.05)
    with lease("1", fake_engine):
        pass
    descriptor = os.open(lanes / "gate.lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(LaneBusy) as caught, lease("0", fake_engine):
            pass
    finally:
        os.close(descriptor)
    assert f"kept shut by process {os.getpid()}" in caught.value.cause
    with lease("0", fake_engine):
        pass


def test_the_gate_is_open_while_a_lane_is_held(fake_engine: FakeEngine, lanes: Path) -> None:
    with lease("0", fake_engine):
        assert holders(lanes / "gate.lock") == []


def test_a_lock_file_is_never_seen_with_rights_that_keep_others_out(
    lanes: Path, fake_engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    link = os.link

    def look(source: Path, target: Path) -> None:
        seen.append(Path(source).stat().st_mode & 0o777)
        link(source, target)

    monkeypatch.setattr("os.link", look)
    former = os.umask(0o077)
    try:
        with lease("0", fake_engine):
            pass
    finally:
        os.umask(former)
    assert set(seen) == {0o666}
    assert {path.name for path in lanes.iterdir()} == {"cpu0.lock", "gate.lock"}
