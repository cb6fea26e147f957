"""``repro diff``: what is not the same in two runs, set-ups before numbers."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from toolkit.cli.common import DEFAULT_RUNS, JsonFlag, QuietFlag, RunsOption, StoreOption, command

if TYPE_CHECKING:
    from toolkit.launch.folder import RunFolder


def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="A run (folder, id, end of an id, 'last') or an archive.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another one.")],
    runs: RunsOption = DEFAULT_RUNS,
    store: StoreOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show what differs between two runs: each difference blocking, explanatory or benign, then both results."""
    with command(json_mode=json_mode, quiet=quiet) as output, ExitStack() as stack:
        from toolkit.cli.launching import launch_document
        from toolkit.cli.rerunning import show_differences
        from toolkit.report.document import read_manifest
        from toolkit.report.side_by_side import cell_rows, comparison, from_elsewhere

        folders = [_run(text, runs, store, stack) for text in (first, second)]
        before, after = (launch_document(folder.path, read_manifest(folder)) for folder in folders)
        differences = differences_of(folders[0], folders[1])
        show_differences(differences, output)
        elsewhere = from_elsewhere(differences)
        comparable = not any(one.meaning == "blocking" for one in differences)
        document: dict[str, Any] = {
            "schema": "repro.diff/1",
            "original": before["run"],
            "run": after["run"],
            "differences": [one.to_json() for one in differences],
            "comparable": comparable,
            "cells": cell_rows(before, after, elsewhere=elsewhere) if comparable else [],
        }
        output.document(document)
        if comparable:
            comparison(before, after, output, elsewhere=elsewhere)
        else:
            output.data("\nnot the same experiment: numbers are not put side by side")


def differences_of(one: RunFolder, other: RunFolder) -> list[Any]:
    """Differences of two set-ups and plans, blocking ones first."""
    from toolkit.diff import plan_differences, setup_differences
    from toolkit.seal import read_json, read_plan

    before, after = (read_json(folder.path / "setup.json") for folder in (one, other))
    return [*setup_differences(before, after), *plan_differences(read_plan(one), read_plan(other))]


def _run(text: str, runs: Path, store: Path | None, stack: ExitStack) -> RunFolder:
    """A run folder, or the one in an archive, which has to be verified first. Raises ArchiveInvalid."""
    from toolkit.launch.folder import resolve_run

    if not Path(text).is_file():
        return resolve_run(runs, text)
    from toolkit.archive.adopt import unpack_run
    from toolkit.archive.stranger import judged
    from toolkit.cli.strangers import may_use, verified_archive
    from toolkit.verify.run import Question

    held = stack.enter_context(
        verified_archive(Question(Path(text)), store, lambda found: may_use(found, accept_unverified=True))
    )
    with judged():
        return unpack_run(held.stream, held.scan, held.place, str(held.found.archive["run"]), images=False)
