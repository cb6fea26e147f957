"""Which socket the engine listens on: the same order of precedence as the docker command has.

``DOCKER_HOST``, then ``DOCKER_CONTEXT``, then the current context of the user's docker configuration, then the
default socket. Only a Unix socket can share this file system, so everything else is refused here.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.errors import EngineError, EngineUnavailable

DEFAULT_SOCKET = "/var/run/docker.sock"
_SCHEMES = ("unix://", "http+unix://")
_PROBE_SECONDS = 5.0

INSTALL = "sudo apt-get install -y --no-install-recommends docker.io iptables"
START_SYSTEMD = "sudo systemctl start docker"
START_PLAIN = "sudo setsid dockerd >/tmp/dockerd.log 2>&1 &"


def engine_socket(host: str | None = None, environment: Mapping[str, str] | None = None) -> str:
    """The path of the engine's Unix socket.

    Raises EngineError when the configured engine is reached another way (tcp, ssh): its containers could not see
    our files. ``environment`` defaults to the process's own.
    """
    environment = os.environ if environment is None else environment
    address, origin = _address(host, environment)
    for scheme in _SCHEMES:
        if address.startswith(scheme):
            return "/" + address.removeprefix(scheme).lstrip("/")
    raise EngineError(
        "The engine is not local",
        f"{origin} says {address}, which is not a Unix socket of this machine",
        f"Use the engine of this machine: unset DOCKER_CONTEXT; export DOCKER_HOST=unix://{DEFAULT_SOCKET}",
    )


def probe_socket(path: str) -> None:
    """Connect once and close.

    Raises EngineUnavailable, naming the commands that help, when nothing listens or we may not ask.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.settimeout(_PROBE_SECONDS)
        try:
            probe.connect(path)
        except OSError as problem:
            raise unavailable(path, problem) from problem


def unavailable(path: str, problem: OSError) -> EngineUnavailable:
    """The error for a socket that does not answer: absent, stopped or forbidden."""
    if problem.errno in (errno.EACCES, errno.EPERM):
        cause = f"this user may not open {path}"
        remedy = "Join the group and log in again: sudo usermod -aG docker $USER"
        return EngineUnavailable("The container engine refuses this user", cause, remedy)
    cause = f"nothing answers on {path} ({problem.strerror or problem})"
    return EngineUnavailable("No container engine answers", cause, start_remedy())


def start_remedy() -> str:
    """The exact commands that bring an engine up here."""
    start = START_SYSTEMD if Path("/run/systemd/system").is_dir() else START_PLAIN
    if shutil.which("dockerd") or Path("/usr/sbin/dockerd").exists():
        return f"Start it: {start}"
    return f"Install and start one: {INSTALL} && {start}"


def _address(host: str | None, environment: Mapping[str, str]) -> tuple[str, str]:
    if host:
        return host, "the option"
    if environment.get("DOCKER_HOST"):
        return environment["DOCKER_HOST"], "DOCKER_HOST"
    folder = Path(environment.get("DOCKER_CONFIG") or Path(environment.get("HOME") or "/") / ".docker")
    context = environment.get("DOCKER_CONTEXT") or str(_json(folder / "config.json").get("currentContext") or "")
    if context in ("", "default"):
        return f"unix://{DEFAULT_SOCKET}", "the default"
    return _context_address(folder, context), f"the docker context '{context}'"


def _context_address(folder: Path, context: str) -> str:
    name = hashlib.sha256(context.encode()).hexdigest()
    meta = _json(folder / "contexts" / "meta" / name / "meta.json")
    address = meta.get("Endpoints", {}).get("docker", {}).get("Host")
    if not isinstance(address, str) or not address:
        raise EngineUnavailable(
            f"The docker context '{context}' does not exist",
            f"{folder} holds no such context",
            "Go back to the engine of this machine: docker context use default; unset DOCKER_CONTEXT",
        )
    return address


def _json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
