"""A neighbour on the measured CPU, which keeps its own account: each window that it disturbed is tainted (50 s)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import Tool, sealed_manifest
from tests.support.neighbour import account, neighbour, used_ns
from toolkit.schemas import validate

pytestmark = pytest.mark.timeout(600)
WINDOWS = 3
BUDGET = 0.02
SLACK_SECONDS = 0.05
"""The kernel counts in ticks, and the ledger reads its two counters one after the other."""

Json = dict[str, Any]


def test_each_window_in_which_the_neighbour_took_more_than_the_budget_is_tainted(tool: Tool, tmp_path: Path) -> None:
    words = ["--sdk", "net-http", "--duration", "35", "--wait", "300"]
    running = tool.begin(*words)
    running.say("measuring")
    log = tmp_path / "neighbour.log"
    with neighbour(0, wait_seconds=12.0, cpu_seconds=4.0, log=log):
        ended = running.end()
    assert ended.code == 0, ended
    validate(ended.document, "launch")
    run = tool.only_run()
    (result,) = read(run, "result.json")
    (ledger,) = read(run, "ledger.json")
    validate(result, "result")
    validate(ledger, "ledger")
    assert len(result["windows"]) == WINDOWS
    kept = account(log)
    # Between the ledger's own moments: where the host looks late, its windows are others than the plan's. What a
    # hypervisor took counts as the neighbour's time by its own account, and as nobody's by the kernel's.
    taken = [used_ns(kept, row["start_ns"], row["end_ns"]) / 1e9 - row["steal_seconds"] for row in ledger["windows"]]
    least = [seconds - SLACK_SECONDS for seconds in taken]
    budgets = [BUDGET * row["seconds"] for row in ledger["windows"]]
    assert any(low > most for low, most in zip(least, budgets, strict=True)), "the neighbour got no CPU time"
    for low, most, window, row in zip(least, budgets, result["windows"], ledger["windows"], strict=True):
        assert row["foreign_cpu_seconds"] > low
        assert window["tainted"] == row["tainted"] == bool(window["taints"])
        if low > most:
            assert window["tainted"]
            (taint,) = [one for one in window["taints"] if one["what"] == "foreign_cpu_share"]
            assert taint["limit"] == BUDGET < taint["found"]
        # Others may have been there, too: this machine is shared, so nothing is said of the windows without ours.
    check_what_is_told(tool, ended.document, result, run)


def read(run: Path, name: str) -> list[Json]:
    """That file of every attempt."""
    return [json.loads(path.read_text()) for path in sorted(run.glob(f"attempts/*/*/{name}"))]


def check_what_is_told(tool: Tool, document: Json, result: Json, run: Path) -> None:
    """Counted in the report, kept in the plan, named in words, and in the reasons of the grade."""
    tainted = [one["index"] for one in result["windows"] if one["tainted"]]
    (cell,) = document["cells"]
    (entry,) = cell["launches"]
    assert (entry["windows"], entry["tainted_windows"]) == (WINDOWS, len(tainted))
    assert {one["window"] for one in entry["taints"]} >= set(tainted)
    plan = json.loads((run / "plan.json").read_text())
    assert plan["cells"][0]["interference_budget"]["foreign_cpu_share"] == BUDGET
    grade = sealed_manifest(run)["grade"]
    assert any(one.startswith(f"{len(tainted)} of {WINDOWS} windows") for one in grade["reasons"])
    shown = tool.run("show", run.name)
    assert f"{WINDOWS - len(tainted)} of {WINDOWS} windows clean" in shown.stdout
    foreign = [one["index"] for one in result["windows"] if "foreign_cpu_share" in {it["what"] for it in one["taints"]}]
    assert foreign
    assert all(re.search(rf"window {index} tainted: [^;]*foreign CPU", shown.stdout) for index in foreign)
