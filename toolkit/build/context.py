"""Writes the folder from which a person rebuilds the images with plain Docker: Dockerfiles, inputs, and the images
they start from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.build import compile as compiler
from toolkit.build import foundation, records
from toolkit.build.assemble import Assembled, write_archive
from toolkit.build.native import required
from toolkit.build.recipe import recipes
from toolkit.errors import UsageError
from toolkit.fetch.store import Store
from toolkit.lock import Lock, parse_lock
from toolkit.model.catalogue import BackendEntry, SdkEntry
from toolkit.render.files import dockerfiles


def write_context(
    folder: Path, store: Store, lock: Mapping[str, Any], *, sdk: SdkEntry, backend: BackendEntry | None
) -> None:
    """Fill ``folder`` (new or empty) with what ``docker build`` needs, from a run's lock.json and the store.

    Raises UsageError when the folder is not empty or the images were never built with this store, InputMismatch,
    StoreError.
    """
    if folder.exists() and any(folder.iterdir()):
        raise UsageError(
            f"{folder} is not empty", "files left in it would become part of the build", "give a new folder"
        )
    pinned = parse_lock(dict(lock), Path("lock.json"))
    wanted = {target.key: target for recipe in recipes(sdk, backend) for target in recipe.targets}.values()
    starts = _starts(store, pinned, native=any(target.native for target in wanted))
    with store.errors():
        folder.mkdir(parents=True, exist_ok=True)
        for target in wanted:
            compiler.write_target(store, target, folder)
        for name, data in dockerfiles(lock, sdk, backend).items():
            (folder / name).write_bytes(data)
        (folder / ".dockerignore").write_text("load\n")
        (folder / "load").mkdir()
        for name, image in starts.items():
            _archive(folder / "load" / f"{name}.tar", image)


def _starts(store: Store, pinned: Lock, *, native: bool) -> dict[str, Assembled]:
    """The images that the Dockerfiles start from, by the name of their archive."""
    base = records.recall(store, foundation.base_inputs(pinned.base))
    compilers = required(pinned).layer_sha256 if native else ""
    if base is None or not store.has(pinned.toolchain.tar_sha256) or (native and not store.has(compilers)):
        raise UsageError(
            "The store lacks the base or the toolchain", "they were never built with it", "run `repro build` first"
        )
    layers = [*base[1].layers, store.blob(pinned.toolchain.tar_sha256, f"the toolchain go{pinned.toolchain.go}")]
    found = {"base": base[1], "toolchain": foundation.bare_image(layers, kind="toolchain", name=foundation.TOOLCHAIN)}
    if native:
        layers.append(store.blob(compilers, "the compilers' layer"))
        found["native"] = foundation.bare_image(layers, kind="toolchain", name=foundation.NATIVE)
    return found


def _archive(path: Path, image: Assembled) -> None:
    with path.open("wb") as stream:
        write_archive(stream, image)
