"""Machines that nobody has at hand, written down: as a ``Topology``, and as the files that the kernel would show.

machine = laptop()
machine.topology()              # what the reader must find
machine.write(tmp_path)         # the tree it is found in
machine.without(offline={3}).topology()
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

from toolkit.model.cpulist import format_cpulist
from toolkit.model.topology import Groups, Topology

GIB = 1 << 30


@dataclass(frozen=True)
class Thread:
    """One CPU: the core, package, L3 (None: no such cache) and memory node that it belongs to, and its class."""

    cpu: int
    core: int
    package: int = 0
    cache: int | None = 0
    node: int = 0
    kind: str = ""


@dataclass(frozen=True)
class Machine:
    """All of it. ``allowed``: what our cgroup leaves us; None for everything. ``memory``: nodes with memory."""

    threads: tuple[Thread, ...]
    memory: tuple[int, ...] = (0,)
    bare_nodes: tuple[int, ...] = ()
    offline: frozenset[int] = frozenset()
    isolated: frozenset[int] = frozenset()
    allowed: frozenset[int] | None = None
    allowed_memory: tuple[int, ...] | None = None
    distances: dict[int, tuple[int, ...]] = field(default_factory=dict)
    cgroup: int = 2

    def without(self, offline: Iterable[int] = (), isolated: Iterable[int] = ()) -> Machine:
        """The same with CPUs switched off or isolated."""
        return replace(self, offline=frozenset(offline), isolated=frozenset(isolated))

    def seen_by(self, allowed: Iterable[int]) -> Machine:
        """The same from inside a container that is given some of it."""
        return replace(self, allowed=frozenset(allowed))

    @property
    def online(self) -> tuple[Thread, ...]:
        return tuple(one for one in self.threads if one.cpu not in self.offline)

    @property
    def nodes(self) -> tuple[int, ...]:
        return tuple(sorted({one.node for one in self.threads} | {*self.memory, *self.bare_nodes}))

    def _groups(self, key: Callable[[Thread], Hashable]) -> Groups:
        found: dict[Hashable, list[int]] = {}
        for one in self.online:
            found.setdefault(key(one), []).append(one.cpu)
        return tuple(sorted(tuple(sorted(group)) for group in found.values()))

    def _usable_memory(self) -> tuple[int, ...]:
        allowed = self.memory if self.allowed_memory is None else self.allowed_memory
        return tuple(node for node in self.memory if node in allowed)

    def topology(self) -> Topology:
        """What there is to know about it."""
        online = tuple(sorted(one.cpu for one in self.online))
        usable = self._usable_memory()
        kinds = sorted({one.kind for one in self.online}, key=("P", "E", "LP", "").index)
        return Topology(
            cpus=tuple(cpu for cpu in online if self.allowed is None or cpu in self.allowed),
            nodes={node: tuple(one.cpu for one in self.online if one.node == node) for node in self.nodes},
            memory_bytes=64 * GIB,
            cores=self._groups(lambda one: (one.package, one.core)),
            caches=self._groups(lambda one: one.package if one.cache is None else (one.package, one.cache)),
            packages=self._groups(lambda one: one.package),
            classes=tuple((kind, tuple(one.cpu for one in self.online if one.kind == kind)) for kind in kinds)
            if len(kinds) > 1
            else (),
            memory_nodes=usable,
            nearest={node: self._nearest(node, usable) for node in self.nodes if node not in usable},
            present=tuple(sorted(one.cpu for one in self.threads)),
            online=online,
            isolated=tuple(sorted(self.isolated)),
        )

    def _nearest(self, node: int, usable: tuple[int, ...]) -> int:
        row = dict(zip(self.nodes, self._distances(node), strict=True))
        return min(usable, key=lambda one: (row[one], one))

    def _distances(self, node: int) -> tuple[int, ...]:
        return self.distances.get(node) or tuple(10 if other == node else 20 for other in self.nodes)

    def files(self) -> dict[str, str]:
        """What the kernel shows of it, path to content."""
        cpu, node = "sys/devices/system/cpu", "sys/devices/system/node"
        here = self.topology()
        found = {
            f"{cpu}/present": format_cpulist(here.present),
            f"{cpu}/online": format_cpulist(here.online),
            f"{cpu}/isolated": format_cpulist(self.isolated),
            f"{cpu}/nohz_full": "(null)",
            f"{node}/has_memory": format_cpulist(self.memory),
            "proc/meminfo": f"MemTotal: {here.memory_bytes // 1024} kB",
        }
        for number in self.nodes:
            found[f"{node}/node{number}/cpulist"] = format_cpulist(here.nodes[number])
            found[f"{node}/node{number}/distance"] = " ".join(map(str, self._distances(number)))
        for kind, folder in (("P", "cpu_core"), ("E", "cpu_atom"), ("LP", "cpu_lowpower")):
            of_kind = [one.cpu for one in self.online if one.kind == kind]
            found |= {f"sys/devices/{folder}/cpus": format_cpulist(of_kind)} if of_kind else {}
        for one in self.online:
            found |= self._cpu_files(f"{cpu}/cpu{one.cpu}", one)
        return found | self._cgroup_files()

    def _cpu_files(self, folder: str, one: Thread) -> dict[str, str]:
        siblings = [other.cpu for other in self.online if (other.package, other.core) == (one.package, one.core)]
        found = {
            f"{folder}/topology/thread_siblings_list": format_cpulist(siblings),
            f"{folder}/topology/physical_package_id": str(one.package),
            f"{folder}/cache/index2/shared_cpu_list": format_cpulist(siblings),
        }
        if one.cache is not None:
            behind = [other.cpu for other in self.online if (other.package, other.cache) == (one.package, one.cache)]
            found[f"{folder}/cache/index3/shared_cpu_list"] = format_cpulist(behind)
        return found

    def _cgroup_files(self) -> dict[str, str]:
        if self.allowed is None and self.allowed_memory is None:
            return {}
        cpus = format_cpulist(self.topology().online if self.allowed is None else self.allowed)
        mems = format_cpulist(self._usable_memory())
        if self.cgroup == 1:
            top = "sys/fs/cgroup/cpuset/box"
            return {
                "proc/self/cgroup": "4:memory:/\n3:cpuset:/box\n0::/",
                f"{top}/cpuset.cpus": cpus,
                f"{top}/cpuset.effective_cpus": cpus,
                f"{top}/cpuset.mems": mems,
            }
        top = "sys/fs/cgroup"  # a container's own namespace: the path that is named is not there
        return {
            "proc/self/cgroup": "0::/box/ours",
            f"{top}/cpuset.cpus.effective": cpus,
            f"{top}/cpuset.mems.effective": mems,
        }

    def write(self, root: Path) -> Path:
        """These files below a folder."""
        for name, text in self.files().items():
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text(text + "\n")
        return root


def uniform(cores: int, *, smt: int = 1, caches: int = 1, nodes: int = 1, packages: int = 1) -> Machine:
    """Equal cores in equal caches, nodes and packages; sibling threads numbered a whole machine apart, as x86 does."""

    def thread(core: int, sibling: int) -> Thread:
        package = core * packages // cores
        return Thread(core + sibling * cores, core, package, core * caches // cores, core * nodes // cores)

    threads = tuple(thread(core, sibling) for sibling in range(smt) for core in range(cores))
    return Machine(threads, memory=tuple(range(nodes)))


def laptop() -> Machine:
    """6 P cores of two threads, 8 E cores of one, one L3: threads of a core are neighbours in number."""
    fast = [Thread(2 * core + sibling, core, kind="P") for core in range(6) for sibling in (0, 1)]
    slow = [Thread(12 + core, 100 + core, kind="E") for core in range(8)]
    return Machine((*fast, *slow))


def epyc(*, smt: int = 2) -> Machine:
    """Two sockets, a node each, 8 L3 domains of 8 cores in each."""
    return uniform(128, smt=smt, caches=16, nodes=2, packages=2)


def clustered() -> Machine:
    """Sub-NUMA clustering: one socket and L3, two nodes in it."""
    return uniform(16, smt=2, caches=1, nodes=2)


def sparse() -> Machine:
    """Numbers with holes, from a machine whose firmware counts so; some cores without their sibling."""
    cores = [(0, 1), (4, 5), (8, 9), (12, 13), (16, 17), (20, 21), (32, 33), (36, 37)]
    threads = tuple(Thread(cpu, number) for number, core in enumerate(cores) for cpu in core)
    return Machine(threads, offline=frozenset({5, 20, 21}))


def half() -> Machine:
    """A container with the first half of an 8-core machine, siblings and all, and with one of its two nodes."""
    machine = uniform(8, smt=2, caches=2, nodes=2).seen_by({0, 1, 2, 3, 8, 9, 10, 11})
    return replace(machine, allowed_memory=(0,))


def first_threads() -> Machine:
    """A container with the first thread of every core: whole cores it has none."""
    return uniform(4, smt=2).seen_by({0, 1, 2, 3})


def with_memory_node() -> Machine:
    """Two nodes with CPUs, a third of memory alone (CXL)."""
    return replace(uniform(8, caches=2, nodes=2), memory=(0, 1, 2))


def without_memory() -> Machine:
    """Four nodes with CPUs, of which 1 and 3 have no memory (a Threadripper in an odd mode): 3 is nearest to 2."""
    machine = uniform(8, caches=4, nodes=4)
    return replace(machine, memory=(0, 2), distances={1: (16, 10, 28, 28), 3: (28, 28, 16, 10)})


MACHINES: dict[str, Callable[[], Machine]] = {
    "one CPU": lambda: uniform(1),
    "two CPUs": lambda: uniform(2),
    "two threads": lambda: uniform(1, smt=2),
    "laptop": laptop,
    "epyc": epyc,
    "epyc without SMT": lambda: epyc(smt=1),
    "sub-NUMA clusters": clustered,
    "sparse": sparse,
    "half a machine": half,
    "half a machine, version 1": lambda: replace(half(), cgroup=1),
    "first threads": first_threads,
    "memory-only node": with_memory_node,
    "nodes without memory": without_memory,
    "no L3": lambda: Machine(tuple(Thread(cpu, cpu, cpu // 2, None) for cpu in range(4))),
    "lab": lambda: uniform(8, caches=2, nodes=2, packages=2),
}
