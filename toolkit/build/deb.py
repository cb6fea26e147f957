"""Reads Debian packages: the ar container, the data member as entries, the control fields. Nothing is installed or
run.
"""

from __future__ import annotations

import io
import lzma
import shutil
import subprocess
import tarfile
from pathlib import Path

from toolkit.build.ustar import Entry
from toolkit.errors import InputMismatch, InputUnavailable

_AR_MAGIC = b"!<arch>\n"
_AR_HEADER_BYTES = 60
_TOP_MERGED = ("bin", "sbin", "lib", "lib32", "lib64", "libx32")


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
        if head[58:60] != b"`\n" or start + size > len(data):
            raise _malformed(path, "broken ar header")
        found[head[:16].decode("ascii", "replace").strip().rstrip("/")] = data[start : start + size]
        offset = start + size + size % 2
    return found


def control(path: Path) -> dict[str, str]:
    """The control fields of a .deb (``Package``, ``Version``, ``Depends`` ...). Raises InputMismatch,
    InputUnavailable.
    """
    fields: dict[str, str] = {}
    for line in control_text(path).splitlines():
        if line[:1] not in (" ", "\t") and ":" in line:
            key, value = line.split(":", 1)
            fields[key] = value.strip()
    return fields


def control_text(path: Path) -> str:
    """The control file of a .deb as text."""
    with _open_tar(path, "control.tar") as tar:
        for member in tar:
            if member.name.lstrip("./") == "control":
                stream = tar.extractfile(member)
                if stream is not None:
                    return stream.read().decode("utf-8", "replace")
    raise _malformed(path, "no control file")


def entries(path: Path) -> list[Entry]:
    """The data member's files, folders and links, at merged-usr paths. Raises InputMismatch for anything else
    (devices).
    """
    found: list[Entry] = []
    contents: dict[str, bytes] = {}
    with _open_tar(path, "data.tar") as tar:
        for member in tar:
            name = merged(member.name)
            if not name:
                continue
            owner = {"uid": member.uid, "gid": member.gid}
            if member.isdir():
                found.append(Entry.folder(name, member.mode, **owner))
            elif member.issym():
                found.append(Entry.symlink(name, member.linkname))
            elif member.islnk():
                found.append(Entry.file(name, contents[merged(member.linkname)], member.mode, **owner))
            elif member.isreg():
                stream = tar.extractfile(member)
                contents[name] = stream.read() if stream is not None else b""
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


def _open_tar(path: Path, stem: str) -> tarfile.TarFile:
    for name, data in members(path).items():
        if name == stem or name.startswith(stem + "."):
            try:
                return tarfile.open(fileobj=io.BytesIO(_decompress(path, name, data)), mode="r:")
            except (tarfile.TarError, lzma.LZMAError, OSError, EOFError) as error:
                raise _malformed(path, f"unreadable {name}") from error
    raise _malformed(path, f"no {stem}")


def _decompress(path: Path, name: str, data: bytes) -> bytes:
    if name.endswith(".xz"):
        return lzma.decompress(data)
    if name.endswith(".gz"):
        import gzip

        return gzip.decompress(data)
    if name.endswith(".zst"):
        return _unzstd(path, data)
    return data


def _unzstd(path: Path, data: bytes) -> bytes:
    """Python has no zstd before 3.14; every system that has apt and such packages has one of these programs."""
    for command in (["zstd", "-dcq"], ["unzstd", "-cq"]):
        if shutil.which(command[0]):
            return subprocess.run(command, input=data, capture_output=True, check=True, timeout=60).stdout
    try:
        import zstandard
    except ImportError as error:
        raise InputUnavailable(
            f"Cannot unpack {path.name}",
            "its data is compressed with zstd",
            "install the zstd program (apt install zstd)",
        ) from error
    plain: bytes = zstandard.ZstdDecompressor().decompressobj().decompress(data)
    return plain


def _malformed(path: Path, why: str) -> InputMismatch:
    return InputMismatch(f"{path.name} is not a readable Debian package", why, "fetch it again: repro fetch")
