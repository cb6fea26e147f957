"""Compiled dependencies of a Go target, kept in the store: after an edit of an adapter only the adapter is compiled.

Go's own cache, less what the standard library's layer already has. It is keyed by everything but the sources, it holds
times, and it is outside every identity: with it or without it the binary has the same bytes.
"""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from toolkit.build.blocks import Blocks
from toolkit.build.targets import Target
from toolkit.canonical import digest
from toolkit.engine.port import Engine
from toolkit.fetch.store import Store
from toolkit.lock import Lock

CACHE = "/cache"
_KIND = "gocache"
_BLOCK_BYTES = 1 << 20


@dataclass(frozen=True)
class Cache:
    """The cache of one target. ``below`` is the standard library's layer, which the container has already."""

    store: Store
    key: str
    below: Path
    use: bool = True

    def fill(self, engine: Engine, container: str) -> None:
        """Give a container, before it starts, what an earlier build of the same modules compiled."""
        layer = self._layer()
        if layer is not None:
            with layer.open("rb") as stream:
                engine.copy_in(container, CACHE, stream)

    def keep(self, engine: Engine, container: str) -> None:
        """Keep what a container compiled, unless it began with what was kept before."""
        if self._layer() is not None:
            return
        with self.store.temporary() as folder:
            path = folder / "cache.tar"
            copy_without(engine.copy_out(container, CACHE), path, names_in(self.below))
            old = self.store.record(_KIND, self.key)
            sha256 = self.store.add_made(path)
            self.store.put_record(_KIND, self.key, {"layer": sha256})
            if old is not None and old.get("layer") != sha256:
                self.store.forget(str(old.get("layer")))

    def _layer(self) -> Path | None:
        row = self.store.record(_KIND, self.key) if self.use else None
        if row is None or not self.store.has(str(row.get("layer"))):
            return None
        return self.store.blob(str(row["layer"]), "compiled dependencies")


def cache_key(target: Target, lock: Lock) -> str:
    """What a target's cache is keyed by. The command is part of it: a test binary compiles its packages otherwise."""
    return digest({"schema": "repro.gocache/1", "command": list(target.command), **target.ground(lock)})


def names_in(layer: Path) -> frozenset[str]:
    """The names of the files in a layer."""
    with tarfile.open(layer, "r:") as tar:
        return frozenset(member.name for member in tar if member.isreg())


def copy_without(blocks: Iterable[bytes], path: Path, known: frozenset[str]) -> None:
    """Write the folders and files of a tar stream of the cache, less the files known by name, relative to the cache."""
    source = io.BufferedReader(Blocks(blocks), _BLOCK_BYTES)
    with tarfile.open(fileobj=source, mode="r|") as tar, tarfile.open(path, "w") as kept:
        for member in tar:
            fresh = member.isreg() and member.name not in known
            content = tar.extractfile(member) if fresh else None
            member.name = member.name.partition("/")[2] or "."  # the root file system is read-only: only the volume is
            if fresh or member.isdir():  # unpacked into
                kept.addfile(member, content)
