"""What a container is asked to be: one value that engine adapter, compose rendering and read-back all start from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Mount:
    """A bind mount. ``source`` is a host path, so it never enters a manifest."""

    source: str
    target: str
    writable: bool = False


@dataclass(frozen=True)
class Tmpfs:
    """A private tmpfs of a fixed size; always nosuid and nodev, noexec unless ``executable``."""

    target: str
    size_bytes: int
    executable: bool = False


@dataclass(frozen=True)
class Ulimit:
    """One resource limit, see getrlimit(2)."""

    name: str
    soft: int
    hard: int


@dataclass(frozen=True)
class ContainerSpec:
    """A hardened container. The defaults are the isolation baseline; nothing relaxes it but an explicit field.

    ``network`` is ``none`` or ``container:<id>``. ``cpuset_cpus`` and ``cpuset_mems`` are kernel lists (``0-1``).
    ``memory_bytes`` is both the memory and the memory+swap limit, so there is no swap.
    ``seccomp`` is the profile as parsed JSON; None leaves the engine's default.
    """

    image: str
    command: tuple[str, ...]
    network: str = "none"
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    cpuset_cpus: str = ""
    cpuset_mems: str = ""
    memory_bytes: int = 512 * 1024 * 1024
    pids_limit: int = 256
    user: str = "65534:65534"
    seccomp: Mapping[str, object] | None = None
    mounts: tuple[Mount, ...] = ()
    tmpfs: tuple[Tmpfs, ...] = ()
    # 16384: an engine without CAP_SYS_RESOURCE cannot raise its own hard limit, which may be as low as 20000.
    ulimits: tuple[Ulimit, ...] = (Ulimit("core", 0, 0), Ulimit("nofile", 16384, 16384))
    shm_bytes: int = 16 * 1024 * 1024
    stop_grace_seconds: int = 5
    log_max_bytes: int = 16 * 1024 * 1024
    entrypoint: tuple[str, ...] | None = None
    working_dir: str = "/"
    volumes: tuple[str, ...] = ()
    """Anonymous volumes, filled from the image's content at that path (used by builds only)."""
