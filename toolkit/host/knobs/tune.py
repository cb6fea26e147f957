"""Turning knobs and putting them back. Every step may be the last: whoever comes next finds the journal.

Tuning one value: its present value goes to the journal and to disk; only then is it changed, and read back. Undoing
one: it is put back if it is still what we made it, then taken off the journal. So a kill at any point leaves a value
that is either the former one or ours, and a journal that knows both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from toolkit.errors import ArchiveInvalid, HostUnfit, UsageError
from toolkit.host.knobs import KNOBS, Change, Knob
from toolkit.host.knobs.journal import Journal, alone
from toolkit.host.property import Surroundings
from toolkit.host.topology import Topology
from toolkit.owner import boot_id

State = Literal[
    "changed", "planned", "as-wanted", "absent", "refused", "restored", "as-before", "gone", "left", "tuned"
]
_HELD = "held: its driver moves it whenever a CPU comes or goes"
Force = Literal["", "restore", "forget"]


@dataclass(frozen=True)
class Outcome:
    """What became of one value, or (without ``target``) of a whole knob. ``note`` says why, where there is a why."""

    knob: str
    state: State
    target: str = ""
    former: str = ""
    wanted: str = ""
    found: str = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """In the shape of ``schemas/host.schema.json``."""
        return asdict(self)


def chosen_knobs(only: Sequence[str], *, cpus_named: bool) -> list[type[Knob]]:
    """The knobs to turn: those named, else all. Raises UsageError for an unknown one or one that lacks its CPUs."""
    known = {kind.id: kind for kind in KNOBS}
    for name in only:
        if name not in known:
            raise UsageError(f"Unknown knob '{name}'", f"there are {', '.join(known)}", "name these with --only")
        if known[name].needs_cpus and not cpus_named:
            raise UsageError(
                f"knob '{name}' is turned for CPUs",
                "no CPUs were named",
                f"add those that you will measure on, such as repro host tune --only {name} --cpus 2-3",
            )
    return [kind for kind in KNOBS if not only or kind.id in only]


def tune(around: Surroundings, kinds: Sequence[type[Knob]], folder: Path) -> list[Outcome]:
    """Turn these knobs. Raises HostUnfit before anything is changed when the journal cannot be written, LaneBusy."""
    found: list[Outcome] = []
    with alone(folder) as journal:
        for kind in kinds:
            knob = kind(around)
            outcomes = _unturned(knob)
            # Each knob looks at what those before it have left.
            found += outcomes or [_change(knob, change, journal) for change in knob.changes()] or [_fine(knob)]
    return found


def planned(around: Surroundings, kinds: Sequence[type[Knob]]) -> list[Outcome]:
    """What ``tune`` would do now; nothing is changed and no rights are needed."""
    found: list[Outcome] = []
    for kind in kinds:
        knob = kind(around)
        changes = [Outcome(knob.id, "planned", one.target, one.former, one.wanted) for one in _changes(knob)]
        found += _unturned(knob) or changes or [_fine(knob)]
    return found


def _changes(knob: Knob) -> list[Change]:
    return [] if _unturned(knob) else knob.changes()


def _unturned(knob: Knob) -> list[Outcome]:
    """Why a knob is not turned at all, if so."""
    if not knob.available():
        return [Outcome(knob.id, "absent", note="not here")]
    if knob.needs_cpus and not knob.around.cpus:
        return [Outcome(knob.id, "refused", note="name the CPUs that you will measure on with --cpus")]
    hindrance = knob.hindrance()
    return [Outcome(knob.id, "refused", note=hindrance)] if hindrance else []


def _fine(knob: Knob) -> Outcome:
    return Outcome(knob.id, "as-wanted", found=knob.show())


def _change(knob: Knob, change: Change, journal: Journal) -> Outcome:
    """One value: journal first, then the value, then a look at it."""
    known = journal.read()
    change = replace(change, boot_id=boot_id())
    earlier = next((one for one in reversed(known) if (one.knob, one.target) == (change.knob, change.target)), None)
    if earlier is not None and not any(knob.same(change.former, value) for value in (earlier.former, earlier.wanted)):
        note = "somebody else changed it since it was tuned: first 'repro host undo' with --force or --forget"
        return _outcome(change, "refused", change.former, note)
    journal.write([*known, change])
    try:
        knob.write(change, change.wanted)
    except OSError as problem:
        return _refused(knob, change, journal, known, problem.strerror or "the kernel refuses")
    present = knob.read(change) or ""
    if knob.same(present, change.wanted):
        return _outcome(change, "as-wanted" if change.held else "changed", present, _HELD if change.held else "")
    return _refused(knob, change, journal, known, f"the kernel made it '{present}'")


def _refused(knob: Knob, change: Change, journal: Journal, known: list[Change], why: str) -> Outcome:
    """Leave nothing behind of a change that did not come about; what cannot be put back stays in the journal."""
    try:
        if not knob.same(knob.read(change) or "", change.former):
            knob.write(change, change.former)
    except OSError:
        return _outcome(change, "refused", knob.read(change) or "", why + "; 'repro host undo' will try to put it back")
    journal.write(known)
    return _outcome(change, "refused", knob.read(change) or "", why)


def undo(around: Surroundings, folder: Path, force: Force = "") -> list[Outcome]:
    """Put everything back that the journal holds, newest first; what somebody else changed meanwhile is left alone.

    ``restore`` overwrites that, too; ``forget`` leaves it and takes it off the journal. Raises LaneBusy, HostUnfit,
    ArchiveInvalid.
    """
    found = []
    with alone(folder) as journal:
        kept = journal.read()
        for place in reversed(range(len(kept))):  # by place: a value that is held stands there twice
            outcome = _restore(around, kept[place], force)
            found.append(outcome)
            if outcome.state in ("restored", "as-before", "gone") or (outcome.state == "left" and force == "forget"):
                del kept[place]
                journal.write(kept)
    return found


def _restore(around: Surroundings, change: Change, force: Force) -> Outcome:
    knob = _knob(around, change)
    if knob is None:
        return _outcome(change, "left", "", "this repro has no such knob: use the version that turned it")
    present = knob.read(change)
    if present is None:
        return _outcome(change, "gone", "", "there is no such thing any more")
    if knob.identity(change.target) != change.identity:
        return _outcome(change, "gone", present, "it belongs to another device now")
    if knob.same(present, change.former):
        return _outcome(change, "as-before", present)
    if change.held and change.boot_id != boot_id():  # the CPU came back with the boot, not by us
        return _somebody_elses(change, present)
    if not change.held and not knob.same(present, change.wanted) and force != "restore":
        return _somebody_elses(change, present)
    try:
        knob.write(change, change.former)
    except OSError as problem:
        return _outcome(change, "refused", present, problem.strerror or "the kernel refuses")
    present = knob.read(change) or ""
    if knob.same(present, change.former):
        return _outcome(change, "restored", present)
    return _outcome(change, "refused", present, "the kernel did not take it")


def _somebody_elses(change: Change, present: str) -> Outcome:
    """Neither ours nor the former one. A reboot takes every knob back to what the boot says: nothing of ours stays."""
    if change.boot_id != boot_id():
        return _outcome(change, "gone", present, "the machine was started anew since, and the boot gave it this value")
    note = f"somebody else changed it meanwhile: --force puts '{change.former}' back, --forget keeps what is there"
    return _outcome(change, "left", present, note)


def status(around: Surroundings, folder: Path) -> list[Outcome]:
    """Each value of the journal as it is now; nothing is changed. Raises ArchiveInvalid, HostUnfit."""
    found = []
    for change in (one for one in Journal(folder).read() if not one.held):
        knob = _knob(around, change)
        present = knob.read(change) if knob is not None else None
        if knob is None or present is None:
            found.append(_outcome(change, "gone", ""))
        elif knob.same(present, change.wanted):
            found.append(_outcome(change, "tuned", present))
        elif knob.same(present, change.former):
            found.append(_outcome(change, "as-before", present))
        else:
            found.append(_somebody_elses(change, present))
    return found


def tuned_knobs(folder: Path, root: Path = Path("/")) -> tuple[str, ...]:
    """The knobs that are turned now, by our journal and by what is there; none when the journal cannot be read.

    For the manifest and for a line at launch: a damaged journal must not keep anybody from measuring.
    """
    around = Surroundings(topology=Topology((), {}, 0), runs=Path(), store=Path(), root=root)
    try:
        return tuple(sorted({one.knob for one in status(around, folder) if one.state == "tuned"}))
    except (ArchiveInvalid, HostUnfit):
        return ()


def _knob(around: Surroundings, change: Change) -> Knob | None:
    return next((kind(around) for kind in KNOBS if kind.id == change.knob), None)


def _outcome(change: Change, state: State, found: str, note: str = "") -> Outcome:
    return Outcome(change.knob, state, change.target, change.former, change.wanted, found, note)
