"""``repro list``: what there is. Needs no engine."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.common import DEFAULT_RUNS, CatalogueOption, JsonFlag, QuietFlag, RunsOption, command
from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.catalogue import Catalogue
    from toolkit.launch.folder import RunFolder
    from toolkit.output import Output

_WHAT = ("sdks", "workloads", "backends", "runs")


def list_command(
    what: Annotated[
        str | None, typer.Argument(metavar="[sdks|workloads|backends|runs]", help="Default: all of them.")
    ] = None,
    runs: RunsOption = DEFAULT_RUNS,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """List SDKs, workloads, backends and runs. Needs no engine."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        wanted = _wanted(what)
        document: dict[str, Any] = {"schema": "repro.list/1"}
        if wanted != ("runs",):
            from toolkit.catalogue import load_catalogue

            found = catalogue_lists(load_catalogue(catalogue))
            document |= {key: found[key] for key in wanted if key in found}
        if "runs" in wanted:
            document["runs"] = run_list(runs)
        output.document(document)
        _print(document, output, titles=len(wanted) > 1)


def _wanted(what: str | None) -> tuple[str, ...]:
    if what is None:
        return _WHAT
    if what not in _WHAT:
        raise UsageError(
            f"there is no list of '{what}'", f"lists are {', '.join(_WHAT)}", "for example 'repro list sdks'"
        )
    return (what,)


def catalogue_lists(catalogue: Catalogue) -> dict[str, list[dict[str, Any]]]:
    """``sdks``, ``workloads`` and ``backends`` of ``repro.list/1``."""
    sdks = [
        {
            "id": one.id,
            "module": one.module,
            "version": one.version,
            "aliases": list(one.aliases),
            "alias_notes": dict(one.alias_notes),
            "wire": one.wire,
            "null": one.null,
            "cpu_level": one.cpu_level,
            "workloads": [workload for workload, _backends in one.workloads],
            "backends": list(dict.fromkeys(backend for _workload, backends in one.workloads for backend in backends)),
            "licence": one.licence,
            "memory_bytes": one.memory_bytes,
        }
        for one in catalogue.sdks.values()
    ]
    workloads = [
        {
            "id": one.id,
            "kind": one.kind,
            "unit": one.unit,
            "arrival": one.arrival,
            "rate_hz": one.rate_hz,
            "tokens": one.tokens,
            "drives": list(one.drives),
        }
        for one in catalogue.workloads.values()
        if one.kind != "probe"  # what `repro probe` runs is no workload to launch
    ]
    backends = [
        {
            "id": one.id,
            "tier": one.tier,
            "speaks": list(one.wires),
            "memory_bytes": 0 if one.in_process else one.memory_bytes,
            "note": one.note,
        }
        for one in catalogue.backends.values()
    ]
    return {"sdks": sdks, "workloads": workloads, "backends": backends}


def run_list(runs: Path) -> list[dict[str, Any]]:
    """``runs`` of ``repro.list/1``, oldest first. A damaged run is listed as such; it never hides the others."""
    from toolkit.launch.folder import run_folders

    return [_run(folder) for folder in run_folders(runs)]


def _run(folder: RunFolder) -> dict[str, Any]:
    from toolkit.errors import ArchiveInvalid
    from toolkit.launch.folder import MANIFEST
    from toolkit.seal import read_json

    row: dict[str, Any] = {
        "id": folder.id,
        "path": str(folder.path),
        "state": "damaged",
        "valid": None,
        "grade": None,
        "cells": [],
    }
    try:
        if not folder.sealed:
            return row | {"state": _unsealed_state(folder), "cells": _plan_cells(folder)}
        manifest = read_json(folder.path / MANIFEST)
        return row | {
            "state": manifest["state"],
            "valid": manifest["valid"],
            "grade": manifest["grade"]["letter"],
            "cells": [cell["id"] for cell in manifest["cells"]],
        }
    except (ArchiveInvalid, KeyError, TypeError):
        return row


def _unsealed_state(folder: RunFolder) -> str:
    from toolkit.launch.folder import read_owner
    from toolkit.owner import provably_dead

    owner = read_owner(folder)
    return "unsealed" if owner is None or provably_dead(owner) else "running"


def _plan_cells(folder: RunFolder) -> list[str]:
    from toolkit.seal import read_plan

    return [cell.cell for cell in read_plan(folder).cells]


def _print(document: dict[str, Any], output: Output, *, titles: bool) -> None:
    from toolkit.report.table import table
    from toolkit.units import size

    rows: dict[str, list[list[str]]] = {
        "sdks": [["SDK", "module@version", "workloads", "backends", "also known as"]],
        "workloads": [["workload", "unit of work", "arrivals", "drives"]],
        "backends": [["backend", "tier", "speaks", "memory", "note"]],
        "runs": [["run", "state", "valid", "grade", "cells"]],
    }
    for one in document.get("sdks", []):
        names = [", ".join(one[key]) for key in ("workloads", "backends", "aliases")]
        rows["sdks"].append([one["id"], f"{one['module']}@{one['version']}", *names])
    for one in document.get("workloads", []):
        rows["workloads"].append(
            [one["id"], one["unit"], f"{one['arrival']} {one['rate_hz']:g}/s", ", ".join(one["drives"])]
        )
    for one in document.get("backends", []):
        memory = size(one["memory_bytes"]) if one["memory_bytes"] else "-"
        rows["backends"].append([one["id"], one["tier"], ", ".join(one["speaks"]), memory, one["note"]])
    for one in document.get("runs", []):
        valid = {True: "yes", False: "no", None: "-"}[one["valid"]]
        rows["runs"].append([one["id"], one["state"], valid, one["grade"] or "-", ", ".join(one["cells"])])
    for key in (key for key in _WHAT if key in document):
        if titles:
            output.data(("" if key == "sdks" else "\n") + key)
        output.data(table(rows[key]) if len(rows[key]) > 1 else "none")
        if key == "sdks":
            _print_notes(document["sdks"], output)


def _print_notes(sdks: list[dict[str, Any]], output: Output) -> None:
    """Names under which there is no project, and what stands for each; the null SDK."""
    notes = [f"{alias}: {note}" for one in sdks for alias, note in one["alias_notes"].items()]
    notes += [f"{one['id']}: the null SDK, what an SDK's cost is measured against" for one in sdks if one["null"]]
    if notes:
        output.data("\n" + "\n".join(notes))
