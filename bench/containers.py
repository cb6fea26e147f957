"""The containers of a launch for the benches: the default cell's, as values and as ``docker run`` arguments."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from toolkit.build.images import BuiltSet, ensure_images
from toolkit.catalogue import load_catalogue
from toolkit.cli.render import cells
from toolkit.engine.docker import DockerEngine
from toolkit.engine.request import tmpfs_options
from toolkit.fetch.store import Store
from toolkit.host.topology import place, read_topology
from toolkit.launch.containers import Wiring, backend_container, sdk_container
from toolkit.model.container import ContainerSpec
from toolkit.model.plan import CellPlan
from toolkit.render.seccomp import seccomp_profile

SDK = "go-openai"
WORKLOAD = "chat-stream-128"
# The dynamic loader printing its version: an empty program that every image on glibc has.
EMPTY_PROGRAM = ("/lib64/ld-linux-x86-64.so.2", "--version")


def cell_and_images(engine: DockerEngine, workload: str = WORKLOAD) -> tuple[CellPlan, BuiltSet]:
    """The default cell of a workload on CPU 0 of this machine, and its images, built if need be."""
    catalogue = load_catalogue()
    cell, choice = cells(catalogue, [SDK], workload, place(read_topology(), "0"))[0]
    return cell, ensure_images(engine, catalogue, sdk=choice.sdk, backend=choice.backend, store=Store.open())


def pair(cell: CellPlan, images: BuiltSet, wiring: Wiring) -> tuple[ContainerSpec, ContainerSpec]:
    """SDK and backend container as a launch makes them."""
    profile = seccomp_profile()
    return (
        sdk_container(cell, images.sdk.reference, profile, wiring),
        backend_container(cell, images.backend.reference, profile, wiring),
    )


def with_program(spec: ContainerSpec, program: tuple[str, ...]) -> ContainerSpec:
    """The same container with another program behind ``numactl ... --``."""
    cut = spec.command.index("--") + 1
    return replace(spec, command=(*spec.command[:cut], *program))


def run_arguments(spec: ContainerSpec, cgroup_version: str, seccomp_file: Path) -> list[str]:
    """What to put behind ``docker run --rm`` for the same container; the profile is written to ``seccomp_file``."""
    seccomp_file.write_text(json.dumps(spec.seccomp))
    arguments = [
        *("--network", spec.network, "--user", spec.user, "--workdir", spec.working_dir),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges"),
        *("--security-opt", f"seccomp={seccomp_file}", "--read-only", "--ipc", "private", "--init=false"),
        *("--cpuset-cpus", spec.cpuset_cpus, "--cpuset-mems", spec.cpuset_mems),
        *("--memory", str(spec.memory_bytes), "--memory-swap", str(spec.memory_bytes)),
        *("--pids-limit", str(spec.pids_limit), "--shm-size", str(spec.shm_bytes), "--no-healthcheck"),
        *("--stop-timeout", str(spec.stop_grace_seconds), "--pull", "never"),
        *("--log-driver", "json-file", "--log-opt", f"max-size={spec.log_max_bytes}", "--log-opt", "max-file=1"),
    ]
    if cgroup_version == "1":
        arguments += ["--memory-swappiness", "0"]
    for limit in spec.ulimits:
        arguments += ["--ulimit", f"{limit.name}={limit.soft}:{limit.hard}"]
    for tmpfs in spec.tmpfs:
        arguments += ["--tmpfs", f"{tmpfs.target}:{tmpfs_options(tmpfs)}"]
    for mount in spec.mounts:
        mode = "" if mount.writable else ",readonly"
        arguments += [
            "--mount",
            f"type=bind,source={mount.source},target={mount.target},bind-propagation=rprivate{mode}",
        ]
    for name, value in sorted(spec.environment.items()):
        arguments += ["--env", f"{name}={value}"]
    for name, value in sorted(spec.labels.items()):
        arguments += ["--label", f"{name}={value}"]
    if spec.entrypoint:
        return [*arguments, "--entrypoint", spec.entrypoint[0], spec.image, *spec.entrypoint[1:], *spec.command]
    return [*arguments, spec.image, *spec.command]
