"""Did each limit hold? Arithmetic on observations: who saw what, when.

A row is *held* when the engine's view and at least one kernel view agree with the request wherever they were taken,
*broken* at the first view that differs, *unwitnessed* when nobody who could know has looked, *absent* when this kernel
has no such knob (design section 9, "Witness").
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.readback.rows import ENGINE_BLIND, ENGINE_ONLY

KERNEL_WITNESSES = ("host", "agent")


@dataclass(frozen=True)
class Observation:
    """One view of one row. ``found`` is None where the row does not exist on this kernel."""

    row: str
    when: str
    witness: str
    found: str | None


@dataclass(frozen=True)
class RowVerdict:
    """A row's end: ``state`` is held, broken, unwitnessed or absent."""

    row: str
    requested: str
    state: str
    witnesses: tuple[str, ...]
    engine_only: bool
    broken: tuple[Observation, ...]
    found: str | None

    def to_json(self) -> dict[str, Any]:
        """In the shape of ``schemas/readback.schema.json``."""
        return {
            "id": self.row,
            "requested": self.requested,
            "effective": self.found,
            "state": self.state,
            "witnesses": list(self.witnesses),
            "engine_only": self.engine_only,
            "broken": [{"when": one.when, "witness": one.witness, "found": one.found} for one in self.broken],
        }


def decide(requested: Mapping[str, str], observations: Iterable[Observation]) -> list[RowVerdict]:
    """One verdict for each requested row, in row order."""
    by_row: dict[str, list[Observation]] = {row: [] for row in requested}
    for observation in observations:
        if observation.row in by_row:
            by_row[observation.row].append(observation)
    return [_decide_row(row, requested[row], by_row[row]) for row in sorted(requested)]


def _decide_row(row: str, requested: str, seen: list[Observation]) -> RowVerdict:
    present = [one for one in seen if one.found is not None]
    broken = tuple(one for one in present if one.found != requested)
    witnesses = tuple(sorted({one.witness for one in present}))
    found = broken[0].found if broken else (requested if present else None)
    state = _state(row, present, seen, bool(broken))
    return RowVerdict(row, requested, state, witnesses, row in ENGINE_ONLY, broken, found)


def _state(row: str, present: list[Observation], seen: list[Observation], broken: bool) -> str:
    if broken:
        return "broken"
    engine = any(one.witness == "engine" for one in present)
    if row in ENGINE_ONLY:
        return "held" if engine else "unwitnessed"
    kernel_times = {one.when for one in present if one.witness in KERNEL_WITNESSES}
    if not kernel_times and seen and all(one.found is None for one in seen if one.witness in KERNEL_WITNESSES):
        return "absent" if any(one.witness in KERNEL_WITNESSES for one in seen) else "unwitnessed"
    complete = {"start", "end"} <= kernel_times
    return "held" if complete and (engine or row in ENGINE_BLIND) else "unwitnessed"


def broken_rows(verdicts: Iterable[RowVerdict]) -> list[RowVerdict]:
    """The rows that did not hold: any of them makes the launch invalid."""
    return [verdict for verdict in verdicts if verdict.state == "broken"]


def unwitnessed_rows(verdicts: Iterable[RowVerdict]) -> list[RowVerdict]:
    """The rows nobody could prove: any of them lowers the grade to D."""
    return [verdict for verdict in verdicts if verdict.state == "unwitnessed"]
