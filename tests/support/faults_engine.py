"""Engines for fault tests: an old one (a proxy before the real one) and one of the test's own that may be killed."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import socket
import socketserver
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from toolkit.engine.docker import DockerEngine, connect
from toolkit.engine.endpoint import engine_socket
from toolkit.errors import EngineError

OLD_API = b"1.40"
_VERSION = re.compile(rb'("ApiVersion":"|Api-Version: )\d\.\d\d')
_START_SECONDS = 300.0


@contextlib.contextmanager
def old_engine(path: Path) -> Iterator[str]:
    """The real engine behind a proxy that answers with an older API version; gives its address."""
    target = engine_socket()

    class Handler(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.socket(socket.AF_UNIX) as real:
                real.connect(target)
                back = threading.Thread(target=_pump, args=(real, self.request, True), daemon=True)
                back.start()
                _pump(self.request, real, False)
                back.join()

    class Server(socketserver.ThreadingUnixStreamServer):
        daemon_threads = True

    with Server(str(path), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"unix://{path}"
        finally:
            server.shutdown()
            thread.join()
            path.unlink()


def _pump(source: socket.socket, sink: socket.socket, rewrite: bool) -> None:
    # Same length before and after, so the length that the header announces stays right.
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(_VERSION.sub(rb"\g<1>" + OLD_API, data) if rewrite else data)
        sink.shutdown(socket.SHUT_WR)


class OwnEngine:
    """A daemon of the test's own: its own socket, data, state and pid file, no bridge, no firewall rules."""

    def __init__(self) -> None:
        # Short: containerd's sockets stand below it, and a socket's path is limited.
        self.folder = Path(tempfile.mkdtemp(prefix="fe", dir="/tmp"))
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """For ``DOCKER_HOST``."""
        return f"unix://{self.folder}/s"

    def start(self) -> DockerEngine:
        """Start it (again) and wait until it answers."""
        options = {"-H": self.address, "--data-root": "d", "--exec-root": "x", "--pidfile": "p"}
        words = [word for name, value in options.items() for word in (name, self._place(value))]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                ["dockerd", *words, "--bridge=none", "--iptables=false", "--ip6tables=false"],
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                return connect(self.address)
            except EngineError:
                alive = self.process.poll() is None and time.monotonic() < deadline
                assert alive, (self.folder / "log").read_text()[-3000:]
                time.sleep(0.1)

    def _place(self, value: str) -> str:
        return value if "/" in value else str(self.folder / value)

    def kill(self) -> None:
        """``kill -9`` of the daemon and its containerd; their containers live on."""
        assert self.process is not None
        containerd = self.folder / "x" / "containerd" / "containerd.pid"
        pid = int(containerd.read_text())
        self.process.kill()
        self.process.wait(300)
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        # Where the machine's first process reaps nobody, the next daemon would take the zombie for a living containerd.
        containerd.unlink()

    def stop(self) -> None:
        """End it in order, then whatever it left: processes, mounts, files. All of it lies below its own folder."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(300)
            except subprocess.TimeoutExpired:
                self.kill()
        for pid in self._processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        for place in reversed(self._mounts()):
            subprocess.run(["umount", "-l", place], check=False, capture_output=True)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _processes(self) -> list[int]:
        """containerd and shims: each names this engine's own folder on its command line."""
        mine = f"{self.folder}/".encode()
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mine in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
        return found

    def _mounts(self) -> list[str]:
        places = [line.split()[1] for line in Path("/proc/self/mounts").read_text().splitlines()]
        return [place for place in places if place.startswith(f"{self.folder}/")]
