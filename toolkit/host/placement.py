"""Who runs where when the user names the measured CPUs (``--cpus``): pure decisions, the same each time.

Hardware siblings of measured CPUs are kept idle, and agent, backend and host program go elsewhere, if there is an
elsewhere. Choosing CPUs for the user is in ``allocate``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from toolkit.errors import HostUnfit, UsageError
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.model.topology import Topology


@dataclass(frozen=True)
class Placement:
    """Who runs where (kernel lists). ``shared``: somebody else had to be put on measured CPUs.

    ``idle_cpus`` are hardware siblings of measured CPUs that nobody may use. ``shared_cores``: agent, backend or host
    program had to be put on such siblings. ``notes`` say why it is so, ``warnings`` what the user should know.
    """

    cpus: str
    mems: str
    agent_cpus: str
    backend_cpus: str
    housekeeping_cpus: str
    shared: bool
    idle_cpus: str = ""
    shared_cores: bool = False
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class Others:
    """CPUs of agent, backend and host program."""

    agent: tuple[int, ...]
    backend: tuple[int, ...]
    host: tuple[int, ...]


def place(topology: Topology, cpus_text: str, mems_text: str = "") -> Placement:
    """Measured CPUs exactly as asked; agent, backend and host outside them and their siblings, if there is room.

    Raises UsageError on a malformed list, HostUnfit on a CPU or node that is not here.
    """
    measured = _measured(topology, cpus_text)
    siblings = topology.siblings(measured)
    idle = tuple(cpu for cpu in siblings if cpu in topology.cpus)
    free = [cpu for cpu in topology.cpus if cpu not in measured]
    spare = [cpu for cpu in free if cpu not in idle]
    others = settle(topology, measured, [cpu for cpu in spare if cpu not in topology.isolated] or spare or free)
    shared_cores = bool(free) and not spare
    notes, warnings = _remarks(topology, measured, () if shared_cores else idle)
    if shared_cores:
        warnings.append(f"agent, backend and host program are on siblings of measured CPUs: {format_cpulist(idle)}")
    return Placement(
        cpus=format_cpulist(measured),
        mems=_mems(topology, measured, mems_text),
        agent_cpus=format_cpulist(others.agent),
        backend_cpus=format_cpulist(others.backend),
        housekeeping_cpus=format_cpulist(others.host),
        shared=not free,
        idle_cpus="" if shared_cores else format_cpulist(idle),
        shared_cores=shared_cores,
        notes=tuple(notes),
        warnings=tuple(warnings),
    )


def settle(topology: Topology, measured: tuple[int, ...], spare: Iterable[int]) -> Others:
    """Agent, backend and host on these CPUs; on the measured ones where there are none.

    The agent, which does little, takes the highest CPU that is not behind the measured ones' last-level cache, else the
    highest. The backend takes at most as many CPUs as are measured: behind that cache if there are so many, else on the
    measured CPUs' memory node, else on any other one node. The host program has what is left, the agent's CPU included.
    """
    spare = sorted(spare)
    if not spare:
        return Others(measured, measured, measured)
    caches = {one for cpu in measured for one in topology.cache_of(cpu)}
    agent = max(spare, key=lambda cpu: (cpu not in caches, cpu))
    left = [cpu for cpu in spare if cpu != agent] or spare
    # One is left for the host program when possible.
    count = min(len(measured), max(1, len(left) - 1))
    backend = _backend(topology, measured, left, count, agent)
    return Others((agent,), backend, tuple(cpu for cpu in spare if cpu not in backend) or (agent,))


def _backend(
    topology: Topology, measured: tuple[int, ...], spare: list[int], count: int, agent: int
) -> tuple[int, ...]:
    caches = {one for cpu in measured for one in topology.cache_of(cpu)}
    home = {topology.node_of(cpu) for cpu in measured}

    def rank(cpu: int) -> tuple[bool, bool, bool, int, int]:
        """Near first, off the agent's core, and so that the backend's threads have cores of their own."""
        core = topology.core_of(cpu)
        return (cpu not in caches, topology.node_of(cpu) not in home, agent in core, -core.index(cpu), -cpu)

    by_node = [[cpu for cpu in spare if topology.node_of(cpu) == node] for node in topology.nodes]
    domains = [
        [cpu for cpu in spare if cpu in caches],
        [cpu for cpu in spare if topology.node_of(cpu) in home],
        *sorted(by_node, key=lambda cpus: (-len(cpus), cpus)),
    ]
    chosen = next((domain for domain in domains if len(domain) >= count), spare)
    return tuple(sorted(sorted(chosen, key=rank)[:count]))


def _remarks(topology: Topology, measured: tuple[int, ...], idle: tuple[int, ...]) -> tuple[list[str], list[str]]:
    """What is worth saying about CPUs that the user named: notes and warnings."""
    notes, warnings = ["measured CPUs as named with --cpus"], []
    if idle:
        notes.append(f"hardware siblings of measured CPUs stay idle: {format_cpulist(idle)}")
    unseen = [cpu for cpu in topology.siblings(measured) if cpu not in topology.cpus]
    if unseen:
        warnings.append(f"siblings of measured CPUs are beyond our reach: {format_cpulist(unseen)}")
    isolated = [cpu for cpu in measured if cpu in topology.isolated]
    if isolated:
        warnings.append(f"CPU {format_cpulist(isolated)} is isolated: the kernel balances no load there, Go needs that")
    tickless = [cpu for cpu in measured if cpu in topology.nohz_full]
    if tickless:
        notes.append(f"the kernel's tick stops on CPU {format_cpulist(tickless)} (nohz_full): frequency may be misread")
    nodes = {topology.node_of(cpu) for cpu in measured}
    if len(nodes) > 1:
        warnings.append(f"they span memory nodes {format_cpulist(nodes)}")
    domains = {topology.cache_of(cpu) for cpu in measured}
    if len(domains) > 1:
        notes.append(f"they span {len(domains)} last-level caches")
    kinds = sorted({topology.class_of(cpu) for cpu in measured})
    if len(kinds) > 1:
        names = ", ".join(topology.class_name(kind) for kind in kinds)
        warnings.append(f"they mix classes of core ({names}): their numbers are a mixture")
    return notes, warnings


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
    check_usable(topology, wanted, f"--cpus {text}")
    return wanted


def check_usable(topology: Topology, wanted: tuple[int, ...], what: str) -> None:
    """Raises HostUnfit, with the nearest set that exists, unless this process may use all of these CPUs."""
    missing = [cpu for cpu in wanted if cpu not in topology.cpus]
    if not missing:
        return
    offline = [cpu for cpu in missing if cpu in topology.offline]
    closed = [cpu for cpu in missing if cpu in topology.online]
    if closed:
        said = f"CPU {format_cpulist(closed)} is outside this process's CPU set"
    elif offline:
        said = f"CPU {format_cpulist(offline)} is offline"
    else:
        said = f"this machine has no CPU {format_cpulist(missing)}"
    raise HostUnfit(
        f"{what}: {said}",
        f"the CPUs that can be used here are {format_cpulist(topology.cpus)}",
        f"the nearest set that exists is --cpus {format_cpulist(nearest_cpus(topology, wanted))}",
    )


def nearest_cpus(topology: Topology, wanted: tuple[int, ...]) -> tuple[int, ...]:
    """As many CPUs as were wanted, where there are so many: the wanted ones that exist, then the lowest others."""
    kept = [cpu for cpu in wanted if cpu in topology.cpus]
    others = [cpu for cpu in topology.cpus if cpu not in kept]
    count = min(len(wanted), len(topology.cpus))
    return tuple(sorted((kept + others)[:count]))


def named_nodes(topology: Topology, text: str) -> tuple[int, ...]:
    """The memory nodes of ``--mems``; empty where it was not given. UsageError, HostUnfit."""
    if not text:
        return ()
    try:
        wanted = parse_cpulist(text)
    except ValueError as problem:
        raise UsageError(
            f"--mems '{text}' is not a list of memory nodes", str(problem), "for example --mems 0"
        ) from problem
    usable = topology.usable_nodes()
    missing = [node for node in wanted if node not in usable]
    if missing:
        empty = [node for node in missing if node in topology.nodes]
        raise HostUnfit(
            f"--mems {text}: node {format_cpulist(empty)} has no memory that we may use"
            if empty
            else f"--mems {text}: this machine has no memory node {format_cpulist(missing)}",
            f"its nodes are {format_cpulist(usable)}",
            "leave --mems out: the nodes of --cpus are taken",
        )
    return wanted


def _mems(topology: Topology, measured: tuple[int, ...], text: str) -> str:
    return format_cpulist(named_nodes(topology, text) or topology.mems_of(measured))
