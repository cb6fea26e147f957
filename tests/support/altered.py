"""Launches of one prepared cell in which something is other than asked: the request, the answer, or what happens then.

The engine is the real one. ``Altered`` sends it another request than the launch made, and may hide that from the launch
(an engine that does not do what it says): then only the kernel's readers can tell.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from toolkit.build.images import BuildOptions
from toolkit.catalogue import load_catalogue
from toolkit.cli.choose import choose
from toolkit.engine.docker import DockerEngine
from toolkit.engine.fake import FakeEngine
from toolkit.engine.port import LABEL_ROLE
from toolkit.engine.request import creation_body
from toolkit.fetch.store import Store
from toolkit.host.placement import place
from toolkit.host.topology import read_topology
from toolkit.launch.attempt import Hands
from toolkit.launch.interrupts import Interrupts
from toolkit.launch.judge import AttemptOutcome
from toolkit.launch.prepare import World, prepare
from toolkit.launch.run import Prepared, execute
from toolkit.model.container import ContainerSpec
from toolkit.model.plan import CellPlan
from toolkit.plan import Request, make_plan
from toolkit.schemas import validate

Json = dict[str, Any]
_TURNS = 8
_LOOKS = 5
WORKLOAD = "chat-stream-128"
Change = Callable[[Json], None]
"""Of the body of ``POST /containers/create``."""


@dataclass
class Altered:
    """``port.Engine``: the real one, asked for something else. ``changes``: role to what is done to its request."""

    engine: DockerEngine
    changes: Mapping[str, Change] = field(default_factory=dict)
    lies: bool = False
    answer: Change | None = None
    """What is done to every view of the SDK's container."""
    roles: dict[str, str] = field(default_factory=dict)
    told: dict[str, Json] = field(default_factory=dict)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.engine, name)

    def create(self, spec: ContainerSpec) -> tuple[str, tuple[str, ...]]:
        """Create what the change makes of it."""
        version = self.engine.facts().cgroup_version
        role, body = spec.labels[LABEL_ROLE], creation_body(spec, cgroup_version=version)
        self.changes.get(role, lambda _: None)(body)
        with patch("toolkit.engine.docker.creation_body", return_value=body):
            container, warnings = self.engine.create(spec)
        self.roles[container] = role
        fake = FakeEngine(images=[spec.image], cgroup_version=version)
        self.told[container] = fake.inspect(fake.create(spec)[0])
        return container, warnings

    def inspect(self, container: str) -> Json:
        """What it is, or what it was asked to be."""
        view = self.engine.inspect(container)
        if self.lies:
            asked = self.told[container]
            view = {**view, **{key: asked[key] for key in ("Config", "HostConfig", "Mounts")}}
        if self.answer is not None and self.roles.get(container) == "sdk":
            self.answer(view)
        return view


@dataclass(frozen=True)
class Bench:
    """One cell, prepared once: its images are there, its lane is held by whoever made this."""

    engine: DockerEngine
    prepared: Prepared
    runs: Path

    @property
    def cell(self) -> CellPlan:
        """The plan of its only cell."""
        return self.prepared.plan.cells[0]

    @property
    def cgroup_version(self) -> str:
        """The engine's word."""
        return self.engine.facts().cgroup_version

    def launch(
        self, engine: Any = None, progress: Callable[[str], None] = lambda _: None, **changes: Any
    ) -> AttemptOutcome:
        """One launch through the whole of ``execute``; ``changes`` are of the cell's plan."""
        cell = replace(self.cell, **changes)
        prepared = replace(self.prepared, plan=replace(self.prepared.plan, cells=(cell,)))
        report = execute(prepared, Hands(engine or self.engine, Interrupts(), progress), self.runs)
        (outcome,) = report.outcomes
        validate(outcome.result, "result")
        validate(outcome.readback, "readback")
        return outcome


def bench(engine: DockerEngine, runs: Path, sdk: str, catalogue: Path | None = None, **changes: Any) -> Bench:
    """Prepare an SDK's cell on CPU 0, as ``repro launch`` does; ``changes`` are of the cell's plan."""
    shelf, topology = load_catalogue(catalogue), read_topology()
    request = Request(workload=WORKLOAD, duration_seconds=1.0, warmup_seconds=1.0, timing_gates="record")
    choices = choose(shelf, [sdk], WORKLOAD)
    plan = make_plan(request, choices, place(topology, "0"))
    plan = replace(plan, cells=(replace(plan.cells[0], **changes),))
    world = World(engine, Store.open(), shelf, topology, runs, lambda _: None)
    runs.mkdir(parents=True, exist_ok=True)
    with contextlib.redirect_stdout(io.StringIO()):
        return Bench(engine, prepare(world, plan, choices, BuildOptions(allow_relock=False)), runs)


def pace() -> float:
    """Whole seconds in which this machine can look and do something in peace: 1, or more where it is slow or busy."""
    slowest = 0.0
    for _ in range(_LOOKS):
        begin = time.monotonic()
        subprocess.run(["docker", "version"], capture_output=True, check=True)
        slowest = max(slowest, time.monotonic() - begin)
    return float(max(1, round(_TURNS * slowest)))


def drifts(outcome: AttemptOutcome) -> dict[str, Json]:
    """``result.json``'s broken limits, by what they are of."""
    found = [one["drift"] for one in outcome.result["invalid"] if "drift" in one]
    return {one["what"]: one for one in found}


def broken(outcome: AttemptOutcome) -> set[str]:
    """Every broken row of ``readback.json``, with its container."""
    parts: Json = outcome.readback["containers"]
    return {f"{role} {row['id']}" for role, part in parts.items() for row in part["rows"] if row["state"] == "broken"}


def states(outcome: AttemptOutcome) -> Iterator[tuple[str, Json]]:
    """Every row with its container."""
    for role, part in outcome.readback["containers"].items():
        yield from ((role, row) for row in part["rows"])
