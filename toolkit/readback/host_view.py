"""The host's own reading of a container's limits, from ``/proc`` and the cgroup file system (proc(5), cgroups(7)).

Rows that this user may not read (another user's ``numa_maps``, ``environ`` or ``ns`` without root) are left out: the
agent witnesses them.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from toolkit.host.kernelfs import read_bytes, read_small, read_text
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.readback.cgroup_view import cgroup_rows, device_rules
from toolkit.readback.environment import AGENT_SETTINGS, entries_digest, names, value_of, values_digest
from toolkit.readback.mount_view import device_nodes, mount_rows
from toolkit.readback.namespaces import judge, own_namespaces, read_namespaces

Rows = dict[str, str | None]

OWNERS_ONLY = frozenset(
    {
        "memory.policy",
        "environment",
        "environment.values",
        "agent.settings",
        "workload.environment",
        "gomaxprocs",
        "namespaces",
        "devices",
        "resolv_conf",
    }
)
"""Rows whose files the kernel shows to root and to the processes' own user alone (ptrace access, proc(5))."""

AGENT_NAME = "agent"
"""The agent's command name: the first process of every container of ours."""


@dataclass(frozen=True)
class HostProbe:
    """One look: at the container's first process, the other container's (0: none yet); roots are changed by tests."""

    pid: int
    proc: Path = Path("/proc")
    cgroup_root: Path = Path("/sys/fs/cgroup")
    other_pid: int = 0
    cgroup_version: str = "1"

    @cached_property
    def folder(self) -> str:
        """Of the first process, in /proc."""
        return f"{self.proc}/{self.pid}"

    @cached_property
    def program(self) -> str:
        """The folder of the agent's oldest child (orphans that it adopts are younger); ValueError without a child."""
        children = [f"{self.proc}/{child}" for child in _children(self.folder)]
        return children[0] if len(children) == 1 else min(children, key=_start_ticks)

    @cached_property
    def descendants(self) -> list[int]:
        """The processes below the first one, children first."""
        found: list[int] = []
        queue = [self.pid]
        while queue:
            children = _children(f"{self.proc}/{queue.pop(0)}")
            found += children
            queue += children
        return found


def host_rows(probe: HostProbe) -> Rows:
    """Row id to what the kernel shows from outside; None: no such file in this kernel. Unreadable rows are left out."""
    rows: Rows = {}
    for reader in (
        _cgroup_rows,
        _agent_rows,
        _child_rows,
        _mount_rows,
        _network_rows,
        _limit_rows,
        _namespace_rows,
        _device_rows,
        _environment_rows,
        _program_rows,
        _resolver_rows,
    ):
        _collect(rows, lambda read=reader: read(probe))  # type: ignore[misc]
    return rows


def _collect(rows: Rows, read: Callable[[], Rows]) -> None:
    try:
        rows.update(read())
    except (OSError, LookupError, ValueError):
        # Not ours to see, or gone: the row stays without this witness, and ``decide`` says so.
        return


def _cgroup_rows(probe: HostProbe) -> Rows:
    return cgroup_rows(f"{probe.folder}/cgroup", probe.cgroup_root)


def _mount_rows(probe: HostProbe) -> Rows:
    return mount_rows(f"{probe.folder}/mountinfo")


def _device_rows(probe: HostProbe) -> Rows:
    found = device_nodes(f"{probe.folder}/root") + device_rules(f"{probe.folder}/cgroup", probe.cgroup_root)
    return {"devices": ",".join(sorted(found)) or "none"}


def _namespace_rows(probe: HostProbe) -> Rows:
    other = read_namespaces(f"{probe.proc}/{probe.other_pid}") if probe.other_pid else None
    found = judge(read_namespaces(probe.folder), own_namespaces(probe.proc), other, probe.cgroup_version)
    return {"namespaces": found}


def _environment_rows(probe: HostProbe) -> Rows:
    entries = _environ(probe.folder)
    return {
        "environment": ",".join(sorted(names(entries))),
        "environment.values": values_digest(entries),
        "agent.settings": entries_digest([value_of(entries, AGENT_SETTINGS) or b""]),
    }


def _program_rows(probe: HostProbe) -> Rows:
    entries = _environ(probe.program)
    return {
        "workload.environment": values_digest(entries),
        "gomaxprocs": (value_of(entries, "GOMAXPROCS") or b"unset").decode(errors="replace"),
    }


def _environ(folder: str) -> list[bytes]:
    return read_bytes(f"{folder}/environ").removesuffix(b"\0").split(b"\0")


def _resolver_rows(probe: HostProbe) -> Rows:
    size = os.stat(f"{probe.folder}/root/etc/resolv.conf").st_size  # noqa: PTH116 (a Path costs more than the call)
    return {"resolv_conf": "empty" if size == 0 else f"{size} bytes"}


def status_fields(path: str) -> dict[str, str]:
    """``/proc/PID/status`` as a mapping."""
    pairs = (line.split(":", 1) for line in read_small(path).splitlines() if ":" in line)
    return {name: value.strip() for name, value in pairs}


def _agent_rows(probe: HostProbe) -> Rows:
    status = status_fields(f"{probe.folder}/status")
    first = status["Name"] == AGENT_NAME and status["NSpid"].split()[-1] == "1"
    return {
        "agent.affinity": _threads_affinity([probe.folder]),
        "init": "false" if first else "true",
        "apparmor": _apparmor(probe),
        "user": _user(probe.folder, status),
        **_status_rows(status),
    }


def _apparmor(probe: HostProbe) -> str:
    """The profile that confines it; a profile that only complains is named with that word, as the kernel does."""
    path = Path(f"{probe.folder}/attr/apparmor/current")
    if not path.exists():  # before Linux 5.8 one file serves all security modules
        if not _apparmor_is_on():
            return "none"
        path = Path(f"{probe.folder}/attr/current")
    try:
        text = read_text(path).strip("\0\n ")
    except OSError as problem:
        if problem.errno != errno.EINVAL:  # that one means that no module answers
            raise
        return "none"
    unconfined = text in ("", "unconfined") or text.endswith(" (unconfined)")
    return "none" if unconfined else text.removesuffix(" (enforce)")


def _apparmor_is_on(path: Path = Path("/sys/module/apparmor/parameters/enabled")) -> bool:
    return path.exists() and path.read_text().strip() == "Y"


def _status_rows(status: dict[str, str]) -> Rows:
    sets = {name.lower(): status[f"Cap{name}"] for name in ("Inh", "Prm", "Eff", "Bnd", "Amb")}
    none = all(int(value, 16) == 0 for value in sets.values())
    return {
        "capabilities": "none" if none else ",".join(f"{name}={value}" for name, value in sets.items()),
        "no_new_privileges": status["NoNewPrivs"],
        "seccomp.mode": status["Seccomp"],
    }


def _user(folder: str, status: dict[str, str]) -> str:
    """As the container's own user namespace names it: a rootless engine maps its users to subordinate ones."""
    uid = _inside(status["Uid"].split()[1], f"{folder}/uid_map")
    gids, groups = f"{folder}/gid_map", status.get("Groups", "").split()
    gid = _inside(status["Gid"].split()[1], gids)
    extra = "".join(f"+{group}" for group in (_inside(one, gids) for one in groups) if group != gid)
    return f"{uid}:{gid}{extra}"


def _inside(outside: str, id_map: str) -> str:
    """An id of ours as the map (user_namespaces(7): first inside, first outside, count) names it; itself if unmapped.

    Every kernel with user namespaces has the file, and without a namespace of its own a process has the identity in it.
    """
    number = int(outside)
    for line in read_text(id_map).splitlines():
        inside, begin, count = map(int, line.split())
        if begin <= number < begin + count:
            return str(number - begin + inside)
    return outside


def _children(folder: str) -> list[int]:
    """The children of all threads of a process (``/proc/PID/task/TID/children``); a thread that ends has none."""
    found: list[int] = []
    for task in sorted(os.listdir(f"{folder}/task")):  # noqa: PTH208 (names alone are wanted)
        with suppress(FileNotFoundError, ProcessLookupError):
            found += map(int, read_small(f"{folder}/task/{task}/children").split())
    return found


def _start_ticks(folder: str) -> int:
    return int(read_text(f"{folder}/stat").rpartition(")")[2].split()[19])


def _child_rows(probe: HostProbe) -> Rows:
    folders = [f"{probe.proc}/{pid}" for pid in probe.descendants]
    if not folders:
        return {}
    rows: Rows = {
        "workload.affinity": _threads_affinity(folders),
        "mems.allowed": _list(status_fields(f"{probe.program}/status")["Mems_allowed_list"]),
    }
    # Another user's numa_maps needs root (ptrace access, proc(5)); the agent reads its own child's.
    with suppress(OSError):
        rows["memory.policy"] = _policy(read_text(f"{probe.program}/numa_maps"))
    return rows


def _policy(numa_maps: str) -> str | None:
    fields = (line.split(None, 2) for line in numa_maps.splitlines())
    found = {field[1] for field in fields if len(field) > 1}
    return ",".join(sorted(found)) or None


def _threads_affinity(folders: list[str]) -> str:
    """The CPU list of all threads, or each list with a thread that has it. LookupError when none was there any more."""
    told: dict[str, str] = {}
    for folder in folders:
        for task in sorted(os.listdir(f"{folder}/task")):  # noqa: PTH208 (names alone are wanted)
            with suppress(FileNotFoundError, ProcessLookupError):  # one that has just ended runs nowhere
                told.setdefault(_allowed(read_small(f"{folder}/task/{task}/status")), task)
    lists = {_list(text): thread for text, thread in reversed(told.items())}
    if not lists:
        raise LookupError("no thread")
    if len(lists) == 1:
        return next(iter(lists))
    return "; ".join(f"{cpus} (thread {thread})" for cpus, thread in sorted(lists.items()))


def _allowed(status: str) -> str:
    """One field of a status. Each thread is asked at each look: the whole as a mapping would be most of the cost."""
    _before, name, after = status.partition("\nCpus_allowed_list:")
    if not name:
        raise LookupError("Cpus_allowed_list")
    return after.partition("\n")[0].strip()


def _network_rows(probe: HostProbe) -> Rows:
    net = f"{probe.folder}/net"
    devices = [line.split(":")[0].strip() for line in read_text(f"{net}/dev").splitlines()[2:]]
    routes = len(read_text(f"{net}/route").splitlines()) > 1
    if devices == ["lo"] and not routes:
        return {"network": "loopback-only"}
    return {"network": ",".join(devices) + (",routes" if routes else "")}


def _limit_rows(probe: HostProbe) -> Rows:
    titles = {"Max core file size": "ulimit.core", "Max open files": "ulimit.nofile"}
    rows: Rows = {}
    for line in read_text(f"{probe.folder}/limits").splitlines():
        for title, row in titles.items():
            if line.startswith(title):
                soft, hard = line[len(title) :].split()[:2]
                rows[row] = f"{soft}:{hard}"
    return rows


def _list(text: str) -> str:
    return format_cpulist(parse_cpulist(text)) if text else ""
