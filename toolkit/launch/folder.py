"""The run folder and the files of an attempt (design section 8). Names never hold a host path, user or container id."""

from __future__ import annotations

import errno
import json
import os
import secrets
import shutil
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolkit.canonical import write_atomic
from toolkit.errors import RunFolderLost, UsageError
from toolkit.model.names import on_disk
from toolkit.owner import Owner

OWNER_FILE = ".owner.json"
RESERVE_FILE = ".reserve"
RESERVE_BYTES = 4 * 1024 * 1024
"""Room for the results and the manifest of a run whose disk fills: taken at the start, given back to seal it."""

MANIFEST = "manifest.json"
DISK_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class AttemptFolder:
    """The files of one attempt; those the containers append to are made before, world-writable, and closed after."""

    path: Path

    @property
    def sdk_journal(self) -> Path:
        return self.path / "journal.pb"

    @property
    def backend_journal(self) -> Path:
        return self.path / "backend.journal.pb"

    def prepare(self, *, backend: bool = True) -> None:
        """Make the folder and its journals, a backend's where there is one.

        The containers' user is another one than ours: 0666 whatever the umask.
        """
        try:
            self.path.mkdir(parents=True)
            for journal in (self.sdk_journal, *([self.backend_journal] if backend else [])):
                journal.touch()
                journal.chmod(0o666)
        except OSError as problem:
            raise lost(self.path, problem) from problem

    def close(self) -> None:
        """Take the world's right to write away again."""
        for journal in (self.sdk_journal, self.backend_journal):
            if journal.exists():
                journal.chmod(0o644)

    def write(self, name: str, value: Any) -> None:
        """One JSON file of the attempt, atomically; RunFolderLost when the disk or the folder is gone."""
        write_json(self.path / name, value)

    def write_bytes(self, name: str, value: bytes) -> None:
        """One other file of the attempt, atomically."""
        try:
            write_atomic(self.path / name, value)
        except OSError as problem:
            raise lost(self.path, problem) from problem


@dataclass(frozen=True)
class RunFolder:
    """``runs/<run id>``."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    def attempt(self, cell: str, launch: int, attempt: int) -> AttemptFolder:
        """Where an attempt's files are."""
        return AttemptFolder(self.path / "attempts" / on_disk(cell) / f"{launch}.{attempt}")

    @property
    def sealed(self) -> bool:
        return (self.path / MANIFEST).exists()


def run_id(label: str, now: float | None = None, suffix: str | None = None) -> str:
    """``20261123-121530-go-openai-7f3a``: UTC time, what ran, four random hex digits."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
    return f"{stamp}-{label}-{suffix or secrets.token_hex(2)}"


def create_run(runs: Path, label: str, owner: Owner) -> RunFolder:
    """A new run folder with its owner file, or UsageError when ``runs/`` cannot be written."""
    folder = RunFolder(runs / run_id(label))
    try:
        runs.mkdir(parents=True, exist_ok=True)
        folder.path.mkdir()
    except OSError as problem:
        raise not_writable(runs, problem) from problem
    try:
        write_atomic(folder.path / OWNER_FILE, json.dumps(asdict(owner)).encode())
    except OSError as problem:
        shutil.rmtree(folder.path, ignore_errors=True)
        raise not_writable(runs, problem) from problem
    return folder


def take_reserve(folder: RunFolder) -> None:
    """Keep some room for sealing. Raises RunFolderLost when there is not even that much."""
    try:
        with (folder.path / RESERVE_FILE).open("wb") as stream:
            os.posix_fallocate(stream.fileno(), 0, RESERVE_BYTES)
    except OSError as problem:
        raise lost(folder.path, problem) from problem


def give_reserve_back(folder: RunFolder) -> None:
    """Free the room that was kept for sealing. Raises OSError."""
    (folder.path / RESERVE_FILE).unlink(missing_ok=True)


def not_writable(runs: Path, problem: OSError) -> UsageError | RunFolderLost:
    """A folder for runs in which nothing can be begun: a full disk is told apart from missing rights."""
    if problem.errno in DISK_FULL:
        return lost(runs, problem)
    return UsageError(
        f"the folder for runs, '{runs}', cannot be written",
        problem.strerror or str(problem),
        "make it writable, or choose another with --runs DIR",
    )


def check_writable(runs: Path) -> None:
    """Find out before any work whether a run could be kept; UsageError if not."""
    probe = runs / f".probe-{secrets.token_hex(4)}"
    try:
        runs.mkdir(parents=True, exist_ok=True)
        probe.touch()
        probe.unlink()
    except OSError as problem:
        raise not_writable(runs, problem) from problem


def write_json(path: Path, value: Any) -> None:
    """Readable JSON, atomically; RunFolderLost when it cannot be kept."""
    try:
        write_atomic(path, (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode())
    except OSError as problem:
        raise lost(path.parent, problem) from problem


def lost(path: Path, problem: OSError) -> RunFolderLost:
    """What to say when a file of the run could not be written."""
    free = _free_bytes(path)
    if problem.errno in DISK_FULL or free == 0:
        return RunFolderLost(
            "the disk of the run folder is full",
            problem.strerror or str(problem),
            "free some space and launch again; a run that is not sealed yet is sealed by 'repro clean'",
        )
    return RunFolderLost(
        "the run folder cannot be written any more",
        f"{problem.strerror or problem} (was it moved or deleted?)",
        "leave runs/ alone while a run is under way, then launch again",
    )


def _free_bytes(path: Path) -> int | None:
    for folder in (path, *path.parents):
        if folder.exists():
            return shutil.disk_usage(folder).free
    return None


def remove_owner(folder: RunFolder) -> None:
    """The owner file holds a boot id and a process number: it goes before the folder may travel."""
    (folder.path / OWNER_FILE).unlink(missing_ok=True)


def read_owner(folder: RunFolder) -> Owner | None:
    """Who works in an unsealed run folder, or None when nobody says so."""
    try:
        return Owner(**json.loads((folder.path / OWNER_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def run_folders(runs: Path) -> list[RunFolder]:
    """All run folders, oldest first."""
    if not runs.is_dir():
        return []
    found = [RunFolder(path) for path in sorted(runs.iterdir()) if path.is_dir() and (path / "plan.json").exists()]
    return found


def resolve_run(runs: Path, text: str) -> RunFolder:
    """A run by path, id or unique end of an id (its four hex digits); ``last``: the newest. UsageError if none fits."""
    direct = Path(text)
    if (direct / "plan.json").exists():
        return RunFolder(direct.resolve())
    if direct.is_file():
        raise UsageError(
            f"{text} is a file, not a run",
            "this command reads run folders",
            "of an archive: 'zstd -dc FILE | tar -x', then name the folder run/; rerun, rebuild and diff take the file",
        )
    folders = run_folders(runs)
    if text == "last" and folders:
        return folders[-1]
    matches = [folder for folder in folders if folder.id == text or folder.id.endswith(text)]
    if len(matches) == 1:
        return matches[0]
    names = ", ".join(folder.id for folder in (matches or folders)[-5:]) or "none"
    raise UsageError(
        (f"no run '{text}', and no file" if "." in text else f"no run '{text}'")
        if not matches
        else f"'{text}' fits {len(matches)} runs",
        f"runs in '{runs}': {names}",
        "'repro list runs' shows all of them",
    )
