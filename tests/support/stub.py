"""Our Go programs, built and run on the host: the backends, and an SDK's workload program; and how to read a stream."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from toolkit.catalogue import load_catalogue
from toolkit.render.templates import render
from toolkit.resources import images_dir

_READY_SECONDS = 120
_MOST_TRIES = 20
_FAILED = 1  # as images/backends/*/main.go: a port that is taken
_PORT_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")


def need_go() -> str:
    """The host's Go; without one the test is skipped under that name."""
    found = shutil.which("go")
    if found is None:
        pytest.skip("no Go on this host")
    return found


def build_stub(folder: Path, backend: str = "stub") -> Path:
    """The stub backend, or another of our backends, as a program."""
    program = folder / backend
    run_go(need_go(), images_dir() / "backends" / backend, "build", "-o", str(program), ".")
    return program


def build_workload(folder: Path, sdk: str) -> Path:
    """An SDK's workload program, by the same injection as the sealed build; skipped if its module cannot be fetched."""
    go = need_go()
    entry = load_catalogue().sdk(sdk)
    source = folder / sdk
    shutil.copytree(entry.folder, source, ignore=shutil.ignore_patterns("*_test.go"))
    (source / "workload_test.go").write_bytes(render("workload_test.go.j2", sdk=entry))
    harness = "sealbench.org/harness"
    replace = f"{harness}={images_dir() / 'harness'}"
    run_go(go, source, "mod", "edit", "-require", f"{harness}@v0.0.0", "-replace", replace)
    if not entry.null:  # the null SDK has no module to fetch
        try:
            run_go(go, source, "mod", "download", entry.module)
        except AssertionError as problem:
            pytest.skip(f"{entry.module} cannot be fetched: {problem}")
    program = folder / "workload"
    run_go(go, source, "test", "-c", "-trimpath", "-o", str(program), ".")
    return program


def run_go(go: str, folder: Path, *arguments: str) -> None:
    """One go command; AssertionError with its text when it fails."""
    environment = os.environ | {"CGO_ENABLED": "0", "GOFLAGS": "-buildvcs=false"}
    done = subprocess.run(
        [go, *arguments], check=False, cwd=folder, env=environment, capture_output=True, text=True, timeout=850
    )
    assert done.returncode == 0, done.stdout + done.stderr  # go test writes what failed to stdout


@dataclass(frozen=True)
class Stub:
    """A running stub backend. ``records`` is where it writes what REPRO_FD is for."""

    url: str
    process: subprocess.Popen[bytes]
    records: Path

    @property
    def port(self) -> int:
        """The port in the clear; TLS is on the next one."""
        return int(self.url.rpartition(":")[2])

    def stop(self) -> int:
        """End it as a launch does; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)

    def read(self, kind: str) -> list[dict[str, Any]]:
        """The records of one kind."""
        lines = [json.loads(line) for line in self.records.read_text().splitlines()]
        return [line for line in lines if line["k"] == kind]


@contextlib.contextmanager
def running_stub(program: Path, folder: Path, **settings: Any) -> Iterator[Stub]:
    """A stub on a free port of the loopback interface (TLS on the next one), stopped at the end."""
    stub = next(filter(None, (_started(program, folder, settings) for _ in range(_MOST_TRIES))))
    try:
        yield stub
    finally:
        if stub.process.poll() is None:
            stub.process.kill()
        stub.process.wait()


def _started(program: Path, folder: Path, settings: dict[str, Any]) -> Stub | None:
    """One that listens; None when somebody else took one of its ports meanwhile."""
    port = _free_ports()
    config = {"schema": "repro.backend/1", "listen": f"127.0.0.1:{port}", **settings}
    records = folder / f"backend-{port}.records"
    with records.open("wb") as out:
        environment = {"REPRO_BACKEND": json.dumps(config), "REPRO_FD": str(out.fileno())}
        process = subprocess.Popen([program], env=environment, pass_fds=[out.fileno()])
    try:
        found = Stub(f"http://127.0.0.1:{port}", process, records) if _listens(process, port) else None
    except BaseException:
        process.kill()
        process.wait()
        raise
    return found


def frames(response: httpx.Response, ending: bytes = b"\n\n") -> Iterator[tuple[bytes, int]]:
    """The pieces of a stream that end with ``ending``, each with CLOCK_MONOTONIC ns at its arrival."""
    buffer = b""
    for piece in response.iter_raw():
        buffer += piece
        while ending in buffer:
            frame, buffer = buffer.split(ending, 1)
            yield frame, time.monotonic_ns()
    assert buffer == b""


def written_at(vector: list[float]) -> int:
    """The write time in the first four components."""
    nanoseconds = 0
    for piece in vector[:4]:
        assert float(piece * 65536).is_integer()
        nanoseconds = nanoseconds << 16 | int(piece * 65536)
    return nanoseconds


def check_stamps(tokens: list[str], times: list[int], since: int) -> None:
    """Each token is the time of its write: after ``since``, in order, before it came."""
    last = since
    for token, received in zip(tokens, times, strict=True):
        assert re.fullmatch(r"w\d{18} ", token)
        assert last < int(token[1:19]) <= received
        last = int(token[1:19])


def _free_ports() -> int:
    """A port that is free together with the one above it, below those that the kernel gives to whoever connects."""
    lowest = int(_PORT_RANGE.read_text().split()[0]) if _PORT_RANGE.exists() else 32768
    chance = random.SystemRandom()
    while True:
        port = chance.randrange(10_000, max(lowest - 1, 20_000))
        with socket.socket() as free, socket.socket() as above, contextlib.suppress(OSError):
            free.bind(("127.0.0.1", port))
            above.bind(("127.0.0.1", port + 1))
            return port


def _listens(process: subprocess.Popen[bytes], port: int) -> bool:
    """Wait until a program listens there; False when it ended because it could not."""
    end = time.monotonic() + _READY_SECONDS
    while True:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 60) as one:
            # Where nobody listens a socket can meet itself: the kernel gave it the very port that it asks for.
            if one.getsockname() != one.getpeername():
                return True
        if process.poll() is not None:
            assert process.returncode == _FAILED, f"{process.args} ended with {process.returncode}"
            return False
        assert time.monotonic() < end, f"nothing listens on port {port}"
        time.sleep(0.01)
