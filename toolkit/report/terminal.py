"""A run on the terminal: what ran, how well it was isolated, which launches count, and the numbers.

Formatting only: every number comes from a document that scripts can have with ``--json``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from toolkit.model.metrics import METRICS
from toolkit.model.plan import CellPlan, Plan
from toolkit.output import Output
from toolkit.report.across import across
from toolkit.report.again import anew
from toolkit.report.document import rows_in_state
from toolkit.report.interference import clean_text
from toolkit.report.table import table
from toolkit.units import readable

Json = dict[str, Any]

_RIGHT = frozenset({1, 3, 4})
INTERVAL_LAUNCHES = 5


def launch_summary(manifest: Json, document: Json, plan: Plan, out: Output) -> None:
    """What ``repro launch`` prints at the end. ``document`` is ``repro.launch/1``."""
    _heading(document["run"], manifest["state"], manifest["valid"], out)
    _grade(manifest["grade"]["letter"], manifest["grade"]["reasons"], out)
    _compared(document, plan, out)
    brief = len(document["cells"]) > 1
    for cell in document["cells"]:
        _cell_heading(plan.cell(cell["id"]), out)
        rows = manifest["constraints"].get(cell["id"], {})
        broken, unwitnessed = rows_in_state(rows, "broken"), rows_in_state(rows, "unwitnessed")
        print_cell(cell, broken, unwitnessed, out, plan=plan.cell(cell["id"]), brief=brief)
    _again(document, plan, out, brief=brief)


def show_run(document: Json, plan: Plan, out: Output) -> None:
    """What ``repro show`` prints. ``document`` is ``repro.show/1``."""
    _heading(document["run"], document["state"], document["valid"], out)
    _grade(document["grade"], document["grade_reasons"], out)
    _compared(document, plan, out)
    for cell in document["cells"]:
        _cell_heading(plan.cell(cell["id"]), out)
        print_cell(cell, cell["broken"], cell["unwitnessed"], out, plan=plan.cell(cell["id"]))
    _again(document, plan, out, brief=False)


def _compared(document: Json, plan: Plan, out: Output) -> None:
    """One table per group of cells that may stand beside each other."""
    metrics = {cell["id"]: cell["metrics"] for cell in document["cells"]}
    for title, text in across([plan.cell(name) for name in metrics], metrics):
        out.data(f"\n{title}\n{text}")


def _again(document: Json, plan: Plan, out: Output, *, brief: bool) -> None:
    """Where it is kept, and the commands that give these numbers: exactly, or anew from the catalogue."""
    if brief:
        out.data(f"\nevery metric of every cell: repro show {document['run']}")
    out.data(f"\nkept in {document['path']}")
    # A run does not hold a model of the user's own.
    model = next((f" --model {cell.model_file.name}" for cell in plan.cells if cell.model_file is not None), "")
    out.data(f"the same again: repro rerun {document['run']}{model}")
    out.data(f"the same anew:  {anew(plan)}")


def _heading(run: str, state: str, valid: bool, out: Output) -> None:
    words = {"complete": "", "interrupted": ", interrupted", "recovered": ", recovered after its command was killed"}
    out.data(f"run {run}: {'valid' if valid else 'NOT VALID'}{words[state]}")


def _grade(letter: str, reasons: list[str], out: Output) -> None:
    shown = _few(list(dict.fromkeys(reasons)))
    out.data(f"grade {letter}" + (f": {'; '.join(shown)}" if shown else ""))


_MOST_UNWITNESSED = 4
"""Rows that are named one by one; a re-run by Docker alone has seventy that nobody saw."""


def _few(reasons: list[str]) -> list[str]:
    """The reasons of a grade, but of very many unwitnessed rows their number and the first."""
    rows = [one for one in reasons if one.startswith("unwitnessed: ")]
    if len(rows) <= _MOST_UNWITNESSED:
        return reasons
    first = rows[0].removeprefix("unwitnessed: ")
    return [f"{len(rows)} limits unwitnessed, first {first}", *(one for one in reasons if one not in rows)]


def _unwitnessed(rows: list[Json], out: Output) -> None:
    if len(rows) <= _MOST_UNWITNESSED:
        for row in rows:
            out.data(f"unwitnessed {row['container']} {row['id']}: asked {row['requested']}")
        return
    names: dict[str, list[str]] = {}
    for row in rows:
        names.setdefault(row["container"], []).append(row["id"])
    for container, found in names.items():
        named = list(dict.fromkeys(found))
        out.data(f"unwitnessed {container}: {len(named)} limits ({', '.join(named[:3])} ...; all with --json)")


def _cell_heading(cell: CellPlan, out: Output) -> None:
    asked = f", asked for as {cell.asked_as}" if cell.asked_as else ""
    null = ": the null SDK, what an SDK's cost is measured against" if cell.null_sdk else ""
    out.data(f"\n{cell.sdk} {cell.version}{asked} ({cell.module}@{cell.version}){null}")
    shared = " (shared with agent, backend and host program)" if cell.shared_cpus else ""
    arm = "" if cell.arm == "default" else f", arm {cell.arm}"
    backend = f"{cell.backend} ({cell.backend_tier})"
    out.data(f"{cell.workload} against {backend}, {drive_text(cell)}, CPU {cell.cpus}{shared}{arm}")
    if cell.synthetic_model:
        out.data("synthetic model: random weights, it says nothing of quality")


def drive_text(cell: CellPlan) -> str:
    """The drive with its load."""
    match cell.drive:
        case "open":
            return f"open: {cell.arrival} {cell.rate_hz:g}/s"
        case "closed":
            return f"closed: concurrency {cell.concurrency}"
        case "bench":
            return f"bench: go test -bench, count {cell.bench_count}"
        case _:
            return "probe: short experiments"


def print_cell(
    cell: Json,
    broken: list[Json],
    unwitnessed: list[Json],
    out: Output,
    *,
    plan: CellPlan | None = None,
    brief: bool = False,
) -> None:
    """Launches, limits that did not hold, and the numbers of a cell (``brief``: they stand elsewhere)."""
    for one in cell["launches"]:
        out.data(launch_line(one, plan))
    for row in broken:
        out.data(f"BROKEN {row['container']} {row['id']}: asked {row['requested']}, found {row['effective']}")
    _unwitnessed(unwitnessed, out)
    if not any(one["valid"] for one in cell["launches"]):
        out.data("no numbers: no launch is valid")
        return
    if all(one.get("headline_seconds") == 0 for one in cell["launches"] if one["valid"]):
        out.data("no numbers: all that was measured is tainted; what it was is in result.json (windows, with_tainted)")
        return
    print_warnings(cell, out)
    if brief:
        return
    print_metrics(cell["metrics"], out)


def print_warnings(cell: Mapping[str, Any], out: Output, whose: str = "") -> None:
    """What to know of a cell's numbers before believing them (``toolkit.report.cautions``)."""
    for one in cell.get("warnings", ()):
        out.data(f"WARNING {whose}{one['what']}: {one['text']}")


def print_metrics(metrics: Json, out: Output) -> None:
    """Two tables, what may be compared between SDKs and what only describes; then what has no value, and why."""
    shown = [metric for metric in ordered(metrics) if worth_a_row(metric, metrics[metric])]
    intervals = any(metrics[metric]["ci"] is not None for metric in shown)
    for title, flag in (("compared between SDKs", True), ("shown, never compared", False)):
        rows = [metric for metric in shown if bool(metrics[metric].get("compared", True)) is flag]
        if rows:
            out.data("\n" + metrics_table({metric: metrics[metric] for metric in rows}, title, intervals=intervals))
    if shown and not intervals:
        out.data("\n" + no_interval(metrics[shown[0]]["launches"]))
    for reason, names in without_value(metrics).items():
        out.data(f"no value ({reason}): {', '.join(names)}")


def worth_a_row(metric: str, entry: Json) -> bool:
    """Parts of the error rate are shown where there were such errors; all of them are in the document."""
    part_of_errors = metric.startswith("error.") and metric != "error.rate"
    return entry["value"] is not None and not (part_of_errors and entry["value"] == 0)


def launch_line(one: Json, plan: CellPlan | None = None) -> str:
    """One attempt of one launch, with what disturbed it."""
    retry = f" attempt {one['attempt']}" if one["attempt"] > 1 else ""
    tainted = clean_text(one, plan)
    if not one["valid"]:
        return f"launch {one['n']}{retry}: NOT VALID: {one['reason']}" + (f"; {tainted}" if tainted else "")
    count = tainted or f"{one['windows']} window{'' if one['windows'] == 1 else 's'}"
    recorded = "; not met, but only recorded: " + ", ".join(one["recorded"]) if one.get("recorded") else ""
    unsteady = ", no steady state" if one.get("steady_state") == "no-steady-state" else ""
    return f"launch {one['n']}{retry}: valid, {count}{unsteady}{recorded}"


def metrics_table(metrics: Json, title: str = "metric", *, intervals: bool = True) -> str:
    """Number, unit, samples, launches and, where asked for, the interval of each metric. All have a value."""
    rows = [[title, "value", "unit", "n", "launches", *(["95 % interval"] if intervals else [])]]
    for metric in ordered(metrics):
        entry = metrics[metric]
        row = [metric, *readable(entry["value"], metric), str(entry["n"]), str(entry["launches"])]
        rows.append([*row, *([interval(metric, entry)] if intervals else [])])
    return table(rows, right=_RIGHT)


def interval(metric: str, entry: Json) -> str:
    """The interval, or the sentence that says why there is none."""
    if entry["ci"] is None:
        return no_interval(entry["launches"])
    low, high = (" ".join(readable(edge, metric)).strip() for edge in entry["ci"])
    return f"{low} to {high}"


def no_interval(launches: int) -> str:
    """Why there is no interval over launches."""
    if launches == 1:
        return "no interval: one launch"
    return f"no interval: fewer than {INTERVAL_LAUNCHES} launches" if launches < INTERVAL_LAUNCHES else "no interval"


def without_value(metrics: Json) -> dict[str, list[str]]:
    """Reason to the metrics that have no value for it; those of another drive are not missed."""
    reasons: dict[str, list[str]] = {}
    for metric in ordered(metrics):
        reason = metrics[metric].get("reason") or "not measured"
        if metrics[metric]["value"] is None and not reason.startswith("drive "):
            reasons.setdefault(reason, []).append(metric)
    return reasons


def ordered(metrics: Json) -> list[str]:
    """Metric ids as the catalogue of metrics orders them; unknown ones last, by name."""
    known = [metric for metric in METRICS if metric in metrics]
    return known + sorted(metric for metric in metrics if metric not in METRICS)


def run_state(document: Mapping[str, Any]) -> str:
    """Whether a run is valid, in a word."""
    return "valid" if document["valid"] else "NOT VALID"
