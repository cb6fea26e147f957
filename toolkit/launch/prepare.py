"""Everything before the first container: orphans, fitness, images, rendered files. After it, a run is data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.build.images import BuildOptions, BuiltSet, ensure_images, restore_images
from toolkit.catalogue import Catalogue
from toolkit.engine.faults import check_controllers
from toolkit.engine.port import Engine
from toolkit.errors import HostUnfit
from toolkit.fetch.own_model import HeldModel, hold
from toolkit.fetch.store import Store
from toolkit.host.cpu_level import level_of, missing_flags, read_flags
from toolkit.host.facts import host_facts
from toolkit.host.topology import Topology
from toolkit.launch.containers import Wiring, backend_container, sdk_container
from toolkit.launch.orphans import remove_orphans, remove_socket_folders
from toolkit.launch.run import CellImages, Prepared
from toolkit.model.plan import CellPlan, Plan
from toolkit.plan import Choice
from toolkit.render.files import render_cell
from toolkit.render.seccomp import seccomp_profile
from toolkit.seal import recover_runs


@dataclass(frozen=True)
class World:
    """What a preparation talks to."""

    engine: Engine
    store: Store
    catalogue: Catalogue
    topology: Topology
    runs: Path
    report: Callable[[str], None]


def recover(world: World) -> None:
    """Clean up after killed commands: containers, runs, socket folders. Said aloud when there was any."""
    count = remove_orphans(world.engine)
    if count:
        world.report(f"removed {count} container(s) of a command that was killed")
    for run in recover_runs(world.runs):
        world.report(f"sealed run {run}, whose command was killed")
    remove_socket_folders()


def check_host(plan: Plan, topology: Topology) -> None:
    """Raises HostUnfit when a cell wants more memory than there is, or instructions that the processor lacks."""
    flags = read_flags()
    for cell in plan.cells:
        check_cpu_level(cell, flags)
        wanted = cell.memory_bytes + cell.backend_memory_bytes
        if wanted > topology.memory_bytes:
            left = topology.memory_bytes - cell.backend_memory_bytes
            raise HostUnfit(
                f"{cell.cell} wants more memory than this machine has",
                f"{cell.memory_bytes} bytes for the SDK and {cell.backend_memory_bytes} for the backend, "
                f"of {topology.memory_bytes}",
                f"give less with --memory, at most {left} bytes here"
                if left > 0
                else "use a smaller model or backend, or a larger machine",
            )


def check_cpu_level(cell: CellPlan, flags: Sequence[str]) -> None:
    """Raises HostUnfit for an image that this processor cannot run."""
    if level_of(flags) >= cell.cpu_level:
        return
    raise HostUnfit(
        f"{cell.cell} needs a processor of level {cell.cpu_level}",
        f"this one is {level_of(flags)}: it lacks {', '.join(missing_flags(cell.cpu_level, flags))}",
        "use a machine that has them; 'repro list sdks' shows which SDKs need less",
    )


def prepare(
    world: World,
    plan: Plan,
    choices: list[Choice],
    options: BuildOptions,
    *,
    chain: dict[str, Any] | None = None,
    locks: Mapping[str, Any] | None = None,
    model: Path | None = None,
) -> Prepared:
    """Build or find every image, render every cell; raises what those stages raise.

    ``locks`` (cell to its lock) holds a re-run to the original's inputs: nothing is re-locked. ``model`` is where the
    user's own model lies.
    """
    facts = world.engine.facts()
    check_controllers(facts)
    seccomp = seccomp_profile()
    images: dict[str, CellImages] = {}
    found: dict[str, Any] = {}
    states = set()
    for cell, choice in zip(plan.cells, choices, strict=True):
        built = _built(world, choice, options, locks[cell.cell] if locks is not None else None)
        found[cell.cell] = built.lock
        states.add(built.base_state)
        images[cell.cell] = CellImages(
            built.sdk,
            built.backend,
            render(cell, choice, built, seccomp),
        )
    return Prepared(
        plan=plan,
        lock={"schema": "repro.lock/1", "cells": found},
        base_state="relocked" if "relocked" in states else "locked",
        images=images,
        seccomp=seccomp,
        host=host_facts(world.topology, facts),
        facts=facts,
        chain=chain or {"parent": None},
        model=held_model(plan, model),
    )


def held_model(plan: Plan, path: Path | None) -> HeldModel | None:
    """The user's own model; builds take minutes, so this is the moment at which its bytes must be the planned ones."""
    wanted = next((cell.model_file for cell in plan.cells if cell.model_file is not None), None)
    return hold(path, wanted) if path is not None and wanted is not None else None


def _built(world: World, choice: Choice, options: BuildOptions, lock: Mapping[str, Any] | None) -> BuiltSet:
    if lock is not None:
        kept = restore_images(world.engine, world.store, lock)
        if kept is not None:
            return kept
        options = replace(options, lock=lock, allow_relock=False)
    return ensure_images(
        world.engine,
        world.catalogue,
        sdk=choice.sdk,
        backend=choice.backend,
        store=world.store,
        options=options,
        report=world.report,
    )


def render(cell: CellPlan, choice: Choice, built: BuiltSet, seccomp: dict[str, object]) -> dict[str, bytes]:
    """The rendered files of a cell: they name images by content and hold no path of this machine."""
    sdk = sdk_container(cell, built.sdk.reference, seccomp, Wiring())
    backend = None
    if built.backend is not None:
        backend = backend_container(cell, built.backend.reference, seccomp, Wiring())
    return render_cell(
        cell.cell,
        lock=built.lock,
        sdk=choice.sdk,
        backend=None if choice.backend.in_process else choice.backend,
        sdk_container=sdk,
        backend_container=backend,
    )
