"""The lock files of lanes: where they are, opened so that all users can take part, and who holds one.

Who holds a lock is asked of the kernel (``/proc/locks``, proc(5)), which knows it without being told; what the owner
wrote into the file adds what a person wants to know. Neither decides anything.
"""

from __future__ import annotations

import json
import os
import pwd
import re
import secrets
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolkit.errors import HostUnfit
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.owner import current_owner, start_ticks

_FLOCK = re.compile(
    r"\d+: FLOCK +\w+ +(?P<mode>READ|WRITE) +(?P<pid>-?\d+) +(?P<device>[0-9a-f]+:[0-9a-f]+):(?P<inode>\d+) "
)


@dataclass(frozen=True)
class Holder:
    """One process that holds a lock. ``alone``: it measures there; otherwise its agent or backend is there.

    ``cpus`` and ``since_seconds`` (Unix time) are what it wrote; '' and None when it wrote nothing that holds for it.
    """

    pid: int
    alone: bool
    cpus: str = ""
    since_seconds: float | None = None

    @property
    def text(self) -> str:
        """For people: process, user, since when, what for."""
        user = _user_of(self.pid)
        since = time.strftime("since %H:%M:%S", time.localtime(self.since_seconds)) if self.since_seconds else ""
        what = (
            f"measures on CPU {self.cpus}"
            if self.cpus
            else "measures"
            if self.alone
            else "agent or backend of a launch"
        )
        return f"process {self.pid} ({', '.join(word for word in (user, what, since) if word)})"


def lanes_folder() -> Path:
    """The machine-wide folder: ``$REPRO_LANES``, else ``/run/lock/sealbench``, else the same under ``/tmp``."""
    chosen = os.environ.get("REPRO_LANES")
    if chosen:
        return Path(chosen)
    base = Path("/run/lock") if os.access("/run/lock", os.W_OK) else Path("/tmp")
    return base / "sealbench"


def ready_folder() -> Path:
    """The folder, made if need be, open to everybody. Raises HostUnfit."""
    folder = lanes_folder()
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            # Past the umask, and only a folder of our own making: a user may have named one that is private.
            with suppress(PermissionError):
                folder.chmod(0o1777)
    except OSError as problem:
        raise HostUnfit(
            "no lane can be leased",
            f"the lock folder cannot be made: {problem.strerror}",
            "set REPRO_LANES to a folder",
        ) from problem
    return folder


def open_lock(path: Path) -> int:
    """A descriptor of a lock file that every user may open, made if need be; closed in programs that we start.

    Raises HostUnfit.
    """
    # Without O_CREAT first: fs.protected_regular refuses O_CREAT on another user's file in a sticky folder.
    for _ in range(3):  # somebody else may make it between our looking and our making
        try:
            return os.open(path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            with suppress(FileExistsError):
                return _create(path)
        except OSError as problem:
            raise _closed(path, problem) from problem
    raise _closed(path, FileNotFoundError(2, "it comes and goes"))


def _create(path: Path) -> int:
    """Made under another name and linked: it is never seen with rights that keep other users out."""
    hidden = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        descriptor = os.open(hidden, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_EXCL, 0o666)
        try:
            os.fchmod(descriptor, 0o666)  # past the umask: other users must be able to lock it
            os.link(hidden, path)
        except BaseException:
            os.close(descriptor)
            raise
        finally:
            hidden.unlink()
    except FileExistsError:
        raise
    except OSError as problem:
        raise _closed(path, problem) from problem
    return descriptor


def _closed(path: Path, problem: OSError) -> HostUnfit:
    return HostUnfit(
        "no lane can be leased",
        f"{path.name} cannot be opened: {problem.strerror}",
        "ask the owner of the lock folder, or set REPRO_LANES to another",
    )


def write_owner(descriptor: int, cpus: Iterable[int]) -> None:
    """Say in a lock file that we measure on these CPUs from now on."""
    owner = current_owner()
    text = json.dumps(
        {"pid": owner.pid, "start_ticks": owner.start_ticks, "cpus": format_cpulist(cpus), "since_seconds": time.time()}
    )
    with suppress(OSError):  # for people only: the lock alone decides, also on a full disk
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def holders(path: Path) -> list[Holder]:
    """Who holds this lock, found without touching it; empty for nobody, or nobody that this ``/proc`` shows."""
    try:
        there = path.stat()
        lines = Path("/proc/locks").read_text().splitlines()
    except OSError:
        return []
    device = f"{os.major(there.st_dev):02x}:{os.minor(there.st_dev):02x}"
    matches = [match for line in lines if (match := _FLOCK.match(line)) and int(match["inode"]) == there.st_ino]
    # Stacked file systems (overlayfs, btrfs) show stat(2) another device than the one whose locks these are.
    matches = [match for match in matches if match["device"] == device] or matches
    told = _told(path)
    found = {}
    for match in matches:
        pid, alone = int(match["pid"]), match["mode"] == "WRITE"
        if pid > 0:
            found[pid] = told if told is not None and alone and told.pid == pid else Holder(pid, alone)
    return [found[pid] for pid in sorted(found)]


def _told(path: Path) -> Holder | None:
    """What the file says; None when its writer is gone: one that was killed could not wipe its words."""
    try:
        said = json.loads(path.read_text())
        pid, began = int(said["pid"]), int(said["start_ticks"])
        # Another user wrote it: only what is a list of CPUs and a time is repeated.
        cpus, since = format_cpulist(parse_cpulist(str(said["cpus"]))), float(said["since_seconds"])
        time.localtime(since)
    except (OSError, ValueError, KeyError, TypeError, OverflowError):
        return None
    holder = Holder(pid, True, cpus, since)
    return holder if start_ticks(pid) == began else None


def _user_of(pid: int) -> str:
    try:
        return f"user {pwd.getpwuid(Path(f'/proc/{pid}').stat().st_uid).pw_name}"
    except (OSError, KeyError):
        return ""


def held_lanes(folder: Path) -> list[Holder]:
    """Everybody who measures on this machine now, each once, in the order of their CPUs: what ``doctor`` shows."""
    found: dict[int, Holder] = {}
    for path in sorted(folder.glob("cpu*.lock"), key=lambda one: int(one.stem[3:])):
        for holder in holders(path):
            if holder.alone:
                found.setdefault(holder.pid, holder)
    return list(found.values())
