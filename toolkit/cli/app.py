"""The command line as a whole. Each command lives in its own file and is imported here by name, cheaply."""

from __future__ import annotations

from typing import Annotated

import typer

from toolkit import __version__
from toolkit.cli import build, clean, doctor, fetch, launch, listing, lock, plan, render, rerun, show

app = typer.Typer(
    name="repro",
    help="Benchmarks that can be believed: build, isolate, measure, record, re-run.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Exit codes: 0 done, 1 launch invalid, 2 usage, 3 host not fit, 4 engine, 5 container, 6 archive or manifest, "
    "7 lane busy, 8 inconclusive, 130 interrupted.",
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
app.command("list")(listing.list_command)
app.command("doctor")(doctor.doctor)
app.command("plan")(plan.plan)
app.command("lock")(lock.lock)
app.command("fetch")(fetch.fetch)
app.command("render")(render.render)
app.command("build")(build.build)
app.command("clean")(clean.clean)


def run(arguments: list[str]) -> int:
    """Run one command line; returns the exit code."""
    try:
        app(args=arguments, prog_name="repro", standalone_mode=True)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 1
    return 0
