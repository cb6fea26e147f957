"""Memory of the program on the node that was asked for, on 8 CPUs and two nodes, on either of them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import numa
from tests.support.faults_tool import sealed_manifest
from tests.support.lab import PLACE, Machine

pytestmark = pytest.mark.timeout(1800)
Json = dict[str, Any]


@dataclass(frozen=True)
class Placed:
    """A launch that ended, and the program's ``numa_maps`` while it was measured."""

    document: Json
    manifest: Json
    maps: str


def measured(machine: Machine, words: str, copy: Path) -> Placed:
    """Launch there, and look at the program as soon as it is measured."""
    running = machine.start(machine.repro(f"launch {words} --timing-gates record --json"))
    assert running.stderr is not None
    said = ""
    while "measuring" not in (line := running.stderr.readline()):
        said += line
        assert line, f"it ended before it measured: {said}"
    maps = machine.ssh("cat /proc/$(pgrep -f '^/repro/workload' | head -n 1)/numa_maps").stdout
    out, said = running.communicate(timeout=900)
    assert running.returncode == 0, said
    document: Json = json.loads(out)
    machine.pull(f"{PLACE}/{document['path']}", copy)
    return Placed(document, sealed_manifest(copy), maps)


@pytest.mark.parametrize(("cpus", "node"), [("0-3", 0), ("4-7", 1)])
def test_every_page_of_its_own_is_on_the_node_of_its_cpus(
    machine: Machine, tmp_path: Path, cpus: str, node: int
) -> None:
    placed = measured(machine, f"--sdk net-http --cpus {cpus} --mems {node} --duration 10 --arm rate_hz=2", tmp_path)
    assert placed.document["valid"] is True
    assert numa.policies(placed.maps) == {f"bind:{node}"}
    assert numa.pages_on(placed.maps, node) > 100
    assert numa.strays(placed.maps, node) == []
    (cell,) = placed.manifest["constraints"].values()
    rows = {row["id"]: row for row in cell["sdk"]}
    for name in ("container.mems", "mems.allowed", "memory.policy"):
        assert rows[name]["state"] == "held", rows[name]
    assert (rows["workload.affinity"]["effective"], rows["mems.allowed"]["effective"]) == (cpus, str(node))


def test_cpus_of_one_node_and_memory_of_the_other(machine: Machine, tmp_path: Path) -> None:
    """What nobody should want is what is done when it is asked for."""
    placed = measured(machine, "--sdk go-openai --cpus 2 --mems 1 --duration 10 --arm rate_hz=2", tmp_path)
    assert placed.document["valid"] is True
    assert numa.policies(placed.maps) == {"bind:1"}
    assert numa.pages_on(placed.maps, 1) > 100
    assert numa.strays(placed.maps, 1) == []
