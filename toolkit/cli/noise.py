"""``repro doctor --aa``: the noise of this host, from launches of one thing against itself."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from toolkit.errors import Inconclusive, Reported, UsageError

if TYPE_CHECKING:
    from toolkit.catalogue import Catalogue
    from toolkit.cli.common import Folders
    from toolkit.host.topology import Placement
    from toolkit.launch.folder import RunFolder
    from toolkit.model.plan import Plan
    from toolkit.output import Output
    from toolkit.plan import Choice

_MOST = 1000
_OWN_WORK_SECONDS = 6.0  # creating, warming and judging of one launch, beside what the plan says


@dataclass(frozen=True)
class NoiseOptions:
    """``launches`` of each arm; ``show`` is a run that there is already."""

    sdk: str = "net-http"
    cpus: str = "0"
    launches: int = 5
    duration_seconds: float = 10.0
    warmup_seconds: float = 5.0
    seed: int = 1
    timing_gates: str = "judge"
    wait_seconds: float = 0.0
    show: str | None = None


def measure_noise(options: NoiseOptions, folders: Folders, output: Output) -> None:
    """Launch, or read an earlier run; print what this host can show; then raise what ended the run, if anything did."""
    if options.show is not None:
        from toolkit.launch.folder import resolve_run

        output.document(_told(resolve_run(folders.runs, options.show), output))
        return
    folder, problem = _launched(options, folders, output)
    try:
        document = _told(folder, output)
    except Inconclusive:
        if problem is None:
            raise
        raise problem.error from None  # too few launches, because of this
    if problem is None:
        output.document(document)
        return
    from toolkit.output import error_document

    output.document({**document, "error": error_document(problem.error)})
    raise problem


def _told(folder: RunFolder, output: Output) -> dict[str, object]:
    from toolkit.report.document import check_files, read_manifest
    from toolkit.report.noise import noise_document, print_noise
    from toolkit.seal import read_plan

    manifest = read_manifest(folder)
    check_files(folder, manifest, ("plan.json", "result.json"))
    document = noise_document(folder, manifest, read_plan(folder))
    print_noise(document, output)
    return document


def _launched(options: NoiseOptions, folders: Folders, output: Output) -> tuple[RunFolder, Reported | None]:
    """An ordinary run; its folder, and what went wrong in it."""
    from toolkit.build.images import BuildOptions
    from toolkit.catalogue import load_catalogue
    from toolkit.cli.launching import run_prepared, world_of
    from toolkit.host.topology import place, read_topology
    from toolkit.launch.prepare import check_host, prepare

    catalogue, topology = load_catalogue(folders.catalogue), read_topology()
    plan, choices = noise_plan(options, catalogue, place(topology, options.cpus))
    check_host(plan, topology)
    seconds = sum(cell.duration_seconds + cell.warmup_seconds + _OWN_WORK_SECONDS for cell in plan.cells)
    output.talk(f"A/A: {len(plan.order)} launches, about {seconds * 2 * options.launches / 60:.0f} min")
    with world_of(folders, catalogue, topology, output) as (world, interrupts):
        prepared = prepare(world, plan, choices, BuildOptions())
        report = run_prepared(prepared, world, interrupts, options.wait_seconds, output)
    return report.folder, Reported(report.error) if report.error is not None else None


def noise_plan(options: NoiseOptions, catalogue: Catalogue, placement: Placement) -> tuple[Plan, list[Choice]]:
    """Twice as many launches as an arm has, of the SDK's default cell; and where its backend can answer at once, of a
    closed loop without a pace, too: only there does throughput belong to the SDK. Raises UsageError.
    """
    from toolkit.analyse.noise import LEAST_OF_AN_ARM
    from toolkit.cli.choose import choose
    from toolkit.plan import Request, interleaved, make_plan

    if not LEAST_OF_AN_ARM <= options.launches <= _MOST:
        why = f"each of the two arms has {LEAST_OF_AN_ARM} to {_MOST}"
        raise UsageError(f"--launches {options.launches} cannot be used", why, "for example --launches 5")
    (choice,) = choose(catalogue, [options.sdk], None)
    request = Request(
        launches=2 * options.launches,
        duration_seconds=options.duration_seconds,
        warmup_seconds=options.warmup_seconds,
        seed=options.seed,
        timing_gates=options.timing_gates,
    )
    requests = [request]
    if choice.backend.drive == "open" and "pacing" in choice.backend.settings:
        requests.append(replace(request, drive="closed", arms={"pacing": "unpaced"}))
    plans = [make_plan(one, [choice], placement) for one in requests]
    return interleaved(plans, request), [choice] * len(plans)
