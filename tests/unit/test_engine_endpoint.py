"""Which socket is used, and what is said when there is none."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from pathlib import Path

import pytest

from toolkit.engine import endpoint
from toolkit.errors import EngineError, EngineUnavailable


def with_context(folder: Path, name: str, host: str, *, current: bool = True) -> None:
    """A docker configuration as the docker command writes it."""
    meta = folder / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
    meta.mkdir(parents=True)
    (meta / "meta.json").write_text(json.dumps({"Name": name, "Endpoints": {"docker": {"Host": host}}}))
    (folder / "config.json").write_text(json.dumps({"currentContext": name if current else "default"}))


def test_the_default_is_the_well_known_socket(tmp_path: Path) -> None:
    assert endpoint.engine_socket(None, {"HOME": str(tmp_path)}) == endpoint.DEFAULT_SOCKET


def test_precedence_is_that_of_the_docker_command(tmp_path: Path) -> None:
    with_context(tmp_path, "mine", "unix:///context.sock")
    environment = {"DOCKER_CONFIG": str(tmp_path)}
    assert endpoint.engine_socket(None, environment) == "/context.sock"
    environment["DOCKER_CONTEXT"] = "default"
    assert endpoint.engine_socket(None, environment) == endpoint.DEFAULT_SOCKET
    environment["DOCKER_HOST"] = "unix:///variable.sock"
    assert endpoint.engine_socket(None, environment) == "/variable.sock"
    assert endpoint.engine_socket("unix:///option.sock", environment) == "/option.sock"


@pytest.mark.parametrize("host", ["tcp://10.0.0.1:2375", "ssh://somebody@there", "npipe:////./pipe/x"])
def test_a_remote_engine_is_refused(host: str) -> None:
    with pytest.raises(EngineError) as caught:
        endpoint.engine_socket(None, {"DOCKER_HOST": host})
    assert caught.value.exit_code == 4
    assert host in caught.value.cause
    assert "DOCKER_HOST" in caught.value.cause


def test_a_remote_context_is_refused_and_named(tmp_path: Path) -> None:
    with_context(tmp_path, "far", "ssh://somebody@there")
    with pytest.raises(EngineError, match="far"):
        endpoint.engine_socket(None, {"DOCKER_CONFIG": str(tmp_path)})


def test_an_unknown_context_is_named(tmp_path: Path) -> None:
    with pytest.raises(EngineUnavailable, match="gone"):
        endpoint.engine_socket(None, {"DOCKER_CONFIG": str(tmp_path), "DOCKER_CONTEXT": "gone"})


def test_a_malformed_configuration_counts_as_none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[not json")
    assert endpoint.engine_socket(None, {"DOCKER_CONFIG": str(tmp_path)}) == endpoint.DEFAULT_SOCKET


def test_a_stale_socket_file_counts_as_no_engine(tmp_path: Path) -> None:
    path = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
    with pytest.raises(EngineUnavailable, match="No container engine answers"):
        endpoint.probe_socket(str(path))


def test_a_forbidden_socket_names_the_group() -> None:
    error = endpoint.unavailable("/x.sock", PermissionError(13, os.strerror(13)))
    assert "usermod -aG docker" in error.remedy
