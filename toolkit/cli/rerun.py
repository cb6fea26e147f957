"""``repro rerun``: exactly again, with every difference of the set-up shown before a number."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit.cli import options as of
from toolkit.cli.common import (
    DEFAULT_RUNS,
    CatalogueOption,
    Folders,
    JsonFlag,
    QuietFlag,
    RunsOption,
    StoreOption,
    VerboseFlag,
    command,
)


def rerun(
    run: Annotated[str, typer.Argument(help="A run: its folder, its id, the end of its id, or 'last'.")] = "last",
    wait: of.Wait = 0.0,
    model: of.Model = None,
    prometheus: of.Prometheus = None,
    otlp: of.Otlp = None,
    runs: RunsOption = DEFAULT_RUNS,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Run a sealed run again, exactly. Same image content, rendered bytes, commands, environment, seeds and order; both
    results side by side.
    """
    with command(json_mode=json_mode, quiet=quiet, verbose=verbose) as output:
        from toolkit.cli.channels import wanted
        from toolkit.cli.rerunning import rerun_run

        rerun_run(run, Folders(runs, store, catalogue), wait, output, model, wanted(prometheus, otlp))
