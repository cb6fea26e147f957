"""The base layer: written by us from the data members of locked .deb files. Nothing is installed, nothing of the host
is in it.

rows = relock(apt, folder)                     # which packages, which bytes
write_base(layer_path, {row.name: deb_path})   # the same .deb files give the same layer, anywhere
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from toolkit.build import deb
from toolkit.build.bounds import Room
from toolkit.build.ustar import Entry, write_layer
from toolkit.errors import InputMismatch, InputUnavailable

# What a Go binary, numactl, and C or C++ engines need at run time; no shell, no package manager.
PACKAGES = (
    "base-files", "ca-certificates", "libc6", "libffi8", "libgcc-s1", "libgomp1", "libnuma1", "libstdc++6",
    "netbase", "numactl", "tzdata",
)  # fmt: skip
_COMPILER_BASE = re.compile(r"\bgcc-\d+-base\b")

_DROPPED = (
    "usr/share/man/", "usr/share/locale/", "usr/share/lintian/", "usr/share/info/", "usr/share/bug/",
    "usr/share/zoneinfo/right/", "usr/share/zoneinfo/posix/", "usr/share/base-files/", "usr/sbin/",
    "usr/lib/x86_64-linux-gnu/gconv/",
    "usr/share/gcc/", "usr/share/gdb/", "usr/share/debconf/", "etc/update-motd.d/", "var/backups/", "var/mail",
    "var/local", "var/spool/",
)  # fmt: skip
_KEPT_DOC = re.compile(r"^usr/share/doc(/[^/]+(/copyright)?)?$")
_CERTIFICATES = "usr/share/ca-certificates/"
_NOBODY = 65534

_USERS = "root:x:0:0:root:/root:/usr/sbin/nologin\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
_GROUP = "root:x:0:\nnogroup:x:65534:\n"
_NSSWITCH = "passwd: files\ngroup: files\nhosts: files\nnetworks: files\nprotocols: files\nservices: files\n"

_FOLDERS = (
    "boot", "dev", "etc", "home", "proc", "repro", "repro/out", "repro/run", "run", "sys", "usr", "usr/bin", "usr/lib",
    "usr/lib64", "usr/sbin", "var", "var/lib", "var/lib/dpkg", "var/lib/dpkg/status.d",
)  # fmt: skip


def skeleton() -> list[Entry]:
    """What no package brings: merged-usr links, users, name service, mount points. No resolver, no host name."""
    links = [Entry.symlink(name, f"usr/{name}") for name in ("bin", "lib", "lib64", "sbin")]
    files = {"etc/passwd": _USERS, "etc/group": _GROUP, "etc/nsswitch.conf": _NSSWITCH}
    return [
        *links,
        *(Entry.folder(path) for path in _FOLDERS),
        Entry.folder("root", 0o700),
        Entry.folder("tmp", 0o1777),
        Entry.symlink("etc/localtime", "/usr/share/zoneinfo/Etc/UTC"),
        *(Entry.file(path, text.encode(), 0o644) for path, text in files.items()),
    ]


def kept(path: str) -> bool:
    """Whether a package's path goes into the base."""
    if path.startswith("usr/share/doc"):
        return bool(_KEPT_DOC.match(path))
    return not any(path.startswith(prefix) or path + "/" == prefix for prefix in _DROPPED)


def base_entries(packages: Mapping[str, Path], room: Room | None = None) -> list[Entry]:
    """The entries of the base layer from package name -> .deb. Raises InputMismatch for an unreadable package,
    InputUnsafe for one that unpacks beyond ``room`` (by default what ``bounds`` declares), BuildFailed.
    """
    room = room or Room()
    found: dict[str, Entry] = {entry.path: entry for entry in skeleton()}
    for name in sorted(packages):
        for entry in deb.entries(packages[name], room):
            if kept(entry.path) and not _known(found, entry):
                found[entry.path] = entry
        status = f"var/lib/dpkg/status.d/{name}"
        found[status] = Entry.file(status, deb.control_text(packages[name], room).encode(), 0o644)
    bundle = _bundle(found.values())
    for folder in ("etc/ssl", "etc/ssl/certs"):
        found.setdefault(folder, Entry.folder(folder))
    found["etc/ssl/certs/ca-certificates.crt"] = Entry.file("etc/ssl/certs/ca-certificates.crt", bundle, 0o644)
    return [entry for entry in with_parents(found).values() if not entry.path.startswith(_CERTIFICATES + "mozilla/")]


def write_base(layer: Path, packages: Mapping[str, Path], room: Room | None = None) -> None:
    """Write the base layer's tar. Raises InputMismatch, InputUnsafe, BuildFailed, OSError."""
    write_unpacked(layer, base_entries(packages, room), "the Debian packages of the base")


def write_unpacked(layer: Path, entries: Iterable[Entry], title: str) -> None:
    """Write what was unpacked as a layer. Raises InputMismatch for what a layer cannot say, OSError."""
    try:
        with layer.open("wb") as stream:
            write_layer(stream, entries)
    except ValueError as problem:  # UstarError, or a name that is no UTF-8
        raise InputMismatch(f"{title} make no layer", str(problem), "fetch them again: repro fetch") from problem


def compiler_base(libgcc: Path) -> str:
    """The name of the package that holds the compiler libraries' licence; it carries the compiler's version."""
    match = _COMPILER_BASE.search(deb.control(libgcc).get("Depends", ""))
    if match is None:
        raise InputUnavailable(
            f"{libgcc.name} names no gcc-<n>-base", "its licence text stands there", "use a Debian mirror"
        )
    return match[0]


def _known(found: Mapping[str, Entry], entry: Entry) -> bool:
    """Two packages may share a folder; a file of the skeleton wins over a package's."""
    before = found.get(entry.path)
    return before is not None and (before.kind in {entry.kind, "symlink"})


def _bundle(entries: Iterable[Entry]) -> bytes:
    """All certificates of the package, in the order of their names, as update-ca-certificates would write them."""
    chosen = [entry for entry in entries if entry.path.startswith(_CERTIFICATES) and entry.kind == "file"]
    sources = [entry.source for entry in sorted(chosen, key=lambda entry: entry.path)]
    return b"".join(source.rstrip(b"\n") + b"\n" for source in sources if isinstance(source, bytes))


def with_parents(found: dict[str, Entry]) -> dict[str, Entry]:
    """Add every folder that an entry lies in and nobody names."""
    for path in list(found):
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found[folder] = Entry.folder(folder)
            folder = folder.rpartition("/")[0]
    return found
