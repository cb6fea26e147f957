"""``--cpus``, ``--cores``, ``--lanes``: three ways to say where, of which a command is given one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.host.placement import Placement
    from toolkit.launch.prepare import World
    from toolkit.model.plan import CellPlan
    from toolkit.model.topology import Topology
    from toolkit.output import Output

Seated = TypeVar("Seated", "Placement", "CellPlan")
"""Whatever says who sits where."""


@dataclass(frozen=True)
class Where:
    """What the user said about CPUs and memory nodes."""

    cpus: str
    mems: str = ""
    cores: int | None = None
    lanes: int | None = None
    threads_per_core: str = "1"


def of_machine(root: Path | None) -> Topology:
    """This machine, or another whose ``/sys`` and ``/proc`` lie below a folder. Raises UsageError when they do not."""
    from toolkit.host.topology import read_topology

    if root is None:
        return read_topology()
    try:
        found = read_topology(root)
    except (OSError, ValueError) as problem:
        raise _no_machine(root, str(problem)) from problem
    if not found.cpus:
        raise _no_machine(root, "no CPU is in sys/devices/system/cpu/online, or none that the recorder could use")
    return found


def _no_machine(root: Path, why: str) -> UsageError:
    return UsageError(
        f"--machine {root.name}: no machine is recorded there",
        why,
        "copy it there: cp -r --parents /sys/devices/system/cpu /sys/devices/system/node /proc/meminfo DIR",
    )


def placements(topology: Topology, where: Where) -> tuple[Placement, ...]:
    """The lanes that a launch may take, in the order in which it tries them; one unless ``--lanes`` was given.

    Raises UsageError when nothing or too much was said, and what ``place`` and ``choose`` raise.
    """
    from toolkit.host.allocate import Wanted, choose
    from toolkit.host.placement import place

    counted = where.cores is not None or where.lanes is not None
    if where.cpus and counted:
        raise UsageError(
            "--cpus does not go with --cores or --lanes",
            "--cpus names the measured CPUs, the others let them be chosen",
            "leave one out",
        )
    if where.threads_per_core != "1" and not counted:
        raise UsageError("--threads-per-core needs --cores or --lanes", "it is about cores that are chosen", "add one")
    if counted:
        return choose(topology, Wanted(where.cores, where.lanes, where.threads_per_core, where.mems))
    if not where.cpus:
        raise UsageError(
            "nobody said where to measure",
            "one of --cpus LIST, --cores N and --lanes N is needed",
            "for example --cpus 0 (CPU number 0) or --cores 1 (a core that is chosen)",
        )
    return (place(topology, where.cpus, where.mems),)


@contextmanager
def leased(world: World, seats: Sequence[Seated], wait_seconds: float, output: Output) -> Iterator[Seated]:
    """Lease the first of these lanes that is free; which it is. Raises LaneBusy, HostUnfit."""
    from toolkit.launch.prepare import recover
    from toolkit.lease import Lane, lease_first

    lanes = [Lane(one.cpus, idle=one.idle_cpus, shared=f"{one.agent_cpus},{one.backend_cpus}") for one in seats]
    hold = lease_first(
        lanes,
        world.engine,
        wait_seconds=wait_seconds,
        recover=lambda: recover(world),
        waiting=lambda holder: output.talk(f"waiting for a lane: {holder}"),
        topology=world.topology,
    )
    with hold as index:
        yield seats[index]
