"""A backend of the catalogue in a container as a launch makes it, and a neutral client inside of its network.

A container of ours has a network namespace of its own with nothing but loopback, so this thread enters it.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from toolkit.build.images import ensure_images
from toolkit.catalogue import load_catalogue
from toolkit.fetch.store import Store
from toolkit.model.container import ContainerSpec, Tmpfs

if TYPE_CHECKING:
    from toolkit.engine.docker import DockerEngine
    from toolkit.model.catalogue import BackendEntry

Json = dict[str, Any]

_CLONE_NEWNET = 0x40000000
_READY_SECONDS = 600
_MODELS = "/repro/models"


def build_backend(engine: DockerEngine, backend: str) -> str:
    """The reference of a backend's image, built if need be beside that of the null SDK."""
    if os.geteuid() != 0:
        pytest.skip("only root can enter a container's network")
    catalogue = load_catalogue()
    built = ensure_images(
        engine, catalogue, sdk=catalogue.null_sdk(), backend=catalogue.backend(backend), store=Store.open()
    )
    assert built.backend is not None
    return built.backend.reference


@dataclass(frozen=True)
class Running:
    """A backend that is ready, and a client of it."""

    client: httpx.Client
    engine: DockerEngine
    container: str

    def log(self) -> str:
        """What it has written to standard error."""
        return self.engine.logs(self.container, stderr=True, limit_bytes=1 << 20).decode(errors="replace")


@contextlib.contextmanager
def running_backend(engine: DockerEngine, image: str, backend: str, kind: str, *more: str) -> Iterator[Running]:
    """The backend, started for one workload kind with ``more`` words; the container is removed at the end."""
    entry = load_catalogue().backend(backend)
    spec = _spec(entry, image, kind)
    container, warnings = engine.create(replace(spec, command=(*spec.command, *more)))
    try:
        assert not warnings
        engine.start(container)
        pid = int(engine.inspect(container)["State"]["Pid"])
        with (
            _network_of(pid),
            httpx.Client(base_url=f"http://127.0.0.1:{entry.port}", trust_env=False, timeout=600) as one,
        ):
            running = Running(one, engine, container)
            try:
                _wait(one, entry.ready)
            except AssertionError:
                print(running.log())
                raise
            yield running
    finally:
        engine.remove(container)


def _spec(entry: BackendEntry, image: str, kind: str) -> ContainerSpec:
    files = [f"{_MODELS}/{name}" for name in entry.models.get(kind, ())]
    marks = {
        "{model}": files[0] if files else "",
        "{projector}": files[1] if len(files) > 1 else "",
        "{port}": str(entry.port),
        "{threads}": "1",
    }
    words = []
    for word in entry.commands.get(kind, entry.command):
        for mark, value in marks.items():
            word = word.replace(mark, value)
        words.append(word)
    return ContainerSpec(
        image=image,
        command=tuple(words[1:]),
        entrypoint=(words[0],),
        environment={"HOME": "/tmp", **entry.environment},
        memory_bytes=entry.memory_bytes,
        pids_limit=entry.pids,
        tmpfs=(Tmpfs("/tmp", 64 * 1024 * 1024),),
    )


@contextlib.contextmanager
def _network_of(pid: int) -> Iterator[None]:
    """This thread's new sockets belong to the process's network, until the end."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter(descriptor: int) -> None:
        if libc.setns(descriptor, _CLONE_NEWNET) != 0:
            raise OSError(ctypes.get_errno(), "setns")

    own, theirs = (os.open(Path("/proc") / who / "ns/net", os.O_RDONLY) for who in ("thread-self", str(pid)))
    try:
        enter(theirs)
        try:
            yield
        finally:
            enter(own)
    finally:
        os.close(own)
        os.close(theirs)


def _wait(client: httpx.Client, ready: str) -> None:
    end = time.monotonic() + _READY_SECONDS
    while True:
        with contextlib.suppress(httpx.TransportError):
            if client.get(ready).status_code == 200:
                return
        assert time.monotonic() < end, f"{ready} never answered 200"
        time.sleep(0.02)
