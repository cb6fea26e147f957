"""The other threads of a CPU's core (Documentation/ABI/stable/sysfs-devices-system-cpu, ``thread_siblings_list``)."""

from __future__ import annotations

from collections.abc import Iterable

from toolkit.host.property import Surroundings


def siblings_of(around: Surroundings, cpus: Iterable[int]) -> tuple[int, ...]:
    """CPUs on the same cores that are not among ``cpus``; those that are offline have no core and do not count."""
    asked = set(cpus)
    found = {
        other
        for cpu in asked
        for other in around.cpu_list(f"sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list")
    }
    return tuple(sorted(found - asked))
