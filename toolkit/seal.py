"""The seal stage: ``manifest.json`` from what is on disk, written once, and the recovery of runs that were killed.

Because only files of the run folder are read, sealing after a ``kill -9`` and sealing at the end are the same thing.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

from toolkit import __version__
from toolkit.analyse.result import build_result
from toolkit.canonical import digest, sha256_file, write_atomic
from toolkit.collect.evidence import read_evidence
from toolkit.errors import ArchiveInvalid, LaunchInvalid, RunFolderLost
from toolkit.grade import Grade, GradeEvidence, grade
from toolkit.launch.folder import (
    MANIFEST,
    AttemptFolder,
    RunFolder,
    give_reserve_back,
    lost,
    read_owner,
    remove_owner,
    run_folders,
)
from toolkit.launch.plain import facts as plain_facts
from toolkit.launch.plain import is_finished, was_plain
from toolkit.launch.plain import readback as plain_readback
from toolkit.ledger import reasons_against
from toolkit.model.evidence import Evidence, Finding, LaunchFacts, Termination
from toolkit.model.names import on_disk
from toolkit.model.plan import CellPlan, Plan, plan_from_json
from toolkit.owner import provably_dead

Made = TypeVar("Made")

MANIFEST_SCHEMA = "repro.manifest/1"
SCHEMA_VERSION = 1
_LANGUAGE_KEYS = ("go", "goos", "goarch", "gomaxprocs", "gogc", "gomemlimit", "godebug")
_NOT_LISTED = {MANIFEST, "manifest.json.sha256", ".owner.json"}


def read_plan(folder: RunFolder) -> Plan:
    """The plan of a run; ArchiveInvalid when its file is damaged."""
    return _parsed(folder.path / "plan.json", plan_from_json)


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object of a run; ArchiveInvalid when the file is missing or damaged."""
    return _parsed(path, dict)


def _parsed(path: Path, make: Callable[[Any], Made]) -> Made:
    try:
        value = json.loads(path.read_text())
        if not isinstance(value, dict):
            raise TypeError(f"it holds {type(value).__name__} where an object belongs")
        return make(value)
    except (OSError, ValueError, TypeError, RecursionError) as problem:
        raise ArchiveInvalid(
            f"{path.name} of run '{path.parent.name}' cannot be read",
            str(problem),
            "restore the run folder, or launch again",
        ) from problem


def attempt_folders(folder: RunFolder, cell: str) -> list[tuple[int, int, AttemptFolder]]:
    """(launch, attempt, folder) of every attempt that was begun, in order."""
    found = []
    for path in (folder.path / "attempts" / on_disk(cell)).glob("*.*"):
        launch, _dot, attempt = path.name.partition(".")
        if launch.isdecimal() and attempt.isdecimal():
            found.append((int(launch), int(attempt), AttemptFolder(path)))
    return sorted(found, key=lambda one: one[:2])


def complete_attempts(folder: RunFolder, plan: Plan, stopped: Termination = "host-lost") -> None:
    """Give every attempt that was cut off its ``result.json``: what its journals hold, marked with what ended it."""
    for cell in plan.cells:
        for launch, attempt, files in attempt_folders(folder, cell.cell):
            if (files.path / "result.json").exists():
                continue
            files.close()
            told = {"sdk": read_journal_or_nothing(files.sdk_journal)}
            if not cell.in_process:
                told["backend"] = read_journal_or_nothing(files.backend_journal)
            plain = plain_facts(files, cell, launch, attempt)
            if plain is not None:
                version = str(read_json(folder.path / "setup.json")["host"]["cgroup_version"])
                files.write("readback.json", plain_readback(cell, told, version))
            facts = plain or LaunchFacts(launch=launch, attempt=attempt, stopped=stopped)
            files.write("result.json", build_result(cell, told["sdk"], told.get("backend"), facts))


def read_journal_or_nothing(journal: Path) -> Evidence:
    """What a journal still says. One that was never made, or is damaged, must not keep its run from being sealed."""
    if not journal.exists():
        return Evidence()
    try:
        return read_evidence(journal)
    except LaunchInvalid as problem:
        return Evidence(findings=(Finding("journal", f"{problem.title}: {problem.cause}"),))


def results_of(folder: RunFolder, cell: str) -> list[dict[str, Any]]:
    """Every attempt's result, in order of launch and attempt."""
    return [read_json(files.path / "result.json") for _launch, _attempt, files in attempt_folders(folder, cell)]


def last_results(folder: RunFolder, cell: str) -> list[dict[str, Any]]:
    """The result that counts for each launch: its last attempt's."""
    return list({result["launch"]: result for result in results_of(folder, cell)}.values())


def seal(folder: RunFolder, state: str = "complete", stopped: Termination = "host-lost") -> dict[str, Any]:
    """Write ``manifest.json`` and its digest; returns the manifest. Sealing twice keeps the first.

    ``state`` is ``complete``, ``interrupted`` or ``recovered``; ``stopped`` is what ended an attempt that left no
    result. Raises RunFolderLost when the folder cannot be written, ArchiveInvalid when what it holds is damaged.
    """
    try:
        give_reserve_back(folder)
        folder.path.stat()
    except OSError as problem:
        raise lost(folder.path, problem) from problem
    if folder.sealed:
        _finish(folder)  # a kill may have come between the manifest and what follows it
        return read_json(folder.path / MANIFEST)
    try:
        plan = read_plan(folder)
        complete_attempts(folder, plan, stopped)
        _remove_temporary(folder.path)
        manifest = _manifest(folder, plan, state)
        data = json.dumps(manifest, indent=1, ensure_ascii=False).encode() + b"\n"
        write_atomic(folder.path / MANIFEST, data)
    except OSError as problem:
        raise lost(folder.path, problem) from problem
    except (LookupError, TypeError, ValueError, AttributeError) as problem:
        # Written by another version, or damaged: one odd folder must never stop the commands that meet it.
        raise ArchiveInvalid(
            f"run {folder.id} cannot be sealed",
            f"its files lack what a manifest needs ({type(problem).__name__}: {problem})",
            "move the folder away, or delete it",
        ) from problem
    _finish(folder)
    return manifest


def seal_plain(folder: RunFolder) -> None:
    """Seal a run that ``rerun.sh`` of an archive left behind: it ended by itself, and nobody has read it yet."""
    if folder.sealed or not (folder.path / "setup.json").exists():
        return
    if was_plain(read_json(folder.path / "setup.json")):
        finished = is_finished(folder, len(read_plan(folder).order))
        seal(folder, "complete" if finished else "recovered")


def _finish(folder: RunFolder) -> None:
    """What stands beside the manifest: its digest, and no owner file (it holds a boot id). May be repeated."""
    digest_file = folder.path / "manifest.json.sha256"
    try:
        if not digest_file.exists():
            write_atomic(digest_file, f"{sha256_file(folder.path / MANIFEST)}  {MANIFEST}\n".encode())
        remove_owner(folder)
    except OSError as problem:
        raise lost(folder.path, problem) from problem


def _remove_temporary(path: Path) -> None:
    """A killed atomic write leaves a hidden temporary file; it was never the run's."""
    for leftover in path.rglob(".*"):
        if leftover.is_file() and leftover.name != ".owner.json":
            leftover.unlink()


def _manifest(folder: RunFolder, plan: Plan, state: str) -> dict[str, Any]:
    setup = read_json(folder.path / "setup.json")
    results = {cell.cell: results_of(folder, cell.cell) for cell in plan.cells}
    constraints = {cell.cell: _constraints(folder, cell.cell) for cell in plan.cells}
    judged = _graded(plan.cells, _unwitnessed(constraints), _interference(folder, plan), setup["host"])
    cells = [_cell(cell.cell, results[cell.cell], cell.launches) for cell in plan.cells]
    return {
        "schema": MANIFEST_SCHEMA,
        "schema_version": SCHEMA_VERSION,
        "run": folder.id,
        "state": state,
        "valid": state == "complete" and all(cell["valid"] for cell in cells),
        "tool": {"name": "sealbench", "version": __version__},
        "definition": {"plan": digest(plan.to_json()), **setup["definition"]},
        "images": setup["images"],
        "language": _language(results.values(), setup["images"]),
        "inputs": {
            "lock": digest(read_json(folder.path / "lock.json")),
            "base": setup["base"],
            "models": _own_models(plan),
        },
        "constraints": constraints,
        "host": setup["host"],
        "grade": asdict(judged),
        "cells": cells,
        "order": [asdict(turn) for turn in plan.order],
        "files": files_of(folder.path),
        "chain": setup.get("chain", {"parent": None}),
        "telemetry": setup.get("telemetry", []),
    }


def attempt_grade(files: AttemptFolder, cell: CellPlan, host: Mapping[str, Any]) -> Grade:
    """The grade that a run of nothing but this attempt would have; ArchiveInvalid when its files cannot be read."""
    readback, ledger = files.path / "readback.json", files.path / "ledger.json"
    containers = read_json(readback)["containers"] if readback.exists() else {}
    rows = {role: part["rows"] for role, part in containers.items()}
    ledgers = [read_json(ledger)] if ledger.exists() else []
    interference = reasons_against(ledgers, cell.interference_budget, cell.cpus)
    return _graded([cell], _unwitnessed({cell.cell: rows}), interference, host)


def _graded(
    cells: Sequence[CellPlan], unwitnessed: Iterable[str], interference: tuple[str, ...], host: Mapping[str, Any]
) -> Grade:
    return grade(
        GradeEvidence(
            unwitnessed=tuple(unwitnessed),
            gates_recorded=any(cell.timing_gates == "record" for cell in cells),
            shared_cpus=any(cell.shared_cpus for cell in cells),
            shared_cores=any(cell.shared_cores for cell in cells),
            virtual_machine=host.get("virtualization") != "none",
            interference_judged=True,
            interference=interference,
        )
    )


def _interference(folder: RunFolder, plan: Plan) -> tuple[str, ...]:
    """What the ledgers of the attempts that count have against a better grade. One budget holds for all cells."""
    counting = [
        files
        for cell in plan.cells
        for files in {launch: files for launch, _attempt, files in attempt_folders(folder, cell.cell)}.values()
    ]
    ledgers = [read_json(path) for files in counting if (path := files.path / "ledger.json").exists()]
    return reasons_against(ledgers, plan.cells[0].interference_budget, plan.cells[0].cpus)


def _own_models(plan: Plan) -> list[dict[str, Any]]:
    """Model files of the user's own, each once. Their bytes are not part of the run."""
    unique = {cell.model_file.sha256: asdict(cell.model_file) for cell in plan.cells if cell.model_file is not None}
    return [unique[key] for key in sorted(unique)]


def files_of(path: Path) -> dict[str, dict[str, Any]]:
    """Relative path to digest and size of every other file of the run."""
    found = {}
    for file in sorted(path.rglob("*")):
        name = file.relative_to(path).as_posix()
        if file.is_file() and name not in _NOT_LISTED:
            found[name] = {"sha256": sha256_file(file), "size_bytes": file.stat().st_size}
    return found


def _constraints(folder: RunFolder, cell: str) -> dict[str, list[dict[str, Any]]]:
    """Per container, every row's worst state over all attempts."""
    order = {"broken": 0, "unwitnessed": 1, "absent": 2, "held": 3}
    worst: dict[str, dict[str, dict[str, Any]]] = {}
    for _launch, _attempt, files in attempt_folders(folder, cell):
        path = files.path / "readback.json"
        if not path.exists():
            continue
        for role, part in read_json(path)["containers"].items():
            rows = worst.setdefault(role, {})
            for row in part["rows"]:
                known = rows.get(row["id"])
                if known is None or order[row["state"]] < order[known["state"]]:
                    rows[row["id"]] = row
    return {role: [_constraint(row) for row in rows.values()] for role, rows in worst.items()}


def _constraint(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": row["id"],
        "requested": row["requested"],
        "effective": row["effective"],
        "state": row["state"],
        "witness": row["witnesses"],
        "engine_only": row["engine_only"],
        "reason": row.get("reason"),
    }


def _unwitnessed(constraints: dict[str, dict[str, list[dict[str, Any]]]]) -> Iterable[str]:
    """What was asked for and nobody could prove, with the reason. A row that this cgroup version cannot have is not."""
    for roles in constraints.values():
        for role, rows in roles.items():
            for row in rows:
                if row["state"] == "unwitnessed":
                    yield f"{role} {row['id']}" + (f" ({row['reason']})" if row.get("reason") else "")


def _cell(cell: str, results: list[dict[str, Any]], planned: int) -> dict[str, Any]:
    launches = [launch_entry(result) for result in results]
    last = {entry["n"]: entry for entry in launches}
    return {
        "id": cell,
        "valid": len(last) == planned and all(entry["valid"] for entry in last.values()),
        "launches": launches,
    }


def reason(invalid: dict[str, Any]) -> str:
    """One finding of ``result.json`` as a clause: the gate, why, and what was found against the limit."""
    text = f"{invalid['gate']}: {invalid['cause']}"
    if invalid.get("found") is None or invalid.get("limit") is None:
        return text
    return f"{text} (found {_short(invalid['found'])}, limit {_short(invalid['limit'])})"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def launch_entry(result: dict[str, Any]) -> dict[str, Any]:
    """One attempt in the shape scripts may rely on (design section 14)."""
    reasons = "; ".join(reason(one) for one in result["invalid"])
    return {
        "n": result["launch"],
        "attempt": result["attempt"],
        "valid": result["valid"],
        "reason": None if result["valid"] else (reasons or result["termination"]),
        "termination": result["termination"],
        "windows": len(result["windows"]),
        "tainted_windows": sum(1 for window in result["windows"] if window["tainted"]),
        "taints": _taints(result),
        "headline_seconds": result.get("headline_seconds"),
        "recorded": [one["gate"] for one in result.get("recorded", [])],
        "steady_state": result.get("steady_state", {}).get("verdict", "not-judged"),
    }


def _taints(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Every taint with its window; null for what no window covers."""
    rest = result.get("rest") or {}
    found = [{"window": window["index"], **one} for window in result["windows"] for one in window.get("taints", ())]
    return found + [{"window": None, **one} for one in rest.get("taints", ())]


def _language(results: Iterable[list[dict[str, Any]]], images: list[dict[str, Any]]) -> dict[str, Any]:
    """Go version and settings as the measured programs told them, with the digest of each binary."""
    told: dict[str, Any] = {}
    for group in results:
        for result in group:
            said = result.get("language") or {}
            told |= {key: said[key] for key in _LANGUAGE_KEYS if said.get(key) is not None}
    return {"go": told, "binaries": {f"{image['kind']}-{image['id']}": image["binary_digest"] for image in images}}


def recover_runs(runs: Path) -> list[str]:
    """Seal every run whose process is provably dead; the ids that were sealed. An unreadable folder stays as it is."""
    sealed = []
    for folder in dead_runs(runs):
        # A folder that is damaged or cannot be written must not keep every later launch from starting.
        with suppress(ArchiveInvalid, RunFolderLost):
            seal(folder, "recovered")
            sealed.append(folder.id)
    return sealed


def dead_runs(runs: Path) -> list[RunFolder]:
    """Every run whose sealing is not complete and whose process is provably dead."""
    found = []
    for folder in run_folders(runs):
        owner = read_owner(folder)
        alive = owner is not None and not provably_dead(owner)
        complete = folder.sealed and owner is None
        if not complete and not alive and (folder.path / "setup.json").exists():
            found.append(folder)
    return found


def manifest_digest(folder: RunFolder) -> str:
    """The sha256 of a sealed run's manifest, what a chain names."""
    return "sha256:" + sha256_file(folder.path / MANIFEST)
