"""Canonical JSON, digests and atomic files: the three things that make "the same bytes" a checkable sentence.

>>> digest({"b": 1, "a": 2})
'sha256:d3626ac30a87e6f7a6428233b3c68299976865fa5508e4267c5415c76af7a772'
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

_CHUNK_BYTES = 1 << 20


def canonical_bytes(value: Any) -> bytes:
    """The RFC 8785 encoding of a JSON value. Raises ValueError for what JSON cannot say (NaN, bytes, huge integers)."""
    import rfc8785

    try:
        return rfc8785.dumps(value)
    except rfc8785.CanonicalizationError as error:
        raise ValueError(f"not canonical JSON: {error}") from error


def digest(value: Any) -> str:
    """``sha256:<hex>`` of the canonical encoding of a JSON value."""
    return digest_bytes(canonical_bytes(value))


def digest_bytes(data: bytes) -> str:
    """``sha256:<hex>`` of raw bytes."""
    return "sha256:" + hashlib.sha256(data).hexdigest()


def sha256_file(path: Path | str) -> str:
    """The sha256 of a file as hex, read in pieces. Raises OSError."""
    state = hashlib.sha256()
    with open(path, "rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            state.update(chunk)
    return state.hexdigest()


def write_atomic(path: Path | str, data: bytes, mode: int = 0o644) -> None:
    """Replace a file so that a reader, or a power cut, sees the old bytes or the new ones. Raises OSError."""
    target = Path(path)
    descriptor, name = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(name, target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(target.parent)


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
