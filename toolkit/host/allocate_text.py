"""What is said about lanes: why these CPUs, what was relaxed, what is there where nothing fits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from toolkit.host.cores import Core, Cores, Wanted, remote
from toolkit.host.placement import Placement
from toolkit.model.cpulist import format_cpulist
from toolkit.model.topology import Topology


def why_measured(topology: Topology, lane: Cores, pool: Sequence[Core], wanted: Wanted) -> Iterator[str]:
    """Why these measured CPUs."""
    name = topology.class_name(pool[0].kind)
    threads = "all threads of each" if wanted.threads == "all" else "one thread of each"
    kind = f" of class {name}" if name else ""
    yield f"{count_of(len(lane.measured))}{kind}, {threads}, of {len(pool)} that could be measured on"
    caches = {core.cache for core in lane.measured}
    if len(caches) == 1:
        yield f"one last-level cache: CPUs {format_cpulist(next(iter(caches)))}"
    else:
        yield f"relaxed: {len(caches)} last-level caches, because none has {count_of(len(lane.measured))} for each lane"
    if remote(lane.measured):
        first = lane.measured[0]
        yield f"memory node {format_cpulist(first.mems)}: the nearest to node {first.node}, which has none we may use"


def why_around(lane: Cores, placement: Placement, keeping: tuple[int, ...], count: int) -> Iterator[str]:
    """Why agent, backend and host program are where they are."""
    whose = "host program and agents" if count == 1 else "host programs and agents of all lanes"
    yield f"kept for {whose}: CPU {format_cpulist(keeping)}"
    if not lane.backend:
        yield f"relaxed: the backend shares CPU {placement.backend_cpus} with them: no core is left for it alone"
    elif len(lane.backend) < len(lane.measured):
        yield f"relaxed: the backend has {count_of(len(lane.backend))} of its own, fewer than are measured"
    if lane.backend and {core.node for core in lane.backend} != {lane.measured[0].node}:
        yield f"relaxed: the backend is on memory node {lane.backend[0].node}, because the lane's own has no room"


def count_of(count: int) -> str:
    """``1 core``, ``2 cores``."""
    return "1 core" if count == 1 else f"{count} cores"


def asked(wanted: Wanted) -> str:
    """The options that say so."""
    words = [f"--cores {wanted.cores}"] if wanted.cores is not None else []
    words += [f"--lanes {wanted.lanes}"] if wanted.lanes is not None else []
    words += [f"--threads-per-core {wanted.threads}"] if wanted.threads != "1" else []
    return " ".join([*words, *([f"--mems {wanted.mems}"] if wanted.mems else [])])


def inventory(topology: Topology, cores: Sequence[Core]) -> str:
    """Whole cores by class and memory node."""
    if not cores:
        return "no core may be used whole"
    found: dict[tuple[int, int], int] = {}
    for core in cores:
        found[core.kind, core.node] = found.get((core.kind, core.node), 0) + 1
    parts = [
        f"{count_of(count)} {f'of class {name} ' if (name := topology.class_name(kind)) else ''}on node {node}"
        for (kind, node), count in sorted(found.items())
    ]
    return "there are " + ", ".join(parts) if len(cores) > 1 else f"there is {parts[0]}"


def left_out(topology: Topology, cores: Sequence[Core]) -> str:
    """CPUs that may be used and belong to no core that could be taken whole, and why."""
    whole = {cpu for core in cores for cpu in core.cpus}
    isolated = [cpu for cpu in topology.cpus if cpu in topology.isolated]
    split = [cpu for cpu in topology.cpus if cpu not in whole and cpu not in isolated]
    words = [f"isolated CPUs {format_cpulist(isolated)}"] if isolated else []
    words += [f"CPUs {format_cpulist(split)} (a hardware sibling is beyond our reach or isolated)"] if split else []
    return ", ".join(words)
