"""Tiers: a test belongs to the folder it stands in; a tier that cannot run is named, and fails where it was asked for.

``--require engine`` turns "skipped, because no engine answers" into a failure. ``make test`` requires all it runs.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from toolkit.engine.fake import FakeEngine
from toolkit.errors import EngineError

if TYPE_CHECKING:
    from toolkit.engine.docker import DockerEngine

TIERS = ("unit", "simulated", "engine", "long", "lab")
_ROOT = Path(__file__).resolve().parent
_TINY_PROGRAMS = ("sh", "cat", "sleep", "id", "ls", "env", "head", "tail")

# Read before the tests begin: they see no setting of whoever runs them.
LAB_PROGRAM = os.environ.get("REPRO_LAB_VM", "")

_cannot_run: dict[str, str] = {}

# What lets a change in is the same on every machine and each time: the same examples, and no clock in them.
# --hypothesis-profile=explore looks for new ones.
# A throw-away machine gets pytest alone: tests of properties are not carried there.
if find_spec("hypothesis") is not None:
    from hypothesis import HealthCheck, settings

    settings.register_profile("steady", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("explore", settings.get_profile("steady"), derandomize=False)
    settings.load_profile("steady")

# Servers of ours listen on loopback: a proxy of whoever runs the tests does not reach them.
for _name in ("NO_PROXY", "no_proxy"):
    os.environ[_name] = ",".join(filter(None, (os.environ.get(_name), "127.0.0.1", "localhost")))


def pytest_addoption(parser: pytest.Parser) -> None:
    """``--require TIER``, repeatable."""
    parser.addoption("--require", action="append", default=[], choices=TIERS, help="fail when this tier cannot run")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Mark each test with its tier; say of a tier that cannot run why."""
    for item in items:
        parts = item.path.relative_to(_ROOT).parts if item.path.is_relative_to(_ROOT) else ()
        if parts and parts[0] in TIERS:
            item.add_marker(getattr(pytest.mark, parts[0]))
    if any(item.get_closest_marker("engine") or item.get_closest_marker("long") for item in items):
        reason = _engine_missing()
        if reason:
            _cannot_run["engine"] = _cannot_run["long"] = reason
    if any(item.get_closest_marker("lab") for item in items) and not LAB_PROGRAM:
        _cannot_run["lab"] = "REPRO_LAB_VM names no program that starts machines"
    for item in items:
        for tier, reason in _cannot_run.items():
            if item.get_closest_marker(tier) and tier not in config.getoption("--require"):
                item.add_marker(pytest.mark.skip(reason=f"tier {tier} cannot run: {reason}"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name what did not run."""
    for tier, reason in _cannot_run.items():
        terminalreporter.write_line(f"TIER NOT RUN: {tier}: {reason}")


def _engine_missing() -> str:
    from toolkit.engine.docker import connect

    try:
        connect().close()
    except EngineError as error:
        return str(error)
    return ""


@pytest.fixture
def fake_engine() -> FakeEngine:
    """An engine in memory."""
    return FakeEngine()


@pytest.fixture(scope="session")
def engine() -> Iterator[DockerEngine]:
    """The real engine of this machine."""
    from toolkit.engine.docker import connect

    real = connect()
    yield real
    real.close()


@pytest.fixture(scope="session")
def tiny_image(engine: DockerEngine) -> Iterator[str]:
    """A throw-away image made of a few of the host's own programs and the libraries they load."""
    reference = f"sealbench-test/tiny:{uuid.uuid4().hex[:12]}"
    engine.load(io.BytesIO(docker_archive(_tiny_root(), reference)))
    yield reference
    engine.remove_image(reference)


def _tiny_root() -> bytes:
    files: dict[str, Path] = {}
    for name in _TINY_PROGRAMS:
        found = shutil.which(name)
        assert found is not None
        files[f"bin/{name}"] = Path(found).resolve()
        listing = subprocess.run(["ldd", found], capture_output=True, text=True, check=True).stdout
        for word in listing.split():
            if word.startswith("/") and Path(word).exists():
                files[word.lstrip("/")] = Path(word).resolve()
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for target in sorted(files):
            archive.add(files[target], arcname=target)
        folder = tarfile.TarInfo("tmp")
        folder.type, folder.mode = tarfile.DIRTYPE, 0o1777
        archive.addfile(folder)
    return buffer.getvalue()


def docker_archive(layer: bytes, reference: str) -> bytes:
    """A docker archive of one layer, as ``docker load`` reads it."""
    diff = "sha256:" + hashlib.sha256(layer).hexdigest()
    config = {"architecture": "amd64", "os": "linux", "config": {}, "rootfs": {"type": "layers", "diff_ids": [diff]}}
    manifest = [{"Config": "config.json", "RepoTags": [reference], "Layers": ["layer.tar"]}]
    parts = {
        "config.json": json.dumps(config).encode(),
        "layer.tar": layer,
        "manifest.json": json.dumps(manifest).encode(),
    }
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in parts.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def _no_user_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings of whoever runs the tests must not change what they see."""
    for name in list(os.environ):
        if name.startswith("REPRO_") and name != "REPRO_STORE":
            monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _nothing_left(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A hostile case that bears its number ends with nothing of it left (tests/support/left.py)."""
    from tests.support import left

    if not left.numbered(request.node.name):
        yield
        return
    real: DockerEngine | None = request.getfixturevalue("engine") if request.node.get_closest_marker("engine") else None
    folder = tmp_path_factory.mktemp("temporary")
    if real is None:  # an engine's sockets need short paths, and its tests look after their own
        monkeypatch.setenv("TMPDIR", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", str(folder))
    before = left.now(folder, real)
    yield
    assert left.more(before, folder, real) == {}
