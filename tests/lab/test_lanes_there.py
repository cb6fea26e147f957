"""Two commands side by side on lanes that were chosen for them, and a third that is turned away."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import sealed_manifest
from tests.support.lab import PLACE, Machine
from toolkit.model.cpulist import parse_cpulist

pytestmark = pytest.mark.timeout(1800)
BUSY = 7
LAUNCH = "launch --sdk net-http --lanes 2 --arm rate_hz=2 --timing-gates record"
Json = dict[str, Any]


def until(running: subprocess.Popen[str], word: str) -> None:
    """Read what it says until the word comes."""
    assert running.stderr is not None
    said = ""
    while word not in (line := running.stderr.readline()):
        said += line
        assert line, f"it ended before '{word}': {said}"


def seats(plan: Json) -> tuple[set[int], set[int]]:
    """CPUs that a run has for itself (measured and idle), and those of its agent and backend."""
    (cell,) = plan["cells"]
    own = {*parse_cpulist(cell["cpus"]), *(parse_cpulist(cell["idle_cpus"]) if cell["idle_cpus"] else ())}
    return own, {*parse_cpulist(cell["agent_cpus"]), *parse_cpulist(cell["backend_cpus"])}


def test_two_lanes_side_by_side_and_no_third(machine: Machine, tmp_path: Path) -> None:
    # A command takes such a machine a quarter of a minute before it asks for a lane: the others hold theirs longer.
    command = machine.repro(f"{LAUNCH} --duration 90 --json")
    with machine.start(command) as first, machine.start(command) as second:
        side_by_side(machine, first, second, tmp_path)


def side_by_side(machine: Machine, first: subprocess.Popen[str], second: subprocess.Popen[str], tmp_path: Path) -> None:
    """Two that measure at once, a third that is refused, and what the two were given."""
    until(first, "measuring")
    until(second, "measuring")
    refused = machine.document(f"{LAUNCH} --duration 10 --wait 0", code=BUSY)
    assert refused["code"] == BUSY
    plans = []
    for running in (first, second):
        out, said = running.communicate(timeout=600)
        assert running.returncode == 0, said
        document = json.loads(out)
        assert document["valid"] is True
        copy = tmp_path / document["run"]
        copy.mkdir()
        machine.pull(f"{PLACE}/{document['path']}", copy)
        plans.append(json.loads((copy / "plan.json").read_text()))
        (cell,) = sealed_manifest(copy)["constraints"].values()
        rows = {row["id"]: row for row in cell["sdk"]}
        for name in ("container.cpuset", "workload.affinity", "agent.affinity"):
            assert rows[name]["state"] == "held", rows[name]
        assert rows["workload.affinity"]["effective"] == plans[-1]["cells"][0]["cpus"]
    (mine, beside_me), (yours, beside_you) = map(seats, plans)
    assert mine
    assert yours
    assert not mine & yours
    assert not mine & beside_you
    assert not yours & beside_me


def test_a_sibling_of_a_measured_cpu_is_nobodys(machine: Machine) -> None:
    """Two threads to a core there: the chosen lane measures one and leaves the other idle."""
    document = machine.document("plan --sdk net-http --cores 1")
    (cell,) = document["cells"]
    (measured,) = parse_cpulist(cell["cpus"])
    told = machine.ssh(f"cat /sys/devices/system/cpu/cpu{measured}/topology/thread_siblings_list").stdout
    core = set(parse_cpulist(told.strip()))
    assert len(core) == 2
    assert set(parse_cpulist(cell["idle_cpus"])) == core - {measured}
