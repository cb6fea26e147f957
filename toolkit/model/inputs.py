"""What a launch needs to know of a built image, and what a lock says of its inputs."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class ImageIdentity:
    """Four digests computed by us, never asked of the engine (``sha256:<hex>`` each).

    ``content_digest`` covers the flattened tree without times; ``runtime_config_digest`` user, environment,
    entry point, command, working directory, volumes and labels.
    """

    config_digest: str
    diff_ids: tuple[str, ...]
    content_digest: str
    runtime_config_digest: str


@dataclass(frozen=True)
class BuiltImage:
    """An image that is in the engine under ``reference`` and whose identity we computed."""

    kind: str
    id: str
    reference: str
    identity: ImageIdentity
    size_bytes: int
    binary_digest: str
    inputs_digest: str


@dataclass(frozen=True)
class LockedFile:
    """One pinned input. ``source`` says which package client brings it: apt, pip, gomod or local."""

    name: str
    source: str
    version: str
    filename: str
    sha256: str
    size_bytes: int
