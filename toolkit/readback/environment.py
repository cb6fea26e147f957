"""Environments compared without writing a value down: names are listed, values only ever become a digest."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable

AGENT_SETTINGS = "REPRO_AGENT"
"""The agent's own settings: they hold what the agent expects, so they have a row of their own."""

ENGINE_VARIABLES = ("HOSTNAME",)
"""What Docker itself adds: the container's id, which is never the same twice."""

PROGRAM_VARIABLES = ("REPRO_FD",)
"""What the agent adds for its program."""

_NOT_COMPARED = frozenset({AGENT_SETTINGS, *ENGINE_VARIABLES, *PROGRAM_VARIABLES})


def names(entries: Iterable[bytes]) -> set[str]:
    """The variables' names."""
    return {_name(entry) for entry in entries}


def value_of(entries: Iterable[bytes], name: str) -> bytes | None:
    """The value of one variable, None when there is none."""
    for entry in entries:
        if _name(entry) == name:
            return entry.partition(b"=")[2]
    return None


def values_digest(entries: Iterable[bytes]) -> str:
    """The digest of an environment without the agent's settings, the engine's gift and the program's descriptor."""
    return entries_digest(entry for entry in entries if _name(entry) not in _NOT_COMPARED)


def entries_digest(entries: Iterable[bytes]) -> str:
    """sha256 of the sorted entries with a zero byte between them (``images/agent/internal/readback/process.go``)."""
    return "sha256:" + hashlib.sha256(b"\0".join(sorted(entries))).hexdigest()


def _name(entry: bytes) -> str:
    return entry.partition(b"=")[0].decode(errors="replace")
