"""Reads the harness's lines (``docs/harness.md``), strictly: a malformed, misplaced or impossible line is a finding.

The program that is measured writes these lines, so they are claims: a time after the moment the agent wrote the line
down, a request answered before it was sent, a counter that runs backwards, all make the launch invalid. Nothing here
raises::

    reader = LineReader()
    reader.line(b'{"k":"base","ns":1000}', at_ns=2000)
    reader.requests, reader.findings()
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from toolkit.collect.fields import (
    HIGHEST,
    BadLine,
    check_forward,
    decode_line,
    flat_object,
    go_snapshot,
    real,
    request_row,
    signed,
    text_of,
    whole,
)
from toolkit.model.evidence import (
    OUTCOMES,
    PHASES,
    PROBE_OUTCOMES,
    DriveTotals,
    ErrorText,
    Finding,
    GoSnapshot,
    Mark,
    Probe,
    Program,
    Request,
    Series,
)

KEPT_ERROR_CHARACTERS = 300
KEPT_PROBE_CHARACTERS = 1000
# Both stand in tables, and an id in an anchor of the generated page.
_EXPERIMENT = re.compile(r"[a-z0-9][a-z0-9-]{0,63}")
_LONGEST_UNIT = 40
REPORTED_PER_KIND = 3
"""So many examples of one kind of bad line are quoted; the rest are counted."""


class LineReader:
    """Collects what a program's lines say. Feed lines in order with the agent's own time stamp of each batch."""

    def __init__(self) -> None:
        self.program: Program | None = None
        self.marks: list[Mark] = []
        self.requests: list[Request] = []
        self.go: list[GoSnapshot] = []
        self.errors: list[ErrorText] = []
        self.totals: DriveTotals | None = None
        self.selftest_rate_hz: float | None = None
        self.bench_lines: list[str] = []
        self.probes: list[Probe] = []
        self.series: list[Series] = []
        self.counts: dict[str, int] = {}
        self._base: int | None = None
        self._seen: set[int] = set()
        self._bad: dict[str, list[str]] = {}
        self._kinds: dict[str, Callable[[Mapping[str, Any], int], None]] = {
            "hello": self._hello,
            "phase": self._phase,
            "base": self._base_line,
            "req": self._req,
            "error": self._error,
            "go": self._go,
            "open": self._open,
            "closed": self._closed,
            "probe": self._probe,
            "selftest": self._selftest,
            "bench": self._bench,
            "values": self._values,
            "counts": self._counts,
        }

    def line(self, raw: bytes, at_ns: int) -> None:
        """Take one line, written down by the agent at ``at_ns``."""
        try:
            value = decode_line(raw)
            kind = value.get("k")
            handler = self._kinds.get(kind) if isinstance(kind, str) else None
            if handler is None:
                raise BadLine(f"unknown kind {str(kind)[:40]!r}")
            handler(value, at_ns)
        except BadLine as problem:
            self._bad.setdefault("rows", []).append(str(problem))

    def findings(self) -> tuple[Finding, ...]:
        """What cannot be believed, a few examples of each kind."""
        found = []
        for gate, causes in self._bad.items():
            quoted = "; ".join(causes[:REPORTED_PER_KIND])
            more = len(causes) - REPORTED_PER_KIND
            cause = f"the program's records cannot be believed: {quoted}" + (f"; and {more} more" if more > 0 else "")
            found.append(Finding(gate, cause, len(causes), 0))
        return tuple(found)

    def _hello(self, value: Mapping[str, Any], _: int) -> None:
        if self.program is not None:
            raise BadLine("a second hello")
        settings = flat_object(value, "settings")
        names = (
            "harness",
            "sdk",
            "module",
            "version",
            "go",
            "goos",
            "goarch",
            "gogc",
            "gomemlimit",
            "godebug",
            "workload",
        )
        texts = {name: text_of(value, name) for name in names}
        self.program = Program(gomaxprocs=whole(value, "gomaxprocs"), settings=settings, **texts)

    def _phase(self, value: Mapping[str, Any], at_ns: int) -> None:
        name = value.get("name")
        stamp = whole(value, "ns")
        if name not in PHASES:
            raise BadLine(f"unknown phase {str(name)[:40]!r}")
        if any(one.name == name for one in self.marks):
            raise BadLine(f"phase {name} twice")
        last = self.marks[-1] if self.marks else None
        if last and (PHASES.index(last.name) > PHASES.index(name) or last.program_ns > stamp):
            raise BadLine(f"phase {name} is before {last.name}")
        if stamp > at_ns and name not in ("warmup", "measure"):
            # Both may be announced a moment before the first send of theirs is due.
            raise BadLine(f"phase {name} is stamped in the future")
        self.marks.append(Mark(str(name), stamp, at_ns))

    def _base_line(self, value: Mapping[str, Any], at_ns: int) -> None:
        base = whole(value, "ns")
        if base > at_ns:
            raise BadLine("base is in the future")
        self._base = base

    def _req(self, value: Mapping[str, Any], at_ns: int) -> None:
        rows = value.get("rows")
        if not isinstance(rows, list):
            raise BadLine("req: rows is not a list")
        if self._base is None:
            raise BadLine("req before base")
        for row in rows:
            try:
                request = request_row(row, self._base)
                if request.end_ns > at_ns:
                    raise BadLine(f"request {request.sequence} ends in the future")
                if request.sequence in self._seen:
                    raise BadLine(f"request {request.sequence} twice")
                self._seen.add(request.sequence)
                self.requests.append(request)
            except BadLine as problem:
                # One bad row must not hide its neighbours.
                self._bad.setdefault("rows", []).append(str(problem))

    def _error(self, value: Mapping[str, Any], _: int) -> None:
        outcome = whole(value, "outcome")
        if not 0 < outcome < len(OUTCOMES):
            raise BadLine(f"error: unknown outcome {outcome}")
        text = text_of(value, "text")[:KEPT_ERROR_CHARACTERS]
        status = whole(value, "status") if value.get("status") is not None else 0
        self.errors.append(ErrorText(whole(value, "seq"), outcome, status, text))

    def _go(self, value: Mapping[str, Any], at_ns: int) -> None:
        snapshot = go_snapshot(value)
        if snapshot.monotonic_ns > at_ns:
            raise BadLine("go: a snapshot from the future")
        if self.go:
            check_forward(self.go[-1], snapshot)
        self.go.append(snapshot)

    def _open(self, value: Mapping[str, Any], _: int) -> None:
        if self.totals is not None:
            raise BadLine("open twice")
        self.totals = DriveTotals(*(whole(value, name) for name in ("scheduled", "sent", "dropped", "max_in_flight")))
        if self.totals.sent + self.totals.dropped != self.totals.scheduled:
            raise BadLine("open: sent and dropped do not add up to scheduled")

    def _closed(self, value: Mapping[str, Any], _: int) -> None:
        if self.totals is not None:
            raise BadLine("closed twice")
        sent = whole(value, "sent")
        self.totals = DriveTotals(sent, sent, 0, whole(value, "concurrency"))

    def _probe(self, value: Mapping[str, Any], _: int) -> None:
        name, outcome = text_of(value, "id"), text_of(value, "outcome")
        if not _EXPERIMENT.fullmatch(name):
            raise BadLine(f"probe: {name[:40]!r} is no id")
        if outcome not in PROBE_OUTCOMES:
            raise BadLine(f"probe {name[:40]}: unknown outcome {outcome[:40]!r}")
        if any(one.id == name for one in self.probes):
            raise BadLine(f"probe {name[:40]} twice")
        number = signed(value, "value") if value.get("value") is not None else None
        unit = text_of(value, "unit")
        if len(unit) > _LONGEST_UNIT or not unit.isprintable():
            raise BadLine(f"probe {name[:40]}: {unit[:40]!r} is no unit")
        text, data = text_of(value, "text")[:KEPT_PROBE_CHARACTERS], flat_object(value, "data")
        self.probes.append(Probe(name, outcome, text, number, unit, data))

    def _selftest(self, value: Mapping[str, Any], _: int) -> None:
        self.selftest_rate_hz = real(value, "rate_hz")

    def _bench(self, value: Mapping[str, Any], _: int) -> None:
        line = value.get("line")
        if not isinstance(line, str) or "\n" in line:
            raise BadLine("bench: line is not one line of text")
        self.bench_lines.append(line)

    def _values(self, value: Mapping[str, Any], at_ns: int) -> None:
        values = value.get("values_ns")
        if not isinstance(values, list) or not set(map(type, values)) <= {int}:
            raise BadLine("values: values_ns is not a list of whole numbers")
        if values and (min(values) < 0 or max(values) > HIGHEST):
            raise BadLine("values: a value is negative or beyond 63 bits")
        stamp = whole(value, "ns")
        if stamp > at_ns:
            raise BadLine("values from the future")
        self.series.append(Series(text_of(value, "name"), stamp, tuple(values)))

    def _counts(self, value: Mapping[str, Any], _: int) -> None:
        name = text_of(value, "name")
        count = whole(value, "value")
        if count < self.counts.get(name, 0):
            raise BadLine(f"counts: {name[:40]} runs backwards")
        self.counts[name] = count
