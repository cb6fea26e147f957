"""CPUs and memory nodes of this machine, read in one thin function and decided on by pure ones.

Sources: ``/sys/devices/system/cpu/online``, ``/sys/devices/system/node/node*/cpulist`` (kernel
Documentation/ABI/stable/sysfs-devices-node), sched_getaffinity(2).
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import HostUnfit, UsageError
from toolkit.model.cpulist import format_cpulist, parse_cpulist


@dataclass(frozen=True)
class Topology:
    """Online CPUs and, per memory node, the CPUs it holds. A machine without NUMA has one node 0."""

    cpus: tuple[int, ...]
    nodes: dict[int, tuple[int, ...]]
    memory_bytes: int


def read_topology(root: Path = Path("/")) -> Topology:
    """Read the machine. Only CPUs that this process may use count: a container may see half the machine."""
    online = parse_cpulist((root / "sys/devices/system/cpu/online").read_text())
    allowed = os.sched_getaffinity(0) if root == Path("/") else set(online)
    cpus = tuple(cpu for cpu in online if cpu in allowed)
    nodes: dict[int, tuple[int, ...]] = {}
    for folder in sorted((root / "sys/devices/system/node").glob("node[0-9]*")):
        text = (folder / "cpulist").read_text().strip()
        nodes[int(folder.name[4:])] = parse_cpulist(text) if text else ()
    return Topology(cpus, nodes or {0: cpus}, _memory_bytes(root))


def _memory_bytes(root: Path) -> int:
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0


@dataclass(frozen=True)
class Placement:
    """Who runs where (kernel lists). ``shared``: somebody else had to be put on measured CPUs."""

    cpus: str
    mems: str
    agent_cpus: str
    backend_cpus: str
    housekeeping_cpus: str
    shared: bool


def place(topology: Topology, cpus_text: str, mems_text: str = "") -> Placement:
    """Measured CPUs as asked; agent, backend and host on the highest CPUs outside them, if there are any.

    Raises UsageError on a malformed list, HostUnfit on a CPU or node that is not here.
    """
    measured = _measured(topology, cpus_text)
    outside = [cpu for cpu in sorted(topology.cpus) if cpu not in measured]
    mems = _nodes(topology, measured, mems_text)
    if not outside:
        everything = format_cpulist(measured)
        return Placement(everything, mems, everything, everything, everything, shared=True)
    agent = outside[-1:]
    # The backend takes the next highest CPUs, at most as many as are measured; one is left for the host when possible.
    spare = outside[:-1]
    backend = spare[-min(len(measured), max(1, len(spare) - 1)) :] if spare else agent
    host = [cpu for cpu in outside if cpu not in backend] or outside
    return Placement(
        format_cpulist(measured),
        mems,
        format_cpulist(agent),
        format_cpulist(backend),
        format_cpulist(host),
        shared=False,
    )


def _measured(topology: Topology, text: str) -> tuple[int, ...]:
    try:
        wanted = parse_cpulist(text)
    except ValueError as problem:
        raise UsageError(
            f"--cpus '{text}' is not a list of CPU numbers",
            str(problem),
            f"give CPU numbers of this machine ({format_cpulist(topology.cpus)}), such as --cpus 0 or --cpus 0-3,6; "
            "--cpus 2 means CPU number 2, not two CPUs",
        ) from problem
    missing = [cpu for cpu in wanted if cpu not in topology.cpus]
    if missing:
        nearest = nearest_cpus(topology, wanted)
        raise HostUnfit(
            f"--cpus {text}: this machine has no CPU {format_cpulist(missing)}",
            f"the CPUs that can be used here are {format_cpulist(topology.cpus)}",
            f"the nearest set that exists is --cpus {format_cpulist(nearest)}",
        )
    return wanted


def nearest_cpus(topology: Topology, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """As many CPUs as were wanted, where there are so many: the wanted ones that exist, then the lowest others."""
    kept = [cpu for cpu in wanted if cpu in topology.cpus]
    others = [cpu for cpu in topology.cpus if cpu not in kept]
    count = min(len(wanted), len(topology.cpus))
    return tuple(sorted((kept + others)[:count]))


def _nodes(topology: Topology, measured: tuple[int, ...], text: str) -> str:
    if not text:
        own = [node for node, cpus in topology.nodes.items() if set(cpus) & set(measured)]
        return format_cpulist(own or list(topology.nodes)[:1])
    try:
        wanted = parse_cpulist(text)
    except ValueError as problem:
        raise UsageError(
            f"--mems '{text}' is not a list of memory nodes", str(problem), "for example --mems 0"
        ) from problem
    missing = [node for node in wanted if node not in topology.nodes]
    if missing:
        raise HostUnfit(
            f"--mems {text}: this machine has no memory node {format_cpulist(missing)}",
            f"its nodes are {format_cpulist(topology.nodes)}",
            "leave --mems out: the nodes of --cpus are taken",
        )
    return format_cpulist(wanted)
