"""Hostile builds and re-runs of archives on the real engine: stopped within their limits, killed at each stage, two at
once. A test bears the number of its case (docs/archives.md).
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import pytest

from tests.support.faults_engine import old_engine
from tests.support.faults_tool import ROOT, Running, Tool, check_said, sealed_manifest
from toolkit.build.compile import MEMORY_BYTES, Limits, compile_target
from toolkit.build.targets import NO_MODULES, Target
from toolkit.engine.docker import DockerEngine
from toolkit.engine.port import LABEL_KIND, LABEL_OWNER_PID, LABEL_RUN
from toolkit.errors import BuildFailed
from toolkit.fetch.store import Store
from toolkit.model.container import ContainerSpec

MEGABYTE = 1 << 20
GIGABYTE = 1 << 30
SHORT = ["--duration", "6", "--warmup", "1", "--timing-gates", "record", "--wait", "300"]


def hostile(script: str) -> Target:
    """What a stranger's lock says to run."""
    return Target(
        key="agent", folder="agent", title="a stranger's program", files={"src/x": b"x"}, modules=NO_MODULES,
        workdir="src", command=("/bin/sh", "-c", script), outputs={"agent": ""}, origin=Path("lock.json"),
        environment={"PATH": "/bin"}, go=False,
    )  # fmt: skip


@pytest.mark.parametrize(
    "case",
    [
        ("while :; do :; done", 2.0, "time that it was given is over"),
        ("trap '' TERM INT HUP; while :; do :; done", 2.0, "time that it was given is over"),
        ("while :; do sleep 100 & done", 20.0, "failed|time that it was given is over"),
        ("n=0; while :; do cat /bin/* > /out/$n; n=$((n+1)); done", 600.0, "wrote more than"),
        ("while :; do cat /bin/*; done > /out/agent; exit 1", 5.0, "wrote more than|failed|time that it was"),
        ("cat /bin/* /bin/* > /tmp/x; cat /etc/shadow > /out/agent", 600.0, "failed"),
    ],
    ids=["endless", "deaf", "forks", "many-files", "one-file", "what-is-not-there"],
)
def test_107_a_hostile_build_is_stopped(
    engine: DockerEngine, tiny_image: str, tmp_path: Path, case: tuple[str, float, str]
) -> None:
    script, seconds, why = case
    limits = Limits(time.monotonic() + seconds, 64 * MEGABYTE)
    before = {one.id for one in engine.owned(LABEL_RUN)}
    with pytest.raises(BuildFailed, match=why):
        compile_target(
            engine, Store.open(tmp_path / "store"), hostile(script), tiny_image, tmp_path / "work", limits=limits
        )
    mine = [one for one in engine.owned(LABEL_RUN) if one.id not in before and one.labels.get(LABEL_OWNER_PID) == _me()]
    assert mine == []
    # No single file is larger; what came between two looks, half a second apart, is the rest.
    sizes = [path.lstat().st_size for path in (tmp_path / "work").rglob("*") if not path.is_dir()]
    assert max(sizes, default=0) <= 64 * MEGABYTE
    assert sum(sizes) <= 64 * MEGABYTE + 2 * GIGABYTE


def test_107_a_build_of_a_stranger_has_the_memory_the_processes_and_the_rights_of_every_build(
    engine: DockerEngine, tiny_image: str, tmp_path: Path
) -> None:
    """Asked of the engine while it runs: nothing of a stranger's lock can widen them."""
    seen: list[dict[str, object]] = []
    create = engine.create

    class Looking:
        def __getattr__(self, name: str) -> object:
            return getattr(engine, name)

        def create(self, spec: ContainerSpec) -> tuple[str, tuple[str, ...]]:
            found = create(spec)
            seen.append(engine.inspect(found[0])["HostConfig"])
            return found

    limits = Limits(time.monotonic() + 60, 64 * MEGABYTE)
    compile_target(
        Looking(), Store.open(tmp_path / "store"), hostile("cat /bin/sh > /out/agent"), tiny_image,  # type: ignore[arg-type]
        tmp_path / "work", limits=limits,
    )  # fmt: skip
    (host,) = seen
    assert (host["Memory"], host["MemorySwap"]) == (MEMORY_BYTES, MEMORY_BYTES)
    assert (host["PidsLimit"], host["NetworkMode"], host["ReadonlyRootfs"]) == (512, "none", True)
    assert (host["CapDrop"], host["CapAdd"] or [], host["Privileged"]) == (["ALL"], [], False)
    assert {"Name": "fsize", "Hard": 64 * MEGABYTE, "Soft": 64 * MEGABYTE} in host["Ulimits"]  # type: ignore[operator]


def test_107_an_honest_build_is_not(engine: DockerEngine, tiny_image: str, tmp_path: Path) -> None:
    limits = Limits(time.monotonic() + 600, 64 * MEGABYTE)
    found = compile_target(
        engine, Store.open(tmp_path / "store"), hostile("cat /bin/sh > /out/agent"), tiny_image, tmp_path / "work",
        limits=limits,
    )  # fmt: skip
    assert found["agent"].stat().st_size > 0


def _me() -> str:
    from toolkit.owner import current_owner

    return current_owner().labels()[LABEL_OWNER_PID]


@pytest.fixture(scope="module")
def archive(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of the null SDK, packed and unsigned."""
    place = tmp_path_factory.mktemp("archive")
    shared = Tool(place)
    try:
        done = shared.run("launch", "--sdk", "net-http", "--workload", "embed-512", "--cpus", "0", *SHORT)
        assert done.code == 0, done
        done = shared.run("archive", "last", "-o", str(place / "a.tar.zst"))
        assert done.code == 0, done
    finally:
        shared.end_all()
        shared.close(engine)
    return place / "a.tar.zst"


def rerun(tool: Tool, archive: Path) -> Running:
    """``repro rerun FILE`` with a store of its own."""
    return tool.start(
        "rerun", str(archive), "--accept-unverified", "--wait", "300", "--json", REPRO_STORE=str(tool.folder / "store")
    )


def nothing_half_done(tool: Tool) -> None:
    """What the next command that opens the store leaves of a stranger's images and inputs."""
    store = Store.open(tool.folder / "store")
    assert list((store.root / "tmp").iterdir()) == []
    assert [path for path in (store.root / "records").rglob("*") if path.is_file()] == []


def test_131_136_killed_while_it_measures_and_the_containers_of_others_stay(
    tool: Tool, engine: DockerEngine, archive: Path, tiny_image: str
) -> None:
    other, _ = engine.create(ContainerSpec(image=tiny_image, command=("/bin/sleep", "3600"), entrypoint=()))
    try:
        engine.start(other)
        running = rerun(tool, archive)
        running.say("measuring")
        running.kill()
        assert running.end().code == -9
        run = tool.only_run()
        assert not (run / "manifest.json").exists()
        tool.clean()
        assert sealed_manifest(run)["state"] == "recovered"
        nothing_half_done(tool)
        assert engine.state(other).running
    finally:
        engine.remove(other)


@pytest.mark.parametrize("signal", ["INT", "TERM"])
def test_136_asked_to_stop_while_it_measures_it_seals_what_there_is(tool: Tool, archive: Path, signal: str) -> None:
    running = rerun(tool, archive)
    running.say("measuring")
    running.interrupt() if signal == "INT" else running.process.terminate()
    assert running.end().code == 130
    manifest = sealed_manifest(tool.only_run())
    assert (manifest["state"], manifest["valid"]) == ("interrupted", False)
    nothing_half_done(tool)


@pytest.mark.parametrize("signal", ["INT", "TERM", "KILL"])
def test_136_a_rebuild_that_is_stopped_while_it_compiles_leaves_nothing_or_the_next_command_cleans(
    tool: Tool, engine: DockerEngine, archive: Path, signal: str
) -> None:
    images = set(engine.image_names(LABEL_KIND))
    running = tool.start(
        "rebuild", str(archive), "--accept-unverified", "--json", REPRO_STORE=str(tool.folder / "store")
    )
    pid = str(running.process.pid)

    def building() -> list[str]:
        return [one.id for one in engine.owned() if one.running and one.labels.get(LABEL_OWNER_PID) == pid]

    running.until(building, "a compiler to run")
    if signal == "KILL":
        running.kill()
    elif signal == "INT":
        running.interrupt()
    else:
        running.process.terminate()
    ended = running.end()
    assert "Traceback" not in ended.stderr
    assert ended.code in {"KILL": (-9,), "INT": (130,), "TERM": (130, -15)}[signal], ended
    if signal != "INT":
        tool.clean()
    assert building() == []
    nothing_half_done(tool)
    if signal == "INT":  # what a killed one loaded stays until 'repro clean --images'
        assert set(engine.image_names(LABEL_KIND)) <= images or others_at_work(engine, pid)


def others_at_work(engine: DockerEngine, pid: str) -> bool:
    """Whether somebody else measures or builds: then a rebuild leaves the engine's images alone, and says so."""
    return any(one.labels.get(LABEL_OWNER_PID) != pid for one in engine.owned())


@pytest.mark.parametrize("signal", ["INT", "TERM", "KILL"])
def test_136_stopped_before_it_measures_it_leaves_no_run(tool: Tool, archive: Path, signal: str) -> None:
    running = rerun(tool, archive)
    running.say("verified")
    if signal == "KILL":
        running.kill()
    elif signal == "INT":
        running.interrupt()
    else:
        running.process.terminate()
    ended = running.end()
    assert "Traceback" not in ended.stderr
    # Where it was already about to begin, what there is of a run is sealed, and says that it was interrupted.
    for run in tool.runs.glob("[0-9]*"):
        tool.clean()
        assert not sealed_manifest(run)["valid"]
    assert ended.code in {"KILL": (-9,), "INT": (130,), "TERM": (130, -15)}[signal], ended
    nothing_half_done(tool)


def test_137_two_re_runs_at_once_are_both_right(tool: Tool, archive: Path) -> None:
    both = [rerun(tool, archive), rerun(tool, archive)]
    for running in both:
        ended = running.end()
        assert ended.code == 0, ended
        assert ended.document["valid"] is True
    assert len({ended.document["run"] for ended in (one.end() for one in both)}) == 2


def test_117_an_engine_that_is_too_old_builds_nothing(tool: Tool, archive: Path) -> None:
    with old_engine(tool.short / "old.sock") as address:
        ended = tool.run(
            "rebuild", str(archive), "--accept-unverified", "--json",
            DOCKER_HOST=address, REPRO_STORE=str(tool.folder / "store"),
        )  # fmt: skip
    check_said(ended, 4, "too old", "1.40", "1.41")
    assert "DOCKER_HOST is set" in ended.stderr
    nothing_half_done(tool)


def test_140_a_folder_for_runs_that_cannot_be_made(tool: Tool, archive: Path) -> None:
    (tool.folder / "file").write_text("")
    ended = tool.run(
        "rerun", str(archive), "--accept-unverified", "--json", "--runs", str(tool.folder / "file" / "runs"),
        REPRO_STORE=str(tool.folder / "store"), LC_ALL="C",
    )  # fmt: skip
    check_said(ended, 2, "--runs")
    nothing_half_done(tool)


def test_144_a_script_of_an_archive_ends_at_the_first_error(archive: Path, tmp_path: Path) -> None:
    import zstandard

    data = zstandard.ZstdDecompressor().decompressobj().decompress(archive.read_bytes())
    subprocess.run(["tar", "-x", "-C", str(tmp_path), "rerun.sh"], input=data, check=True)
    text = (tmp_path / "rerun.sh").read_text()
    assert "set -e" in text
    assert ROOT.name not in text.splitlines()[0]
