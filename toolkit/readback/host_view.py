"""The host's own reading of a container's limits, from ``/proc`` and the cgroup file system (proc(5), cgroups(7)).

Rows that this user may not read (another user's ``numa_maps`` without root) are left out: the agent witnesses them.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from toolkit.model.cpulist import format_cpulist, parse_cpulist

_NO_LIMIT = 1 << 62
_V1_CONTROLLERS = ("cpuset", "memory", "pids", "cpu")


@dataclass(frozen=True)
class HostProbe:
    """Where to look: the container's first process, and the roots (changed by tests)."""

    pid: int
    proc: Path = Path("/proc")
    cgroup_root: Path = Path("/sys/fs/cgroup")


def host_rows(probe: HostProbe) -> dict[str, str | None]:
    """Row id to what the kernel shows from outside; None: no such file in this kernel. Unreadable rows are left out."""
    rows: dict[str, str | None] = {}
    for reader in (_cgroup_rows, _agent_rows, _child_rows, _mount_rows, _network_rows, _limit_rows):
        _collect(rows, lambda read=reader: read(probe))  # type: ignore[misc]
    return rows


def _collect(rows: dict[str, str | None], read: Callable[[], dict[str, str | None]]) -> None:
    try:
        rows.update(read())
    except (OSError, LookupError, ValueError):
        # Not ours to see, or gone: the row stays without this witness, and ``decide`` says so.
        return


def cgroup_folders(probe: HostProbe) -> tuple[str, dict[str, Path]]:
    """The cgroup version and the folder of each controller we read (cgroups(7), /proc/PID/cgroup)."""
    lines = (probe.proc / str(probe.pid) / "cgroup").read_text().splitlines()
    entries = [line.split(":", 2) for line in lines]
    if len(entries) == 1 and entries[0][1] == "":
        folder = probe.cgroup_root / entries[0][2].lstrip("/")
        return "v2", dict.fromkeys(_V1_CONTROLLERS, folder)
    folders: dict[str, Path] = {}
    for _number, names, path in entries:
        for name in names.split(","):
            if name in _V1_CONTROLLERS:
                folders[name] = probe.cgroup_root / name / path.lstrip("/")
    return "v1", folders


def _cgroup_rows(probe: HostProbe) -> dict[str, str | None]:
    version, folder = cgroup_folders(probe)
    return _v1_rows(folder) if version == "v1" else _v2_rows(folder["memory"])


def _v1_rows(folder: dict[str, Path]) -> dict[str, str | None]:
    memory, cpu = folder["memory"], folder["cpu"]
    limit = int(_text(memory / "memory.limit_in_bytes"))
    both = memory / "memory.memsw.limit_in_bytes"
    quota = int(_text(cpu / "cpu.cfs_quota_us"))
    return {
        "container.cpuset": _list(_text(folder["cpuset"] / "cpuset.cpus")),
        "container.mems": _list(_text(folder["cpuset"] / "cpuset.mems")),
        "cpu.quota": "none" if quota < 0 else f"{quota}/{_text(cpu / 'cpu.cfs_period_us')}",
        "memory.limit_bytes": str(limit),
        "memory.swap_bytes": str(int(_text(both)) - limit) if both.exists() else None,
        "memory.swappiness": _text(memory / "memory.swappiness"),
        "pids.limit": _text(folder["pids"] / "pids.max"),
    }


def _v2_rows(folder: Path) -> dict[str, str | None]:
    if not folder.exists():
        raise FileNotFoundError(folder)

    # A controller that is not delegated to the engine has no files here; that must not hide the others' rows.
    def text(name: str) -> str | None:
        return _text(folder / name) if (folder / name).exists() else None

    cpus, mems, quota = text("cpuset.cpus.effective"), text("cpuset.mems.effective"), text("cpu.max")
    return {
        "container.cpuset": None if cpus is None else _list(cpus),
        "container.mems": None if mems is None else _list(mems),
        "cpu.quota": None if quota is None else _quota(quota),
        "memory.limit_bytes": text("memory.max"),
        "memory.swap_bytes": text("memory.swap.max"),
        "memory.swappiness": None,
        "pids.limit": text("pids.max"),
    }


def _quota(text: str) -> str:
    quota, period = text.split()
    return "none" if quota == "max" else f"{quota}/{period}"


def status_fields(path: Path) -> dict[str, str]:
    """``/proc/PID/status`` as a mapping."""
    pairs = (line.split(":", 1) for line in path.read_text().splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs}


def _agent_rows(probe: HostProbe) -> dict[str, str | None]:
    folder = probe.proc / str(probe.pid)
    status = status_fields(folder / "status")
    return {"agent.affinity": _threads_affinity([folder]), **_status_rows(status), "user": _user(folder, status)}


def _status_rows(status: dict[str, str]) -> dict[str, str | None]:
    sets = {name.lower(): status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
    none = all(int(value, 16) == 0 for value in sets.values())
    return {
        "capabilities": "none" if none else ",".join(f"{name}={value}" for name, value in sets.items()),
        "no_new_privileges": status["NoNewPrivs"],
        "seccomp.mode": status["Seccomp"],
    }


def _user(folder: Path, status: dict[str, str]) -> str:
    """As the container's own user namespace names it: a rootless engine maps its users to subordinate ones."""
    uid = _inside(status["Uid"].split()[1], folder / "uid_map")
    gids, groups = folder / "gid_map", status.get("Groups", "").split()
    gid = _inside(status["Gid"].split()[1], gids)
    extra = "".join(f"+{group}" for group in (_inside(one, gids) for one in groups) if group != gid)
    return f"{uid}:{gid}{extra}"


def _inside(outside: str, id_map: Path) -> str:
    """An id of ours as the map (user_namespaces(7): first inside, first outside, count) names it; itself if unmapped.

    Every kernel with user namespaces has the file, and without a namespace of its own a process has the identity in it.
    """
    number = int(outside)
    for line in id_map.read_text().splitlines():
        inside, begin, count = map(int, line.split())
        if begin <= number < begin + count:
            return str(number - begin + inside)
    return outside


def descendants(probe: HostProbe) -> list[int]:
    """The processes below the container's first one, children first (``/proc/PID/task/TID/children``)."""
    found: list[int] = []
    queue = [probe.pid]
    while queue:
        parent = queue.pop(0)
        for task in sorted((probe.proc / str(parent) / "task").iterdir()):
            children = (task / "children").read_text().split()
            found.extend(int(child) for child in children)
            queue.extend(int(child) for child in children)
    return found


def _child_rows(probe: HostProbe) -> dict[str, str | None]:
    folders = [probe.proc / str(pid) for pid in descendants(probe)]
    if not folders:
        return {}
    rows: dict[str, str | None] = {
        "workload.affinity": _threads_affinity(folders),
        "mems.allowed": _list(status_fields(folders[0] / "status")["Mems_allowed_list"]),
    }
    # Another user's numa_maps needs root (ptrace access, proc(5)); the agent reads its own child's.
    with suppress(OSError):
        rows["memory.policy"] = _policy((folders[0] / "numa_maps").read_text())
    return rows


def _policy(numa_maps: str) -> str | None:
    found = {line.split()[1] for line in numa_maps.splitlines() if len(line.split()) > 1}
    return ",".join(sorted(found)) or None


def _threads_affinity(folders: list[Path]) -> str:
    lists: dict[str, str] = {}
    for folder in folders:
        for task in sorted((folder / "task").iterdir()):
            lists.setdefault(_list(status_fields(task / "status")["Cpus_allowed_list"]), task.name)
    if len(lists) == 1:
        return next(iter(lists))
    return "; ".join(f"{cpus} (thread {thread})" for cpus, thread in sorted(lists.items()))


def _mount_rows(probe: HostProbe) -> dict[str, str | None]:
    options = {
        fields[4]: fields[5].split(",")[0]
        for fields in (line.split() for line in (probe.proc / str(probe.pid) / "mountinfo").read_text().splitlines())
    }
    kernel = ("/proc", "/dev", "/sys/fs/cgroup")
    writable = sorted(
        target
        for target, mode in options.items()
        if mode == "rw" and not any(target == top or target.startswith(top + "/") for top in kernel)
    )
    return {
        "rootfs.readonly": options.get("/", "unknown"),
        "sys.readonly": options.get("/sys", "unknown"),
        "proc_sys.readonly": options.get("/proc/sys", "rw"),
        "mounts.writable": ",".join(writable),
    }


def _network_rows(probe: HostProbe) -> dict[str, str | None]:
    net = probe.proc / str(probe.pid) / "net"
    devices = [line.split(":")[0].strip() for line in (net / "dev").read_text().splitlines()[2:]]
    routes = len((net / "route").read_text().splitlines()) > 1
    if devices == ["lo"] and not routes:
        return {"network": "loopback-only"}
    return {"network": ",".join(devices) + (",routes" if routes else "")}


def _limit_rows(probe: HostProbe) -> dict[str, str | None]:
    names = {"Max core file size": "ulimit.core", "Max open files": "ulimit.nofile"}
    rows: dict[str, str | None] = {}
    for line in (probe.proc / str(probe.pid) / "limits").read_text().splitlines():
        for title, row in names.items():
            if line.startswith(title):
                soft, hard = line[len(title) :].split()[:2]
                rows[row] = f"{soft}:{hard}"
    return rows


def _text(path: Path) -> str:
    return path.read_text().strip()


def _list(text: str) -> str:
    return format_cpulist(parse_cpulist(text)) if text else ""
