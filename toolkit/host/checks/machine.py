"""What the machine itself is: architecture, memory, and what lies between us and the metal."""

from __future__ import annotations

from typing import ClassVar

from toolkit.host.cpu_level import level_of, read_flags
from toolkit.host.property import OK, Advice, Property
from toolkit.model.cpulist import format_cpulist
from toolkit.units import size

_LEAST_BYTES = 256 * 1024**2
_LAUNCH_BYTES = 1024**3  # SDK and backend at their defaults, and the tool itself
ARCHITECTURE = "x86_64"
NATIVE_LEVEL = "x86-64-v3"


class Architecture(Property):
    """The locked packages and the toolchain are for one architecture."""

    id = "architecture"
    group = "machine"

    def show(self) -> str:
        return self.around.architecture

    def advise(self) -> Advice:
        if self.around.architecture == ARCHITECTURE:
            return OK
        return "fail", f"the locked inputs are for {ARCHITECTURE}: use such a machine"


class CpuLevel(Property):
    """Which instructions the processor has: images with native parts need more than the oldest ones."""

    id = "cpu_level"
    group = "machine"

    def available(self) -> bool:
        return self.around.architecture == ARCHITECTURE

    def show(self) -> str:
        return level_of(read_flags(self.around.root))

    def advise(self) -> Advice:
        if self.show() >= NATIVE_LEVEL:  # x86-64-v1 ... x86-64-v4 sort as they rank
            return OK
        return "warn", f"images with llama.cpp in them need {NATIVE_LEVEL}: their launches are refused here"


class Memory(Property):
    """Free memory for the two containers."""

    id = "memory"
    group = "memory"

    def show(self) -> str:
        return f"{size(self.around.topology.memory_bytes)}, {size(self.around.free_bytes())} available"

    def advise(self) -> Advice:
        if self.around.topology.memory_bytes < _LEAST_BYTES:
            return "fail", f"SDK and backend need at least {size(_LEAST_BYTES)} together"
        if self.around.free_bytes() < _LAUNCH_BYTES:
            return (
                "warn",
                f"a launch by default wants {size(_LAUNCH_BYTES)}: end other programs, or use --memory",
            )
        return OK


class Virtualization(Property):
    """A hypervisor can take CPU time away."""

    id = "virtualization"
    group = "machine"

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


class InContainer(Property):
    """Whether we are in a container: its CPUs and cgroup are what we see, and its files are not the engine's.

    The kernel's first PID and cgroup namespaces have fixed numbers (include/linux/proc_ns.h), so that a file such as
    ``/.dockerenv`` that was copied to a machine deceives nobody.
    """

    id = "container"
    group = "machine"
    _FIRST: ClassVar = {"pid": 0xEFFFFFFC, "cgroup": 0xEFFFFFFB}

    def _others(self) -> list[str]:
        links = {kind: self.around.link(f"proc/self/ns/{kind}") for kind in self._FIRST}
        return [kind for kind, first in self._FIRST.items() if links[kind] not in (None, f"{kind}:[{first}]")]

    def available(self) -> bool:
        return bool(self._others())

    def show(self) -> str:
        cpus = format_cpulist(self.around.topology.cpus)
        group = next(iter((self.around.text("proc/self/cgroup") or "").splitlines()[-1:]), "")
        return (
            f"inside one ({' and '.join(self._others())} namespace): CPUs {cpus}, cgroup {group.split(':')[-1] or '?'}"
        )

    def advise(self) -> Advice:
        return (
            "warn",
            (
                "CPUs and limits are this container's, host knobs are not its own, and an engine outside it sees other "
                "files: run repro on the host itself"
            ),
        )


class Wsl(Property):
    """The Windows Subsystem for Linux: a virtual machine whose CPUs Windows schedules."""

    id = "wsl"
    group = "machine"

    def available(self) -> bool:
        return "microsoft" in (self.around.text("proc/sys/kernel/osrelease") or "").lower()

    def show(self) -> str:
        return self.around.text("proc/sys/kernel/osrelease") or ""

    def advise(self) -> Advice:
        return (
            "warn",
            "CPU numbers are the virtual machine's, and Windows may put two of them on one core: grade B at most",
        )
