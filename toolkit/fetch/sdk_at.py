"""``--sdk-at``: the same adapter on another version of its SDK, or on a checkout of it.

The derived entry is a copy of the catalogue's folder in the content store, with go.mod, go.sum and lock.json of its
own, made by the locked toolchain with the user's own Go settings. It is pinned from then on: a re-run takes the copy
that is there. A checkout is copied whole and named by the digest of its files, so that a later edit is another SDK.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.build import targets
from toolkit.canonical import digest, sha256_file
from toolkit.catalogue.gomod import EXACT_VERSION
from toolkit.errors import InputUnavailable, UsageError
from toolkit.fetch.stage import host_go, lock_copy
from toolkit.fetch.store import Store
from toolkit.fetch.tidy import check_resolved, copy_entry, resolve
from toolkit.model.catalogue import SdkEntry
from toolkit.model.names import CHECKOUT_LABEL

PINNED = "pinned"
_HEX = 12
_SHOWN = 200
_SKIPPED = (".git", ".hg", ".svn")
_MODULE_LINE = re.compile(r"^module\s+\"?([^\s\"]+)\"?", re.MULTILINE)
Report = Callable[[str], None]


@dataclass(frozen=True)
class Wanted:
    """A version, or a checkout (``source``) with the label that stands for its version."""

    version: str
    source: Path | None


def derive(store: Store, entry: SdkEntry, at: str, *, report: Report) -> tuple[SdkEntry, str]:
    """The entry at a version (``v1.2.3``) or from a checkout (a folder), and its label for the arm.

    Raises UsageError for what is neither, or a checkout of another module; InputUnavailable with Go's own words.
    """
    source = None
    if EXACT_VERSION.fullmatch(at):
        label, version = at.lower(), at
    else:
        source = _checkout(entry, at)
        label = version = _checkout_label(source)
    place = _place(store, entry, label)
    if not (place / "lock.json").is_file():
        report(f"lock: {entry.id} at {label}")
        _make(store, entry, place, Wanted(version, source), report)
    return _entry(entry, place, version), label


def derived_again(store: Store, entry: SdkEntry, label: str, version: str) -> SdkEntry:
    """The entry that an earlier command derived. Raises InputUnavailable when this store does not hold it."""
    place = _place(store, entry, label)
    if not (place / "lock.json").is_file():
        raise InputUnavailable(
            f"{entry.id} at {label} is not in this store",
            "the run used another version than the catalogue's, and its sources are kept in the store that made it",
            f"make it again with 'repro launch --sdk {entry.id} --sdk-at ...', or use that store (--store)",
        )
    return _entry(entry, place, version)


def tree_digest(folder: Path) -> str:
    """The digest of a checkout: every file's path and content, version control left out."""
    return digest({path.relative_to(folder).as_posix(): sha256_file(path) for path in _files(folder)})


def _checkout_label(folder: Path) -> str:
    """What stands for a checkout's version. Raises UsageError for a file that cannot be read."""
    try:
        return CHECKOUT_LABEL + tree_digest(folder).removeprefix("sha256:")[:_HEX]
    except OSError as problem:
        raise UsageError(
            f"--sdk-at {folder.name} cannot be read", problem.strerror or str(problem), "check who may read its files"
        ) from problem


def _files(folder: Path) -> list[Path]:
    found = []
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if not any(part in _SKIPPED for part in parts) and path.is_file() and not path.is_symlink():
            found.append(path)
    return found


def _place(store: Store, entry: SdkEntry, label: str) -> Path:
    # The adapter is part of the name: after an edit of it the copy would be another program's.
    own = tree_digest(entry.folder).removeprefix("sha256:")[:_HEX]
    return store.root / "derived" / f"{entry.id}-{label}-{own}" / entry.id


def _entry(entry: SdkEntry, place: Path, version: str) -> SdkEntry:
    return replace(entry, folder=place, version=version)


def _checkout(entry: SdkEntry, text: str) -> Path:
    folder = Path(text)
    if not text or not _is_folder(folder):  # an empty text would be the current folder
        raise UsageError(
            f"--sdk-at {text[:_SHOWN]} is neither a version nor a folder",
            "a version is exact, such as v1.2.3; a checkout is a folder with go.mod",
            "check the spelling or the path",
        )
    try:
        found = _MODULE_LINE.search((folder / "go.mod").read_text(encoding="utf-8", errors="replace"))
    except OSError as problem:
        raise UsageError(
            f"--sdk-at {text} has no go.mod", problem.strerror or str(problem), "give the folder of the module itself"
        ) from problem
    if found is None or found[1] != entry.module:
        raise UsageError(
            f"--sdk-at {text} is not {entry.module}",
            f"its go.mod says module {found[1] if found else 'nothing'}",
            f"give a checkout of {entry.module}",
        )
    return folder.resolve()


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long for the file system
        return False


def _make(store: Store, entry: SdkEntry, place: Path, wanted: Wanted, report: Report) -> None:
    go = host_go(store, report)
    with store.lock("derive"), store.temporary() as folder:
        if (place / "lock.json").is_file():
            return  # another command made it while this one waited
        copy = folder / entry.id
        copy_entry(entry.folder, copy, without=("lock.json",))
        if wanted.source is not None:
            _copy_checkout(wanted.source, copy / targets.CHECKOUT)
            if _checkout_label(copy / targets.CHECKOUT) != wanted.version:
                raise UsageError(
                    f"the checkout of {entry.module} changed while it was copied",
                    "its files would not be those that its name stands for",
                    "run the command again",
                )
        first = ["get", f"{entry.module}@{wanted.version}"]
        if wanted.source is not None:
            first = ["mod", "edit", f"-replace={entry.module}=./{targets.CHECKOUT}"]
        resolve(go, entry, copy, f"at {wanted.version}", first)
        if wanted.source is None:
            check_resolved(entry, copy, wanted.version)
        lock_copy(store, copy, go)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(place, ignore_errors=True)
        copy.rename(place)


def _copy_checkout(source: Path, target: Path) -> None:
    for path in _files(source):
        place = target / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)
