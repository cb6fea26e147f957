"""Which CPUs to measure on when the user says how many (``--cores N``, ``--lanes N``): pure, the same each time.

    lanes = choose(read_topology(), Wanted(cores=2, lanes=3))
    lanes[0].cpus, lanes[0].idle_cpus, lanes[0].backend_cpus

A lane is made of whole cores. What may never be broken: a core is used whole or not at all, one class of core, one
memory node, nothing isolated, nothing outside the CPUs that this process may use. What is given up in this order, and
said: a backend as large as the measured set, a backend with cores of its own, one last-level cache. The model is the
core assignment of BenchExec (benchexec/resources.py; Beyer, Loewe and Wendler, STTT 2019), which splits cores between
runs when it must.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, get_args

from toolkit.errors import HostUnfit, UsageError
from toolkit.host.placement import Placement, named_nodes
from toolkit.model.cpulist import format_cpulist
from toolkit.model.topology import Topology

ThreadsPerCore = Literal["1", "all"]
THREADS_PER_CORE = get_args(ThreadsPerCore)

_LANES_PER_HOUSEKEEPING_CORE = 8  # a host program and two agents take about a twentieth of a core together


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
class _Core:
    """One whole core that may be used."""

    cpus: tuple[int, ...]
    kind: int
    cache: tuple[int, ...]
    node: int
    mems: tuple[int, ...]


@dataclass(frozen=True)
class _Shape:
    """One thing to try: ``cores`` measured behind one cache or on one node, ``backend`` cores of each lane's own."""

    cores: int
    backend: int
    one_cache: bool


@dataclass(frozen=True)
class _Lane:
    measured: tuple[_Core, ...]
    backend: tuple[_Core, ...]


def choose(topology: Topology, wanted: Wanted) -> tuple[Placement, ...]:
    """All lanes, the first of which a launch takes when it is free.

    Raises UsageError on numbers that mean nothing; HostUnfit, with what is there and what would fit.
    """
    _check(wanted)
    nodes = named_nodes(topology, wanted.mems)
    cores = whole_cores(topology)
    found = _search(topology, cores, nodes, wanted)
    if not found:
        raise _refusal(topology, cores, nodes, wanted)
    return found


def _check(wanted: Wanted) -> None:
    for option, value in (("--cores", wanted.cores), ("--lanes", wanted.lanes)):
        if value is not None and value < 1:
            raise UsageError(f"{option} {value} means nothing", "it must be at least 1", f"for example {option} 1")
    if wanted.threads not in THREADS_PER_CORE:
        raise UsageError(
            f"--threads-per-core {wanted.threads} means nothing",
            "it is 1 (one thread of each core, its siblings idle) or all",
            "leave it out for 1",
        )


def whole_cores(topology: Topology) -> tuple[_Core, ...]:
    """Cores of which every online thread may be used and none is isolated, by their first CPU."""
    usable = set(topology.cpus) - set(topology.isolated)
    groups = sorted({topology.core_of(cpu) for cpu in topology.cpus})
    return tuple(
        _Core(
            cpus,
            topology.class_of(cpus[0]),
            topology.cache_of(cpus[0]),
            topology.node_of(cpus[0]),
            topology.mems_of(cpus),
        )
        for cpus in groups
        if set(cpus) <= usable
    )


def _search(
    topology: Topology, cores: Sequence[_Core], nodes: tuple[int, ...], wanted: Wanted
) -> tuple[Placement, ...]:
    """The first shape that fits, of the fastest class in which any does."""
    for pool in _pools(cores, nodes, wanted):
        kept = _housekeeping(cores, pool, wanted.count)
        measurable = [core for core in pool if core not in kept]
        for shape in _shapes(measurable, wanted):
            lanes = _pack(measurable, [core for core in cores if core not in kept], shape, wanted.count)
            if lanes:
                return _placements(topology, lanes, kept, measurable, wanted)
    return ()


def _pools(cores: Sequence[_Core], nodes: tuple[int, ...], wanted: Wanted) -> Iterator[list[_Core]]:
    """What may be measured on, the fastest class first. All threads of cores are equal only with equally many."""

    def key(core: _Core) -> tuple[int, int]:
        return (core.kind, -len(core.cpus) if wanted.threads == "all" else 0)

    eligible = [core for core in cores if not nodes or set(core.mems) <= set(nodes)]
    for one in sorted({key(core) for core in eligible}):
        yield [core for core in eligible if key(core) == one]


def _housekeeping(cores: Sequence[_Core], pool: Sequence[_Core], lanes: int) -> tuple[_Core, ...]:
    """Cores for host programs and agents, reserved before anything else: the slowest class that is not measured on,
    else the lowest CPUs, where the kernel keeps its own work by default.
    """
    count = -(-lanes // _LANES_PER_HOUSEKEEPING_CORE)
    own = pool[0].kind
    ranked = sorted(cores, key=lambda core: (core.kind == own, -core.kind, core.cpus))
    return tuple(ranked[:count])


def _shapes(pool: Sequence[_Core], wanted: Wanted) -> Iterator[_Shape]:
    """What to try, the best first.

    With ``cores`` given, the backend shrinks first. Without, lanes are as large as they get while each backend has at
    least half as many cores as are measured.
    """
    for one_cache in (True, False):
        most = max((len(group) for group in _domains(pool, one_cache).values()), default=0)
        if wanted.cores is not None:
            sizes = range(wanted.cores, -1, -1) if wanted.cores <= most else ()
            yield from (_Shape(wanted.cores, backend, one_cache) for backend in sizes)
            continue
        largest = min(most, len(pool) // wanted.count)
        for cores in range(largest, 0, -1):
            for backend in range(cores, (cores + 1) // 2 - 1, -1):
                yield _Shape(cores, backend, one_cache)
        for cores in range(largest, 0, -1):
            yield _Shape(cores, 0, one_cache)


def _domains(pool: Sequence[_Core], one_cache: bool) -> dict[tuple[object, ...], list[_Core]]:
    """Cores by memory node, and by last-level cache within it."""
    found: dict[tuple[object, ...], list[_Core]] = {}
    for core in pool:
        found.setdefault((core.node, core.cache) if one_cache else (core.node,), []).append(core)
    return found


def _pack(pool: Sequence[_Core], cores: Sequence[_Core], shape: _Shape, count: int) -> list[_Lane]:
    """So many equal lanes; empty when they do not fit. The measured cores first, then the backends around them."""

    def rank(free: list[_Core]) -> tuple[bool, bool, int]:
        """The domain with the most room, so that lanes spread; nodes with memory of their own before those without."""
        return (len(free) < shape.cores, _remote(free), -len(free))

    domains = {key: _together(cores) for key, cores in _domains(pool, shape.one_cache).items()}
    measured: list[tuple[_Core, ...]] = []
    for _ in range(count):
        domain = min(domains.values(), key=rank, default=[])
        if len(domain) < shape.cores:
            return []
        measured.append(tuple(domain[: shape.cores]))
        del domain[: shape.cores]
    taken = {core.cpus for lane in measured for core in lane}
    free = [core for core in cores if core.cpus not in taken]
    if shape.backend == 0:
        return [_Lane(lane, ()) for lane in measured]
    for kind in sorted({(core.kind != pool[0].kind, core.kind, -len(core.cpus)) for core in free}):
        alike = [core for core in free if (core.kind != pool[0].kind, core.kind, -len(core.cpus)) == kind]
        if backends := _backends(alike, measured, shape.backend):
            return [_Lane(lane, backend) for lane, backend in zip(measured, backends, strict=True)]
    return []


def _together(cores: list[_Core]) -> list[_Core]:
    """In an order in which neighbours share a cache, the caches with the most room first."""
    room = {key: len(group) for key, group in _domains(cores, one_cache=True).items()}
    return sorted(cores, key=lambda core: (-room[core.node, core.cache], core.cache, core.cpus))


def _remote(cores: Sequence[_Core]) -> bool:
    return bool(cores) and cores[0].mems != (cores[0].node,)


def _backends(free: list[_Core], lanes: Sequence[tuple[_Core, ...]], count: int) -> list[tuple[_Core, ...]]:
    """So many equal cores for each lane's backend, on one node, as near as there are; empty when they do not fit."""
    left = list(free)
    found = []
    for lane in lanes:
        home, caches = lane[0].node, {core.cache for core in lane}
        by_node = _domains(left, one_cache=False)
        fitting = [group for group in by_node.values() if len(group) >= count]
        if not fitting:
            return []
        group = min(fitting, key=lambda cores: (cores[0].node != home, -len(cores), cores[0].node))
        ranked = sorted(group, key=lambda core: (core.cache not in caches, [-cpu for cpu in core.cpus]))
        found.append(tuple(sorted(ranked[:count], key=lambda core: core.cpus)))
        left = [core for core in left if core not in found[-1]]
    return found


def _placements(
    topology: Topology, lanes: Sequence[_Lane], kept: Sequence[_Core], pool: Sequence[_Core], wanted: Wanted
) -> tuple[Placement, ...]:
    keeping = tuple(sorted(cpu for core in kept for cpu in core.cpus))
    found = []
    for index, lane in enumerate(lanes):
        bare = _placement(lane, keeping, index, wanted.threads)
        notes = (*_what(topology, lane, pool, wanted), *_around(lane, bare, keeping, wanted.count))
        where = (f"lane {index + 1} of {wanted.count}",) if wanted.lanes is not None else ()
        found.append(replace(bare, notes=(*where, *notes)))
    return tuple(found)


def _placement(lane: _Lane, keeping: tuple[int, ...], index: int, threads: str) -> Placement:
    """Agents of several lanes are dealt out over the housekeeping CPUs; a backend without cores joins them there."""
    agent = keeping[-1 - index % len(keeping)]
    measured = [cpu for core in lane.measured for cpu in (core.cpus if threads == "all" else core.cpus[:1])]
    idle = [cpu for core in lane.measured for cpu in core.cpus if cpu not in measured]
    own = [cpu for core in lane.backend for cpu in core.cpus]
    backend = own or [cpu for cpu in keeping if cpu != agent] or [agent]
    return Placement(
        cpus=format_cpulist(measured),
        mems=format_cpulist({node for core in lane.measured for node in core.mems}),
        agent_cpus=format_cpulist((agent,)),
        backend_cpus=format_cpulist(backend),
        housekeeping_cpus=format_cpulist([cpu for cpu in keeping if cpu not in backend] or keeping),
        shared=False,
        idle_cpus=format_cpulist(idle),
    )


def _what(topology: Topology, lane: _Lane, pool: Sequence[_Core], wanted: Wanted) -> Iterator[str]:
    """Why these measured CPUs."""
    name = topology.class_name(pool[0].kind)
    threads = "all threads of each" if wanted.threads == "all" else "one thread of each"
    kind = f" of class {name}" if name else ""
    yield f"{_cores(len(lane.measured))}{kind}, {threads}, of {len(pool)} that could be measured on"
    caches = {core.cache for core in lane.measured}
    if len(caches) == 1:
        yield f"one last-level cache: CPUs {format_cpulist(next(iter(caches)))}"
    else:
        yield f"relaxed: {len(caches)} last-level caches, because none has {_cores(len(lane.measured))} for each lane"
    if _remote(lane.measured):
        first = lane.measured[0]
        yield f"memory node {format_cpulist(first.mems)}: the nearest to node {first.node}, which has none we may use"


def _around(lane: _Lane, placement: Placement, keeping: tuple[int, ...], count: int) -> Iterator[str]:
    """Why agent, backend and host program are where they are."""
    whose = "host program and agents" if count == 1 else "host programs and agents of all lanes"
    yield f"CPUs {format_cpulist(keeping)} are kept for {whose}"
    if not lane.backend:
        yield f"relaxed: the backend shares CPUs {placement.backend_cpus} with them: no core is left for it alone"
    elif len(lane.backend) < len(lane.measured):
        yield f"relaxed: the backend has {_cores(len(lane.backend))} of its own, fewer than are measured"
    if lane.backend and {core.node for core in lane.backend} != {lane.measured[0].node}:
        yield f"relaxed: the backend is on memory node {lane.backend[0].node}, because the lane's own has no room"


def _cores(count: int) -> str:
    return "1 core" if count == 1 else f"{count} cores"


def _refusal(topology: Topology, cores: Sequence[_Core], nodes: tuple[int, ...], wanted: Wanted) -> HostUnfit:
    """What is there, why that is not enough, and what would fit."""
    kept = -(-wanted.count // _LANES_PER_HOUSEKEEPING_CORE)
    lane = "a lane" if wanted.cores is None else f"a lane of {_cores(wanted.cores)}"
    cause = (
        f"{_inventory(topology, cores)}; {kept} of them is kept for host program and agents, and {lane} lies "
        f"within one class of core and one memory node{f', here of {format_cpulist(nodes)}' if nodes else ''}"
    )
    left_out = _left_out(topology, cores)
    return HostUnfit(
        f"{_asked(wanted)}: this machine has no room for that",
        cause + (f"; not counted: {left_out}" if left_out else ""),
        _what_fits(topology, cores, nodes, wanted),
    )


def _asked(wanted: Wanted) -> str:
    words = [f"--cores {wanted.cores}"] if wanted.cores is not None else []
    words += [f"--lanes {wanted.lanes}"] if wanted.lanes is not None else []
    words += [f"--threads-per-core {wanted.threads}"] if wanted.threads != "1" else []
    return " ".join([*words, *([f"--mems {wanted.mems}"] if wanted.mems else [])])


def _inventory(topology: Topology, cores: Sequence[_Core]) -> str:
    """Whole cores by class and memory node."""
    if not cores:
        return "no core may be used whole"
    found: dict[tuple[int, int], int] = {}
    for core in cores:
        found[core.kind, core.node] = found.get((core.kind, core.node), 0) + 1
    parts = [
        f"{_cores(count)} {f'of class {name} ' if (name := topology.class_name(kind)) else ''}on node {node}"
        for (kind, node), count in sorted(found.items())
    ]
    return "there are " + ", ".join(parts) if len(cores) > 1 else f"there is {parts[0]}"


def _left_out(topology: Topology, cores: Sequence[_Core]) -> str:
    """CPUs that may be used and belong to no core that could be taken whole, and why."""
    whole = {cpu for core in cores for cpu in core.cpus}
    isolated = [cpu for cpu in topology.cpus if cpu in topology.isolated]
    split = [cpu for cpu in topology.cpus if cpu not in whole and cpu not in isolated]
    words = [f"isolated CPUs {format_cpulist(isolated)}"] if isolated else []
    words += [f"CPUs {format_cpulist(split)} (a hardware sibling is beyond our reach or isolated)"] if split else []
    return ", ".join(words)


def _what_fits(topology: Topology, cores: Sequence[_Core], nodes: tuple[int, ...], wanted: Wanted) -> str:
    """The nearest requests that this machine can serve."""
    offers = []
    for fewer in range(min((wanted.cores or 1) - 1, len(cores)), 0, -1):
        if _search(topology, cores, nodes, replace(wanted, cores=fewer)):
            offers.append(replace(wanted, cores=fewer))
            break
    for fewer in range(min(wanted.count - 1, len(cores)), 0, -1):
        if _search(topology, cores, nodes, replace(wanted, lanes=fewer)):
            offers.append(replace(wanted, lanes=fewer))
            break
    by_hand = (
        f"name CPUs yourself with --cpus, of {format_cpulist(topology.cpus)}: what has no room beside them is put on "
        "them, and the grade says so"
    )
    return f"what fits: {' or '.join(map(_asked, offers))}; or {by_hand}" if offers else by_hand
