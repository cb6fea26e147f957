"""Whole reading commands, in process, streams apart: list, show, plan, doctor, clean, render; and misuse of them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.journals import Load
from tests.support.runs import RUN_ID, sealed_run, unsealed_run
from toolkit.cli.app import run
from toolkit.engine.fake import FakeEngine
from toolkit.engine.port import LABEL_KIND, LABEL_RUN
from toolkit.errors import EngineUnavailable
from toolkit.host.topology import Topology
from toolkit.model.container import ContainerSpec
from toolkit.owner import current_owner
from toolkit.schemas import problems

SDK = "go-openai"
CELL = "go-openai/chat-stream-128/default"
MACHINE = Topology((0, 1, 2, 3), {0: (0, 1, 2, 3)}, 8 << 30)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> dict[str, Any]:
        """Stdout as the one object it must be."""
        value: dict[str, Any] = json.loads(self.out)
        return value


Repro = Callable[..., Done]


@pytest.fixture
def repro(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Repro:
    """Run one command line in an empty folder, on a machine with four CPUs, with a store of its own and no engine."""

    def no_engine(host: str | None = None) -> None:
        raise EngineUnavailable(
            "No container engine answers", "nothing answers", "Start it: sudo systemctl start docker"
        )

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("REPRO_STORE", str(tmp_path / "store"))
    monkeypatch.setenv("REPRO_LANES", str(tmp_path / "lanes"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("toolkit.host.topology.read_topology", lambda: MACHINE)
    monkeypatch.setattr("toolkit.engine.docker.connect", no_engine)
    monkeypatch.setattr("toolkit.collect.socket_folder.base_folders", lambda: [tmp_path / "sockets"])

    def call(*arguments: str) -> Done:
        code = run(list(arguments))
        said = capsys.readouterr()
        return Done(code, said.out, said.err)

    return call


@pytest.fixture
def engine(repro: Repro, monkeypatch: pytest.MonkeyPatch) -> FakeEngine:
    """An engine that answers."""
    found = FakeEngine()
    monkeypatch.setattr("toolkit.engine.docker.connect", lambda host=None: found)
    return found


# list


def test_list_shows_the_catalogue_without_an_engine(repro: Repro) -> None:
    done = repro("list")
    assert (done.code, done.err) == (0, "")
    assert "github.com/sashabaranov/go-openai@v1.43.0" in done.out
    assert "chat-stream-128" in done.out
    assert "stub" in done.out


def test_list_sdks_as_json(repro: Repro) -> None:
    done = repro("list", "sdks", "--json")
    assert problems(done.json, "list") == []
    assert set(done.json) == {"schema", "sdks"}
    entry = next(one for one in done.json["sdks"] if one["id"] == SDK)
    assert entry["workloads"] == ["chat-stream-128", "embed-512", "chat-image"]
    assert entry["backends"] == ["stub", "llm-d-sim", "ollama", "llama-server"]


def test_list_sdks_says_which_names_are_no_project_and_who_is_null(repro: Repro) -> None:
    table, _, notes = repro("list", "sdks").out.partition("\n\n")
    (yzma,) = [line for line in table.splitlines() if line.startswith("yzma ")]
    assert yzma.endswith("go-llama")
    assert "go-llama: no project of this name can be built from its module" in notes
    assert "net-http: the null SDK, what an SDK's cost is measured against" in notes
    noted = {line.partition(":")[0] for line in notes.splitlines()}
    listed = repro("list", "sdks", "--json").json["sdks"]
    assert noted == {alias for one in listed for alias in one["alias_notes"]} | {"net-http"}


def test_list_does_not_offer_what_only_probe_runs(repro: Repro) -> None:
    assert "probe" not in [one["id"] for one in repro("list", "workloads", "--json").json["workloads"]]


def test_list_everything_as_json(repro: Repro) -> None:
    assert set(repro("list", "--json").json) == {"schema", "sdks", "workloads", "backends", "runs"}


def test_list_runs_tells_sealed_running_dead_and_damaged_apart(repro: Repro, tmp_path: Path) -> None:
    from dataclasses import asdict

    runs = tmp_path / "runs"
    sealed_run(runs, run="20260101-000000-a-0001")
    unsealed_run(runs, run="20260102-000000-a-0002")
    live = unsealed_run(runs, run="20260103-000000-a-0003")
    (live.path / ".owner.json").write_text(json.dumps(asdict(current_owner())))
    (sealed_run(runs, run="20260104-000000-a-0004").path / "manifest.json").write_text("{")
    (unsealed_run(runs, run="20260105-000000-a-0005").path / "plan.json").write_text("{")
    done = repro("list", "runs", "--json")
    assert problems(done.json, "list") == []
    assert [one["state"] for one in done.json["runs"]] == ["complete", "unsealed", "running", "damaged", "damaged"]
    assert done.json["runs"][0]["grade"] == "B"
    assert done.json["runs"][1]["cells"] == [CELL]
    assert repro("list", "runs").out.count("20260") == 5


def test_list_of_nothing(repro: Repro) -> None:
    assert repro("list", "runs").out == "none\n"
    done = repro("list", "cats")
    assert done.code == 2
    assert "sdks, workloads, backends, runs" in done.err


# show


def test_show_the_last_run(repro: Repro, tmp_path: Path) -> None:
    sealed_run(tmp_path / "runs")
    done = repro("show")
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"run {RUN_ID}: valid\ngrade B")
    assert "no interval: one launch" in done.out


def test_show_as_json(repro: Repro, tmp_path: Path) -> None:
    sealed_run(tmp_path / "runs")
    done = repro("show", "7f3a", "--json")
    assert problems(done.json, "show") == []
    assert done.json["cells"][0]["metrics"]["lat.sched.p95_seconds"]["value"] > 0
    assert done.err == ""


def test_show_an_invalid_run_ends_well_and_shows_no_number(repro: Repro, tmp_path: Path) -> None:
    sealed_run(tmp_path / "runs", load=Load(drops=1))
    done = repro("show", "--json")
    assert done.code == 0
    assert done.json["valid"] is False
    assert all(entry["value"] is None for entry in done.json["cells"][0]["metrics"].values())


def test_show_joint(repro: Repro, tmp_path: Path) -> None:
    sealed_run(tmp_path / "runs", duration_seconds=40.0)
    done = repro("show", "--joint", "--rule", "article-2024", "--weights", "article-2024")
    assert (done.code, done.err) == (0, "")
    assert "windows of 10 s: 4 of 4 count" in done.out
    assert problems(repro("show", "--joint", "--json").json, "joint") == []


@pytest.mark.parametrize(
    "option", [("--rule", "zero-gc"), ("--weights", "equal"), ("--window", "2"), ("--with-tainted",)]
)
def test_show_refuses_options_of_the_joint_analysis_without_it(repro: Repro, option: tuple[str, ...]) -> None:
    done = repro("show", *option)
    assert done.code == 2
    assert f"{option[0]} without --joint" in done.err


def test_show_joint_refuses_an_unknown_rule(repro: Repro, tmp_path: Path) -> None:
    sealed_run(tmp_path / "runs")
    done = repro("show", "--joint", "--rule", "mine", "--json")
    assert (done.code, done.json["code"]) == (2, 2)
    assert "there are zero-gc, article-2024" in done.err


def test_show_without_any_run(repro: Repro) -> None:
    done = repro("show", "--json")
    assert done.code == 2
    assert problems(done.json, "error") == []


def test_show_a_run_that_is_not_sealed(repro: Repro, tmp_path: Path) -> None:
    unsealed_run(tmp_path / "runs")
    done = repro("show")
    assert done.code == 6
    assert "repro clean" in done.err


@pytest.mark.parametrize("damage", ["{", "[]", "{}", '{"schema_version": 99}', "\x00"])
def test_show_a_damaged_manifest(repro: Repro, tmp_path: Path, damage: str) -> None:
    (sealed_run(tmp_path / "runs").path / "manifest.json").write_text(damage)
    done = repro("show", "--json")
    assert done.code == done.json["code"] == 6
    assert done.json["remedy"]


def test_show_refuses_a_result_that_is_not_the_sealed_one(repro: Repro, tmp_path: Path) -> None:
    folder = sealed_run(tmp_path / "runs")
    result = next(folder.path.rglob("result.json"))
    result.write_text(result.read_text().replace('"valid": true', '"valid": true '))
    done = repro("show")
    assert done.code == 6
    assert "result.json" in done.err
    result.unlink()
    assert repro("show").code == 6


# plan


def test_a_plan_names_no_cpu_of_a_backend_that_does_not_exist(repro: Repro) -> None:
    assert ", backend " in repro("plan", "--sdk", SDK, "--cpus", "0").out
    assert ", backend " not in repro("plan", "--sdk", "yzma", "--cpus", "0").out


def test_plan_prints_what_would_run(repro: Repro, tmp_path: Path) -> None:
    done = repro("plan", "--sdk", SDK, "--cpus", "0-1", "--launches", "3")
    assert (done.code, done.err) == (0, "")
    assert "measured 0-1, agent 3, backend 2" in done.out
    assert "3. go-openai/chat-stream-128/default, launch 3" in done.out
    assert list(tmp_path.iterdir()) == []


def test_plan_as_json_is_the_plan(repro: Repro) -> None:
    done = repro(
        "plan", "--sdk", SDK, "--cpus", "0", "--drive", "bench", "--bench-time", "2s", "--arm", "gogc=50", "--json"
    )
    assert problems(done.json, "plan") == []
    cell = done.json["cells"][0]
    assert (cell["cell"], cell["bench_time_seconds"]) == ("go-openai/chat-stream-128/drive=bench,gogc=50", 2.0)
    assert cell["environment"] == {"GOGC": "50"}


@pytest.mark.parametrize(
    ("arguments", "code", "hint"),
    [
        (["--sdk", "go-openia", "--cpus", "0"], 2, "go-openai"),
        (["--sdk", SDK, "--cpus", "0", "--workload", "chat"], 2, "chat-stream-128"),
        (["--sdk", SDK, "--cpus", "0", "--backend", "stub2"], 2, "stub"),
        (["--sdk", SDK, "--cpus", ""], 2, "--cpus 0"),
        (["--sdk", SDK, "--cpus", "x"], 2, "not two CPUs"),
        (["--sdk", SDK, "--cpus", "3-5"], 3, "--cpus 0-1,3"),
        (["--sdk", SDK, "--cpus", "0", "--mems", "4"], 3, "--mems"),
        (["--sdk", SDK, "--cpus", "0", "--memory", "12"], 2, "--memory 512m"),
        (["--sdk", SDK, "--cpus", "0", "--drive", "bench", "--duration", "5"], 2, "--bench-time"),
        (["--sdk", SDK, "--sdk", SDK, "--cpus", "0"], 2, "once"),
        (["--sdk", SDK], 2, "--cpus"),
        (["--cpus", "0"], 2, "--sdk"),
        (["--sdk", SDK, "--cpus", "0", "--launches", "many"], 2, "--launches"),
        (["--sdk", SDK, "--cpus", "0", "--colour", "red"], 2, "--colour"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_misuse_is_said_as_text_and_as_json(repro: Repro, arguments: list[str], code: int, hint: str) -> None:
    done = repro("plan", *arguments, "--json")
    assert done.code == done.json["code"] == code
    assert problems(done.json, "error") == []
    assert hint in done.err
    assert "Traceback" not in done.err
    assert repro("plan", *arguments).out == ""


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--sdk", SDK, "--sdk-at", "latest"], "neither a version nor a folder"),
        (["--sdk", SDK, "--sdk-at", "."], "no go.mod"),
        (["--sdk", SDK, "--sdk-at", "other"], "its go.mod says module example.org/other"),
        (["--sdk", "net-http", "--sdk-at", "v1.0.0"], "the null SDK is the Go standard library"),
        (["--sdk", SDK, "--sdk-at", "pinned", "--sdk-at", "pinned"], "twice"),
        (["--sdk", SDK, "--baseline", "--workload", "similarity-1000x768"], "cannot do workload"),
        (["--sdk", "chromem-go", "--baseline"], "nothing to stand beside"),
        (["--sdk", "yzma", "--model", "no.gguf"], "cannot be read"),
        (["--sdk", "hugot", "--model", "no.gguf"], "--model cannot be used with hugot"),
        (["--sdk", SDK, "--backend", ""], "has no backend ''"),
        (["--sdk", "hugot", "--arm", "http=h2"], "cannot be used with hugot"),
        (["--sdk", "yzma", "--model", "other/go.mod"], "is not a GGUF file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_misuse_of_launch_is_said_before_anything_is_built(
    repro: Repro, tmp_path: Path, arguments: list[str], hint: str
) -> None:
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "go.mod").write_text("module example.org/other\n")
    done = repro("launch", *arguments, "--cpus", "0", "--dry-run", "--json")
    assert done.code == done.json["code"] == 2
    assert problems(done.json, "error") == []
    assert hint in done.err
    assert not (tmp_path / "runs").exists()


def test_a_dry_run_of_an_alias_with_its_baseline_is_a_plan_of_both(repro: Repro) -> None:
    done = repro("launch", "--sdk", "gpt-vision-go", "--baseline", "--cpus", "0", "--dry-run", "--json")
    assert problems(done.json, "plan") == []
    first, second = done.json["cells"]
    assert (first["sdk"], first["asked_as"], first["baseline"]) == ("openai-go", "gpt-vision-go", False)
    assert (second["sdk"], second["asked_as"], second["baseline"], second["null_sdk"]) == ("net-http", "", True, True)


def test_a_catalogue_of_ones_own_that_is_not_there(repro: Repro) -> None:
    done = repro("list", "sdks", "--catalogue", "nowhere", "--json")
    assert done.code == done.json["code"] == 2


# doctor


def test_doctor_without_an_engine_is_exit_4_with_the_remedy(repro: Repro) -> None:
    done = repro("doctor")
    assert done.code == 4
    assert "FAIL engine" in done.out
    assert "sudo systemctl start docker" in done.out
    assert "not fit" in done.out


def test_doctor_with_an_engine(repro: Repro, engine: FakeEngine, tmp_path: Path) -> None:
    done = repro("doctor", "--json")
    assert done.code == 0
    assert problems(done.json, "doctor") == []
    assert done.json["grade"] in ("A", "B", "C")  # this machine's own, the engine apart
    assert [path.name for path in tmp_path.iterdir()] == []
    assert [call.method for call in engine.calls] == ["facts"]


def test_options_of_an_aa_are_refused_without_it(repro: Repro, engine: FakeEngine) -> None:
    for option in (("--launches", "3"), ("--sdk", "net-http"), ("--show", "latest"), ("--timing-gates", "record")):
        done = repro("doctor", *option)
        assert (done.code, option[0] in done.err, "add --aa" in done.err) == (2, True, True)
    assert engine.calls == []


def test_the_noise_of_launches_that_there_are(repro: Repro, tmp_path: Path) -> None:
    sealed_run(tmp_path / "runs", launches=8)
    done = repro("doctor", "--aa", "--show", RUN_ID, "--json")
    assert done.code == 0
    assert problems(done.json, "noise") == []
    assert "smallest margin proven" in repro("doctor", "--aa", "--show", RUN_ID).out


def test_an_aa_of_too_few_launches_is_refused_or_inconclusive(repro: Repro, tmp_path: Path) -> None:
    assert repro("doctor", "--aa", "--launches", "2").code == 2
    sealed_run(tmp_path / "runs")
    assert repro("doctor", "--aa", "--show", RUN_ID).code == 8


def test_doctor_names_cpus_that_are_not_here_with_exit_3(repro: Repro, engine: FakeEngine) -> None:
    done = repro("doctor", "--cpus", "8", "--json")
    assert done.code == 3
    check = next(one for one in done.json["checks"] if one["id"] == "cpus")
    assert (check["state"], "--cpus 0" in check["advice"]) == ("fail", True)
    assert repro("doctor", "--cpus", "x").code == 2


def test_doctor_does_not_wait_for_an_engine_that_hangs(repro: Repro, monkeypatch: pytest.MonkeyPatch) -> None:
    over, released = threading.Event(), threading.Event()

    def hang(host: str | None = None) -> None:
        over.wait()
        released.set()
        raise EngineUnavailable("too late")

    monkeypatch.setattr("toolkit.engine.docker.connect", hang)
    try:
        done = repro("doctor")
    finally:
        over.set()
    assert released.wait(60), "nobody asked the engine"
    assert done.code == 4
    assert "too slow" in done.out


# clean


def orphan(engine: FakeEngine, *, dead: bool = True) -> None:
    engine.images["x"] = {}
    owner = replace(current_owner(), boot_id="another") if dead else current_owner()
    container, _ = engine.create(ContainerSpec("x", ("y",), labels={LABEL_RUN: RUN_ID, **owner.labels()}))
    engine.start(container)


def test_clean_removes_what_dead_commands_left_and_nothing_else(
    repro: Repro, engine: FakeEngine, tmp_path: Path
) -> None:
    orphan(engine)
    orphan(engine, dead=False)
    engine.images["x"] = {}
    stranger, _ = engine.create(ContainerSpec("x", ("y",)))
    folder = unsealed_run(tmp_path / "runs")
    done = repro("clean", "--yes", "--json")
    assert done.code == 0
    assert problems(done.json, "clean") == []
    assert done.json["done"] is True
    assert [one["kind"] for one in done.json["steps"]] == ["container", "run"]
    assert folder.sealed
    assert len(engine.containers) == 2
    assert stranger in engine.containers
    assert repro("clean", "--yes").out == "nothing to clean\n"


def test_clean_only_looks_with_dry_run(repro: Repro, engine: FakeEngine, tmp_path: Path) -> None:
    orphan(engine)
    folder = unsealed_run(tmp_path / "runs")
    done = repro("clean", "--dry-run")
    assert done.code == 0
    assert f"seal run {RUN_ID}" in done.out
    assert not folder.sealed
    assert len(engine.containers) == 1


def test_clean_does_nothing_unasked_without_a_terminal(repro: Repro, engine: FakeEngine) -> None:
    orphan(engine)
    done = repro("clean", "--json")
    assert done.code == done.json["code"] == 2
    assert "--yes" in done.json["remedy"]
    assert len(engine.containers) == 1


def test_clean_asks_on_a_terminal(repro: Repro, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    orphan(engine)
    answers = iter(["n\n", "\n", "yes\n"])
    monkeypatch.setattr("sys.stdin", type("In", (), {"isatty": lambda _: True, "readline": lambda _: next(answers)})())
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for left in (1, 1, 0):
        assert repro("clean").code == 0
        assert len(engine.containers) == left


def test_clean_without_an_engine_does_the_rest_and_says_what_it_could_not(repro: Repro, tmp_path: Path) -> None:
    folder = unsealed_run(tmp_path / "runs")
    done = repro("clean", "--yes", "--json")
    assert folder.sealed
    assert done.code == 4
    assert done.json["error"]["code"] == 4
    assert "systemctl start docker" in done.err


def test_clean_goes_on_after_a_run_it_cannot_seal(repro: Repro, engine: FakeEngine, tmp_path: Path) -> None:
    damaged = unsealed_run(tmp_path / "runs", run="20260101-000000-a-0001")
    (damaged.path / "plan.json").write_text("{")
    folder = unsealed_run(tmp_path / "runs")
    assert repro("clean", "--yes").code == 6
    assert folder.sealed


def test_clean_images_removes_only_ours(repro: Repro, engine: FakeEngine) -> None:
    labelled = {"Config": {"Labels": {LABEL_KIND: "sdk"}}}
    engine.images = {"sealbench/sdk-x:aa": labelled, "other/name:1": labelled, "debian:12": {}, "sealbench/mine:1": {}}
    assert repro("clean", "--yes").code == 0
    assert len(engine.images) == 4
    assert repro("clean", "--images", "--yes").code == 0
    assert set(engine.images) == {"other/name:1", "debian:12", "sealbench/mine:1"}


def test_clean_store_deletes_a_store(repro: Repro, engine: FakeEngine, tmp_path: Path) -> None:
    from toolkit.fetch.store import Store

    Store.open().add_bytes(b"x", "2d711642b726b04401627ca9fbac32f5c8530fb1903cc4db02258717921a4881", "x")
    (tmp_path / "store" / "tmp" / "sealed").mkdir(mode=0o500)
    assert repro("clean", "--store", "--yes").code == 0
    assert not (tmp_path / "store").exists()
    assert repro("clean", "--store", "--yes").out == "nothing to clean\n"


def test_clean_store_leaves_what_is_not_ours(repro: Repro, engine: FakeEngine, tmp_path: Path) -> None:
    from toolkit.fetch.store import Store

    Store.open()
    (tmp_path / "store" / "thesis.tex").write_text("years of work")
    assert repro("clean", "--store", "--yes").code == 0
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["thesis.tex"]


def test_clean_store_refuses_a_folder_without_its_mark(repro: Repro, engine: FakeEngine, tmp_path: Path) -> None:
    from toolkit.fetch.store import Store

    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "thesis.tex").write_text("years of work")
    Store.open()
    done = repro("clean", "--store", "--yes", "--json")
    assert done.code == done.json["code"] == 2
    assert (tmp_path / "store" / "thesis.tex").exists()
    assert (tmp_path / "store" / "blobs").exists()


# render


def test_render_writes_the_same_bytes_again_without_engine_or_store(repro: Repro, tmp_path: Path) -> None:
    first = repro("render", "--sdk", SDK, "-o", "a", "--json")
    assert problems(first.json, "render") == []
    assert first.code == 0
    assert {row["state"] for row in first.json["files"]} == {"written"}
    assert "no compose.yaml" in first.err
    again = repro("render", "--sdk", SDK, "-o", "a", "--json")
    assert {row["state"] for row in again.json["files"]} == {"same"}
    assert [row["digest"] for row in first.json["files"]] == [row["digest"] for row in again.json["files"]]
    assert not (tmp_path / "store").exists()


def test_render_holds_nothing_of_the_place(repro: Repro, tmp_path: Path) -> None:
    repro("render", "--sdk", SDK, "-o", "a")
    for file in (tmp_path / "a").rglob("*"):
        if file.is_file():
            assert str(tmp_path).encode() not in file.read_bytes()
            assert str(Path(__file__).resolve().parents[2]).encode() not in file.read_bytes()


def test_render_check_finds_what_differs(repro: Repro, tmp_path: Path) -> None:
    repro("render", "--sdk", SDK, "-o", "a")
    changed = tmp_path / "a" / "go-openai--embed-512--default" / "Dockerfile"
    changed.write_text("FROM scratch\n")
    done = repro("render", "--sdk", SDK, "-o", "a", "--check", "--json")
    assert done.code == 1
    states = {Path(row["path"]).name: row["state"] for row in done.json["files"] if "embed" in row["path"]}
    assert states == {
        "Dockerfile": "differs",
        "Dockerfile.backend": "same",
        "seccomp.json": "same",
        "compose.yaml": "missing",
    }
    assert changed.read_text() == "FROM scratch\n"


# lock


def test_lock_check_reads_files_only(repro: Repro, tmp_path: Path) -> None:
    done = repro("lock", "--check", "--json")
    assert (done.code, done.json["problems"]) == (0, [])
    assert problems(done.json, "lock-report") == []
    assert list(tmp_path.iterdir()) == []


# all of it


COMMANDS = ("launch", "rerun", "show", "list", "doctor", "plan", "lock", "fetch", "render", "build", "clean", "probe")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(repro: Repro, command: str) -> None:
    done = repro(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert "Usage: repro" in done.out


def test_help_and_version(repro: Repro) -> None:
    assert "Exit codes: 0 done" in repro("--help").out
    assert repro("--version").out.startswith("repro (sealbench) ")
    bare = repro()
    assert (bare.code, "Usage: repro" in bare.out + bare.err) == (2, True)
    assert repro("nonsense", "--json").json["code"] == 2


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from toolkit.cli.app import run; run(['--help']); "
        "heavy = {'docker', 'grpc', 'httpx', 'numpy', 'pydantic', 'jsonschema', 'yaml', 'jinja2', 'psutil', 'rich'}; "
        "print(sorted(heavy & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_a_reader_that_goes_away_is_no_error(tmp_path: Path) -> None:
    sealed_run(tmp_path / "runs")
    reading, writing = os.pipe()
    os.close(reading)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    command = [sys.executable, "-m", "toolkit", "show"]
    done = subprocess.run(
        command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False, cwd=tmp_path, env=environment
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
