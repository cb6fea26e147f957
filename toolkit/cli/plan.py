"""``repro plan``: what a launch with the same options would run. Needs no engine and writes nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

from toolkit.cli import options as of
from toolkit.cli.common import CatalogueOption, JsonFlag, QuietFlag, command

if TYPE_CHECKING:
    from toolkit.model.plan import CellPlan, Plan
    from toolkit.output import Output


def plan(
    sdk: of.Sdk,
    cpus: of.Cpus,
    workload: of.Workload = None,
    backend: of.Backend = None,
    mems: of.Mems = "",
    memory: of.Memory = None,
    mem_policy: of.MemPolicy = "bind",
    launches: of.Launches = 1,
    duration: of.Duration = None,
    warmup: of.Warmup = 5.0,
    seed: of.Seed = 1,
    drive: of.Drive = "open",
    bench_count: of.BenchCount = 5,
    bench_time: of.BenchTime = "30s",
    sample_hz: of.SampleHz = 1.0,
    timing_gates: of.TimingGates = "judge",
    arm: of.Arm = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show what such a launch would run. Cells, placement, order; needs no engine and writes nothing."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.catalogue import load_catalogue
        from toolkit.cli.choose import choose
        from toolkit.host.topology import place, read_topology
        from toolkit.plan import Request, make_plan, parse_arms, parse_memory

        request = Request(
            workload=workload, drive=drive, memory_bytes=parse_memory(memory) if memory is not None else None,
            mem_policy=mem_policy, launches=launches, duration_seconds=duration, warmup_seconds=warmup, seed=seed,
            sample_hz=sample_hz,
            timing_gates=timing_gates, bench_count=bench_count, bench_time_seconds=of.parse_seconds(bench_time),
            arms=parse_arms(arm or []),
        )  # fmt: skip
        choices = choose(load_catalogue(catalogue), sdk, workload, backend)
        made = make_plan(request, choices, place(read_topology(), cpus, mems))
        output.document(made.to_json())
        print_plan(made, output)


def print_plan(made: Plan, output: Output) -> None:
    """The plan for people."""
    from toolkit.report.table import table

    for cell in made.cells:
        output.data(f"{cell.module}@{cell.version}  {cell.cell}")
        output.data(table([["  " + name, value] for name, value in _facts(cell)]))
        output.data("")
    shown = [f"{index}. {turn.cell}, launch {turn.launch}" for index, turn in enumerate(made.order, 1)]
    output.data(f"order (seed {made.seed})\n  " + "\n  ".join(shown))
    total = sum(made.cell(turn.cell).planned_seconds for turn in made.order)
    output.data(f"\nabout {total:.0f} s, without building")


def _facts(cell: CellPlan) -> list[tuple[str, str]]:
    from toolkit.units import size

    shared = "; shared with agent, backend and host program: grade C at most" if cell.shared_cpus else ""
    work = (
        f"go test -bench, {cell.bench_count} x {cell.bench_time_seconds:g} s"
        if cell.drive == "bench"
        else f"{cell.arrival} {cell.rate_hz:g}/s; {cell.warmup_seconds:g} s warm-up, {cell.duration_seconds:g} s"
    )
    return [
        ("backend", f"{cell.backend} ({cell.backend_tier}), {size(cell.backend_memory_bytes)}"),
        ("drive", f"{cell.drive}: {work}"),
        ("launches", str(cell.launches)),
        ("CPUs", f"measured {cell.cpus}, agent {cell.agent_cpus}, backend {cell.backend_cpus}{shared}"),
        ("memory", f"{size(cell.memory_bytes)} on node {cell.mems}, policy {cell.mem_policy}, no swap"),
        ("GOMAXPROCS", str(cell.gomaxprocs)),
        ("timing gates", cell.timing_gates),
    ]
