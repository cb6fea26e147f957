"""CPUs and memory nodes of this machine, read in one thin pass; decisions on them: ``placement``, ``allocate``.

Sources: Documentation/ABI/stable/sysfs-devices-node and sysfs-devices-system-cpu of the kernel, its
admin-guide/cputopology.rst, cpuset(7) and cgroups(7) for what this process is confined to, sched_getaffinity(2).
Every path is taken below a root, so that a recorded or made-up machine is read by the same code.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from toolkit.host.placement import Placement, nearest_cpus, place
from toolkit.model.cpulist import parse_cpulist
from toolkit.model.topology import Groups, Topology

__all__ = ["Placement", "Topology", "nearest_cpus", "place", "read_topology"]

_CPU = "sys/devices/system/cpu"
_NODE = "sys/devices/system/node"
_CGROUP = "sys/fs/cgroup"
# The names that x86 gives its hybrid core types (arch/x86/events/intel/core.c), the fastest first.
_HYBRID = (("P", "cpu_core"), ("E", "cpu_atom"), ("LP", "cpu_lowpower"))
# Favoured cores of one class differ by up to a tenth (Turbo Boost Max, preferred cores), classes by a fifth and more.
_SAME_CLASS = 0.85


def read_topology(root: Path = Path("/")) -> Topology:
    """Read the machine. Only CPUs that this process may use count: a container may see half the machine."""
    online = _list(root / _CPU / "online")
    nodes = {
        int(folder.name[4:]): _list(folder / "cpulist") for folder in sorted((root / _NODE).glob("node[0-9]*"))
    } or {0: online}
    memory = _memory_nodes(root, nodes)
    cores, packages = _siblings(root, online), _packages(root, online)
    return Topology(
        cpus=_allowed(root, online),
        nodes=dict(sorted(nodes.items())),
        memory_bytes=_memory_bytes(root),
        cores=cores,
        caches=_caches(root, online, cores, packages),
        packages=packages,
        classes=_classes(root, online),
        memory_nodes=memory,
        nearest={node: _nearest(root, node, memory) for node in nodes if node not in memory},
        present=_list(root / _CPU / "present") or online,
        online=online,
        isolated=_list(root / _CPU / "isolated"),
        nohz_full=_list(root / _CPU / "nohz_full"),
    )


def _text(path: Path) -> str:
    """A small file, stripped; empty where there is none (older kernels, other architectures, masked paths)."""
    try:
        return path.read_text().strip()
    except OSError:
        return ""


def _list(path: Path) -> tuple[int, ...]:
    """A kernel list; empty for an empty or missing file and for ``(null)``, which nohz_full says for none."""
    text = _text(path)
    return parse_cpulist(text) if text[:1].isdecimal() else ()


def _groups(cpus: Iterable[int], key: Callable[[int], object]) -> Groups:
    """The CPUs by what they have in common, each group sorted, the groups by their first CPU."""
    found: dict[object, list[int]] = {}
    for cpu in sorted(cpus):
        found.setdefault(key(cpu), []).append(cpu)
    return tuple(sorted(tuple(group) for group in found.values()))


def _siblings(root: Path, online: tuple[int, ...]) -> Groups:
    """Hardware threads by core. ``core_cpus_list`` is the newer name of ``thread_siblings_list``."""

    def core(cpu: int) -> tuple[int, ...]:
        folder = root / _CPU / f"cpu{cpu}" / "topology"
        return _list(folder / "thread_siblings_list") or _list(folder / "core_cpus_list") or (cpu,)

    return _groups(online, core)


def _packages(root: Path, online: tuple[int, ...]) -> Groups:
    return _groups(online, lambda cpu: _text(root / _CPU / f"cpu{cpu}" / "topology/physical_package_id"))


def _caches(root: Path, online: tuple[int, ...], cores: Groups, packages: Groups) -> Groups:
    """CPUs behind one L3. Without one: the largest cache that more than one core shares, else the package's CPUs.

    A private L2 tells nothing about neighbours: taken for a domain it would make every core its own.
    """
    core_of = {cpu: core for core in cores for cpu in core}
    package_of = {cpu: package for package in packages for cpu in package}

    def domain(cpu: int) -> tuple[int, ...]:
        folder = root / _CPU / f"cpu{cpu}" / "cache"
        third = _list(folder / "index3/shared_cpu_list")
        if third:
            return third
        others = [_list(path / "shared_cpu_list") for path in folder.glob("index[0-9]*")]
        shared = [cpus for cpus in others if set(cpus) - set(core_of[cpu])]
        return max(shared, key=len, default=package_of[cpu])

    return _groups(online, domain)


def _classes(root: Path, online: tuple[int, ...]) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Kinds of core, the fastest first: as x86 names them, else by capacity, else by highest frequency."""
    named = [(name, _list(root / "sys/devices" / folder / "cpus")) for name, folder in _HYBRID]
    named = [(name, tuple(cpu for cpu in cpus if cpu in online)) for name, cpus in named]
    named = [(name, cpus) for name, cpus in named if cpus]
    if len(named) > 1:
        return tuple(named)
    for file, name in (("cpu_capacity", "capacity"), ("cpufreq/cpuinfo_max_freq", "frequency")):
        speeds = {cpu: int(_text(root / _CPU / f"cpu{cpu}" / file) or 0) for cpu in online}
        if all(speeds.values()) and len(ranked := _ranked(speeds)) > 1:
            return tuple((f"{name} {max(speeds[cpu] for cpu in group)}", group) for group in ranked)
    return ()


def _ranked(speeds: Mapping[int, int]) -> list[tuple[int, ...]]:
    """CPUs by speed, the fastest first; a class holds all that come close to its fastest member."""
    found: list[list[int]] = []
    fastest = 0
    for cpu in sorted(speeds, key=lambda one: (-speeds[one], one)):
        if not found or speeds[cpu] < _SAME_CLASS * fastest:
            found.append([])
            fastest = speeds[cpu]
        found[-1].append(cpu)
    return [tuple(sorted(group)) for group in found]


def _allowed(root: Path, online: tuple[int, ...]) -> tuple[int, ...]:
    """Online CPUs within our cgroup's set and our own affinity."""
    confined = set(_confined(root, ("cpuset.cpus.effective", "cpuset.effective_cpus", "cpuset.cpus"))) or set(online)
    return tuple(cpu for cpu in online if cpu in confined & _affinity(root, online))


def _affinity(root: Path, online: tuple[int, ...]) -> set[int]:
    if root == Path("/"):
        return os.sched_getaffinity(0)
    for line in _text(root / "proc/self/status").splitlines():
        if line.startswith("Cpus_allowed_list:"):
            return set(parse_cpulist(line.partition(":")[2]))
    return set(online)


def _confined(root: Path, names: tuple[str, ...]) -> tuple[int, ...]:
    """What the cpuset of our own cgroup says: version 2 in one tree, version 1 in the tree of that controller.

    A container's view may lack the path that ``/proc/self/cgroup`` names: then the nearest parent that is there.
    """
    for line in _text(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            tops = (root / _CGROUP, root / _CGROUP / "unified")
        elif "cpuset" in controllers.split(","):
            tops = (root / _CGROUP / "cpuset", root / _CGROUP / controllers)
        else:
            continue
        for top in tops:
            below = top / path.lstrip("/")
            for folder in (below, *below.parents):
                if not folder.is_relative_to(top):
                    break
                if found := next((cpus for name in names if (cpus := _list(folder / name))), ()):
                    return found
    return ()


def _memory_nodes(root: Path, nodes: Mapping[int, tuple[int, ...]]) -> tuple[int, ...]:
    """Nodes that have memory and that our cgroup may use; all of them where nothing is said."""
    told = _list(root / _NODE / "has_memory") or _list(root / _NODE / "has_normal_memory") or tuple(nodes)
    confined = _confined(root, ("cpuset.mems.effective", "cpuset.effective_mems", "cpuset.mems")) or told
    return tuple(sorted(node for node in nodes if node in told and node in confined)) or tuple(sorted(nodes))


def _nearest(root: Path, node: int, memory: tuple[int, ...]) -> int:
    """The memory node at the least distance (SLIT, ``distance``), the lowest of several; the file is in node order."""
    numbers = [int(word) for word in _text(root / _NODE / f"node{node}" / "distance").split()]
    places = sorted(int(folder.name[4:]) for folder in (root / _NODE).glob("node[0-9]*"))
    distances = dict(zip(places, numbers, strict=False))
    return min(memory, key=lambda one: (distances.get(one, 255), one))


def _memory_bytes(root: Path) -> int:
    for line in _text(root / "proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            return int(line.split()[1]) * 1024
    return 0
