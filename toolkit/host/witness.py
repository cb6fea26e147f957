"""The second witness: psutil on the host looks at the containers' processes once per window.

It is not the truth, it is another pair of eyes: where it and the journal disagree beyond a stated tolerance, one of
them is wrong and the launch is invalid. Looking costs a millisecond or two of CPU, so not more often::

    views = [("t0", view_processes(4711)), ..., ("window:0", view_processes(4711))]
    disagreements("sdk", views, sdk_evidence.samples, affinity="0")
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.host.kernelfs import read_small
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.model.evidence import NANOSECONDS, Finding, Sample

if TYPE_CHECKING:
    import psutil

CPU_TOLERANCE_SHARE = 0.10
CPU_TOLERANCE_SECONDS = 0.05
"""psutil counts in ticks of 10 ms per process, the agent in nanoseconds of the scheduler."""

RSS_TOLERANCE_SHARE = 0.10
RSS_TOLERANCE_BYTES = 4 * 1024 * 1024
SAMPLE_DISTANCE_SECONDS = 1.5
"""Further away than this from every sample, a look cannot be compared."""
_NEARBY_NS = 5 * NANOSECONDS


@dataclass(frozen=True)
class ProcessView:
    """One look at one container's program: its processes below the agent, which is not counted.

    ``monotonic_ns`` is the middle of a look that took ``span_ns`` (the counters were read some time within it).
    ``affinity`` holds each distinct CPU list of its threads, sorted. ``problem`` says why there is nothing to see.
    """

    monotonic_ns: int
    cpu_seconds: float = 0.0
    rss_bytes: int = 0
    processes: int = 0
    threads: int = 0
    affinity: tuple[str, ...] = ()
    agent_affinity: tuple[str, ...] = ()
    problem: str = ""
    span_ns: int = 0
    intruders: int = 0
    """Processes in the container's control group that came from outside: not below the agent."""

    def to_json(self) -> dict[str, Any]:
        """Without process numbers."""
        return {
            "monotonic_ns": self.monotonic_ns,
            "cpu_seconds": self.cpu_seconds,
            "rss_bytes": self.rss_bytes,
            "processes": self.processes,
            "threads": self.threads,
            "affinity": list(self.affinity),
            "agent_affinity": list(self.agent_affinity),
            "problem": self.problem or None,
            "span_ns": self.span_ns,
            "intruders": self.intruders,
        }


Views = Sequence[tuple[str, ProcessView]]
"""Looks in order, each with when it was: ``t0``, ``window:<k>``, ``end``."""


def view_processes(pid: int) -> ProcessView:
    """Look at a container by the host's number of its first process (the agent), now.

    Never raises: a process that is gone is a view that says so.
    """
    import psutil

    moment = time.monotonic_ns()
    try:
        agent = psutil.Process(pid)
        children, intruders = _below(agent)
        own = _affinity(thread.id for thread in agent.threads())
    except psutil.Error as problem:
        return ProcessView(moment, problem=type(problem).__name__)
    cpu, rss, seen = 0.0, 0, 0
    tasks: list[int] = []
    for child in children:
        try:
            with child.oneshot():
                times = child.cpu_times()
                memory = child.memory_info().rss
            threads = [thread.id for thread in child.threads()]
        except psutil.Error:
            continue
        cpu += times.user + times.system
        rss += memory
        tasks += threads
        seen += 1
    span = time.monotonic_ns() - moment
    moment += span // 2
    if not seen:
        return ProcessView(moment, agent_affinity=own, problem="the agent has no processes below it")
    return ProcessView(moment, cpu, rss, seen, len(tasks), _affinity(tasks), own, span_ns=span, intruders=intruders)


def _below(agent: psutil.Process) -> tuple[list[psutil.Process], int]:
    """The program's processes, below the agent at any depth; and how many others are in the container.

    Found among those of the agent's cgroup: psutil's own way reads the whole machine's process table. What was put into
    the container from outside (``docker exec``) is in the cgroup, and its parent is not.
    """
    import psutil

    try:
        members = _cgroup_members(agent.pid)
    except OSError:
        return agent.children(recursive=True), 0
    parents: dict[int, list[int]] = {}
    for pid in members:
        with suppress(OSError, ValueError, IndexError):
            stat = read_small(f"/proc/{pid}/stat")  # proc(5): behind the name come the state and the parent
            parents.setdefault(int(stat.rpartition(")")[2].split()[1]), []).append(pid)
    inside = set(members)
    intruders = sum(pid != agent.pid for ppid, pids in parents.items() if ppid not in inside for pid in pids)
    found, next_up = [], [agent.pid]
    while next_up:
        children = parents.pop(next_up.pop(), [])
        next_up += children
        for child in children:
            with suppress(psutil.Error):
                found.append(psutil.Process(child))
    return found, intruders


def _cgroup_members(pid: int) -> list[int]:
    """All processes of a process's cgroup (cgroups(7): ``cgroup.procs``; v1: of the memory controller).

    Raises OSError where the hierarchy is not mounted at the usual place, or has the process in its root.
    """
    groups = dict(line.split(":", 2)[1:] for line in Path(f"/proc/{pid}/cgroup").read_text().splitlines())
    folder = next((f"{name}{groups[name]}" for name in ("memory", "") if groups.get(name, "/") != "/"), None)
    if folder is None:
        raise FileNotFoundError(f"process {pid} is in no cgroup of its own")
    members = [int(word) for word in (Path("/sys/fs/cgroup") / folder.lstrip("/") / "cgroup.procs").read_text().split()]
    if pid not in members:
        raise FileNotFoundError(f"process {pid} is not in the cgroup that it names")
    return members


def _affinity(tasks: Iterable[int]) -> tuple[str, ...]:
    # Per thread, by sched_getaffinity(2) (any user may ask): psutil's cpu_affinity() is that of the main thread.
    lists = set()
    for task in tasks:
        try:
            lists.add(format_cpulist(os.sched_getaffinity(task)))
        except OSError:
            continue
    return tuple(sorted(lists))


def disagreements(
    role: str, views: Views, samples: Sequence[Sample], *, affinity: str, agent_affinity: str = ""
) -> list[Finding]:
    """Where the witness and the journal do not agree. ``affinity``, ``agent_affinity``: the planned CPU lists.

    CPU time is compared between successive looks, resident memory with the samples around each look.
    """
    seen = [(when, view) for when, view in views if not view.problem]
    if not seen:
        return [Finding("witness", f"{role}: the host never saw the program", 0, 1)]
    findings = []
    for when, view in seen:
        if view.intruders:
            cause = f"{role}: at {when} the host saw processes in the container that its agent did not start"
            findings.append(Finding("witness", cause, view.intruders, 0))
        findings += _wrong_affinity(f"{role}: at {when}", view, affinity, agent_affinity)
        findings += _wrong_rss(f"{role}: at {when}", view, samples)
    for (earlier, before), (later, after) in pairwise(seen):
        findings += _wrong_cpu(f"{role}: from {earlier} to {later}", before, after, samples)
    return findings


def _wrong_affinity(place: str, view: ProcessView, affinity: str, agent_affinity: str) -> list[Finding]:
    findings = []
    for name, planned, found in (("program", affinity, view.affinity), ("agent", agent_affinity, view.agent_affinity)):
        if planned and found != (format_cpulist(parse_cpulist(planned)),):
            cause = f"{place} the host saw the {name}'s threads on other CPUs"
            findings.append(Finding("witness", cause, "; ".join(found), planned))
    return findings


def _wrong_rss(place: str, view: ProcessView, samples: Sequence[Sample]) -> list[Finding]:
    around = _around(samples, view.monotonic_ns)
    if not around:
        return []
    # A program that makes and drops a buffer with every request moves by its size between two samples. So the range
    # counts, not a line between them: from the smallest size nearby up to the largest that the kernel had noted by the
    # sample after the look (VmHWM of proc(5)).
    nearby = [sample.rss_bytes for sample in samples if abs(sample.monotonic_ns - view.monotonic_ns) <= _NEARBY_NS]
    low = min(nearby, default=around[0].rss_bytes)
    high = max(*(sample.rss_bytes for sample in around), around[-1].rss_peak_bytes)
    if view.rss_bytes > high + _rss_tolerance(high) or view.rss_bytes < low - _rss_tolerance(low):
        cause = f"{place} the host saw another resident size than the journal ({low} to {high} bytes)"
        return [Finding("witness", cause, view.rss_bytes, high)]
    return []


def _rss_tolerance(size: int) -> float:
    return size * RSS_TOLERANCE_SHARE + RSS_TOLERANCE_BYTES


def _wrong_cpu(place: str, before: ProcessView, after: ProcessView, samples: Sequence[Sample]) -> list[Finding]:
    start, end = _cpu_at(samples, before.monotonic_ns), _cpu_at(samples, after.monotonic_ns)
    if start is None or end is None:
        return []
    journal, seen = end - start, after.cpu_seconds - before.cpu_seconds
    if abs(journal - seen) > max(abs(journal), abs(seen)) * CPU_TOLERANCE_SHARE + _cpu_tolerance(before, after):
        cause = f"{place} the host saw another CPU time than the journal"
        return [Finding("witness", cause, round(seen, 4), round(journal, 4))]
    return []


def _cpu_tolerance(before: ProcessView, after: ProcessView) -> float:
    """Beside the share, in seconds: how much the program's CPUs can do while the host is still looking."""
    cpus = max((len(parse_cpulist(cpus)) for cpus in after.affinity), default=1)
    return CPU_TOLERANCE_SECONDS + cpus * (before.span_ns + after.span_ns) / NANOSECONDS


def _around(samples: Sequence[Sample], moment_ns: int) -> list[Sample]:
    """The sample before and the one after a moment, those that are near enough."""
    place = bisect_left([sample.monotonic_ns for sample in samples], moment_ns)
    near = samples[max(place - 1, 0) : place + 1]
    limit = SAMPLE_DISTANCE_SECONDS * NANOSECONDS
    return [sample for sample in near if abs(sample.monotonic_ns - moment_ns) <= limit]


def _cpu_at(samples: Sequence[Sample], moment_ns: int) -> float | None:
    """CPU seconds of the process tree at a moment, on the line between the samples around it."""
    around = _around(samples, moment_ns)
    if not around:
        return None
    first, last = around[0], around[-1]
    span = last.monotonic_ns - first.monotonic_ns
    share = min(max((moment_ns - first.monotonic_ns) / span, 0.0), 1.0) if span else 0.0
    return (first.cpu_ns + (last.cpu_ns - first.cpu_ns) * share) / NANOSECONDS
