"""A journal's records as ``Evidence``: order and completeness are judged here, contents by ``toolkit.analyse``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit.collect.journal import Journal, read_journal
from toolkit.collect.rows import LineReader
from toolkit.model.evidence import (
    AgentHello,
    Evidence,
    Exit,
    Finding,
    Mark,
    ReadbackRead,
    Refusal,
    RowRead,
    Sample,
)
from toolkit.proto.agent_pb2 import Hello, Record, Row
from toolkit.proto.agent_pb2 import Sample as SampleRecord

_SAMPLE_FIELDS = Sample._fields[1:]


def read_evidence(path: Path) -> Evidence:
    """The evidence in a journal file. Raises LaunchInvalid when the file is not a journal."""
    return evidence_of(read_journal(path))


def evidence_of(journal: Journal) -> Evidence:
    """The evidence in a journal that was read."""
    walk = Walk()
    for record in journal.records:
        walk.record(record)
    return walk.evidence(journal.truncated_bytes)


class Walk:
    """Takes records one by one. Between two, what it has gathered may be looked at, as ``toolkit.telemetry`` does."""

    def __init__(self) -> None:
        self.reader = LineReader()
        self.parts: dict[str, Any] = {}
        self.marks: list[Mark] = []
        self.samples: list[Sample] = []
        self.readbacks: list[ReadbackRead] = []
        self.window_ends: list[int] = []
        self.causes: list[str] = []
        self.sequence = 0
        self.last_ns: int | None = None

    def record(self, record: Record) -> None:
        """Take the next record."""
        self.sequence += 1
        if record.sequence != self.sequence:
            self.causes.append(f"record {record.sequence} stands where {self.sequence} should")
            self.sequence = record.sequence
        if self.last_ns is not None and record.monotonic_ns < self.last_ns:
            self.causes.append(f"record {record.sequence} is older than the one before it")
        self.last_ns = max(self.last_ns or 0, record.monotonic_ns)
        kind = record.WhichOneof("kind")
        if self.sequence == 1 and kind != "hello":
            self.causes.append("the first record is not the agent's hello")
        if kind is None:
            self.causes.append(f"record {record.sequence} is of an unknown kind")
            return
        getattr(self, f"_{kind}")(record)

    def _once(self, name: str, value: Any) -> None:
        if name in self.parts:
            self.causes.append(f"a second {name}")
        else:
            self.parts[name] = value

    def _hello(self, record: Record) -> None:
        self._once("agent", _hello(record.monotonic_ns, record.hello))

    def _readback(self, record: Record) -> None:
        rows = tuple(_row(row) for row in record.readback.rows)
        self.readbacks.append(ReadbackRead(record.readback.when, record.monotonic_ns, rows))

    def _ready(self, record: Record) -> None:
        self._once("ready_waited_ns", record.ready.waited_ns)

    def _lines(self, record: Record) -> None:
        for line in record.lines.text.split(b"\n"):
            if line:
                self.reader.line(line, record.monotonic_ns)

    def _sample(self, record: Record) -> None:
        sample = _sample(record.monotonic_ns, record.sample)
        if min(sample) < 0:
            self.causes.append(f"record {record.sequence} samples a negative number")
        elif self.samples and sample.agent_cpu_ns < self.samples[-1].agent_cpu_ns:
            self.causes.append(f"record {record.sequence}: the agent's CPU time runs backwards")
        else:
            self.samples.append(sample)

    def _child_exit(self, record: Record) -> None:
        end = record.child_exit
        self._once("exit", Exit(record.monotonic_ns, end.exit_code, end.signal, end.oom_kills))

    def _refused(self, record: Record) -> None:
        self._once("refusal", Refusal(record.refused.reason, tuple(_row(row) for row in record.refused.rows)))

    def _window_end(self, record: Record) -> None:
        index = record.window_end.index
        if index != len(self.window_ends):
            self.causes.append(f"the end of window {index} stands where that of {len(self.window_ends)} should")
        self.window_ends.append(index)

    def _phase(self, record: Record) -> None:
        self.marks.append(Mark(record.phase.name, record.phase.program_monotonic_ns, record.monotonic_ns))

    def _check_marks(self) -> None:
        # The agent's records and the program's lines tell the same story or the record is not to be believed.
        told = [(mark.name, mark.program_ns) for mark in self.reader.marks]
        heard = [(mark.name, mark.program_ns) for mark in self.marks]
        if told != heard:
            self.causes.append(
                f"the program's lines name the phases {_names(told)}, "
                f"the agent heard {_names(heard)}, or at other times"
            )

    def evidence(self, truncated_bytes: int) -> Evidence:
        """All of it, once the last record was taken."""
        self._check_marks()
        findings = [Finding("journal", cause) for cause in self.causes[:20]]
        if truncated_bytes:
            findings.append(Finding("journal", "the end of the journal cannot be read", truncated_bytes, 0))
        reader = self.reader
        return Evidence(
            **self.parts,
            program=reader.program,
            marks=tuple(reader.marks),
            requests=tuple(sorted(reader.requests, key=lambda request: (request.scheduled_ns, request.sequence))),
            samples=tuple(self.samples),
            go=tuple(reader.go),
            readbacks=tuple(self.readbacks),
            window_ends=tuple(self.window_ends),
            errors=tuple(reader.errors),
            totals=reader.totals,
            selftest_rate_hz=reader.selftest_rate_hz,
            bench_lines=tuple(reader.bench_lines),
            probes=tuple(reader.probes),
            series=tuple(reader.series),
            counts=dict(reader.counts),
            last_ns=self.last_ns,
            truncated_bytes=truncated_bytes,
            findings=(*findings, *reader.findings()),
        )


def _hello(monotonic_ns: int, hello: Hello) -> AgentHello:
    return AgentHello(
        monotonic_ns=monotonic_ns,
        agent_version=hello.agent_version,
        role=hello.role,
        cgroup_version=hello.cgroup_version,
        wall_unix_ns=hello.wall_unix_ns,
        baseline_cpu_ns=hello.baseline_cpu_ns,
        go_version=hello.go_version,
    )


def _sample(monotonic_ns: int, sample: SampleRecord) -> Sample:
    return Sample(monotonic_ns, *(getattr(sample, name) for name in _SAMPLE_FIELDS))


def _row(row: Row) -> RowRead:
    return RowRead(row.id, row.expected, row.found, row.absent, row.error)


def _names(marks: list[tuple[str, int]]) -> str:
    return ", ".join(name for name, _ in marks) or "(none)"
