"""The other thread of a measured core, taken offline (Documentation/core-api/cpu_hotplug.rst).

Taking a CPU offline changes more than its own file, and the kernel does not put that back: on cgroup v1 every cpuset
loses the CPU for ever (kernel/cgroup/cpuset.c, ``hotplug_update_tasks_legacy``), and an interrupt that could go nowhere
else is given to all. So these are changed first, by us, and stand in the journal with what they were. Some drivers
spread their interrupts anew over all CPUs each time one comes or goes: those are held, on the way there and back.
"""

from __future__ import annotations

from toolkit.host.knobs.irq import device_of, followed, moves
from toolkit.host.knobs.knob import Change, Knob, same_cpus
from toolkit.host.property import OK, Advice
from toolkit.model.cpulist import format_cpulist

_CPUSETS = "sys/fs/cgroup/cpuset"  # where cgroup v1 mounts that controller; on v2 the kernel remembers by itself
_CONTROL = "sys/devices/system/cpu/smt/control"


class Siblings(Knob):
    """Two threads of one core share its execution units: whoever runs on the other one is felt."""

    id = "smt"
    group = "CPUs"
    does = "the other threads of the measured cores are taken offline"
    needs_cpus = True

    def _others(self) -> tuple[int, ...]:
        online = self.around.topology.siblings(self.around.measured())
        return tuple(cpu for cpu in online if self.around.text(_online(cpu)) != "0")

    def available(self) -> bool:
        control = self.around.text(_CONTROL)
        return any(len(core) > 1 for core in self.around.topology.cores) or control in ("on", "off", "forceoff")

    def show(self) -> str:
        others = self._others()
        state = self.around.text(_CONTROL) or "on"
        named = format_cpulist(self.around.measured()) or "asked for"
        return f"{state}; the other thread of CPU {named} is {format_cpulist(others) if others else 'not online'}"

    def advise(self) -> Advice:
        others = format_cpulist(self._others())
        if not others:
            return OK
        cpus = format_cpulist(self.around.measured())
        return (
            "warn",
            (
                f"whoever runs on CPU {others} slows CPU {cpus}, which is on the same core: let repro keep it idle "
                f"(--cores), or take it offline: sudo repro host tune --only smt --cpus {cpus}"
            ),
        )

    def hindrance(self) -> str:
        stuck = [cpu for cpu in self._others() if self.around.text(_online(cpu)) is None]
        if stuck:
            return f"CPU {format_cpulist(stuck)} cannot be taken offline here (it has no switch)"
        alone = [path for path, cpus in self._cpusets() if set(cpus) <= set(self._others())]
        if alone:
            return f"the cgroup {alone[0].rpartition('/')[0]} has no other CPU: end what runs in it first"
        return ""

    def _cpusets(self) -> list[tuple[str, tuple[int, ...]]]:
        """Groups of cgroup v1 that hold one of the siblings, deepest first; never the root group, which follows."""
        found = []
        base = self.around.root / _CPUSETS
        for path in sorted(base.rglob("*/cpuset.cpus"), key=lambda one: -len(one.parts)):
            name = str(path.relative_to(self.around.root))
            cpus = self.around.cpu_list(name)
            if set(cpus) & set(self._others()):
                found.append((name, cpus))
        return found

    def changes(self) -> list[Change]:
        others = self._others()
        if not others:
            return []
        held = followed(self.around, self.id)
        found = held + [
            Change(self.id, path, self.around.text(path) or "", format_cpulist(set(cpus) - set(others)))
            for path, cpus in self._cpusets()
        ]
        found += moves(self.around, self.id, others, only_there=True)
        # Held twice: the second ones come after the CPU has gone, the first ones (in reverse) after it has come back.
        return found + [Change(self.id, _online(cpu), "1", "0") for cpu in others] + held

    def same(self, one: str, other: str) -> bool:
        return same_cpus(one, other)

    def identity(self, target: str) -> str:
        return device_of(self.around, target) if target.startswith("proc/irq/") else ""


def _online(cpu: int) -> str:
    return f"sys/devices/system/cpu/cpu{cpu}/online"
