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
    """A row's end: ``state`` is held, broken, unwitnessed or absent; ``seen`` says when each witness looked."""

    row: str
    requested: str
    state: str
    witnesses: tuple[str, ...]
    engine_only: bool
    broken: tuple[Observation, ...]
    found: str | None
    seen: Mapping[str, tuple[str, ...]]

    def to_json(self) -> dict[str, Any]:
        """In the shape of ``schemas/readback.schema.json``."""
        return {
            "id": self.row,
            "requested": self.requested,
            "effective": self.found,
            "state": self.state,
            "witnesses": list(self.witnesses),
            "engine_only": self.engine_only,
            "seen": {witness: list(moments) for witness, moments in self.seen.items()},
            "broken": [{"when": one.when, "witness": one.witness, "found": one.found} for one in self.broken],
        }


def decide(requested: Mapping[str, str], observations: Iterable[Observation], windows: int = 0) -> list[RowVerdict]:
    """One verdict for each requested row, in row order. A row must have been looked at in each moment of the launch:

    at the start, at the end of each of its ``windows``, and at the end.
    """
    by_row: dict[str, list[Observation]] = {row: [] for row in requested}
    for observation in observations:
        if observation.row in by_row:
            by_row[observation.row].append(observation)
    moments = {"start", *(f"window:{index}" for index in range(windows)), "end"}
    return [_decide_row(row, requested[row], by_row[row], moments) for row in sorted(requested)]


def _decide_row(row: str, requested: str, seen: list[Observation], moments: set[str]) -> RowVerdict:
    present = [one for one in seen if one.found is not None]
    broken = tuple(one for one in present if one.found != requested)
    witnesses = tuple(sorted({one.witness for one in present}))
    found = broken[0].found if broken else (requested if present else None)
    times = {
        witness: tuple(dict.fromkeys(one.when for one in present if one.witness == witness)) for witness in witnesses
    }
    state = "broken" if broken else _state(row, seen, times, moments)
    return RowVerdict(row, requested, state, witnesses, row in ENGINE_ONLY, broken, found, times)


def _state(row: str, seen: list[Observation], times: Mapping[str, tuple[str, ...]], moments: set[str]) -> str:
    engine = moments <= set(times.get("engine", ()))
    if row in ENGINE_ONLY:
        return "held" if engine else "unwitnessed"
    kernel = {when for witness in KERNEL_WITNESSES for when in times.get(witness, ())}
    looked = [one for one in seen if one.witness in KERNEL_WITNESSES]
    if looked and not kernel:
        # Every kernel reader looked, and this kernel has no such file.
        return "absent"
    return "held" if moments <= kernel and (engine or row in ENGINE_BLIND) else "unwitnessed"


def broken_rows(verdicts: Iterable[RowVerdict]) -> list[RowVerdict]:
    """The rows that did not hold: any of them makes the launch invalid."""
    return [verdict for verdict in verdicts if verdict.state == "broken"]


def unwitnessed_rows(verdicts: Iterable[RowVerdict]) -> list[RowVerdict]:
    """The rows nobody could prove: any of them lowers the grade to D."""
    return [verdict for verdict in verdicts if verdict.state == "unwitnessed"]
