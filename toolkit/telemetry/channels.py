"""The channels of a run, opened before its first launch and closed after its last.

Whoever runs the launches only puts words into a queue (``Channels`` is their onlooker). One thread of ours folds them
into the live state; the exporters have threads of their own. All of them inherit the CPUs of the thread that opens the
channels: the housekeeping CPUs.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from toolkit.collect.journal import read_journal
from toolkit.errors import LaunchInvalid
from toolkit.launch.onlooker import Onlooker
from toolkit.seal import attempt_grade, launch_entry, read_json
from toolkit.telemetry.address import Address, Endpoint
from toolkit.telemetry.state import Attempt, LiveState, judged_from

if TYPE_CHECKING:
    from toolkit.launch.folder import AttemptFolder
    from toolkit.model.plan import CellPlan
    from toolkit.proto.agent_pb2 import Record
    from toolkit.telemetry import otlp, prometheus

CATCH_UP_SECONDS = 10.0
"""How long the end of a run may wait for its last records to be folded."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Wanted:
    """The channels that were asked for; none by default."""

    prometheus: Address | None = None
    otlp: Endpoint | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """What setup.json and the manifest call them."""
        return tuple(name for name in ("otlp", "prometheus") if getattr(self, name) is not None)


class Channels(Onlooker):
    """The onlooker that shows what it is told."""

    def __init__(self, wanted: Wanted) -> None:
        """Open every channel that is wanted. Raises UsageError when one of them cannot be had."""
        self.state = LiveState()
        self._attempt: Attempt | None = None
        self._failures: list[str] = []
        self._queue: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        self._prometheus: prometheus.Exporter | None = None
        self._otlp: otlp.Exporter | None = None
        try:
            self._open(wanted)
        except BaseException:
            self._shut()
            raise
        self._thread = threading.Thread(target=self._work, name="telemetry", daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        """Where Prometheus scrapes; empty without that channel."""
        return self._prometheus.url if self._prometheus is not None else ""

    def begins(self, run: str, cell: CellPlan, launch: int, attempt: int) -> None:
        self._attempt = at = Attempt.of(run, cell, launch, attempt)
        now = time.monotonic_ns()
        self._queue.put(lambda: self.state.begin(at, now))

    def step(self, name: str) -> None:
        if (at := self._attempt) is not None:
            now = time.monotonic_ns()
            self._queue.put(lambda: self.state.step(at, name, now))

    def record(self, role: str, record: Record) -> None:
        if (at := self._attempt) is not None:
            self._queue.put(lambda: self.state.record(at, role, record))

    def ends(self, result: dict[str, Any], readback: dict[str, Any], files: AttemptFolder) -> None:
        at, self._attempt = self._attempt, None
        if at is not None:
            now = time.monotonic_ns()
            self._queue.put(lambda: self._end(at, result, readback, files, now))

    def close(self, *, linger: bool, say: Callable[[str], None]) -> list[str]:
        """Let the exporters finish; sentences about what was lost, if anything was.

        ``linger``: wait for one more scrape where there is a scraper, so that it has the final numbers too.
        """
        try:
            self._queue.put(self._cut_off)
            self._queue.put(None)
            self._thread.join(CATCH_UP_SECONDS)
            found = list(self._failures)
            if self._otlp is not None:
                found += self._otlp.close()
                self._otlp = None
            return found + (self._linger(say) if linger else [])
        finally:
            self._shut()

    def _linger(self, say: Callable[[str], None]) -> list[str]:
        seconds = self._prometheus.linger_seconds() if self._prometheus is not None else 0.0
        if self._prometheus is None or not seconds:
            return []
        say(f"waiting for one more scrape by Prometheus, {seconds:.0f} s at most (Ctrl-C: do not wait)")
        if self._prometheus.linger(seconds):
            return []
        return [f"Prometheus: the last numbers were not scraped within {seconds:.0f} s"]

    def _open(self, wanted: Wanted) -> None:
        if wanted.prometheus is not None:
            from toolkit.telemetry import prometheus

            self._prometheus = prometheus.Exporter(self.state, wanted.prometheus)
        if wanted.otlp is not None:
            from toolkit.telemetry import otlp

            self._otlp = otlp.Exporter(self.state, wanted.otlp)

    def _shut(self) -> None:
        if self._otlp is not None:
            self._otlp.close()
        if self._prometheus is not None:
            self._prometheus.close()
        self._otlp = self._prometheus = None

    def _work(self) -> None:
        while (task := self._queue.get()) is not None:
            try:
                task()
            except Exception as problem:  # a channel that fails must not cost the run
                log.debug("telemetry failed", exc_info=True)
                self._failures = [f"telemetry is incomplete: {type(problem).__name__}: {problem}"]
            if self._otlp is not None and self._queue.empty():
                self._otlp.changed()

    def _end(
        self, at: Attempt, result: dict[str, Any], readback: dict[str, Any], files: AttemptFolder, now: int
    ) -> None:
        """The last word on an attempt: what a stream has lost is taken from the journal."""
        journals = {"sdk": files.sdk_journal, "backend": files.backend_journal}
        try:
            for role in self.state.unfinished(at):
                self.state.refill(at, role, read_journal(journals[role]).records)
        except LaunchInvalid as problem:  # no journal, or none of ours: what was heard is all there is
            log.debug("no journal: %s", problem)
        reason = launch_entry(result)["reason"] or ""
        host = read_json(files.path.parents[2] / "setup.json")["host"]
        grade = attempt_grade(files, at.cell, host)
        self.state.end(at, judged_from(result, readback, reason, grade), now)
        self._trace(at)

    def _cut_off(self) -> None:
        """Attempts that nobody judged: the run was stopped in the middle of them."""
        for at in self.state.open():
            self.state.end(at, None, time.monotonic_ns())
            self._trace(at)

    def _trace(self, at: Attempt) -> None:
        launch = self.state.view(at)
        if self._otlp is not None and launch is not None:
            self._otlp.ended(launch)
