"""What the store remembers of builds: a target's outputs or an image, by the digest of everything that went in."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from toolkit.build import assemble, identity
from toolkit.build.assemble import Assembled
from toolkit.engine.port import Engine
from toolkit.errors import InputUnavailable
from toolkit.fetch.store import Store
from toolkit.model.inputs import BuiltImage, ImageIdentity

IMAGES = "images"
OUTPUTS = "outputs"
# Part of every inputs digest: a change in how we assemble is a change of what comes out.
ASSEMBLY = "assembly/2"


def remember(store: Store, image: Assembled, built: BuiltImage) -> None:
    """Keep an image's layers in the store and write its record."""
    layers = [store.add_made(layer) if not store.has(_hex(diff)) else _hex(diff) for layer, diff in _pairs(image)]
    store.put_record(
        IMAGES, built.inputs_digest, {"image": image_json(built), "runtime": image.config["config"], "layers": layers}
    )


def recall(store: Store, inputs_digest: str) -> tuple[BuiltImage, Assembled] | None:
    """The image built before from these inputs, as long as its layers are in the store. Its bytes are checked when
    they are loaded.
    """
    row = store.record(IMAGES, inputs_digest)
    if row is None:
        return None
    try:
        built = image_from_json(row["image"])
        layers = tuple(store.blob_path(str(sha256)) for sha256 in row["layers"])
        config = identity.image_config(row["runtime"], built.identity.diff_ids)
    except (KeyError, TypeError, ValueError):
        return None
    if identity.config_digest(config) != built.identity.config_digest or not all(layer.is_file() for layer in layers):
        return None
    return built, Assembled(built.kind, built.id, config, layers, built.identity, built.reference)


def required(store: Store, image: BuiltImage, ways_out: str) -> Assembled:
    """An image as files of the store, which must remember just this one. Raises InputUnavailable with ``ways_out``."""
    row = recall(store, image.inputs_digest)
    if row is None or row[0].identity != image.identity:
        raise InputUnavailable(
            f"{image.reference} is not in the store",
            "its layers were removed, or it was built with another store (--store)",
            ways_out,
        )
    return row[1]


def load_verified(engine: Engine, store: Store, image: Assembled, below: Assembled | None = None) -> None:
    """Load an image from the store's layers when the engine lacks it. Raises InputMismatch for a changed layer,
    EngineError.
    """
    if assemble.matches(engine, image):
        return
    for layer in image.layers:
        store.blob(layer.name, f"a layer of {image.reference}")
    with store.temporary() as folder:
        assemble.load(engine, image, folder, below=below)


def image_json(built: BuiltImage) -> dict[str, Any]:
    """The JSON form of a BuiltImage."""
    data = asdict(built)
    data["identity"]["diff_ids"] = list(built.identity.diff_ids)
    return data


def image_from_json(data: dict[str, Any]) -> BuiltImage:
    """A BuiltImage from its JSON form. Raises KeyError, TypeError."""
    found = ImageIdentity(**{**data["identity"], "diff_ids": tuple(data["identity"]["diff_ids"])})
    return BuiltImage(**{**data, "identity": found})


def _pairs(image: Assembled) -> list[tuple[Path, str]]:
    return list(zip(image.layers, image.identity.diff_ids, strict=True))


def _hex(diff_id: str) -> str:
    return diff_id.removeprefix("sha256:")
