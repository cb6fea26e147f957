"""Knobs of a machine of its own: siblings that go offline, swap, interrupts, kills, and a reboot in between."""

from __future__ import annotations

import json
import shlex
import time
from typing import Any

import pytest

from tests.engine.test_host_tune import DOOMED
from tests.support.lab import PLACE, Machine

pytestmark = pytest.mark.timeout(3600)
Json = dict[str, Any]
ONLINE = "/sys/devices/system/cpu/online"
# perf's rate is not among them: on a slow machine the kernel lowers it by itself.
LOOK = (
    "awk '{print $1, $2, $3, $5}' /proc/swaps; grep . /sys/kernel/mm/transparent_hugepage/enabled "
    "/sys/kernel/mm/transparent_hugepage/defrag /proc/sys/kernel/numa_balancing /sys/kernel/mm/ksm/run "
    f"{ONLINE} /proc/irq/*/smp_affinity_list /sys/fs/cgroup/*.slice/cpuset.cpus.effective"
)
SWAP = "/var/lab-swap"


def repro(machine: Machine, words: str, *, code: int = 0, program: str = "-m toolkit") -> str:
    """A command there; what it printed."""
    ended = machine.ssh(f"cd {PLACE}/sealbench && .venv/bin/python {program} {words}; echo code $?")
    printed, _, last = ended.stdout.rpartition("code ")
    assert int(last) == code, ended.stdout + ended.stderr
    return printed


def changes(machine: Machine, words: str) -> list[Json]:
    """What became of each value."""
    found: list[Json] = json.loads(repro(machine, f"host {words} --json"))["changes"]
    return found


def states(found: list[Json]) -> set[str]:
    """Without perf's."""
    return {one["state"] for one in found if one["knob"] != "perf"}


@pytest.fixture(scope="module")
def swapping(machine: Machine) -> Machine:
    """Two swap files that the boot switches on: one with a priority and a discard flag, one without."""
    for name, options in ((SWAP, "pri=7,discard=once"), (f"{SWAP}-2", "sw")):
        machine.ssh(f"dd if=/dev/zero of={name} bs=1M count=16 && chmod 600 {name} && mkswap {name}")
        machine.ssh(f"echo '{name} none swap {options} 0 0' >> /etc/fstab")
    machine.ssh("swapon -a")
    return machine


def test_the_sibling_goes_offline_and_comes_back_with_every_cpuset(swapping: Machine) -> None:
    before = swapping.ssh(LOOK).stdout
    siblings = swapping.ssh("cat /sys/devices/system/cpu/cpu0/topology/thread_siblings_list").stdout.strip()
    found = [one for one in changes(swapping, "tune --only smt --cpus 0") if one["target"].endswith("/online")]
    assert [one["state"] for one in found] == ["changed"]
    gone = found[0]["target"].split("/")[-2].removeprefix("cpu")
    assert gone in siblings.replace("-", ",").split(",")
    assert gone not in swapping.ssh(f"cat {ONLINE}").stdout.replace("-", ",").strip().split(",")
    assert states(changes(swapping, "undo")) <= {"restored", "as-before"}
    assert swapping.ssh(LOOK).stdout == before


def test_everything_is_tuned_and_put_back(swapping: Machine) -> None:
    before = swapping.ssh(LOOK).stdout
    assert SWAP in before
    found = changes(swapping, "tune --cpus 0")
    assert {"swap", "thp", "numa_balancing", "irq", "smt"} <= {
        one["knob"] for one in found if one["state"] == "changed"
    }
    assert SWAP not in swapping.ssh("cat /proc/swaps").stdout
    assert states(changes(swapping, "status")) == {"tuned"}
    assert "restored" in states(changes(swapping, "undo"))
    assert swapping.ssh(LOOK).stdout == before


@pytest.mark.parametrize("step", [1, 3, 6])
def test_killed_after_some_values_it_is_put_right(swapping: Machine, step: int) -> None:
    before = swapping.ssh(LOOK).stdout
    program = f"-c {shlex.quote(DOOMED)} {step}"
    repro(swapping, "host tune --cpus 0", code=137, program=program)
    assert swapping.ssh(LOOK).stdout != before
    assert states(changes(swapping, "undo")) <= {"restored", "as-before"}
    assert swapping.ssh(LOOK).stdout == before


def test_a_reboot_in_between_leaves_a_journal_that_can_be_closed(swapping: Machine) -> None:
    before = swapping.ssh(LOOK).stdout
    changes(swapping, "tune --cpus 0")
    # What the boot applies as we did it: still ours, so it is put back.
    swapping.ssh("echo kernel.numa_balancing=0 > /etc/sysctl.d/99-lab.conf")
    reboot(swapping)
    found = {one["target"]: one for one in changes(swapping, "status")}
    assert found["proc/sys/kernel/numa_balancing"]["state"] == "tuned"
    assert found[SWAP]["state"] == "as-before"
    done = {one["target"]: one["state"] for one in changes(swapping, "undo")}
    assert done["proc/sys/kernel/numa_balancing"] == "restored"
    swapping.ssh("rm /etc/sysctl.d/99-lab.conf; test ! -e /var/lib/sealbench/host-journal.json")
    after = swapping.ssh(LOOK).stdout
    # Interrupts get their CPUs anew at each boot; all else is as it was.
    assert [line for line in after.splitlines() if "/irq/" not in line and "cgroup" not in line] == [
        line for line in before.splitlines() if "/irq/" not in line and "cgroup" not in line
    ]


def reboot(machine: Machine) -> None:
    """Until the engine answers again: other tests use this machine, too."""
    boot = machine.ssh("cat /proc/sys/kernel/random/boot_id").stdout
    machine.ssh("systemctl reboot", check=False)
    for _ in range(120):
        time.sleep(5)
        ended = machine.ssh("cat /proc/sys/kernel/random/boot_id && docker info > /dev/null", check=False)
        if ended.returncode == 0 and ended.stdout != boot:
            return
    pytest.fail("the machine did not come back within 10 minutes")
