"""Rendered projects as files: what ``repro render`` writes, and what is checked in below ``compose/``.

Needs no engine. A compose file names its images by content; they are known once they were built with this store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.canonical import write_atomic
from toolkit.errors import UsageError
from toolkit.launch.containers import Wiring, backend_container, sdk_container
from toolkit.lock import lock_json, read_lock
from toolkit.model.names import on_disk
from toolkit.model.plan import CellPlan
from toolkit.plan import Choice
from toolkit.render.files import dockerfiles, render_cell
from toolkit.render.seccomp import seccomp_bytes, seccomp_profile

if TYPE_CHECKING:
    from toolkit.model.inputs import BuiltImage

COMPOSE = "compose.yaml"
_IMAGE_LINE = re.compile(r'^    image: "([^"]+)"$', re.MULTILINE)


@dataclass(frozen=True)
class Images:
    """The names of a cell's images; an engine in the SDK's process has no backend."""

    sdk: str
    backend: str | None


def project(cell: CellPlan, choice: Choice, images: Images | None) -> dict[str, bytes]:
    """A cell's rendered files by name; without ``images`` the compose file is left out, because it would name none.

    Raises UsageError, CatalogueError, InputMismatch.
    """
    lock = lock_json(read_lock())
    if images is None:
        return {**dockerfiles(lock, choice.sdk, choice.backend), "seccomp.json": seccomp_bytes()}
    # What differs between cgroup versions is among the COMPOSE_GAPS: any version gives these bytes.
    profile = seccomp_profile()
    backend = None
    if images.backend is not None:
        backend = backend_container(cell, images.backend, profile, Wiring())
    return render_cell(
        cell.cell,
        lock=lock,
        sdk=choice.sdk,
        backend=choice.backend,
        sdk_container=sdk_container(cell, images.sdk, profile, Wiring()),
        backend_container=backend,
    )


def built_images(pair: tuple[BuiltImage, BuiltImage | None] | None) -> Images | None:
    """The names of images that the store remembers."""
    if pair is None:
        return None
    sdk, backend = pair
    return Images(sdk.reference, backend.reference if backend is not None else None)


def named_images(folder: Path) -> Images | None:
    """The images that a compose file already there names (backend first, as the template has them), or None."""
    try:
        found = _IMAGE_LINE.findall((folder / COMPOSE).read_text())
    except OSError:
        return None
    if len(found) == 1:
        return Images(sdk=found[0], backend=None)
    return Images(sdk=found[1], backend=found[0]) if len(found) == 2 else None


def cell_folder(root: Path, cell: CellPlan) -> Path:
    """Where a cell's project is."""
    return root / on_disk(cell.cell)


def state_of(path: Path, data: bytes) -> str:
    """``same``, ``differs`` or ``missing``."""
    try:
        return "same" if path.read_bytes() == data else "differs"
    except FileNotFoundError:
        return "missing"
    except OSError as problem:
        raise UsageError(f"{path} cannot be read", problem.strerror or str(problem), "check its rights") from problem


def write_project(folder: Path, files: dict[str, bytes]) -> None:
    """Write a project. Raises UsageError when the folder cannot be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_atomic(folder / name, data)
    except OSError as problem:
        raise UsageError(
            f"{folder} cannot be written", problem.strerror or str(problem), "choose another folder with -o DIR"
        ) from problem
