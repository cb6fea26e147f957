"""From evidence to the three files of an attempt: ``readback.json``, ``ledger.json``, ``result.json``.

The journals are the truth: everything an agent said is read from them, not from the stream.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.analyse.result import build_result
from toolkit.collect.evidence import read_evidence
from toolkit.errors import ReproError
from toolkit.launch.attempt import AttemptEvidence, AttemptInputs
from toolkit.launch.containers import stop_after_seconds
from toolkit.launch.folder import AttemptFolder
from toolkit.launch.terminate import ending_error
from toolkit.launch.watch import Watch
from toolkit.model.evidence import Drift, Evidence, Finding, LaunchFacts, RowRead
from toolkit.readback.decide import CREATED, Observation, RowVerdict, broken_rows, decide, order_of
from toolkit.readback.namespaces import PRIVATE, judge, parse
from toolkit.readback.rows import lacking, requested_rows

READBACK_SCHEMA = "repro.readback/1"
NAMESPACES, NAMESPACE_IDS = "namespaces", "namespaces.ids"


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
            requested_rows(spec, cell, role, apparmor=inputs.apparmor),
            [*found.watch.observations[role], *_known(agent_observations(told, role, found.watch), inputs.agent_rows)],
            found.watch.windows,
            lacking(inputs.cgroup_version),
        )
        for role, spec in found.specs.items()
    }
    readback = readback_document(verdicts, found)
    ledger = found.watch.ledger_document(told["sdk"].samples, told["sdk"].mark("measure"))
    facts = LaunchFacts(
        launch=inputs.launch,
        attempt=inputs.attempt,
        stopped=found.evidence.stopped,
        refused=found.refused,
        stop_after_seconds=stop_after_seconds(cell, "sdk"),
        sdk_oom=found.evidence.sdk.oom_killed,
        backend_oom=found.evidence.backend.oom_killed,
        backend_ended_first=found.evidence.backend.ended_first,
        findings=(*broken_findings(verdicts), *found.watch.witness_findings(told), *found.findings),
    )
    result = build_result(cell, told["sdk"], told.get("backend"), facts, ledger)
    error = found.engine_failure or ending_error(
        result["termination"], found.evidence, cell.memory_bytes, found.refused
    )
    return AttemptOutcome(cell.cell, inputs.launch, inputs.attempt, result, readback, ledger, error)


def broken_findings(verdicts: dict[str, list[RowVerdict]]) -> list[Finding]:
    """Every broken row by name, with when it was seen first and by whom: any of them makes the launch invalid."""
    return [_broken_finding(role, verdict) for role, rows in verdicts.items() for verdict in broken_rows(rows)]


def _broken_finding(role: str, verdict: RowVerdict) -> Finding:
    first = verdict.broken[0]
    after = first.found or ""
    witnesses = tuple(sorted({one.witness for one in verdict.broken if one.when == first.when}))
    # A value that was seen to hold first has changed; one that was wrong from the start was never there.
    moments = {order_of(when) for when in itertools.chain(*verdict.seen.values()) if when != CREATED}
    held = any(moment < order_of(first.when) for moment in moments)
    who = " and ".join(witnesses)
    seen = f"change from {verdict.requested!r} to {after!r}" if held else f"as {after!r}"
    drift = Drift(role, verdict.row, first.when, verdict.requested if held else None, after, witnesses)
    cause = f"{role} {verdict.row} did not hold: {who} saw it {seen} at {first.when}"
    return Finding("constraint", cause, after, verdict.requested, drift)


def _known(seen: list[Observation], rows: frozenset[str] | None) -> list[Observation]:
    """Those of rows that this agent checks: of others an earlier one may have noted something in words of its own."""
    return [one for one in seen if rows is None or one.row in rows]


def agent_observations(told: Mapping[str, Evidence], role: str, watch: Watch) -> list[Observation]:
    """The agent's rows as observations. An unreadable row is no observation: nobody saw it."""
    found = []
    for read in told[role].readbacks:
        rows = {row.id: row for row in read.rows}
        for row in read.rows:
            if row.error:
                continue
            value = None if row.absent else row.found
            if row.id == NAMESPACES and value == PRIVATE:
                value = _namespaces(rows, told, role, watch)
                if value is None:
                    continue
            found.append(Observation(row.id, read.when, "agent", value))
    refusal = told[role].refusal
    if refusal is not None:
        found += [Observation(row.id, "start", "agent", row.found) for row in refusal.rows if not row.error]
    return found


def _namespaces(rows: Mapping[str, RowRead], told: Mapping[str, Evidence], role: str, watch: Watch) -> str | None:
    """From inside only the machine's own can be told: the numbers are compared with the host program's, and the
    other container's."""
    own = _numbers(rows)
    if own is None or not watch.own_namespaces:
        return None
    others = [
        _numbers({row.id: row for row in read.rows}) for name in told if name != role for read in told[name].readbacks
    ]
    other = next((one for one in others if one is not None), None)
    return judge(own, watch.own_namespaces, other, watch.cgroup_version)


def _numbers(rows: Mapping[str, RowRead]) -> dict[str, str] | None:
    row = rows.get(NAMESPACE_IDS)
    return parse(row.found) if row is not None and row.found else None


def readback_document(verdicts: dict[str, list[RowVerdict]], found: AttemptEvidence) -> dict[str, Any]:
    """``readback.json``: per container every row with its state and witnesses."""
    return {
        "schema": READBACK_SCHEMA,
        "engine_warnings": list(found.warnings),
        "containers": {role: {"rows": [verdict.to_json() for verdict in rows]} for role, rows in verdicts.items()},
    }
