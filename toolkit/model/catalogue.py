"""What the catalogue says of SDKs, workloads and backends: frozen values, read from ``images/`` by
``toolkit.catalogue``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

IN_PROCESS = "none"
"""The ``build`` of a backend that is no container: the engine runs inside the SDK's own process."""


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
    ``wire`` is the wire format it speaks: a key of ``BackendEntry.wires``. ``package`` is the folder of the adapter
    inside ``folder``. ``memory_bytes`` is the default container limit. ``cgo``, ``build_environment`` and ``native``
    (parts of ``images/native``, their libraries below ``/repro/lib``) say how it is compiled; ``models`` gives per
    workload kind the files of ``images/models`` it loads, below ``/repro/models`` (the first is the model, a second one
    its vision projector). ``environment`` is added to the container's. ``cpu_level`` is the x86-64 level that its image
    needs. ``built_on`` names the modules whose wire layer it uses. ``text_unit`` and ``special_tokens``: what its
    tokenizer makes one token of, and how many it adds itself, so that an input has exactly the workload's number of
    tokens. ``null`` marks the null SDK.
    """

    id: str
    module: str
    version: str
    licence: str
    folder: Path
    workloads: tuple[tuple[str, tuple[str, ...]], ...]
    wire: str = "openai"
    aliases: tuple[str, ...] = ()
    alias_notes: Mapping[str, str] = field(default_factory=dict)
    lineage: str = ""
    built_on: tuple[str, ...] = ()
    memory_bytes: int = 512 * 1024 * 1024
    settings_moved: tuple[SettingMoved, ...] = ()
    package: str = "."
    build: str = "go"
    cgo: bool = False
    build_environment: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    native: tuple[str, ...] = ()
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cpu_level: str = "x86-64-v1"
    text_unit: str = "words"
    special_tokens: int = 0
    null: bool = False

    def backends(self, workload: str) -> tuple[str, ...]:
        """The backends a workload can run against; empty when the SDK does not support it."""
        return dict(self.workloads).get(workload, ())


@dataclass(frozen=True)
class WorkloadEntry:
    """What an SDK is asked to do.

    ``backend`` holds the settings the workload wants of the backend (``pacing``, ``first_token_seconds`` ...).
    ``tokens`` is the number of output tokens (chat) or input tokens (embed), ``vectors`` and ``top`` the size of the
    set that is searched and of the answer (similarity), ``rate_hz`` the default arrival rate, ``compared`` the metric
    ids that may be compared between SDKs.
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
    vectors: int = 0
    top: int = 0
    backend: Mapping[str, object] = field(default_factory=dict)
    compared: tuple[str, ...] = ()


@dataclass(frozen=True)
class BackendEntry:
    """The program an SDK talks to.

    ``wires`` maps each wire format it speaks to the path of its base URL. ``ready`` is a URL or ``tcp:host:port``;
    ``tls_port`` answers HTTP/2 over TLS, if any. ``settings`` are its defaults (``REPRO_BACKEND``). ``model`` is the
    name an SDK asks for; ``models`` gives per workload kind the files of ``images/models`` it serves. ``command``,
    ``environment`` and, per workload kind, ``commands`` may hold ``{model}``, ``{projector}``, ``{port}`` and
    ``{threads}``. ``drive`` is the default drive against it: ``closed`` for real backends. ``build: none`` is no
    container at all; ``build: native`` takes ``program`` from a part of ``images/native``; ``main`` is the
    import path of a program in one of the modules that ``go.mod`` requires.
    """

    id: str
    tier: str
    wires: Mapping[str, str]
    folder: Path
    port: int = 0
    tls_port: int = 0
    ready: str = ""
    note: str = ""
    memory_bytes: int = 256 * 1024 * 1024
    pids: int = 256
    settings: Mapping[str, object] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    licence: str = ""
    model: str = ""
    command: tuple[str, ...] = ("/repro/backend",)
    commands: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    build: str = "go"
    package: str = "."
    main: str = ""
    cgo: bool = False
    build_environment: Mapping[str, str] = field(default_factory=dict)
    native: tuple[str, ...] = ()
    program: str = ""
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    cpu_level: str = "x86-64-v1"
    drive: str = "open"
    text_unit: str = "words"
    special_tokens: int = 0

    @property
    def in_process(self) -> bool:
        """Whether there is no backend container: the engine runs inside the SDK's process."""
        return self.build == IN_PROCESS
