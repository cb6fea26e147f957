"""rerun.sh: the launches of a plan with ``docker`` and a POSIX shell, for people without the tool.

The containers are the launch's own (``toolkit.launch.containers``), written as ``docker create`` arguments. CPUs and
memory nodes are shell variables, since the reader's machine has others; journals are files as in a launch, the live
stream is not there. Pure: the same plan and images give the same bytes, and a verifier compares them.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from toolkit.launch.containers import RUN_FOLDER, Wiring, backend_container, sdk_container
from toolkit.model.container import ContainerSpec
from toolkit.model.names import on_disk
from toolkit.model.plan import CellPlan, Plan
from toolkit.render.seccomp import seccomp_profile
from toolkit.render.templates import render

# Numbers that stand for the CPUs of whoever runs it while the arguments are made: no port, size or count of ours.
_MEASURED, _AGENT, _BACKEND, _NODE = 7919, 7937, 7963, 7993
_VARIABLES = {
    f"{_MEASURED},{_AGENT}": "$sdk_set",
    f"{_AGENT},{_BACKEND}": "$backend_set",
    str(_MEASURED): "$measured",
    str(_AGENT): "$agent",
    str(_BACKEND): "$backend",
    str(_NODE): "$node",
    "@journal@": "$journal",
    "@seccomp@": "$seccomp",
    "@model@": "$model",
}
_PLACES = re.compile("|".join(rf"(?<![0-9]){re.escape(word)}(?![0-9])" for word in _VARIABLES))


def script(plan: Plan, images: Sequence[Mapping[str, Any]], *, with_images: bool) -> bytes:
    """The script. ``images``: rows with ``kind``, ``id`` and ``reference``. KeyError: a cell without image."""
    named = {(str(image["kind"]), str(image["id"])): str(image["reference"]) for image in images}
    numbers = {cell.cell: number for number, cell in enumerate(plan.cells, 1)}
    return render(
        "rerun.sh.j2",
        cells=[_cell(numbers[cell.cell], cell, named) for cell in plan.cells],
        turns=[{"cell": numbers[turn.cell], "launch": turn.launch} for turn in plan.order],
        with_images=with_images,
        own_model=any(cell.model_file is not None for cell in plan.cells),
        cpus=plan.cells[0].cpus,
        agent=plan.cells[0].agent_cpus,
        backend=plan.cells[0].backend_cpus or plan.cells[0].agent_cpus,
        node=plan.cells[0].mems,
        ready={cell.cell: cell.ready for cell in plan.cells},
    )


def _cell(number: int, cell: CellPlan, named: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    there = replace(
        cell, cpus=str(_MEASURED), agent_cpus=str(_AGENT), backend_cpus=str(_BACKEND), mems=str(_NODE),
    )  # fmt: skip
    wiring = Wiring(journal_source="@journal@", model_source="@model@")
    profile = seccomp_profile()
    sdk = sdk_container(there, named["sdk", cell.sdk], profile, wiring)
    found: dict[str, Any] = {
        "number": number,
        "id": cell.cell,
        "folder": on_disk(cell.cell),
        "sdk": arguments(sdk),
        "backend": "",
        "ready": cell.ready,
    }
    if not cell.in_process:
        made = backend_container(there, named["backend", cell.backend], profile, wiring)
        # As many threads as the author's backend had, whatever CPUs it gets.
        asked = backend_container(cell, "", profile, wiring).environment["GOMAXPROCS"]
        found["backend"] = arguments(replace(made, environment={**made.environment, "GOMAXPROCS": asked}))
    return found


def arguments(spec: ContainerSpec) -> str:
    """Words for the shell behind ``docker create``, but for the network and the labels."""
    words = [
        *("--pull", "never", "--user", spec.user, "--workdir", spec.working_dir, "--read-only", "--init=false"),
        *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--security-opt", "seccomp=@seccomp@"),
        *("--ipc", "private", "--cpuset-cpus", spec.cpuset_cpus, "--cpuset-mems", spec.cpuset_mems),
        *("--memory", str(spec.memory_bytes), "--memory-swap", str(spec.memory_bytes)),
        *("--pids-limit", str(spec.pids_limit), "--shm-size", str(spec.shm_bytes), "--no-healthcheck"),
        *("--stop-timeout", str(spec.stop_grace_seconds), "--restart", "no"),
        *("--log-driver", "json-file", "--log-opt", f"max-size={spec.log_max_bytes}", "--log-opt", "max-file=1"),
    ]
    for limit in spec.ulimits:
        words += ["--ulimit", f"{limit.name}={limit.soft}:{limit.hard}"]
    for tmpfs in spec.tmpfs:
        words += ["--tmpfs", f"{tmpfs.target}:rw,nosuid,nodev,noexec,size={tmpfs.size_bytes},mode=1777"]
    for mount in spec.mounts:
        if mount.target == RUN_FOLDER:
            continue
        mode = "" if mount.writable else ",readonly"
        words += ["--mount", f"type=bind,source={mount.source},target={mount.target},bind-propagation=rprivate{mode}"]
    for name, value in sorted(spec.environment.items()):
        words += ["--env", f"{name}={value}"]
    return " \\\n    ".join(_word(word) for word in [*words, spec.image, *spec.command])


def _word(text: str) -> str:
    """One shell word: literal, but for our variables."""
    pieces, at = [], 0
    for found in _PLACES.finditer(text):
        if found.start() > at:
            pieces.append(shlex.quote(text[at : found.start()]))
        pieces.append(f'"{_VARIABLES[found.group()]}"')
        at = found.end()
    if at < len(text) or not pieces:
        pieces.append(shlex.quote(text[at:]))
    return "".join(pieces)
