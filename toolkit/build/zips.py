"""Zips that strangers may have made (wheels, Go modules), read without believing what they say of themselves.

    with opened(path, room) as archive:
        for info in archive.infolist():
            data = content(archive, info, room)

The table of contents is bounded before it is read, every member is counted before it is unpacked, and only the two
methods are read that pip and Go write (stored, deflated; APPNOTE.TXT 6.3.10, 4.4.5).
"""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from toolkit.build.bounds import Room
from toolkit.errors import InputMismatch

CONTENTS_BYTES = 32 * 1024**2
"""Of the table of contents: the toolchain's 11,500 members take 1 MB."""

_END, _END_BYTES = b"PK\x05\x06", 22
_LOCATOR_64, _LOCATOR_64_BYTES = b"PK\x06\x07", 20
_COMMENT_BYTES = 1 << 16
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, LookupError, RuntimeError)


@contextmanager
def opened(path: Path, room: Room, what: str) -> Iterator[zipfile.ZipFile]:
    """A zip; ``what`` says what it should be. Raises InputMismatch when it is none, InputUnsafe, BuildFailed."""
    room.file(path.name, path.stat().st_size)
    try:
        room.most(_contents_bytes(path), CONTENTS_BYTES, "bytes of contents")
        with zipfile.ZipFile(path) as archive:
            for info in archive.infolist():
                room.member(info.filename)
            yield archive
    except _UNREADABLE as error:
        raise InputMismatch(f"{path.name} is not {what}", str(error), "fetch it again: repro fetch") from error


def content(archive: zipfile.ZipFile, info: zipfile.ZipInfo, room: Room) -> bytes:
    """One member's bytes, as many as it declares and not one more. Raises InputUnsafe and what a zip raises."""
    if info.compress_type not in _METHODS or info.flag_bits & 1:
        raise zipfile.BadZipFile(f"{info.filename!r} is encrypted, or compressed as nothing of ours is")
    room.unpacked(info.file_size)
    return archive.read(info)


def _contents_bytes(path: Path) -> int:
    """How long the table of contents is, as the record at the end says (APPNOTE.TXT 4.3.16); no zip64 is read."""
    with path.open("rb") as stream:
        size = stream.seek(0, 2)
        most = _END_BYTES + _LOCATOR_64_BYTES + _COMMENT_BYTES
        stream.seek(max(0, size - most))
        tail = stream.read()
    # As zipfile looks for it: at the very end without a comment, else the last one that there is.
    at = len(tail) - _END_BYTES
    if at < 0 or tail[at : at + 4] != _END or tail[-2:] != b"\0\0":
        at = tail.rfind(_END)
    if at < 0 or len(tail) < at + _END_BYTES:
        raise zipfile.BadZipFile("File is not a zip file")
    if tail[max(0, at - _LOCATOR_64_BYTES) : at].startswith(_LOCATOR_64):
        raise zipfile.BadZipFile("it is a zip64")
    return int.from_bytes(tail[at + 12 : at + 16], "little")
