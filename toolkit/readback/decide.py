"""Did each limit hold? Arithmetic on observations: who saw what, when.

A row is *held* when the engine's view and at least one kernel view agree with the request wherever they were taken,
*broken* at the first view that differs, *unwitnessed* when nobody who could know has looked or the file that should be
there is not, *absent* when this cgroup version has no such knob (design section 9, "Witness").
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.readback.rows import ENGINE_BLIND, ENGINE_ONLY

KERNEL_WITNESSES = ("host", "agent")
CREATED = "created"
"""The moment before anything has started: only the engine can look."""

_MOMENTS = {CREATED: 0, "start": 1, "window": 2, "end": 3}
NO_FILE = "this kernel has no such file: the controller, or its accounting, is off or not delegated to the engine"


@dataclass(frozen=True)
class Observation:
    """One view of one row. ``found`` is None where the row does not exist on this kernel."""

    row: str
    when: str
    witness: str
    found: str | None


@dataclass(frozen=True)
class RowVerdict:
    """A row's end: ``state`` is held, broken, unwitnessed or absent; ``seen`` says when each witness looked.

    ``broken`` is in the order of time. ``reason`` says of an unwitnessed row why; it may be empty.
    """

    row: str
    requested: str
    state: str
    witnesses: tuple[str, ...]
    engine_only: bool
    broken: tuple[Observation, ...]
    found: str | None
    seen: Mapping[str, tuple[str, ...]]
    reason: str = ""

    def to_json(self) -> dict[str, Any]:
        """In the shape of ``schemas/readback.schema.json``."""
        return {
            "id": self.row,
            "requested": self.requested,
            "effective": self.found,
            "state": self.state,
            "reason": self.reason or None,
            "witnesses": list(self.witnesses),
            "engine_only": self.engine_only,
            "seen": {witness: list(moments) for witness, moments in self.seen.items()},
            "broken": [{"when": one.when, "witness": one.witness, "found": one.found} for one in self.broken],
        }


def decide(
    requested: Mapping[str, str],
    observations: Iterable[Observation],
    windows: int = 0,
    lacking: Collection[str] = (),
) -> list[RowVerdict]:
    """One verdict for each requested row, in row order. A row must have been looked at in each moment of the launch:

    at the start, at the end of each of its ``windows``, and at the end. ``lacking`` are the rows that this cgroup
    version cannot have.
    """
    by_row: dict[str, list[Observation]] = {row: [] for row in requested}
    for observation in observations:
        if observation.row in by_row:
            by_row[observation.row].append(observation)
    moments = {"start", *(f"window:{index}" for index in range(windows)), "end"}
    return [_decide_row(row, requested[row], by_row[row], moments, row in lacking) for row in sorted(requested)]


def order_of(when: str) -> tuple[int, int]:
    """Moments in the order of time: created, start, window:0, window:1, ..., end."""
    name, _, index = when.partition(":")
    return (_MOMENTS.get(name, len(_MOMENTS)), int(index) if index.isdecimal() else 0)


def _decide_row(row: str, requested: str, seen: list[Observation], moments: set[str], lacking: bool) -> RowVerdict:
    present = [one for one in seen if one.found is not None]
    no_file = _no_file(row, seen)
    # Where the kernel has no such file an engine that says so, and drops what it was asked for, breaks nothing.
    broken = () if no_file else _in_time([one for one in present if one.found != requested])
    witnesses = tuple(sorted({one.witness for one in present}))
    times = {
        witness: tuple(dict.fromkeys(one.when for one in present if one.witness == witness)) for witness in witnesses
    }
    state, reason = "broken", ""
    if not broken:
        state, reason = _state(row, times, moments, no_file=no_file, lacking=lacking)
    found = broken[0].found if broken else (requested if present and not no_file else None)
    return RowVerdict(row, requested, state, witnesses, row in ENGINE_ONLY, broken, found, times, reason)


def _in_time(found: list[Observation]) -> tuple[Observation, ...]:
    return tuple(sorted(found, key=lambda one: order_of(one.when)))


def _no_file(row: str, seen: list[Observation]) -> bool:
    """Whether the kernel's readers looked, and none of them ever found the row's file."""
    looked = [one for one in seen if one.witness in KERNEL_WITNESSES]
    return row not in ENGINE_ONLY and bool(looked) and all(one.found is None for one in looked)


def _state(
    row: str, times: Mapping[str, tuple[str, ...]], moments: set[str], *, no_file: bool, lacking: bool
) -> tuple[str, str]:
    """The state of a row that nobody saw broken, and why it is unwitnessed."""
    if no_file:
        return ("absent", "") if lacking else ("unwitnessed", NO_FILE)
    engine = moments - set(times.get("engine", ()))
    if row in ENGINE_ONLY:
        return ("unwitnessed", _missing("the engine", engine)) if engine else ("held", "")
    kernel = moments - {when for witness in KERNEL_WITNESSES for when in times.get(witness, ())}
    if kernel:
        return "unwitnessed", _missing("the kernel", kernel)
    if engine and row not in ENGINE_BLIND:
        return "unwitnessed", _missing("the engine", engine)
    return "held", ""


def _missing(who: str, moments: set[str]) -> str:
    return f"{who} was not seen to say so at {', '.join(sorted(moments, key=order_of))}"


def broken_rows(verdicts: Iterable[RowVerdict]) -> list[RowVerdict]:
    """The rows that did not hold: any of them makes the launch invalid."""
    return [verdict for verdict in verdicts if verdict.state == "broken"]


def unwitnessed_rows(verdicts: Iterable[RowVerdict]) -> list[RowVerdict]:
    """The rows nobody could prove: any of them lowers the grade to D."""
    return [verdict for verdict in verdicts if verdict.state == "unwitnessed"]
