"""A sealed run as one value: ``repro.show/1``. Reads files of the run folder and checks them against the manifest."""

from __future__ import annotations

from typing import Any

from toolkit.canonical import sha256_file
from toolkit.errors import ArchiveInvalid
from toolkit.launch.folder import MANIFEST, RunFolder
from toolkit.model.plan import CellPlan, Plan
from toolkit.report.cautions import warnings_of
from toolkit.seal import last_results, read_json, read_plan

READABLE_VERSIONS = (1,)


def read_manifest(folder: RunFolder) -> dict[str, Any]:
    """The manifest of a sealed run; ArchiveInvalid when it is missing, damaged, or of a version we cannot read."""
    if not folder.sealed:
        raise ArchiveInvalid(
            f"run {folder.id} is not sealed",
            "it still runs, or its command was killed",
            "wait for it; after a kill, 'repro clean' seals what was measured",
        )
    _check_manifest(folder)
    manifest = read_json(folder.path / MANIFEST)
    if manifest.get("schema_version") not in READABLE_VERSIONS:
        raise ArchiveInvalid(
            f"the manifest of run {folder.id} has schema version {manifest.get('schema_version')}",
            f"this repro reads {', '.join(map(str, READABLE_VERSIONS))}",
            "use the version of repro that wrote it, or a newer one",
        )
    from toolkit.schemas import validate

    validate(manifest, "manifest")
    return manifest


def _check_manifest(folder: RunFolder) -> None:
    """Against the digest that was written beside it: an accident, or an edit that did not mean to hide."""
    try:
        wanted = (folder.path / "manifest.json.sha256").read_text().split()[0]
    except (OSError, ValueError, IndexError) as problem:
        raise ArchiveInvalid(
            f"run {folder.id} has no digest of its manifest",
            str(problem),
            "'repro clean' finishes a seal that was cut off; else restore the run folder",
        ) from problem
    found = sha256_file(folder.path / MANIFEST)
    if found != wanted:
        raise ArchiveInvalid(
            f"the manifest of run {folder.id} is not what was sealed",
            f"its digest file says sha256 {wanted}, found {found}",
            "restore the run folder from where it came, or launch again",
        )


def check_files(
    folder: RunFolder, manifest: dict[str, Any], names: tuple[str, ...] = ("result.json", "plan.json")
) -> None:
    """Raises ArchiveInvalid when a file with one of these names is not the one that was sealed."""
    for path, sealed in manifest["files"].items():
        file = folder.path / path
        if file.name not in names:
            continue
        found = sha256_file(file) if file.is_file() else "nothing"
        if found != sealed["sha256"]:
            raise ArchiveInvalid(
                f"{path} of run {folder.id} is not what was sealed",
                f"the manifest says sha256 {sealed['sha256']}, found {found}",
                "restore the run folder from where it came, or launch again",
            )


def show_document(folder: RunFolder) -> dict[str, Any]:
    """``repro.show/1`` of a sealed run. Raises ArchiveInvalid when a file it reads is not what was sealed."""
    manifest = read_manifest(folder)
    check_files(folder, manifest)
    plan = read_plan(folder)
    return {
        "schema": "repro.show/1",
        "run": manifest["run"],
        "path": str(folder.path),
        "state": manifest["state"],
        "valid": manifest["valid"],
        "grade": manifest["grade"]["letter"],
        "grade_reasons": manifest["grade"]["reasons"],
        "cells": _cells(folder, manifest, plan),
    }


def _cells(folder: RunFolder, manifest: dict[str, Any], plan: Plan) -> list[dict[str, Any]]:
    metrics = cell_metrics(folder, plan)
    return [_cell(metrics[cell["id"]], manifest, plan.cell(cell["id"]), cell) for cell in manifest["cells"]]


def _cell(metrics: dict[str, Any], manifest: dict[str, Any], plan: CellPlan, sealed: dict[str, Any]) -> dict[str, Any]:
    rows = manifest["constraints"].get(plan.cell, {})
    return {
        "id": plan.cell,
        "sdk": plan.sdk,
        "module": plan.module,
        "version": plan.version,
        "workload": plan.workload,
        "backend": plan.backend,
        "backend_tier": plan.backend_tier,
        "asked_as": plan.asked_as,
        "synthetic_model": plan.synthetic_model,
        "drive": plan.drive,
        "arm": plan.arm,
        "cpus": plan.cpus,
        "shared_cpus": plan.shared_cpus,
        "launches": sealed["launches"],
        "metrics": metrics,
        "warnings": warnings_of(metrics),
        "broken": rows_in_state(rows, "broken"),
        "unwitnessed": rows_in_state(rows, "unwitnessed"),
    }


def cell_metrics(folder: RunFolder, plan: Plan) -> dict[str, dict[str, Any]]:
    """Per cell its metrics over all valid launches, those over the null SDK of the same run included.

    Raises ArchiveInvalid when a result cannot be read.
    """
    from toolkit.analyse.baseline import over_null

    metrics = {cell.cell: _metrics(folder, cell) for cell in plan.cells}
    null = next((cell.sdk for cell in plan.cells if cell.null_sdk), "")
    for cell, entries in over_null(plan.cells, metrics, null).items():
        metrics[cell] = metrics[cell] | entries
    return metrics


def _metrics(folder: RunFolder, plan: CellPlan) -> dict[str, Any]:
    from toolkit.analyse.merge import merge_launches

    try:
        return merge_launches(last_results(folder, plan.cell), seed=plan.seed)
    except (KeyError, TypeError, ValueError) as problem:
        raise ArchiveInvalid(
            f"the results of {plan.cell} in run {folder.id} cannot be read",
            f"{type(problem).__name__}: {problem}",
            "restore the run folder, or launch again",
        ) from problem


def rows_in_state(constraints: dict[str, list[dict[str, Any]]], state: str) -> list[dict[str, Any]]:
    """The limits of a cell that ended in this state, each with its container."""
    keys = ("id", "requested", "effective", "witness")
    return [
        {"container": container, **{key: row[key] for key in keys}}
        for container, rows in constraints.items()
        for row in rows
        if row["state"] == state
    ]
