"""A deterministic ustar writer: the bytes of a layer depend on its files and on nothing else.

Library writers differ between versions (Python's own changed its bytes between 3.7 and 3.9), so what we hash we write::

    with open("layer.tar", "wb") as stream:
        write_layer(stream, [Entry.folder("repro"), Entry.file("repro/agent", path, 0o555)])

Owner names are empty, times are zero, entries come in sorted order with folders before what they hold. No PAX header,
ever: what
ustar cannot say (a name that does not split at 155 + 100 bytes, 8 GiB) is an error.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

BLOCK_BYTES = 512
_NAME_BYTES = 100
_PREFIX_BYTES = 155
_SIZE_LIMIT_BYTES = 8**11
_TYPES = {"file": b"0", "symlink": b"2", "folder": b"5"}


class UstarError(ValueError):
    """The entry cannot be said in ustar."""


@dataclass(frozen=True)
class Entry:
    """One path of a layer. ``path`` is relative, no slash at either end; ``source`` holds a file's content."""

    path: str
    kind: str
    mode: int
    source: bytes | Path = b""
    target: str = ""
    uid: int = 0
    gid: int = 0

    @classmethod
    def folder(cls, path: str, mode: int = 0o755, *, uid: int = 0, gid: int = 0) -> Entry:
        return cls(path, "folder", mode, uid=uid, gid=gid)

    @classmethod
    def file(cls, path: str, source: bytes | Path, mode: int = 0o444, *, uid: int = 0, gid: int = 0) -> Entry:
        return cls(path, "file", mode, source=source, uid=uid, gid=gid)

    @classmethod
    def symlink(cls, path: str, target: str) -> Entry:
        return cls(path, "symlink", 0o777, target=target)

    @property
    def size_bytes(self) -> int:
        if self.kind != "file":
            return 0
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


def split_name(path: str) -> tuple[bytes, bytes]:
    """(prefix, name) as ustar stores a path. Raises UstarError when it does not fit."""
    raw = path.encode()
    if len(raw) <= _NAME_BYTES:
        return b"", raw
    cut = raw.find(b"/", len(raw) - _NAME_BYTES - 1)
    if cut <= 0 or cut > _PREFIX_BYTES or cut == len(raw) - 1:
        raise UstarError(f"path too long for ustar ({len(raw)} bytes): {path}")
    return raw[:cut], raw[cut + 1 :]


def header(entry: Entry) -> bytes:
    """The 512 header bytes of an entry. Raises UstarError."""
    return header_block(entry, entry.size_bytes)


def header_block(entry: Entry, size: int) -> bytes:
    """The header of an entry whose content has ``size`` bytes, wherever it is. Raises UstarError."""
    if entry.path.startswith("/") or ".." in entry.path.split("/") or "\0" in entry.path + entry.target:
        raise UstarError(f"not a plain relative path: {entry.path!r}")
    if size >= _SIZE_LIMIT_BYTES:
        raise UstarError(f"file too large for ustar: {entry.path} ({size} bytes)")
    link = entry.target.encode()
    if len(link) > _NAME_BYTES:
        raise UstarError(f"link target too long for ustar: {entry.path} -> {entry.target}")
    prefix, name = split_name(entry.path + "/" if entry.kind == "folder" else entry.path)
    fields = [
        name.ljust(100, b"\0"),
        b"%07o\0" % (entry.mode & 0o7777),
        b"%07o\0" % entry.uid,
        b"%07o\0" % entry.gid,
        b"%011o\0" % size,
        b"%011o\0" % 0,
        b" " * 8,
        _TYPES[entry.kind],
        link.ljust(100, b"\0"),
        b"ustar\x0000",
        b"\0" * 64,
        b"%07o\0" % 0,
        b"%07o\0" % 0,
        prefix.ljust(155, b"\0"),
    ]
    block = b"".join(fields).ljust(BLOCK_BYTES, b"\0")
    return block[:148] + b"%06o\0 " % sum(block) + block[156:]


def add(stream: BinaryIO, entry: Entry) -> None:
    """Append one entry. Raises UstarError, OSError."""
    stream.write(header(entry))
    size = entry.size_bytes
    if entry.kind != "file":
        return
    if isinstance(entry.source, bytes):
        stream.write(entry.source)
    else:
        with entry.source.open("rb") as source:
            shutil.copyfileobj(source, stream, 1 << 20)
    stream.write(b"\0" * (-size % BLOCK_BYTES))


def finish(stream: BinaryIO) -> None:
    """The two end blocks."""
    stream.write(b"\0" * (2 * BLOCK_BYTES))


def ordered(entries: Iterable[Entry]) -> list[Entry]:
    """Entries sorted by path components, so that a folder precedes its content. Raises UstarError for a path named
    twice.
    """
    by_path: dict[str, Entry] = {}
    for entry in entries:
        if entry.path in by_path:
            raise UstarError(f"path named twice: {entry.path}")
        by_path[entry.path] = entry
    return [by_path[path] for path in sorted(by_path, key=lambda path: path.encode().split(b"/"))]


def write_layer(stream: BinaryIO, entries: Iterable[Entry]) -> None:
    """Write a whole layer: sorted, times zero, ended. Raises UstarError, OSError."""
    for entry in ordered(entries):
        add(stream, entry)
    finish(stream)
