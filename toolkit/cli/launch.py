"""``repro launch``: the main job, from a name to a sealed run."""

from __future__ import annotations

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


def launch(
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
    wait: of.Wait = 0.0,
    base: of.Base = None,
    no_cache: of.NoCache = False,
    prometheus: of.Prometheus = None,
    otlp: of.Otlp = None,
    dry_run: of.DryRun = False,
    runs: RunsOption = DEFAULT_RUNS,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Build, isolate, measure and record one or more SDKs: the main job."""
    with command(json_mode=json_mode, quiet=quiet, verbose=verbose) as output:
        from toolkit.arms import parse_arms, parse_memory
        from toolkit.cli.channels import wanted
        from toolkit.cli.launching import LaunchOptions, Selection, launch_cells
        from toolkit.cli.where import Where
        from toolkit.ledger.budget import parse_budget
        from toolkit.plan import Request

        limit = parse_memory(memory) if memory is not None else None
        request = Request(
            workload, drive, limit, mem_policy, launches, duration, warmup, seed,
            sample_hz, timing_gates, bench_count, of.parse_seconds(bench_time), parse_arms(arm or []),
            budget=parse_budget(budget or []),
        )  # fmt: skip
        selection = Selection(sdk, sdk_at or [], backend, baseline, model)
        where = Where(cpus, mems, cores, lanes, threads_per_core)
        channels = wanted(prometheus, otlp)
        options = LaunchOptions(selection, where, wait, base, no_cache, dry_run, channels)
        launch_cells(request, options, Folders(runs, store, catalogue), output)
