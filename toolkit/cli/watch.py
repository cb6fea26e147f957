"""``repro watch``: a run while it runs, from its folder. Needs no engine and no channel."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Annotated

import typer

from toolkit.cli.common import DEFAULT_RUNS, JsonFlag, QuietFlag, RunsOption, command
from toolkit.errors import Interrupted, LaunchInvalid

if TYPE_CHECKING:
    from toolkit.output import Output
    from toolkit.telemetry.follow import Event, RunFollower

POLL_SECONDS = 1.0


def watch(
    run: Annotated[str, typer.Argument(help="A run: its folder, its id, the end of its id, or 'last'.")] = "last",
    runs: RunsOption = DEFAULT_RUNS,
    json_mode: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Watch a run while it runs. Ends when the run is sealed; --json prints one object per line and event."""
    with command(json_mode=json_mode, quiet=quiet) as output:
        from toolkit.launch.folder import resolve_run
        from toolkit.telemetry.follow import RunFollower

        follower = RunFollower(resolve_run(runs, run))
        if not follower.sealed:
            _stand_aside(follower)
        try:
            _follow(follower, output)
        except KeyboardInterrupt as stop:
            raise Interrupted("stopped watching", "the run itself goes on", "'repro watch' looks again") from stop


def _follow(follower: RunFollower, output: Output) -> None:
    screen = _Screen(follower, output)
    screen.begin()
    while True:
        # Before the look: a command that seals its run and ends is not taken for one that died.
        abandoned = follower.abandoned
        events = follower.poll()
        screen.show(events)
        if follower.over:
            screen.end()
            return
        if abandoned and not events:
            raise LaunchInvalid(
                "the command of this run is gone",
                "it was killed before the run was sealed; what it had measured is shown above",
                "'repro clean' seals it",
            )
        time.sleep(POLL_SECONDS)


class _Screen:
    """On a terminal one block per cell that changes in place; elsewhere a line for each thing that happened."""

    def __init__(self, follower: RunFollower, output: Output) -> None:
        self._follower = follower
        self._output = output
        self._live = output.stdout.isatty() and not output.json_mode and "CI" not in os.environ
        self._drawn = 0
        self._said = ""

    def begin(self) -> None:
        """What is watched."""
        from toolkit.report.live import SCHEMA

        run, plan = self._follower.folder.id, self._follower.plan
        cells = [{"id": cell.cell, "launches": cell.launches} for cell in plan.cells]
        self._output.document_line({"schema": SCHEMA, "event": "run", "run": run, "cells": cells})
        self._data(f"run {run}")

    def show(self, events: list[Event]) -> None:
        """What is new."""
        from toolkit.report.live import event_document

        if self._follower.problem not in ("", self._said):
            self._said = self._follower.problem
            self._talk(self._said)
        for event in events:
            self._output.document_line(event_document(event.kind, event.launch, event.window))
        if self._live:
            self._redraw()
            return
        for event in events:
            self._line(event)

    def end(self) -> None:
        """The run is sealed."""
        from toolkit.report.live import SCHEMA

        manifest = self._follower.manifest or {}
        run, valid, grade = self._follower.folder.id, bool(manifest.get("valid")), manifest["grade"]["letter"]
        document = {"schema": SCHEMA, "event": "sealed", "run": run, "valid": valid, "grade": grade}
        self._output.document_line(document | {"state": manifest["state"]})
        self._data(f"sealed: {'valid' if valid else 'not valid'}, grade {grade} ('repro show {run}')")

    def _line(self, event: Event) -> None:
        from toolkit.report.live import printable, stage, title, window_line

        if event.kind == "window":
            self._data(window_line(event.launch, event.window))
        elif event.kind in ("launch", "end") or event.launch.judged is None:
            self._data(printable(f"{title(event.launch)}: {stage(event.launch)}"))

    def _redraw(self) -> None:
        from toolkit.report.live import block

        latest = {view.attempt.id: view for view in self._follower.state.views()}
        lines = [line for cell in self._follower.plan.cells for line in block(cell, latest.get(cell.cell))]
        width, height = shutil.get_terminal_size()
        # A block higher than the screen cannot be redrawn in place: its end is what is shown.
        shown = [line[: width - 1] for line in lines][-(height - 2) :]
        stream = self._output.stdout
        if self._drawn:
            stream.write(f"\x1b[{self._drawn}F\x1b[J")
        stream.write("".join(f"{line}\n" for line in shown))
        stream.flush()
        self._drawn = len(shown)

    def _data(self, text: str) -> None:
        from toolkit.report.live import printable

        self._output.data(printable(text))

    def _talk(self, text: str) -> None:
        from toolkit.report.live import printable

        self._output.talk(printable(text))


def _stand_aside(follower: RunFollower) -> None:
    """Onto the run's housekeeping CPUs, as far as they are ours to use: watching must not disturb."""
    from toolkit.model.cpulist import parse_cpulist

    with suppress(OSError, ValueError, IndexError):
        os.sched_setaffinity(0, parse_cpulist(follower.plan.cells[0].housekeeping_cpus))
