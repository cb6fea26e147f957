"""From a ``ContainerSpec`` to the body of ``POST /containers/create``: pure, for tests without an engine.

Everything is said explicitly, also where today's engine has the same default: a daemon may be configured otherwise
(``--init``, ``--default-shm-size``, ``--log-driver``), and the read-back compares with what was asked.
"""

from __future__ import annotations

import json
from typing import Any

from toolkit.model.container import ContainerSpec, Mount, Tmpfs

Json = dict[str, Any]

NO_NEW_PRIVILEGES = "no-new-privileges"
_LOG_DRIVER = "json-file"
_TMPFS_MODE = "1777"


def creation_body(spec: ContainerSpec, *, cgroup_version: str) -> Json:
    """The request body for one container.

    ``cgroup_version`` is the engine's (``1`` or ``2``): version 2 has no swappiness, and runtimes differ in whether
    they ignore or refuse it, so there it is not sent.
    """
    body: Json = {
        "Image": spec.image,
        "Cmd": list(spec.command),
        "User": spec.user,
        "WorkingDir": spec.working_dir,
        "Env": [f"{name}={spec.environment[name]}" for name in sorted(spec.environment)],
        "Labels": dict(sorted(spec.labels.items())),
        "Healthcheck": {"Test": ["NONE"]},
        "StopTimeout": spec.stop_grace_seconds,
        "Tty": False,
        "OpenStdin": False,
        "Volumes": {path: {} for path in spec.volumes},
        "HostConfig": _host_config(spec, cgroup_version),
    }
    if spec.entrypoint is not None:
        body["Entrypoint"] = list(spec.entrypoint)
    return body


def seccomp_option(profile: object) -> str:
    """The ``security_opt`` entry of a profile; the API wants the JSON itself, never a path."""
    return "seccomp=" + json.dumps(profile, separators=(",", ":"), ensure_ascii=True)


def tmpfs_options(tmpfs: Tmpfs) -> str:
    """Mount options of one tmpfs. Mode 1777, because the container's user owns nothing."""
    flags = ["rw", "nosuid", "nodev", "exec" if tmpfs.executable else "noexec"]
    return ",".join([*flags, f"size={tmpfs.size_bytes}", f"mode={_TMPFS_MODE}"])


def _host_config(spec: ContainerSpec, cgroup_version: str) -> Json:
    config: Json = {
        "NetworkMode": spec.network,
        "IpcMode": "private",
        "Privileged": False,
        "CapAdd": [],
        "CapDrop": ["ALL"],
        "SecurityOpt": _security_options(spec),
        "ReadonlyRootfs": True,
        "CpusetCpus": spec.cpuset_cpus,
        "CpusetMems": spec.cpuset_mems,
        "Memory": spec.memory_bytes,
        "MemorySwap": spec.memory_bytes,
        "PidsLimit": spec.pids_limit,
        "Ulimits": [{"Name": limit.name, "Soft": limit.soft, "Hard": limit.hard} for limit in spec.ulimits],
        "Tmpfs": {tmpfs.target: tmpfs_options(tmpfs) for tmpfs in spec.tmpfs},
        "Mounts": [_mount(mount) for mount in spec.mounts],
        "ShmSize": spec.shm_bytes,
        "LogConfig": {"Type": _LOG_DRIVER, "Config": {"max-size": str(spec.log_max_bytes), "max-file": "1"}},
        "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
        "Init": False,
        "AutoRemove": False,
        "Devices": [],
        "OomKillDisable": False,
        "PublishAllPorts": False,
    }
    if cgroup_version == "1":
        config["MemorySwappiness"] = 0
    else:
        # Engines do so by themselves, unless they are configured otherwise; in version 1 they never do.
        config["CgroupnsMode"] = "private"
    return config


def _security_options(spec: ContainerSpec) -> list[str]:
    options = [NO_NEW_PRIVILEGES]
    if spec.seccomp is not None:
        options.append(seccomp_option(spec.seccomp))
    return options


def _mount(mount: Mount) -> Json:
    # "Mounts", not "Binds": the latter makes a missing source as an empty folder owned by root on the host.
    asked: Json = {
        "Type": "bind",
        "Source": mount.source,
        "Target": mount.target,
        "BindOptions": {"Propagation": "rprivate"},
    }
    if not mount.writable:  # the engine's view leaves out what is false
        asked["ReadOnly"] = True
    return asked
