"""What a manifest says of the host: facts that bear on a measurement, and nothing that names the machine or its user.

The *environment key* is the digest of those that make absolute numbers comparable (reference: comparability key).
"""

from __future__ import annotations

import os
import platform
from pathlib import Path
from typing import Any

from toolkit.canonical import digest
from toolkit.engine.port import EngineFacts
from toolkit.host.cpu_level import level_of
from toolkit.host.knobs.journal import state_folder
from toolkit.host.knobs.knob import chosen
from toolkit.host.knobs.tune import tuned_knobs
from toolkit.host.topology import Topology

# Facts whose change makes times and bytes of two runs incomparable.
_KEY = (
    "architecture",
    "cpu_model",
    "cpu_microcode",
    "cpu_mitigations",
    "kernel",
    "smt",
    "virtualization",
    "cgroup_version",
)


def host_facts(topology: Topology, engine: EngineFacts, root: Path = Path("/")) -> dict[str, Any]:
    """A flat map with stable snake_case keys; a fact that cannot be read is left out, never invented."""
    cpu = _cpuinfo(root)
    facts: dict[str, Any] = {
        "architecture": platform.machine(),
        "kernel": platform.release(),
        "cpu_model": cpu.get("model name"),
        "cpu_level": level_of(cpu.get("flags", "").split()),
        "cpu_microcode": cpu.get("microcode"),
        "cpu_mitigations": digest(_vulnerabilities(root)),
        "cpus_online": len(topology.cpus),
        "memory_nodes": len(topology.nodes),
        "memory_bytes": topology.memory_bytes,
        "swap_bytes": _meminfo(root, "SwapTotal"),
        "smt": _read(root / "sys/devices/system/cpu/smt/control"),
        "governor": _read(root / "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "clocksource": _read(root / "sys/devices/system/clocksource/clocksource0/current_clocksource"),
        "transparent_hugepages": chosen(_read(root / "sys/kernel/mm/transparent_hugepage/enabled")),
        "transparent_hugepages_defrag": chosen(_read(root / "sys/kernel/mm/transparent_hugepage/defrag")),
        "numa_balancing": _read(root / "proc/sys/kernel/numa_balancing"),
        "aslr": _read(root / "proc/sys/kernel/randomize_va_space"),
        "turbo": _turbo(root),
        "idle_state": _deepest_idle(root),
        "nmi_watchdog": _read(root / "proc/sys/kernel/nmi_watchdog"),
        "workqueue_cpumask": _read(root / "sys/devices/virtual/workqueue/cpumask"),
        "isolated_cpus": _read(root / "sys/devices/system/cpu/isolated"),
        "tuned": ",".join(tuned_knobs(state_folder(), root)),
        "virtualization": "hypervisor" if "hypervisor" in cpu.get("flags", "").split() else "none",
        "cgroup_version": engine.cgroup_version,
        "swap_accounting": engine.swap_limit,
        "engine_version": engine.version,
        "engine_api_version": engine.api_version,
        "engine_storage_driver": engine.storage_driver,
        "engine_rootless": engine.rootless,
        "runtime_version": engine.runtime_version,
        "containerd_version": engine.containerd_version,
        "rights": "root" if os.geteuid() == 0 else "user",
    }
    kept = {key: value for key, value in facts.items() if value not in (None, "")}
    kept["environment_key"] = digest({key: kept.get(key) for key in _KEY})
    return kept


def _cpuinfo(root: Path) -> dict[str, str]:
    """The first processor of ``/proc/cpuinfo``."""
    fields: dict[str, str] = {}
    for line in (root / "proc/cpuinfo").read_text().split("\n\n")[0].splitlines():
        key, _colon, value = line.partition(":")
        fields[key.strip()] = value.strip()
    return fields


def _vulnerabilities(root: Path) -> dict[str, str]:
    folder = root / "sys/devices/system/cpu/vulnerabilities"
    return {path.name: _read(path) or "" for path in sorted(folder.glob("*"))}


def _meminfo(root: Path, key: str) -> int | None:
    for line in (root / "proc/meminfo").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text().strip()
    except OSError:
        return None


def _deepest_idle(root: Path) -> str | None:
    """The name of the deepest idle state that the first CPU may enter, by its exit latency (``cpuidle/state*``)."""
    found = []
    for folder in (root / "sys/devices/system/cpu/cpu0/cpuidle").glob("state*"):
        latency = _read(folder / "latency") or ""
        if latency.isdecimal() and _read(folder / "disable") != "1":
            found.append((int(latency), _read(folder / "name") or folder.name))
    return max(found)[1] if found else None


def _turbo(root: Path) -> str | None:
    """``on`` or ``off``, where the kernel has a switch for clocks above the nominal one."""
    for path, on in (("intel_pstate/no_turbo", "0"), ("cpufreq/boost", "1")):
        value = _read(root / "sys/devices/system/cpu" / path)
        if value is not None:
            return "on" if value == on else "off"
    return None
