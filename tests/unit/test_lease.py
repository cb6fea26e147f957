"""Lanes: exclusive CPUs between processes of one machine."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.engine.fake import FakeEngine
from toolkit.engine.port import LABEL_CPUS, LABEL_ROLE, LABEL_RUN
from toolkit.errors import HostUnfit, LaneBusy
from toolkit.lease import lease
from toolkit.model.container import ContainerSpec
from toolkit.owner import Owner, current_owner

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
        assert 0.3 <= time.monotonic() - began < 5
        assert child.stdin is not None
        child.stdin.close()
        with lease("0", fake_engine, wait_seconds=20):
            pass


def test_a_labelled_container_occupies_its_cpus(fake_engine: FakeEngine) -> None:
    run_container(fake_engine, "0-1", current_owner())
    with pytest.raises(LaneBusy, match="busy") as caught, lease("1", fake_engine):
        pass
    assert "run r1" in caught.value.cause
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
