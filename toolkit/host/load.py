"""What goes on on each CPU right now: two readings of the kernel's counters and their difference.

Sources: proc(5) ``/proc/stat`` (per CPU, in clock ticks) and ``/proc/interrupts`` (numbered rows are devices').
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

_STEAL = 7
_BUSY = (0, 1, 2, 5, 6)
"""user nice system irq softirq; the others are idle, iowait and steal, and guest time is part of user."""


@dataclass(frozen=True)
class Reading:
    """Counters since boot: ticks busy, stolen and in all, and interrupts of devices, per CPU."""

    monotonic_seconds: float
    busy_ticks: Mapping[int, int] = field(default_factory=dict)
    steal_ticks: Mapping[int, int] = field(default_factory=dict)
    all_ticks: Mapping[int, int] = field(default_factory=dict)
    interrupts: Mapping[int, int] = field(default_factory=dict)

    def steal_share(self, cpus: tuple[int, ...]) -> float | None:
        """Share of these CPUs' time since boot that a hypervisor took; None when the kernel does not tell."""
        total = sum(self.all_ticks.get(cpu, 0) for cpu in cpus)
        return sum(self.steal_ticks.get(cpu, 0) for cpu in cpus) / total if total else None


@dataclass(frozen=True)
class Load:
    """What happened between two readings."""

    first: Reading
    last: Reading

    @property
    def seconds(self) -> float:
        """How long was looked."""
        return self.last.monotonic_seconds - self.first.monotonic_seconds

    def busy_share(self, cpus: tuple[int, ...]) -> float | None:
        """Share of these CPUs' time that somebody used, 0 to 1; None when the kernel does not tell."""
        return self._share(self.first.busy_ticks, self.last.busy_ticks, cpus)

    def steal_share(self, cpus: tuple[int, ...]) -> float | None:
        """Share that a hypervisor took, 0 to 1; None when the kernel does not tell."""
        return self._share(self.first.steal_ticks, self.last.steal_ticks, cpus)

    def interrupts_hz(self, cpus: tuple[int, ...]) -> float | None:
        """Interrupts of devices on these CPUs, a second; None when the kernel does not tell."""
        if self.seconds <= 0 or not all(cpu in self.last.interrupts for cpu in cpus):
            return None
        return sum(self.last.interrupts[cpu] - self.first.interrupts.get(cpu, 0) for cpu in cpus) / self.seconds

    def _share(self, first: Mapping[int, int], last: Mapping[int, int], cpus: tuple[int, ...]) -> float | None:
        # By the clock, not by the sum of ticks: a CPU that sleeps accounts its idle ticks late.
        ticks = self.seconds * os.sysconf("SC_CLK_TCK") * len(cpus)
        if ticks <= 0 or not all(cpu in first and cpu in last for cpu in cpus):
            return None
        return min(sum(last[cpu] - first[cpu] for cpu in cpus) / ticks, 1.0)


def read_counters(root: Path = Path("/")) -> Reading:
    """Now. What cannot be read is left out."""
    busy, steal, total = {}, {}, {}
    moment = time.monotonic()
    for line in _lines(root / "proc/stat"):
        name, *numbers = line.split()
        if name.startswith("cpu") and name[3:].isdecimal() and len(numbers) > _STEAL:
            values = [int(number) for number in numbers]
            cpu = int(name[3:])
            busy[cpu], steal[cpu] = sum(values[column] for column in _BUSY), values[_STEAL]
            total[cpu] = sum(values[: _STEAL + 1])
    return Reading(moment, busy, steal, total, device_interrupts(_lines(root / "proc/interrupts")))


def device_interrupts(lines: list[str]) -> dict[int, int]:
    """Per CPU, the sum over the numbered rows of ``/proc/interrupts``; its head names the CPUs that are online."""
    if not lines:
        return {}
    cpus = [int(word[3:]) for word in lines[0].split() if word.startswith("CPU") and word[3:].isdecimal()]
    found = dict.fromkeys(cpus, 0)
    for line in lines[1:]:
        words = line.split()
        if len(words) > len(cpus) and words[0].rstrip(":").isdecimal():
            for cpu, word in zip(cpus, words[1:], strict=False):
                found[cpu] += int(word)
    return found


def watch_load(seconds: float, root: Path = Path("/")) -> Load:
    """Look for so long, doing nothing meanwhile."""
    first = read_counters(root)
    time.sleep(seconds)
    return Load(first, read_counters(root))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text().splitlines()
    except OSError:
        return []
