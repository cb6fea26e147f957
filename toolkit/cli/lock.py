"""``repro lock``: pins every input by digest; with ``--check`` only says whether all are pinned."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.common import CatalogueOption, JsonFlag, QuietFlag, StoreOption, command
from toolkit.errors import CatalogueError, Reported, UsageError
from toolkit.output import error_document

if TYPE_CHECKING:
    from toolkit.output import Output


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
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Pin every input by digest, or check that all are."""
    with command(json_mode=json_mode, quiet=quiet) as output:
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
        from toolkit.catalogue.parts import native_parts
        from toolkit.fetch.stage import check_lock, lock_entry, module_folders, relock
        from toolkit.fetch.store import Store

        found = load_catalogue(catalogue)
        if check:
            _report(check_lock(found, sdk), output)
            return
        opened = Store.open(store)
        if sdk:
            folders = [found.sdk(name).folder for name in sdk]
            for folder in folders:
                lock_entry(opened, folder, report=output.talk)
        else:
            relock(opened, found, base=base, report=output.talk)
            folders = [*module_folders(found), *(part.folder for part in native_parts().values())]
        names = [folder.name for folder in folders]
        output.document({"schema": "repro.lock-report/1", "locked": names, "problems": []})
        output.data(f"locked {', '.join(names)}")


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
