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
from toolkit.host.topology import Placement, Topology, place

State = Literal["ok", "warn", "fail", "absent"]
Advice = tuple[State, str]

OK: Advice = ("ok", "")


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
        return OK

    def finding(self) -> Finding:
        """All of it; ``absent`` where the property does not apply."""
        if not self.available():
            return Finding(self.id, "absent", "not here", "", self.exit_code)
        state, advice = self.advise()
        return Finding(self.id, state, self.show(), advice, self.exit_code)


def placement_of(around: Surroundings) -> Placement:
    """Where a launch on the CPUs in question (by default the first one) would put everybody. HostUnfit, UsageError."""
    return place(around.topology, around.cpus or str(around.topology.cpus[0]))
