"""Assembles images: layer tars of ours, a fixed configuration, a docker archive, loaded; then the engine's view is
compared with ours.

image = assemble(runtime, [base_tar, sdk_tar], kind="sdk", name="go-openai")
load(engine, image, folder)
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from toolkit.build import identity, ustar
from toolkit.canonical import canonical_bytes, sha256_file
from toolkit.engine.port import Engine
from toolkit.errors import EngineRefused
from toolkit.model.inputs import ImageIdentity

_MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Assembled:
    """An image as files: its configuration and its layer tars, bottom first. ``reference`` is the name it is loaded
    under.
    """

    kind: str
    id: str
    config: dict[str, Any]
    layers: tuple[Path, ...]
    identity: ImageIdentity
    reference: str

    @property
    def size_bytes(self) -> int:
        """The sum of the layers' sizes."""
        return sum(layer.stat().st_size for layer in self.layers)


def reference(kind: str, name: str, config_digest: str) -> str:
    """The name an image is loaded under, derived from its content: ``sealbench/sdk-go-openai:0123456789ab``."""
    return f"sealbench/{kind}-{name}:{config_digest.removeprefix('sha256:')[:12]}"


def assemble(
    runtime: dict[str, Any], layers: Sequence[Path], *, kind: str, name: str, content: bool = True
) -> Assembled:
    """Compute an image from its runtime configuration and layer tars; ``content=False`` leaves the content digest
    empty.

    Raises OSError.
    """
    config = identity.image_config(runtime, [f"sha256:{sha256_file(layer)}" for layer in layers])
    found = identity.identify(config, layers if content else None)
    return Assembled(kind, name, config, tuple(layers), found, reference(kind, name, found.config_digest))


def write_archive(stream: BinaryIO, image: Assembled, *, skip_layers: int = 0) -> None:
    """Write a docker archive. ``skip_layers`` bottom layers are named but left out (the engine must hold them
    already).
    """
    write_archive_of(stream, [image], skip_layers=skip_layers)


def write_archive_of(stream: BinaryIO, images: Sequence[Assembled], *, skip_layers: int = 0) -> None:
    """Write one docker archive of several images, each layer once. Same images in the same order: same bytes."""
    manifest = [
        {"Config": _config_name(image), "Layers": _layer_names(image), "RepoTags": [image.reference]}
        for image in images
    ]
    for image in images:
        ustar.add(stream, ustar.Entry.file(_config_name(image), canonical_bytes(image.config)))
    ustar.add(stream, ustar.Entry.file(_MANIFEST, json.dumps(manifest, sort_keys=True).encode()))
    written = set()
    for image in images:
        for name, layer in list(zip(_layer_names(image), image.layers, strict=True))[skip_layers:]:
            if name not in written:
                ustar.add(stream, ustar.Entry.file(name, layer))
                written.add(name)
    ustar.finish(stream)


def _config_name(image: Assembled) -> str:
    return image.identity.config_digest.removeprefix("sha256:") + ".json"


def _layer_names(image: Assembled) -> list[str]:
    return [f"{diff_id.removeprefix('sha256:')}/layer.tar" for diff_id in image.identity.diff_ids]


def load(engine: Engine, image: Assembled, folder: Path, *, below: Assembled | None = None) -> None:
    """Load an image and compare what the engine then has with what we computed.

    ``below`` is an image that shares the bottom layers; when the engine has it, only the layers above travel. That
    works on the
    graph-driver store alone, so a refusal falls back to the full archive. Raises EngineRefused when the engine holds
    something else.
    """
    if matches(engine, image):
        return
    archive = folder / "image.tar"
    if below is not None and matches(engine, below):
        with contextlib.suppress(EngineRefused):
            _load(engine, archive, image, skip_layers=len(below.layers))
        if matches(engine, image):
            return
    _load(engine, archive, image, skip_layers=0)
    if not matches(engine, image):
        raise EngineRefused(
            f"The engine does not hold {image.reference} as it was given",
            "its layers or configuration differ from what was computed before loading",
            "remove that image and try again; if it stays so, the engine's store is damaged",
        )


def _load(engine: Engine, archive: Path, image: Assembled, *, skip_layers: int) -> None:
    with archive.open("wb") as stream:
        write_archive(stream, image, skip_layers=skip_layers)
    try:
        engine.load(archive)
    finally:
        archive.unlink()


def matches(engine: Engine, image: Assembled) -> bool:
    """Whether the engine holds this image under its name."""
    return holds(engine, image.reference, image.identity.diff_ids, image.config["config"])


def holds(engine: Engine, name: str, diff_ids: Sequence[str], runtime: dict[str, Any]) -> bool:
    """Whether the engine's image of that name has these layers and this runtime configuration (its image ID is no
    identity).
    """
    view = engine.image(name)
    if view is None or list(view.get("RootFS", {}).get("Layers") or []) != list(diff_ids):
        return False
    return identity.clean_runtime_config(view.get("Config") or {}) == identity.clean_runtime_config(runtime)
