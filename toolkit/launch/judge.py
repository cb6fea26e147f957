"""From evidence to the three files of an attempt: ``readback.json``, ``ledger.json``, ``result.json``.

The journals are the truth: everything an agent said is read from them, not from the stream.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from toolkit.analyse.result import build_result
from toolkit.collect.evidence import read_evidence
from toolkit.errors import ReproError
from toolkit.launch.attempt import AttemptEvidence, AttemptInputs
from toolkit.launch.containers import stop_after_seconds
from toolkit.launch.folder import AttemptFolder
from toolkit.launch.terminate import ending_error
from toolkit.model.evidence import Evidence, Finding, LaunchFacts
from toolkit.readback.decide import Observation, RowVerdict, broken_rows, decide
from toolkit.readback.rows import ENGINE_ONLY, requested_rows

READBACK_SCHEMA = "repro.readback/1"


@dataclass(frozen=True)
class AttemptOutcome:
    """What an attempt came to. ``error`` is what the user is told when it was no valid launch."""

    cell: str
    launch: int
    attempt: int
    result: dict[str, Any]
    readback: dict[str, Any]
    ledger: dict[str, Any]
    error: ReproError | None

    @property
    def valid(self) -> bool:
        """Whether every gate held."""
        return bool(self.result["valid"])


def judge_attempt(inputs: AttemptInputs, found: AttemptEvidence, folder: AttemptFolder) -> AttemptOutcome:
    """Read the journals, decide every row, build the result. Writes nothing."""
    cell = inputs.cell
    journals = {"sdk": folder.sdk_journal, "backend": folder.backend_journal}
    told = {role: read_evidence(journals[role]) for role in found.specs}
    verdicts = {
        role: decide(
            requested_rows(spec, cell, role, inputs.cgroup_version, apparmor=inputs.apparmor),
            [*found.watch.observations[role], *agent_observations(told[role])],
            found.watch.windows,
        )
        for role, spec in found.specs.items()
    }
    readback = readback_document(verdicts, found)
    ledger = found.watch.ledger_document(told["sdk"].samples)
    facts = LaunchFacts(
        launch=inputs.launch,
        attempt=inputs.attempt,
        stopped=found.evidence.stopped,
        stop_after_seconds=stop_after_seconds(cell, "sdk"),
        sdk_oom=found.evidence.sdk.oom_killed,
        backend_oom=found.evidence.backend.oom_killed,
        backend_ended_first=found.evidence.backend.ended_first,
        findings=(*broken_findings(verdicts), *found.watch.witness_findings(told), *found.findings),
    )
    result = build_result(cell, told["sdk"], told.get("backend"), facts, ledger)
    error = found.engine_failure or ending_error(result["termination"], found.evidence, cell.memory_bytes)
    return AttemptOutcome(cell.cell, inputs.launch, inputs.attempt, result, readback, ledger, error)


def broken_findings(verdicts: dict[str, list[RowVerdict]]) -> list[Finding]:
    """Every broken row by name: any of them makes the launch invalid."""
    return [
        Finding(
            "constraint",
            f"{role} {verdict.row} did not hold: {one.witness} saw it at {one.when}",
            one.found,
            verdict.requested,
        )
        for role, rows in verdicts.items()
        for verdict in broken_rows(rows)
        for one in verdict.broken[:1]
    ]


def agent_observations(told: Evidence) -> list[Observation]:
    """The agent's rows as observations. An unreadable row is no observation: nobody saw it."""
    rows = [(read.when, row) for read in told.readbacks for row in read.rows]
    if told.refusal is not None:
        rows += [("start", row) for row in told.refusal.rows]
    return [
        Observation(row.id, when, "agent", None if row.absent else row.found)
        for when, row in rows
        if not row.error and row.id not in ENGINE_ONLY  # what the agent merely records it does not judge
    ]


def readback_document(verdicts: dict[str, list[RowVerdict]], found: AttemptEvidence) -> dict[str, Any]:
    """``readback.json``: per container every row with its state and witnesses."""
    return {
        "schema": READBACK_SCHEMA,
        "engine_warnings": list(found.warnings),
        "containers": {role: {"rows": [verdict.to_json() for verdict in rows]} for role, rows in verdicts.items()},
    }
