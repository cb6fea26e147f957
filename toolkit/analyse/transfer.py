"""What means the same on another machine (design section 2): metrics that transfer, and ratios to the null SDK.

Times and bytes of two machines are not comparable. What an SDK costs as a multiple of the null SDK beside it, in one
run on one machine, is: both meet the same processor, kernel and neighbours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.model.metrics import METRICS

NULL_SDK = "net-http"
RATIOS = (
    "cpu.per_request_seconds",
    "sdk.overhead.p50_seconds",
    "lat.send.p50_seconds",
    "allocs.per_request",
    "alloc_bytes.per_request_bytes",
    "rss.process.max_bytes",
    "bench.time_per_op_seconds",
)
"""Of these a ratio to the null SDK is made where both have a value and the null SDK's is not zero."""

Json = Mapping[str, Any]


def transferable(metrics: Json) -> dict[str, Any]:
    """The entries of a cell's metrics that mean the same elsewhere."""
    return {name: entry for name, entry in metrics.items() if name in METRICS and METRICS[name].transferable}


def ratios(document: Json) -> dict[str, dict[str, float]]:
    """Per cell that has the null SDK beside it, ``<metric> / null`` to the ratio. ``document``: ``repro.launch/1``."""
    cells = {cell["id"]: cell["metrics"] for cell in document["cells"]}
    found: dict[str, dict[str, float]] = {}
    for name, metrics in cells.items():
        sdk, _slash, place = name.partition("/")
        null = cells.get(f"{NULL_SDK}/{place}")
        if sdk != NULL_SDK and null is not None:
            found[name] = _ratios(metrics, null)
    return found


def _ratios(metrics: Json, null: Json) -> dict[str, float]:
    rows = {}
    for name in RATIOS:
        ours, theirs = metrics.get(name, {}).get("value"), null.get(name, {}).get("value")
        if ours is not None and theirs:
            rows[f"{name} / null"] = ours / theirs
    return rows
