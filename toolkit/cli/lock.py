"""``repro lock``: pins every input by digest; with ``--check`` only says whether all are pinned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.common import CatalogueOption, JsonFlag, QuietFlag, StoreOption, command
from toolkit.errors import CatalogueError, Reported, UsageError
from toolkit.output import error_document

if TYPE_CHECKING:
    from toolkit.catalogue import Catalogue
    from toolkit.fetch.store import Store
    from toolkit.output import Output


BundledBackends = Annotated[
    list[str] | None,
    typer.Option(
        "--backend",
        help="With --bundle: of the backends only this; repeat it (default: all that the SDKs can run against).",
    ),
]


def lock(
    sdk: Annotated[
        list[str] | None, typer.Option("--sdk", help="Lock only this entry; repeat it (default: everything).")
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Write nothing; exit 2 when anything floats or is stale.")
    ] = False,
    base: Annotated[
        bool,
        typer.Option(
            "--base/--no-base", help="Also lock the base's and the compilers' packages anew (not with --sdk)."
        ),
    ] = False,
    entry: Annotated[
        Path | None,
        typer.Option(
            "--entry",
            metavar="DIR",
            help="Make go.mod, go.sum and lock.json of a new SDK entry from its sdk.yaml and adapter.",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option("--bundle", metavar="FILE", help="Write the bytes of every locked input into one file."),
    ] = None,
    backend: BundledBackends = None,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Pin every input by digest, or check that all are."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        _only_with_bundle(backend, bundle)
        if entry is not None:
            if check or sdk or base:
                raise UsageError(
                    "--entry goes with no other way to lock",
                    "it writes the files of one entry that is in no catalogue yet",
                    f"to check it: repro lock --check --sdk {entry.name} --catalogue DIR",
                )
            _new_entry(entry, store, output)
            return
        from toolkit.catalogue import load_catalogue
        from toolkit.fetch.stage import check_lock
        from toolkit.fetch.store import Store

        found = load_catalogue(catalogue)
        if check:
            _report(check_lock(found, sdk), output)
            return
        opened = Store.open(store)
        if bundle is not None:
            _bundle(opened, found, sdk, backend, bundle, output)
            return
        _lock(opened, found, sdk, output, base=base)


def _only_with_bundle(backends: list[str] | None, bundle: Path | None) -> None:
    if backends and bundle is None:
        raise UsageError(
            "--backend goes with --bundle", "a lock is of all that an SDK can run against", "add --bundle FILE"
        )


def _lock(store: Store, catalogue: Catalogue, sdks: list[str] | None, output: Output, *, base: bool) -> None:
    """Lock the named entries, or everything."""
    from toolkit.catalogue.parts import native_parts
    from toolkit.fetch.stage import lock_entry, module_folders, relock

    if sdks:
        folders = [catalogue.sdk(name).folder for name in sdks]
        for folder in folders:
            lock_entry(store, folder, report=output.talk)
    else:
        relock(store, catalogue, base=base, report=output.talk)
        folders = [*module_folders(catalogue), *(part.folder for part in native_parts().values())]
    names = [folder.name for folder in folders]
    output.document({"schema": "repro.lock-report/1", "locked": names, "problems": []})
    output.data(f"locked {', '.join(names)}")


def _bundle(
    store: Store,
    catalogue: Catalogue,
    sdks: list[str] | None,
    backends: list[str] | None,
    target: Path,
    output: Output,
) -> None:
    """Every input that the locks name, brought if need be, in one file."""
    from toolkit.archive.bundle import write_bundle
    from toolkit.fetch.stage import fetch_all, locked_files
    from toolkit.units import size

    fetch_all(store, catalogue, sdks=sdks, backends=backends, report=output.talk)
    count = write_bundle(store, locked_files(catalogue, sdks, backends), target)
    output.document({"schema": "repro.lock-report/1", "locked": [], "problems": [], "bundle": str(target)})
    output.data(f"{target}: {count} files, {size(target.stat().st_size)}; 'repro fetch --from {target}' takes them in")


def _new_entry(folder: Path, store: Path | None, output: Output) -> None:
    from toolkit.fetch.store import Store
    from toolkit.fetch.tidy import tidy_entry

    lock = tidy_entry(Store.open(store), folder.resolve(), report=output.talk)
    output.document({"schema": "repro.lock-report/1", "locked": [folder.resolve().name], "problems": []})
    output.data(f"wrote go.mod, go.sum and lock.json ({len(lock.files)} module files) in {folder}")


def _report(problems: list[str], output: Output) -> None:
    document: dict[str, Any] = {"schema": "repro.lock-report/1", "locked": [], "problems": problems}
    if not problems:
        output.document(document)
        output.data("every input is pinned")
        return
    error = CatalogueError(
        f"{len(problems)} lock problem(s)", "; ".join(problems), "run 'repro lock', or undo the change"
    )
    output.document({**document, "error": error_document(error)})
    raise Reported(error)
