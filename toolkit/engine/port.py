"""What this product needs of a container engine, and nothing more.

Every method may raise ``EngineUnavailable``, ``EngineLost`` or ``EngineRefused``; a library's own exception never
comes through. Identifiers are the engine's full container ids; they never enter a manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, Protocol

from toolkit.model.container import ContainerSpec

Json = dict[str, Any]

LABEL_RUN = "org.sealbench.run"
LABEL_OWNER_PID = "org.sealbench.owner.pid"
LABEL_OWNER_START = "org.sealbench.owner.start"
LABEL_OWNER_BOOT = "org.sealbench.owner.boot"
LABEL_OWNER_PIDNS = "org.sealbench.owner.pidns"
LABEL_ROLE = "org.sealbench.role"
LABEL_CPUS = "org.sealbench.cpus"
LABEL_KIND = "org.sealbench.kind"  # on images


@dataclass(frozen=True)
class EngineFacts:
    """What engine answered. ``local`` is false when it does not share this file system's host."""

    version: str
    api_version: str
    runtime_version: str
    containerd_version: str
    cgroup_version: str
    storage_driver: str
    security_options: tuple[str, ...]
    swap_limit: bool
    cpus: int
    memory_bytes: int
    local: bool
    rootless: bool
    operating_system: str
    warnings: tuple[str, ...] = ()
    cgroup_driver: str = ""
    missing_controllers: tuple[str, ...] = ()
    """cgroup controllers through which this engine cannot set a limit: it drops such limits with a warning."""

    @property
    def apparmor(self) -> bool:
        """Whether containers run under the engine's AppArmor profile; a rootless engine cannot load one."""
        return not self.rootless and any("apparmor" in option for option in self.security_options)


@dataclass(frozen=True)
class ContainerState:
    """The engine's account of one container."""

    running: bool
    exit_code: int | None
    oom_killed: bool
    error: str
    pid: int


@dataclass(frozen=True)
class OwnedContainer:
    """A container that carries our labels."""

    id: str
    labels: Mapping[str, str]
    running: bool


class Engine(Protocol):
    """A local container engine."""

    def facts(self) -> EngineFacts: ...

    def create(self, spec: ContainerSpec) -> tuple[str, tuple[str, ...]]:
        """Create a container; returns its id and the engine's warnings (a dropped limit is a warning)."""

    def start(self, container: str) -> None: ...

    def wait(self, container: str, timeout_seconds: float) -> int | None:
        """The exit code, or None when the time ran out."""

    def inspect(self, container: str) -> Json:
        """The engine's full view, as the Engine API gives it."""

    def state(self, container: str) -> ContainerState: ...

    def signal(self, container: str, name: str) -> None:
        """Send a signal (``TERM``, ``KILL``); no error when the container has ended."""

    def stop(self, container: str, grace_seconds: int) -> None: ...

    def remove(self, container: str) -> None:
        """Remove with its anonymous volumes, by force; no error when it is gone."""

    def logs(self, container: str, *, stderr: bool, limit_bytes: int) -> bytes: ...

    def copy_out(self, container: str, path: str) -> Iterable[bytes]:
        """A tar stream of a path of the container."""

    def copy_in(self, container: str, path: str, tar: BinaryIO) -> None:
        """Unpack a tar stream below a path of a container that has not started, into a volume of it."""

    def owned(self, label: str = LABEL_RUN) -> list[OwnedContainer]:
        """All containers carrying the label, running or not."""

    def load(self, archive: BinaryIO | Path) -> None:
        """Load a docker archive."""

    def save(self, image: str) -> Iterable[bytes]:
        """A docker archive of one image."""

    def image(self, reference: str) -> Json | None:
        """The engine's view of an image, or None."""

    def image_names(self, label: str) -> list[str]:
        """The names of all images that carry the label."""

    def tag(self, image_id: str, reference: str) -> None: ...

    def remove_image(self, reference: str) -> None: ...

    def build(self, context: Path, dockerfile: str, tag: str, *, no_cache: bool) -> str:
        """``docker build --network none`` of a context; returns the image id (used to prove the Dockerfile route)."""
