"""The plan: what will be run, in which order, with which seed. It is data; nothing in it is found out later.

``CellPlan`` is flat on purpose: the harness, the agent, the rendering and the analysis all read their part of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Drive = Literal["open", "bench"]
Gates = Literal["judge", "record"]
MemPolicy = Literal["bind", "interleave", "preferred", "none"]

PLAN_SCHEMA = "repro.plan/1"


@dataclass(frozen=True)
class CellPlan:
    """One cell and everything that fixes how a launch of it runs.

    CPU and node fields are kernel lists. ``cpus`` are the measured CPUs; ``housekeeping_cpus`` are the host
    program's own. ``shared_cpus`` is true when agent, backend or host had to sit on measured CPUs.
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
        cells = tuple(CellPlan(**cell) for cell in value["cells"])
        order = tuple(Turn(**turn) for turn in value["order"])
        return Plan(cells, order, int(value["seed"]))
    except (KeyError, TypeError) as problem:
        raise ValueError(f"a field is missing or unknown: {problem}") from problem
