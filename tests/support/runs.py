"""Run folders as a launch leaves them, made from synthetic journals: for tests of everything that reads a run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from tests.support.interference import ledger_of
from tests.support.journals import Load, backend_journal, cell_plan, evidence, launch_journal
from toolkit.analyse.result import build_result
from toolkit.launch.containers import Wiring, backend_container, sdk_container
from toolkit.launch.folder import RunFolder, write_json
from toolkit.model.evidence import LaunchFacts
from toolkit.model.interference import default_budget
from toolkit.model.plan import CellPlan, Plan, Turn
from toolkit.owner import Owner
from toolkit.readback.decide import Observation, decide
from toolkit.readback.rows import ENGINE_BLIND, ENGINE_ONLY, requested_rows
from toolkit.seal import seal

DIGEST = "sha256:" + "ab" * 32
DEAD = Owner(1, 1, "00000000-0000-0000-0000-000000000000", "1")
RUN_ID = "20261123-121530-go-openai-7f3a"
WIRING = Wiring("/runs/journal.pb", "/tmp/sb-x/run", "/dev/null")


def specs(cell: CellPlan) -> dict[str, Any]:
    """Both container specs of a cell."""
    profile: dict[str, object] = {"defaultAction": "SCMP_ACT_ERRNO"}
    return {
        "sdk": sdk_container(cell, "sealbench/sdk-go-openai:aa", profile, WIRING),
        "backend": backend_container(cell, "sealbench/backend-stub:bb", profile, WIRING),
    }


def honest_observations(requested: dict[str, str]) -> list[Observation]:
    """Everybody who can see a row saw what was asked for, at the start and at the end."""
    seen = []
    for row, value in requested.items():
        for when in ("start", "end"):
            if row not in ENGINE_BLIND:
                seen.append(Observation(row, when, "engine", value))
            if row not in ENGINE_ONLY:
                seen += [Observation(row, when, witness, value) for witness in ("host", "agent")]
    return seen


def readback(cell: CellPlan, lies: Iterable[Observation] = ()) -> dict[str, Any]:
    """``readback.json``; ``lies`` are further observations of the SDK container."""
    containers = {}
    for role, spec in specs(cell).items():
        requested = requested_rows(spec, cell, role)
        seen = honest_observations(requested) + (list(lies) if role == "sdk" else [])
        containers[role] = {"rows": [verdict.to_json() for verdict in decide(requested, seen)]}
    return {"schema": "repro.readback/1", "engine_warnings": [], "containers": containers}


def setup_document(cells: Iterable[CellPlan]) -> dict[str, Any]:
    """``setup.json``."""
    role = {
        "image": DIGEST,
        "command": ["numactl", "--membind=0", "--", "/repro/workload"],
        "environment": {"HOME": "/tmp"},
    }
    names = [cell.cell for cell in cells]
    image = {
        "config_digest": DIGEST,
        "diff_ids": [DIGEST, DIGEST],
        "content_digest": DIGEST,
        "runtime_config_digest": DIGEST,
        "binary_digest": DIGEST,
        "inputs_digest": DIGEST,
        "size_bytes": 30_000_000,
    }
    return {
        "schema": "repro.setup/1",
        "tool_version": "0.1.0",
        "definition": {
            "rendered": {
                name: {"Dockerfile": DIGEST, "compose.yaml": DIGEST, "seccomp.json": DIGEST} for name in names
            },
            "seccomp": DIGEST,
            "containers": {name: {"sdk": role, "backend": role} for name in names},
        },
        "images": [
            {"kind": "sdk", "id": "go-openai", "reference": "sealbench/sdk-go-openai:abababababab", **image},
            {"kind": "backend", "id": "stub", "reference": "sealbench/backend-stub:abababababab", **image},
        ],
        "base": "locked",
        "host": {
            "architecture": "x86_64",
            "kernel": "6.1.0",
            "cpus_online": 2,
            "memory_nodes": 1,
            "memory_bytes": 8 * 1024**3,
            "cpu_mitigations": DIGEST,
            "virtualization": "hypervisor",
            "cgroup_version": "1",
            "swap_accounting": True,
            "engine_rootless": False,
            "rights": "root",
            "environment_key": DIGEST,
        },
        "chain": {"parent": None},
    }


# With the load, so that it lives: the addresses of its functions are in the key, and must not be given to others.
_results: dict[str, tuple[Load | None, dict[str, Any]]] = {}


def result_of(
    cell: CellPlan, load: Load | None, launch: int, foreign: Mapping[int, float] | None = None
) -> dict[str, Any]:
    """``result.json`` of one launch; the same launch is analysed once per process."""
    key = repr((cell, load, launch, foreign))
    if key not in _results:
        told = evidence(launch_journal(cell, load)), evidence(backend_journal(cell))
        facts = LaunchFacts(launch=launch, attempt=1)
        _results[key] = load, build_result(cell, *told, facts, ledger_of(cell, foreign))
    return _results[key][1]


def unsealed_run(
    runs: Path,
    *,
    launches: int = 1,
    load: Load | None = None,
    lies: Iterable[Observation] = (),
    foreign: Mapping[int, float] | None = None,
    run: str = RUN_ID,
    **changes: Any,
) -> RunFolder:
    """A run whose launches are over and whose manifest is not written; its process is dead.

    ``foreign``: seconds of others on the measured CPU, by window.
    """
    budget = default_budget()
    cell = cell_plan(launches=launches, **{"duration_seconds": 12.0, "interference_budget": budget, **changes})
    folder = RunFolder(runs / run)
    folder.path.mkdir(parents=True)
    (folder.path / ".owner.json").write_text(json.dumps(asdict(DEAD)))
    plan = Plan((cell,), tuple(Turn(cell.cell, number) for number in range(1, launches + 1)), cell.seed)
    write_json(folder.path / "plan.json", plan.to_json())
    write_json(folder.path / "lock.json", {"schema": "repro.lock/1", "cells": {}})
    write_json(folder.path / "setup.json", setup_document([cell]))
    for number in range(1, launches + 1):
        files = folder.attempt(cell.cell, number, 1)
        files.prepare()
        files.write("readback.json", readback(cell, lies))
        files.write("ledger.json", ledger_of(cell, foreign))
        files.write("result.json", result_of(cell, load, number, foreign))
        files.close()
    return folder


def sealed_run(runs: Path, *, state: str = "complete", **options: Any) -> RunFolder:
    """A sealed run."""
    folder = unsealed_run(runs, **options)
    seal(folder, state)
    return folder
