"""The identity of an image: four digests, computed by us from its layers and configuration, never asked of the engine.

    identify(config, [layer_path]) -> ImageIdentity

The content digest ("content/1") covers the flattened tree: path, type, mode, owner, size, sha256 and link target of
everything that
is left after whiteouts, without times. Two images with one content digest hold the same files.
"""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from toolkit.canonical import canonical_bytes, digest, digest_bytes
from toolkit.model.inputs import ImageIdentity

CONTENT_VERSION = "content/1"
EPOCH = "1970-01-01T00:00:00Z"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
USER = "65534:65534"
_RUNTIME_KEYS = (
    "Cmd", "Entrypoint", "Env", "ExposedPorts", "Healthcheck", "Labels", "OnBuild", "Shell", "StopSignal", "User",
    "Volumes", "WorkingDir",
)  # fmt: skip
_WHITEOUT = ".wh."
_OPAQUE = ".wh..wh..opq"
_KINDS = {
    tarfile.REGTYPE: "file", tarfile.AREGTYPE: "file", tarfile.LNKTYPE: "hardlink", tarfile.SYMTYPE: "symlink",
    tarfile.DIRTYPE: "folder", tarfile.CHRTYPE: "character", tarfile.BLKTYPE: "block", tarfile.FIFOTYPE: "pipe",
}  # fmt: skip


def runtime_config(*, entrypoint: Sequence[str], labels: Mapping[str, str], user: str = USER) -> dict[str, Any]:
    """What an image of ours says of how it runs. No command: the launch gives it."""
    config: dict[str, Any] = {"Env": [f"PATH={PATH}"], "Labels": dict(labels), "User": user, "WorkingDir": "/"}
    if entrypoint:
        config["Entrypoint"] = list(entrypoint)
    return config


def builder_config(kind: str, name: str) -> dict[str, Any]:
    """The runtime configuration of an image that only builds: root, nothing to start."""
    return {"Env": [f"PATH={PATH}"], "Labels": labels(kind, name), "WorkingDir": "/"}


def labels(kind: str, name: str, cpu_level: str = "") -> dict[str, str]:
    """The only labels our images carry; the CPU level (``x86-64-v1`` ...) on those that a launch starts."""
    level = {"org.sealbench.cpu-level": cpu_level} if cpu_level else {}
    return {**level, "org.sealbench.id": name, "org.sealbench.kind": kind}


def clean_runtime_config(found: Mapping[str, Any]) -> dict[str, Any]:
    """The runtime part of any engine's image configuration: known keys with a value, nothing else."""
    return {key: found[key] for key in _RUNTIME_KEYS if found.get(key)}


def image_config(runtime: Mapping[str, Any], diff_ids: Sequence[str]) -> dict[str, Any]:
    """The whole configuration blob: no times, no host, no history beyond one fixed row per layer."""
    return {
        "architecture": "amd64",
        "config": dict(runtime),
        "created": EPOCH,
        "history": [{"created": EPOCH, "created_by": "sealbench"} for _ in diff_ids],
        "os": "linux",
        "rootfs": {"diff_ids": list(diff_ids), "type": "layers"},
    }


def config_digest(config: Mapping[str, Any]) -> str:
    return digest_bytes(canonical_bytes(config))


def identify(config: Mapping[str, Any], layers: Sequence[Path] | None) -> ImageIdentity:
    """The identity of an image with this configuration and these layer tars, bottom first; None: no content digest.

    Raises OSError, tarfile.TarError.
    """
    return ImageIdentity(
        config_digest=config_digest(config),
        diff_ids=tuple(config["rootfs"]["diff_ids"]),
        content_digest=content_digest(flatten(layers)) if layers is not None else "",
        runtime_config_digest=digest(dict(config["config"])),
    )


def content_digest(tree: Mapping[str, Sequence[object]]) -> str:
    """The digest of a flattened tree."""
    return digest({"version": CONTENT_VERSION, "tree": [[path, *tree[path]] for path in sorted(tree)]})


UNREADABLE = (tarfile.TarError, OSError, EOFError, ValueError, LookupError)
"""What ``flatten`` raises for a layer that is no tar, or names what is not there: somebody else's may be so."""


def flatten(layers: Sequence[Path], *, most: int | None = None) -> dict[str, tuple[object, ...]]:
    """path -> (kind, mode, uid, gid, size, sha256, target) of what is left when the layers are laid over each other.

    Raises one of ``UNREADABLE``, also for a layer of more than ``most`` members.
    """
    tree: dict[str, tuple[object, ...]] = {}
    for layer in layers:
        _lay_over(tree, layer, most)
    return tree


def _lay_over(tree: dict[str, tuple[object, ...]], layer: Path, most: int | None) -> None:
    below = set(tree)
    with tarfile.open(layer, "r:") as tar:
        for number, member in enumerate(tar, 1):
            if most is not None and number > most:
                raise ValueError(f"more than {most} files")
            path = member.name.strip("/").removeprefix("./")
            folder, _, name = path.rpartition("/")
            if path in ("", "."):
                continue
            if name == _OPAQUE:
                _remove(tree, folder, keep_top=True, only=below)
            elif name.startswith(_WHITEOUT):
                _remove(tree, f"{folder}/{name[len(_WHITEOUT) :]}".lstrip("/"), keep_top=False, only=below)
            else:
                row = _describe(tar, member, tree)
                if row[0] != "folder":
                    _remove(tree, path, keep_top=False, only=below)
                tree[path] = row


def _remove(tree: dict[str, tuple[object, ...]], path: str, *, keep_top: bool, only: set[str]) -> None:
    """Remove a path and what is below it, as far as a lower layer brought it."""
    if not only:
        return
    for known in [known for known in tree if known == path or known.startswith(path + "/")]:
        if known in only and not (keep_top and known == path):
            del tree[known]


def _describe(
    tar: tarfile.TarFile, member: tarfile.TarInfo, tree: Mapping[str, tuple[object, ...]]
) -> tuple[object, ...]:
    kind = _KINDS.get(member.type, "other")
    if kind == "hardlink":
        return tree[member.linkname.strip("/").removeprefix("./")]
    content = ""
    if member.sparse is not None:
        raise ValueError(f"{member.name} is a sparse file")
    if kind == "file":
        stream = tar.extractfile(member)
        content = hashlib.file_digest(stream, "sha256").hexdigest() if stream is not None else ""  # type: ignore[arg-type]
    size = member.size if kind == "file" else 0
    target = member.linkname if kind == "symlink" else ""
    return (kind, member.mode & 0o7777, member.uid, member.gid, size, content, target)
