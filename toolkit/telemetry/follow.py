"""Follows a run from its folder alone: journals as they grow, results as they appear, the manifest at its end.

    follower = RunFollower(folder)
    while not follower.over:
        for event in follower.poll(): ...

It only reads, so any user may follow a run whose files they can read.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

from toolkit.collect.journal import JournalTail
from toolkit.errors import ArchiveInvalid, LaunchInvalid, ReproError, RunFolderLost
from toolkit.launch.folder import AttemptFolder, RunFolder, read_owner
from toolkit.model.plan import Plan, Turn
from toolkit.owner import provably_dead
from toolkit.report.document import read_manifest
from toolkit.seal import attempt_grade, launch_entry, read_json, read_plan
from toolkit.telemetry.state import Attempt, LaunchView, LiveState, judged_from

_MOST_ATTEMPTS = 9
_JOURNALS = {"sdk": "journal.pb", "backend": "backend.journal.pb"}


@dataclass(frozen=True)
class Event:
    """Something that happened since the last look: an attempt began, changed phase, ended a window, ended."""

    kind: Literal["launch", "phase", "window", "end"]
    launch: LaunchView
    window: int = 0


@dataclass
class _Followed:
    attempt: Attempt
    files: AttemptFolder
    tails: dict[str, JournalTail]
    phase: str = "starting"
    windows: int = 0
    over: bool = False


class RunFollower:
    """What is known of a run that may still be going on."""

    def __init__(self, folder: RunFolder) -> None:
        """Raises ArchiveInvalid when its plan cannot be read."""
        self.folder = folder
        self.plan: Plan = read_plan(folder)
        self.state = LiveState(quantiles=True)
        self.manifest: dict[str, Any] | None = None
        self.problem = ""
        self._turn = 0
        self._current: _Followed | None = None

    @property
    def sealed(self) -> bool:
        """Whether the manifest and, written after it, its digest are there."""
        return (self.folder.path / "manifest.json.sha256").exists()

    @property
    def over(self) -> bool:
        """Whether the run is sealed, and everything of it was read."""
        return self.manifest is not None

    @property
    def abandoned(self) -> bool:
        """Whether the run is not sealed and its command is provably dead."""
        owner = read_owner(self.folder)
        return not self.sealed and owner is not None and provably_dead(owner)

    def poll(self) -> list[Event]:
        """Everything new. Raises RunFolderLost when the folder has gone, ArchiveInvalid for a damaged manifest."""
        if not (self.folder.path / "plan.json").exists():
            raise RunFolderLost(
                "the run folder has gone", f"there is no plan in '{self.folder.id}' any more", "'repro list runs'"
            )
        sealed = self.sealed  # first: what is read after this is complete
        events = [event for event in self._events() if event is not None]
        if sealed and self._current is None:
            self.manifest = read_manifest(self.folder)
        return events

    def _events(self) -> Iterator[Event | None]:
        while True:
            if self._current is None:
                self._current = self._next()
                if self._current is None:
                    return
                yield self._event("launch")
            yield from self._look(self._current)
            if not self._current.over:
                return
            self._current = None

    def _next(self) -> _Followed | None:
        """The attempt that follows the one that ended: another of the same launch, or the next launch's first."""
        order = self.plan.order
        while self._turn < len(order):
            turn = order[self._turn]
            found = self._begun(turn)
            if found is not None:
                return found
            later = any(self._files(one, 1).path.is_dir() for one in order[self._turn + 1 : self._turn + 2])
            if not later and not self.sealed:
                return None
            self._turn += 1
        return None

    def _begun(self, turn: Turn) -> _Followed | None:
        for number in range(1, _MOST_ATTEMPTS + 1):
            attempt = Attempt.of(self.folder.id, self.plan.cell(turn.cell), turn.launch, number)
            files = self._files(turn, number)
            if self.state.view(attempt) is None and files.path.is_dir():
                self.state.begin(attempt, 0)
                tails = {role: JournalTail(files.path / name) for role, name in _JOURNALS.items()}
                return _Followed(attempt, files, tails)
        return None

    def _files(self, turn: Turn, attempt: int) -> AttemptFolder:
        return self.folder.attempt(turn.cell, turn.launch, attempt)

    def _look(self, one: _Followed) -> Iterator[Event | None]:
        result = self._result(one)  # first: journals are complete once it is there
        for role, tail in one.tails.items():
            try:
                self.state.records(one.attempt, role, tail.read())
            except LaunchInvalid as problem:
                self.problem = f"{problem.title}: {problem.cause}"
        view = self.state.view(one.attempt)
        if view is None:
            one.over = True
            return
        ended = [window for window in view.roles["sdk"].windows if window.over or result is not None]
        for window in ended[one.windows :]:
            yield Event("window", view, window.index)
        one.windows = max(one.windows, len(ended))
        if view.phase != one.phase:
            one.phase = view.phase
            yield Event("phase", view)
        if result is not None:
            yield self._end(one, result)

    def _end(self, one: _Followed, result: dict[str, Any]) -> Event | None:
        try:
            readback = json.loads((one.files.path / "readback.json").read_text())
        except (OSError, ValueError):
            readback = None  # an attempt that was cut off has none
        judged = None
        try:
            host = read_json(self.folder.path / "setup.json")["host"]
            grade = attempt_grade(one.files, one.attempt.cell, host)
            judged = judged_from(result, readback, launch_entry(result)["reason"] or "", grade)
        except (LookupError, TypeError, AttributeError, ReproError) as problem:
            self.problem = f"the files of launch {one.attempt.launch} are damaged: {type(problem).__name__}: {problem}"
        view = self.state.view(one.attempt)
        self.state.end(one.attempt, judged, view.last_ns if view is not None else 0)
        one.over = True
        return self._event("end", one)

    def _result(self, one: _Followed) -> dict[str, Any] | None:
        path = one.files.path / "result.json"
        if not path.exists():
            return None
        try:
            return read_json(path)
        except ArchiveInvalid as problem:
            self.problem = f"{problem.title}: {problem.cause}"
            return {}

    def _event(self, kind: Literal["launch", "end"], one: _Followed | None = None) -> Event | None:
        followed = one or self._current
        view = self.state.view(followed.attempt) if followed is not None else None
        return Event(kind, view) if view is not None else None
