"""What one property of a host is, and what it may look at."""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

from toolkit.engine.port import EngineFacts
from toolkit.errors import EngineError, HostUnfit
from toolkit.host.load import Load
from toolkit.host.topology import Placement, Topology, place
from toolkit.model.cpulist import parse_cpulist

State = Literal["ok", "warn", "fail", "absent"]
Advice = tuple[State, str]

OK: Advice = ("ok", "")
GROUPS = ("engine", "machine", "CPUs", "clocks", "memory", "kernel", "now", "tool")
"""The headings of the doctor's answer, in order."""


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
    state: Path = Path("/var/lib/sealbench")
    load: Load | None = None
    clock_synchronised: bool | None = None

    def measured(self) -> tuple[int, ...]:
        """The CPUs in question that are here: those asked for, else the first one."""
        if not self.cpus:
            return self.topology.cpus[:1]
        return tuple(cpu for cpu in parse_cpulist(self.cpus) if cpu in self.topology.cpus)

    def text(self, path: str) -> str | None:
        """A file below ``root``, stripped; None when it cannot be read."""
        try:
            return (self.root / path).read_text().strip()
        except (OSError, UnicodeDecodeError):
            return None

    def number(self, path: str) -> int | None:
        """A file that holds one decimal number; None when it cannot be read or holds something else."""
        text = self.text(path)
        return int(text) if text is not None and text.lstrip("-").isdecimal() else None

    def cpu_list(self, path: str) -> tuple[int, ...]:
        """A file that holds a kernel list; empty when it cannot be read or holds none (``(null)`` is none, too)."""
        try:
            return parse_cpulist(self.text(path) or "")
        except ValueError:
            return ()

    def link(self, path: str) -> str | None:
        """Where a symbolic link below ``root`` leads; None when it cannot be read."""
        try:
            return os.readlink(self.root / path)
        except OSError:
            return None

    def free_bytes(self) -> int:
        """Memory that could be had without swapping (proc(5), MemAvailable); all of it if the kernel does not tell."""
        for line in (self.text("proc/meminfo") or "").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
        return self.topology.memory_bytes

    def runs_program(self, name: str) -> bool:
        """Whether a process of that name is alive (proc(5), ``comm``; at most 15 characters)."""
        return any(self.text(str(path.relative_to(self.root))) == name for path in self.root.glob("proc/[0-9]*/comm"))


@dataclass(frozen=True)
class Finding:
    """One row of the doctor's answer. ``exit_code`` is what a failure of it ends the command with."""

    id: str
    group: str
    state: State
    found: str
    advice: str
    exit_code: int

    def to_json(self) -> dict[str, str]:
        """In the shape of ``schemas/doctor.schema.json``."""
        return {
            "id": self.id,
            "group": self.group,
            "state": self.state,
            "found": self.found,
            "advice": self.advice,
        }


class Property:
    """One property of a host. Subclasses say what is there and what it means. ``group`` is a heading of ``GROUPS``."""

    id: ClassVar[str]
    group: ClassVar[str]
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
        return OK

    def finding(self) -> Finding:
        """All of it; ``absent`` where the property does not apply."""
        if not self.available():
            return Finding(self.id, self.group, "absent", "not here", "", self.exit_code)
        state, advice = self.advise()
        return Finding(self.id, self.group, state, self.show(), advice, self.exit_code)


def placement_of(around: Surroundings) -> Placement:
    """Where a launch on the CPUs in question (by default the first one) would put everybody. HostUnfit, UsageError."""
    return place(around.topology, around.cpus or str(around.topology.cpus[0]))
