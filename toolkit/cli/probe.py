"""``repro probe``: the capability matrix, measured. A run like any other, whose results are experiments."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli import options as of
from toolkit.cli.common import (
    DEFAULT_RUNS,
    CatalogueOption,
    Folders,
    JsonFlag,
    QuietFlag,
    RunsOption,
    StoreOption,
    VerboseFlag,
    command,
)

if TYPE_CHECKING:
    from toolkit.catalogue import Catalogue
    from toolkit.launch.run import RunReport
    from toolkit.output import Output
    from toolkit.plan import Choice

WORKLOAD = "probe"


def probe(
    sdk: Annotated[
        list[str] | None, typer.Argument(metavar="[SDK]...", help="SDK ids or aliases (default: all).")
    ] = None,
    cpus: Annotated[str, typer.Option("--cpus", help="CPUs to run on.")] = "0",
    show: Annotated[
        str | None, typer.Option("--show", metavar="RUN", help="Run nothing: the matrix of an earlier probe.")
    ] = None,
    wait: of.Wait = 0.0,
    runs: RunsOption = DEFAULT_RUNS,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Find out by experiment what an SDK can do. Every cell of the matrix has its evidence in the run."""
    with command(json_mode=json_mode, quiet=quiet, verbose=verbose) as output:
        folders = Folders(runs, store, catalogue)
        if show is not None:
            _show(show, folders, output)
            return
        report = _run(sdk or [], cpus, folders, wait, output)
        _print(report.folder.path, output, report)


def _run(names: list[str], cpus: str, folders: Folders, wait_seconds: float, output: Output) -> RunReport:
    from toolkit.build.images import BuildOptions
    from toolkit.catalogue import load_catalogue
    from toolkit.cli.launching import run_prepared, world_of
    from toolkit.host.topology import place, read_topology
    from toolkit.launch.prepare import check_host, prepare
    from toolkit.plan import Request, make_plan

    catalogue, topology = load_catalogue(folders.catalogue), read_topology()
    choices = probe_choices(catalogue, names)
    plan = make_plan(Request(workload=WORKLOAD, warmup_seconds=1.0), choices, place(topology, cpus))
    check_host(plan, topology)
    with world_of(folders, catalogue, topology, output) as (world, interrupts):
        prepared = prepare(world, plan, choices, BuildOptions())
        return run_prepared(prepared, world, interrupts, wait_seconds, output)


def probe_choices(catalogue: Catalogue, names: list[str]) -> list[Choice]:
    """Each SDK against the stand-in that can misbehave on purpose, or in its own process."""
    from toolkit.plan import Choice

    workload = catalogue.workload(WORKLOAD)
    found = []
    for name in names or list(catalogue.sdks):
        entry = catalogue.sdk(name)
        backends = dict.fromkeys(backend for _workload, listed in entry.workloads for backend in listed)
        entries = [catalogue.backend(one) for one in backends]
        # Only a stub can be asked to misbehave; a real backend would be probed instead of the SDK.
        chosen = next((one for one in entries if one.tier == "stub" or one.in_process), entries[0])
        found.append(Choice(entry, workload, chosen, asked_as=name.strip().lower()))
    return found


def _show(name: str, folders: Folders, output: Output) -> None:
    from toolkit.launch.folder import resolve_run

    _print(resolve_run(folders.runs, name).path, output, None)


def _print(path: Path, output: Output, report: RunReport | None) -> None:
    """The matrix and ``repro.probe/1``; then raise what ended the run, if anything did."""
    from toolkit.errors import Reported
    from toolkit.launch.folder import RunFolder
    from toolkit.output import error_document
    from toolkit.report.matrix import matrix_text, probe_document

    document: dict[str, Any] = probe_document(RunFolder(path))
    output.data(matrix_text(document))
    output.data(f"\nkept in {path}")
    if report is None or report.error is None:
        output.document(document)
        return
    output.document({**document, "error": error_document(report.error)})
    raise Reported(report.error)
