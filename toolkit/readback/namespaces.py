"""Namespaces by their inode numbers (namespaces(7)): a container's are its own, the pair shares the network's alone.

Whether one is the machine's can be asked in two ways. Without root the host may not follow another user's
``/proc/PID/ns``; then the numbers that the agent reports are compared with the host program's own.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

PRIVATE = "private"
SHARED_BY_THE_PAIR = "net"


def kinds(cgroup_version: str) -> tuple[str, ...]:
    """The namespaces that a container must have for itself.

    Not the user namespace: a rootless engine's containers share one of the engine's, and one of another engine is the
    machine's. Not the cgroup namespace in version 1, where engines leave containers in the machine's.
    """
    return (
        ("cgroup", "ipc", "mnt", "net", "pid", "uts") if cgroup_version == "2" else ("ipc", "mnt", "net", "pid", "uts")
    )


def own_namespaces(proc: Path = Path("/proc")) -> dict[str, str]:
    """The host program's own, kind to inode number."""
    return read_namespaces(proc / "self")


def read_namespaces(process: Path | str) -> dict[str, str]:
    """Of a process by its folder in /proc. Raises PermissionError when they are another user's and we are not root."""
    found = {}
    for kind in ("cgroup", "ipc", "mnt", "net", "pid", "user", "uts"):
        number = os.readlink(f"{process}/ns/{kind}")
        found[kind] = number.partition("[")[2].rstrip("]")
    return found


def parse(text: str) -> dict[str, str]:
    """What the agent reports as ``namespaces.ids``."""
    return dict(part.split("=", 1) for part in text.split(",") if "=" in part)


def judge(own: Mapping[str, str], host: Mapping[str, str], other: Mapping[str, str] | None, cgroup_version: str) -> str:
    """The row's value: ``private``, or what is shared with whom. ``other``: the other container's, if it is known."""
    wrong = []
    for kind in kinds(cgroup_version):
        if own[kind] == host[kind]:
            wrong.append(f"{kind}=host")
        elif other is not None and kind != SHARED_BY_THE_PAIR and own[kind] == other[kind]:
            wrong.append(f"{kind}=other container")
        elif other is not None and kind == SHARED_BY_THE_PAIR and own[kind] != other[kind]:
            wrong.append(f"{kind}=not the other container's")
    return ",".join(wrong) or PRIVATE
