"""What was promised: one command, two launches, every limit proven, and the same again (the real engine, 75 s)."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import Ended, Tool, sealed_manifest
from toolkit.engine.docker import DockerEngine
from toolkit.engine.port import LABEL_ROLE
from toolkit.readback.engine_view import engine_rows
from toolkit.readback.rows import ENGINE_BLIND, ENGINE_ONLY, lacking
from toolkit.render.seccomp import seccomp_profile
from toolkit.schemas import validate

pytestmark = pytest.mark.timeout(900)
CELL = "go-openai/chat-stream-128/default"
LAUNCHES = 2
MEBIBYTE = 1 << 20
Json = dict[str, Any]


@dataclass(frozen=True)
class Done:
    """A launch that is over, and what the engine said of its containers while it measured."""

    tool: Tool
    ended: Ended
    inspected: dict[str, Json]
    run: Path
    manifest: Json

    @property
    def readbacks(self) -> list[Json]:
        return [json.loads(path.read_text()) for path in sorted(self.run.glob("attempts/*/*/readback.json"))]

    @property
    def results(self) -> list[Json]:
        return [json.loads(path.read_text()) for path in sorted(self.run.glob("attempts/*/*/result.json"))]


@pytest.fixture(scope="module")
def own_tool(tmp_path_factory: pytest.TempPathFactory, engine: DockerEngine) -> Iterator[Tool]:
    """One folder for the launch and its re-run."""
    one = Tool(tmp_path_factory.mktemp("launch"))
    yield one
    one.end_all()
    leftovers = one.leftovers(engine)
    one.close(engine)
    assert leftovers == []


@pytest.fixture(scope="module")
def done(own_tool: Tool, engine: DockerEngine) -> Done:
    """The command of the promise, with timing recorded: this machine has neighbours."""
    words = "launch --sdk go-openai --workload chat-stream-128 --cpus 0 --duration 12 --launches 2 --json"
    running = own_tool.start(*words.split(), "--timing-gates", "record", "--wait", "300")
    running.say("measuring", 600)  # the first time images are built
    inspected = {one.labels[LABEL_ROLE]: engine.inspect(one.id) for one in own_tool.containers(engine)}
    ended = running.end()
    assert ended.code == 0, ended
    (run,) = [path for path in own_tool.runs.iterdir() if path.name == ended.document["run"]]
    return Done(own_tool, ended, inspected, run, sealed_manifest(run))


def test_it_prints_a_valid_run(done: Done) -> None:
    document = done.ended.document
    validate(document, "launch")
    assert document["valid"] is True
    (cell,) = document["cells"]
    assert cell["id"] == CELL
    assert [(one["n"], one["valid"], one["windows"]) for one in cell["launches"]] == [(1, True, 1), (2, True, 1)]
    assert cell["metrics"]["error.rate"] == cell["metrics"]["error.rate"] | {
        "value": 0,
        "launches": LAUNCHES,
        "ci": None,
    }


def test_exactly_one_window_per_launch_with_its_numbers(done: Done) -> None:
    assert len(done.results) == LAUNCHES
    for result in done.results:
        validate(result, "result")
        (window,) = result["windows"]
        assert window["end_ns"] - window["start_ns"] == 10_000_000_000
        values = {name: entry["value"] for name, entry in window["metrics"].items()}
        # Paced: 20 ms to the first of 128 tokens, one each millisecond. Above that, and how many of the 40 requests a
        # second get through, is the machine's affair; none is counted that was not sent.
        assert 0.14 < values["lat.sched.p95_seconds"] < 30
        assert 0 < values["qps.ok_hz"] * 10 <= result["counts"]["drive"]["sent"]
        assert values["gc.pause.total_seconds"] >= 0
        assert values["gc.cycles"] >= 0
        assert MEBIBYTE < values["rss.process.max_bytes"] < 512 * MEBIBYTE
        assert values["error.rate"] == 0


def test_the_manifest_holds_what_was_asked_and_what_was_found(done: Done) -> None:
    manifest = done.manifest
    assert manifest["valid"]
    assert manifest["state"] == "complete"
    for role in ("sdk", "backend"):
        rows = manifest["constraints"][CELL][role]
        assert len(rows) > 30
        absent = lacking(manifest["host"]["cgroup_version"])
        assert {row["id"] for row in rows if row["state"] == "absent"} == absent
        for row in rows:
            if row["id"] in absent:
                continue
            assert row["state"] == "held", row
            assert row["effective"] == row["requested"], row
            kernel = {"agent", "host"} & set(row["witness"])
            assert row["engine_only"] == (row["id"] in ENGINE_ONLY)
            assert row["engine_only"] or kernel, row
            assert "engine" in row["witness"] or row["id"] in ENGINE_BLIND, row
    # Recorded timing gates: D, whatever the interference was.
    assert manifest["grade"]["letter"] == "D"
    assert manifest["language"]["go"]["go"].startswith("go1.")


def test_every_row_was_seen_at_start_in_each_window_and_at_the_end(done: Done) -> None:
    for readback in done.readbacks:
        validate(readback, "readback")
        for role, part in readback["containers"].items():
            for row in (row for row in part["rows"] if row["state"] != "absent"):
                moments = {moment for witness in row["seen"].values() for moment in witness}
                assert {"start", "window:0", "end"} <= moments, (role, row)


def test_memory_is_where_numactl_was_told_by_the_programs_own_maps(done: Done) -> None:
    for readback in done.readbacks:
        for part in readback["containers"].values():
            rows = {row["id"]: row for row in part["rows"]}
            assert rows["memory.policy"]["effective"] == "bind:0"
            assert {"start", "end"} <= set(rows["memory.policy"]["seen"]["agent"])
            assert rows["mems.allowed"]["effective"] == rows["container.mems"]["effective"] == "0"


def test_the_engine_shows_the_whole_baseline_during_the_run(done: Done) -> None:
    assert done.inspected.keys() == {"sdk", "backend"}
    for role, view in done.inspected.items():
        host, config = view["HostConfig"], view["Config"]
        assert view["State"]["Running"]
        assert host["CapDrop"] == ["ALL"]
        assert not host["CapAdd"]
        assert not host["Privileged"]
        assert host["ReadonlyRootfs"]
        assert host["Memory"] == host["MemorySwap"] > 0
        assert host["PidsLimit"] > 0
        assert host["CpusetMems"] == "0"
        assert "0" in host["CpusetCpus"] or role == "backend"
        assert host["RestartPolicy"]["Name"] in ("", "no")
        assert not host["Init"]
        assert not host["Devices"]
        assert config["User"] == "65534:65534"
        assert config["Entrypoint"] == ["/repro/agent"]
        assert config["Cmd"][:2] == ["numactl", "--membind=0"]
        assert "no-new-privileges" in host["SecurityOpt"]
        (profile,) = [one.removeprefix("seccomp=") for one in host["SecurityOpt"] if one.startswith("seccomp=")]
        assert json.loads(profile) == seccomp_profile()
        assert {limit["Name"]: limit["Hard"] for limit in host["Ulimits"]}["core"] == 0
        for mount in host["Mounts"]:
            assert mount["Type"] == "bind"
            assert bool(mount.get("ReadOnly")) == (mount["Target"] != "/repro/out/journal.pb"), mount
    assert done.inspected["backend"]["HostConfig"]["NetworkMode"] == "none"
    assert done.inspected["sdk"]["HostConfig"]["NetworkMode"] == f"container:{done.inspected['backend']['Id']}"


def test_the_manifest_says_what_the_engine_said(done: Done) -> None:
    for role, view in done.inspected.items():
        told = {row["id"]: row["effective"] for row in done.manifest["constraints"][CELL][role]}
        seen = engine_rows(view, done.manifest["host"]["cgroup_version"])
        assert {name: seen[name] for name in told if name in seen} == {
            name: told[name] for name in told if name in seen
        }


def test_nothing_is_left(done: Done, engine: DockerEngine) -> None:
    assert done.tool.leftovers(engine) == []


def test_a_rerun_is_the_same_content_and_the_same_bytes(done: Done, engine: DockerEngine) -> None:
    again = done.tool.run("rerun", done.manifest["run"], "--json", "--wait", "300")
    assert again.code == 0, again
    validate(again.document, "rerun")
    assert again.document["differences"] == []
    run = done.tool.runs / again.document["run"]
    manifest = sealed_manifest(run)
    assert manifest["images"] == done.manifest["images"]
    assert manifest["definition"] == done.manifest["definition"]
    assert manifest["chain"]["parent"] is not None
    for path in (done.run / "rendered").rglob("*.*"):
        assert path.is_dir() or path.read_bytes() == (run / path.relative_to(done.run)).read_bytes()
    assert done.tool.leftovers(engine) == []


def test_the_second_workload(tool: Tool) -> None:
    ended = tool.launch("--workload", "embed-512")
    assert ended.code == 0, ended
    (cell,) = ended.document["cells"]
    assert cell["metrics"]["error.rate"]["value"] == 0
    assert cell["metrics"]["qps.ok_hz"]["value"] > 0


def test_a_benchmark_leaves_text_that_benchstat_reads(tool: Tool) -> None:
    words = (
        "launch --json --sdk go-openai --workload embed-512 --cpus 0 --drive bench --bench-count 3 --bench-time 200ms"
    )
    ended = tool.run(*words.split(), "--timing-gates", "record", "--wait", "120")
    assert ended.code == 0, ended
    (cell,) = ended.document["cells"]
    assert cell["metrics"]["bench.time_per_op_seconds"]["value"] > 0
    (text,) = tool.only_run().glob("attempts/*/*/bench.txt")
    lines = text.read_text().splitlines()
    assert {"goos: linux", "goarch: amd64"} <= set(lines)
    found = [line for line in lines if line.startswith("Benchmark")]
    shape = r"BenchmarkWorkload/embed-512\S*\s+\d+\s+[\d.]+ ns/op(\s+\S+ \S+)*\s+\d+ B/op\s+\d+ allocs/op"
    assert len(found) == 3
    assert all(re.fullmatch(shape, line) for line in found), found
    if (program := shutil.which("benchstat")) is not None:
        # From its folder: benchstat takes NAME=FILE, and the folder of a bench cell has an equals sign in its name.
        words = [program, text.name]
        table = subprocess.run(words, cwd=text.parent, capture_output=True, text=True, check=True).stdout
        assert "sec/op" in table
        assert "allocs/op" in table
