"""The images of a run as one folder that every engine loads: an OCI image layout (OCI image-spec 1.1, image-layout.md)
plus the legacy ``manifest.json`` that engines before 25 want.

Layers are stored as plain tars, so that a blob's digest is the layer's diff id and nothing has to be unpacked to check
it; the outer compression is the only one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.archive import layout
from toolkit.archive.members import Member, of_blob, of_bytes
from toolkit.archive.oci import LAYOUT_DOCUMENT, index_document, index_row, legacy_row, manifest_of
from toolkit.build import records
from toolkit.canonical import canonical_bytes, digest_bytes
from toolkit.fetch.store import Store
from toolkit.model.inputs import BuiltImage

_WAYS_OUT = "archive where the run was made, or leave the images out: --without images"


def run_images(lock: Mapping[str, Any]) -> list[BuiltImage]:
    """The images that a run's launches started, each once, by name. ``lock`` is the run's lock.json."""
    found = {}
    for cell in lock["cells"].values():
        for kind, row in cell["images"].items():
            if kind != "base":
                image = records.image_from_json(row)
                found[image.identity.config_digest] = image
    return sorted(found.values(), key=lambda image: image.reference)


def image_members(store: Store, images: Sequence[BuiltImage]) -> list[Member]:
    """The layout's files. Raises InputUnavailable for an image that the store no longer holds."""
    assembled = [records.required(store, image, _WAYS_OUT) for image in images]
    members: list[Member] = []
    rows, legacy = [], []
    for image in assembled:
        config = canonical_bytes(image.config)
        blobs = [of_blob(layout.blob(layer.name), layer) for layer in image.layers]
        identity = image.identity
        sizes = [blob.size_bytes for blob in blobs]
        manifest = canonical_bytes(manifest_of(identity.config_digest, len(config), identity.diff_ids, sizes))
        digest = digest_bytes(manifest)
        members += [
            of_bytes(layout.blob(digest), manifest),
            of_bytes(layout.blob(digest_bytes(config)), config),
            *blobs,
        ]
        rows.append(index_row(image.reference, digest, len(manifest)))
        legacy.append(legacy_row(image.reference, identity.config_digest, identity.diff_ids))
    return [
        *members,
        of_bytes(layout.IMAGES_INDEX, canonical_bytes(index_document(rows))),
        of_bytes(layout.IMAGES_LAYOUT, canonical_bytes(LAYOUT_DOCUMENT)),
        of_bytes(layout.IMAGES_LEGACY, canonical_bytes(legacy)),
    ]
