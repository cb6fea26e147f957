"""From evidence to the three files of an attempt: ``readback.json``, ``ledger.json``, ``result.json``.

The journals are the truth: everything an agent said is read from them, not from the stream.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.analyse.result import build_result
from toolkit.collect.journal import Journal, read_journal
from toolkit.errors import ReproError
from toolkit.host.witness import compare_witness
from toolkit.launch.attempt import AttemptEvidence
from toolkit.launch.folder import AttemptFolder
from toolkit.launch.terminate import ending_error, termination
from toolkit.model.plan import CellPlan
from toolkit.readback.decide import Observation, RowVerdict, decide
from toolkit.readback.rows import requested_rows

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


def judge_attempt(
    cell: CellPlan, launch: int, attempt: int, found: AttemptEvidence, folder: AttemptFolder, cgroup_version: str
) -> AttemptOutcome:
    """Read the journals, decide every row, build the result. Writes nothing."""
    journals = {"sdk": _journal(folder.sdk_journal), "backend": _journal(folder.backend_journal)}
    verdicts = {
        role: decide(
            requested_rows(spec, cell, role, cgroup_version),
            [*found.watch.observations[role], *agent_observations(journals[role])],
        )
        for role, spec in (("sdk", found.sdk_spec), ("backend", found.backend_spec))
    }
    readback = readback_document(verdicts, found)
    ledger = found.watch.ledger.document(journals["sdk"]) if found.watch.ledger is not None else {}
    word = termination(found.evidence)
    findings = compare_witness(found.watch.witnessed, journals["sdk"], cell)
    result = build_result(
        cell,
        launch,
        attempt,
        journals["sdk"],
        journals["backend"],
        ledger,
        readback,
        termination=word,
        findings=findings,
    )
    error = found.engine_failure or ending_error(word, found.evidence, cell.memory_bytes)
    return AttemptOutcome(cell.cell, launch, attempt, result, readback, ledger, error)


def _journal(path: Path) -> Journal:
    return read_journal(path)


def agent_observations(journal: Journal) -> list[Observation]:
    """The agent's rows as observations. An unreadable row is no observation: nobody saw it."""
    seen: list[Observation] = []
    for record in journal.records:
        if record.WhichOneof("kind") == "readback":
            seen += _rows(record.readback.when, record.readback.rows)
        elif record.WhichOneof("kind") == "refused":
            seen += _rows("start", record.refused.rows)
    return seen


def _rows(when: str, rows: Iterable[Any]) -> list[Observation]:
    return [Observation(row.id, when, "agent", None if row.absent else row.found) for row in rows if not row.error]


def readback_document(verdicts: dict[str, list[RowVerdict]], found: AttemptEvidence) -> dict[str, Any]:
    """``readback.json``: per container every row with its state and witnesses."""
    return {
        "schema": READBACK_SCHEMA,
        "engine_warnings": list(found.warnings),
        "containers": {role: {"rows": [verdict.to_json() for verdict in rows]} for role, rows in verdicts.items()},
    }
