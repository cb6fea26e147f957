"""A model file of the user's own (``--model FILE.gguf``): hashed, so that a manifest can name it by its bytes.

A container gets the file itself, so its bytes could change after they were hashed: ``hold`` hashes them again when
everything is ready to start, and remembers what the file system says of the file; ``still`` asks that again. Kernels
before 6.13 stamp a change with a clock that advances some 250 times a second: ``hold`` waits until that has gone on, or
a write within the same step would leave the file's times as they were.
"""

from __future__ import annotations

import re
import stat
import time
from dataclasses import dataclass
from pathlib import Path

from toolkit.canonical import sha256_file
from toolkit.errors import InputMismatch, UsageError
from toolkit.model.plan import ModelFile

_MAGIC = b"GGUF"  # the first four bytes (ggml's docs/gguf.md)
_SAFE = re.compile(r"[^A-Za-z0-9._-]")
_FILE_CLOCK = 5  # CLOCK_REALTIME_COARSE, which time does not name (linux/time.h)
_LONGEST_STEP_SECONDS = 0.05  # of the clock of files: 10 ms at 100 Hz, the least that kernels have


@dataclass(frozen=True)
class HeldModel:
    """The file that containers get, and what marks a change of it: device, inode, size, times of content and inode."""

    path: Path
    marks: tuple[int, ...]


def read_model(path: Path) -> ModelFile:
    """Name, digest and size. Raises UsageError when it cannot be read or is no GGUF file."""
    try:
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():  # a pipe would be waited for
            raise UsageError(f"--model {path} is not a file", "it is a device, a pipe or a socket", "check the path")
        with path.open("rb") as stream:
            magic = stream.read(len(_MAGIC))
        if magic != _MAGIC:
            raise UsageError(
                f"--model {path} is not a GGUF file", f"it begins with {magic!r}", "give a model in GGUF format"
            )
        # The name goes into manifests: nothing but plain characters, and never its folder.
        return ModelFile(_SAFE.sub("_", path.name)[:80], sha256_file(path), path.stat().st_size)
    except OSError as problem:
        raise UsageError(
            f"--model {path} cannot be read", problem.strerror or str(problem), "check the path"
        ) from problem


def require_model(path: Path | None, wanted: ModelFile) -> Path:
    """The file of a re-run: the same bytes, wherever it lies now. Raises UsageError, InputMismatch."""
    if path is None:
        raise UsageError(
            "this run used a model of the user's own",
            f"{wanted.name}, sha256 {wanted.sha256}, {wanted.size_bytes} bytes; runs do not hold such files",
            "give it again with --model FILE",
        )
    found = read_model(path)
    if found.sha256 != wanted.sha256:
        raise InputMismatch(
            f"--model {path} is not the model of this run",
            f"expected sha256 {wanted.sha256}, found {found.sha256}",
            "give the file that the run used",
        )
    return path


def hold(path: Path, wanted: ModelFile) -> HeldModel:
    """The file as it is now. Raises InputMismatch when it is no longer what was planned with, UsageError."""
    found = path.resolve()
    before = _marks(found)
    _await_next_step(before)
    if read_model(found).sha256 != wanted.sha256 or _marks(found) != before:
        raise InputMismatch(
            f"--model {path} changed while the launch was prepared",
            f"expected sha256 {wanted.sha256}",
            "let it be while it is measured, and launch again",
        )
    return HeldModel(found, before)


def _await_next_step(marks: tuple[int, ...]) -> None:
    """Until a change would get another time than these. A file of a machine whose clock is ahead is not waited for."""
    limit = time.monotonic() + _LONGEST_STEP_SECONDS
    while marks and time.clock_gettime_ns(_FILE_CLOCK) <= max(marks[-2:]) and time.monotonic() < limit:
        time.sleep(0.001)


def still(held: HeldModel) -> bool:
    """Whether the file is the one that was held, by everything that a write or a replacement would change."""
    return _marks(held.path) == held.marks


def _marks(path: Path) -> tuple[int, ...]:
    """Empty for a file that is gone. Not the time of the last reading: containers read it."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
