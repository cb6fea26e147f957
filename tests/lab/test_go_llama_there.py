"""llama.cpp in process on 8 CPUs and two memory nodes: all CPUs measured, and half of them beside a free half."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support import numa
from tests.support.faults_tool import sealed_manifest
from tests.support.lab import PLACE, Machine
from toolkit.readback.rows import lacking

pytestmark = pytest.mark.timeout(3600)
REPRO = f"cd {PLACE} && REPRO_STORE={PLACE}/store sealbench/.venv/bin/repro"
LAUNCH = f"{REPRO} launch --sdk go-llama --timing-gates record --json"
SHARED = "measured CPUs are shared with agent, backend or host program"
Json = dict[str, Any]


# An emulated machine serves eight threads of ggml, which spin for each other, with two real cores: an answer of 25 ms
# takes minutes there, and every request ends at its timeout. That says nothing of limits, and it is why the answers are
# looked at with two threads.
EVERYWHERE = "--cpus 0-7 --duration 10 --warmup 1"


@pytest.fixture(scope="module")
def everywhere(machine: Machine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Json, Json]:
    """A launch on all eight CPUs: its report and its manifest."""
    ended = machine.ssh(f"{LAUNCH} {EVERYWHERE}", check=False)
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    copy: Path = tmp_path_factory.mktemp("everywhere") / document["run"]
    copy.mkdir()
    machine.pull(f"{PLACE}/{document['path']}", copy)
    return document, sealed_manifest(copy)


def test_on_all_cpus_it_completes_and_says_that_they_are_shared(everywhere: tuple[Json, Json]) -> None:
    document, manifest = everywhere
    assert document["valid"] is True
    assert document["grade"] == "D"  # timing is recorded
    assert SHARED in manifest["grade"]["reasons"]


def test_limits_and_both_memory_nodes_are_held(everywhere: tuple[Json, Json]) -> None:
    (cell,) = everywhere[1]["constraints"].values()
    rows = {row["id"]: row for row in cell["sdk"]}
    for row in rows.values():
        if row["id"] in lacking("2"):
            assert row["state"] == "absent", row
            continue
        assert (row["state"], row["effective"]) == ("held", row["requested"]), row
    assert rows["container.cpuset"]["effective"] == "0-7"
    assert rows["container.mems"]["effective"] == "0-1"
    for name in ("container.cpuset", "container.mems", "memory.limit_bytes", "memory.swap_bytes", "cpu.quota"):
        assert rows[name]["witness"] == ["agent", "engine", "host"]


def test_with_two_threads_its_answers_are_right(machine: Machine) -> None:
    ended = machine.ssh(f"{LAUNCH} --cpus 0-7 --arm threads=2 --duration 30 --warmup 1", check=False)
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    (cell,) = document["cells"]
    assert document["valid"] is True
    assert cell["metrics"]["error.rate"]["n"] >= 1
    assert cell["metrics"]["error.rate"]["value"] == 0


def test_on_half_the_cpus_its_own_pages_are_on_their_node(machine: Machine) -> None:
    running = machine.start(f"{LAUNCH} --cpus 0-3 --mems 0 --arm threads=1 --duration 10 --warmup 1")
    assert running.stderr is not None
    words = ""
    while "measuring" not in (line := running.stderr.readline()):
        words += line
        assert line, f"it ended before it measured: {words}"
    maps = machine.ssh("cat /proc/$(pgrep -f '^/repro/workload' | head -n 1)/numa_maps").stdout
    out, words = running.communicate(timeout=900)
    assert running.returncode == 0, words
    assert numa.policies(maps) == {"bind:0"}
    assert numa.own_pages(maps)
    assert numa.strays(maps, 0) == []
    document = json.loads(out)
    assert document["valid"] is True
