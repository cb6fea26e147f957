"""The rows of the isolation baseline and the one value each must read as.

The value strings are the contract between four readers (this module, the engine's view, the host's view, the agent);
``docs/agent.md`` lists them with the kernel file each comes from.
"""

from __future__ import annotations

from toolkit.canonical import digest
from toolkit.model.container import ContainerSpec
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.model.plan import CellPlan

# Rows that only the engine can state: the kernel does not know them.
ENGINE_ONLY = frozenset(
    {
        "seccomp.profile",
        "log.driver",
        "privileged",
        "devices",
        "restart_policy",
        "healthcheck",
        "init",
        "tmpfs",
        "shm_bytes",
        "namespaces",
        "mounts.binds",
        "apparmor",
    }
)

# Rows that the engine cannot know: they are made inside the container.
ENGINE_BLIND = frozenset({"workload.affinity", "agent.affinity", "mems.allowed", "memory.policy"})

# What Docker itself adds to a container's environment.
_ENGINE_VARIABLES = ("HOSTNAME",)


def requested_rows(
    spec: ContainerSpec, cell: CellPlan, role: str, cgroup_version: str, *, apparmor: bool = False
) -> dict[str, str]:
    """Row id to the value it must have. ``role``: ``sdk`` or ``backend``; ``cgroup_version``: the engine's word."""
    workload = cell.cpus if role == "sdk" else cell.backend_cpus
    rows = {
        "container.cpuset": _normal(spec.cpuset_cpus),
        "container.mems": _normal(spec.cpuset_mems),
        "workload.affinity": _normal(workload),
        "agent.affinity": _normal(cell.agent_cpus),
        "mems.allowed": _normal(spec.cpuset_mems),
        "cpu.quota": "none",
        "memory.limit_bytes": str(spec.memory_bytes),
        "memory.swap_bytes": "0",
        "pids.limit": str(spec.pids_limit),
        "capabilities": "none",
        "no_new_privileges": "1",
        "seccomp.mode": "2",
        "user": spec.user,
        "rootfs.readonly": "ro",
        "sys.readonly": "ro",
        "proc_sys.readonly": "ro",
        "network": "loopback-only",
        "resolv_conf": "empty",
        "mounts.writable": ",".join(sorted(_writable(spec))),
        "environment": ",".join(sorted({*spec.environment, *_ENGINE_VARIABLES})),
    }
    if cell.mem_policy != "none":
        rows["memory.policy"] = policy_value(cell)
    if cgroup_version == "1":
        # cgroup v2 has no swappiness per group: the row does not exist there.
        rows["memory.swappiness"] = "0"
    rows.update({f"ulimit.{limit.name}": f"{limit.soft}:{limit.hard}" for limit in spec.ulimits})
    rows.update(_engine_only(spec))
    # Where the kernel has AppArmor on, the engine confines by its own profile (CIS Docker Benchmark 5.2).
    rows["apparmor"] = "docker-default" if apparmor else "none"
    return rows


def _engine_only(spec: ContainerSpec) -> dict[str, str]:
    return {
        "seccomp.profile": digest(dict(spec.seccomp)) if spec.seccomp is not None else "engine-default",
        "log.driver": f"json-file:{spec.log_max_bytes}",
        "privileged": "false",
        "devices": "none",
        "restart_policy": "no",
        "healthcheck": "none",
        "init": "false",
        "tmpfs": ",".join(f"{mount.target}:{mount.size_bytes}" for mount in sorted(spec.tmpfs, key=lambda m: m.target)),
        "shm_bytes": str(spec.shm_bytes),
        "namespaces": "private",
        "mounts.binds": ",".join(sorted(f"{mount.target}:{'rw' if mount.writable else 'ro'}" for mount in spec.mounts)),
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
    return {row: value for row, value in rows.items() if row not in ENGINE_ONLY}
