"""What a machine consists of, as a frozen value: CPUs, cores, caches, nodes, classes. ``host.topology`` reads it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Groups = tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Topology:
    """One machine. ``cpus`` are those that this process may use; all other fields are about the whole machine.

    ``nodes`` holds the online CPUs of each memory node, also of those without any. A group that nobody recorded is
    taken for its simplest case: every CPU is a core of its own, the CPUs of a node share their last cache,
    all are of one class, every node has memory.

    ``cores`` are the hardware siblings, ``caches`` those behind one last-level cache, ``packages`` the sockets.
    ``classes`` are kinds of core that differ in speed, the fastest first, each with its name. ``memory_nodes`` are the
    nodes whose memory may be used; ``nearest`` says for every other one which of these serves its CPUs.
    ``present`` and ``online`` are the kernel's lists; ``isolated`` CPUs take no part in load balancing.
    """

    cpus: tuple[int, ...]
    nodes: Mapping[int, tuple[int, ...]]
    memory_bytes: int
    cores: Groups = ()
    caches: Groups = ()
    packages: Groups = ()
    classes: tuple[tuple[str, tuple[int, ...]], ...] = ()
    memory_nodes: tuple[int, ...] = ()
    nearest: Mapping[int, int] = field(default_factory=dict)
    present: tuple[int, ...] = ()
    online: tuple[int, ...] = ()
    isolated: tuple[int, ...] = ()
    nohz_full: tuple[int, ...] = ()

    @property
    def offline(self) -> tuple[int, ...]:
        """CPUs that are there and switched off."""
        return tuple(cpu for cpu in self.present if cpu not in self.online)

    def core_of(self, cpu: int) -> tuple[int, ...]:
        """The CPU and its hardware siblings, whether we may use them or not."""
        return _group(self.cores, cpu) or (cpu,)

    def cache_of(self, cpu: int) -> tuple[int, ...]:
        """The CPUs behind the same last-level cache."""
        return _group(self.caches, cpu) or self.nodes.get(self.node_of(cpu), ()) or (cpu,)

    def node_of(self, cpu: int) -> int:
        """The memory node that the CPU belongs to, whether it has memory or not."""
        return next((node for node, cpus in self.nodes.items() if cpu in cpus), min(self.nodes, default=0))

    def class_of(self, cpu: int) -> int:
        """The rank of the CPU's class: 0 is the fastest, and the only one on most machines."""
        return next((rank for rank, (_name, cpus) in enumerate(self.classes) if cpu in cpus), 0)

    def class_name(self, rank: int) -> str:
        """What the kernel calls that class; empty where there is but one."""
        return self.classes[rank][0] if len(self.classes) > 1 else ""

    def siblings(self, cpus: Iterable[int]) -> tuple[int, ...]:
        """The other hardware threads of the cores that these CPUs are on."""
        asked = set(cpus)
        return tuple(sorted({one for cpu in asked for one in self.core_of(cpu)} - asked))

    def usable_nodes(self) -> tuple[int, ...]:
        """The nodes whose memory may be used."""
        return self.memory_nodes or tuple(sorted(self.nodes))

    def mems_of(self, cpus: Iterable[int]) -> tuple[int, ...]:
        """The memory nodes that serve these CPUs: their own, or the nearest with memory."""
        usable = self.usable_nodes()
        own = {self.node_of(cpu) for cpu in cpus}
        return tuple(sorted({node if node in usable else self.nearest.get(node, usable[0]) for node in own}))


def _group(groups: Groups, cpu: int) -> tuple[int, ...]:
    return next((group for group in groups if cpu in group), ())
