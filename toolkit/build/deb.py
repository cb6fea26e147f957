"""Reads Debian packages: the ar container, the data member as entries, the control fields. Nothing is installed or
run, and nothing is believed of a size: what comes out is counted while it comes (``bounds.Room``).
"""

from __future__ import annotations

import io
import lzma
import tarfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import zstandard

from toolkit.build.blocks import Blocks
from toolkit.build.bounds import CONTROL_BYTES, Room
from toolkit.build.ustar import Entry
from toolkit.errors import InputMismatch

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60
_AR_MEMBERS = 16
_PIECE_BYTES = 1 << 20
_DECODER_BYTES = 256 * 1024**2
"""Memory that a decompressor may take: xz -9 wants 65 MiB, zstd's window at its highest level 128 MiB."""

_EXTENSIONS = (
    tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE, tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK,
)  # fmt: skip
_EXTENSION_BYTES = 1 << 20
# A reader of tars meets numbers and records that are none in its own ways, too.
_UNREADABLE = (
    tarfile.TarError, lzma.LZMAError, zlib.error, zstandard.ZstdError, OSError, EOFError, ValueError, LookupError,
)  # fmt: skip
_TOP_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


class _Member(tarfile.TarInfo):
    """A member whose extension headers (long names, PAX records) are no larger than any that a package needs: they are
    read into memory before anybody can ask for their size.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENSIONS and self.size > _EXTENSION_BYTES:
            raise tarfile.ReadError(f"an extension header of {self.size} bytes")
        found: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return found


def members(path: Path) -> dict[str, bytes]:
    """The members of a .deb by name. Raises InputMismatch when it is not an ar archive."""
    data = path.read_bytes()
    if not data.startswith(_AR_MAGIC):
        raise _malformed(path, "not an ar archive")
    found: dict[str, bytes] = {}
    offset = len(_AR_MAGIC)
    while offset + _AR_HEADER_BYTES <= len(data):
        head = data[offset : offset + _AR_HEADER_BYTES]
        try:
            size = int(head[48:58])
        except ValueError as error:
            raise _malformed(path, "broken ar header") from error
        start = offset + _AR_HEADER_BYTES
        if head[58:60] != b"`\n" or size < 0 or start + size > len(data) or len(found) >= _AR_MEMBERS:
            raise _malformed(path, "broken ar header")
        found[head[:16].decode("ascii", "replace").strip().rstrip("/")] = data[start : start + size]
        offset = start + size + size % 2
    return found


def control(path: Path) -> dict[str, str]:
    """The control fields of a .deb (``Package``, ``Version``, ``Depends`` ...). Raises InputMismatch, InputUnsafe."""
    fields: dict[str, str] = {}
    for line in control_text(path).splitlines():
        if line[:1] not in (" ", "\t") and ":" in line:
            key, value = line.split(":", 1)
            fields[key] = value.strip()
    return fields


def control_text(path: Path, room: Room | None = None) -> str:
    """The control file of a .deb as text. Raises InputMismatch, InputUnsafe, BuildFailed (its time is over)."""
    room = room or Room()
    with _tar(path, "control.tar", room) as tar:
        for member in tar:
            room.member(member.name, member.size)
            if member.name.lstrip("./") == "control" and member.isreg():
                room.most(member.size, CONTROL_BYTES, "bytes of control fields")
                return _content(tar, member, path).decode("utf-8", "replace")
    raise _malformed(path, "no control file")


def entries(path: Path, room: Room | None = None) -> list[Entry]:
    """The data member's files, folders and links, at merged-usr paths; ``room`` is shared by the packages of a layer.

    Raises InputMismatch for anything else (devices), InputUnsafe, BuildFailed (its time is over).
    """
    found: list[Entry] = []
    contents: dict[str, bytes] = {}
    room = room or Room()
    with _tar(path, "data.tar", room) as tar:
        for member in tar:
            room.member(member.name, member.size)
            name = merged(member.name)
            if not name:
                continue
            owner = {"uid": member.uid, "gid": member.gid}
            if member.isdir():
                found.append(Entry.folder(name, member.mode, **owner))
            elif member.issym():
                found.append(Entry.symlink(name, member.linkname))
            elif member.islnk():
                target = merged(member.linkname)
                if target not in contents:
                    raise _malformed(path, f"a hard link to a file that is not in it: {member.name}")
                found.append(Entry.file(name, contents[target], member.mode, **owner))
            elif member.isreg():
                contents[name] = _content(tar, member, path)
                found.append(Entry.file(name, contents[name], member.mode, **owner))
            else:
                raise _malformed(path, f"holds a device or pipe: {member.name}")
    return found


def merged(name: str) -> str:
    """A package's path without ``./``, moved below ``usr`` where merged-usr systems have it; empty for the root."""
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if parts and parts[0] in _TOP_MERGED:
        parts.insert(0, "usr")
    return "/".join(parts)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo, path: Path) -> bytes:
    if member.sparse is not None:  # ten bytes of it may claim a terabyte of zeros
        raise _malformed(path, f"holds a sparse file: {member.name}")
    stream = tar.extractfile(member)
    data = stream.read() if stream is not None else b""
    if len(data) != member.size:
        raise _malformed(path, f"it ends within {member.name}")
    return data


@contextmanager
def _tar(path: Path, stem: str, room: Room) -> Iterator[tarfile.TarFile]:
    """The tar that a package calls ``stem``, read front to back while it is decompressed."""
    room.file(path.name, path.stat().st_size)
    for name, data in members(path).items():
        if name == stem or name.startswith(stem + "."):
            stream = io.BufferedReader(Blocks(_counted(_pieces(name, data), room)), _PIECE_BYTES)
            try:
                with tarfile.open(fileobj=stream, mode="r|", tarinfo=_Member) as tar:
                    yield tar
            except _UNREADABLE as error:
                raise _malformed(path, f"unreadable {name}") from error
            return
    raise _malformed(path, f"no {stem}")


def _counted(pieces: Iterator[bytes], room: Room) -> Iterator[bytes]:
    for piece in pieces:
        room.unpacked(len(piece))
        yield piece


def _pieces(name: str, data: bytes) -> Iterator[bytes]:
    """What a member unpacks to, in pieces of at most 1 MiB."""
    if name.endswith(".xz"):
        return _xz(data)
    if name.endswith(".gz"):
        return _gz(data)
    if name.endswith(".zst"):
        reader = zstandard.ZstdDecompressor(max_window_size=_DECODER_BYTES).stream_reader(data)
        return iter(lambda: reader.read(_PIECE_BYTES), b"")
    return (data[at : at + _PIECE_BYTES] for at in range(0, len(data), _PIECE_BYTES))


def _xz(data: bytes) -> Iterator[bytes]:
    while data:
        machine = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_DECODER_BYTES)
        piece = machine.decompress(data, _PIECE_BYTES)
        while piece or not (machine.eof or machine.needs_input):
            yield piece
            piece = b"" if machine.eof else machine.decompress(b"", _PIECE_BYTES)
        if not machine.eof:
            raise EOFError("it ends within its compressed data")
        data = machine.unused_data.lstrip(b"\0")  # padding between streams (xz file format, 2.2)


def _gz(data: bytes) -> Iterator[bytes]:
    machine = zlib.decompressobj(wbits=31)
    while not machine.eof:
        piece = machine.decompress(data, _PIECE_BYTES)
        data = machine.unconsumed_tail
        if not piece and not data and not machine.eof:
            raise EOFError("it ends within its compressed data")
        yield piece


def _malformed(path: Path, why: str) -> InputMismatch:
    return InputMismatch(f"{path.name} is not a readable Debian package", why, "fetch it again: repro fetch")
