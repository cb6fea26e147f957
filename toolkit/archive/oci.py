"""The documents of an OCI image layout (OCI image-spec 1.1) and of the legacy docker archive. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.archive import layout

_MANIFEST_TYPE = "application/vnd.oci.image.manifest.v1+json"
_CONFIG_TYPE = "application/vnd.oci.image.config.v1+json"
_LAYER_TYPE = "application/vnd.oci.image.layer.v1.tar"
_PLATFORM = {"architecture": "amd64", "os": "linux"}
LAYOUT_DOCUMENT = {"imageLayoutVersion": "1.0.0"}


def manifest_of(
    config_digest: str, config_size: int, diff_ids: Sequence[str], layer_sizes: Sequence[int]
) -> dict[str, Any]:
    """The OCI manifest of an image (image-spec 1.1, manifest.md)."""
    return {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": {"mediaType": _CONFIG_TYPE, "digest": config_digest, "size": config_size},
        "layers": [
            {"mediaType": _LAYER_TYPE, "digest": diff_id, "size": size}
            for diff_id, size in zip(diff_ids, layer_sizes, strict=True)
        ],
    }


def index_document(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """``index.json`` of the layout."""
    return {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": list(rows)}


def index_row(reference: str, digest: str, size: int) -> dict[str, Any]:
    """One image in ``index.json``; containerd takes the name from its own annotation, others from OCI's."""
    name = {"io.containerd.image.name": f"docker.io/{reference}", "org.opencontainers.image.ref.name": reference}
    return {"mediaType": _MANIFEST_TYPE, "digest": digest, "size": size, "platform": _PLATFORM, "annotations": name}


def legacy_row(reference: str, config_digest: str, diff_ids: Sequence[str]) -> dict[str, Any]:
    """One image in the legacy ``manifest.json``; paths are below the layout's folder."""

    def path(digest: str) -> str:
        return layout.blob(digest).removeprefix(layout.IMAGES)

    return {"Config": path(config_digest), "RepoTags": [reference], "Layers": [path(diff) for diff in diff_ids]}
