"""Writes the folder from which a person rebuilds the images with plain Docker: Dockerfiles, inputs, and the images
they start from.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolkit.build import compile as compiler
from toolkit.build import foundation, records, targets
from toolkit.build.assemble import Assembled, write_archive
from toolkit.build.images import wanted_images
from toolkit.errors import UsageError
from toolkit.fetch.store import Store
from toolkit.lock import parse_lock
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
    base = records.recall(store, foundation.base_inputs(pinned.base))
    if base is None or not store.has(pinned.toolchain.tar_sha256):
        raise UsageError(
            "The store lacks the base or the toolchain", "they were never built with it", "run `repro build` first"
        )
    tar = store.blob(pinned.toolchain.tar_sha256, f"the toolchain go{pinned.toolchain.go}")
    toolchain = foundation.bare_image([*base[1].layers, tar], kind="toolchain", name="go")
    with store.errors():
        folder.mkdir(parents=True, exist_ok=True)
        for target in (targets.agent_target(), *(target for _, _, target in wanted_images(sdk, backend))):
            compiler.write_target(store, target, folder)
        for name, data in dockerfiles(lock, sdk, backend).items():
            (folder / name).write_bytes(data)
        (folder / ".dockerignore").write_text("load\n")
        (folder / "load").mkdir()
        _archive(folder / "load" / "base.tar", base[1])
        _archive(folder / "load" / "toolchain.tar", toolchain)


def _archive(path: Path, image: Assembled) -> None:
    with path.open("wb") as stream:
        write_archive(stream, image)
