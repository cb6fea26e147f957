"""An engine in memory, for tests of whole commands: it records what was asked and does what it was told.

    engine = FakeEngine(images={"sealbench/sdk-x:abc"})
    engine.on_start = lambda container: container.finish(0, stdout=b"done")
    engine.fail("create", EngineRefused("no such CPU"))
    engine.die()                      # from now on every call raises EngineLost

Containers run until ``finish`` is called on them, by a test or by ``on_start``. Nothing here sleeps: a wait for a
container that never finishes returns None at once.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, BinaryIO

from toolkit.engine import faults
from toolkit.engine.port import LABEL_RUN, ContainerState, EngineFacts, Json, OwnedContainer
from toolkit.engine.request import creation_body
from toolkit.errors import EngineRefused, ReproError
from toolkit.model.container import ContainerSpec

_READONLY_PATHS = ("/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger")
_KILLED = 137
_TERMINATED = 143
_FACTS = EngineFacts(
    version="20.10.24",
    api_version="1.41",
    runtime_version="1.1.5",
    containerd_version="1.6.20",
    cgroup_version="1",
    storage_driver="overlay2",
    security_options=("name=seccomp,profile=default",),
    swap_limit=True,
    cpus=2,
    memory_bytes=8 * 1024**3,
    local=True,
    rootless=False,
    operating_system="Fake Linux",
)


@dataclass(frozen=True)
class Call:
    """One request, as it was made."""

    method: str
    arguments: tuple[Any, ...]


@dataclass
class FakeContainer:
    """A container that does nothing by itself."""

    id: str
    spec: ContainerSpec
    status: str = "created"
    exit_code: int = 0
    oom_killed: bool = False
    error: str = ""
    stdout: bytes = b""
    stderr: bytes = b""
    files: dict[str, bytes] = field(default_factory=dict)
    signals: list[str] = field(default_factory=list)
    obeys_term: bool = True

    @property
    def running(self) -> bool:
        """Whether it was started and has not ended."""
        return self.status == "running"

    def finish(self, exit_code: int, *, stdout: bytes = b"", stderr: bytes = b"", oom_killed: bool = False) -> None:
        """End it."""
        self.status, self.exit_code, self.oom_killed = "exited", exit_code, oom_killed
        self.stdout += stdout
        self.stderr += stderr


class FakeEngine:
    """``port.Engine`` in memory."""

    def __init__(self, *, images: Iterable[str] = (), api_version: str = "1.41", cgroup_version: str = "1") -> None:
        self.calls: list[Call] = []
        self.containers: dict[str, FakeContainer] = {}
        self.images: dict[str, Json] = {name: {"Id": f"sha256:{name}", "RepoTags": [name]} for name in images}
        self.archives: list[bytes] = []
        self.warnings: tuple[str, ...] = ()
        self.on_start: Callable[[FakeContainer], None] = lambda _: None
        self.alter_inspect: Callable[[Json], Json] = lambda view: view
        self.engine_facts = replace(_FACTS, api_version=api_version, cgroup_version=cgroup_version)
        self._failures: dict[str, list[ReproError]] = {}
        self._dead = False
        self._numbers = itertools.count(1)

    def fail(self, method: str, error: ReproError, *, times: int = 1) -> None:
        """Make the next ``times`` calls of one method raise."""
        self._failures.setdefault(method, []).extend([error] * times)

    def die(self) -> None:
        """Answer nothing from now on."""
        self._dead = True

    def asked(self, method: str) -> list[Call]:
        """All calls of one method, in order."""
        return [call for call in self.calls if call.method == method]

    def facts(self) -> EngineFacts:
        self._ask("facts")
        faults.check_api_version(self.engine_facts.api_version)
        return self.engine_facts

    def create(self, spec: ContainerSpec) -> tuple[str, tuple[str, ...]]:
        self._ask("create", spec)
        if spec.image not in self.images:
            raise faults.refused("create a container", 404, f"No such image: {spec.image}")
        container = FakeContainer(f"{next(self._numbers):064x}", spec)
        self.containers[container.id] = container
        return container.id, self.warnings

    def start(self, container: str) -> None:
        self._ask("start", container)
        found = self._find(container)
        kind, _, other = found.spec.network.partition(":")
        if kind == "container" and not (other in self.containers and self.containers[other].running):
            text = f"cannot join network of a non running container: {other}"
            raise faults.start_refused(faults.refused("start a container", 409, text), container)
        found.status = "running"
        self.on_start(found)

    def wait(self, container: str, timeout_seconds: float) -> int | None:
        self._ask("wait", container, timeout_seconds)
        found = self._find(container)
        return found.exit_code if found.status == "exited" else None

    def inspect(self, container: str) -> Json:
        self._ask("inspect", container)
        found = self._find(container)
        body = creation_body(found.spec, cgroup_version=self.engine_facts.cgroup_version)
        # What an engine fills in by itself for a container that is not privileged (moby, oci/defaults.go).
        host = {"ReadonlyPaths": list(_READONLY_PATHS), **body.pop("HostConfig")}
        state = {
            "Running": found.running,
            "Status": found.status,
            "ExitCode": found.exit_code,
            "OOMKilled": found.oom_killed,
            "Error": found.error,
            "Pid": 1 if found.running else 0,
        }
        view = {"Id": found.id, "Config": body, "HostConfig": host, "State": state, "AppArmorProfile": "", "Mounts": []}
        return self.alter_inspect(json.loads(json.dumps(view)))

    def state(self, container: str) -> ContainerState:
        self._ask("state", container)
        found = self._find(container)
        code = found.exit_code if found.status == "exited" else None
        return ContainerState(found.running, code, found.oom_killed, found.error, 1 if found.running else 0)

    def signal(self, container: str, name: str) -> None:
        self._ask("signal", container, name)
        found = self.containers.get(container)
        if found is None or not found.running:
            return
        found.signals.append(name)
        if name == "KILL":
            found.finish(_KILLED)
        elif name == "TERM" and found.obeys_term:
            found.finish(_TERMINATED)

    def stop(self, container: str, grace_seconds: int) -> None:
        self._ask("stop", container, grace_seconds)
        found = self.containers.get(container)
        if found is not None and found.running:
            found.signals.append("TERM")
            found.finish(_TERMINATED if found.obeys_term else _KILLED)

    def remove(self, container: str) -> None:
        self._ask("remove", container)
        self.containers.pop(container, None)

    def logs(self, container: str, *, stderr: bool, limit_bytes: int) -> bytes:
        self._ask("logs", container, stderr, limit_bytes)
        found = self._find(container)
        text = found.stderr if stderr else found.stdout
        return text[-limit_bytes:] if limit_bytes else b""

    def copy_out(self, container: str, path: str) -> Iterable[bytes]:
        self._ask("copy_out", container, path)
        files = self._find(container).files
        if path not in files:
            raise faults.refused("copy out", 404, f"Could not find the file {path} in container")
        return iter([files[path]])

    def copy_in(self, container: str, path: str, tar: BinaryIO) -> None:
        self._ask("copy_in", container, path)
        self._find(container).files[path] = tar.read()

    def owned(self, label: str = LABEL_RUN) -> list[OwnedContainer]:
        self._ask("owned", label)
        every = self.containers.values()
        return [OwnedContainer(c.id, dict(c.spec.labels), c.running) for c in every if label in c.spec.labels]

    def load(self, archive: BinaryIO | Path) -> None:
        self._ask("load", archive)
        self.archives.append(archive.read_bytes() if isinstance(archive, Path) else archive.read())

    def save(self, image: str) -> Iterable[bytes]:
        self._ask("save", image)
        self._image(image)
        return iter(self.archives[-1:])

    def image(self, reference: str) -> Json | None:
        self._ask("image", reference)
        return self.images.get(reference)

    def image_names(self, label: str) -> list[str]:
        self._ask("image_names", label)
        return sorted(name for name, view in self.images.items() if label in view.get("Config", {}).get("Labels", {}))

    def tag(self, image_id: str, reference: str) -> None:
        self._ask("tag", image_id, reference)
        self.images[reference] = {"Id": image_id, "RepoTags": [reference]}

    def remove_image(self, reference: str) -> None:
        self._ask("remove_image", reference)
        self.images.pop(reference, None)

    def build(self, context: Path, dockerfile: str, tag: str, *, no_cache: bool) -> str:
        self._ask("build", context, dockerfile, tag, no_cache)
        self.images[tag] = {"Id": f"sha256:{tag}", "RepoTags": [tag]}
        return str(self.images[tag]["Id"])

    def _ask(self, method: str, *arguments: Any) -> None:
        self.calls.append(Call(method, arguments))
        if self._dead:
            raise faults.lost(method, "connection refused")
        if self._failures.get(method):
            raise self._failures[method].pop(0)

    def _find(self, container: str) -> FakeContainer:
        if container not in self.containers:
            raise EngineRefused("The engine refused", f"No such container: {container}")
        return self.containers[container]

    def _image(self, reference: str) -> Json:
        if reference not in self.images:
            raise faults.refused("read an image", 404, f"No such image: {reference}")
        return self.images[reference]
