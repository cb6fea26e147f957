"""A container's limits in its control group and in those above it, seen from the host (cgroups(7)).

The kernel enforces every limit on the way up, so a group without a quota below one that has a quota has that quota. The
agent sees its own group alone; only this reader can see the others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from toolkit.host.kernelfs import read_small, read_text
from toolkit.model.cpulist import format_cpulist, parse_cpulist

_NO_LIMIT = 1 << 62
"""From here on version 1 means no limit: the largest number that is a multiple of the page size, whatever that is."""

_DEFAULT_SHARES, _DEFAULT_WEIGHT = "1024", "100"
_OF_A_PARENT = " (of a parent)"
CONTROLLERS = ("cpuset", "memory", "pids", "cpu", "devices")

# What a version 1 group may do in every container (runc's allowed devices). 10:200 is /dev/net/tun, which older
# runtimes allow and never make.
_USUAL_NODES = ("1:3", "1:5", "1:7", "1:8", "1:9", "5:0", "5:1", "5:2", "10:200", "136:*")
_USUAL_RULES = {"b *:* m", "c *:* m", *(f"c {node} rwm" for node in _USUAL_NODES)}

Rows = dict[str, str | None]


@dataclass(frozen=True)
class Group:
    """The group of one controller: ``folder`` below ``root``, where that hierarchy is mounted."""

    root: Path
    folder: Path

    def text(self, name: str) -> str | None:
        """A file of the group; None when this kernel, version or delegation has none."""
        return _text(self.folder, name)

    @cached_property
    def above(self) -> tuple[Path, ...]:
        """The folders above it, the nearest first, the root of the hierarchy included."""
        parents = tuple(self.folder.parents)
        return parents[: parents.index(self.root) + 1] if self.root in parents else parents

    def tightest(self, name: str, limit_of: Callable[[str], float], none: str) -> str | None:
        """The group's own limit, or that of a group above it where that is lower. ``none``: the text of no limit."""
        own = self.text(name)
        if own is None:
            return None
        best = own
        for folder in self.above:
            text = _text(folder, name)
            if text is not None and limit_of(text) < limit_of(best.removesuffix(_OF_A_PARENT)):
                best = f"{text}{_OF_A_PARENT}"
        return none if limit_of(best.removesuffix(_OF_A_PARENT)) >= _NO_LIMIT else best


def cgroup_rows(cgroup_file: Path | str, root: Path) -> Rows:
    """Row id to what the groups named in ``/proc/PID/cgroup`` say; None: no such file. ``root``: /sys/fs/cgroup.

    Raises FileNotFoundError when there is no such group (any more).
    """
    version, groups = cgroup_groups(cgroup_file, root)
    if not groups["memory"].folder.exists():
        raise FileNotFoundError(groups["memory"].folder)
    return _v1_rows(groups) if version == "v1" else _v2_rows(groups["memory"])


def cgroup_groups(cgroup_file: Path | str, root: Path) -> tuple[str, dict[str, Group]]:
    """The cgroup version, and the group of each controller that we read."""
    version, groups = _groups_of(read_text(cgroup_file), root)
    return version, dict(groups)


@lru_cache(maxsize=16)  # a process stays where it is, and making paths is most of what asking costs
def _groups_of(text: str, root: Path) -> tuple[str, dict[str, Group]]:
    entries = [line.split(":", 2) for line in text.splitlines()]
    if len(entries) == 1 and entries[0][1] == "":
        return "v2", dict.fromkeys(CONTROLLERS, Group(root, root / entries[0][2].lstrip("/")))
    groups: dict[str, Group] = {}
    for _number, names, path in entries:
        for name in names.split(","):
            if name in CONTROLLERS:
                groups[name] = Group(root / name, root / name / path.lstrip("/"))
    return "v1", groups


def device_rules(cgroup_file: Path | str, root: Path) -> list[str]:
    """What a version 1 group may do with devices beyond the usual; version 2 has a program that no file shows."""
    version, groups = cgroup_groups(cgroup_file, root)
    text = groups["devices"].text("devices.list") if version == "v1" and "devices" in groups else None
    return [rule.strip() for rule in (text or "").splitlines() if rule.strip() and rule.strip() not in _USUAL_RULES]


def _v1_rows(groups: dict[str, Group]) -> Rows:
    memory, cpu = groups["memory"], groups["cpu"]
    limit = memory.text("memory.limit_in_bytes")
    both = memory.text("memory.memsw.limit_in_bytes")
    shares = cpu.text("cpu.shares")
    return {
        "container.cpuset": _list(groups["cpuset"].text("cpuset.cpus")),
        "container.mems": _list(groups["cpuset"].text("cpuset.mems")),
        "cpu.quota": _v1_quota(cpu),
        "cpu.weight": "default" if shares == _DEFAULT_SHARES else shares,
        "memory.limit_bytes": memory.tightest("memory.limit_in_bytes", _bytes, "max"),
        "memory.high_bytes": None,
        "memory.swap_bytes": _v1_swap(limit, both),
        "memory.swappiness": memory.text("memory.swappiness"),
        "oom.kill_disable": _v1_oom(memory.text("memory.oom_control")),
        "pids.limit": groups["pids"].tightest("pids.max", _bytes, "max") if "pids" in groups else None,
    }


def _v2_rows(group: Group) -> Rows:
    weight = group.text("cpu.weight")
    quota = group.tightest("cpu.max", _share, "none")
    return {
        "container.cpuset": _list(group.text("cpuset.cpus.effective")),
        "container.mems": _list(group.text("cpuset.mems.effective")),
        "cpu.quota": None if quota is None else quota.replace(" ", "/", 1),
        "cpu.weight": "default" if weight == _DEFAULT_WEIGHT else weight,
        "memory.limit_bytes": group.tightest("memory.max", _bytes, "max"),
        "memory.high_bytes": group.tightest("memory.high", _bytes, "max"),
        "memory.swap_bytes": group.text("memory.swap.max"),
        "memory.swappiness": None,
        "oom.kill_disable": None,
        "pids.limit": group.tightest("pids.max", _bytes, "max"),
    }


def _v1_quota(cpu: Group) -> str | None:
    """``none``, or quota/period in microseconds: the smallest share of a CPU on the way up."""
    found: list[tuple[float, str]] = []
    for folder in (cpu.folder, *cpu.above):
        quota, period = _text(folder, "cpu.cfs_quota_us"), _text(folder, "cpu.cfs_period_us")
        if quota is None or period is None:
            if folder == cpu.folder:
                return None
        elif int(quota) >= 0:
            found.append(
                (int(quota) / int(period), f"{quota}/{period}" + (_OF_A_PARENT if folder != cpu.folder else ""))
            )
    return min(found, key=lambda one: one[0])[1] if found else "none"


def _v1_swap(limit: str | None, both: str | None) -> str | None:
    if both is None or limit is None:
        return None
    return "max" if int(both) >= _NO_LIMIT else str(int(both) - int(limit))


def _v1_oom(text: str | None) -> str | None:
    fields = dict(line.split() for line in (text or "").splitlines())
    value = fields.get("oom_kill_disable")
    return None if value is None else ("false" if value == "0" else "true")


def _bytes(text: str) -> float:
    return float("inf") if text == "max" else float(text)


def _share(text: str) -> float:
    quota, period = text.split()[:2]
    return float("inf") if quota == "max" else int(quota) / int(period)


def _list(text: str | None) -> str | None:
    return None if text is None else (format_cpulist(parse_cpulist(text)) if text else "")


def _text(folder: Path, name: str) -> str | None:
    try:
        return read_small(f"{folder}/{name}").strip()
    except FileNotFoundError:
        return None
