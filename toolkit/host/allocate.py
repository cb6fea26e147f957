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

from toolkit.errors import HostUnfit, UsageError
from toolkit.host.allocate_text import asked, count_of, inventory, left_out, why_around, why_measured
from toolkit.host.cores import THREADS_PER_CORE, Core, Cores, Wanted, domains, remote, whole_cores
from toolkit.host.placement import Placement, named_nodes
from toolkit.model.cpulist import format_cpulist
from toolkit.model.topology import Topology

__all__ = ["Wanted", "choose"]

# A command takes about a second of CPU time per launch, little of it while it measures; an agent next to none.
_LANES_PER_HOUSEKEEPING_CORE = 8


@dataclass(frozen=True)
class _Shape:
    """One thing to try: ``cores`` measured behind one cache or on one node, ``backend`` cores of each lane's own."""

    cores: int
    backend: int
    one_cache: bool


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


def _search(topology: Topology, cores: Sequence[Core], nodes: tuple[int, ...], wanted: Wanted) -> tuple[Placement, ...]:
    """The first shape that fits, of the fastest class in which any does."""
    for pool in _pools(cores, nodes, wanted):
        kept = _housekeeping(cores, pool, wanted.count)
        measurable = [core for core in pool if core not in kept]
        for shape in _shapes(measurable, wanted):
            lanes = _pack(measurable, [core for core in cores if core not in kept], shape, wanted.count)
            if lanes:
                return _placements(topology, lanes, kept, measurable, wanted)
    return ()


def _pools(cores: Sequence[Core], nodes: tuple[int, ...], wanted: Wanted) -> Iterator[list[Core]]:
    """What may be measured on, the fastest class first. All threads of cores are equal only with equally many."""

    def key(core: Core) -> tuple[int, int]:
        return (core.kind, -len(core.cpus) if wanted.threads == "all" else 0)

    eligible = [core for core in cores if not nodes or set(core.mems) <= set(nodes)]
    for one in sorted({key(core) for core in eligible}):
        yield [core for core in eligible if key(core) == one]


def _housekeeping(cores: Sequence[Core], pool: Sequence[Core], lanes: int) -> tuple[Core, ...]:
    """Cores for host programs and agents, reserved before anything else: the slowest class that is not measured on,
    else the lowest CPUs, where the kernel keeps its own work by default.
    """
    count = -(-lanes // _LANES_PER_HOUSEKEEPING_CORE)
    own = pool[0].kind
    ranked = sorted(cores, key=lambda core: (core.kind == own, -core.kind, core.cpus))
    return tuple(ranked[:count])


def _shapes(pool: Sequence[Core], wanted: Wanted) -> Iterator[_Shape]:
    """What to try, the best first.

    With ``cores`` given, the backend shrinks first. Without, lanes are as large as they get while each backend has at
    least half as many cores as are measured.
    """
    for one_cache in (True, False):
        most = max((len(group) for group in domains(pool, one_cache=one_cache).values()), default=0)
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


def _pack(pool: Sequence[Core], cores: Sequence[Core], shape: _Shape, count: int) -> list[Cores]:
    """So many equal lanes; empty when they do not fit. The measured cores first, then the backends around them."""

    def rank(free: list[Core]) -> tuple[bool, bool, int]:
        """The domain with the most room, so that lanes spread; nodes with memory of their own before those without."""
        return (len(free) < shape.cores, remote(free), -len(free))

    rooms = [_together(group) for group in domains(pool, one_cache=shape.one_cache).values()]
    measured: list[tuple[Core, ...]] = []
    for _ in range(count):
        room = min(rooms, key=rank, default=[])
        if len(room) < shape.cores:
            return []
        measured.append(tuple(room[: shape.cores]))
        del room[: shape.cores]
    taken = {core.cpus for lane in measured for core in lane}
    free = [core for core in cores if core.cpus not in taken]
    if shape.backend == 0:
        return [Cores(lane, ()) for lane in measured]
    for kind in sorted({(core.kind != pool[0].kind, core.kind, -len(core.cpus)) for core in free}):
        alike = [core for core in free if (core.kind != pool[0].kind, core.kind, -len(core.cpus)) == kind]
        if backends := _backends(alike, measured, shape.backend):
            return [Cores(lane, backend) for lane, backend in zip(measured, backends, strict=True)]
    return []


def _together(cores: list[Core]) -> list[Core]:
    """In an order in which neighbours share a cache, the caches with the most room first."""
    room = {key: len(group) for key, group in domains(cores, one_cache=True).items()}
    return sorted(cores, key=lambda core: (-room[core.node, core.cache], core.cache, core.cpus))


def _backends(free: list[Core], lanes: Sequence[tuple[Core, ...]], count: int) -> list[tuple[Core, ...]]:
    """So many equal cores for each lane's backend, on one node, as near as there are; empty when they do not fit."""
    left = list(free)
    found = []
    for lane in lanes:
        home, caches = lane[0].node, {core.cache for core in lane}
        by_node = domains(left, one_cache=False)
        fitting = [group for group in by_node.values() if len(group) >= count]
        if not fitting:
            return []
        group = min(fitting, key=lambda cores: (cores[0].node != home, -len(cores), cores[0].node))
        ranked = sorted(group, key=lambda core: (core.cache not in caches, [-cpu for cpu in core.cpus]))
        found.append(tuple(sorted(ranked[:count], key=lambda core: core.cpus)))
        left = [core for core in left if core not in found[-1]]
    return found


def _placements(
    topology: Topology, lanes: Sequence[Cores], kept: Sequence[Core], pool: Sequence[Core], wanted: Wanted
) -> tuple[Placement, ...]:
    keeping = tuple(sorted(cpu for core in kept for cpu in core.cpus))
    found = []
    for index, lane in enumerate(lanes):
        bare = _placement(lane, keeping, index, wanted.threads)
        notes = (*why_measured(topology, lane, pool, wanted), *why_around(lane, bare, keeping, wanted.count))
        where = (f"lane {index + 1} of {wanted.count}",) if wanted.lanes is not None else ()
        found.append(replace(bare, notes=(*where, *notes)))
    return tuple(found)


def _placement(lane: Cores, keeping: tuple[int, ...], index: int, threads: str) -> Placement:
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


def _refusal(topology: Topology, cores: Sequence[Core], nodes: tuple[int, ...], wanted: Wanted) -> HostUnfit:
    """What is there, why that is not enough, and what would fit."""
    kept = -(-wanted.count // _LANES_PER_HOUSEKEEPING_CORE)
    lane = "a lane" if wanted.cores is None else f"a lane of {count_of(wanted.cores)}"
    keeps = f"; {count_of(kept)} kept for host program and agents" if cores else ""
    of_nodes = f", here of {format_cpulist(nodes)}" if nodes else ""
    rule = f"{lane} lies within one class of core and one memory node{of_nodes}"
    more = left_out(topology, cores)
    return HostUnfit(
        f"{asked(wanted)}: this machine has no room for that",
        f"{inventory(topology, cores)}{keeps}; {rule}{f'; not counted: {more}' if more else ''}",
        _what_fits(topology, cores, nodes, wanted),
    )


def _what_fits(topology: Topology, cores: Sequence[Core], nodes: tuple[int, ...], wanted: Wanted) -> str:
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
    return f"what fits: {' or '.join(map(asked, offers))}; or {by_hand}" if offers else by_hand
