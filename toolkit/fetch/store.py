"""The content store: verified inputs by their sha256, build records by the digest of what went in.

    store = Store.open()
    store.add_file(path, sha256, "numactl_2.0.16-1_amd64.deb")
    store.blob(sha256, "numactl_2.0.16-1_amd64.deb")      # re-hashed: a changed byte is an InputMismatch

Safe against several processes (flock) and against being killed (a name appears only when its bytes are complete and
on disk).
What a dead process left in ``tmp/`` is removed by the next one that opens the store.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit.canonical import canonical_bytes, sha256_file, sync_folder, write_atomic
from toolkit.errors import InputMismatch, ReproError, UsageError

FOLDERS = ("blobs", "records", "toolchains", "apt", "locks", "tmp", "tools")
_ORPHAN_SECONDS = 3600.0
IN_USE = "build"
"""The lock that every build shares, and that deleting the store needs alone."""
CACHE_TAG = "CACHEDIR.TAG"
# The signature by which backup programs know a cache (Cache Directory Tagging Specification 0.6).
_CACHE_TAG_TEXT = (
    b"Signature: 8a477f597d28d172789f06886806bc55\n"
    b"# The content store of sealbench: everything in it can be fetched or built again.\n"
)


class StoreError(UsageError):
    """The store cannot be written: full disk, no rights, not a folder (exit 2)."""


class StoreFull(ReproError):
    """The disk that holds the store is full (exit 1)."""


@dataclass(frozen=True)
class Store:
    """A content store below ``root``."""

    root: Path

    @classmethod
    def open(cls, root: Path | None = None) -> Store:
        """The store at ``root``, at ``$REPRO_STORE``, or in the user's cache folder. Raises StoreError, StoreFull."""
        store = cls(store_root(root))
        with store.errors():
            # Only a folder that was ours from the start is marked: 'repro clean --store' deletes what carries the mark.
            fresh = not store.root.exists() or not any(store.root.iterdir())
            for name in FOLDERS:
                (store.root / name).mkdir(parents=True, exist_ok=True)
            if fresh:
                write_atomic(store.root / CACHE_TAG, _CACHE_TAG_TEXT)
            store._sweep()
        return store

    @contextlib.contextmanager
    def errors(self) -> Iterator[None]:
        """Turn OSError on the store's paths into one of ours."""
        try:
            yield
        except OSError as error:
            raise self._typed(error) from error

    def _typed(self, error: OSError) -> ReproError:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            free = f"the disk that holds {self.root} is full"
            return StoreFull(
                "No space left for the store", free, "free some space, or put the store elsewhere with REPRO_STORE=DIR"
            )
        return StoreError(
            f"Cannot use the store at {self.root}",
            f"{error.strerror or error}: {error.filename or self.root}",
            "check its rights, or put the store elsewhere with REPRO_STORE=DIR",
        )

    def _sweep(self) -> None:
        """Remove temporary folders whose owner is gone: their lock is free."""
        for folder in (self.root / "tmp").iterdir():
            with contextlib.suppress(OSError):
                if (folder / ".owner").exists():
                    with (folder / ".owner").open("r+b") as owner:
                        fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                        _remove_tree(folder)
                elif time.time() - folder.stat().st_mtime > _ORPHAN_SECONDS:
                    _remove_tree(folder)

    @contextlib.contextmanager
    def temporary(self) -> Iterator[Path]:
        """A private folder, removed at the end, or by the next user of the store when this process is killed."""
        with self.errors():
            # Created under a name that _sweep ignores until its lock is held, so that no other process
            # takes it for a dead one's.
            folder = Path(tempfile.mkdtemp(dir=self.root / "tmp"))
            descriptor = os.open(folder / ".new", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            (folder / ".new").rename(folder / ".owner")
        try:
            yield folder
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise self._typed(error) from error
            raise
        finally:
            os.close(descriptor)
            _remove_tree(folder)

    @contextlib.contextmanager
    def lock(self, name: str, on_wait: Callable[[], None] = lambda: None, *, shared: bool = False) -> Iterator[None]:
        """Hold a named lock of the store; tells ``on_wait`` before it waits for another process that holds it.

        ``shared``: together with others that share it, while nobody holds it alone.
        """
        how = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
        with self.errors():
            descriptor = os.open(self.root / "locks" / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            except BlockingIOError:
                on_wait()
                fcntl.flock(descriptor, how)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def alone(self, name: str) -> Iterator[bool]:
        """Hold a named lock of the store alone, if nobody holds it now; gives whether it is held. Never waits."""
        with self.errors():
            descriptor = os.open(self.root / "locks" / f"{name}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield False
            else:
                yield True
        finally:
            os.close(descriptor)

    def blob_path(self, sha256: str) -> Path:
        """Where the blob is, or would be. No check."""
        return self.root / "blobs" / sha256[:2] / sha256

    def has(self, sha256: str) -> bool:
        return self.blob_path(sha256).is_file()

    def blob(self, sha256: str, name: str) -> Path:
        """The verified path of a blob. Raises InputMismatch naming ``name`` when its bytes changed, StoreError when
        absent.
        """
        path = self.blob_path(sha256)
        with self.errors():
            found = sha256_file(path)
        if found != sha256:
            raise InputMismatch(
                f"{name} in the store is not what was locked",
                f"expected sha256 {sha256}, found {found} at {path}",
                "somebody or something changed the file: delete it and run the command again",
            )
        return path

    def add_file(self, source: Path, sha256: str, name: str) -> Path:
        """Take a file in (moved when it is on the store's file system). Raises InputMismatch naming ``name``."""
        with self.errors():
            found = sha256_file(source)
            if found != sha256:
                raise InputMismatch(
                    f"{name} is not what was locked",
                    f"expected sha256 {sha256}, the package client brought {found}",
                    "a mirror or proxy changed it, or the lock is wrong: do not use it; try another mirror",
                )
            return self._take(source, sha256)

    def add_bytes(self, data: bytes, sha256: str, name: str) -> Path:
        """Take bytes in. Raises InputMismatch naming ``name``."""
        with self.temporary() as folder:
            (folder / "bytes").write_bytes(data)
            return self.add_file(folder / "bytes", sha256, name)

    def add_made(self, source: Path) -> str:
        """Take in a file we made ourselves; returns its sha256."""
        with self.errors():
            sha256 = sha256_file(source)
            self._take(source, sha256)
            return sha256

    def _take(self, source: Path, sha256: str) -> Path:
        target = self.blob_path(sha256)
        target.parent.mkdir(exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False) as stream:
            try:
                with source.open("rb") as original:
                    shutil.copyfileobj(original, stream, 1 << 20)
                stream.flush()
                os.fchmod(stream.fileno(), 0o444)
                os.fsync(stream.fileno())
                os.replace(stream.name, target)
            except BaseException:
                Path(stream.name).unlink(missing_ok=True)
                raise
        sync_folder(target.parent)
        return target

    def forget(self, sha256: str) -> None:
        """Remove a blob; no error when it is absent."""
        with self.errors():
            self.blob_path(sha256).unlink(missing_ok=True)

    def record(self, kind: str, key: str) -> dict[str, Any] | None:
        """A build record; None when there is none, or it is not readable (it is only a memory, so it is made anew)."""
        try:
            data = json.loads((self.root / "records" / kind / f"{key.removeprefix('sha256:')}.json").read_bytes())
        except (OSError, ValueError):
            return None
        return data if isinstance(data, dict) else None

    def put_record(self, kind: str, key: str, value: dict[str, Any]) -> None:
        """Keep a build record. Raises StoreError, StoreFull."""
        with self.errors():
            folder = self.root / "records" / kind
            folder.mkdir(exist_ok=True)
            write_atomic(folder / f"{key.removeprefix('sha256:')}.json", canonical_bytes(value))


def delete_store(root: Path) -> None:
    """Delete a store: the folders it made, its mark, and ``root`` itself when nothing else is in it.

    Raises UsageError while another process builds with it, StoreError when something cannot be removed.
    """
    store = Store(root)
    with store.errors():
        descriptor = os.open(root / "locks" / f"{IN_USE}.lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            for name in FOLDERS:
                _remove_tree(root / name)
            (root / CACHE_TAG).unlink()
        except BlockingIOError as busy:
            raise UsageError(
                f"The store at {root} is in use", "another process builds with it", "wait for it, then try again"
            ) from busy
        finally:
            os.close(descriptor)
        with contextlib.suppress(OSError):
            root.rmdir()  # fails, as it should, while something that is not ours is in it


def _remove_tree(folder: Path) -> None:
    """Remove a folder of ours, also where a tool made folders read-only.

    A build may have left links to folders of the host in it: those are removed, and what they point at is not touched.
    """
    for path, folders, _ in os.walk(folder):
        for name in folders:
            with contextlib.suppress(OSError):
                if not Path(path, name).is_symlink():
                    Path(path, name).chmod(0o700)
    shutil.rmtree(folder, ignore_errors=True)


def store_root(root: Path | None = None) -> Path:
    """Where the store is, or would be: ``root``, ``$REPRO_STORE``, or the user's cache folder. Touches nothing."""
    chosen = root or (Path(os.environ["REPRO_STORE"]) if os.environ.get("REPRO_STORE") else _default_root())
    return chosen.expanduser().absolute()


def _default_root() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("sealbench") / "store"
