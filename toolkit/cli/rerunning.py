"""The work behind ``repro rerun``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.cli.launching import choices_of, launch_document, run_prepared, world_of
from toolkit.errors import HostUnfit, InputMismatch, Reported, UsageError
from toolkit.output import Output, error_document

if TYPE_CHECKING:
    from toolkit.cli.common import Folders
    from toolkit.diff import Difference
    from toolkit.host.topology import Topology
    from toolkit.launch.folder import RunFolder
    from toolkit.launch.prepare import World
    from toolkit.launch.run import Prepared, RunReport
    from toolkit.model.plan import Plan
    from toolkit.telemetry.channels import Wanted


def rerun_run(
    name: str,
    folders: Folders,
    wait_seconds: float,
    output: Output,
    model: Path | None = None,
    channels: Wanted | None = None,
) -> None:
    """Same definition, same content, same order; differences first, then both results side by side."""
    from toolkit.archive.adopt import agent_rows
    from toolkit.catalogue import load_catalogue
    from toolkit.cli.channels import channels_of
    from toolkit.host.topology import read_topology
    from toolkit.launch.folder import resolve_run
    from toolkit.launch.prepare import check_host

    catalogue, topology = load_catalogue(folders.catalogue), read_topology()
    with world_of(folders, catalogue, topology, output) as (world, interrupts):
        original = resolve_run(folders.runs, name)
        manifest, plan = _original(original)
        before = launch_document(original.path, manifest)
        check_cpus(plan, topology)
        check_host(plan, topology)
        with channels_of(channels, plan, output) as onlooker:
            prepared = _prepare(world, plan, original, required_model(plan, model))
            prepared = replace(prepared, agent_rows=agent_rows(original))
            if channels is not None:
                prepared = replace(prepared, telemetry=channels.names)
            differences = set_up_differences(original, prepared)
            show_differences(differences, output)
            _refuse_blocking(differences)
            report = run_prepared(prepared, world, interrupts, wait_seconds, output, onlooker)
            report_again(report, before, differences, output)


def report_again(
    report: RunReport,
    before: dict[str, Any],
    differences: list[Difference],
    output: Output,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Both results side by side and ``repro.rerun/1``; then raise what ended the run, if anything did.

    ``more``: further keys of the document.
    """
    from toolkit.report.side_by_side import comparison, from_elsewhere

    after = launch_document(report.folder.path, report.manifest)
    document = rerun_document(before, after, differences) | dict(more or {})
    comparison(before, after, output, elsewhere=from_elsewhere(differences))
    if report.error is None:
        output.document(document)
        return
    output.document({**document, "error": error_document(report.error)})
    raise Reported(report.error)


def _original(folder: RunFolder) -> tuple[dict[str, Any], Plan]:
    from toolkit.report.document import check_files, read_manifest
    from toolkit.seal import read_plan

    manifest = read_manifest(folder)
    check_files(folder, manifest, ("plan.json", "lock.json", "setup.json", "result.json"))
    return manifest, read_plan(folder)


def check_cpus(plan: Plan, topology: Topology) -> None:
    """The run's very CPUs and nodes must be usable here, siblings included: another placement is another experiment.

    Raises HostUnfit.
    """
    from toolkit.host.placement import place
    from toolkit.model.cpulist import format_cpulist, parse_cpulist

    for cell in plan.cells:
        here = place(topology, cell.cpus, cell.mems)
        seats = {"agent": cell.agent_cpus, "backend": cell.backend_cpus, "host program": cell.housekeeping_cpus}
        lost = [
            f"{who} ran on CPU {cpus}" for who, cpus in seats.items() if set(parse_cpulist(cpus)) - set(topology.cpus)
        ]
        # A plan without notes is older than idle CPUs are.
        if cell.lane_notes and not cell.shared_cores and here.idle_cpus != cell.idle_cpus:
            lost.append(f"siblings of measured CPUs were '{cell.idle_cpus}' and are '{here.idle_cpus}'")
        if lost:
            raise HostUnfit(
                "this machine cannot place the run as it was",
                f"{'; '.join(lost)}; the CPUs that can be used here are {format_cpulist(topology.cpus)}",
                f"launch it anew: repro launch --sdk {cell.sdk} --workload {cell.workload} --cpus {cell.cpus}",
            )


def required_model(plan: Plan, path: Path | None) -> Path | None:
    """The model file of the user's own that the run used, checked by its digest; None where it used none.

    Raises UsageError, InputMismatch.
    """
    from toolkit.fetch.own_model import require_model

    for cell in plan.cells:
        if cell.model_file is not None:
            return require_model(path, cell.model_file)
    if path is not None:
        raise UsageError(
            "this run used no model of the user's own", f"--model {path.name} was given", "leave --model out"
        )
    return None


def _prepare(world: World, plan: Plan, original: RunFolder, model: Path | None) -> Prepared:
    from toolkit.build.images import BuildOptions
    from toolkit.launch.prepare import prepare
    from toolkit.seal import manifest_digest, read_json

    locks = read_json(original.path / "lock.json")["cells"]
    chain = {"parent": manifest_digest(original)}
    choices = choices_of(plan, world.catalogue, world.store)
    return prepare(world, plan, choices, BuildOptions(allow_relock=False), chain=chain, locks=locks, model=model)


def set_up_differences(original: RunFolder, prepared: Prepared) -> list[Difference]:
    """What is not the same as in the original's set-up."""
    from toolkit import __version__
    from toolkit.diff import setup_differences
    from toolkit.launch.run import definition, image_documents
    from toolkit.seal import read_json

    before = read_json(original.path / "setup.json")
    now = {
        "definition": definition(prepared),
        "images": image_documents(prepared),
        "host": prepared.host,
        "tool_version": __version__,
        "telemetry": list(prepared.telemetry),
    }
    return setup_differences(before, now)


def show_differences(differences: list[Difference], output: Output) -> None:
    """Before any number: what is not the same, and what it means."""
    if not differences:
        output.data("set-up: no difference (image content, rendered bytes, commands, environment, host)")
    for one in differences:
        before, now = ("not recorded" if value in (None, "None") else value for value in (one.original, one.now))
        output.data(f"set-up {one.meaning}: {one.what}: was {before}, is {now}")


def _refuse_blocking(differences: list[Difference]) -> None:
    blocking = [one.what for one in differences if one.meaning == "blocking"]
    if blocking:
        raise InputMismatch(
            "this would not be the same experiment",
            f"{len(blocking)} blocking difference(s): {', '.join(blocking[:4])}",
            "use the version of this tool and the catalogue that made the run, or launch it anew",
        )


def rerun_document(before: dict[str, Any], after: dict[str, Any], differences: list[Difference]) -> dict[str, Any]:
    """``repro.rerun/1``: no verdict yet, both results side by side."""
    from toolkit.report.side_by_side import cell_rows, from_elsewhere

    return {
        "schema": "repro.rerun/1",
        "original": before["run"],
        "run": after["run"],
        "path": after["path"],
        "valid": after["valid"],
        "grade": after["grade"],
        "differences": [one.to_json() for one in differences],
        "verdict": None,
        "cells": cell_rows(before, after, elsewhere=from_elsewhere(differences)),
        "launch": after,
    }
