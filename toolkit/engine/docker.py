"""The Docker engine behind the port. The only module that imports the Docker SDK, and only inside functions.

    engine = connect()
    container, warnings = engine.create(spec)

Every call has a time limit. An engine of this machine is required: a Unix socket, and the same kernel behind it.
"""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from toolkit.engine import faults, streams
from toolkit.engine.endpoint import engine_socket, probe_socket
from toolkit.engine.port import LABEL_RUN, ContainerState, EngineFacts, Json, OwnedContainer
from toolkit.engine.request import creation_body
from toolkit.errors import EngineLost, EngineRefused
from toolkit.model.container import ContainerSpec

CALL_SECONDS = 60
BULK_SECONDS = 900
_STOP_MARGIN_SECONDS = 30
_REMOVE_SECONDS = 20.0
_REMOVE_PAUSE_SECONDS = 0.05
_CHUNK_BYTES = 1 << 20
_INSPECTIONS_KEPT = 16
# What ``GET /info`` says of the controllers that our limits need. Swap accounting is a row of its own: with swap off
# nothing is lost without it.
_CONTROLLERS = {"CPUSet": "cpuset", "MemoryLimit": "memory", "PidsLimit": "pids"}


def connect(host: str | None = None) -> DockerEngine:
    """The local engine that the docker command would use, or the one at ``host`` (``unix:///...``).

    Raises EngineUnavailable, EngineTooOld, or EngineError for an engine that is not of this machine.
    """
    path = engine_socket(host)
    probe_socket(path)
    return DockerEngine(path)


def load_library() -> float:
    """Import the Docker SDK, which ``connect`` would do; returns the seconds that it took."""
    began = time.monotonic()
    import docker  # noqa: F401

    return time.monotonic() - began


class DockerEngine:
    """``port.Engine`` over the Engine API. Safe to use from several threads."""

    def __init__(self, socket_path: str) -> None:
        version = _ask_version(socket_path)
        faults.check_product(version.get("Components") or ())
        faults.check_api_version(str(version.get("ApiVersion", "")))
        self._api = _negotiate(version)
        self._client = _client(socket_path, self._api, CALL_SECONDS)
        self._bulk = _client(socket_path, self._api, BULK_SECONDS)
        self._inspections: dict[str, Any] = {}
        # Also when nobody calls close: an open connection is a warning, and warnings are errors in the tests.
        self.close = weakref.finalize(self, _close, self._client, self._bulk)
        with _asking("describe itself"):
            info: Json = self._client.info()
        _require_local(info)
        self._facts = _facts(version, info)

    def facts(self) -> EngineFacts:
        """What answered when we connected."""
        return self._facts

    def create(self, spec: ContainerSpec) -> tuple[str, tuple[str, ...]]:
        """Create a container; returns its id and the engine's warnings.

        Raises EngineRefused with the engine's own words (a CPU, node or memory it does not have, no such image).
        """
        body = creation_body(spec, cgroup_version=self._facts.cgroup_version)
        with _asking("create a container"):
            answer: Json = self._client.create_container_from_config(body)
        return str(answer["Id"]), tuple(answer.get("Warnings") or ())

    def start(self, container: str) -> None:
        """Start it; raises NamespaceGone when the container whose network it joins is not running."""
        try:
            with _asking("start a container"):
                self._client.start(container)
        except EngineRefused as problem:
            raise faults.start_refused(problem, container) from problem

    def wait(self, container: str, timeout_seconds: float) -> int | None:
        """The exit code, or None when the time ran out."""
        try:
            with _asking("wait for a container"):
                answer: Json = self._client.wait(container, timeout=max(timeout_seconds, 0.001))
        except EngineLost as problem:
            if _timed_out(problem.__cause__):
                return None
            raise
        return int(answer["StatusCode"])

    def inspect(self, container: str) -> Json:
        """The engine's full view."""
        with _asking("inspect a container"):
            answer = self._client.send(self._inspection(container), timeout=CALL_SECONDS)
            answer.raise_for_status()
            view: Json = answer.json()
        return view

    def _inspection(self, container: str) -> Any:
        """The request, kept: each look at a launch asks it twice, and making it anew is a quarter of the cost."""
        import requests

        known = self._inspections.get(container)
        if known is None:
            request = requests.Request("GET", self._url(f"/containers/{container}/json"))
            known = self._client.prepare_request(request)
            if len(self._inspections) >= _INSPECTIONS_KEPT:
                self._inspections.clear()
            self._inspections[container] = known
        return known

    def state(self, container: str) -> ContainerState:
        """The engine's account of one container; ``exit_code`` is None while it runs or before it started."""
        state = self.inspect(container)["State"]
        ended = not state["Running"] and state.get("Status") != "created"
        return ContainerState(
            running=bool(state["Running"]),
            exit_code=int(state["ExitCode"]) if ended else None,
            oom_killed=bool(state.get("OOMKilled")),
            error=str(state.get("Error") or ""),
            pid=int(state.get("Pid") or 0),
        )

    def signal(self, container: str, name: str) -> None:
        """Send a signal; no error when the container has ended or is gone."""
        with _asking("signal a container", tolerate=(404, 409)):
            self._client.kill(container, name)

    def stop(self, container: str, grace_seconds: int) -> None:
        """TERM, then KILL after the grace; no error when the container has ended or is gone."""
        with _asking("stop a container", tolerate=(404,)):
            url = self._url(f"/containers/{container}/stop")
            answer = self._client.post(url, params={"t": grace_seconds}, timeout=grace_seconds + _STOP_MARGIN_SECONDS)
            answer.raise_for_status()

    def remove(self, container: str) -> None:
        """Remove by force with anonymous volumes; returns when it is gone."""
        deadline = time.monotonic() + _REMOVE_SECONDS
        while True:
            try:
                with _asking("remove a container", tolerate=(404,)):
                    self._client.remove_container(container, v=True, force=True)
                return
            except EngineRefused:
                # 409: somebody else is removing it already. 500: its file system is still busy for a moment.
                if time.monotonic() > deadline:
                    raise
                time.sleep(_REMOVE_PAUSE_SECONDS)

    def logs(self, container: str, *, stderr: bool, limit_bytes: int) -> bytes:
        """The last ``limit_bytes`` of one output stream."""
        params = {"stdout": int(not stderr), "stderr": int(stderr)}
        blocks = self._stream(f"/containers/{container}/logs", params, "read a log")
        return streams.tail(streams.demultiplex(blocks), limit_bytes)

    def copy_out(self, container: str, path: str) -> Iterable[bytes]:
        """A tar stream of a path of the container."""
        return self._stream(f"/containers/{container}/archive", {"path": path}, f"copy {path} out of a container")

    def copy_in(self, container: str, path: str, tar: BinaryIO) -> None:
        """Unpack a tar stream below a path of a container; raises EngineRefused when it is read-only there."""
        with _asking(f"copy into {path} of a container"):
            answer = self._bulk.put(
                self._url(f"/containers/{container}/archive"),
                params={"path": path},
                data=streams.chunks(tar),
                timeout=BULK_SECONDS,
            )
            answer.raise_for_status()

    def owned(self, label: str = LABEL_RUN) -> list[OwnedContainer]:
        """All containers carrying the label, running or not."""
        with _asking("list containers"):
            rows = self._client.containers(all=True, filters={"label": [label]})
        running = ("running", "paused", "restarting")
        return [OwnedContainer(row["Id"], dict(row["Labels"] or {}), row["State"] in running) for row in rows]

    def load(self, archive: BinaryIO | Path) -> None:
        """Load a docker archive; raises EngineRefused with the engine's words when it is not one."""
        if isinstance(archive, Path):
            with archive.open("rb") as stream:
                self.load(stream)
            return
        with _asking("load an image"):
            # Posted in chunks: requests would otherwise ask the stream for its length, which a pipe has not.
            streams.drain_progress(self._bulk.load_image(streams.chunks(archive)), "load an image")

    def save(self, image: str) -> Iterable[bytes]:
        """A docker archive of one image."""
        return self._stream(f"/images/{image}/get", {}, f"save {image}", bulk=True)

    def image(self, reference: str) -> Json | None:
        """The engine's view of an image, or None."""
        view: Json | None = None
        with _asking("inspect an image", tolerate=(404,)):
            view = self._client.inspect_image(reference)
        return view

    def image_names(self, label: str) -> list[str]:
        """The names of all images that carry the label."""
        with _asking("list images"):
            rows = self._client.images(filters={"label": [label]})
        return sorted(str(name) for row in rows for name in row.get("RepoTags") or [])

    def tag(self, image_id: str, reference: str) -> None:
        """Give an image a name (``repository:tag``)."""
        repository, _, name = reference.rpartition(":")
        with _asking(f"tag {reference}"):
            self._client.tag(image_id, repository, name)

    def remove_image(self, reference: str) -> None:
        """Remove a name, and the image with its last name; no error when it is gone."""
        with _asking(f"remove {reference}", tolerate=(404,)):
            self._client.remove_image(reference)

    def build(self, context: Path, dockerfile: str, tag: str, *, no_cache: bool) -> str:
        """``docker build --network none`` by the classic builder; returns the image id.

        Raises EngineRefused with the last lines of the build's output.
        """
        with _asking(f"build {tag}"):
            answer = self._bulk.build(
                path=str(context),
                dockerfile=dockerfile,
                tag=tag,
                nocache=no_cache,
                network_mode="none",
                rm=True,
                forcerm=True,
                pull=False,
                decode=True,
                # The SDK would turn the user's proxy settings into build arguments, which end in the image.
                use_config_proxy=False,
            )
            streams.drain_progress(answer, f"build {tag}")
            return str(self._client.inspect_image(tag)["Id"])

    def _url(self, path: str) -> str:
        return f"{self._client.base_url}/v{self._api}{path}"

    def _stream(self, path: str, params: dict[str, Any], what: str, *, bulk: bool = False) -> Iterator[bytes]:
        # Not the SDK's own streaming methods: they take the time limit off the socket.
        client, seconds = (self._bulk, BULK_SECONDS) if bulk else (self._client, CALL_SECONDS)
        with _asking(what):
            answer = client.get(self._url(path), params=params, stream=True, timeout=seconds)
            try:
                answer.raise_for_status()
                yield from answer.iter_content(_CHUNK_BYTES)
            finally:
                answer.close()


def _client(socket_path: str, api: str, seconds: int) -> Any:
    import docker

    client: Any = docker.APIClient(base_url=f"unix://{socket_path}", version=api, timeout=seconds)
    client.trust_env = False  # neither .netrc nor proxy variables concern a Unix socket, and looking costs time
    return client


def _ask_version(socket_path: str) -> Json:
    with _asking("say its version"):
        client = _client(socket_path, ".".join(map(str, faults.MINIMUM_API)), CALL_SECONDS)
        try:
            version: Json = client.version(api_version=False)
        finally:
            client.close()
    return version


def _close(*clients: Any) -> None:
    for client in clients:
        client.close()


def _negotiate(version: Json) -> str:
    # Always the oldest version that both speak: the same requests then mean the same on every engine.
    ours = ".".join(map(str, faults.MINIMUM_API))
    oldest = str(version.get("MinAPIVersion") or ours)
    return max(ours, oldest, key=faults.api_version)


def _require_local(info: Json) -> None:
    here = os.uname()
    with open("/proc/meminfo", encoding="ascii") as stream:
        memory_bytes = int(stream.readline().split()[1]) * 1024
    for what, theirs, ours in (
        ("kernel", info.get("KernelVersion"), here.release),
        ("memory", info.get("MemTotal"), memory_bytes),
        ("host name", info.get("Name"), here.nodename),
    ):
        if theirs != ours:
            raise faults.not_local(f"the engine's host has another {what} ({theirs}) than this one ({ours})")


def _facts(version: Json, info: Json) -> EngineFacts:
    parts = {part.get("Name"): str(part.get("Version", "")) for part in version.get("Components") or ()}
    options = tuple(info.get("SecurityOptions") or ())
    return EngineFacts(
        version=str(version.get("Version", "")),
        api_version=str(version.get("ApiVersion", "")),
        runtime_version=parts.get("runc", ""),
        containerd_version=parts.get("containerd", ""),
        cgroup_version=str(info.get("CgroupVersion") or "1"),
        storage_driver=str(info.get("Driver", "")),
        security_options=options,
        swap_limit=bool(info.get("SwapLimit")),
        cpus=int(info.get("NCPU") or 0),
        memory_bytes=int(info.get("MemTotal") or 0),
        local=True,
        rootless=any("rootless" in option for option in options),
        operating_system=str(info.get("OperatingSystem", "")),
        warnings=tuple(info.get("Warnings") or ()),
        cgroup_driver=str(info.get("CgroupDriver") or ""),
        missing_controllers=tuple(name for key, name in _CONTROLLERS.items() if info.get(key) is False),
    )


@contextmanager
def _asking(what: str, *, tolerate: tuple[int, ...] = ()) -> Iterator[None]:
    """Turn the libraries' exceptions into ours; HTTP statuses in ``tolerate`` count as done."""
    import requests
    import urllib3
    from docker.errors import DockerException

    try:
        yield
    except requests.exceptions.HTTPError as problem:  # docker's APIError is one
        status = problem.response.status_code if problem.response is not None else 0
        if status not in tolerate:
            raise faults.refused(what, status, _explanation(problem)) from problem
    except (requests.exceptions.RequestException, urllib3.exceptions.HTTPError, OSError) as problem:
        raise faults.lost(what, _short(problem)) from problem
    except DockerException as problem:
        raise faults.refused(what, 0, str(problem)) from problem


def _explanation(problem: Any) -> str:
    text = getattr(problem, "explanation", None)
    if text:
        return str(text)
    try:
        return str(problem.response.json()["message"])
    except (ValueError, KeyError, AttributeError, TypeError):
        return str(problem)


def _short(problem: BaseException) -> str:
    seen: BaseException = problem
    while (below := seen.__cause__ or seen.__context__) is not None:
        seen = below
    return str(seen) or type(seen).__name__


def _timed_out(problem: BaseException | None) -> bool:
    while problem is not None:
        if isinstance(problem, TimeoutError) or "ReadTimeout" in type(problem).__name__:
            return True
        problem = problem.__cause__ or problem.__context__
    return False
