"""A sealed run's joint analysis as one value, ``repro.joint/1``; files of the run are checked as for ``show``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from toolkit.analyse.joint import (
    COLUMNS,
    DEFAULT_RULE,
    DEFAULT_WEIGHTS,
    RULES,
    WEIGHTS,
    Window,
    bias,
    judged,
    series,
    weighed,
    windows_of,
)
from toolkit.analyse.patterns import judge_pattern, patterns
from toolkit.analyse.relations import relations, units
from toolkit.analyse.result import windows_again
from toolkit.errors import ArchiveInvalid, UsageError
from toolkit.launch.folder import AttemptFolder, RunFolder
from toolkit.model.plan import CellPlan
from toolkit.report.document import check_files, read_manifest
from toolkit.seal import attempt_folders, read_journal_or_nothing, read_json, read_plan

Json = dict[str, Any]

SHORTEST_WINDOW_SECONDS = 1.0
"""The Go runtime is read once a second: a shorter window could not know its collections."""


@dataclass(frozen=True)
class JointOptions:
    """What was asked for. ``window_seconds`` None: the windows of the result."""

    rule: str = DEFAULT_RULE
    weights: str = DEFAULT_WEIGHTS
    window_seconds: float | None = None
    with_tainted: bool = False


def joint_document(folder: RunFolder, options: JointOptions) -> Json:
    """``repro.joint/1`` of a sealed run.

    Raises UsageError for an unknown rule, unknown weights or too short a window; ArchiveInvalid when a file of the run
    is not what was sealed or cannot be read.
    """
    check_options(options)
    manifest = read_manifest(folder)
    journals = ("journal.pb", "backend.journal.pb") if options.window_seconds is not None else ()
    check_files(folder, manifest, ("result.json", "plan.json", *journals))
    plan = read_plan(folder)
    return {
        "schema": "repro.joint/1",
        "run": manifest["run"],
        "path": str(folder.path),
        "rule": {"name": options.rule, "means": RULES[options.rule][1]},
        "weights": {"name": options.weights, "formula": WEIGHTS[options.weights][1]},
        "with_tainted": options.with_tainted,
        "columns": list(COLUMNS),
        "cells": [_cell(folder, cell, options) for cell in plan.cells],
    }


def check_options(options: JointOptions) -> None:
    """Raises UsageError for the first one that cannot be."""
    for what, name, known in (("--rule", options.rule, RULES), ("--weights", options.weights, WEIGHTS)):
        if name not in known:
            raise UsageError(f"{what} {name} is not known", f"there are {', '.join(known)}", "choose one of these")
    seconds = options.window_seconds
    if seconds is not None and not SHORTEST_WINDOW_SECONDS <= seconds <= 86_400:
        raise UsageError(
            f"--window {seconds:g} cannot be used",
            "the Go runtime is read once a second, so a window has 1 second to a day",
            "choose one in between",
        )


def _cell(folder: RunFolder, cell: CellPlan, options: JointOptions) -> Json:
    try:
        return _analysed(folder, cell, options)
    except (KeyError, TypeError, ValueError, AttributeError) as problem:
        raise ArchiveInvalid(
            f"the results of {cell.cell} in run {folder.id} cannot be analysed together",
            f"{type(problem).__name__}: {problem}",
            "restore the run folder, or launch again",
        ) from problem


def _analysed(folder: RunFolder, cell: CellPlan, options: JointOptions) -> Json:
    found: list[Window] = []
    launches: dict[int, Json] = {}
    for launch, attempt, files in attempt_folders(folder, cell.cell):
        result = read_json(files.path / "result.json")
        # A later attempt of a launch takes the place of an earlier one.
        found = [one for one in found if one.launch != launch]
        entry = {"n": launch, "attempt": attempt, "valid": result["valid"], "windows": 0, "kept": 0}
        launches[launch] = entry | {"t0_ns": result["clock"]["t0_monotonic_ns"], "reason": _left_out(result)}
        if launches[launch]["reason"] is None:
            rows = result["windows"]
            if options.window_seconds is not None:
                rows = _cut_anew(files, cell, options.window_seconds, result)
            found += windows_of(launch, rows, result["clock"]["t0_monotonic_ns"])
    windows = weighed(judged(found, options.rule, with_tainted=options.with_tainted), options.weights)
    for one in windows:
        launches[one.launch]["windows"] += 1
        launches[one.launch]["kept"] += one.kept
    pairs = relations(windows, options.weights, cell.seed)
    return {
        "id": cell.cell,
        "sdk": cell.sdk,
        "version": cell.version,
        "workload": cell.workload,
        "drive": cell.drive,
        "window_seconds": options.window_seconds or cell.window_seconds,
        "launches": list(launches.values()),
        "windows": [_row(one) for one in windows],
        "dropped": [
            {"launch": one.launch, "index": one.index, "reasons": list(one.dropped)} for one in windows if not one.kept
        ],
        "bias": bias(found, options.rule, with_tainted=options.with_tainted),
        "correlations": pairs,
        "units": units(pairs),
        "patterns": _patterns(
            windows,
            [n for n, one in launches.items() if one["reason"] is None],
            with_tainted=options.with_tainted,
        ),
    }


def _left_out(result: Json) -> str | None:
    """Why a launch is in no table; None when it is."""
    if not result["valid"]:
        return "the launch is not valid"
    return None if result["windows"] or result["interval"] else "it has no windows"


def _cut_anew(files: AttemptFolder, cell: CellPlan, seconds: float, result: Json) -> list[Json]:
    """The windows of an attempt at another length, from its journals. Raises ValueError when they say nothing."""
    sdk, backend = (read_journal_or_nothing(path) for path in (files.sdk_journal, files.backend_journal))
    if sdk.mark("measure") is None:
        raise ValueError(f"{files.path.name}/journal.pb says nothing of a measurement")
    rest = result.get("rest")
    return _marked(windows_again(cell, sdk, backend, seconds), [*result["windows"], *([rest] if rest else [])])


def _marked(rows: list[Json], originals: Sequence[Json]) -> list[Json]:
    """Windows cut anew are tainted where they overlap one that was, by what it was."""
    bad = [one for one in originals if one["tainted"]]
    marked = []
    for row in rows:
        met = [one for one in bad if row["start_ns"] < one["end_ns"] and one["start_ns"] < row["end_ns"]]
        taints = [taint for one in met for taint in one.get("taints", ())]
        marked.append({**row, "tainted": bool(met), "taints": taints})
    return marked


def _row(one: Window) -> Json:
    return {
        "launch": one.launch,
        "index": one.index,
        "start_ns": one.start_ns,
        "start_seconds": one.start_seconds,
        "end_seconds": one.start_seconds + one.seconds,
        "tainted": one.tainted,
        "kept": one.kept,
        "weight": one.weight,
        "gc_pauses": one.pauses,
        "values": {name: one.values.get(name) for name in COLUMNS},
    }


def _patterns(windows: Sequence[Window], launches: Sequence[int], *, with_tainted: bool) -> list[Json]:
    """Every pattern on every launch. The rule plays no part: a pattern asks for what its conditions need."""
    clean = [one for one in windows if with_tainted or not one.tainted]
    by_launch = {launch: series([one for one in clean if one.launch == launch]) for launch in launches}
    return [
        {
            "id": pattern.id,
            "title": pattern.title,
            "means": pattern.means,
            "source": pattern.source,
            "launches": [{"launch": n, **judge_pattern(pattern, by_launch[n])} for n in launches],
        }
        for pattern in patterns()
    ]
