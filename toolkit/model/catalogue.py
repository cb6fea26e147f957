"""What the catalogue says of SDKs, workloads and backends: frozen values, read from ``images/`` by
``toolkit.catalogue``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class SettingMoved:
    """A setting that is not at the SDK's own default, and why."""

    setting: str
    value: str
    reason: str


@dataclass(frozen=True)
class SdkEntry:
    """One Go module at one version, with the adapter that drives it.

    ``workloads`` pairs a workload id with the ids of the backends it can run against; the first of each is the default.
    ``package`` is the folder of the adapter inside ``folder``. ``memory_bytes`` is the default container limit.
    """

    id: str
    module: str
    version: str
    licence: str
    folder: Path
    workloads: tuple[tuple[str, tuple[str, ...]], ...]
    aliases: tuple[str, ...] = ()
    lineage: str = ""
    memory_bytes: int = 512 * 1024 * 1024
    capabilities: tuple[str, ...] = ()
    settings_moved: tuple[SettingMoved, ...] = ()
    package: str = "."
    build: str = "go"

    def backends(self, workload: str) -> tuple[str, ...]:
        """The backends a workload can run against; empty when the SDK does not support it."""
        return dict(self.workloads).get(workload, ())


@dataclass(frozen=True)
class WorkloadEntry:
    """What an SDK is asked to do.

    ``backend`` holds the settings the workload wants of the backend (``pacing``, ``first_token_seconds`` ...).
    ``tokens`` is the
    number of output tokens (chat) or input tokens (embed), ``rate_hz`` the default arrival rate, ``compared`` the
    metric ids
    that may be compared between SDKs.
    """

    id: str
    kind: str
    unit: str
    arrival: str
    rate_hz: float
    tokens: int
    dimensions: int
    drives: tuple[str, ...]
    folder: Path
    backend: Mapping[str, object] = field(default_factory=dict)
    compared: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackendEntry:
    """The program an SDK talks to. ``ready`` is a URL or ``tcp:host:port``; ``settings`` are its defaults."""

    id: str
    tier: str
    speaks: tuple[str, ...]
    folder: Path
    port: int
    base_path: str
    ready: str
    memory_bytes: int = 256 * 1024 * 1024
    settings: Mapping[str, object] = field(default_factory=dict)
    licence: str = ""
    command: tuple[str, ...] = ("/repro/backend",)
    build: str = "go"
