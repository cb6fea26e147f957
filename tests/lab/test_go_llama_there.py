"""llama.cpp in process on 8 CPUs and two memory nodes: all CPUs measured, and half of them beside a free half."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.lab.conftest import PLACE, Machine
from tests.support.faults_tool import sealed_manifest
from toolkit.readback.rows import lacking

pytestmark = pytest.mark.timeout(3600)
REPRO = f"cd {PLACE} && REPRO_STORE={PLACE}/store sealbench/.venv/bin/repro"
LAUNCH = f"{REPRO} launch --sdk go-llama --timing-gates record --json"
SHARED = "measured CPUs are shared with agent, backend or host program"
Json = dict[str, Any]


# An emulated machine serves eight threads of ggml, which spin for each other, with two real cores: an answer of 25 ms
# takes minutes there, and every request ends at its timeout. That says nothing of limits, and it is why the answers are
# looked at with two threads.
EVERYWHERE = "--cpus 0-7 --duration 100 --warmup 30"


@pytest.fixture(scope="module")
def everywhere(eight: Machine, tmp_path_factory: pytest.TempPathFactory) -> tuple[Json, Json]:
    """A launch on all eight CPUs: its report and its manifest."""
    ended = eight.ssh(f"{LAUNCH} {EVERYWHERE}", check=False)
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    copy: Path = tmp_path_factory.mktemp("everywhere") / document["run"]
    copy.mkdir()
    eight.pull(f"{PLACE}/{document['path']}", copy)
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


def test_with_two_threads_its_answers_are_right(eight: Machine) -> None:
    ended = eight.ssh(f"{LAUNCH} --cpus 0-7 --arm threads=2 --duration 60 --warmup 20", check=False)
    assert ended.returncode == 0, ended.stderr
    document = json.loads(ended.stdout)
    (cell,) = document["cells"]
    assert document["valid"] is True
    assert cell["metrics"]["error.rate"]["n"] >= 1
    assert cell["metrics"]["error.rate"]["value"] == 0


def test_on_half_the_cpus_its_own_pages_are_on_their_node(eight: Machine) -> None:
    running = eight.start(f"{LAUNCH} --cpus 0-3 --mems 0 --arm threads=1 --duration 20")
    assert running.stderr is not None
    words = ""
    while "measuring" not in (line := running.stderr.readline()):
        words += line
        assert line, f"it ended before it measured: {words}"
    maps = eight.ssh("cat /proc/$(pgrep -f '^/repro/workload' | head -n 1)/numa_maps").stdout.splitlines()
    out, words = running.communicate(timeout=900)
    assert running.returncode == 0, words
    assert {line.split()[1] for line in maps} == {"bind:0"}
    own = [line for line in maps if " anon=" in line]
    assert own
    assert all(_elsewhere(line) <= _of_the_file(line) for line in own), own
    document = json.loads(out)
    assert document["valid"] is True


def _counts(line: str) -> dict[str, int]:
    """The counts of one line of ``numa_maps`` (proc(5)), in pages."""
    return {name: int(count) for name, count in re.findall(r" (\w+)=(\d+)", line)}


def _elsewhere(line: str) -> int:
    """Pages of a mapping that are not on node 0."""
    return sum(count for name, count in _counts(line).items() if re.fullmatch(r"N\d+", name) and name != "N0")


def _of_the_file(line: str) -> int:
    """Pages that are the file's: they lie where its first reader put them."""
    found = _counts(line)
    return found.get("mapped", found["anon"]) - found["anon"]
