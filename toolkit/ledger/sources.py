"""Which kernel file tells what. Each source reads its files now and returns cumulative numbers; what it cannot read it
raises as OSError, ValueError or LookupError, and the sampler writes down the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import fmean

from toolkit.host.kernelfs import read_text
from toolkit.ledger.texts import (
    pairs,
    read_interrupts,
    read_oom_kills,
    read_pressure,
    read_schedstat,
    read_stat,
    read_throttling,
    read_usage_percpu,
    read_vmstat,
    ticks_hz,
    tightest,
)
from toolkit.model.cpulist import parse_cpulist

Values = Mapping[str, float | str]
_NS = 1_000_000_000
_US = 1_000_000
_RESOURCES = ("cpu", "memory", "io", "irq")
_TRIES = 5


@dataclass(frozen=True)
class Observed:
    """What is watched. ``cpus``, ``idle_cpus``, ``agent_cpus`` are kernel lists; ``pid`` is the host's number of the
    SDK container's first process, the agent.

    ``backend_pid`` is given where the backend shares the measured CPUs, ``host_shares`` where this program does:
    their time there is then ours, too. The agent's counts as ours only where ``agent_cpus`` are measured CPUs.
    """

    cpus: str
    pid: int
    backend_pid: int | None = None
    agent_cpus: str = ""
    idle_cpus: str = ""
    host_shares: bool = False


@dataclass(frozen=True)
class CgroupFiles:
    """Where one container's counters are. ``percpu`` is None on v2, which has no counters per CPU, and ``pressure``
    on v1, which has no pressure files.
    """

    stat: Path
    percpu: Path | None
    oom: Path
    pressure: Path | None


def cgroup_files(pid: int, root: Path = Path("/")) -> CgroupFiles:
    """The files of the cgroups that a process is in. Raises OSError when the process is gone."""
    base = root / "sys/fs/cgroup"
    groups = {}
    for line in (root / f"proc/{pid}/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        for controller in controllers.split(","):
            groups[controller] = path.lstrip("/")
    if "cpu" in groups:
        percpu = base / "cpuacct" / groups.get("cpuacct", groups["cpu"]) / "cpuacct.usage_percpu"
        oom = base / "memory" / groups.get("memory", groups["cpu"]) / "memory.oom_control"
        return CgroupFiles(base / "cpu" / groups["cpu"] / "cpu.stat", percpu, oom, None)
    own = base / groups.get("", "")
    return CgroupFiles(own / "cpu.stat", None, own / "memory.events", own)


class Sources:
    """All readers of one launch. ``table`` maps each to the names that it may fill."""

    def __init__(self, observed: Observed, root: Path = Path("/")) -> None:
        self._seen = observed
        self._root = root
        self._base = f"{root}".rstrip("/") + "/"
        self._cpus = parse_cpulist(observed.cpus)
        self._idle = parse_cpulist(observed.idle_cpus) if observed.idle_cpus else ()
        self._files: dict[int, CgroupFiles] = {}
        own = set(parse_cpulist(observed.agent_cpus)) if observed.agent_cpus else set()
        self._agent_is_ours = bool(own & set(self._cpus))

    @property
    def table(self) -> dict[Callable[[], Values], tuple[str, ...]]:
        """Reader to the names it fills. The first two make one difference and so must stand side by side."""
        return {
            self.total_time: ("total_cpu_seconds",),
            self.our_time: ("ours_cpu_seconds",),
            self.stat: ("steal_seconds", "irq_seconds", "softirq_seconds", "context_switches"),
            self.siblings: ("sibling_cpu_seconds",),
            self.throttling: ("throttled_periods", "throttled_seconds"),
            self.machine: ("swap_in_pages", "swap_out_pages", "machine_major_faults", "machine_oom_kills"),
            self.oom: ("oom_kills",),
            **{self._pressure(name, container=False): _pressure_names("", name) for name in _RESOURCES},
            **{self._pressure(name, container=True): _pressure_names("container_", name) for name in _RESOURCES},
            self.interrupts: ("interrupts", "device_interrupts"),
            self.softirqs: ("softirqs",),
            self.schedstat: ("timeslices", "cpu_run_queue_wait_seconds"),
            self.frequency: ("frequency_mean_hz", "frequency_lowest_hz"),
            self.heat: ("thermal_throttles",),
            self.clocks: ("wall_offset_seconds", "boot_offset_seconds", "raw_offset_seconds"),
            self.clock_source: ("clock_source",),
        }

    @cached_property
    def method(self) -> str:
        """How CPU time is counted: ``cpuacct`` (nanoseconds of tasks) or ``proc-stat`` (what is not idle).

        Only the real root group of cgroup v1 counts every task, and only it has a ``release_agent``.
        """
        return "cpuacct" if (self._root / "sys/fs/cgroup/cpuacct/release_agent").exists() else "proc-stat"

    def total_time(self) -> Values:
        """CPU time of all tasks on the measured CPUs."""
        return {"total_cpu_seconds": self._time_on(self._cpus)}

    def siblings(self) -> Values:
        """CPU time on the idle siblings: whoever it was, it was not to be."""
        if not self._idle:
            raise LookupError("the plan keeps no siblings idle")
        return {"sibling_cpu_seconds": self._time_on(self._idle)}

    def _time_on(self, cpus: tuple[int, ...]) -> float:
        if self.method == "cpuacct":
            return read_usage_percpu(self._text("sys/fs/cgroup/cpuacct/cpuacct.usage_percpu"), cpus)
        # What is neither idle nor stolen: the kernel counts idle time exactly, while its user and system columns are
        # samples by the tick (measured at 60 % load: 0.02 s off in 10 s, against 0.3 s).
        now, found = time.monotonic(), read_stat(self._text("proc/stat"), cpus)
        return len(cpus) * now - found["idle_seconds"] - found["steal_seconds"]

    def our_time(self) -> Values:
        """CPU time on the measured CPUs of containers, and of this program where it has to run there."""
        pids = [self._seen.pid] + ([self._seen.backend_pid] if self._seen.backend_pid is not None else [])
        host = time.process_time() if self._seen.host_shares else 0.0
        return {"ours_cpu_seconds": sum(self._used(pid) for pid in pids) + host}

    def _used(self, pid: int) -> float:
        files = self._cgroup(pid)
        if files.percpu is not None:
            return read_usage_percpu(read_text(files.percpu), self._cpus)
        total = int(pairs(read_text(files.stat))["usage_usec"]) / _US
        if self._agent_is_ours:
            return total
        # v2 counts per group only: take away its one process that may run elsewhere, the agent (user + system).
        stat = self._text(f"proc/{pid}/stat")
        fields = stat[stat.rindex(")") + 2 :].split()
        return total - (int(fields[11]) + int(fields[12])) / ticks_hz()

    def stat(self) -> Values:
        """Steal, interrupts and switches."""
        found = read_stat(self._text("proc/stat"), self._cpus)
        return {name: value for name, value in found.items() if name != "idle_seconds"}

    def throttling(self) -> Values:
        """The container's CPU quota at work."""
        return read_throttling(read_text(self._cgroup(self._seen.pid).stat))

    def machine(self) -> Values:
        """Swap, major faults and kills of the whole machine."""
        return read_vmstat(self._text("proc/vmstat"))

    def oom(self) -> Values:
        """Kills in the container's memory group."""
        return {"oom_kills": read_oom_kills(read_text(self._cgroup(self._seen.pid).oom))}

    def _pressure(self, resource: str, *, container: bool) -> Callable[[], Values]:
        prefix = "container_" if container else ""

        def read() -> Values:
            path = self._root / "proc/pressure" / resource
            if container:
                folder = self._cgroup(self._seen.pid).pressure
                if folder is None:
                    raise LookupError("cgroup v1 has no pressure files")
                path = folder / f"{resource}.pressure"
            found = read_pressure(read_text(path))
            return {f"{prefix}pressure_{resource}_{word}_seconds": value for word, value in found.items()}

        return read

    def interrupts(self) -> Values:
        """Interrupts of the measured CPUs."""
        found = read_interrupts(self._text("proc/interrupts"), self._cpus)
        return {"interrupts": found["all"], "device_interrupts": found["devices"]}

    def softirqs(self) -> Values:
        """Soft interrupts of the measured CPUs."""
        return {"softirqs": read_interrupts(self._text("proc/softirqs"), self._cpus)["all"]}

    def schedstat(self) -> Values:
        """The run queues of the measured CPUs (kernels with CONFIG_SCHEDSTATS)."""
        return read_schedstat(self._text("proc/schedstat"), self._cpus)

    def frequency(self) -> Values:
        """Frequencies of the measured CPUs now (kHz in the kernel's file)."""
        found = [int(self._text(f"sys/devices/system/cpu/cpu{n}/cpufreq/scaling_cur_freq")) for n in self._cpus]
        return {"frequency_mean_hz": fmean(found) * 1000, "frequency_lowest_hz": min(found) * 1000.0}

    def heat(self) -> Values:
        """Thermal events of the measured CPUs and their packages (Intel only)."""
        names = ("core_throttle_count", "package_throttle_count")
        folder = "sys/devices/system/cpu/cpu{}/thermal_throttle/{}"
        counts = [int(self._text(folder.format(cpu, name))) for cpu in self._cpus for name in names]
        return {"thermal_throttles": sum(counts)}

    def clocks(self) -> Values:
        """Offsets of the other clocks from CLOCK_MONOTONIC (clock_gettime(2))."""
        return {
            "wall_offset_seconds": _offset_seconds(time.CLOCK_REALTIME),
            "boot_offset_seconds": _offset_seconds(time.CLOCK_BOOTTIME),
            "raw_offset_seconds": _offset_seconds(time.CLOCK_MONOTONIC_RAW),
        }

    def clock_source(self) -> Values:
        """The kernel's clock source, a word."""
        return {
            "clock_source": self._text("sys/devices/system/clocksource/clocksource0/current_clocksource").strip(),
        }

    def _text(self, path: str) -> str:
        return read_text(f"{self._base}{path}")

    def _cgroup(self, pid: int) -> CgroupFiles:
        if pid not in self._files:
            self._files[pid] = cgroup_files(pid, self._root)
        return self._files[pid]


def _pressure_names(prefix: str, resource: str) -> tuple[str, ...]:
    words = ("full",) if resource == "irq" else ("some", "full")
    return tuple(f"{prefix}pressure_{resource}_{word}_seconds" for word in words)


def _offset_seconds(clock: int) -> float:
    readings = []
    for _try in range(_TRIES):
        before = time.monotonic_ns()
        other = time.clock_gettime_ns(clock)
        readings.append((before, other, time.monotonic_ns()))
    return tightest(readings) / _NS
