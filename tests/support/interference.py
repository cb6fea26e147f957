"""Ledgers as a launch leaves them, made by hand: quiet, or with a neighbour on the measured CPUs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tests.support.journals import SECOND, START
from toolkit.analyse.windows import window_count
from toolkit.ledger import Judged, Snapshot, ledger
from toolkit.model.interference import QUANTITIES
from toolkit.model.plan import CellPlan

QUIET: dict[str, float | str] = {
    **{one.id: 0 for one in QUANTITIES},
    **{f"{name}_offset_seconds": 0.0 for name in ("wall", "boot", "raw")},
    "clock_source": "tsc",
}
"""A snapshot's values on a machine where nothing ever happens."""


def ledger_of(cell: CellPlan, foreign: Mapping[int, float] | None = None) -> dict[str, Any]:
    """``ledger.json`` of a launch whose own work took 20 % of the CPU. ``foreign``: seconds of others, by window; those
    of the rest stand under the number of windows.
    """
    t0 = START + SECOND + round(cell.warmup_seconds * SECOND)
    windows = window_count(cell)
    moments = [("t0", 0.0), *((f"window:{k}", (k + 1) * cell.window_seconds) for k in range(windows))]
    moments.append(("end", cell.duration_seconds))
    taken, others = [], 0.0
    for place, (label, at) in enumerate(moments):
        others += (foreign or {}).get(place - 1, 0.0)
        values = {**QUIET, "total_cpu_seconds": 0.2 * at + others, "ours_cpu_seconds": 0.2 * at}
        taken.append(Snapshot(label, t0 + round(at * SECOND), values))
    return ledger(taken, Judged.of(cell, windows))
