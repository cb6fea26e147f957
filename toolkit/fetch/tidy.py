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
from toolkit.catalogue.load import read_sdk
from toolkit.errors import InputUnavailable
from toolkit.fetch import gomod, inputs
from toolkit.fetch.clients import run
from toolkit.fetch.stage import lock_entry
from toolkit.fetch.store import Store
from toolkit.lock import ModulesLock, read_lock
from toolkit.model.catalogue import SdkEntry

_GO_SECONDS = 600.0
Report = Callable[[str], None]


def host_go(store: Store, report: Report) -> Path:
    """The locked toolchain's go program, for the host's own use. Raises InputUnavailable, InputMismatch."""
    chain = read_lock().toolchain
    tar = inputs.fetch_toolchain(store, chain, offline=False, report=report)
    return inputs.unpacked_go(store, tar, chain.tar_sha256)


def tidy_entry(store: Store, folder: Path, *, report: Report) -> ModulesLock:
    """Write go.mod, go.sum and lock.json of an entry that has sdk.yaml and its adapter.

    Raises CatalogueError, UsageError, InputUnavailable with Go's own words, InputMismatch.
    """
    entry = read_sdk(folder / "sdk.yaml", module=False)
    go = host_go(store, report)
    report(f"lock: {entry.id}: go mod tidy")
    with store.temporary() as place:
        copy = place / entry.id
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("lock.json", "go.mod", "go.sum"))
        (copy / "go.mod").write_text(f"module sealbench.org/sdks/{entry.id}\n\ngo {read_lock().toolchain.go}\n")
        resolve(go, entry, copy, f"at {entry.version}", ["get", f"{entry.module}@{entry.version}"])
        write_atomic(folder / "go.mod", (copy / "go.mod").read_bytes())
        write_atomic(folder / "go.sum", (copy / "go.sum").read_bytes())
    return lock_entry(store, folder, report=report)


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
