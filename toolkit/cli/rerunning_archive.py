"""The work behind ``repro rerun FILE``: verify, then unpack, load, run and compare (stages 8 to 10)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit.errors import ArchiveInvalid, HostUnfit, UsageError
from toolkit.output import Output

if TYPE_CHECKING:
    from toolkit.cli.common import Folders
    from toolkit.diff import Difference
    from toolkit.host.topology import Placement, Topology
    from toolkit.launch.folder import RunFolder
    from toolkit.launch.run import Prepared
    from toolkit.model.plan import Plan
    from toolkit.telemetry.channels import Wanted
    from toolkit.verify.report import Verification
    from toolkit.verify.run import Question

NOT_JUDGED = "not judged"
"""Stage 10, until a comparison's statistics come: both results stand side by side, and nobody guesses."""


@dataclass(frozen=True)
class Wish:
    """How a stranger's archive is to be run: what is accepted of it, where, and for how long at most."""

    question: Question
    accept_unverified: bool
    allow: tuple[str, ...]
    cpus: str
    try_minutes: float | None
    wait_seconds: float
    model: Path | None
    channels: Wanted | None = None


def rerun_archive(wish: Wish, folders: Folders, output: Output) -> None:
    """Verify and re-run an archive. Raises ArchiveInvalid for one that may not be run, and what a launch raises."""
    from toolkit.archive.adopt import unpack_run
    from toolkit.archive.stranger import judged
    from toolkit.cli.strangers import say_environment, verified_archive

    with verified_archive(wish.question, folders.store, lambda found: _may_run(found, wish)) as held:
        output.talk(f"verified: {held.found.archive['run']}, author {held.found.author}")
        say_environment(output)
        with judged():
            original = unpack_run(held.stream, held.scan, held.place, str(held.found.archive["run"]))
        _run(original, held.place, wish, folders, output, held.found)


_NOT_RUN = "rerun.sh"
"""Another version writes another script; this command never runs it, so it is shown and stops nobody."""


def _may_run(found: Verification, wish: Wish) -> None:
    from toolkit.cli.strangers import may_use

    may_use(found, accept_unverified=wish.accept_unverified)
    allowed = (*wish.allow, _NOT_RUN)
    refused = [one for one in found.differences if one.split(":")[0] not in allowed]
    if refused:
        raise ArchiveInvalid(
            "the archive departs from the isolation baseline",
            "; ".join(refused[:3]),
            f"read it, then allow each by name: --allow {refused[0].split(':')[0]}",
        )
    if "images" in found.archive["without"]:
        raise ArchiveInvalid("the archive is without images", "there is nothing to run", "ask for a whole one")


def _run(
    original: RunFolder, place: Path, wish: Wish, folders: Folders, output: Output, verified: Verification
) -> None:
    from toolkit.archive.adopt import adopt_images, prepared_again
    from toolkit.archive.stranger import judged, read_lock_of
    from toolkit.catalogue import load_catalogue
    from toolkit.cli.channels import channels_of
    from toolkit.cli.launching import launch_document, run_prepared, world_of
    from toolkit.cli.rerunning import report_again, required_model, show_differences
    from toolkit.host.topology import read_topology
    from toolkit.launch.prepare import check_host
    from toolkit.report.document import read_manifest
    from toolkit.seal import read_plan

    manifest, topology = read_manifest(original), read_topology()
    before = launch_document(original.path, manifest)
    planned = read_plan(original)
    plan, moved = _placed(planned, topology, wish.cpus)
    plan = _within(plan, wish.try_minutes, output)
    model = required_model(plan, wish.model)
    check_host(plan, topology)
    more = {"archive": verified.archive, "author": verified.author, "judgement": NOT_JUDGED}
    with (
        world_of(folders, load_catalogue(folders.catalogue), topology, output) as (world, interrupts),
        channels_of(wish.channels, plan, output) as onlooker,
    ):
        with judged():
            store = adopt_images(place, read_lock_of(original.path))
        prepared = prepared_again(original, plan, world.engine, store, topology, model=model)
        if wish.channels is not None:
            prepared = replace(prepared, telemetry=wish.channels.names)
        differences = [*_differences(original, prepared, planned), *moved]
        show_differences(differences, output)
        _refuse(differences, wish.allow)
        report = run_prepared(prepared, world, interrupts, wish.wait_seconds, output, onlooker)
        report_again(report, before, differences, output, more)
    output.data(f"stage 10: {NOT_JUDGED}: the statistics of a comparison are not part of this version")


def _placed(plan: Plan, topology: Topology, cpus: str) -> tuple[Plan, list[Difference]]:
    """The plan where the author ran it, or on CPUs of this machine; what that changes is said, and explains numbers."""
    from toolkit.archive.adopt import placed
    from toolkit.diff import Difference
    from toolkit.host.topology import place

    cell = plan.cells[0]
    there = f"CPUs {cell.cpus}, agent {cell.agent_cpus}, backend {cell.backend_cpus}, node {cell.mems}"
    try:
        found: Placement = place(topology, cpus or cell.cpus, "" if cpus else cell.mems)
    except HostUnfit:
        if cpus:
            raise
        found = place(topology, str(topology.cpus[0]))
    here = f"CPUs {found.cpus}, agent {found.agent_cpus}, backend {found.backend_cpus}, node {found.mems}"
    if there == here:
        return plan, []
    return placed(plan, found), [Difference("placement", there, here, "explanatory")]


_STARTS_SECONDS = 4.0
_YARDSTICK_MIB, _YARDSTICK_SECONDS = 32, 0.07
"""SHA-256 of 32 MiB took 0.07 s where a launch's containers took 4 s to start, be read back and go."""


def _within(plan: Plan, minutes: float | None, output: Output) -> Plan:
    """As many launches, in the plan's own order, as fit into the time; every cell at least once, or it is refused."""
    from toolkit.model.plan import Turn
    from toolkit.units import size

    if minutes is None:
        return plan
    left, turns = minutes * 60, list[Turn]()
    start = start_seconds()
    for cell in plan.cells:
        needs, memory = cell.planned_seconds + start, cell.memory_bytes + cell.backend_memory_bytes
        output.talk(f"forecast: {cell.cell}: {needs:.0f} s a launch, {size(memory)} of memory")
    for turn in plan.order:
        needs = plan.cell(turn.cell).planned_seconds + start
        if needs > left:
            break
        left -= needs
        turns.append(turn)
    counts: Mapping[str, int] = {cell.cell: sum(turn.cell == cell.cell for turn in turns) for cell in plan.cells}
    if not all(counts.values()):
        raise UsageError(
            f"--try {minutes:g} is too short",
            f"one launch of every cell takes {_once(plan, start) / 60:.1f} minutes here",
            f"give at least --try {_once(plan, start) / 60 + 0.1:.1f}",
        )
    output.talk(f"--try {minutes:g}: {len(turns)} of {len(plan.order)} launches, {minutes - left / 60:.1f} minutes")
    cells = tuple(replace(cell, launches=counts[cell.cell]) for cell in plan.cells)
    return replace(plan, cells=cells, order=tuple(turns))


def start_seconds() -> float:
    """What starting, reading back and removing the containers of a launch takes on this machine, in seconds.

    Scaled from a machine where it was measured by the time of one fixed piece of work on each: a laptop that is half
    as fast waits twice as long.
    """
    import hashlib
    import time

    block, begin = bytes(1 << 20), time.perf_counter()
    for _ in range(_YARDSTICK_MIB):
        hashlib.sha256(block).digest()
    return _STARTS_SECONDS * max(1.0, (time.perf_counter() - begin) / _YARDSTICK_SECONDS)


def _once(plan: Plan, start: float) -> float:
    """Seconds until every cell has run once, in the plan's order."""
    seen: set[str] = set()
    seconds = 0.0
    for turn in plan.order:
        if len(seen) == len(plan.cells):
            break
        seen.add(turn.cell)
        seconds += plan.cell(turn.cell).planned_seconds + start
    return seconds


def _differences(original: RunFolder, prepared: Prepared, planned: Plan) -> list[Difference]:
    """As in a re-run of a run of one's own; the placement is a difference of its own, not one in every command."""
    from toolkit.cli.rerunning import set_up_differences

    return set_up_differences(original, replace(prepared, plan=planned))


def _refuse(differences: list[Difference], allow: tuple[str, ...]) -> None:
    blocking = [one for one in differences if one.meaning == "blocking" and one.what not in allow]
    if blocking:
        one = blocking[0]
        raise ArchiveInvalid(
            "this would not be the same experiment",
            f"{len(blocking)} blocking difference(s), first {one.what}: was {one.original}, is {one.now}",
            f"use the version of this tool that made the run, or allow it by name: --allow '{one.what}'",
        )


def archive_given(text: str) -> bool:
    """Whether the argument of ``rerun`` is an archive and not a run."""
    return Path(text).is_file()


def no_archive_options(**given: Any) -> None:
    """Raises UsageError for an option that only an archive takes."""
    for name, value in given.items():
        if value:
            raise UsageError(
                f"--{name.replace('_', '-')} goes with an archive only", "a run of your own was named", "leave it out"
            )
