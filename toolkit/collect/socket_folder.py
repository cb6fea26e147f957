"""A private folder for the collector's socket, short enough for a socket address, gone when we are.

``<base>/sb-XXXXXXXX/`` is 0700; ``run/`` inside is 0711 and is what containers mount: they reach the socket, which must
be 0666 for user 65534, and nobody else on the host gets past the outer folder. An ``owner`` file, locked while we
live, lets a later command tell an abandoned folder from one in use, whatever killed us.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Self

from toolkit.errors import HostUnfit

PATH_LIMIT_BYTES = 60
"""unix(7) allows 107; the rest is room for engines that see the folder below a prefix of their own."""

PREFIX = "sb-"
SOCKET_NAME = "collector.sock"
_RANDOM = "x" * 8
_YOUNG_SECONDS = 60


def base_folders() -> list[Path]:
    """Where the folder may be, best first: the user's runtime folder, then the temporary folders."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    named = [Path(runtime)] if runtime else []
    return list(dict.fromkeys([*named, Path(tempfile.gettempdir()), Path("/tmp")]))


class SocketFolder:
    """A context manager around the folder. Raises HostUnfit when no base folder will do."""

    def __init__(self, bases: Iterable[Path] | None = None) -> None:
        self._bases = list(bases) if bases is not None else base_folders()
        self._outer: Path | None = None
        self._lock = -1

    @property
    def mounted(self) -> Path:
        """The folder that containers mount."""
        if self._outer is None:
            raise RuntimeError("the folder exists only inside its context")
        return self._outer / "run"

    @property
    def socket(self) -> Path:
        """Where the socket is bound."""
        return self.mounted / SOCKET_NAME

    def __enter__(self) -> Self:
        self._outer = self._make()
        try:
            self._lock = _locked_owner(self._outer)
            self.mounted.mkdir()
            # mkdir obeys the umask; chmod does not.
            self.mounted.chmod(0o711)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Remove everything; harmless when repeated."""
        outer, self._outer = self._outer, None
        if outer is not None:
            shutil.rmtree(outer, ignore_errors=True)
        lock, self._lock = self._lock, -1
        if lock >= 0:
            os.close(lock)

    def _make(self) -> Path:
        problems = []
        for base in self._bases:
            path = base / f"{PREFIX}{_RANDOM}" / "run" / SOCKET_NAME
            length = len(os.fsencode(path))
            if length >= PATH_LIMIT_BYTES:
                problems.append(
                    f"{base}: the socket's path would be {length} bytes long (limit {PATH_LIMIT_BYTES - 1})"
                )
                continue
            try:
                return Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
            except OSError as problem:
                problems.append(f"{base}: {problem.strerror}")
        raise HostUnfit(
            "there is no place for the collector's socket",
            "; ".join(problems),
            "set XDG_RUNTIME_DIR or TMPDIR to a short, writable folder of yours, for example TMPDIR=/tmp",
        )


def _locked_owner(outer: Path) -> int:
    # Locked under another name first: nobody can find an unlocked owner file in a living folder.
    lock = os.open(outer / "owner.new", os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600)
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    (outer / "owner.new").rename(outer / "owner")
    return lock


def abandoned_folders(bases: Iterable[Path] | None = None) -> list[Path]:
    """Socket folders of ours whose owner is dead. Folders of other users are left alone."""
    chosen = bases if bases is not None else base_folders()
    return [folder for base in chosen for folder in sorted(base.glob(f"{PREFIX}*")) if _abandoned(folder)]


def sweep_abandoned(bases: Iterable[Path] | None = None) -> list[Path]:
    """Remove abandoned socket folders; returns them."""
    removed = abandoned_folders(bases)
    for folder in removed:
        shutil.rmtree(folder, ignore_errors=True)
    return removed


def _abandoned(folder: Path) -> bool:
    try:
        status = folder.lstat()
        if status.st_uid != os.getuid() or status.st_mode & 0o170777 != 0o040700:
            return False
        lock = os.open(folder / "owner", os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    except FileNotFoundError:
        # Killed between two system calls; one that is being made right now is young. Not ours without its parts.
        names = {path.name for path in folder.glob("*")}
        return names <= {"owner.new", "run"} and time.time() - status.st_mtime > _YOUNG_SECONDS
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(lock)
    return True
