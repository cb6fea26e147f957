"""Stage 7: could it be run here? A forecast for this machine; it never changes the verdict.

Only what every Python knows is asked: no engine, no file that other systems lack is needed.
"""

from __future__ import annotations

import os
import platform
import shutil
from typing import Any

from toolkit.model.cpulist import parse_cpulist
from toolkit.model.plan import CellPlan, plan_from_json
from toolkit.units import size
from toolkit.verify.names import shown
from toolkit.verify.report import Stage

PLATFORM = "linux/amd64"
"""What this project builds and measures."""

_MACHINES = ("x86_64", "amd64")
_START_SECONDS = 3.0
"""What starting and removing the containers of a launch takes, on a slow laptop."""


def forecast(stage: Stage, documents: dict[str, Any], content_bytes: int) -> list[str]:
    """One line per thing that a re-run needs, with whether it is here."""
    try:
        cells = plan_from_json(documents["plan"]).cells
    except ValueError as problem:
        return [f"unknown: this version does not read the run's plan ({problem})"]
    lines = [*_machine(), *_foreign(documents.get("platforms", {})), *_cpus(cells), _cost(cells, content_bytes)]
    for line in lines:
        stage.held("forecast", line)
    return lines


def _machine() -> list[str]:
    machine, system = platform.machine(), platform.system()
    lines = [
        f"ok: the machine is {machine}"
        if machine.lower() in _MACHINES
        else f"unfit: the images are for x86-64, this is {machine}"
    ]
    if system != "Linux":
        lines.append(
            f"unfit: 'repro rerun' measures on Linux; on {system} rerun.sh runs in Docker Desktop's virtual machine"
        )
    found = shutil.which("docker")
    lines.append("ok: a docker command is here" if found else "unfit: there is no docker command")
    return lines


def _foreign(platforms: dict[str, str]) -> list[str]:
    """The images that say they are for something else than this project measures."""
    others = {platform: name for name, platform in platforms.items() if platform != PLATFORM}
    return [f"unfit: {shown(name)} is for {shown(other)}, and only {PLATFORM} runs" for other, name in others.items()]


def _cpus(cells: tuple[CellPlan, ...]) -> list[str]:
    wanted = {cpu for cell in cells for cpu in parse_cpulist(cell.cpus)}
    here = os.cpu_count() or 1
    if max(wanted) < here:
        return [f"ok: {here} CPUs, {len(wanted)} measured"]
    if len(wanted) < here:
        return [f"ok: {here} CPUs; the run's CPU numbers are not here, so others are taken (--cpus)"]
    return [f"unfit: the run measured {len(wanted)} CPUs and wants one more, here are {here}"]


def _cost(cells: tuple[CellPlan, ...], content_bytes: int) -> str:
    seconds = sum((cell.planned_seconds + _START_SECONDS) * cell.launches for cell in cells)
    memory = max(cell.memory_bytes + cell.backend_memory_bytes for cell in cells)
    time = f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"
    return f"it takes about {time}, {size(memory)} of memory and {size(2 * content_bytes)} of disk"
