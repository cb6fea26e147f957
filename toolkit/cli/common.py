"""What every command shares: its options, its output, its catalogue, and the way an error becomes an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from toolkit.errors import Interrupted, Reported, ReproError
from toolkit.output import Output

JsonFlag = Annotated[bool, typer.Option("--json", help="Print one versioned JSON object on standard output.")]
QuietFlag = Annotated[bool, typer.Option("--quiet", "-q", help="Say nothing on standard error but errors.")]
VerboseFlag = Annotated[bool, typer.Option("--verbose", "-v", help="Say more on standard error.")]
RunsOption = Annotated[Path, typer.Option("--runs", envvar="REPRO_RUNS", help="Folder that holds runs.")]
StoreOption = Annotated[
    Path | None,
    typer.Option("--store", envvar="REPRO_STORE", help="Content store (default: in the user's cache folder)."),
]
CatalogueOption = Annotated[
    Path | None,
    typer.Option("--catalogue", envvar="REPRO_CATALOGUE", help="Folder with catalogue entries of your own."),
]
DEFAULT_RUNS = Path("runs")


@dataclass(frozen=True)
class Folders:
    """Where runs, inputs and extra catalogue entries are."""

    runs: Path
    store: Path | None
    catalogue: Path | None


_BUG_EXIT = 1


@contextmanager
def command(*, json_mode: bool = False, quiet: bool = False, verbose: bool = False) -> Iterator[Output]:
    """The body of a command: errors become text (and JSON) and their exit code; nothing shows a traceback.

    ``REPRO_DEBUG=1`` re-raises, for bug reports.
    """
    output = Output(json_mode=json_mode, quiet=quiet, verbose=verbose, stdout=sys.stdout, stderr=sys.stderr)
    try:
        yield output
    except Reported as reported:
        Output(quiet=quiet, stderr=sys.stderr).error(reported.error)
        raise typer.Exit(reported.error.exit_code) from reported
    except ReproError as error:
        if os.environ.get("REPRO_DEBUG"):
            raise
        output.error(error)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt as stop:
        stopped = Interrupted("interrupted", "stopped at once", "'repro clean' seals what was measured")
        output.error(stopped)
        raise typer.Exit(stopped.exit_code) from stop
    except BrokenPipeError:
        # Whoever read our output has gone: nothing to say, and nobody to say it to. The descriptor itself is turned
        # away, because what is still in the buffer is flushed when the interpreter ends.
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(0) from None
    except (typer.Exit, typer.Abort):
        raise
    except Exception as bug:
        if os.environ.get("REPRO_DEBUG"):
            raise
        output.error(_bug(bug))
        raise typer.Exit(_BUG_EXIT) from bug


def _bug(bug: Exception) -> ReproError:
    return ReproError(
        "repro met a case it does not know",
        f"{type(bug).__name__}: {bug}",
        "run it again with REPRO_DEBUG=1 and report what it prints",
    )
