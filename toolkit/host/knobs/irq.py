"""Interrupts of devices: which CPUs may serve them (Documentation/core-api/irq/irq-affinity.rst)."""

from __future__ import annotations

from collections.abc import Iterable

from toolkit.host.knobs.knob import Change, Knob, same_cpus
from toolkit.host.property import OK, Advice, Surroundings
from toolkit.model.cpulist import format_cpulist


def affinities(around: Surroundings) -> dict[int, tuple[int, ...]]:
    """Each interrupt's CPUs, as asked for (``smp_affinity_list``); those that cannot be read are left out."""
    found = {}
    for path in (around.root / "proc/irq").glob("[0-9]*"):
        cpus = around.cpu_list(f"proc/irq/{path.name}/smp_affinity_list")
        if cpus:
            found[int(path.name)] = cpus
    return dict(sorted(found.items()))


def moves(around: Surroundings, knob: str, away: Iterable[int], *, only_there: bool = False) -> list[Change]:
    """Interrupts that may come to some CPUs, moved to the others; ``only_there``: those that can go nowhere else."""
    leave = set(away)
    others = set(around.topology.cpus) - leave
    found = []
    for number, cpus in affinities(around).items():
        if not leave & set(cpus) or (only_there and set(cpus) & others):
            continue
        target = f"proc/irq/{number}/smp_affinity_list"
        wanted = format_cpulist(set(cpus) & others or others)
        former = around.text(target) or format_cpulist(cpus)
        found.append(Change(knob, target, former, wanted, device_of(around, target)))
    return found


def device_of(around: Surroundings, target: str) -> str:
    """Who asked for the interrupt: after a reboot its number may belong to somebody else."""
    number = target.split("/")[2]
    told = around.text(f"sys/kernel/irq/{number}/actions")
    if told is not None:
        return told
    return ",".join(sorted(path.name for path in (around.root / f"proc/irq/{number}").glob("*/")))


def followed(around: Surroundings, knob: str) -> list[Change]:
    """Interrupts that a driver spreads anew whenever a CPU comes or goes, such as virtio-net's: held where they are.

    These are the ones with a hint (``/proc/irq/N/affinity_hint``): setting a hint sets the affinity, too.
    """
    found = []
    for number, cpus in affinities(around).items():
        hint = (around.text(f"proc/irq/{number}/affinity_hint") or "0").replace(",", "")
        if int(hint, 16):
            target = f"proc/irq/{number}/smp_affinity_list"
            now = around.text(target) or format_cpulist(cpus)
            found.append(Change(knob, target, now, now, device_of(around, target)))
    return found


class Interrupts(Knob):
    """Interrupts on the measured CPUs stop the program that is measured."""

    id = "irq"
    group = "CPUs"
    does = "interrupts of devices go to the other CPUs"
    needs_cpus = True

    def _away(self) -> tuple[int, ...]:
        """The measured CPUs and the other threads of their cores."""
        measured = self.around.measured()
        return tuple(sorted({*measured, *self.around.topology.siblings(measured)}))

    def available(self) -> bool:
        return bool(affinities(self.around))

    def show(self) -> str:
        here = affinities(self.around)
        touched = [number for number, cpus in here.items() if set(cpus) & set(self.around.measured())]
        named = format_cpulist(self.around.measured())
        return f"{len(touched)} of {len(here)} may come to CPU {named}"

    def advise(self) -> Advice:
        return OK  # whether they do come is said by the row of what happens now

    def hindrance(self) -> str:
        if not set(self.around.topology.cpus) - set(self._away()):
            return f"no CPU is left for them beside {format_cpulist(self._away())}"
        return ""

    def changes(self) -> list[Change]:
        return moves(self.around, self.id, self._away())

    def same(self, one: str, other: str) -> bool:
        return same_cpus(one, other)

    def identity(self, target: str) -> str:
        return device_of(self.around, target)
