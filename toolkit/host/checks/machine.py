"""CPUs, memory, virtualization: what the machine itself is."""

from __future__ import annotations

from toolkit.errors import HostUnfit, ReproError
from toolkit.host.checks.property import OK, Advice, Property, placement_of
from toolkit.host.cpu_level import level_of, read_flags
from toolkit.model.cpulist import format_cpulist
from toolkit.units import size

_LEAST_BYTES = 256 * 1024**2
_LAUNCH_BYTES = 1024**3  # SDK and backend at their defaults, and the tool itself
ARCHITECTURE = "x86_64"
NATIVE_LEVEL = "x86-64-v3"


class Architecture(Property):
    """The locked packages and the toolchain are for one architecture."""

    id = "architecture"

    def show(self) -> str:
        return self.around.architecture

    def advise(self) -> Advice:
        if self.around.architecture == ARCHITECTURE:
            return OK
        return "fail", f"the locked inputs are for {ARCHITECTURE}: use such a machine"


class CpuLevel(Property):
    """Which instructions the processor has: images with native parts need more than the oldest ones."""

    id = "cpu_level"

    def available(self) -> bool:
        return self.around.architecture == ARCHITECTURE

    def show(self) -> str:
        return level_of(read_flags(self.around.root))

    def advise(self) -> Advice:
        if self.show() >= NATIVE_LEVEL:  # x86-64-v1 ... x86-64-v4 sort as they rank
            return OK
        return "warn", f"images with llama.cpp in them need {NATIVE_LEVEL}: their launches are refused here"


class Cpus(Property):
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


class Numa(Property):
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
        except ReproError:
            return OK  # the CPUs' own row says it
        if mems.isdecimal():
            return OK
        return "warn", f"--cpus {self.around.cpus} spans memory nodes {mems}: choose CPUs of one node"


class Memory(Property):
    """Free memory for the two containers."""

    id = "memory"

    def _free_bytes(self) -> int:
        for line in (self.around.text("proc/meminfo") or "").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return self.around.topology.memory_bytes

    def show(self) -> str:
        return f"{size(self.around.topology.memory_bytes)}, {size(self._free_bytes())} available"

    def advise(self) -> Advice:
        if self.around.topology.memory_bytes < _LEAST_BYTES:
            return "fail", f"SDK and backend need at least {size(_LEAST_BYTES)} together"
        if self._free_bytes() < _LAUNCH_BYTES:
            return (
                "warn",
                f"a launch by default wants {size(_LAUNCH_BYTES)}: end other programs, or use --memory",
            )
        return OK


class SwapInUse(Property):
    """Swap of the host: the containers have none, but what is around them can be slowed by it."""

    id = "swap"

    def _fields(self) -> dict[str, int]:
        rows = [
            line.split() for line in (self.around.text("proc/meminfo") or "").splitlines() if line.startswith("Swap")
        ]
        swap = [row for row in rows if row and row[0].startswith("Swap")]
        return {row[0].rstrip(":"): int(row[1]) * 1024 for row in swap}

    def available(self) -> bool:
        return self._fields().get("SwapTotal", 0) > 0

    def show(self) -> str:
        fields = self._fields()
        return f"{size(fields['SwapTotal'])}, {size(fields['SwapTotal'] - fields.get('SwapFree', 0))} in use"


class Virtualization(Property):
    """A hypervisor can take CPU time away."""

    id = "virtualization"

    def _virtual(self) -> bool:
        lines = (self.around.text("proc/cpuinfo") or "").splitlines()
        flags = next((line for line in lines if line.startswith("flags")), "")
        return "hypervisor" in flags.split()

    def show(self) -> str:
        return "a hypervisor is below" if self._virtual() else "none seen"

    def advise(self) -> Advice:
        return (
            ("warn", "grade B at most: its neighbours can be felt; absolute times hold for this machine only")
            if self._virtual()
            else OK
        )


class Governor(Property):
    """The frequency governor of the CPUs."""

    id = "governor"
    _PATH = "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"

    def available(self) -> bool:
        return self.around.text(self._PATH) is not None

    def show(self) -> str:
        return self.around.text(self._PATH) or ""

    def advise(self) -> Advice:
        if self.show() == "performance":
            return OK
        return (
            "warn",
            "the clock follows the load: while you measure, sudo cpupower frequency-set -g performance",
        )
