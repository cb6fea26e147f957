"""The Docker adapter against a real engine: what is asked is what the engine shows and what the kernel does."""

from __future__ import annotations

import contextlib
import io
import json
import os
import socket
import tarfile
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.engine.docker import DockerEngine, connect
from toolkit.engine.endpoint import engine_socket
from toolkit.engine.faults import NamespaceGone
from toolkit.engine.request import creation_body
from toolkit.errors import EngineError, EngineLost, EngineRefused, EngineTooOld, EngineUnavailable
from toolkit.model.container import ContainerSpec, Mount, Tmpfs

LABEL = "org.sealbench.test"
MEMORY_BYTES = 64 * 1024 * 1024
PATIENCE_SECONDS = 600
FOR_EVER = 3600
# Of this session alone: another one may test on the same engine.
OTHER, BUILT, BAD = (f"sealbench-test/{name}:{os.getpid()}" for name in ("other", "built", "bad"))
SECCOMP = {"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [{"names": ["keyctl"], "action": "SCMP_ACT_ERRNO"}]}

Make = Callable[..., str]


@pytest.fixture
def spec(tiny_image: str, tmp_path: Path) -> ContainerSpec:
    """Every field of a spec, set."""
    (tmp_path / "journal").write_bytes(b"")
    (tmp_path / "journal").chmod(0o666)
    (tmp_path / "empty").write_bytes(b"")
    tmp_path.chmod(0o755)
    return ContainerSpec(
        image=tiny_image,
        command=("-c", "exit 0"),
        entrypoint=("/bin/sh",),
        environment={"PATH": "/bin", "HOME": "/tmp"},
        labels={LABEL: "1"},
        cpuset_cpus="0",
        cpuset_mems="0",
        memory_bytes=MEMORY_BYTES,
        pids_limit=32,
        seccomp=SECCOMP,
        mounts=(
            Mount(str(tmp_path / "journal"), "/repro/out/journal.pb", writable=True),
            Mount(str(tmp_path / "empty"), "/etc/resolv.conf"),
        ),
        tmpfs=(Tmpfs("/tmp", 1024 * 1024),),
    )


@pytest.fixture
def make(engine: DockerEngine, spec: ContainerSpec) -> Iterator[Make]:
    """Creates and starts a container with some fields changed; all are removed at the end."""
    made: list[str] = []

    def run(script: str, *, start: bool = True, **changes: object) -> str:
        container, _ = engine.create(replace(spec, command=("-c", script), **changes))  # type: ignore[arg-type]
        made.append(container)
        if start:
            engine.start(container)
        return container

    yield run
    for container in made:
        engine.remove(container)


def output(engine: DockerEngine, container: str) -> str:
    """What a short container says on stdout."""
    code = engine.wait(container, PATIENCE_SECONDS)
    text = engine.logs(container, stderr=True, limit_bytes=4096)
    assert code == 0, text
    return engine.logs(container, stderr=False, limit_bytes=1 << 20).decode()


def test_the_engine_shows_every_field_as_it_was_asked_for(
    engine: DockerEngine, spec: ContainerSpec, make: Make
) -> None:
    view = engine.inspect(make("exit 0", start=False))
    body = creation_body(replace(spec, command=("-c", "exit 0")), cgroup_version=engine.facts().cgroup_version)
    wanted = body.pop("HostConfig")
    body.pop("Volumes")
    for key, value in body.items():
        assert view["Config"][key] == value, key
    for key, value in wanted.items():
        if key == "OomKillDisable":
            # The engine answers null where the kernel (cgroup version 2) has no such switch.
            assert not view["HostConfig"][key]
        else:
            assert (view["HostConfig"][key] or type(value)()) == value, key


def test_the_kernel_shows_the_baseline_from_inside(engine: DockerEngine, make: Make) -> None:
    text = output(engine, make("cat /proc/self/status; id -u; cat /proc/self/limits; cat /proc/self/mountinfo"))
    rows = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    zero = "0" * 16
    assert {rows[f"Cap{kind}"].strip() for kind in ("Inh", "Prm", "Eff", "Bnd", "Amb")} == {zero}
    assert rows["NoNewPrivs"].strip() == "1"
    assert rows["Seccomp"].strip() == "2"
    assert rows["Cpus_allowed_list"].strip() == "0"
    assert rows["Mems_allowed_list"].strip() == "0"
    assert "\n65534\n" in text
    assert any(line.split()[:6] == ["Max", "core", "file", "size", "0", "0"] for line in text.splitlines())
    mounts = {line.split()[4]: line.split()[5].split(",") for line in text.splitlines() if " - " in line}
    assert mounts["/"][0] == "ro"
    assert mounts["/etc/resolv.conf"][0] == "ro"
    assert mounts["/repro/out/journal.pb"][0] == "rw"
    assert {"rw", "nosuid", "nodev", "noexec"} <= set(mounts["/tmp"])


def test_the_user_can_write_to_tmpfs_and_the_journal_and_nowhere_else(
    engine: DockerEngine, make: Make, tmp_path: Path
) -> None:
    script = "echo x > /tmp/a && echo kept > /repro/out/journal.pb && ! echo x > /bin/new"
    container = make(script)
    assert engine.wait(container, PATIENCE_SECONDS) == 0
    assert (tmp_path / "journal").read_text() == "kept\n"


def test_there_is_no_network_but_loopback(engine: DockerEngine, make: Make) -> None:
    devices = [line for line in output(engine, make("cat /proc/net/dev")).splitlines() if ":" in line]
    assert [line.split(":")[0].strip() for line in devices] == ["lo"]


def test_the_engine_s_default_seccomp_profile_is_kept_when_none_is_given(engine: DockerEngine, make: Make) -> None:
    view = engine.inspect(make("exit 0", start=False, seccomp=None))
    assert view["HostConfig"]["SecurityOpt"] == ["no-new-privileges"]


def test_a_missing_cpu_is_refused_in_the_engine_s_words(engine: DockerEngine, make: Make) -> None:
    with pytest.raises(EngineRefused) as caught:
        make("exit 0", cpuset_cpus="0-4095")
    assert "CPU" in caught.value.cause
    assert caught.value.exit_code == 4


def test_a_missing_memory_node_is_refused_in_the_engine_s_words(engine: DockerEngine, make: Make) -> None:
    with pytest.raises(EngineRefused, match="refused to create") as caught:
        make("exit 0", cpuset_mems="1000")
    assert "emory" in caught.value.cause


def test_too_little_memory_is_refused_in_the_engine_s_words(engine: DockerEngine, make: Make) -> None:
    with pytest.raises(EngineRefused) as caught:
        make("exit 0", memory_bytes=1024 * 1024)
    assert "memory limit" in caught.value.cause
    assert caught.value.remedy


def test_a_missing_bind_source_is_refused_and_not_made(engine: DockerEngine, make: Make, tmp_path: Path) -> None:
    missing = tmp_path / "missing"
    with pytest.raises(EngineRefused, match="bind source"):
        make("exit 0", mounts=(Mount(str(missing), "/x"),))
    assert not missing.exists()


def test_an_unknown_image_and_an_unknown_container_are_refused(engine: DockerEngine, make: Make) -> None:
    with pytest.raises(EngineRefused, match="No such image"):
        make("exit 0", image="sealbench-test/none:none")
    with pytest.raises(EngineRefused, match="No such container"):
        engine.inspect("f" * 64)
    assert engine.image("sealbench-test/none:none") is None


def test_an_ended_backend_s_network_cannot_be_joined(engine: DockerEngine, make: Make) -> None:
    backend = make("exit 0")
    assert engine.wait(backend, PATIENCE_SECONDS) == 0
    with pytest.raises(NamespaceGone) as caught:
        make("exit 0", network=f"container:{backend}")
    assert caught.value.exit_code == 5
    engine.remove(backend)
    with pytest.raises(NamespaceGone):
        make("exit 0", network=f"container:{backend}")


def test_two_containers_share_one_network_namespace(engine: DockerEngine, make: Make) -> None:
    backend = make(f"sleep {FOR_EVER}")
    inside = output(engine, make("ls -l /proc/self/ns/net", network=f"container:{backend}"))
    assert inside.split()[-1] == os.readlink(f"/proc/{engine.state(backend).pid}/ns/net")


def test_waiting_ends_with_the_time_or_with_the_container(engine: DockerEngine, make: Make) -> None:
    container = make(f"sleep {FOR_EVER}; exit 7")
    assert engine.wait(container, 0.3) is None
    assert engine.state(container).running  # so it was the time that ended the wait
    assert engine.state(container).exit_code is None
    engine.signal(container, "KILL")
    assert engine.wait(container, PATIENCE_SECONDS) == 137
    state = engine.state(container)
    assert (state.running, state.exit_code, state.oom_killed) == (False, 137, False)
    engine.signal(container, "KILL")
    engine.stop(container, 1)


def test_memory_is_the_whole_limit_and_exceeding_it_is_told(engine: DockerEngine, make: Make) -> None:
    container = make("head -c 300000000 /dev/zero | tail > /dev/null")
    assert engine.wait(container, PATIENCE_SECONDS) == 137
    assert engine.state(container).oom_killed


def test_stop_kills_what_ignores_term_after_the_grace(engine: DockerEngine, make: Make) -> None:
    container = make("trap '' TERM; echo deaf; while :; do sleep 1; done")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while engine.logs(container, stderr=False, limit_bytes=100) != b"deaf\n":
        assert time.monotonic() < deadline
        time.sleep(0.05)
    engine.stop(container, 1)
    assert engine.state(container).exit_code == 137


def test_removing_twice_is_no_error_and_nothing_stays(engine: DockerEngine, make: Make) -> None:
    container = make(f"sleep {FOR_EVER}", volumes=("/data",))
    assert container in [row.id for row in engine.owned(LABEL) if row.running]
    engine.remove(container)
    engine.remove(container)
    assert container not in [row.id for row in engine.owned(LABEL)]


def test_logs_keep_the_end_and_the_streams_apart(engine: DockerEngine, make: Make) -> None:
    container = make("i=0; while [ $i -lt 3000 ]; do echo line-$i; i=$((i+1)); done; echo bad >&2")
    assert engine.wait(container, PATIENCE_SECONDS) == 0
    assert engine.logs(container, stderr=False, limit_bytes=20).endswith(b"line-2999\n")
    assert len(engine.logs(container, stderr=False, limit_bytes=20)) == 20
    assert engine.logs(container, stderr=True, limit_bytes=100) == b"bad\n"
    assert engine.logs(container, stderr=False, limit_bytes=0) == b""


def test_a_flood_of_output_is_cut_by_the_engine(engine: DockerEngine, make: Make) -> None:
    container = make("head -c 3000000 /dev/zero", log_max_bytes=1024 * 1024)
    assert engine.wait(container, PATIENCE_SECONDS) == 0
    assert len(engine.logs(container, stderr=False, limit_bytes=1 << 24)) < 2 * 1024 * 1024


def test_files_come_out_as_a_tar_stream(engine: DockerEngine, make: Make) -> None:
    container = make("exit 0", start=False)
    with tarfile.open(fileobj=io.BytesIO(b"".join(engine.copy_out(container, "/bin/sh")))) as archive:
        assert archive.getnames() == ["sh"]
    with pytest.raises(EngineRefused):
        list(engine.copy_out(container, "/nowhere"))


def test_images_are_saved_loaded_tagged_and_removed(engine: DockerEngine, tiny_image: str, tmp_path: Path) -> None:
    archive = tmp_path / "image.tar"
    with archive.open("wb") as stream:
        stream.writelines(engine.save(tiny_image))
    before = engine.image(tiny_image)
    assert before is not None
    engine.tag(before["Id"], OTHER)
    engine.load(archive)
    other = engine.image(OTHER)
    assert other is not None
    assert other["Id"] == before["Id"]
    engine.remove_image(OTHER)
    engine.remove_image(OTHER)
    assert engine.image(OTHER) is None


def test_a_broken_archive_is_refused(engine: DockerEngine) -> None:
    with pytest.raises(EngineRefused):
        engine.load(io.BytesIO(b"this is no tar" * 1000))


def test_a_dockerfile_is_built_without_network_and_without_the_user_s_proxy(
    engine: DockerEngine, tiny_image: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tmp_path / "docker"
    settings.mkdir()
    (settings / "config.json").write_text(json.dumps({"proxies": {"default": {"httpProxy": "http://canary.invalid"}}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(settings))
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").write_text(f'FROM {tiny_image}\nRUN ["/bin/sh", "-c", "cat /proc/net/dev; env > /out"]\n')
    image = connect().build(context, "Dockerfile", BUILT, no_cache=True)
    try:
        assert image.startswith("sha256:")
        assert b"canary" not in b"".join(engine.save(BUILT))
        (context / "Dockerfile").write_text(f'FROM {tiny_image}\nRUN ["/bin/sh", "-c", "echo words; exit 3"]\n')
        with pytest.raises(EngineRefused, match="words"):
            engine.build(context, "Dockerfile", BAD, no_cache=True)
    finally:
        engine.remove_image(BUILT)


def test_an_absent_engine_is_named_with_the_commands_that_help(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        connect(f"unix://{tmp_path}/none.sock")
    assert caught.value.exit_code == 4
    assert "dockerd" in caught.value.remedy or "systemctl" in caught.value.remedy


class Proxy:
    """A Unix socket before the real engine; it can change answers, and it can stop."""

    def __init__(self, path: Path, change: Callable[[bytes], bytes] = lambda data: data) -> None:
        self.path, self.change, self.asked_to_wait = path, change, threading.Event()
        self._stop = threading.Event()
        self._connections: list[socket.socket] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._listener.settimeout(0.05)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while not self._stop.is_set():
            try:
                client, _ = self._listener.accept()
            except TimeoutError:
                continue
            server = socket.socket(socket.AF_UNIX)
            server.connect(engine_socket())
            self._connections += [client, server]
            for source, target, change in ((client, server, self._seen), (server, client, self.change)):
                thread = threading.Thread(target=self._pump, args=(source, target, change), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _seen(self, data: bytes) -> bytes:
        if b"/wait" in data:
            self.asked_to_wait.set()
        return data

    def _pump(self, source: socket.socket, target: socket.socket, change: Callable[[bytes], bytes]) -> None:
        try:
            while data := source.recv(65536):
                target.sendall(change(data))
        except OSError:
            pass
        for side in (source, target):
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def stop(self) -> None:
        """Close everything, as an engine does that dies."""
        self._stop.set()
        self._threads[0].join()
        self._listener.close()
        self.path.unlink(missing_ok=True)
        for side in self._connections:
            with contextlib.suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
        for thread in self._threads[1:]:
            thread.join()
        for side in self._connections:
            side.close()


@pytest.fixture
def proxy(tmp_path: Path, engine: DockerEngine) -> Iterator[Callable[..., Proxy]]:
    """Starts proxies before the real engine."""
    made: list[Proxy] = []

    def start(change: Callable[[bytes], bytes] = lambda data: data) -> Proxy:
        made.append(Proxy(tmp_path / f"engine-{len(made)}.sock", change))
        return made[-1]

    yield start
    for one in made:
        one.stop()


def test_an_older_api_is_refused(proxy: Callable[..., Proxy], engine: DockerEngine) -> None:
    real = engine.facts().api_version.encode()
    old = proxy(lambda data: data.replace(b'"ApiVersion":"' + real, b'"ApiVersion":"1.40'))
    with pytest.raises(EngineTooOld, match=r"1\.40") as caught:
        connect(f"unix://{old.path}")
    assert caught.value.exit_code == 4


def test_an_engine_on_another_kernel_is_refused(proxy: Callable[..., Proxy]) -> None:
    kernel = os.uname().release.encode()
    other = proxy(lambda data: data.replace(kernel, kernel[::-1]))
    with pytest.raises(EngineError, match="file system") as caught:
        connect(f"unix://{other.path}")
    assert caught.value.exit_code == 4


def test_an_engine_lost_between_and_during_calls_is_told(
    proxy: Callable[..., Proxy], make: Make, engine: DockerEngine
) -> None:
    container = make(f"sleep {FOR_EVER}")
    between = proxy()
    mine = connect(f"unix://{between.path}")
    stopper = threading.Thread(target=lambda: between.asked_to_wait.wait(PATIENCE_SECONDS) and between.stop())
    stopper.start()
    with pytest.raises(EngineLost):
        mine.wait(container, PATIENCE_SECONDS)
    assert engine.state(container).running  # so it was the loss that ended the wait
    stopper.join()
    with pytest.raises(EngineLost) as caught:
        mine.inspect(container)
    assert caught.value.exit_code == 4
    assert "repro clean" in caught.value.remedy
