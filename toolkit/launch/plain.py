"""Attempts that ``rerun.sh`` of an archive ran with plain Docker: how they ended, and what can be said of their limits.

Nobody looked from outside: only the agents did, so every row that needs the engine's or the host's eyes stays
unwitnessed and the run's grade is D. The numbers are made by the same code from the same kind of journals.
"""

from __future__ import annotations

import json
from typing import Any

from toolkit.launch.containers import Wiring, backend_container, sdk_container, stop_after_seconds
from toolkit.launch.folder import AttemptFolder, RunFolder
from toolkit.launch.judge import READBACK_SCHEMA
from toolkit.model.evidence import Evidence, LaunchFacts
from toolkit.model.plan import CellPlan
from toolkit.readback.decide import Observation, decide
from toolkit.readback.rows import lacking, requested_rows

ENDED = "ended.json"
ROUTE = "rerun.sh"
_NAMESPACES = "namespaces"


def was_plain(setup: dict[str, Any]) -> bool:
    """Whether a run's set-up says that ``rerun.sh`` made it."""
    return bool(setup.get("chain", {}).get("route") == ROUTE)


def is_finished(folder: RunFolder, attempts: int) -> bool:
    """Whether every planned launch has its end on record."""
    return len(list(folder.path.glob(f"attempts/*/*/{ENDED}"))) >= attempts


def facts(files: AttemptFolder, cell: CellPlan, launch: int, attempt: int) -> LaunchFacts | None:
    """How an attempt ended, as the script noted it; None for one that it did not end."""
    try:
        noted = json.loads((files.path / ENDED).read_text())
        sdk, backend = noted["sdk"], noted.get("backend", {})
        return LaunchFacts(
            launch=launch,
            attempt=attempt,
            stop_after_seconds=stop_after_seconds(cell, "sdk"),
            sdk_oom=bool(sdk["oom_killed"]),
            backend_oom=bool(backend.get("oom_killed")),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None


def readback(cell: CellPlan, told: dict[str, Evidence], cgroup_version: str) -> dict[str, Any]:
    """``readback.json`` from the agents' word alone."""
    make = {"sdk": sdk_container, "backend": backend_container}
    wiring = Wiring(journal_source="journal.pb")
    rows = {
        role: decide(
            requested_rows(make[role](cell, "", {}, wiring), cell, role),
            _told(evidence),
            lacking=lacking(cgroup_version),
        )
        for role, evidence in told.items()
    }
    containers = {role: {"rows": [verdict.to_json() for verdict in found]} for role, found in rows.items()}
    return {"schema": READBACK_SCHEMA, "engine_warnings": [], "containers": containers}


def _told(evidence: Evidence) -> list[Observation]:
    """The agent's rows. Namespaces are private only in comparison with somebody outside, and nobody was there."""
    return [
        Observation(row.id, read.when, "agent", None if row.absent else row.found)
        for read in evidence.readbacks
        for row in read.rows
        if not row.error and row.id != _NAMESPACES
    ]
