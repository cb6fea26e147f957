"""Limits that change while a launch runs: it is invalid, and says what, when, from, to, and who saw it.

``docker update``, somebody who writes the control group, a daemon that is reloaded, a program that does it to itself.
Windows are a second long, or longer where the machine is slow: what is done after one is seen at the end of the next.
"""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.support.altered import Altered, Bench, bench, broken, drifts, pace
from tests.support.faults_tool import CATALOGUE
from toolkit.engine.docker import DockerEngine
from toolkit.host.topology import read_topology
from toolkit.launch.judge import AttemptOutcome
from toolkit.lease import lease
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.readback.cgroup_view import cgroup_groups
from toolkit.readback.decide import order_of
from toolkit.readback.host_view import HostProbe, host_rows

pytestmark = pytest.mark.timeout(900)
Json = dict[str, Any]
CGROUPS = Path("/sys/fs/cgroup")
SYSTEMD = Path("/run/systemd/system")


@pytest.fixture(scope="module")
def lane(engine: DockerEngine) -> Iterator[None]:
    """CPU 0, for the whole file."""
    with lease("0", engine, wait_seconds=600):
        yield


@pytest.fixture(scope="module")
def null(engine: DockerEngine, lane: None, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The null SDK against the stub, with windows as short as this machine can do something in them."""
    runs = tmp_path_factory.mktemp("drift") / "runs"
    return bench(engine, runs, "net-http", warmup_seconds=0.0, window_seconds=pace())


@dataclass
class Acts:
    """One act after each window, in order; ``done`` says after which window each was.

    Windows end by the clock: where the host was so late that fewer of them are left than acts, it does several at once.
    """

    engine: Altered
    acts: dict[str, Callable[[str, int], None]]
    seconds: float
    windows: int
    done: dict[str, int] = field(default_factory=dict)
    began: float = 0.0

    def progress(self, text: str) -> None:
        """What the launch says: ``window 1 of 5`` comes after the first window was looked at."""
        said = text.rpartition(": ")[2]
        if said.startswith("measuring"):
            self.began = time.monotonic()
        waiting = [name for name in self.acts if name not in self.done]
        if not said.startswith("window "):
            return
        number = int(said.split()[1])
        over = max(number, math.ceil((time.monotonic() - self.began) / self.seconds))
        container = next(one for one, role in self.engine.roles.items() if role == "sdk")
        for name in waiting[: max(1, len(waiting) - max(self.windows - 1 - over, 0))]:
            self.acts[name](container, self.engine.state(container).pid)
            self.done[name] = number - 1


def disturbed(null: Bench, acts: dict[str, Callable[[str, int], None]]) -> tuple[AttemptOutcome, Acts]:
    """A launch with more windows than there are acts: on a busy machine the host looks late, and so acts late."""
    engine = Altered(null.engine)
    windows = 2 * len(acts) + 2
    hand = Acts(engine, acts, null.cell.window_seconds, windows)
    duration = null.cell.window_seconds * windows
    outcome = null.launch(engine, hand.progress, duration_seconds=duration)
    assert hand.done.keys() == acts.keys(), "it ended before everything was done"
    assert not outcome.valid
    return outcome, hand


def check(outcome: AttemptOutcome, row: str, window: int, before: str, after: str, *witnesses: str) -> None:
    """One row's drift: held until it was made, then seen by each of these, at the end of this window or later."""
    drift = drifts(outcome)[f"sdk {row}"]
    assert order_of(drift["when"]) >= order_of(f"window:{window}"), drift
    assert (drift["from"], drift["to"]) == (before, after)
    (told,) = [one for one in outcome.readback["containers"]["sdk"]["rows"] if one["id"] == row]
    assert {one["witness"] for one in told["broken"]} == set(witnesses), told
    assert str(outcome.error).count(f"sdk {row}") or f"sdk {row} did not hold" in str(outcome.result["invalid"])


def update(*options: str) -> Callable[[str, int], None]:
    """``docker update``, as anybody in its group may type it."""

    def act(container: str, _pid: int) -> None:
        done = subprocess.run(["docker", "update", *options, container], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    return act


def write(controller: str, v1: tuple[str, str], v2: tuple[str, str]) -> Callable[[str, int], None]:
    """Somebody beside the engine writes a file of the container's group."""

    def act(_container: str, pid: int) -> None:
        version, groups = cgroup_groups(Path(f"/proc/{pid}/cgroup"), CGROUPS)
        name, text = v1 if version == "v1" else v2
        (groups[controller].folder / name).write_text(text)

    return act


ALL = ("agent", "engine", "host")
KERNEL = ("agent", "host")
needs_two_cpus = pytest.mark.skipif(len(read_topology().cpus) < 2, reason="on one CPU nothing can be moved to another")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may write a group or move another user's threads")


@needs_two_cpus
def test_docker_update_is_named_with_when_from_and_to(null: Bench) -> None:
    asked = str(null.cell.memory_bytes)
    outcome, hand = disturbed(
        null,
        {
            "pids.limit": update("--pids-limit", "100"),
            "memory.limit_bytes": update("--memory", "256m", "--memory-swap", "256m"),
            "cpu.quota": update("--cpu-quota", "90000", "--cpu-period", "100000"),
            "container.cpuset": update("--cpuset-cpus", "0"),
        },
    )
    check(outcome, "pids.limit", hand.done["pids.limit"], "256", "100", *ALL)
    check(outcome, "memory.limit_bytes", hand.done["memory.limit_bytes"], asked, "268435456", *ALL)
    check(outcome, "cpu.quota", hand.done["cpu.quota"], "none", "90000/100000", *ALL)
    before = format_cpulist({*parse_cpulist(null.cell.cpus), *parse_cpulist(null.cell.agent_cpus)})
    check(outcome, "container.cpuset", hand.done["container.cpuset"], before, "0", *ALL)
    assert "backend" not in str(broken(outcome))  # nobody touched it


class Intruder:
    """A busy process that somebody puts into the SDK's container, as ``docker exec`` puts its own there."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None

    def enter(self, _container: str, pid: int) -> None:
        """Start it, in the groups of the container's first process, on the measured CPU."""
        _version, groups = cgroup_groups(Path(f"/proc/{pid}/cgroup"), CGROUPS)
        self._process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for folder in {group.folder for group in groups.values()}:
            (folder / "cgroup.procs").write_text(str(self._process.pid))
        os.sched_setaffinity(self._process.pid, {0})

    def leave(self, _container: str = "", _pid: int = 0) -> None:
        """End it; an empty group can be removed."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@needs_root
def test_a_process_that_is_put_into_the_container_is_named_and_its_time_is_foreign(null: Bench) -> None:
    intruder = Intruder()
    try:
        outcome, hand = disturbed(null, {"enter": intruder.enter, "stay": lambda *_: None, "leave": intruder.leave})
    finally:
        intruder.leave()
    named = [one["cause"] for one in outcome.result["invalid"] if "did not start" in one["cause"]]
    assert named, outcome.result["invalid"]
    assert all(one.startswith("sdk: at window:") for one in named)
    rows = outcome.ledger["windows"]
    # It came in the first of these and went after the last but one: how much of either it had is the machine's affair.
    beside = rows[hand.done["enter"] + 1 : hand.done["leave"] + 1]
    assert any("foreign_cpu_share" in {one["what"] for one in row["taints"]} for row in beside)
    # The container's own account has it as ours: what the program and its agent used is what tells it apart.
    assert max(row["foreign_cpu_seconds"] / row["seconds"] for row in beside) > 0.1


@needs_root
@needs_two_cpus
def test_a_writer_beside_the_engine_is_named_by_the_kernels_readers_alone(null: Bench) -> None:
    version = null.cgroup_version
    high = {"memory.high_bytes": write("memory", ("", ""), ("memory.high", "500M"))}
    swappiness = {"memory.swappiness": write("memory", ("memory.swappiness", "60"), ("", ""))}
    outcome, hand = disturbed(
        null,
        {
            "workload.affinity": lambda _container, pid: move(pid),
            "cpu.weight": write("cpu", ("cpu.shares", "512"), ("cpu.weight", "50")),
            # What a reload of systemd has done to live containers (moby#51446): no limit of swap any more.
            "memory.swap_bytes": write("memory", ("memory.memsw.limit_in_bytes", "-1"), ("memory.swap.max", "max")),
            **(swappiness if version == "1" else high),
        },
    )
    check(outcome, "cpu.weight", hand.done["cpu.weight"], "default", "512" if version == "1" else "50", *KERNEL)
    check(outcome, "memory.swap_bytes", hand.done["memory.swap_bytes"], "0", "max", *KERNEL)
    if version == "1":
        check(outcome, "memory.swappiness", hand.done["memory.swappiness"], "0", "60", *KERNEL)
    else:
        check(outcome, "memory.high_bytes", hand.done["memory.high_bytes"], "max", str(500 << 20), *KERNEL)
    moved = drifts(outcome)["sdk workload.affinity"]
    assert order_of(moved["when"]) >= order_of("window:0")
    assert moved["from"] == "0"
    assert "(thread " in moved["to"]


def move(pid: int) -> None:
    """One thread of the program may run wherever its container may."""
    (program, *_rest) = HostProbe(pid).descendants
    os.sched_setaffinity(program, range(os.cpu_count() or 1))


@pytest.mark.skipif(not SYSTEMD.exists(), reason="nothing reloads units here: systemd does not run")
def test_whatever_a_reload_of_the_daemon_changes_is_named(null: Bench) -> None:
    seen: list[dict[str, str | None]] = []

    def reload(_container: str, pid: int) -> None:
        probe = HostProbe(pid, cgroup_version=null.cgroup_version)
        seen.append(host_rows(probe))
        subprocess.run(["systemctl", "daemon-reload"], check=True)
        seen.append(host_rows(probe))

    engine = Altered(null.engine)
    hand = Acts(engine, {"reload": reload}, null.cell.window_seconds, 4)
    outcome = null.launch(engine, hand.progress, duration_seconds=4 * null.cell.window_seconds)
    changed = {row for row, value in seen[1].items() if seen[0].get(row) != value}
    assert {f"sdk {row}" for row in changed} <= broken(outcome)
    assert outcome.valid == (not broken(outcome)), outcome.result["invalid"]


@pytest.fixture(scope="module")
def misbehaving(engine: DockerEngine, lane: None, tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The fault catalogue's entry, which changes its own conditions two seconds after its start, or at once."""
    runs = tmp_path_factory.mktemp("misbehaving") / "runs"
    return bench(engine, runs, "misbehaving", CATALOGUE, warmup_seconds=0.0)


@needs_two_cpus
def test_122_a_program_that_resets_its_own_affinity_is_named(misbehaving: Bench) -> None:
    outcome = misbehaving.launch(environment={"GODEBUG": "misbehave=wander"}, duration_seconds=6.0)
    assert not outcome.valid
    drift = drifts(outcome)["sdk workload.affinity"]
    assert (drift["when"], drift["from"]) == ("end", "0"), drift
    assert set(drift["witnesses"]) == set(KERNEL)


def test_a_program_that_starts_itself_with_another_environment_is_named(misbehaving: Bench) -> None:
    outcome = misbehaving.launch(environment={"GODEBUG": "misbehave=disguise"})
    assert not outcome.valid
    (row,) = [one for one in outcome.readback["containers"]["sdk"]["rows"] if one["id"] == "workload.environment"]
    assert row["state"] == "broken"
    assert "agent" in {one["witness"] for one in row["broken"]}
    told = json.dumps([outcome.result["invalid"], outcome.readback])
    assert "DISGUISED" not in told  # digests, never what stands in it
