"""The noise floor of a host, from a sealed run of launches of one thing: ``repro.noise/1``, and its text."""

from __future__ import annotations

from typing import Any

from toolkit.analyse.noise import COUNTS, LEAST_OF_AN_ARM, METRICS, arms, floors
from toolkit.errors import Inconclusive
from toolkit.launch.folder import RunFolder
from toolkit.model.plan import CellPlan, Plan
from toolkit.output import Output
from toolkit.report.table import table
from toolkit.report.terminal import drive_text
from toolkit.seal import last_results, launch_entry

Json = dict[str, Any]


def noise_document(folder: RunFolder, manifest: Json, plan: Plan) -> Json:
    """``repro.noise/1``. Raises Inconclusive when no cell has enough valid launches."""
    cells = [_cell(folder, cell, plan.seed) for cell in plan.cells]
    if not any(_known(cell) for cell in cells):
        raise Inconclusive(
            "too few launches to tell this host's noise",
            f"each arm needs {LEAST_OF_AN_ARM} valid launches with the same metric",
            "more with --launches; 'repro show' says why launches were not valid",
        )
    return {
        "schema": "repro.noise/1",
        "run": manifest["run"],
        "path": str(folder.path),
        "grade": manifest["grade"]["letter"],
        "valid": manifest["valid"],
        "cells": cells,
    }


def _cell(folder: RunFolder, cell: CellPlan, seed: int) -> Json:
    results = last_results(folder, cell.cell)
    drawn = arms(cell.launches, seed)
    valid = [(drawn[result["launch"] - 1], result["metrics"]) for result in results if result["valid"]]
    values = {name: _split(name, valid) for name in METRICS}
    return {
        "id": cell.cell,
        "drive": drive_text(cell),
        "cpus": cell.cpus,
        "launches": {
            "a": _count("a", valid),
            "b": _count("b", valid),
            "not_valid": cell.launches - len(valid),
            "tainted": sum(1 for result in results if result["valid"] and launch_entry(result)["taints"]),
        },
        "metrics": {name: one.to_json() for name, one in floors(values).items()},
    }


def _split(name: str, valid: list[tuple[str, Json]]) -> tuple[list[float], list[float]]:
    """A metric's values in arm A and in arm B; launches without one are left out."""
    found: dict[str, list[float]] = {"a": [], "b": []}
    for arm, metrics in valid:
        value = metrics.get(name, {}).get("value")
        if value is not None:
            found[arm].append(float(value))
    return found["a"], found["b"]


def _count(arm: str, valid: list[tuple[str, Json]]) -> int:
    return sum(1 for one, _metrics in valid if one == arm)


def _known(cell: Json) -> Json:
    return {name: one for name, one in cell["metrics"].items() if one["reason"] is None}


def print_noise(document: Json, output: Output) -> None:
    """Both tables of each cell, and whether A differs from A."""
    output.data(f"A/A, run {document['run']}, grade {document['grade']}")
    for cell in document["cells"]:
        _print_cell(cell, output)


def _print_cell(cell: Json, output: Output) -> None:
    count = cell["launches"]
    output.data(f"\n{cell['id']}, {cell['drive']}, CPU {cell['cpus']}: {count['a']} launches of A, {count['b']} of B")
    if count["not_valid"]:
        output.data(f"{count['not_valid']} launches were not valid and do not count")
    if count["tainted"]:
        output.data(f"{count['tainted']} launches were disturbed beyond the budget: what was disturbed does not count")
    known = _known(cell)
    if not known:
        output.data("nothing to tell: " + "; ".join(sorted({one["reason"] for one in cell["metrics"].values()})))
        return
    titles = ("smallest difference shown", "smallest margin proven")
    for title, key in zip(titles, ("difference_share", "margin_share"), strict=True):
        rows = [[title, "noise", *[f"n={count}" for count in COUNTS]]]
        rows += [
            [name, _share(one["cv_share"]), *[_share(n[key]) for n in one["detectable"]]] for name, one in known.items()
        ]
        output.data(table(rows, right=frozenset(range(1, len(COUNTS) + 2))) + "\n")
    output.data(_against_itself(known))


def _against_itself(known: Json) -> str:
    """Whether the same thing differs from itself."""
    nearest = min(known, key=lambda name: known[name]["p_adjusted"])
    wrong = [name for name, one in known.items() if one["differs"]]
    if not wrong:
        p = known[nearest]["p_adjusted"]
        return f"A against A: no difference (nearest to one: {nearest}, p {p:.2g} corrected for {len(known)} metrics)"
    told = ", ".join(f"{name} {known[name]['ratio_share']:+.1%}" for name in wrong)
    return f"A against A DIFFERS in {told}: more than chance moves this host; find out what before you compare anything"


def _share(value: float) -> str:
    """A share as a percentage with two digits that mean something."""
    return f"{value * 100:.2g} %" if value < 0.1 else f"{value * 100:.0f} %"
