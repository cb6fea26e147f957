"""``repro doctor``: is this host fit, what would be lost, what to do. Changes nothing, takes less than two seconds."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.common import DEFAULT_RUNS, Folders, JsonFlag, QuietFlag, RunsOption, StoreOption, command
from toolkit.errors import UsageError

if TYPE_CHECKING:
    from toolkit.engine.port import EngineFacts
    from toolkit.errors import EngineError
    from toolkit.host.checks import Finding
    from toolkit.output import Output

_ENGINE_SECONDS = 1.1
_ENGINE_LOADS = 4.0
_LOOK_SECONDS = 0.2
_MARKS = {"ok": "ok  ", "warn": "WARN", "fail": "FAIL"}


def doctor(
    cpus: Annotated[str, typer.Option(help="Judge these CPUs, such as 0-3 (default: what the machine has).")] = "",
    aa: Annotated[bool, typer.Option("--aa", help="Measure this host's own noise: one thing against itself.")] = False,
    launches: Annotated[int | None, typer.Option(help="With --aa: launches of each of the two arms (5).")] = None,
    sdk: Annotated[str | None, typer.Option("--sdk", help="With --aa: what is launched (net-http).")] = None,
    duration: Annotated[float | None, typer.Option(help="With --aa: measured seconds of a launch (10).")] = None,
    warmup: Annotated[float | None, typer.Option(help="With --aa: warm-up seconds of a launch (5).")] = None,
    seed: Annotated[int | None, typer.Option(help="With --aa: seed of schedule, order and lot (1).")] = None,
    timing_gates: Annotated[str | None, typer.Option(help="With --aa: judge, or record (grade D).")] = None,
    wait: Annotated[float | None, typer.Option(help="With --aa: seconds to wait for busy CPUs.")] = None,
    show: Annotated[str | None, typer.Option(metavar="RUN", help="With --aa: launch nothing, read this run.")] = None,
    runs: RunsOption = DEFAULT_RUNS,
    store: StoreOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Say whether this host is fit, and what to do. Changes nothing, takes less than two seconds (not with --aa)."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        asked: dict[str, Any] = {
            "sdk": sdk,
            "launches": launches,
            "duration_seconds": duration,
            "warmup_seconds": warmup,
            "seed": seed,
            "timing_gates": timing_gates,
            "wait_seconds": wait,
            "show": show,
        }
        given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
        if aa:
            from toolkit.cli.noise import NoiseOptions, measure_noise

            options = NoiseOptions(**given)
            measure_noise(replace(options, cpus=cpus) if cpus else options, Folders(runs, store, None), output)
            return
        if given:
            name = next(iter(given)).removesuffix("_seconds").replace("_", "-")
            raise UsageError(f"--{name} is an option of doctor --aa", "without it nothing is launched", "add --aa")
        _examine(cpus, runs, store, output)


def _examine(cpus: str, runs: Path, store: Path | None, output: Output) -> None:
    """Look, say, and end with the code of the first failure."""
    from toolkit.fetch.store import store_root
    from toolkit.host.checks import Surroundings, best_grade, check_syntax, examine
    from toolkit.host.clock import clock_synchronised
    from toolkit.host.knobs.journal import state_folder
    from toolkit.host.load import watch_load
    from toolkit.host.topology import read_topology
    from toolkit.lease import lanes_folder

    engine, problem = engine_facts()
    around = Surroundings(
        topology=read_topology(),
        runs=runs,
        store=store_root(store),
        cpus=cpus,
        engine=engine,
        engine_error=problem,
        lanes=lanes_folder(),
        state=state_folder(),
        load=watch_load(_LOOK_SECONDS),  # after the engine was asked: what we ourselves do is no foreign load
        clock_synchronised=clock_synchronised(),
    )
    check_syntax(around)
    findings = examine(around)
    letter = best_grade(around, findings)
    output.document(
        {"schema": "repro.doctor/1", "grade": letter, "checks": [finding.to_json() for finding in findings]}
    )
    _print(findings, letter, output)
    failed = next((finding for finding in findings if finding.state == "fail"), None)
    if failed is not None:
        raise typer.Exit(failed.exit_code)


def engine_facts() -> tuple[EngineFacts | None, EngineError | None]:
    """What the local engine says of itself, or why it does not; an engine that hangs is one that does not answer."""
    from toolkit.engine.docker import connect, load_library
    from toolkit.errors import EngineError, EngineUnavailable

    # Where reading a library takes seconds (an emulated machine), the engine is as slow, and no worse for it.
    limit = max(_ENGINE_SECONDS, _ENGINE_LOADS * load_library())
    facts: list[EngineFacts] = []
    problems: list[EngineError] = []

    def ask() -> None:
        try:
            facts.append(connect().facts())
        except EngineError as problem:
            problems.append(problem)

    thread = threading.Thread(target=ask, name="ask-engine", daemon=True)
    thread.start()
    thread.join(limit)
    if facts:
        return facts[0], None
    late = EngineUnavailable(
        "The container engine is too slow to answer",
        f"nothing came within {limit:.1f} s",
        "look at its log, and restart it: sudo systemctl restart docker",
    )
    return None, problems[0] if problems else late


def _print(findings: list[Finding], letter: str | None, output: Output) -> None:
    from toolkit.host.checks import GROUPS
    from toolkit.report.table import table

    here = [one for one in findings if one.state != "absent"]
    width = max(len(one.id) for one in here)
    for group in GROUPS:
        rows = [[_MARKS[one.state], one.id.ljust(width), one.found] for one in here if one.group == group]
        if rows:
            output.data(f"{group}\n" + "\n".join(f"  {line}" for line in table(rows).splitlines()))
    output.data("not here: " + ", ".join(one.id for one in findings if one.state == "absent"))
    advice = [one for one in here if one.advice]
    if advice:
        output.data("")
    for one in advice:
        output.data(f"{_MARKS[one.state]} {one.id}: {one.advice}")
    verdict = f"fit: grade {letter} at best today" if letter else "not fit: see FAIL above"
    output.data(f"\n{verdict}" + (", if nothing disturbs it" if letter else ""))
