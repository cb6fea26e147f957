"""The plan: what will be run, in which order, with which seed. It is data; nothing in it is found out later.

``CellPlan`` is flat on purpose: the harness, the agent, the rendering and the analysis all read their part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal, get_args

Drive = Literal["open", "closed", "bench", "probe"]
DRIVES = tuple(word for word in get_args(Drive) if word != "probe")
"""The drives a user may ask for; ``repro probe`` has one of its own."""

Gates = Literal["judge", "record"]
MemPolicy = Literal["bind", "interleave", "preferred", "none"]

PLAN_SCHEMA = "repro.plan/1"


@dataclass(frozen=True)
class ModelFile:
    """A model of the user's own (``--model FILE``), by its bytes. ``name``: the file's, without its folder."""

    name: str
    sha256: str
    size_bytes: int


@dataclass(frozen=True)
class CellPlan:
    """One cell and everything that fixes how a launch of it runs.

    CPU and node fields are kernel lists. ``cpus`` are the measured CPUs; ``housekeeping_cpus`` are the host
    program's own. ``shared_cpus`` is true when agent, backend or host had to sit on measured CPUs, ``shared_cores``
    when on hardware siblings of these. ``idle_cpus`` are siblings that nobody may use, leased with the measured ones.
    ``lane_notes`` say why this lane.

    ``arms`` are the settings that ``arm`` names (a long name is cut, so it cannot be read back).
    ``asked_as`` is the alias the user typed, if any; ``null_sdk``: this is the null SDK;
    ``baseline``: and nobody asked for it by name.
    ``in_process``: the engine runs inside the SDK's process and there is no backend container. ``model`` is the name an
    SDK asks for; ``model_path`` and its like are paths inside the SDK's container; ``models``
    are those of every workload kind, for probes. ``interference_budget`` is the most that a window may have of each key
    (``toolkit.model.interference``), None where it is not judged. ``cpu_level`` is the x86-64 level
    that the images need. ``sdk_defaults``: without the settings the adapter moves. ``control_url`` is the backend's
    plain root where the harness needs it. ``schedule_sha256`` names the schedule of an open drive
    (``toolkit.model.schedule``), "" in the others and in plans older than the field.
    """

    cell: str
    sdk: str
    module: str
    version: str
    workload: str
    workload_kind: str
    backend: str
    backend_tier: str
    drive: Drive
    arm: str
    arrival: str
    rate_hz: float
    tokens: int
    dimensions: int
    seed: int
    warmup_seconds: float
    duration_seconds: float
    drain_seconds: float
    max_in_flight: int
    request_timeout_seconds: float
    launches: int
    cpus: str
    mems: str
    agent_cpus: str
    backend_cpus: str
    housekeeping_cpus: str
    shared_cpus: bool
    memory_bytes: int
    backend_memory_bytes: int
    mem_policy: MemPolicy
    sample_hz: float
    window_seconds: float
    timing_gates: Gates
    bench_count: int
    bench_time_seconds: float
    gomaxprocs: int
    environment: Mapping[str, str] = field(default_factory=dict)
    backend_settings: Mapping[str, Any] = field(default_factory=dict)
    base_url: str = ""
    ready: str = ""
    asked_as: str = ""
    baseline: bool = False
    null_sdk: bool = False
    in_process: bool = False
    cpu_level: str = "x86-64-v1"
    sdk_defaults: bool = False
    concurrency: int = 1
    text_unit: str = "words"
    special_tokens: int = 0
    vectors: int = 0
    top: int = 0
    model: str = "stub"
    model_file: ModelFile | None = None
    models: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    model_path: str = ""
    projector_path: str = ""
    library_path: str = ""
    threads: int = 0
    control_url: str = ""
    tls: bool = False
    backend_command: tuple[str, ...] = ("/repro/backend",)
    backend_environment: Mapping[str, str] = field(default_factory=dict)
    backend_pids: int = 256
    arms: Mapping[str, str] = field(default_factory=dict)
    schedule_sha256: str = ""
    idle_cpus: str = ""
    shared_cores: bool = False
    lane_notes: tuple[str, ...] = ()
    interference_budget: Mapping[str, float | None] = field(default_factory=dict)

    @property
    def synthetic_model(self) -> bool:
        """Whether what answers is one of the tiny models made here."""
        return self.backend_tier == "tiny-model"

    @property
    def planned_seconds(self) -> float:
        """How long the SDK container should live once its child started, in seconds."""
        if self.drive == "bench":
            # testing.B grows b.N until a run lasts benchtime, which costs up to as much again.
            return self.bench_count * (self.bench_time_seconds * 2.5 + 5)
        return self.warmup_seconds + self.duration_seconds + self.drain_seconds + 2


@dataclass(frozen=True)
class Turn:
    """One place in the order: which launch of which cell comes now."""

    cell: str
    launch: int


@dataclass(frozen=True)
class Plan:
    """All cells of a run, and the order of their launches, drawn once from ``seed``."""

    cells: tuple[CellPlan, ...]
    order: tuple[Turn, ...]
    seed: int
    schema: str = PLAN_SCHEMA

    def cell(self, cell: str) -> CellPlan:
        """The cell of that id; KeyError if there is none."""
        for plan in self.cells:
            if plan.cell == cell:
                return plan
        raise KeyError(cell)

    def to_json(self) -> dict[str, Any]:
        """Plain JSON, in the shape of ``schemas/plan.schema.json``."""
        return {
            "schema": self.schema,
            "seed": self.seed,
            "cells": [asdict(cell) for cell in self.cells],
            "order": [asdict(turn) for turn in self.order],
        }


def plan_from_json(value: Mapping[str, Any]) -> Plan:
    """The plan of a ``plan.json``; raises ValueError when it is not one we can read."""
    if value.get("schema") != PLAN_SCHEMA:
        raise ValueError(f"schema {value.get('schema')!r} is not {PLAN_SCHEMA!r}")
    try:
        cells = tuple(_cell(cell) for cell in value["cells"])
        order = tuple(Turn(**turn) for turn in value["order"])
        return Plan(cells, order, int(value["seed"]))
    except (AttributeError, KeyError, TypeError) as problem:
        raise ValueError(f"a field is missing or unknown: {problem}") from problem


def _cell(value: Mapping[str, Any]) -> CellPlan:
    cell = CellPlan(**value)
    own = value.get("model_file")
    return replace(
        cell,
        backend_command=tuple(cell.backend_command),
        lane_notes=tuple(cell.lane_notes),
        models={kind: tuple(files) for kind, files in cell.models.items()},
        model_file=ModelFile(**own) if own is not None else None,
    )
