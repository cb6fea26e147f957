"""Writes an archive: index first, then every member, one canonical tar in one zstd frame, named only when it is whole.

The same run gives the same bytes before compression whatever the clock, locale, umask, user, time zone or folder; the
compressed bytes may differ between versions of zstd, and nothing is ever decided by them.
"""

from __future__ import annotations

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO, Protocol

from toolkit.archive import layout
from toolkit.archive.members import Member
from toolkit.build import ustar
from toolkit.canonical import sync_folder
from toolkit.errors import InputMismatch, ReproError, UsageError

_CHUNK_BYTES = 1 << 20
_JOB_BYTES = 8 << 20
"""What a thread of zstd works on at a time. Its own choice, 16 MiB, takes twice the memory for 0.05 % of the size."""


class ArchiveDiskFull(ReproError):
    """The disk that the archive goes to is full (exit 1)."""


class Sink(Protocol):
    """Where the tar's bytes go."""

    def write(self, data: bytes, /) -> object: ...


def write_archive(target: Path, members: Sequence[Member], *, overwrite: bool = False) -> None:
    """Write ``members`` in this order. Raises UsageError for a place that cannot be written or is taken, InputMismatch
    for a file that changed meanwhile, ArchiveDiskFull.
    """
    if target.exists() and not overwrite:
        raise UsageError(
            f"{target} exists", "an archive is never overwritten unasked", "use --overwrite, or -o another"
        )
    with _whole(target) as stream:
        import zstandard

        # Threads give the same frame for any number of them, and another one than no threads do: always threads.
        parameters = zstandard.ZstdCompressionParameters.from_level(
            layout.LEVEL, write_checksum=True, threads=_threads(), job_size=_JOB_BYTES
        )
        compressor = zstandard.ZstdCompressor(compression_params=parameters)
        with compressor.stream_writer(stream, closefd=False) as sink:
            write_tar(sink, members)


def _threads() -> int:
    return max(1, min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1))


def write_tar(sink: Sink, members: Sequence[Member]) -> None:
    """The uncompressed archive. Raises InputMismatch, OSError."""
    for member in members:
        sink.write(ustar.header_block(ustar.Entry.file(member.path, b"", member.mode), member.size_bytes))
        written, state = 0, hashlib.sha256()
        for piece in _pieces(member):
            written += len(piece)
            state.update(piece)
            if written <= member.size_bytes:
                sink.write(piece)
        if written != member.size_bytes or state.hexdigest() != member.sha256:
            raise InputMismatch(
                f"{member.path} changed while it was archived",
                f"expected {member.size_bytes} bytes of sha256 {member.sha256}, found {written} of {state.hexdigest()}",
                "run the command again when nothing writes to the run or the store; 'repro fetch' mends the store",
            )
        sink.write(b"\0" * (-written % ustar.BLOCK_BYTES))
    sink.write(b"\0" * (2 * ustar.BLOCK_BYTES))


def _pieces(member: Member) -> Iterator[bytes]:
    if isinstance(member.source, bytes):
        yield member.source
        return
    with member.source.open("rb") as stream:
        while piece := stream.read(_CHUNK_BYTES):
            yield piece


@contextmanager
def _whole(target: Path) -> Iterator[BinaryIO]:
    """A stream whose bytes appear under ``target`` when the body is done, and nowhere if it is not.

    Where the system can, the file has no name until then (open(2), O_TMPFILE): a killed archive leaves nothing.
    """
    make: Callable[[Path], tuple[BinaryIO, Callable[[], None], Callable[[], None]]] = (
        _nameless if hasattr(os, "O_TMPFILE") else _named
    )
    try:
        stream, publish, discard = make(target)
        try:
            with stream:
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                publish()
            sync_folder(target.parent)
        except BaseException:
            discard()
            raise
    except OSError as problem:
        raise _typed(target, problem) from problem


def _nameless(target: Path) -> tuple[BinaryIO, Callable[[], None], Callable[[], None]]:
    try:
        descriptor = os.open(target.parent, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o644)
    except (OSError, AttributeError):
        if not target.parent.is_dir():
            raise
        return _named(target)  # this file system has none of them

    def publish() -> None:
        name = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
        folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.link(f"/proc/self/fd/{descriptor}", name.name, dst_dir_fd=folder, follow_symlinks=True)
        finally:
            os.close(folder)
        os.replace(name, target)

    return os.fdopen(descriptor, "w+b", closefd=True), publish, lambda: None


def _named(target: Path) -> tuple[BinaryIO, Callable[[], None], Callable[[], None]]:
    name = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    stream = name.open("x+b")

    def discard() -> None:
        with suppress(OSError):
            name.unlink()

    return stream, lambda: os.replace(name, target), discard


def _typed(target: Path, problem: OSError) -> ReproError:
    import errno

    if problem.errno in (errno.ENOSPC, errno.EDQUOT):
        return ArchiveDiskFull(
            f"no space left for {target.name}", "nothing was left under its name", "free some space, or -o elsewhere"
        )
    return UsageError(
        f"{target} cannot be written", problem.strerror or str(problem), "name a file in a folder that you may write to"
    )
