"""The work behind ``repro rerun FILE``: verify, then unpack, load, run and compare (stages 8 to 10)."""

from __future__ import annotations

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
    from toolkit.archive import layout
    from toolkit.archive.adopt import adopt_images, prepared_again
    from toolkit.archive.stranger import judged, read_lock_of
    from toolkit.catalogue import load_catalogue
    from toolkit.cli.budget import costs, within
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
    plan, budget = within(plan, wish.try_minutes, costs(original, place / layout.BLOBS), output)
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
        prepared = replace(prepared, budget_seconds=budget)
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
