"""Interference in words: what a plan allows, and what the windows of a launch had."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.model.interference import BUDGET, amount_text, default_budget, taint_text
from toolkit.model.plan import CellPlan

Json = Mapping[str, Any]


def budget_text(cell: CellPlan) -> str:
    """The two limits that are met most, and what differs from the default budget."""
    budget = cell.interference_budget
    if not budget:
        return "not judged"
    named = ("foreign_cpu_share", "steal_share")
    shown = [f"{BUDGET[key].says} {_at_most(key, budget.get(key))}" for key in named]
    changed = [f"{key} {_limit(key, limit)}" for key, limit in budget.items() if default_budget().get(key) != limit]
    return f"in a window {', '.join(shown)}; " + (f"changed: {', '.join(changed)}" if changed else "the default budget")


def _at_most(key: str, limit: float | None) -> str:
    return "not judged" if limit is None else f"at most {amount_text(key, limit)}"


def _limit(key: str, limit: float | None) -> str:
    return "off" if limit is None else amount_text(key, limit)


def budget_options(cell: CellPlan) -> list[str]:
    """``--budget`` options that give such a budget again; none for the defaults, or a plan older than the budget."""
    usual = default_budget()
    changed = {key: limit for key, limit in cell.interference_budget.items() if usual.get(key) != limit}
    return [f"--budget {key}={'none' if limit is None else format(limit, 'g')}" for key, limit in changed.items()]


def clean_text(entry: Json, cell: CellPlan | None = None) -> str:
    """How much of a launch is clean, what the rest had, and what its numbers are of; empty where nothing was tainted.

    ``entry`` is one of ``launches`` in ``repro.launch/1``.
    """
    taints: Sequence[Json] = entry.get("taints", ())
    if not taints:
        return ""
    windows, seconds = entry["windows"], entry.get("headline_seconds")
    parts = [f"{windows - entry['tainted_windows']} of {windows} windows clean"] if windows else []
    named: dict[str, list[str]] = {}
    for one in taints:
        text = taint_text(one, cell.cpus if cell else "")
        named.setdefault(_where(one["window"], windows), []).append(text)
    parts += [f"{where} tainted: {', '.join(texts)}" for where, texts in named.items()]
    if cell is not None and cell.timing_gates == "record":
        parts.append("only recorded: its numbers are of everything")
    elif seconds is not None:
        parts.append(f"its numbers are of {seconds:g} s" if seconds else "so it has no numbers")
    return "; ".join(parts)


def _where(window: int | None, windows: int) -> str:
    if window is not None:
        return f"window {window}"
    return "the rest" if windows else "the measured time"
