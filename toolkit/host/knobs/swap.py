"""Swap of the host: off while measuring, and on again with the devices, priorities and discard flags it had.

swapon(2) and swapoff(2) are called directly: no program has to be on the path, and its options have no defaults.
``/proc/swaps`` tells device, use and priority. It does not tell the discard flags, so these come from the line of
``/etc/fstab`` that names the device.
"""

from __future__ import annotations

import ctypes
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from toolkit.host.knobs.knob import Change, Knob
from toolkit.host.property import OK, Advice
from toolkit.units import size

_OFF = "off"
# include/linux/swap.h
_PREFER, _PRIORITY_MASK = 0x8000, 0x7FFF
_DISCARD = {"": 0, "all": 0x10000, "once": 0x10000 | 0x20000, "pages": 0x10000 | 0x40000}


@dataclass(frozen=True)
class Area:
    """One line of ``/proc/swaps``. A negative priority is one that the kernel chose."""

    device: str
    size_bytes: int
    used_bytes: int
    priority: int


def read_areas(text: str) -> list[Area]:
    """The areas in use, as ``/proc/swaps`` tells them (proc(5)); sizes there are in KiB, blanks in names are octal."""
    found = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) >= 5:
            found.append(Area(_unescaped(words[0]), int(words[-3]) * 1024, int(words[-2]) * 1024, int(words[-1])))
    return found


def _unescaped(name: str) -> str:
    """The kernel and fstab(5) write blanks in names as ``\\040``."""
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), name)


class Swap(Knob):
    """The containers have no swap, but what is around them can be slowed by it."""

    id = "swap"
    group = "memory"
    does = "swap off; what is in it comes back to memory first"

    def _areas(self) -> list[Area]:
        return read_areas(self.around.text("proc/swaps") or "")

    def available(self) -> bool:
        return bool(self._areas())

    def show(self) -> str:
        areas = self._areas()
        total, used = sum(one.size_bytes for one in areas), sum(one.used_bytes for one in areas)
        return f"{size(total)}, {size(used)} in use"

    def advise(self) -> Advice:
        if not any(one.used_bytes for one in self._areas()):
            return OK
        return "warn", "pages come and go while you measure: sudo repro host tune --only swap"

    def hindrance(self) -> str:
        used = sum(one.used_bytes for one in self._areas())
        free = self.around.free_bytes()
        if used >= free:
            return f"{size(used)} are swapped out and only {size(free)} of memory are free: end other programs first"
        return ""

    def changes(self) -> list[Change]:
        # Lowest first: put back in reverse, the highest comes first and gets the highest priority of the kernel again.
        areas = sorted(self._areas(), key=lambda one: one.priority)
        return [Change(self.id, one.device, self._settings(one), _OFF) for one in areas]

    def _settings(self, area: Area) -> str:
        discard = self._discard(area.device)
        return f"priority={area.priority}" + (f" discard={discard}" if discard else "")

    def read(self, change: Change) -> str | None:
        for area in self._areas():
            if area.device == change.target:
                return self._settings(area)
        return _OFF

    def same(self, one: str, other: str) -> bool:
        """Priorities that the kernel chose mean an order, not a number."""
        return _general(one) == _general(other)

    def write(self, change: Change, value: str) -> None:
        if value == _OFF:
            if not (self.around.root / change.target.lstrip("/")).exists():
                raise FileNotFoundError(2, "its file is deleted, so it could not be switched on again")
            swapoff(change.target)
        else:
            swapon(change.target, _flags(value))

    def _discard(self, device: str) -> str:
        wanted = os.path.realpath(self.around.root / device.lstrip("/"))
        for spec, options in self._fstab():
            if os.path.realpath(self._path(spec)) == wanted:
                for option in options.split(","):
                    if option == "discard":
                        return "all"
                    if option.startswith("discard="):
                        return option.removeprefix("discard=")
        return ""

    def _fstab(self) -> Iterator[tuple[str, str]]:
        for line in (self.around.text("etc/fstab") or "").splitlines():
            words = line.split()
            if len(words) >= 4 and not words[0].startswith("#") and words[2] == "swap":
                yield _unescaped(words[0]), words[3]

    def _path(self, spec: str) -> Path:
        kind, equals, value = spec.partition("=")
        if equals and kind in ("UUID", "LABEL", "PARTUUID", "PARTLABEL"):
            quoted = value.strip('"')
            return self.around.root / f"dev/disk/by-{kind.lower()}/{quoted}"
        return self.around.root / spec.lstrip("/")


def _general(value: str) -> str:
    return re.sub(r"priority=-\d+", "priority=kernel", value)


def _flags(value: str) -> int:
    settings = dict(part.split("=", 1) for part in value.split())
    priority = int(settings["priority"])
    chosen = _PREFER | (priority & _PRIORITY_MASK) if priority >= 0 else 0
    return chosen | _DISCARD.get(settings.get("discard", ""), 0)


def swapon(device: str, flags: int) -> None:
    """swapon(2). Raises OSError."""
    _call("swapon", device, flags)


def swapoff(device: str) -> None:
    """swapoff(2): returns when everything is back in memory. Raises OSError (ENOMEM where it does not fit)."""
    _call("swapoff", device)


def _call(name: str, device: str, *flags: int) -> None:
    function = getattr(ctypes.CDLL(None, use_errno=True), name)
    if function(os.fsencode(device), *flags) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), device)
