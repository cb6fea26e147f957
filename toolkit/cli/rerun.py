"""``repro rerun``: exactly again, with every difference of the set-up shown before a number."""

from __future__ import annotations

from pathlib import Path
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

Signer = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Archive: whom you believe, a .pub or allowed_signers file of OpenSSH."),
]
Sha256 = Annotated[str | None, typer.Option(metavar="HEX", help="Archive: what the file must hash to.")]
AcceptUnverified = Annotated[
    bool, typer.Option("--accept-unverified", help="Archive: run it although nobody vouches for its author.")
]
NotBefore = Annotated[
    str | None,
    typer.Option(metavar="DATE", help="Archive: refuse one whose run began before this day (YYYY-MM-DD) or time."),
]
Allow = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Archive: allow a departure or difference by its name; repeat it."),
]
OtherCpus = Annotated[str, typer.Option("--cpus", help="Archive: measure on these CPUs instead of the author's.")]
Try = Annotated[
    float | None, typer.Option("--try", metavar="MINUTES", help="Archive: as many launches as fit into the time.")
]


def rerun(
    run: Annotated[str, typer.Argument(help="A run (folder, id, end of an id, 'last') or an archive.")] = "last",
    wait: of.Wait = 0.0,
    model: of.Model = None,
    prometheus: of.Prometheus = None,
    otlp: of.Otlp = None,
    signer: Signer = None,
    sha256: Sha256 = None,
    not_before: NotBefore = None,
    accept_unverified: AcceptUnverified = False,
    allow: Allow = None,
    cpus: OtherCpus = "",
    try_minutes: Try = None,
    runs: RunsOption = DEFAULT_RUNS,
    store: StoreOption = None,
    catalogue: CatalogueOption = None,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
    verbose: VerboseFlag = False,
) -> None:
    """Run a sealed run again, exactly, or an archive after verifying it. Same image content, rendered bytes, commands,
    environment, seeds and order; both results side by side.
    """
    with command(json_mode=json_mode, quiet=quiet, verbose=verbose) as output:
        from toolkit.cli.channels import wanted
        from toolkit.cli.rerunning_archive import Wish, archive_given, no_archive_options, rerun_archive

        folders, channels = Folders(runs, store, catalogue), wanted(prometheus, otlp)
        if archive_given(run):
            from toolkit.cli.verify import question_of

            question = question_of(Path(run), sha256, signer, not_before=not_before)
            wish = Wish(question, accept_unverified, tuple(allow or ()), cpus, try_minutes, wait, model, channels)
            rerun_archive(wish, folders, output)
            return
        no_archive_options(
            signer=signer,
            sha256=sha256,
            not_before=not_before,
            accept_unverified=accept_unverified,
            allow=allow,
            cpus=cpus,
            **{"try": try_minutes},
        )
        from toolkit.cli.rerunning import rerun_run

        rerun_run(run, folders, wait, output, model, channels)
