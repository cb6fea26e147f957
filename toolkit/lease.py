"""Lane leases: exclusive cores between processes and users of one machine.

One lock file per CPU in one machine-wide folder, held with flock(2): the kernel releases it whatever happens to us. A
lease takes every hardware thread of its measured cores, so that CPU 0 and its sibling can never have two owners. The
content of a file names the owner for people and for ``doctor``; the lock alone decides. A lane is free only if its
locks are free *and* no labelled container of a living command sits on its cores; one of a dead command is ended first.

Locks of one lease are taken under a gate, all or none: nobody ever sees, or is refused because of, half a lease.
"""

from __future__ import annotations

import fcntl
import os
import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from toolkit.engine.port import LABEL_CPUS, LABEL_ROLE, LABEL_RUN, Engine, OwnedContainer
from toolkit.errors import LaneBusy
from toolkit.lease_files import Holder, holders, lanes_folder, open_lock, ready_folder, write_owner
from toolkit.model.cpulist import parse_cpulist
from toolkit.model.topology import Topology
from toolkit.owner import owner_from_labels, provably_dead

__all__ = ["Lane", "lanes_folder", "lease", "lease_first"]

_POLL_SECONDS = 0.2
_GATE = "gate.lock"
_GATE_POLL_SECONDS = 0.002
_GATE_SECONDS = 10.0  # it is held for a millisecond; a holder that was stopped (SIGSTOP) must not stop everybody


@dataclass(frozen=True)
class Lane:
    """What a lease is of (kernel lists). ``idle``: siblings of the measured CPUs, ``shared``: agent's and backend's."""

    cpus: str
    idle: str = ""
    shared: str = ""


@dataclass(frozen=True)
class _Claim:
    """A lane as sets: the CPUs that must be ours alone, and those where only nobody may measure."""

    alone: frozenset[int]
    beside: frozenset[int]


@contextmanager
def lease(
    cpus: str, engine: Engine, *, shared: str = "", wait_seconds: float = 0.0, topology: Topology | None = None
) -> Iterator[None]:
    """Hold the lane of these CPUs (kernel list) for the body; see ``lease_first``."""
    with lease_first([Lane(cpus, shared=shared)], engine, wait_seconds=wait_seconds, topology=topology):
        yield


@contextmanager
def lease_first(
    lanes: Sequence[Lane],
    engine: Engine,
    *,
    wait_seconds: float = 0.0,
    recover: Callable[[], None] | None = None,
    waiting: Callable[[str], None] = lambda _: None,
    topology: Topology | None = None,
) -> Iterator[int]:
    """Hold the first lane that is free, for the body; which it is.

    ``shared`` CPUs of a lane may be shared with other lanes' agents and backends, but nobody may measure on their
    cores. ``recover`` ends what dead commands left behind; it is called under our locks, when a container of one is
    still at work and after every wait (whoever we waited for may have been killed). ``waiting`` is told once whom we
    wait for. Raises LaneBusy when every lane is still held by somebody else after ``wait_seconds``; HostUnfit when no
    lock can be made.
    """
    machine = topology or _here()
    claims = [_claim(lane, machine) for lane in lanes]
    clean = recover or (lambda: _remove_orphans(engine))
    deadline = time.monotonic() + max(0.0, wait_seconds)  # in this order, nan is 0
    told = False
    while True:
        found = []
        for index, claim in enumerate(claims):
            with ExitStack() as held:
                holder = _try(claim, held) or _occupied(engine, claim, machine, clean, waited=told)
                if holder is None:
                    yield index
                    return
            found.append(holder)
        if time.monotonic() >= deadline:
            raise _busy(lanes, found)
        if not told:
            waiting(found[0])
            told = True
        # Apart by chance: two that wait for the same lane do not stay in step.
        time.sleep(min(_POLL_SECONDS * random.uniform(0.5, 1), max(0.0, deadline - time.monotonic()) + 0.001))


def _here() -> Topology:
    from toolkit.host.topology import read_topology

    return read_topology()


def _claim(lane: Lane, topology: Topology) -> _Claim:
    """Every hardware thread of the measured cores, whether we may run there or not, and what stands beside them."""
    measured = _cpus(lane.cpus)
    alone = measured | _cpus(lane.idle) | set(topology.siblings(measured))
    return _Claim(frozenset(alone), frozenset(_cpus(lane.shared) - alone))


def _cpus(text: str) -> set[int]:
    return set(parse_cpulist(text)) if text else set()


def _busy(lanes: Sequence[Lane], found: Sequence[str]) -> LaneBusy:
    remedy = "wait for it (--wait SECONDS), or choose other CPUs with --cpus"
    if len(lanes) == 1:
        return LaneBusy(f"CPU {lanes[0].cpus} is busy", found[0], remedy)
    pairs = enumerate(zip(lanes, found, strict=True), 1)
    each = "; ".join(f"lane {number} (CPU {lane.cpus}): {holder}" for number, (lane, holder) in pairs)
    return LaneBusy(f"all {len(lanes)} lanes are busy", each, "wait for one (--wait SECONDS), or launch later")


def _try(claim: _Claim, held: ExitStack) -> str | None:
    """Take every lock or none, never waiting for one; who holds the first that is taken, or None."""
    folder = ready_folder()
    with _gate(folder) as stuck:
        if stuck is not None:
            return stuck
        with ExitStack() as taken:
            for cpu in sorted(claim.alone | claim.beside):
                alone = cpu in claim.alone
                path = folder / f"cpu{cpu}.lock"
                descriptor = open_lock(path)
                taken.callback(os.close, descriptor)
                try:
                    fcntl.flock(descriptor, (fcntl.LOCK_EX if alone else fcntl.LOCK_SH) | fcntl.LOCK_NB)
                except BlockingIOError:
                    return f"CPU {cpu} is leased by {_named(holders(path))}"
                if alone:
                    taken.callback(_wipe, descriptor)
                    write_owner(descriptor, claim.alone)
            held.push(taken.pop_all())
    return None


@contextmanager
def _gate(folder: Path) -> Iterator[str | None]:
    """Only one process at a time takes locks; None when that is us, else who keeps everybody out."""
    path = folder / _GATE
    descriptor = open_lock(path)
    try:
        deadline = time.monotonic() + _GATE_SECONDS
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    yield f"the lock folder is kept shut by {_named(holders(path))}"
                    return
                time.sleep(_GATE_POLL_SECONDS * random.uniform(0.5, 1.5))
            else:
                yield None
                return
    finally:
        os.close(descriptor)


def _wipe(descriptor: int) -> None:
    with suppress(OSError):
        os.ftruncate(descriptor, 0)


def _named(found: Sequence[Holder]) -> str:
    return " and ".join(holder.text for holder in found) or "another process"


def _occupied(
    engine: Engine, claim: _Claim, topology: Topology, recover: Callable[[], None], *, waited: bool
) -> str | None:
    """Whose labelled container sits on this lane; None when none does, after those of dead commands were ended."""
    there = engine.owned(LABEL_RUN)
    if waited or any(container.running and _dead(container) for container in there):
        recover()
        there = engine.owned(LABEL_RUN)
    for container in there:
        if _upon(container, claim, topology):
            return f"a container of run {container.labels.get(LABEL_RUN, '?')} {_whose(container)}"
    return None


def _whose(container: OwnedContainer) -> str:
    cpus, owner = container.labels[LABEL_CPUS], owner_from_labels(container.labels)
    if _dead(container):
        return f"runs on CPU {cpus}; its command is dead, and it cannot be removed"
    return f"runs on CPU {cpus}" + (f", of process {owner.pid}" if owner is not None else "")


def _upon(container: OwnedContainer, claim: _Claim, topology: Topology) -> bool:
    """Whether it runs where this lane wants to be."""
    if not container.running or not container.labels.get(LABEL_CPUS):
        return False
    cpus = _cpus(container.labels[LABEL_CPUS])
    if container.labels.get(LABEL_ROLE) != "sdk":
        return bool(claim.alone & cpus)  # where its backend is, ours may be, too
    # Where another's program is measured, siblings included, nobody's backend may be.
    return bool((claim.alone | claim.beside) & (cpus | set(topology.siblings(cpus))))


def _dead(container: OwnedContainer) -> bool:
    owner = owner_from_labels(container.labels)
    return owner is not None and provably_dead(owner)


def _remove_orphans(engine: Engine) -> None:
    from toolkit.launch.orphans import remove_orphans

    remove_orphans(engine)
