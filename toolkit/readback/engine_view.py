"""The engine's account of a container, in row values. Pure: it translates ``GET /containers/{id}/json``."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Mapping
from typing import Any

from toolkit.canonical import digest
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.readback.environment import (
    AGENT_SETTINGS,
    ENGINE_VARIABLES,
    entries_digest,
    names,
    value_of,
    values_digest,
)
from toolkit.readback.namespaces import PRIVATE

Json = Mapping[str, Any]

_DEVICES = ("Devices", "DeviceRequests", "DeviceCgroupRules")
_UNITS = {"k": 1024, "m": 1024**2, "g": 1024**3}


def engine_rows(inspect: Json, cgroup_version: str) -> dict[str, str]:
    """Row id to what the engine says of it (Docker Engine API, ContainerInspect, ``HostConfig`` and ``Config``)."""
    host = inspect["HostConfig"]
    config = inspect["Config"]
    rows = {
        "container.cpuset": _list(host.get("CpusetCpus", "")),
        "container.mems": _list(host.get("CpusetMems", "")),
        "cpu.quota": _quota(host),
        "cpu.weight": str(host.get("CpuShares") or "default"),
        "memory.limit_bytes": str(host.get("Memory", 0)),
        "memory.swap_bytes": _swap(host),
        "pids.limit": str(host.get("PidsLimit") or 0),
        "user": config.get("User", ""),
        "network": _network(host.get("NetworkMode", "")),
        "shm_bytes": str(host.get("ShmSize", 0)),
        "log.driver": _log(host.get("LogConfig") or {}),
        "restart_policy": (host.get("RestartPolicy") or {}).get("Name") or "no",
        "healthcheck": "none" if (config.get("Healthcheck") or {}).get("Test") in (None, ["NONE"]) else "set",
        "init": "true" if host.get("Init") else "false",
        "namespaces": _namespaces(host, cgroup_version),
        "devices": "some" if any(host.get(key) for key in _DEVICES) else "none",
    }
    if cgroup_version == "1":
        rows["memory.swappiness"] = str(host.get("MemorySwappiness"))
        rows["oom.kill_disable"] = str(bool(host.get("OomKillDisable"))).lower()
    if (inspect.get("State") or {}).get(
        "Status"
    ) != "created":  # the engine chooses the profile when it starts the container
        rows["apparmor"] = inspect.get("AppArmorProfile") or "none"
    rows.update(_environment([entry.encode(errors="surrogateescape") for entry in config.get("Env") or []]))
    rows.update(_security(host))
    rows.update(_mounts(host, inspect.get("Mounts") or []))
    for limit in host.get("Ulimits") or []:
        rows[f"ulimit.{limit['Name']}"] = f"{limit['Soft']}:{limit['Hard']}"
    return rows


def _environment(entries: list[bytes]) -> dict[str, str]:
    gomaxprocs = value_of(entries, "GOMAXPROCS")
    return {
        # A container's host name is set when it starts; the engine's own list does not have it.
        "environment": ",".join(sorted(names(entries) | set(ENGINE_VARIABLES))),
        "environment.values": values_digest(entries),
        "agent.settings": entries_digest([value_of(entries, AGENT_SETTINGS) or b""]),
        "gomaxprocs": "unset" if gomaxprocs is None else gomaxprocs.decode(errors="replace"),
    }


def _security(host: Json) -> dict[str, str]:
    privileged = bool(host.get("Privileged"))
    options = [str(option) for option in host.get("SecurityOpt") or []]
    dropped = [name.upper() for name in host.get("CapDrop") or []]
    profile = next((option.removeprefix("seccomp=") for option in options if option.startswith("seccomp=")), "")
    return {
        "privileged": str(privileged).lower(),
        "capabilities": "none" if dropped == ["ALL"] and not host.get("CapAdd") and not privileged else "some",
        "no_new_privileges": "1" if {"no-new-privileges", "no-new-privileges:true"} & set(options) else "0",
        "seccomp.mode": "0" if privileged or profile == "unconfined" else "2",
        "seccomp.profile": _profile(profile),
        "rootfs.readonly": "ro" if host.get("ReadonlyRootfs") else "rw",
        # The engine mounts /sys read-only in every container that is not privileged (moby, oci/defaults.go).
        "sys.readonly": "rw" if privileged else "ro",
        "proc_sys.readonly": "ro" if "/proc/sys" in (host.get("ReadonlyPaths") or []) else "rw",
    }


@functools.lru_cache(maxsize=8)  # the same text at every look, and its digest is most of what a look costs
def _profile(text: str) -> str:
    if not text:
        return "engine-default"
    try:
        return digest(json.loads(text))
    except ValueError:
        return text


def _mounts(host: Json, made: Iterable[Json]) -> dict[str, str]:
    # Compose speaks of Mounts where we speak of Binds: the engine keeps the two apart, a bind is a bind.
    binds: dict[str, str] = {}
    for bind in host.get("Binds") or []:
        _source, target, *mode = bind.split(":")
        binds[target] = "ro" if mode and "ro" in mode[0].split(",") else "rw"
    for mount in host.get("Mounts") or []:
        if mount.get("Type") == "bind":
            binds[mount["Target"]] = "ro" if mount.get("ReadOnly") else "rw"
    # Volumes, also those of the image or of another container, stand only among what was made.
    binds |= {one["Destination"]: "rw" if one.get("RW") else "ro" for one in made if one.get("Type") == "volume"}
    tmpfs = {target: _tmpfs_size(options) for target, options in (host.get("Tmpfs") or {}).items()}
    writable = sorted([target for target, mode in binds.items() if mode == "rw"] + list(tmpfs))
    return {
        "mounts.binds": ",".join(sorted(f"{target}:{mode}" for target, mode in binds.items())),
        "mounts.writable": ",".join(writable),
        "tmpfs": ",".join(f"{target}:{tmpfs[target]}" for target in sorted(tmpfs)),
        "resolv_conf": "empty" if "/etc/resolv.conf" in binds else "the host's",
    }


def _tmpfs_size(options: str) -> str:
    for option in options.split(","):
        if option.startswith("size="):
            return str(_bytes(option.removeprefix("size=")))
    return "unlimited"


def _bytes(text: str) -> int:
    unit = text[-1:].lower()
    return int(text[:-1]) * _UNITS[unit] if unit in _UNITS else int(text)


def _list(text: str) -> str:
    return format_cpulist(parse_cpulist(text)) if text else "all"


def _quota(host: Json) -> str:
    quota, nano = host.get("CpuQuota") or 0, host.get("NanoCpus") or 0
    if nano:
        return f"{nano // 10_000}/100000"
    return "none" if quota <= 0 else f"{quota}/{host.get('CpuPeriod') or 100_000}"


def _swap(host: Json) -> str:
    memory, both = host.get("Memory", 0), host.get("MemorySwap", 0)
    return str(both - memory) if memory and both > 0 else "unlimited"


def _network(mode: str) -> str:
    return "loopback-only" if mode == "none" or mode.startswith("container:") else mode


def _log(config: Json) -> str:
    size = (config.get("Config") or {}).get("max-size")
    return f"{config.get('Type', '')}:{_bytes(size) if size else 'unlimited'}"


def _namespaces(host: Json, cgroup_version: str) -> str:
    private = {"IpcMode": ("private", ""), "PidMode": ("", "private"), "UTSMode": ("", "private"), "UsernsMode": ("",)}
    if cgroup_version == "2":
        private["CgroupnsMode"] = ("private",)
    shared = [f"{key}={host.get(key)}" for key, words in private.items() if (host.get(key) or "") not in words]
    return ",".join(shared) or PRIVATE
