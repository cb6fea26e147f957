"""The options of ``launch`` and ``plan``, each named once."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from toolkit.errors import UsageError

Sdk = Annotated[list[str], typer.Option("--sdk", help="SDK id or alias; repeat it for one interleaved run.")]
Cpus = Annotated[
    str, typer.Option("--cpus", help="Measured CPUs as a list, such as 0-7. --cpus 2 is CPU number 2, not two CPUs.")
]
Cores = Annotated[
    int | None, typer.Option("--cores", metavar="N", help="Instead of --cpus: N whole cores, chosen for you.")
]
Lanes = Annotated[
    int | None,
    typer.Option("--lanes", metavar="N", help="Instead of --cpus: N equal lanes; this command takes the first free."),
]
ThreadsPerCore = Annotated[
    str, typer.Option(metavar="1|all", help="With --cores or --lanes: measured threads of each core; the rest is idle.")
]
Workload = Annotated[str | None, typer.Option(help="Workload (default: the SDK's first).")]
Backend = Annotated[str | None, typer.Option(help="Backend (default: the workload's first).")]
SdkAt = Annotated[
    list[str] | None,
    typer.Option(
        "--sdk-at",
        metavar="VERSION|DIR",
        help="The SDK at another version (v1.2.3), from a checkout (a folder), or 'pinned'; repeat it for one "
        "interleaved run.",
    ),
]
Baseline = Annotated[bool, typer.Option("--baseline", help="Add the null SDK: what an SDK's cost is measured against.")]
Model = Annotated[
    Path | None,
    typer.Option("--model", metavar="FILE.gguf", help="A model of your own for engine or backend, recorded by digest."),
]
Mems = Annotated[
    str, typer.Option(help="Memory nodes (default: those of the CPUs). With --cores or --lanes: cores of these only.")
]
Memory = Annotated[str | None, typer.Option(help="Memory limit of the SDK's container, such as 512m; never any swap.")]
MemPolicy = Annotated[str, typer.Option(help="bind, interleave, preferred or none.")]
Launches = Annotated[int, typer.Option(help="Launches of each cell: the unit of replication.")]
Duration = Annotated[float | None, typer.Option(help="Measured seconds (default 30).")]
Warmup = Annotated[float, typer.Option(help="Warm-up seconds, fixed in the plan.")]
Seed = Annotated[int, typer.Option(help="Seed of the schedule, the order and the backend.")]
Drive = Annotated[
    str | None,
    typer.Option(
        help="open (scheduled arrivals), closed (fixed concurrency) or bench (go test -bench). "
        "Default: open; closed for engines in process and real backends."
    ),
]
BenchCount = Annotated[int, typer.Option(help="Runs of the benchmark (drive bench).")]
BenchTime = Annotated[str, typer.Option(help="Time of one run (drive bench), such as 30s.")]
SampleHz = Annotated[float, typer.Option(help="Samples a second that the agent takes.")]
TimingGates = Annotated[
    str, typer.Option(help="judge, or record: write the timing gates down without invalidating (grade D).")
]
Arm = Annotated[
    list[str] | None,
    typer.Option("--arm", help="A setting off its default, such as gogc=50 or sdk=defaults; repeat it."),
]
Budget = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        metavar="KEY=VALUE",
        help="How much interference a window may have before it is tainted, such as foreign_cpu_share=0.05; 'none' "
        "switches a key off. Repeat it.",
    ),
]
Machine = Annotated[
    Path | None,
    typer.Option("--machine", metavar="DIR", help="Plan for another machine, whose /sys and /proc were copied there."),
]
Wait = Annotated[float, typer.Option(help="Seconds to wait for busy CPUs.")]
Base = Annotated[str | None, typer.Option(help="Another base image, IMAGE@sha256:..., recorded in the lock.")]
NoCache = Annotated[bool, typer.Option("--no-cache", help="Build from the inputs, without any cache.")]
Prometheus = Annotated[
    str | None,
    typer.Option(
        "--prometheus", metavar="ADDR", help="Serve live numbers to Prometheus at HOST:PORT; :PORT is loopback only."
    ),
]
Otlp = Annotated[
    str | None,
    typer.Option("--otlp", metavar="ENDPOINT", help="Send live metrics and a trace per launch, as http://HOST:PORT."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and stop.")]


def parse_seconds(text: str) -> float:
    """``500ms``, ``30s`` or ``2m`` in seconds, as Go's -benchtime writes them; UsageError on anything else."""
    for unit, factor in (("ms", 0.001), ("s", 1.0), ("m", 60.0)):
        number = text.removesuffix(unit)
        if number != text and number.replace(".", "", 1).isdecimal():
            return float(number) * factor
    raise UsageError(f"--bench-time '{text}' is not a time", "it is a number with ms, s or m", "for example 30s")
