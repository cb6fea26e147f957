"""The command line as a whole. Each command lives in its own file and is imported here by name, cheaply."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from toolkit import __version__
from toolkit.cli import (
    archive,
    build,
    clean,
    diff,
    doctor,
    fetch,
    host,
    launch,
    listing,
    lock,
    plan,
    probe,
    rebuild,
    render,
    rerun,
    show,
    verify,
    watch,
)
from toolkit.errors import Interrupted, UsageError
from toolkit.output import Output

app = typer.Typer(
    name="repro",
    help="Benchmarks that can be believed: build, isolate, measure, record, re-run.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 launch invalid, 2 usage, 3 host not fit, 4 engine, 5 container, "
    "6 archive or manifest, 7 lane busy, 8 inconclusive, 130 interrupted.",
)


def _version(value: bool) -> None:
    if value:
        print(f"repro (sealbench) {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Benchmarks that can be believed: build, isolate, measure, record, re-run."""


app.command("launch")(launch.launch)
app.command("rerun")(rerun.rerun)
app.command("show")(show.show)
app.command("watch")(watch.watch)
app.command("list")(listing.list_command)
app.command("probe")(probe.probe)
app.command("doctor")(doctor.doctor)
app.add_typer(host.app)
app.command("plan")(plan.plan)
app.command("lock")(lock.lock)
app.command("fetch")(fetch.fetch)
app.command("render")(render.render)
app.command("build")(build.build)
app.command("archive")(archive.archive)
app.command("verify")(verify.verify)
app.command("rebuild")(rebuild.rebuild)
app.command("diff")(diff.diff)
app.command("clean")(clean.clean)


# typer brings its command-line parser with it (click, or a copy of its own) and exports only one of its exceptions.
_Misuse: type[Exception] = typer.BadParameter.__mro__[2]


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        code = app(args=arguments, prog_name="repro", standalone_mode=False)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    except typer.Abort:
        stopped = Interrupted("interrupted", "nothing was begun", "launch again")
        Output(json_mode="--json" in arguments, stdout=sys.stdout, stderr=sys.stderr).error(stopped)
        return stopped.exit_code
    except _Misuse as problem:
        return _misused(problem, arguments)
    return code if isinstance(code, int) else 0


def _misused(problem: Exception, arguments: list[str]) -> int:
    """An unknown option, a missing or malformed value: said as every other error is, also as JSON where asked."""
    format_message = getattr(problem, "format_message", None)
    message = str(format_message() if format_message else problem).strip()
    if type(problem).__name__ == "NoArgsIsHelpError":  # no command at all: the message is the help
        print(message, file=sys.stderr)
        return UsageError.exit_code
    context = getattr(problem, "ctx", None)
    error = UsageError(
        message.rstrip("."), "", f"'{context.command_path if context else 'repro'} --help' shows what there is"
    )
    Output(json_mode="--json" in arguments, stdout=sys.stdout, stderr=sys.stderr).error(error)
    return error.exit_code
