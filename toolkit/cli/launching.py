"""The work behind ``repro launch`` and ``repro rerun``: the stages in a row, then what the user sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import Reported, UsageError
from toolkit.output import Output
from toolkit.plan import Choice, Request, make_plan, moved

if TYPE_CHECKING:
    from toolkit.catalogue import Catalogue
    from toolkit.cli.common import Folders
    from toolkit.cli.where import Where
    from toolkit.fetch.store import Store
    from toolkit.host.placement import Placement
    from toolkit.launch.interrupts import Interrupts
    from toolkit.launch.onlooker import Onlooker
    from toolkit.launch.prepare import World
    from toolkit.launch.run import Prepared, RunReport
    from toolkit.model.plan import Plan
    from toolkit.telemetry.channels import Wanted


@dataclass(frozen=True)
class Selection:
    """Which SDKs, at which versions, against what; ``model`` is a file of the user's own."""

    sdks: list[str]
    sdk_at: list[str]
    backend: str | None
    baseline: bool
    model: Path | None


@dataclass(frozen=True)
class LaunchOptions:
    """What ``launch`` was told beside the request."""

    selection: Selection
    where: Where
    wait_seconds: float
    base: str | None
    no_cache: bool
    dry_run: bool
    channels: Wanted | None = None


def launch_cells(request: Request, options: LaunchOptions, folders: Folders, output: Output) -> None:
    """Plan, prepare, execute, report; raises the error of the first failing launch after the report."""
    from toolkit.catalogue import load_catalogue
    from toolkit.cli.channels import channels_of
    from toolkit.cli.where import leased, placements
    from toolkit.host.topology import read_topology
    from toolkit.launch.prepare import check_host

    catalogue, topology = load_catalogue(folders.catalogue), read_topology()
    lanes = placements(topology, options.where)
    plan, choices = planned(request, options, catalogue, lanes[0], folders, output)
    if options.dry_run:
        show_plan(plan, output)
        return
    for warning in lanes[0].warnings:
        output.talk(f"warning: {warning}")
    check_host(plan, topology)  # before the engine is asked for anything
    with (
        channels_of(options.channels, plan, output) as onlooker,
        world_of(folders, catalogue, topology, output) as (world, interrupts),
    ):
        from toolkit.build.images import BuildOptions
        from toolkit.launch.prepare import prepare

        build = BuildOptions(no_cache=options.no_cache, base_image=options.base)
        prepared = prepare(world, plan, choices, build, model=options.selection.model)
        if options.channels is not None:
            prepared = replace(prepared, telemetry=options.channels.names)
        # Built first, then leased: a build may take minutes, and no lane is closed to others meanwhile.
        with leased(world, lanes, options.wait_seconds, output) as lane:
            if lane is not lanes[0]:
                again = prepare(
                    world, moved(plan, lane), choices, replace(build, no_cache=False), model=options.selection.model
                )
                prepared = replace(again, telemetry=prepared.telemetry)
            report = run_held(prepared, world, interrupts, output, onlooker)
        report_run(report, prepared.plan, output)


def planned(
    request: Request,
    options: LaunchOptions,
    catalogue: Catalogue,
    placement: Placement,
    folders: Folders,
    output: Output,
) -> tuple[Plan, list[Choice]]:
    """The plan of what was selected, and the catalogue entries of its cells in the plan's order."""
    from toolkit.cli.choose import cannot, choose
    from toolkit.fetch.own_model import read_model

    selection = options.selection
    choices = choose(
        catalogue,
        selection.sdks,
        request.workload,
        selection.backend,
        baseline=selection.baseline,
        own_model=selection.model is not None,
    )
    for name in selection.sdks:
        if reason := cannot(catalogue, name, request.workload):
            output.talk(f"{catalogue.sdk(name).id}: not applicable: {reason}")
    if selection.model is not None:  # read whole: after everything that may refuse it
        request = replace(request, model=read_model(selection.model))
    if selection.sdk_at:
        choices = at_versions(choices, selection.sdk_at, folders, output)
    return make_plan(request, choices, placement), choices


def at_versions(choices: list[Choice], versions: list[str], folders: Folders, output: Output) -> list[Choice]:
    """Each choice once per version asked for; the null SDK stays as it is. ``pinned`` is the catalogue's own.

    Raises UsageError when there is nothing but the null SDK, and what ``derive`` raises.
    """
    from toolkit.fetch.sdk_at import PINNED, derive
    from toolkit.fetch.store import Store

    if all(choice.sdk.null for choice in choices):
        raise UsageError(
            "--sdk-at has no SDK to stand for",
            "the null SDK is the Go standard library: its version is the locked toolchain's",
            "name another SDK, or leave --sdk-at out",
        )
    store = Store.open(folders.store)
    found = []
    for choice in choices:
        if choice.sdk.null:
            found.append(choice)
            continue
        for version in versions:
            if version == PINNED:
                found.append(choice)
                continue
            entry, label = derive(store, choice.sdk, version, report=output.talk)
            found.append(replace(choice, sdk=entry, at=label))
    return found


def show_plan(plan: Plan, output: Output) -> None:
    """``--dry-run``: the plan, nothing else."""
    import json

    output.document(plan.to_json())
    output.data(json.dumps(plan.to_json(), indent=1))


@contextmanager
def world_of(folders: Folders, catalogue: Any, topology: Any, output: Output) -> Iterator[tuple[World, Interrupts]]:
    """Engine, store and interrupts, after cleaning up behind commands that were killed."""
    from toolkit.engine.docker import connect
    from toolkit.fetch.store import Store
    from toolkit.launch.folder import check_writable
    from toolkit.launch.interrupts import Interrupts
    from toolkit.launch.prepare import World, recover

    check_writable(folders.runs)
    engine = connect()
    world = World(engine, Store.open(folders.store), catalogue, topology, folders.runs, output.talk)
    with Interrupts().installed() as interrupts:
        recover(world)
        yield world, interrupts


def run_prepared(
    prepared: Prepared,
    world: World,
    interrupts: Interrupts,
    wait_seconds: float,
    output: Output,
    onlooker: Onlooker | None = None,
) -> RunReport:
    """Lease the plan's lane, run the plan, seal. ``onlooker`` is told of each attempt as it happens."""
    from toolkit.cli.where import leased

    with leased(world, prepared.plan.cells[:1], wait_seconds, output):
        return run_held(prepared, world, interrupts, output, onlooker)


def run_held(
    prepared: Prepared, world: World, interrupts: Interrupts, output: Output, onlooker: Onlooker | None = None
) -> RunReport:
    """Run the plan on a lane that is leased, seal."""
    from toolkit.host.knobs.journal import state_folder
    from toolkit.host.knobs.tune import tuned_knobs
    from toolkit.launch.attempt import Hands
    from toolkit.launch.run import execute

    if tuned := tuned_knobs(state_folder()):
        output.talk(f"this host is tuned: {', '.join(tuned)} (afterwards: sudo repro host undo)")
    with progress_line(output) as progress:
        hands = Hands(world.engine, interrupts, progress)
        return execute(prepared, replace(hands, onlooker=onlooker) if onlooker else hands, world.runs)


@contextmanager
def progress_line(output: Output) -> Iterator[Callable[[str], None]]:
    """On a terminal one line that changes, elsewhere a line for each thing that happened."""
    if not output.live:
        yield output.talk
        return

    def redraw(text: str) -> None:
        output.stderr.write(f"\r\x1b[2K{text}")
        output.stderr.flush()

    try:
        yield redraw
    finally:
        output.stderr.write("\r\x1b[2K")
        output.stderr.flush()


def report_run(report: RunReport, plan: Plan, output: Output) -> None:
    """The summary and ``repro.launch/1``; then raise what ended the run, if anything did."""
    from toolkit.report.terminal import launch_summary

    document = launch_document(report.folder.path, report.manifest)
    launch_summary(report.manifest, document, plan, output)
    if report.error is None:
        output.document(document)
        return
    # One object on stdout: a run that ended badly is still a run, and its error is part of it.
    from toolkit.output import error_document

    output.document({**document, "error": error_document(report.error)})
    raise Reported(report.error)


def launch_document(path: Path, manifest: dict[str, Any]) -> dict[str, Any]:
    """``repro.launch/1`` of a sealed run."""
    from toolkit.launch.folder import RunFolder
    from toolkit.report.cautions import warnings_of
    from toolkit.report.document import cell_metrics
    from toolkit.seal import read_plan

    folder = RunFolder(path)
    plan = read_plan(folder)
    metrics = cell_metrics(folder, plan)
    cells = [
        {
            "id": cell["id"],
            "synthetic_model": plan.cell(cell["id"]).synthetic_model,
            "launches": cell["launches"],
            "metrics": metrics[cell["id"]],
            "warnings": warnings_of(metrics[cell["id"]]),
        }
        for cell in manifest["cells"]
    ]
    return {
        "schema": "repro.launch/1",
        "run": manifest["run"],
        "path": str(path),
        "grade": manifest["grade"]["letter"],
        "valid": manifest["valid"],
        "cells": cells,
    }


def choices_of(plan: Plan, catalogue: Catalogue, store: Store) -> list[Choice]:
    """The catalogue entries of a plan's cells; another version of an SDK as this store still holds it."""
    from toolkit.fetch.sdk_at import derived_again

    found = []
    for cell in plan.cells:
        sdk = catalogue.sdk(cell.sdk)
        at = cell.arms.get("sdk-at", "")
        if at:
            sdk = derived_again(store, sdk, at, cell.version)
        choice = Choice(sdk, catalogue.workload(cell.workload), catalogue.backend(cell.backend))
        found.append(replace(choice, asked_as=cell.asked_as, at=at, baseline=cell.baseline))
    return found
