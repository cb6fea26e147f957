"""Which CPUs there are, and what those in question share with others."""

from __future__ import annotations

from toolkit.errors import HostUnfit
from toolkit.host.property import OK, Advice, Property, placement_of
from toolkit.model.cpulist import format_cpulist


class _CpuProperty(Property):
    group = "CPUs"

    def _named(self) -> str:
        """The CPUs in question, for sentences."""
        return "CPU " + format_cpulist(self.around.measured())


class Cpus(_CpuProperty):
    """The measured CPUs, and who has to share them."""

    id = "cpus"

    def show(self) -> str:
        here = format_cpulist(self.around.topology.cpus)
        return f"CPUs {here}" + (f", asked for {self.around.cpus}" if self.around.cpus else "")

    def advise(self) -> Advice:
        try:
            chosen = placement_of(self.around)
        except HostUnfit as problem:
            return "fail", f"{problem.title}; {problem.remedy}"
        if not chosen.shared:
            return OK
        if self.around.cpus:
            return (
                "warn",
                "agent, backend and host program share the measured CPUs: grade C at most; leave one CPU out of --cpus",
            )
        return "warn", "one CPU is all there is: agent, backend and host program share it, grade C at most"


class CacheDomains(_CpuProperty):
    """Last-level caches (``cache/index3/shared_cpu_list``; BenchExec issue 748: ``die_cpus_list`` is not the same)."""

    id = "l3"

    def _domains(self, cpus: tuple[int, ...]) -> set[tuple[int, ...]]:
        lists = (self.around.cpu_list(f"sys/devices/system/cpu/cpu{n}/cache/index3/shared_cpu_list") for n in cpus)
        return {cpus for cpus in lists if cpus}

    def available(self) -> bool:
        return bool(self._domains(self.around.topology.cpus))

    def show(self) -> str:
        domains = sorted(self._domains(self.around.topology.cpus))
        return "; ".join(f"CPUs {format_cpulist(cpus)}" for cpus in domains)

    def advise(self) -> Advice:
        touched = sorted(self._domains(self.around.measured()))
        if len(touched) < 2:
            return OK
        lists = " and ".join(format_cpulist(cpus) for cpus in touched)
        return "warn", f"{self._named()} lie in several L3 caches ({lists}): choose CPUs of one"


class HybridCores(_CpuProperty):
    """Cores of several kinds: Intel's P and E cores, or different ``cpu_capacity``."""

    id = "hybrid"

    def _kinds(self) -> dict[str, tuple[int, ...]]:
        kinds = {
            "performance": self.around.cpu_list("sys/devices/cpu_core/cpus"),
            "efficient": self.around.cpu_list("sys/devices/cpu_atom/cpus"),
        }
        if all(kinds.values()):
            return kinds
        capacities: dict[str, tuple[int, ...]] = {}
        for cpu in self.around.topology.cpus:
            capacity = self.around.number(f"sys/devices/system/cpu/cpu{cpu}/cpu_capacity")
            if capacity is not None:
                capacities[f"capacity {capacity}"] = (*capacities.get(f"capacity {capacity}", ()), cpu)
        return capacities

    def available(self) -> bool:
        return len(self._kinds()) > 1

    def show(self) -> str:
        return "; ".join(f"{kind}: CPUs {format_cpulist(cpus)}" for kind, cpus in sorted(self._kinds().items()))

    def advise(self) -> Advice:
        touched = [kind for kind, cpus in sorted(self._kinds().items()) if set(cpus) & set(self.around.measured())]
        if len(touched) < 2:
            return OK
        return "warn", f"{self._named()} are of several kinds ({', '.join(touched)}): choose CPUs of one"


class Isolated(_CpuProperty):
    """CPUs that the kernel keeps its scheduler off: isolcpus and nohz_full of the boot line."""

    id = "isolated"
    _FOLDER = "sys/devices/system/cpu"

    def available(self) -> bool:
        return bool(self._list("isolated") or self._list("nohz_full"))

    def _list(self, name: str) -> tuple[int, ...]:
        return self.around.cpu_list(f"{self._FOLDER}/{name}")

    def show(self) -> str:
        return f"isolcpus {format_cpulist(self._list('isolated')) or 'none'}, nohz_full " + (
            format_cpulist(self._list("nohz_full")) or "none"
        )

    def advise(self) -> Advice:
        measured = set(self.around.measured())
        if isolated := measured & set(self._list("isolated")):
            return (
                "warn",
                (
                    f"threads on CPU {format_cpulist(isolated)} are never balanced (isolcpus), and Go relies on it: "
                    "choose other CPUs, or boot without isolcpus"
                ),
            )
        if tickless := measured & set(self._list("nohz_full")):
            return (
                "warn",
                (
                    f"CPU {format_cpulist(tickless)} runs without a tick (nohz_full): CPU times and frequencies read "
                    "there are coarse; choose other CPUs, or boot without nohz_full"
                ),
            )
        return OK


class Numa(_CpuProperty):
    """Memory nodes."""

    id = "memory_nodes"

    def show(self) -> str:
        nodes = self.around.topology.nodes
        parts = [f"node {node}: CPUs {format_cpulist(cpus) or 'none'}" for node, cpus in sorted(nodes.items())]
        return "; ".join(parts)

    def advise(self) -> Advice:
        if not self.around.cpus or len(self.around.topology.nodes) < 2:
            return OK
        try:
            mems = placement_of(self.around).mems
        except HostUnfit:
            return OK  # the CPUs' own row says it
        if mems.isdecimal():
            return OK
        return "warn", f"--cpus {self.around.cpus} spans memory nodes {mems}: choose CPUs of one node"
