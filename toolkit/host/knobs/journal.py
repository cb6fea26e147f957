"""The journal of changed knobs: what each value was, on disk before the value is touched.

It lies in a folder that outlives a reboot, and is replaced whole (new file, fsync, rename, fsync of the folder), so
that a kill or a power cut leaves the old journal or the new one. One command at a time holds its lock.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.canonical import sync_folder, write_atomic
from toolkit.errors import ArchiveInvalid, HostUnfit, LaneBusy
from toolkit.host.knobs.knob import Change

SCHEMA = "repro.host-journal/1"
DEFAULT_FOLDER = Path("/var/lib/sealbench")
_NAME = "host-journal.json"
_LOCK = "host.lock"


def state_folder() -> Path:
    """``$REPRO_STATE``, else ``/var/lib/sealbench``."""
    chosen = os.environ.get("REPRO_STATE")
    return Path(chosen) if chosen else DEFAULT_FOLDER


class Journal:
    """Changes that were made and not put back, oldest first."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / _NAME

    @property
    def path(self) -> Path:
        """Where it lies."""
        return self._path

    def read(self) -> list[Change]:
        """All of them; none without a journal. Raises ArchiveInvalid when it is damaged, HostUnfit when closed."""
        try:
            document = json.loads(self._path.read_text(encoding="utf-8"))
            if document["schema"] != SCHEMA:
                raise ValueError(f"its schema is {document['schema']}, this repro knows {SCHEMA}")
            return [Change.from_json(value) for value in document["changes"]]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as problem:
            raise HostUnfit(
                "the journal of changed knobs cannot be read", f"{self._path}: {problem.strerror}", "run it as root"
            ) from problem
        except (ValueError, KeyError, TypeError) as problem:
            raise ArchiveInvalid(
                "the journal of changed knobs is damaged",
                f"{self._path}: {type(problem).__name__}: {problem}",
                "it lists what each knob was: put these values back by hand, then delete it",
            ) from problem

    def write(self, changes: list[Change]) -> None:
        """Replace it; without changes there is no file. Raises HostUnfit when it cannot be written."""
        document = {"schema": SCHEMA, "changes": [change.to_json() for change in changes]}
        try:
            if changes:
                write_atomic(self._path, json.dumps(document, indent=1).encode() + b"\n")
            elif self._path.exists():
                self._path.unlink()
                sync_folder(self._path.parent)
        except OSError as problem:
            raise _closed(self._path.parent, problem) from problem


@contextmanager
def alone(folder: Path) -> Iterator[Journal]:
    """The journal, for one command at a time. Raises LaneBusy when another one is at it, HostUnfit without rights."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as problem:
        raise _closed(folder, problem) from problem
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield Journal(folder)
    except BlockingIOError as problem:
        raise LaneBusy(
            "another 'repro host' command is at work", "only one at a time changes knobs", "wait until it has ended"
        ) from problem
    finally:
        os.close(descriptor)


def _closed(folder: Path, problem: OSError) -> HostUnfit:
    return HostUnfit(
        "the journal of changed knobs cannot be written, so nothing was changed",
        f"{folder}: {problem.strerror}",
        "run it as root, or set REPRO_STATE to a folder that outlives a reboot",
    )
