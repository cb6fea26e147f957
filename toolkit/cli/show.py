"""``repro show``: a sealed run again. Needs no engine."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli.common import DEFAULT_RUNS, JsonFlag, QuietFlag, RunsOption, command


def show(
    run: Annotated[str, typer.Argument(help="A run: its folder, its id, the end of its id, or 'last'.")] = "last",
    runs: RunsOption = DEFAULT_RUNS,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Show a run again. Grade, launches, limits that did not hold, and the numbers with their conditions."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.launch.folder import resolve_run
        from toolkit.report.document import show_document
        from toolkit.report.terminal import show_run
        from toolkit.seal import read_plan

        folder = resolve_run(runs, run)
        document = show_document(folder)
        output.document(document)
        show_run(document, read_plan(folder), output)
