"""Snapshots that came late: what a window had before its own evidence begins.

A host program that waited for a CPU looks late, and what happened since the window began stands in the piece before. Of
that piece's CPU times at most the lateness can belong to the window: so much of them is counted for both. Of everything
else (events, rates) nobody can say when it was: what taints the piece before taints the window, too. So a neighbour
that took more than the budget is never overlooked because we were late; a window may be blamed for the one before.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.ledger.budget import excess, judge
from toolkit.ledger.sampler import Snapshot
from toolkit.model.evidence import NANOSECONDS

LATE_SECONDS = 0.05
"""Up to here a snapshot is on time: half a per cent of a window."""

_BY_TIME = {
    "foreign_cpu_share": "foreign_cpu_seconds",
    "sibling_cpu_share": "sibling_cpu_seconds",
    "steal_share": "steal_seconds",
}
"""Keys of the budget whose quantity grows by at most a second per CPU and second."""

Row = Mapping[str, Any]


def lateness(first: Snapshot | None, due_ns: int | None) -> float:
    """By how many seconds a piece's first snapshot was late; 0 when it was on time, or nobody knows when it was due."""
    if first is None or due_ns is None:
        return 0.0
    late = (first.monotonic_ns - due_ns) / NANOSECONDS
    return late if late > LATE_SECONDS else 0.0


def judge_late(
    row: Row, before: Row, late: float, budget: Mapping[str, float | None], *, cpus: int, idle_cpus: int
) -> dict[str, Any]:
    """The verdict on a piece whose evidence begins ``late`` seconds after it did. ``before`` is the piece before it."""
    wider, unknown = {**row, "seconds": row["seconds"] + late}, []
    for key, name in _BY_TIME.items():
        if before[name] is None:
            unknown.append(key)
        elif row[name] is not None:
            most = late * (idle_cpus if key == "sibling_cpu_share" else cpus)
            wider[name] = row[name] + min(before[name], most)
    verdict = judge(wider, budget, cpus=cpus, idle_cpus=idle_cpus)
    named = {taint["what"] for taint in verdict["taints"]}
    earlier = judge(before, budget, cpus=cpus, idle_cpus=idle_cpus)["taints"] if before["seconds"] else []
    carried = [one for one in earlier if one["what"] not in {*named, *_BY_TIME}]
    taints = sorted([*verdict["taints"], *carried], key=excess, reverse=True)
    # What was beyond the budget without the piece before is so with it; of the rest nothing can be said.
    open_ones = [key for key in unknown if budget.get(key) is not None and key not in {*named, *verdict["unjudged"]}]
    unjudged = [*verdict["unjudged"], *(key for key in open_ones if idle_cpus or key != "sibling_cpu_share")]
    return {"tainted": bool(taints), "taints": taints, "unjudged": unjudged}
