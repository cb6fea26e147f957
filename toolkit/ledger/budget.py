"""The budget: what a window may have of interference, and whether it stayed within. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from toolkit.errors import UsageError
from toolkit.model.interference import BUDGET, amount_text, default_budget, loosened, taint_text

Row = Mapping[str, Any]
_EXAMPLE = "for example --budget foreign_cpu_share=0.05, or --budget steal_share=none"


def parse_budget(pairs: Sequence[str]) -> dict[str, float | None]:
    """The whole budget of a plan: the defaults, and ``KEY=VALUE`` texts over them; ``none`` switches a key off.

    Raises UsageError for a key that does not exist, one given twice, or a value that no window could be held to.
    """
    found = default_budget()
    given: set[str] = set()
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key or not text:
            raise UsageError(f"--budget '{pair}' is not KEY=VALUE", "", _EXAMPLE)
        if key not in BUDGET:
            raise UsageError(f"--budget {key} is unknown", f"keys are {', '.join(BUDGET)}", _EXAMPLE)
        if key in given:
            raise UsageError(f"--budget {key} was given twice", f"the second time as {text}", "give it once")
        given.add(key)
        found[key] = None if text == "none" else _limit(key, text)
    return found


def _limit(key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    share = BUDGET[key].unit == "ratio"
    if not (0 <= value <= (1 if share else 1e12)):  # also catches nan
        wanted = "a share from 0 to 1" if share else "a number from 0"
        raise UsageError(f"--budget {pair_text(key, text)} cannot be used", f"it must be {wanted}, or none", _EXAMPLE)
    return value


def pair_text(key: str, value: str | float | None) -> str:
    """One key as the option takes it."""
    return f"{key}={'none' if value is None else value if isinstance(value, str) else format(value, 'g')}"


def amounts(row: Row, *, cpus: int, idle_cpus: int = 0) -> dict[str, float | None]:
    """The amount of each budget key in a row of the ledger; None where the row does not tell."""
    seconds = row["seconds"]

    def share(name: str, of: int = 1) -> float | None:
        return None if not seconds or not of or row[name] is None else row[name] / (seconds * of)

    swapped = None if row["swap_in_pages"] is None else row["swap_in_pages"] + row["swap_out_pages"]
    return {
        "foreign_cpu_share": share("foreign_cpu_seconds", cpus),
        "sibling_cpu_share": share("sibling_cpu_seconds", idle_cpus),
        "steal_share": share("steal_seconds", cpus),
        "throttled_periods": row["throttled_periods"],
        "swap_pages_hz": None if swapped is None or not seconds else swapped / seconds,
        "oom_kills": row["oom_kills"],
        "thermal_throttles": row["thermal_throttles"],
        "clock_step_seconds": row["clock_step_seconds"],
        "suspended_seconds": row["suspended_seconds"],
        "clock_source_changes": row["clock_source_changes"],
        "run_queue_wait_share": share("run_queue_wait_seconds"),
        "softirq_share": share("softirq_seconds", cpus),
        "irq_share": share("irq_seconds", cpus),
        "device_interrupts_hz": share("device_interrupts"),
        "major_faults_hz": share("major_faults"),
        "pressure_cpu_share": share("pressure_cpu_some_seconds"),
        "pressure_memory_share": share("pressure_memory_some_seconds"),
        "pressure_io_share": share("pressure_io_some_seconds"),
    }


def judge(row: Row, budget: Mapping[str, float | None], *, cpus: int, idle_cpus: int = 0) -> dict[str, Any]:
    """``tainted``, ``taints`` (worst first, by how far beyond the limit) and ``unjudged``: keys of the budget of which
    this row says nothing.
    """
    found = amounts(row, cpus=cpus, idle_cpus=idle_cpus)
    asked = {key: limit for key, limit in budget.items() if limit is not None and key in found}
    if not idle_cpus:
        asked.pop("sibling_cpu_share", None)  # no sibling is kept idle: nothing to judge
    taints = [
        {"what": key, "found": amount, "limit": limit}
        for key, limit in asked.items()
        if (amount := found[key]) is not None and amount > limit
    ]
    taints.sort(key=excess, reverse=True)
    return {
        "tainted": bool(taints),
        "taints": taints,
        "unjudged": [key for key in asked if found[key] is None],
    }


def excess(taint: Mapping[str, Any]) -> float:
    """How many times the limit; beyond a limit of nothing, more than any multiple."""
    return float(taint["found"]) / taint["limit"] if taint["limit"] else math.inf


def reasons_against(ledgers: Iterable[Row], budget: Mapping[str, float | None], cpus: str) -> tuple[str, ...]:
    """Why the interference of some launches keeps a grade below B: what was found, and what could not be judged.

    ``ledgers`` are their ``ledger.json``; empty means that nobody watched.
    """
    documents = list(ledgers)
    pieces = [piece for one in documents for piece in _pieces(one)]
    if not budget or all(piece["seconds"] is None for piece in pieces):
        return ("interference not judged",)
    reasons = []
    if any(piece["tainted"] for piece in pieces):
        worst = max((taint for piece in pieces for taint in piece["taints"]), key=excess)
        reasons.append(f"{_counted(documents)} tainted, the worst: {taint_text(worst, cpus)}")
    essential = {key for key, one in BUDGET.items() if one.essential}
    if missing := sorted(essential & {key for piece in pieces for key in piece["unjudged"]}):
        reasons.append(f"interference not judged in every window: {', '.join(missing)}")
    if wider := loosened(budget):
        shown = ", ".join(
            f"{key} {amount_text(key, limit) if (limit := budget.get(key)) is not None else 'off'}" for key in wider
        )
        reasons.append(f"interference judged by a wider budget than the default: {shown}")
    return tuple(reasons)


def _counted(documents: Sequence[Row]) -> str:
    """How many windows, and how much of what no window covers."""
    windows = [window for one in documents for window in one["windows"]]
    rests = [rest for one in documents if (rest := one.get("rest"))]
    parts = [f"{_tainted(windows)} of {len(windows)} windows"] if windows else []
    if _tainted(rests):
        what = "the rest" if windows else "the measured time"
        parts.append(f"{what} of {_tainted(rests)} of {len(rests)} launches")
    return " and ".join(parts)


def _tainted(rows: Iterable[Row]) -> int:
    return sum(1 for row in rows if row.get("tainted"))


def _pieces(document: Row) -> list[Row]:
    """What was judged: the windows and the rest. A ledger of an earlier version judged nothing."""
    rest = document.get("rest")
    return [piece for piece in (*document["windows"], *([rest] if rest else [])) if "unjudged" in piece]
