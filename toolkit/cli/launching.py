"""The work behind ``repro launch`` and ``repro rerun``: the stages in a row, then what the user sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import Reported
from toolkit.output import Output
from toolkit.plan import Choice, Request, make_plan

if TYPE_CHECKING:
    from toolkit.cli.common import Folders
    from toolkit.launch.interrupts import Interrupts
    from toolkit.launch.prepare import World
    from toolkit.launch.run import Prepared, RunReport
    from toolkit.model.plan import Plan


@dataclass(frozen=True)
class LaunchOptions:
    """What ``launch`` was told beside the request."""

    sdks: list[str]
    backend: str | None
    cpus: str
    mems: str
    wait_seconds: float
    base: str | None
    no_cache: bool
    dry_run: bool


def launch_cells(request: Request, options: LaunchOptions, folders: Folders, output: Output) -> None:
    """Plan, prepare, execute, report; raises the error of the first failing launch after the report."""
    from toolkit.catalogue import load_catalogue
    from toolkit.cli.choose import choose
    from toolkit.host.topology import place, read_topology

    catalogue = load_catalogue(folders.catalogue)
    choices = choose(catalogue, options.sdks, request.workload, options.backend)
    topology = read_topology()
    plan = make_plan(request, choices, place(topology, options.cpus, options.mems))
    if options.dry_run:
        show_plan(plan, output)
        return
    with world_of(folders, catalogue, topology, output) as (world, interrupts):
        from toolkit.build.images import BuildOptions
        from toolkit.launch.prepare import prepare

        build = BuildOptions(no_cache=options.no_cache, base_image=options.base)
        prepared = prepare(world, plan, choices, build)
        report = run_prepared(prepared, world, interrupts, options.wait_seconds, output)
        report_run(report, prepared.plan, output)


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
    prepared: Prepared, world: World, interrupts: Interrupts, wait_seconds: float, output: Output
) -> RunReport:
    """Lease the lane, run the plan, seal."""
    from toolkit.launch.attempt import Hands
    from toolkit.launch.prepare import check_host
    from toolkit.launch.run import execute
    from toolkit.lease import lease

    check_host(prepared.plan, world.topology)
    cell = prepared.plan.cells[0]
    shared = f"{cell.agent_cpus},{cell.backend_cpus}"
    lane = lease(cell.cpus, world.engine, shared=shared, wait_seconds=wait_seconds)
    with lane, progress_line(output) as progress:
        return execute(prepared, Hands(world.engine, interrupts, progress), world.runs)


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
    from toolkit.analyse.merge import merge_launches
    from toolkit.launch.folder import RunFolder
    from toolkit.seal import last_results, read_plan

    folder = RunFolder(path)
    seed = read_plan(folder).seed
    cells = []
    for cell in manifest["cells"]:
        metrics = merge_launches(last_results(folder, cell["id"]), seed=seed)
        cells.append({"id": cell["id"], "launches": cell["launches"], "metrics": metrics})
    return {
        "schema": "repro.launch/1",
        "run": manifest["run"],
        "path": str(path),
        "grade": manifest["grade"]["letter"],
        "valid": manifest["valid"],
        "cells": cells,
    }


def choices_of(plan: Plan, catalogue: Any) -> list[Choice]:
    """The catalogue entries of a plan's cells."""
    return [
        Choice(catalogue.sdk(cell.sdk), catalogue.workload(cell.workload), catalogue.backend(cell.backend))
        for cell in plan.cells
    ]
