"""Debian's Prometheus: brought by apt, unpacked into a folder (its service is never installed), run on loopback."""

from __future__ import annotations

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.oracle import COMMON, Numbers, key
from toolkit.build import deb
from toolkit.errors import ReproError
from toolkit.fetch.apt import Apt
from toolkit.fetch.store import Store

PROGRAMS = ("prometheus", "promtool")
_START_SECONDS = 300.0
_POLL_SECONDS = 0.1
_MOST_TRIES = 20


def bring(config: pytest.Config) -> Path:
    """The folder with both programs, kept in pytest's cache. Where they cannot be had the test says so, and fails where
    its tier was asked for.
    """
    folder = Path(config.cache.mkdir("prometheus")) if config.cache is not None else Path("/nonexistent")
    if all((folder / name).exists() for name in PROGRAMS):
        return folder
    try:
        store = Store.open()
        with store.lock("apt"), store.temporary() as work:
            files = Apt(store.root / "apt").download_all(["prometheus"], work / "debs")
            for path in files:
                _unpack(path, folder)
    except ReproError as problem:
        _absent(config, str(problem))
    if not all((folder / name).exists() for name in PROGRAMS):
        _absent(config, "no package source of this host gave the package prometheus")
    return folder


def _unpack(path: Path, folder: Path) -> None:
    for entry in deb.entries(path):
        name = entry.path.removeprefix("usr/bin/")
        if name in PROGRAMS and isinstance(entry.source, bytes):
            part = folder / f"{name}.part"
            part.write_bytes(entry.source)
            part.chmod(0o755)
            part.rename(folder / name)


def _absent(config: pytest.Config, why: str) -> None:
    said = f"Debian's Prometheus cannot be had: {why}"
    if "engine" in config.getoption("--require"):
        pytest.fail(said)
    pytest.skip(said)


def promtool_says(folder: Path, exposition: bytes) -> tuple[int, str]:
    """Exit code and words of ``promtool check metrics``: syntax and the conventions for names."""
    command = [str(folder / "promtool"), "check", "metrics"]
    done = subprocess.run(command, input=exposition, capture_output=True, check=False, timeout=600)
    return done.returncode, (done.stdout + done.stderr).decode()


@dataclass(frozen=True)
class Server:
    """A server that scrapes one target."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """One question to its API."""
        answer = httpx.get(f"{self.url}/api/v1/{path}", params=parameters, timeout=300).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def targets(self) -> list[dict[str, Any]]:
        """What it says of its targets."""
        found: list[dict[str, Any]] = self.ask("targets")["activeTargets"]
        return found

    def last_numbers(self) -> Numbers:
        """The last sample of each series of ours, whether or not its target still lives."""
        found: Numbers = {}
        for one in self.ask("query", query='{__name__=~"repro_.+"}[1h]')["result"]:
            labels = dict(one["metric"])
            series = labels.pop("__name__")
            if series == "repro_launch_info":
                continue
            for name in (*COMMON, "job", "instance"):
                labels.pop(name)
            found[key(series, **labels)] = float(one["values"][-1][1])
        return found


@contextmanager
def serving(programs: Path, target: str, folder: Path, *, interval: str) -> Iterator[Server]:
    """A Prometheus with a data folder and a port of its own, ended by its number."""
    config = folder / "prometheus.yml"
    config.write_text(
        f"global: {{scrape_interval: {interval}, scrape_timeout: {interval}}}\n"
        f"scrape_configs: [{{job_name: repro, static_configs: [{{targets: ['{target}']}}]}}]\n"
    )
    command = [str(programs / "prometheus"), f"--config.file={config}", f"--storage.tsdb.path={folder / 'data'}"]
    for _ in range(_MOST_TRIES):
        port = _free_port()
        with (folder / "log").open("wb") as log:
            words = [*command, f"--web.listen-address=127.0.0.1:{port}"]
            process = subprocess.Popen(words, stdout=log, stderr=log, cwd=folder)
        server = Server(f"http://127.0.0.1:{port}")
        if _is_ready(server, process, folder / "log"):
            break
    else:
        raise AssertionError((folder / "log").read_text())
    try:
        yield server
    finally:
        process.terminate()
        process.wait(300)


def _is_ready(server: Server, process: subprocess.Popen[bytes], log: Path) -> bool:
    """Wait for it; False when somebody else took its port meanwhile."""
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            if httpx.get(f"{server.url}/-/ready", timeout=60).status_code == 200:
                return True
        except httpx.TransportError:
            pass
        if process.poll() is not None:
            assert "address already in use" in log.read_text(), log.read_text()
            return False
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(_POLL_SECONDS)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
        return port
