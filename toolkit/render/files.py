"""The render stage: a cell's Dockerfiles, compose project and seccomp profile, as bytes. Writes nothing, asks no
engine.

Same catalogue, same lock, same plan: same bytes. No run id, no time, no path of this machine.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit.build import identity, targets
from toolkit.build.assemble import reference
from toolkit.build.recipe import AGENT_PATH, Recipe, recipes
from toolkit.build.targets import Target
from toolkit.errors import UsageError
from toolkit.model.catalogue import BackendEntry, SdkEntry
from toolkit.model.container import ContainerSpec, Tmpfs
from toolkit.render.seccomp import seccomp_bytes
from toolkit.render.templates import render

DOCKERFILE = "Dockerfile"
BACKEND_DOCKERFILE = "Dockerfile.backend"
_GO_CACHE = "/tmp/cache"


@dataclass(frozen=True)
class Ground:
    """What a Dockerfile starts from; all names follow from the lock alone. ``native`` is empty where it has no
    compilers.
    """

    base: str
    base_text: str
    toolchain: str
    native: str
    go: str


def ground(lock: Mapping[str, Any]) -> Ground:
    """The starting images of a lock: ``lock_json(read_lock())``, or a run's lock.json (needed where the base is an
    image).

    Raises UsageError when the base's layers are not known yet.
    """
    base = lock["base"]
    if "images" in lock:
        diff_ids = list(lock["images"]["base"]["identity"]["diff_ids"])
    elif base.get("layer_sha256"):
        diff_ids = [f"sha256:{base['layer_sha256']}"]
    else:
        raise UsageError(
            "The base's layers are not known yet", "the base is an image of the engine", "run `repro build` first"
        )
    name = "image" if base.get("image") else "debian"
    chain = [*diff_ids, f"sha256:{lock['toolchain']['tar_sha256']}"]
    compilers = lock.get("native", {}).get("layer_sha256", "")
    text = (
        f"The base: {base['image']}"
        if base.get("image")
        else "The base: Debian packages, listed with their hashes in images/lock.json."
    )
    return Ground(
        base=_name(
            identity.runtime_config(entrypoint=(), labels=identity.labels("base", name)), diff_ids, "base", name
        ),
        base_text=text,
        toolchain=_builder([*chain], "go"),
        native=_builder([*chain, f"sha256:{compilers}"], "native") if compilers else "",
        go=str(lock["toolchain"]["go"]),
    )


def _builder(diff_ids: list[str], name: str) -> str:
    return _name(identity.builder_config("toolchain", name), diff_ids, "toolchain", name)


def _name(runtime: dict[str, Any], diff_ids: list[str], kind: str, name: str) -> str:
    return reference(kind, name, identity.config_digest(identity.image_config(runtime, diff_ids)))


def dockerfile(start: Ground, recipe: Recipe, *, sdk_id: str) -> bytes:
    """The Dockerfile of one image that a launch starts: a stage per target, and the image."""
    native = any(target.native for target in recipe.targets)
    if native and not start.native:
        raise UsageError("The compilers' layer is not known yet", "they were relocked", "run `repro build` first")
    archives = ["base", *(["native"] if native else []), "toolchain"]
    return render(
        "Dockerfile.j2",
        title=f"{recipe.title}, with the agent",
        filename=DOCKERFILE if recipe.kind == "sdk" else BACKEND_DOCKERFILE,
        sdk_id=sdk_id,
        archives=archives,
        base=start.base,
        base_text=start.base_text,
        root=targets.BUILD_ROOT,
        out=targets.OUT,
        stages=[_stage(target, start) for target in recipe.targets],
        placements=recipe.placements,
        labels=recipe.labels(),
        user=identity.USER,
        entrypoint=[AGENT_PATH],
    )


def _stage(target: Target, start: Ground) -> dict[str, Any]:
    """What the template needs of a target."""
    go = {"GOCACHE": _GO_CACHE, "GOPROXY": target.proxy} if target.go else {}
    tools = f"Go {start.go}" if target.go else ""
    if target.native:
        tools = f"{tools} and the C and C++ compilers" if tools else "The C and C++ compilers"
    return {
        "target": target,
        "start": start.native if target.native else start.toolchain,
        "tools": tools,
        "environment": {**target.environment, **go},
    }


def dockerfiles(lock: Mapping[str, Any], sdk: SdkEntry, backend: BackendEntry | None) -> dict[str, bytes]:
    """The Dockerfiles of an SDK's and a backend's image; of the SDK's alone where the backend is None or in process.

    Raises UsageError, CatalogueError, InputMismatch.
    """
    start = ground(lock)
    names = {"sdk": DOCKERFILE, "backend": BACKEND_DOCKERFILE}
    return {names[recipe.kind]: dockerfile(start, recipe, sdk_id=sdk.id) for recipe in recipes(sdk, backend)}


def compose(cell: str, sdk: ContainerSpec, backend: ContainerSpec | None) -> bytes:
    """The compose project of a cell, from its containers as a launch without tool would start them."""
    services = [("backend", backend), ("sdk", sdk)] if backend is not None else [("sdk", sdk)]
    sdk_id = cell.partition("/")[0]
    return render("compose.yaml.j2", cell=cell, sdk_id=sdk_id, services=services, tmpfs_options=tmpfs_options)


def tmpfs_options(tmpfs: Tmpfs) -> str:
    """Mount options of a tmpfs as the Engine API route sets them."""
    flags = ["rw", "nosuid", "nodev", "exec" if tmpfs.executable else "noexec"]
    return ",".join([*flags, f"size={tmpfs.size_bytes}", "mode=1777"])


def render_cell(
    cell: str,
    *,
    lock: Mapping[str, Any],
    sdk: SdkEntry,
    backend: BackendEntry | None,
    sdk_container: ContainerSpec,
    backend_container: ContainerSpec | None,
) -> dict[str, bytes]:
    """Every rendered file of a cell by name. Raises UsageError, CatalogueError, InputMismatch."""
    return {
        **dockerfiles(lock, sdk, backend),
        "compose.yaml": compose(cell, sdk_container, backend_container),
        "seccomp.json": seccomp_bytes(),
    }
