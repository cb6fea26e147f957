"""Whole cores as the allocator sees them, and what is wished for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

from toolkit.model.topology import Topology

ThreadsPerCore = Literal["1", "all"]
THREADS_PER_CORE = get_args(ThreadsPerCore)


@dataclass(frozen=True)
class Wanted:
    """What the user said. ``cores``: measured cores of a lane; None: as many as fit. ``mems``: only cores of these."""

    cores: int | None = None
    lanes: int | None = None
    threads: str = "1"
    mems: str = ""

    @property
    def count(self) -> int:
        """How many lanes."""
        return self.lanes or 1


@dataclass(frozen=True)
class Core:
    """One whole core that may be used: its CPUs, the rank of its class, the CPUs behind its last-level cache, its
    memory node, and the nodes that serve it.
    """

    cpus: tuple[int, ...]
    kind: int
    cache: tuple[int, ...]
    node: int
    mems: tuple[int, ...]


@dataclass(frozen=True)
class Cores:
    """The cores of one lane: the measured ones, and the backend's own, if any."""

    measured: tuple[Core, ...]
    backend: tuple[Core, ...]


def whole_cores(topology: Topology) -> tuple[Core, ...]:
    """Cores of which every online thread may be used and none is isolated, by their first CPU."""
    usable = set(topology.cpus) - set(topology.isolated)
    groups = sorted({topology.core_of(cpu) for cpu in topology.cpus})
    return tuple(
        Core(
            cpus,
            topology.class_of(cpus[0]),
            topology.cache_of(cpus[0]),
            topology.node_of(cpus[0]),
            topology.mems_of(cpus),
        )
        for cpus in groups
        if set(cpus) <= usable
    )


def domains(pool: Sequence[Core], *, one_cache: bool) -> dict[tuple[object, ...], list[Core]]:
    """Cores by memory node, and by last-level cache within it."""
    found: dict[tuple[object, ...], list[Core]] = {}
    for core in pool:
        found.setdefault((core.node, core.cache) if one_cache else (core.node,), []).append(core)
    return found


def remote(cores: Sequence[Core]) -> bool:
    """Whether the memory of these cores, of one node, is another node's."""
    return bool(cores) and cores[0].mems != (cores[0].node,)
