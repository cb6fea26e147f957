"""The render stage: a cell's Dockerfiles, compose project and seccomp profile, as bytes. Writes nothing, asks no
engine.

Same catalogue, same lock, same plan: same bytes. No run id, no time, no path of this machine.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from toolkit import resources
from toolkit.build import identity, targets
from toolkit.build.assemble import reference
from toolkit.build.targets import Target
from toolkit.errors import UsageError
from toolkit.model.catalogue import BackendEntry, SdkEntry
from toolkit.model.container import ContainerSpec, Tmpfs
from toolkit.render.templates import render

DOCKERFILE = "Dockerfile"
BACKEND_DOCKERFILE = "Dockerfile.backend"
ENTRYPOINT = ("/repro/agent",)
_GO_CACHE = "/tmp/cache"


@dataclass(frozen=True)
class Ground:
    """What a Dockerfile starts from; both names follow from the lock alone."""

    base: str
    base_text: str
    toolchain: str
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
        toolchain=_name(identity.builder_config("toolchain", "go"), chain, "toolchain", "go"),
        go=str(lock["toolchain"]["go"]),
    )


def _name(runtime: dict[str, Any], diff_ids: list[str], kind: str, name: str) -> str:
    return reference(kind, name, identity.config_digest(identity.image_config(runtime, diff_ids)))


def dockerfile(start: Ground, kind: str, name: str, program: Target, *, sdk_id: str) -> bytes:
    """The Dockerfile of one image that a launch starts (``kind`` sdk or backend)."""
    return render(
        "Dockerfile.j2",
        title=f"{program.title}, with the agent",
        filename=DOCKERFILE if kind == "sdk" else BACKEND_DOCKERFILE,
        sdk_id=sdk_id,
        go=start.go,
        toolchain=start.toolchain,
        base=start.base,
        base_text=start.base_text,
        environment={**targets.ENVIRONMENT, "GOCACHE": _GO_CACHE},
        root=targets.BUILD_ROOT,
        targets=[targets.agent_target(), program],
        labels=identity.labels(kind, name),
        user=identity.USER,
        entrypoint=list(ENTRYPOINT),
    )


def dockerfiles(lock: Mapping[str, Any], sdk: SdkEntry, backend: BackendEntry | None) -> dict[str, bytes]:
    """The Dockerfiles of an SDK's and a backend's image; of the SDK's alone where the backend is None or in process.

    Raises UsageError, CatalogueError, InputMismatch.
    """
    start = ground(lock)
    found = {DOCKERFILE: dockerfile(start, "sdk", sdk.id, targets.sdk_target(sdk), sdk_id=sdk.id)}
    if backend is not None and not backend.in_process:
        program = targets.backend_target(backend)
        found[BACKEND_DOCKERFILE] = dockerfile(start, "backend", backend.id, program, sdk_id=sdk.id)
    return found


def compose(cell: str, sdk: ContainerSpec, backend: ContainerSpec | None) -> bytes:
    """The compose project of a cell, from its containers as a launch without tool would start them."""
    services = [("backend", backend), ("sdk", sdk)] if backend is not None else [("sdk", sdk)]
    sdk_id = cell.partition("/")[0]
    return render("compose.yaml.j2", cell=cell, sdk_id=sdk_id, services=services, tmpfs_options=tmpfs_options)


def tmpfs_options(tmpfs: Tmpfs) -> str:
    """Mount options of a tmpfs as the Engine API route sets them."""
    flags = ["rw", "nosuid", "nodev", "exec" if tmpfs.executable else "noexec"]
    return ",".join([*flags, f"size={tmpfs.size_bytes}", "mode=1777"])


def seccomp_bytes() -> bytes:
    """The derived seccomp profile, as shipped."""
    return (resources.images_dir() / "seccomp" / "profile.json").read_bytes()


def seccomp_profile() -> dict[str, Any]:
    """The derived seccomp profile, parsed."""
    profile: dict[str, Any] = json.loads(seccomp_bytes())
    return profile


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
