"""``repro plan``: what a launch with the same options would run. Needs no engine and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.cli import options as of
from toolkit.cli.common import DEFAULT_RUNS, CatalogueOption, Folders, JsonFlag, QuietFlag, StoreOption, command

if TYPE_CHECKING:
    from toolkit.host.placement import Placement
    from toolkit.model.plan import CellPlan, Plan
    from toolkit.output import Output


def plan(
    sdk: of.Sdk,
    cpus: of.Cpus = "",
    cores: of.Cores = None,
    lanes: of.Lanes = None,
    threads_per_core: of.ThreadsPerCore = "1",
    workload: of.Workload = None,
    backend: of.Backend = None,
    sdk_at: of.SdkAt = None,
    baseline: of.Baseline = False,
    model: of.Model = None,
    mems: of.Mems = "",
    memory: of.Memory = None,
    mem_policy: of.MemPolicy = "bind",
    launches: of.Launches = 1,
    duration: of.Duration = None,
    warmup: of.Warmup = 5.0,
    seed: of.Seed = 1,
    drive: of.Drive = None,
    bench_count: of.BenchCount = 5,
    bench_time: of.BenchTime = "30s",
    sample_hz: of.SampleHz = 1.0,
    timing_gates: of.TimingGates = "judge",
    arm: of.Arm = None,
    budget: of.Budget = None,
    machine: of.Machine = None,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show what such a launch would run. Cells, placement, order; needs no engine and writes nothing."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.arms import parse_arms, parse_memory
        from toolkit.catalogue import load_catalogue
        from toolkit.cli.launching import LaunchOptions, Selection, planned
        from toolkit.cli.where import Where, of_machine, placements
        from toolkit.ledger.budget import parse_budget
        from toolkit.plan import Request

        request = Request(
            workload=workload, drive=drive, memory_bytes=parse_memory(memory) if memory is not None else None,
            mem_policy=mem_policy, launches=launches, duration_seconds=duration, warmup_seconds=warmup, seed=seed,
            sample_hz=sample_hz,
            timing_gates=timing_gates, bench_count=bench_count, bench_time_seconds=of.parse_seconds(bench_time),
            arms=parse_arms(arm or []), budget=parse_budget(budget or []),
        )  # fmt: skip
        selection = Selection(sdk, sdk_at or [], backend, baseline, model)
        where = Where(cpus, mems, cores, lanes, threads_per_core)
        options = LaunchOptions(selection, where, 0.0, None, no_cache=False, dry_run=True)
        folders = Folders(DEFAULT_RUNS, store, catalogue)
        lanes_here = placements(of_machine(machine), where)
        made, _choices = planned(request, options, load_catalogue(catalogue), lanes_here[0], folders, output)
        output.document(made.to_json())
        print_plan(made, lanes_here, output)


def print_plan(made: Plan, lanes: tuple[Placement, ...], output: Output) -> None:
    """The plan for people. ``lanes``: all those that a launch may take, the first of which the plan is for."""
    from toolkit.report.table import table

    for cell in made.cells:
        output.data(f"{cell.module}@{cell.version}  {cell.cell}")
        output.data(table([["  " + name, value] for name, value in _facts(cell)]))
        output.data("")
    if len(lanes) > 1:
        output.data(table([["lane", "measured", "idle", "agent", "backend", "host", "memory node"], *_rows(lanes)]))
        output.data("a launch takes the first that is free\n")
    shown = [f"{index}. {turn.cell}, launch {turn.launch}" for index, turn in enumerate(made.order, 1)]
    output.data(f"order (seed {made.seed})\n  " + "\n  ".join(shown))
    total = sum(made.cell(turn.cell).planned_seconds for turn in made.order)
    output.data(f"\nabout {total:.0f} s, without building")


def _rows(lanes: tuple[Placement, ...]) -> list[list[str]]:
    return [
        [str(number), one.cpus, one.idle_cpus or "-", one.agent_cpus, one.backend_cpus, one.housekeeping_cpus, one.mems]
        for number, one in enumerate(lanes, 1)
    ]


def _facts(cell: CellPlan) -> list[tuple[str, str]]:
    from toolkit.report.interference import budget_text
    from toolkit.report.terminal import drive_text
    from toolkit.units import size

    others = "agent" if cell.in_process else "agent, backend"
    shared = f"; shared with {others} and host program: grade C at most" if cell.shared_cpus else ""
    where = f"measured {cell.cpus}" + (f", idle {cell.idle_cpus}" if cell.idle_cpus else "")
    where += f", agent {cell.agent_cpus}" + ("" if cell.in_process else f", backend {cell.backend_cpus}")
    where += f", host program {cell.housekeeping_cpus}"
    times = f"; {cell.warmup_seconds:g} s warm-up, {cell.duration_seconds:g} s"
    work = drive_text(cell) + (times if cell.drive != "bench" else f", {cell.bench_time_seconds:g} s each")
    memory = "in the SDK's process" if cell.in_process else size(cell.backend_memory_bytes)
    return [
        ("backend", f"{cell.backend} ({cell.backend_tier}), {memory}"),
        ("drive", work),
        ("launches", str(cell.launches)),
        ("CPUs", where + shared),
        *(("why" if index == 0 else "", note) for index, note in enumerate(cell.lane_notes)),
        ("memory", f"{size(cell.memory_bytes)} on node {cell.mems}, policy {cell.mem_policy}, no swap"),
        ("GOMAXPROCS", str(cell.gomaxprocs)),
        ("timing gates", cell.timing_gates),
        ("interference", budget_text(cell)),
    ]
