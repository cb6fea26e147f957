"""``repro host``: knobs of this machine, turned for measuring and put back exactly as they were."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.common import JsonFlag, QuietFlag, command
from toolkit.errors import HostUnfit, LaneBusy, LaunchInvalid, Reported, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from toolkit.host.knobs.tune import Outcome
    from toolkit.host.property import Surroundings
    from toolkit.output import Output

app = typer.Typer(
    name="host",
    help="Turn knobs of this machine for measuring, and put them back exactly as they were.",
    no_args_is_help=True,
)

OnlyOption = Annotated[
    list[str] | None,
    typer.Option("--only", metavar="KNOB", help="swap, thp, numa_balancing, ksm, perf, irq or smt; repeat it."),
]
CpusOption = Annotated[
    str, typer.Option("--cpus", help="The CPUs that will be measured, such as 2-3: for irq and smt.")
]
DryRunFlag = Annotated[bool, typer.Option("--dry-run", help="Say what would be changed, and stop.")]
ForceFlag = Annotated[bool, typer.Option("--force", help="Put back also what somebody else changed meanwhile.")]
ForgetFlag = Annotated[bool, typer.Option("--forget", help="Leave what somebody else changed, and forget it.")]


@app.command("tune")
def tune(
    only: OnlyOption = None,
    cpus: CpusOption = "",
    dry_run: DryRunFlag = False,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Turn every knob, or only those named. What each was is on disk before it is touched."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.host.checks import check_syntax
        from toolkit.host.knobs.journal import state_folder
        from toolkit.host.knobs.tune import chosen_knobs, planned
        from toolkit.host.knobs.tune import tune as turn
        from toolkit.host.property import placement_of

        around = _around(cpus)
        kinds = chosen_knobs(only or [], cpus_named=bool(cpus))
        check_syntax(around)
        if cpus:
            placement_of(around)
        if dry_run:
            _report("tune", planned(around, kinds), output, dry_run=True)
            return
        _need_root(around, "tune", [*[f"--only {name}" for name in only or []], *([f"--cpus {cpus}"] if cpus else [])])
        _nobody_measures()
        outcomes = turn(around, kinds, state_folder())
        refused = [one for one in outcomes if one.state == "refused"]
        problem = None
        if refused and all(one.state in ("refused", "absent") for one in outcomes):
            problem = HostUnfit("nothing could be tuned", _sentence(refused[0]), "see 'repro doctor'")
        _report("tune", outcomes, output, problem)


@app.command("undo")
def undo(
    force: ForceFlag = False,
    forget: ForgetFlag = False,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Put everything back that tune changed, newest first; also after a kill and after a reboot."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.host.knobs.journal import Journal, state_folder
        from toolkit.host.knobs.tune import undo as put_back

        if force and forget:
            raise UsageError("--force and --forget cannot both be", "one overwrites, the other leaves", "choose one")
        around = _around("")
        if Journal(state_folder()).read():  # nothing to do needs no rights
            _need_root(around, "undo", [])
            _nobody_measures()
            outcomes = put_back(around, state_folder(), "restore" if force else "forget" if forget else "")
        else:
            outcomes = []
        left = [one for one in outcomes if one.state == "refused" or (one.state == "left" and not forget)]
        problem = None
        if left:
            cause = "; ".join(_sentence(one) for one in left)
            problem = LaunchInvalid("not everything is as it was", cause, "'repro host status' shows what is left")
        _report("undo", outcomes, output, problem)


@app.command("status")
def status(json_mode: JsonFlag = False, quiet: QuietFlag = False) -> None:
    """Show what is tuned now, and what it was before. Changes nothing."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.host.knobs.journal import state_folder
        from toolkit.host.knobs.tune import status as look

        _report("status", look(_around(""), state_folder()), output)


def _around(cpus: str) -> Surroundings:
    from pathlib import Path

    from toolkit.host.property import Surroundings
    from toolkit.host.topology import read_topology

    return Surroundings(topology=read_topology(), runs=Path("runs"), store=Path(), cpus=cpus)


def _need_root(around: Surroundings, verb: str, words: Sequence[str]) -> None:
    if not around.is_root:
        again = " ".join(["sudo repro host", verb, *words])
        raise HostUnfit("only root may change knobs of the host", "this user is not root", again)


def _nobody_measures() -> None:
    """A knob that is turned in the middle of a measurement spoils it. Raises LaneBusy."""
    from toolkit.lease_files import held_lanes, lanes_folder

    holders = [holder.text for holder in held_lanes(lanes_folder())]
    if holders:
        raise LaneBusy("somebody measures on this host now", "; ".join(holders), "wait until that has ended")


def _report(
    action: str,
    outcomes: Sequence[Outcome],
    output: Output,
    problem: HostUnfit | LaunchInvalid | None = None,
    *,
    dry_run: bool = False,
) -> None:
    """What became of everything; then the error, if that is what it comes to."""
    from toolkit.output import error_document

    document = {
        "schema": "repro.host/1",
        "action": action,
        "dry_run": dry_run,
        "changes": [one.to_json() for one in outcomes],
    }
    _print(action, outcomes, output, dry_run=dry_run)
    if problem is None:
        output.document(document)
        return
    output.document({**document, "error": error_document(problem)})
    raise Reported(problem)


def _print(action: str, outcomes: Sequence[Outcome], output: Output, *, dry_run: bool) -> None:
    from toolkit.report.table import table

    if not outcomes:
        output.data("nothing is tuned" if action == "status" else "nothing to put back")
        return
    rows = [["knob", "state", "what", "was", "is", ""]]
    for one in outcomes:
        now = f"-> {one.wanted}" if dry_run and one.target else one.found
        rows.append([one.knob, one.state, one.target and "/" + one.target.lstrip("/"), one.former, now, one.note])
    output.data(table(rows))
    if action == "tune" and not dry_run and any(one.state == "changed" for one in outcomes):
        output.talk("when you have measured: sudo repro host undo")


def _sentence(one: Outcome) -> str:
    return f"{one.knob}{' /' + one.target.lstrip('/') if one.target else ''}: {one.note or one.state}"
