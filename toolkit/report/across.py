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
    ("overhead p50", "sdk.overhead.p50_seconds"),
    ("overhead p99", "sdk.overhead.p99_seconds"),
    ("latency p50", "lat.send.p50_seconds"),
    ("latency p95", "lat.send.p95_seconds"),
    ("time/op", "bench.ns_per_op_seconds"),
    ("rate", "qps.ok_hz"),
    ("CPU/request", "cpu.per_request_seconds"),
    ("CPU over null", "cpu.over_null_seconds"),
    ("allocs/request", "allocs.per_request"),
    ("bytes/request", "alloc_bytes.per_request_bytes"),
    ("RSS max", "rss.process.max_bytes"),
    ("RSS over null", "rss.over_null_bytes"),
    ("errors", "error.rate"),
)
_PACED_ONLY_SHOWN = ("lat.send.p50_seconds", "lat.send.p95_seconds", "qps.ok_hz")


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
    columns = [(title, name) for title, name in _COLUMNS if _worth(name, cells, metrics)]
    arms = len({cell.arm for cell in cells}) > 1
    rows = [["SDK", *(["arm"] if arms else []), *(title for title, _name in columns)]]
    for cell in cells:
        own = metrics[cell.cell]
        name = f"{cell.sdk} {cell.version}" + (" (null SDK)" if cell.null_sdk else "")
        rows.append([name, *([cell.arm] if arms else []), *(_text(own, name) for _title, name in columns)])
    first = 2 if arms else 1
    return table(rows, right=frozenset(range(first, first + len(columns))))


def _worth(name: str, cells: Sequence[CellPlan], metrics: dict[str, Json]) -> bool:
    entries = [metrics[cell.cell].get(name) for cell in cells]
    known = [entry for entry in entries if entry is not None and entry["value"] is not None]
    # Against a paced backend latency and rate are the backend's own: not for a table that compares.
    return bool(known) and (name not in _PACED_ONLY_SHOWN or all(entry.get("compared", True) for entry in known))


def _text(metrics: Json, name: str) -> str:
    value = metrics.get(name, {"value": None})["value"]
    return "-" if value is None else " ".join(readable(value, name)).strip()
