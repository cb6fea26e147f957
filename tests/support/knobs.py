"""A machine made of files with a kernel behind it that behaves as the real one does; and a process that dies on it.

As a program it reads one job per line (JSON) and does each in a child of its own, which may be told to kill itself at
its n-th step: before, in the middle of and after every write of the journal and of a knob.
"""

from __future__ import annotations

import errno
import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest import mock

from toolkit import canonical
from toolkit.host.knobs import KNOBS, journal, knob, swap
from toolkit.host.knobs.tune import Outcome, tune, undo
from toolkit.host.property import Surroundings
from toolkit.host.topology import read_topology

CPU = "sys/devices/system/cpu"
THP = "sys/kernel/mm/transparent_hugepage"
REFUSING = "proc/irq/36/smp_affinity_list"
FILES = {
    f"{CPU}/online": "0-3",
    f"{CPU}/smt/control": "on",
    **{f"{CPU}/cpu{n}/topology/thread_siblings_list": f"{n % 2},{n % 2 + 2}" for n in range(4)},
    **{f"{CPU}/cpu{n}/online": "1" for n in (1, 2, 3)},
    "sys/devices/system/node/node0/cpulist": "0-3",
    "proc/meminfo": "MemTotal: 8388608 kB\nMemAvailable: 4194304 kB",
    "proc/swaps": "Filename\tType\tSize\tUsed\tPriority\n/dev/vda2  partition\t2048\t1024\t-2\n"
    "/swap\\040file  file\t4096\t0\t7\n/dev/zram0  partition\t2048\t0\t-3",
    "etc/fstab": "# a comment\n/swap\\040file none swap sw,discard=once,pri=7 0 0\nUUID=ab-12 none swap discard 0 0",
    "swap file": "",
    "dev/vda2": "",
    "dev/zram0": "",
    f"{THP}/enabled": "always [madvise] never",
    f"{THP}/defrag": "always defer defer+madvise [madvise] never",
    "proc/sys/kernel/numa_balancing": "1",
    "proc/sys/kernel/perf_event_max_sample_rate": "63000",
    "sys/kernel/mm/ksm/run": "1",
    "proc/irq/4/smp_affinity_list": "0-3",
    "proc/irq/5/smp_affinity_list": "3",
    "proc/irq/6/smp_affinity_list": "0",
    REFUSING: "0-3",
    "proc/irq/7/smp_affinity_list": "0-2",
    "proc/irq/7/affinity_hint": "00000000,0000000f",
    "proc/irq/4/affinity_hint": "00000000,00000000",
    **{f"sys/kernel/irq/{n}/actions": f"device{n}" for n in (4, 5, 6, 7, 36)},
    "sys/fs/cgroup/cpuset/cpuset.cpus": "0-3",
    "sys/fs/cgroup/cpuset/docker/cpuset.cpus": "0-3",
    "sys/fs/cgroup/cpuset/docker/web/cpuset.cpus": "2-3",
}


def make_machine(root: Path) -> Path:
    """Two cores with two threads each (0+2, 1+3), cgroup v1, three swap areas, one interrupt that cannot be moved."""
    for name, text in FILES.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    (root / "dev/disk/by-uuid").mkdir(parents=True)
    (root / "dev/disk/by-uuid/ab-12").symlink_to("../../vda2")
    return root


def state_of(root: Path) -> dict[str, str]:
    """Every file of the machine."""
    return {
        str(path.relative_to(root)): path.read_text()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.is_symlink()
    }


def areas(root: Path) -> set[tuple[str, str]]:
    """Device and priority of each swap area."""
    return {(line.split()[0], line.split()[-1]) for line in (root / "proc/swaps").read_text().splitlines()[1:]}


def assert_as_before(root: Path) -> None:
    """Every file as it was. Swap areas are listed in another order, and what was swapped out is back in memory."""
    found = state_of(root)
    assert {name: text for name, text in found.items() if name != "proc/swaps"} == {
        name: text + "\n" for name, text in FILES.items() if name != "proc/swaps"
    }
    assert areas(root) == {("/dev/vda2", "-2"), ("/swap\\040file", "7"), ("/dev/zram0", "-3")}


class Kernel:
    """Writes as the kernel takes them. ``asked`` are the swapon calls: device to flags."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.asked: dict[str, int] = {}

    def write(self, _around: Surroundings, path: str, value: str) -> None:
        """A value of sysfs, procfs or a cgroup."""
        if path == REFUSING:
            raise OSError(errno.EIO, "Input/output error")
        former = (self.root / path).read_text().strip()
        if "[" in former:
            words = [word.strip("[]") for word in former.split()]
            if value not in words:
                raise OSError(errno.EINVAL, "Invalid argument")
            self._put(path, " ".join(f"[{word}]" if word == value else word for word in words))
            return
        self._put(path, value)
        if match := re.fullmatch(f"{CPU}/cpu([0-9]+)/online", path):
            self._hotplug(int(match[1]), online=value == "1")

    def _hotplug(self, cpu: int, *, online: bool) -> None:
        """A CPU that goes takes its sibling's list, its place in every cpuset, and interrupts that were only there.

        One that comes gets back its place in the root cpuset and among siblings, nothing else.
        """
        here = {n for n in range(4) if n == 0 or self._get(f"{CPU}/cpu{n}/online") == "1"}
        self._put(f"{CPU}/online", knob_list(here))
        for n in range(4):
            self._put(f"{CPU}/cpu{n}/topology/thread_siblings_list", knob_list({n % 2, n % 2 + 2} & here))
        self._put("sys/fs/cgroup/cpuset/cpuset.cpus", knob_list(here))
        self._put("proc/irq/7/smp_affinity_list", knob_list(here))  # as virtio-net does: virtnet_set_affinity
        if online:
            return
        for path in (self.root / "sys/fs/cgroup/cpuset").rglob("*/cpuset.cpus"):
            cpus = set(numbers(path.read_text())) - {cpu}
            path.write_text((knob_list(cpus) if cpus else knob_list(here)) + "\n")
        for path in (self.root / "proc/irq").glob("*/smp_affinity_list"):
            if not set(numbers(path.read_text())) & here:
                path.write_text(knob_list(here) + "\n")

    def swapoff(self, device: str) -> None:
        """Takes its line away."""
        lines = self._get("proc/swaps").splitlines()
        kept = [line for line in lines if not line.startswith(device.replace(" ", "\\040") + " ")]
        if len(kept) == len(lines):
            raise OSError(errno.EINVAL, "Invalid argument")
        self._put("proc/swaps", "\n".join(kept))

    def swapon(self, device: str, flags: int) -> None:
        """Adds a line; without a priority the kernel counts down."""
        self.asked[device] = flags
        areas = swap.read_areas(self._get("proc/swaps"))
        lowest = min((one.priority for one in areas if one.priority < 0), default=-1)
        priority = flags & 0x7FFF if flags & 0x8000 else lowest - 1
        sizes = {"/dev/vda2": "partition\t2048\t0", "/swap file": "file\t4096\t0", "/dev/zram0": "partition\t2048\t0"}
        line = f"{device.replace(' ', chr(92) + '040')}  {sizes[device]}\t{priority}"
        self._put("proc/swaps", self._get("proc/swaps") + "\n" + line)

    def _get(self, path: str) -> str:
        return (self.root / path).read_text().strip()

    def _put(self, path: str, text: str) -> None:
        (self.root / path).write_text(text + "\n")


def numbers(text: str) -> tuple[int, ...]:
    """A kernel list."""
    return tuple(knob.parse_cpulist(text))


def knob_list(cpus: set[int]) -> str:
    """As the kernel writes it."""
    from toolkit.model.cpulist import format_cpulist

    return format_cpulist(cpus)


def around(root: Path, cpus: str = "0") -> Surroundings:
    """The surroundings on such a machine."""
    return Surroundings(topology=read_topology(root), runs=root, store=root, cpus=cpus, root=root, is_root=True)


def act(verb: str, root: Path, state: Path, kernel: Kernel | None = None, **options: Any) -> list[Outcome]:
    """``tune`` (every knob) or ``undo`` on a machine of files."""
    kernel = kernel or Kernel(root)
    with (
        mock.patch.object(knob, "write_value", kernel.write),
        mock.patch.object(swap, "swapon", kernel.swapon),
        mock.patch.object(swap, "swapoff", kernel.swapoff),
    ):
        if verb == "tune":
            return tune(around(root, **options), KNOBS, state)
        return undo(around(root), state, **options)


def _doomed(job: dict[str, Any]) -> None:
    """Do the job, and die at its n-th step (0: never)."""
    steps = 0

    def step() -> None:
        nonlocal steps
        steps += 1
        if steps == job["die_at"]:
            os.kill(os.getpid(), signal.SIGKILL)

    def around_it(function: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*arguments: Any, **options: Any) -> Any:
            step()
            result = function(*arguments, **options)
            step()
            return result

        return wrapped

    root = Path(job["root"])
    kernel = Kernel(root)
    for name in ("write", "swapon", "swapoff"):
        setattr(kernel, name, around_it(getattr(kernel, name)))
    with (
        mock.patch.object(journal, "write_atomic", around_it(journal.write_atomic)),
        mock.patch.object(canonical.os, "fsync", return_value=None),
        mock.patch.object(canonical.os, "replace", around_it(os.replace)),
        mock.patch.object(journal.Path, "unlink", around_it(Path.unlink)),
    ):
        act(job["verb"], root, Path(job["state"]), kernel)


def main() -> None:
    """One job per line; for each whether it ran to its end."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            _doomed(json.loads(line))
            os._exit(0)
        _pid, status = os.waitpid(child, 0)
        if os.WIFSIGNALED(status):
            assert os.WTERMSIG(status) == signal.SIGKILL
        print(json.dumps({"ended": not os.WIFSIGNALED(status), "code": status}), flush=True)


if __name__ == "__main__":
    main()
