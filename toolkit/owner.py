"""Who owns a container, a lock or an unsealed run: a process, told apart from every later one with its number.

A process is (pid, start time in clock ticks since boot, boot id): proc(5) ``/proc/PID/stat`` field 22 and
``/proc/sys/kernel/random/boot_id``. The boot id never leaves this machine's own files and labels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from toolkit.engine.port import LABEL_OWNER_BOOT, LABEL_OWNER_PID, LABEL_OWNER_PIDNS, LABEL_OWNER_START


@dataclass(frozen=True)
class Owner:
    """One process of one boot."""

    pid: int
    start_ticks: int
    boot_id: str
    pid_namespace: str

    def labels(self) -> dict[str, str]:
        """As container labels."""
        return {
            LABEL_OWNER_PID: str(self.pid),
            LABEL_OWNER_START: str(self.start_ticks),
            LABEL_OWNER_BOOT: self.boot_id,
            LABEL_OWNER_PIDNS: self.pid_namespace,
        }


def boot_id() -> str:
    """This boot's random id."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pid_namespace() -> str:
    """The inode of this process's PID namespace (namespaces(7))."""
    return os.readlink("/proc/self/ns/pid").strip("pid:[]")


def start_ticks(pid: int) -> int | None:
    """When the process started, or None when there is none (a zombie counts as none)."""
    try:
        line = Path(f"/proc/{pid}/stat").read_bytes()  # the name in it is any bytes the process chose
    except OSError:
        return None
    fields = line[line.rindex(b")") + 2 :].split()
    return None if fields[0] in (b"Z", b"X") else int(fields[19])


def current_owner() -> Owner:
    """This process."""
    ticks = start_ticks(os.getpid())
    return Owner(os.getpid(), ticks if ticks is not None else 0, boot_id(), pid_namespace())


def owner_from_labels(labels: Mapping[str, str]) -> Owner | None:
    """The owner that labels name, or None when they are not ours."""
    try:
        return Owner(
            int(labels[LABEL_OWNER_PID]),
            int(labels[LABEL_OWNER_START]),
            labels[LABEL_OWNER_BOOT],
            labels[LABEL_OWNER_PIDNS],
        )
    except (KeyError, ValueError):
        return None


def provably_dead(owner: Owner) -> bool:
    """Whether that very process cannot be alive any more: another boot, or no process with that number and start.

    An owner of another PID namespace (a tool in a container that talks to the same engine) has numbers that mean
    nothing here: it counts as alive.
    """
    if owner.boot_id != boot_id():
        return True
    if owner.pid_namespace != pid_namespace():
        return False
    found = start_ticks(owner.pid)
    return found != owner.start_ticks if found is not None else not _exists_unseen(owner.pid)


def _exists_unseen(pid: int) -> bool:
    """Whether a process that ``/proc`` does not show us exists: with hidepid (proc(5)) other users' are hidden."""
    try:
        os.kill(pid, 0)
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    try:
        Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    except OSError:
        return True  # we could not look (no descriptor or memory left): that proves nothing
    return False  # ours to signal and to see: it is a zombie
