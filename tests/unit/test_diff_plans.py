"""Set-ups and plans side by side: what nobody has thought about blocks."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from tests.support.journals import cell_plan
from toolkit.analyse.transfer import ratios, transferable
from toolkit.diff import _HOST, plan_differences
from toolkit.engine.fake import FakeEngine
from toolkit.host.facts import host_facts
from toolkit.host.topology import read_topology
from toolkit.model.plan import Plan, Turn


def plan(**changes: object) -> Plan:
    cell = replace(cell_plan(), **changes)  # type: ignore[arg-type]
    return Plan((cell,), (Turn(cell.cell, 1),), 1)


def test_every_fact_of_a_host_has_a_meaning() -> None:
    facts = host_facts(read_topology(), FakeEngine().facts())
    assert set(facts) <= set(_HOST)


def test_the_deepest_idle_state_that_is_not_switched_off_is_a_fact(tmp_path: Path) -> None:
    for number, (name, latency, disable) in enumerate([("POLL", 0, 0), ("C1", 2, 0), ("C6", 133, 1)]):
        folder = tmp_path / f"sys/devices/system/cpu/cpu0/cpuidle/state{number}"
        folder.mkdir(parents=True)
        for file, value in {"name": name, "latency": latency, "disable": disable}.items():
            (folder / file).write_text(f"{value}\n")
    for file in ("cpuinfo", "meminfo"):
        (tmp_path / "proc").mkdir(exist_ok=True)
        (tmp_path / "proc" / file).write_text("model name: x\n")
    facts = host_facts(read_topology(), FakeEngine().facts(), tmp_path)
    assert facts["idle_state"] == "C1"
    assert "nmi_watchdog" not in facts


def test_another_placement_explains_and_another_rate_blocks() -> None:
    assert plan_differences(plan(), plan()) == []
    assert [one.meaning for one in plan_differences(plan(), plan(cpus="1"))] == ["explanatory"]
    assert [one.meaning for one in plan_differences(plan(), plan(rate_hz=1.0))] == ["blocking"]
    assert [one.meaning for one in plan_differences(plan(), plan(launches=3))] == ["benign"]


def test_a_ratio_to_the_null_sdk_needs_both() -> None:
    def cell(name: str, value: float | None) -> dict[str, object]:
        return {"id": f"{name}/embed-512/default", "metrics": {"cpu.per_request_seconds": {"value": value}}}

    both = {"cells": [cell("go-openai", 3.0), cell("net-http", 2.0)]}
    assert ratios(both) == {"go-openai/embed-512/default": {"cpu.per_request_seconds / null": 1.5}}
    assert ratios({"cells": [cell("go-openai", 3.0)]}) == {}
    assert ratios({"cells": [cell("go-openai", None), cell("net-http", 2.0)]}) == {"go-openai/embed-512/default": {}}


def test_times_do_not_transfer_and_error_rates_do() -> None:
    entry = {"value": 1.0}
    assert set(transferable({"error.rate": entry, "lat.send.p50_seconds": entry})) == {"error.rate"}
