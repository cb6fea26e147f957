"""What a hostile case (99 to 147) may leave behind: nothing. Looked at before and after each test that bears a number.

No process below this one, no file in the folder for temporary files, no container of this process or of a dead one, no
volume that nobody uses, and no name of an image that is not ours moved, added or gone.
"""

from __future__ import annotations

import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

if TYPE_CHECKING:
    from toolkit.engine.docker import DockerEngine

FIRST, LAST = 99, 147
_OURS = "sealbench"
_WAIT_SECONDS = 10.0


def numbered(name: str) -> bool:
    """Whether a test bears the number of one of these cases."""
    found = re.match(r"test_(\d{3})_", name)
    return found is not None and FIRST <= int(found[1]) <= LAST


@dataclass(frozen=True)
class Left:
    """What there is now."""

    processes: frozenset[int]
    files: frozenset[str]
    containers: frozenset[str] = frozenset()
    volumes: frozenset[str] = frozenset()
    names: frozenset[tuple[str, str]] = frozenset()


def now(folder: Path, engine: DockerEngine | None) -> Left:
    """Look. ``folder``: for temporary files."""
    processes = frozenset(
        child.pid for child in psutil.Process().children(recursive=True) if child.status() != psutil.STATUS_ZOMBIE
    )
    files = frozenset(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
    if engine is None:
        return Left(processes, files)
    return Left(processes, files, _containers(engine), _volumes(engine), _names(engine))


def more(before: Left, folder: Path, engine: DockerEngine | None) -> dict[str, list[object]]:
    """What there is beyond ``before``, once what is about to end has ended."""
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        after = now(folder, engine)
        found: dict[str, list[object]] = {
            "processes": sorted(after.processes - before.processes),
            "files": sorted(after.files - before.files),
            "containers": sorted(after.containers - before.containers),
            "volumes": sorted(after.volumes - before.volumes),
            "names": sorted(after.names ^ before.names),
        }
        left = {what: which for what, which in found.items() if which}
        if not left or time.monotonic() > deadline:
            return left
        time.sleep(0.2)


def _containers(engine: DockerEngine) -> frozenset[str]:
    """Containers of ours whose owner is this process or has ended; those of other commands are theirs."""
    from toolkit.engine.port import LABEL_OWNER_PID

    found = []
    for one in engine.owned():
        owner = int(one.labels.get(LABEL_OWNER_PID, "0"))
        if owner == os.getpid() or not psutil.pid_exists(owner):
            found.append(one.id)
    return frozenset(found)


def _volumes(engine: DockerEngine) -> frozenset[str]:
    rows = engine._client.volumes(filters={"dangling": ["true"]}).get("Volumes") or []
    return frozenset(str(row["Name"]) for row in rows)


def _names(engine: DockerEngine) -> frozenset[tuple[str, str]]:
    rows = engine._client.images()
    return frozenset(
        (str(name), str(row["Id"]))
        for row in rows
        for name in row.get("RepoTags") or ()
        if not str(name).startswith(_OURS)
    )
