"""Go decides which modules an entry needs: ``go mod tidy`` in a copy, with the harness beside it as the build has it.

The harness is taken out of go.mod again: no entry names it (toolkit.build.targets). Runs on the host by the locked
toolchain, with the user's own Go settings; the entry's folder changes only when everything went well.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

from toolkit import resources
from toolkit.build import targets
from toolkit.canonical import write_atomic
from toolkit.catalogue.gomod import required_version
from toolkit.catalogue.load import read_sdk
from toolkit.errors import CatalogueError, InputUnavailable, UsageError
from toolkit.fetch import gomod
from toolkit.fetch.clients import run
from toolkit.fetch.stage import host_go, lock_copy
from toolkit.fetch.store import Store
from toolkit.lock import ModulesLock, read_lock
from toolkit.model.catalogue import SdkEntry

_GO_SECONDS = 600.0
_MADE = ("go.mod", "go.sum", "lock.json")
Report = Callable[[str], None]


def tidy_entry(store: Store, folder: Path, *, report: Report) -> ModulesLock:
    """Write go.mod, go.sum and lock.json of an entry that has sdk.yaml and its adapter.

    Raises CatalogueError, UsageError, InputUnavailable with Go's own words, InputMismatch.
    """
    entry = read_sdk(folder / "sdk.yaml", module=False)
    go = host_go(store, report)
    report(f"lock: {entry.id}: go mod tidy")
    with store.temporary() as place:
        copy = place / entry.id
        copy_entry(folder, copy, without=_MADE)
        (copy / "go.mod").write_text(f"module sealbench.org/sdks/{entry.id}\n\ngo {read_lock().toolchain.go}\n")
        first = ["get", f"{entry.module}@{entry.version}"]
        resolve(go, entry, copy, f"at {entry.version}", first if not entry.null else ["mod", "tidy"])
        check_resolved(entry, copy, entry.version)
        lock = lock_copy(store, copy, go)
        try:
            for name in _MADE:  # the lock last: without it, or with another go.mod's, the entry is refused
                if (copy / name).is_file():
                    write_atomic(folder / name, (copy / name).read_bytes())
                else:  # a module without dependencies has no go.sum
                    (folder / name).unlink(missing_ok=True)
        except OSError as problem:
            raise UsageError(
                f"{folder} cannot be written", problem.strerror or str(problem), "check who may write there"
            ) from problem
    return lock


def copy_entry(folder: Path, copy: Path, *, without: Sequence[str]) -> None:
    """A copy of an entry without some of what ``repro lock`` makes. Raises UsageError for what cannot be copied."""
    try:
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(*without))
    except OSError as problem:
        causes = [str(row[2]) for row in problem.args[0]] if isinstance(problem, shutil.Error) else [str(problem)]
        raise UsageError(
            f"{folder} cannot be read", causes[0], "an entry holds files and folders: take anything else away"
        ) from problem


def check_resolved(entry: SdkEntry, copy: Path, version: str) -> None:
    """Raises CatalogueError when go chose another version of the SDK than was asked for, or none."""
    found = required_version(copy, entry.module)
    if entry.null or found == version:
        return
    if not found:
        raise CatalogueError(
            f"the adapter of {entry.id} does not use {entry.module}",
            f"no file of package {entry.package!r} imports it, so go.mod needs none",
            "import it, or correct `module` and `package` of sdk.yaml",
        )
    raise CatalogueError(
        f"{entry.id} cannot be built with {entry.module} {version}",
        f"what else it needs asks for {found}",
        "take that version, or older versions of what asks for it",
    )


def resolve(go: Path, entry: SdkEntry, copy: Path, what: str, first: Sequence[str]) -> None:
    """``first``, then ``go mod tidy``, in a copy of an entry whose parent folder is ours to write in."""
    shutil.copytree(resources.images_dir() / "harness", copy.parent / "harness")
    test = copy / entry.package / "workload_test.go"
    test.write_bytes(targets.workload_test(entry))
    env = {**gomod.environment(copy.parent / "mod"), "GOFLAGS": "-modcacherw -mod=mod"}
    harness = targets.HARNESS_MODULE
    steps = (
        ["mod", "edit", f"-require={harness}@v0.0.0", f"-replace={harness}=../harness"],
        first,
        ["mod", "tidy"],
        ["mod", "edit", f"-droprequire={harness}", f"-dropreplace={harness}"],
        ["mod", "edit", f"-go={read_lock().toolchain.go}", "-toolchain=none"],
    )
    for step in steps:
        outcome = run([str(go), *step], env=env, cwd=copy, timeout_seconds=_GO_SECONDS)
        if not outcome.ok:
            raise InputUnavailable(
                f"go could not resolve the modules of {entry.id} {what}",
                outcome.text,
                "check the version, the network and GOPROXY; a newer SDK may also need another adapter or a newer Go",
            )
    test.unlink()
