"""A container's mounts and devices, seen from the host: ``/proc/PID/mountinfo`` (proc(5)) and its ``/dev``."""

from __future__ import annotations

import functools
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.host.kernelfs import read_text

_KERNELS = ("/proc", "/dev", "/sys")

_ENGINES = ("/etc/hostname", "/etc/hosts", "/run/.containerenv")
"""Bound into every container by the engine itself; that they are read-only is the row of writable mounts."""

# OCI runtime specification, "Default Devices"; console only with a terminal.
_USUAL_DEVICES = frozenset(
    f"/dev/{name}" for name in ("console", "full", "null", "ptmx", "random", "tty", "urandom", "zero")
)
_OWN_FOLDERS = ("/dev/mqueue", "/dev/pts", "/dev/shm")
_ESCAPES = {r"\040": " ", r"\011": "\t", r"\012": "\n", r"\134": "\\"}


@dataclass(frozen=True)
class _Mount:
    root: str
    point: str
    mode: str
    kind: str
    options: tuple[str, ...]

    @property
    def own_tmpfs(self) -> bool:
        """A tmpfs of the container's own. A bind out of one of the host's shows a part of it."""
        return self.kind == "tmpfs" and self.root == "/"


def mount_rows(mountinfo: Path | str) -> dict[str, str | None]:
    """What is mounted where, and how. Of several mounts at one point the last made counts."""
    return dict(_rows_of(read_text(mountinfo)))


@functools.lru_cache(maxsize=8)  # the same text at every look: to take it apart is most of what a look at it costs
def _rows_of(mountinfo: str) -> dict[str, str | None]:
    mounts = {mount.point: mount for mount in _mounts(mountinfo)}
    asked = [
        mount
        for point, mount in mounts.items()
        if point not in ("/", *_ENGINES) and not any(_below(point, top) for top in _KERNELS)
    ]
    writable = [mount.point for mount in mounts.values() if mount.mode == "rw" and not _kernels_own(mount.point)]
    modes = {point: mounts[point].mode if point in mounts else "unknown" for point in ("/", "/sys")}
    return {
        "rootfs.readonly": modes["/"],
        "sys.readonly": modes["/sys"],
        "proc_sys.readonly": mounts["/proc/sys"].mode if "/proc/sys" in mounts else "rw",
        "mounts.writable": ",".join(sorted(writable)),
        "mounts.binds": ",".join(sorted(f"{one.point}:{one.mode}" for one in asked if not one.own_tmpfs)),
        "tmpfs": ",".join(sorted(f"{one.point}:{_size(one)}" for one in asked if one.own_tmpfs)),
        "shm_bytes": _size(mounts["/dev/shm"]) if "/dev/shm" in mounts else "none",
    }


def device_nodes(root: Path | str) -> list[str]:
    """Nodes, pipes and sockets below a container's ``/dev`` that not every container has. ``root``: /proc/PID/root.

    Raises PermissionError when it is another user's and we are not root.
    """
    return sorted(_nodes(root, "/dev"))


def _nodes(root: Path | str, folder: str) -> Iterator[str]:
    with os.scandir(f"{root}{folder}") as entries:
        for entry in entries:
            name = f"{folder}/{entry.name}"
            if entry.is_dir(follow_symlinks=False):
                if name not in _OWN_FOLDERS:
                    yield from _nodes(root, name)
            elif name not in _USUAL_DEVICES and _is_node(entry):
                yield name


def _is_node(entry: os.DirEntry[str]) -> bool:
    mode = entry.stat(follow_symlinks=False).st_mode
    return not (stat.S_ISREG(mode) or stat.S_ISLNK(mode))


def _mounts(text: str) -> Iterator[_Mount]:
    for line in text.splitlines():
        fields = line.split()
        if "-" not in fields[6:]:
            continue
        dash = fields.index("-", 6)  # any number of optional fields stands before it
        mode = "ro" if "ro" in fields[5].split(",") else "rw"
        yield _Mount(
            _unescape(fields[3]), _unescape(fields[4]), mode, fields[dash + 1], tuple(fields[dash + 3].split(","))
        )


def _size(mount: _Mount) -> str:
    """In bytes; the kernel shows KiB, and nothing at all when nobody set a size."""
    text = next((option.removeprefix("size=") for option in mount.options if option.startswith("size=")), "")
    if not text:
        return "unlimited"
    return str(int(text.removesuffix("k")) * 1024) if text.endswith("k") else text


def _kernels_own(point: str) -> bool:
    return any(_below(point, top) for top in ("/proc", "/dev", "/sys/fs/cgroup"))


def _below(point: str, top: str) -> bool:
    return point == top or point.startswith(top + "/")


def _unescape(text: str) -> str:
    for written, meant in _ESCAPES.items():
        text = text.replace(written, meant)
    return text
