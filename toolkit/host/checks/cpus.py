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
        if chosen.shared_cores:
            return (
                "warn",
                (
                    "agent, backend and host program are on the other threads of the measured cores: grade C at most; "
                    "measure fewer cores"
                ),
            )
        if not chosen.shared:
            return OK
        if self.around.cpus:
            return (
                "warn",
                "agent, backend and host program share the measured CPUs: grade C at most; leave one CPU out of --cpus",
            )
        return "warn", "one CPU is all there is: agent, backend and host program share it, grade C at most"


class CacheDomains(_CpuProperty):
    """Last-level caches: CPUs behind several of them share nothing faster than memory."""

    id = "l3"

    def available(self) -> bool:
        return bool(self.around.topology.caches)

    def show(self) -> str:
        return "; ".join(f"CPUs {format_cpulist(cpus)}" for cpus in self.around.topology.caches)

    def advise(self) -> Advice:
        touched = sorted({self.around.topology.cache_of(cpu) for cpu in self.around.measured()})
        if len(touched) < 2:
            return OK
        lists = " and ".join(format_cpulist(cpus) for cpus in touched)
        return "warn", f"{self._named()} lie in several L3 caches ({lists}): choose CPUs of one"


class HybridCores(_CpuProperty):
    """Cores of several classes, such as Intel's P and E cores."""

    id = "hybrid"

    def available(self) -> bool:
        return len(self.around.topology.classes) > 1

    def show(self) -> str:
        return "; ".join(f"{name} cores: CPUs {format_cpulist(cpus)}" for name, cpus in self.around.topology.classes)

    def advise(self) -> Advice:
        topology = self.around.topology
        touched = sorted({topology.class_of(cpu) for cpu in self.around.measured()})
        if len(touched) < 2:
            return OK
        names = ", ".join(topology.class_name(rank) for rank in touched)
        return "warn", f"{self._named()} are of several kinds ({names}): choose CPUs of one"


class Isolated(_CpuProperty):
    """CPUs that the kernel keeps its scheduler off: isolcpus and nohz_full of the boot line."""

    id = "isolated"

    def available(self) -> bool:
        return bool(self.around.topology.isolated or self.around.topology.nohz_full)

    def show(self) -> str:
        isolated, tickless = self.around.topology.isolated, self.around.topology.nohz_full
        return f"isolcpus {format_cpulist(isolated) or 'none'}, nohz_full {format_cpulist(tickless) or 'none'}"

    def advise(self) -> Advice:
        measured = set(self.around.measured())
        if isolated := measured & set(self.around.topology.isolated):
            return (
                "warn",
                (
                    f"threads on CPU {format_cpulist(isolated)} are never balanced (isolcpus), and Go relies on it: "
                    "choose other CPUs, or boot without isolcpus"
                ),
            )
        if tickless := measured & set(self.around.topology.nohz_full):
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
