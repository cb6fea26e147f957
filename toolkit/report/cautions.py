"""What a reader of valid numbers has to know before believing them. It changes no verdict: no limit was broken."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.model.metrics import METRICS

ERROR_RATE_NOTICED = 0.01
"""From here on as many requests are missing as P99 stands for: what succeeded says little of the rest."""

_RATE = "error.rate"


def warnings_of(metrics: Mapping[str, Any]) -> list[dict[str, Any]]:
    """``cells[].warnings`` of ``repro.launch/1`` and ``repro.show/1``: of a cell's metrics over its valid launches."""
    entry = metrics.get(_RATE) or {"value": None, "n": 0}
    rate, sent = entry["value"], entry["n"]
    if rate is None or rate < ERROR_RATE_NOTICED:
        return []
    failed = round(rate * sent)
    told = f"{failed} of {sent} requests failed" if failed < sent else f"all {sent} requests failed"
    left = f"latencies are of the {sent - failed} that succeeded" if failed < sent else "there is no latency"
    return [{"what": _RATE, "found": rate, "limit": ERROR_RATE_NOTICED, "text": f"{told}{_most(metrics)}; {left}"}]


def _most(metrics: Mapping[str, Any]) -> str:
    """The class of failure that there was most of."""
    parts = {
        name: metrics[name]["value"]
        for name in METRICS
        if name.startswith("error.") and name != _RATE and (metrics.get(name) or {}).get("value")
    }
    if not parts:
        return ""
    name = max(parts, key=lambda one: float(parts[one]))
    return f", most of them {name.removeprefix('error.').removesuffix('.rate').replace('_', ' ')}"
