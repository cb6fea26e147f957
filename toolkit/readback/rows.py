"""The rows of the isolation baseline and the one value each must read as.

The value strings are the contract between four readers (this module, the engine's view, the host's view, the agent);
``docs/agent.md`` lists them with the kernel file each comes from. Every row is asked for on every host: one that a
cgroup version cannot have (``LACKING``) ends *absent*.
"""

from __future__ import annotations

from toolkit.canonical import digest
from toolkit.model.container import ContainerSpec
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.model.plan import CellPlan
from toolkit.readback.environment import AGENT_SETTINGS, ENGINE_VARIABLES, entries_digest, value_of, values_digest

ENGINE_ONLY = frozenset({"seccomp.profile", "log.driver", "privileged", "restart_policy", "healthcheck"})
"""Rows that only the engine can state. The kernel keeps a filter's instructions, not the profile they were made from;
"privileged" is a word for many rows that the kernel does show; log driver, restart policy and health check are what the
engine itself will do."""

ENGINE_BLIND = frozenset(
    {
        "workload.affinity",
        "agent.affinity",
        "mems.allowed",
        "memory.policy",
        "memory.high_bytes",
        "workload.environment",
    }
)
"""Rows that the engine cannot know: they are made inside the container, or it has no word for them."""

HOST_JUDGED = frozenset({"apparmor", "agent.settings"})
"""Rows that the agent reads and does not judge: what they must be is not known where its settings are made."""

LACKING: dict[str, frozenset[str]] = {
    "1": frozenset({"memory.high_bytes"}),
    "2": frozenset({"memory.swappiness", "oom.kill_disable"}),
}
"""Rows whose file a cgroup version (the engine's word) does not have, in any kernel (cgroup-v1/memory.rst,
cgroup-v2.rst)."""


def lacking(cgroup_version: str) -> frozenset[str]:
    """The rows that cannot exist in this cgroup version."""
    return LACKING.get(cgroup_version, frozenset())


def requested_rows(spec: ContainerSpec, cell: CellPlan, role: str, *, apparmor: bool = False) -> dict[str, str]:
    """Row id to the value it must have. ``role``: ``sdk`` or ``backend``; ``apparmor``: the engine confines by it."""
    return {
        **_placement(spec, cell, cell.cpus if role == "sdk" else cell.backend_cpus),
        **_resources(spec),
        **_security(spec),
        **_file_systems(spec),
        **_environment(spec),
        **{f"ulimit.{limit.name}": f"{limit.soft}:{limit.hard}" for limit in spec.ulimits},
        "network": "loopback-only",
        "resolv_conf": "empty",
        "log.driver": f"json-file:{spec.log_max_bytes}",
        "restart_policy": "no",
        "healthcheck": "none",
        "init": "false",
        # Where the kernel has AppArmor on, the engine confines by its own profile (CIS Docker Benchmark 5.2).
        "apparmor": "docker-default" if apparmor else "none",
    }


def _placement(spec: ContainerSpec, cell: CellPlan, workload: str) -> dict[str, str]:
    rows = {
        "container.cpuset": _normal(spec.cpuset_cpus),
        "container.mems": _normal(spec.cpuset_mems),
        "workload.affinity": _normal(workload),
        "agent.affinity": _normal(cell.agent_cpus),
        "mems.allowed": _normal(spec.cpuset_mems),
    }
    if cell.mem_policy != "none":
        rows["memory.policy"] = policy_value(cell)
    return rows


def _resources(spec: ContainerSpec) -> dict[str, str]:
    return {
        "cpu.quota": "none",
        "cpu.weight": "default",
        "memory.limit_bytes": str(spec.memory_bytes),
        "memory.high_bytes": "max",
        "memory.swap_bytes": "0",
        "memory.swappiness": "0",
        "oom.kill_disable": "false",
        "pids.limit": str(spec.pids_limit),
    }


def _security(spec: ContainerSpec) -> dict[str, str]:
    return {
        "capabilities": "none",
        "no_new_privileges": "1",
        "seccomp.mode": "2",
        "seccomp.profile": digest(dict(spec.seccomp)) if spec.seccomp is not None else "engine-default",
        "user": spec.user,
        "privileged": "false",
        "devices": "none",
        "namespaces": "private",
    }


def _file_systems(spec: ContainerSpec) -> dict[str, str]:
    return {
        "rootfs.readonly": "ro",
        "sys.readonly": "ro",
        "proc_sys.readonly": "ro",
        "mounts.writable": ",".join(sorted(_writable(spec))),
        "mounts.binds": ",".join(sorted(f"{mount.target}:{'rw' if mount.writable else 'ro'}" for mount in spec.mounts)),
        "tmpfs": ",".join(f"{mount.target}:{mount.size_bytes}" for mount in sorted(spec.tmpfs, key=lambda m: m.target)),
        "shm_bytes": str(spec.shm_bytes),
    }


def _environment(spec: ContainerSpec) -> dict[str, str]:
    entries = [f"{name}={value}".encode() for name, value in spec.environment.items()]
    values = values_digest(entries)
    return {
        "environment": ",".join(sorted({*spec.environment, *ENGINE_VARIABLES})),
        "environment.values": values,
        "workload.environment": values,
        "agent.settings": entries_digest([value_of(entries, AGENT_SETTINGS) or b""]),
        "gomaxprocs": spec.environment.get("GOMAXPROCS", "unset"),
    }


def policy_value(cell: CellPlan) -> str:
    """How ``numa_maps`` (proc(5)) names the policy that ``numactl`` sets."""
    nodes = _normal(cell.mems)
    return {
        "bind": f"bind:{nodes}",
        "interleave": f"interleave:{nodes}",
        "preferred": f"prefer:{nodes}",
    }[cell.mem_policy]


def _normal(cpus: str) -> str:
    return format_cpulist(parse_cpulist(cpus))


def _writable(spec: ContainerSpec) -> set[str]:
    return {mount.target for mount in spec.mounts if mount.writable} | {mount.target for mount in spec.tmpfs}


def agent_expectations(rows: dict[str, str]) -> dict[str, str]:
    """The part of the requested rows that the agent checks by itself before it starts the program."""
    return {row: value for row, value in rows.items() if row not in ENGINE_ONLY | HOST_JUDGED}
