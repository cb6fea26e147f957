"""What an SDK costs over the null SDK of the same run: differences of two cells that differ in nothing but the SDK.

The null SDK does the same work with the standard library alone, so what both spend (kernel, backend, harness) cancels.
Only a cell of the same workload, backend, tier, drive and arm counts; without one the metrics have no value and say so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.model.plan import CellPlan

OVER_NULL = {
    "rss.over_null_bytes": "rss.process.max_bytes",
    "cpu.over_null_seconds": "cpu.per_request_seconds",
}
NO_BASELINE = "no baseline"
# What says which SDK it is; and what ``_place`` holds anyway (an arm names it only where it is not an SDK's default).
_NOT_THE_PLACE = frozenset({"sdk", "sdk-at", "backend", "tier", "drive"})
Metrics = Mapping[str, dict[str, Any]]


def over_null(cells: Sequence[CellPlan], metrics: Mapping[str, Metrics], null: str) -> dict[str, dict[str, Any]]:
    """Per cell that has the null SDK (id ``null``) beside it, the entries of the metrics over it; without a number they
    say why.
    """
    plans = {_place(cell): cell.cell for cell in cells if cell.sdk == null}
    found: dict[str, dict[str, Any]] = {}
    for cell in cells:
        other = plans.get(_place(cell))
        if cell.sdk == null or other is None:
            continue
        found[cell.cell] = {
            name: _difference(source, metrics[cell.cell][source], metrics[other][source])
            for name, source in OVER_NULL.items()
        }
    return found


def _place(cell: CellPlan) -> tuple[str, ...]:
    """What two cells must share. Another version of an SDK, or its defaults, is still the same place."""
    arms = sorted(f"{key}={value}" for key, value in cell.arms.items() if key not in _NOT_THE_PLACE)
    return (cell.workload, cell.backend, cell.backend_tier, cell.drive, *arms)


def _difference(source: str, sdk: dict[str, Any], null: dict[str, Any]) -> dict[str, Any]:
    known = sdk["value"] is not None and null["value"] is not None
    return {
        "value": sdk["value"] - null["value"] if known else None,
        "n": min(sdk["n"], null["n"]),
        "launches": min(sdk["launches"], null["launches"]),
        "ci": None,
        "reason": None if known else f"no {source} of both",
        "ci_reason": "a difference of two cells: its interval comes with the verdicts",
        "compared": True,
    }
