"""Several cells of one run in one table: a row per SDK, a column per metric that may be compared between SDKs.

Cells stand in one table only if they share workload, backend, tier and drive: those are never compared with each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from toolkit.model.plan import CellPlan
from toolkit.report.table import table
from toolkit.units import readable

Json = dict[str, Any]

# In this order; a column without any value is left out.
_COLUMNS = (
    ("overhead p50", ("sdk.overhead.p50_seconds",)),
    ("overhead p99", ("sdk.overhead.p99_seconds",)),
    ("latency p50", ("lat.send.p50_seconds", "lat.sched.p50_seconds")),
    ("latency p95", ("lat.send.p95_seconds", "lat.sched.p95_seconds")),
    ("time/op", ("bench.time_per_op_seconds",)),
    ("allocs/op", ("bench.allocs_per_op",)),
    ("bytes/op", ("bench.alloc_bytes_per_op_bytes",)),
    ("CPU/request", ("cpu.per_request_seconds",)),
    ("CPU over null", ("cpu.over_null_seconds",)),
    ("allocs/request", ("allocs.per_request",)),
    ("bytes/request", ("alloc_bytes.per_request_bytes",)),
    ("RSS max", ("rss.process.max_bytes",)),
    ("RSS over null", ("rss.over_null_bytes",)),
    ("errors", ("error.rate",)),
)
"""Title and metric. Of two, the first where it is the compared one of every cell, else the last."""

# Against a paced backend these are the backend's own: not for a table that compares.
_OF_THE_PACE = ("lat.", "bench.time_per_op")


def across(cells: Sequence[CellPlan], metrics: dict[str, Json]) -> list[tuple[str, str]]:
    """(title, table) of each group of at least two cells, in the plan's order."""
    groups: dict[tuple[str, str, str, str], list[CellPlan]] = {}
    for cell in cells:
        groups.setdefault((cell.workload, cell.backend, cell.backend_tier, cell.drive), []).append(cell)
    found = []
    for (workload, backend, tier, drive), members in groups.items():
        if len(members) > 1:
            found.append((f"{workload} against {backend} ({tier}), {drive}", _table(members, metrics)))
    return found


def _table(cells: Sequence[CellPlan], metrics: dict[str, Json]) -> str:
    columns = [(title, name) for title, names in _COLUMNS if (name := _metric(names, cells, metrics))]
    arms = len({cell.arm for cell in cells}) > 1
    rows = [["SDK", *(["arm"] if arms else []), *(title for title, _name in columns)]]
    for cell in cells:
        own = metrics[cell.cell]
        name = f"{cell.sdk} {cell.version}" + (" (null SDK)" if cell.null_sdk else "")
        rows.append([name, *([cell.arm] if arms else []), *(_text(own, name) for _title, name in columns)])
    first = 2 if arms else 1
    return table(rows, right=frozenset(range(first, first + len(columns))))


def _metric(names: Sequence[str], cells: Sequence[CellPlan], metrics: dict[str, Json]) -> str:
    """Which of ``names`` makes the column; empty: none has a value, or none may be compared."""
    known = {name: [entry for cell in cells if (entry := _known(metrics[cell.cell], name))] for name in names}
    if not any(known.values()):
        return ""
    if not names[0].startswith(_OF_THE_PACE):
        return names[0]
    allowed = {name: [bool(entry.get("compared", True)) for entry in entries] for name, entries in known.items()}
    for name in names:
        if allowed[name] and all(allowed[name]):
            return name
    # Cells on both sides of the 20 ms that part the two: the longer one, which flatters nobody.
    each = [any(one) for one in zip(*allowed.values(), strict=False)]
    return names[-1] if each and all(each) else ""


def _known(metrics: Json, name: str) -> Json | None:
    entry: Json | None = metrics.get(name)
    return entry if entry is not None and entry["value"] is not None else None


def _text(metrics: Json, name: str) -> str:
    value = metrics.get(name, {"value": None})["value"]
    return "-" if value is None else " ".join(readable(value, name)).strip()
