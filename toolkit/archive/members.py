"""One file that goes into an archive: where its bytes are, and what they must be.

Blobs of the store are named by their digest, so it is known before they are read; every byte is hashed again while it
is written, and a file that changed meanwhile stops the archive.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from toolkit.archive import layout
from toolkit.canonical import digest_bytes, sha256_file


@dataclass(frozen=True)
class Member:
    """``path`` below the archive's root; ``source`` are its bytes or the file that has them."""

    path: str
    source: bytes | Path
    sha256: str
    size_bytes: int

    @property
    def mode(self) -> int:
        """Only the script that people run may be executed."""
        return layout.PROGRAM_MODE if self.path == layout.RERUN else layout.FILE_MODE

    def to_json(self) -> dict[str, object]:
        """Its row in ``archive.json``."""
        return {"sha256": self.sha256, "size_bytes": self.size_bytes}


def of_bytes(path: str, data: bytes) -> Member:
    """A member that is made here."""
    return Member(path, data, digest_bytes(data).removeprefix("sha256:"), len(data))


def of_file(path: str, source: Path) -> Member:
    """A member that is a file; reads it once. Raises OSError."""
    return Member(path, source, sha256_file(source), source.stat().st_size)


def of_blob(path: str, source: Path) -> Member:
    """A member that is a blob of the store, whose name is its sha256. Raises OSError."""
    return Member(path, source, source.name, source.stat().st_size)


def once(members: Iterable[Member]) -> list[Member]:
    """Each path once: blobs are shared between images, inputs between targets."""
    return list({member.path: member for member in members}.values())
