"""Synthetic journals: what an agent would have written, built in a few lines, for every test that needs evidence.

journal = launch_journal(cell_plan())                       # a whole, valid SDK journal
journal = launch_journal(cell_plan(), Load(drops=1))        # one with a fault
sdk = evidence(journal)                                     # as the analysis reads it
path.write_bytes(encode_journal(journal.records()))         # as it lies on disk
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from toolkit.collect.evidence import evidence_of
from toolkit.collect.journal import Journal
from toolkit.model.evidence import Evidence
from toolkit.model.plan import CellPlan
from toolkit.model.schedule import schedule
from toolkit.proto.agent_pb2 import (
    ChildExit,
    Hello,
    Lines,
    Phase,
    Readback,
    Ready,
    Record,
    Refused,
    Row,
    Sample,
    WindowEnd,
)

SECOND = 1_000_000_000
MS = 1_000_000
START = 1_000 * SECOND
"""CLOCK_MONOTONIC when the agent wakes up."""

WALL = 1_790_000_000 * SECOND


def cell_plan(**changes: Any) -> CellPlan:
    """A plan of go-openai against the paced stub, 40 requests a second for 30 s; change what a test is about."""
    values: dict[str, Any] = {
        "cell": "go-openai/chat-stream-128/default",
        "sdk": "go-openai",
        "module": "github.com/sashabaranov/go-openai",
        "version": "v1.43.0",
        "workload": "chat-stream-128",
        "workload_kind": "chat-stream",
        "backend": "stub",
        "backend_tier": "stub",
        "drive": "open",
        "arm": "default",
        "arrival": "constant",
        "rate_hz": 40.0,
        "tokens": 128,
        "dimensions": 768,
        "seed": 1,
        "warmup_seconds": 5.0,
        "duration_seconds": 30.0,
        "drain_seconds": 5.0,
        "max_in_flight": 512,
        "request_timeout_seconds": 30.0,
        "launches": 1,
        "cpus": "0",
        "mems": "0",
        "agent_cpus": "1",
        "backend_cpus": "1",
        "housekeeping_cpus": "1",
        "shared_cpus": False,
        "memory_bytes": 512 * 1024 * 1024,
        "backend_memory_bytes": 256 * 1024 * 1024,
        "mem_policy": "bind",
        "sample_hz": 1.0,
        "window_seconds": 10.0,
        "timing_gates": "judge",
        "bench_count": 5,
        "bench_time_seconds": 30.0,
        "gomaxprocs": 1,
        "backend_settings": {"pacing": "paced", "first_token_seconds": 0.02, "token_seconds": 0.001},
        "base_url": "http://127.0.0.1:8080/v1",
        "ready": "http://127.0.0.1:8080/healthz",
    }
    return CellPlan(**{**values, **changes})


class Builder:
    """Collects records at any times; ``records()`` sorts and numbers them."""

    def __init__(self) -> None:
        self._timed: list[tuple[int, Record]] = []

    def add(self, at_ns: int, **kind: Any) -> Builder:
        """One record; ``kind`` is the field of Record that it fills. Records of one time keep their order."""
        self._timed.append((at_ns, Record(**kind)))
        return self

    def hello(self, at_ns: int = START, role: str = "sdk", cgroup: str = "v1") -> Builder:
        """The agent's first record."""
        message = Hello(agent_version="1", role=role, cgroup_version=cgroup, wall_unix_ns=WALL, go_version="go1.26.6")
        return self.add(at_ns, hello=message)

    def lines(self, at_ns: int, *values: Mapping[str, Any] | str | bytes) -> Builder:
        """Lines of the program: mappings become JSON, texts and bytes go as they are."""
        texts = [_line(value) for value in values]
        return self.add(at_ns, lines=Lines(text=b"\n".join(texts)))

    def phase(self, name: str, ns: int, at_ns: int | None = None) -> Builder:
        """A phase mark: the program's line and the agent's record of it."""
        at_ns = ns if at_ns is None else at_ns
        self.lines(at_ns, {"k": "phase", "name": name, "ns": ns})
        return self.add(at_ns, phase=Phase(name=name, program_monotonic_ns=ns))

    def sample(self, at_ns: int, **fields: int) -> Builder:
        """A sample; fields that are not given are 0."""
        return self.add(at_ns, sample=Sample(**fields))

    def readback(self, at_ns: int, when: str, rows: Iterable[tuple[str, str, str]] = ()) -> Builder:
        """A read-back of (id, expected, found)."""
        messages = [Row(id=row, expected=expected, found=found) for row, expected, found in rows]
        return self.add(at_ns, readback=Readback(when=when, rows=messages))

    def ready(self, at_ns: int) -> Builder:
        """The readiness probe answered."""
        return self.add(at_ns, ready=Ready(probe="http", waited_ns=5 * MS))

    def window_end(self, at_ns: int, index: int) -> Builder:
        """The end of a window."""
        return self.add(at_ns, window_end=WindowEnd(index=index))

    def refused(self, at_ns: int, reason: str) -> Builder:
        """The agent did not start the program."""
        return self.add(at_ns, refused=Refused(reason=reason))

    def exit(self, at_ns: int, code: int = 0, signal: int = 0, oom_kills: int = 0) -> Builder:
        """The program ended."""
        return self.add(at_ns, child_exit=ChildExit(exit_code=code, signal=signal, oom_kills=oom_kills))

    def records(self) -> list[Record]:
        """In the order of time, numbered from 1."""
        result = []
        for sequence, (at_ns, record) in enumerate(sorted(self._timed, key=lambda pair: pair[0]), start=1):
            copy = Record()
            copy.CopyFrom(record)
            copy.sequence, copy.monotonic_ns = sequence, at_ns
            result.append(copy)
        return result


@dataclass(frozen=True)
class Load:
    """What a synthetic launch does. Times in ns unless named otherwise; callables get the request's number."""

    latency_ns: Callable[[int], int] = lambda _: 148 * MS
    dispatch_ns: Callable[[int], int] = lambda _: 50_000
    outcome: Callable[[int], int] = lambda _: 0
    overhead_ns: tuple[int, ...] = (40_000, 60_000, 80_000)
    drops: int = 0
    headroom: float | None = 20.0
    gomaxprocs: int = 1
    cpu_per_second_ns: int = 100 * MS
    rss_bytes: int = 20 * 1024 * 1024
    allocs_per_second: int = 40_000
    pauses_per_second: int = 2
    pause_seconds: float = 0.0001
    exit_code: int = 0
    rows: tuple[tuple[str, str, str], ...] = (("cpu.quota", "none", "none"),)
    skip_window: int | None = None
    without: frozenset[str] = field(default_factory=frozenset)
    """Leave out: ``measure``, ``done``, ``exit``, ``samples``, ``go``, ``open``, ``readback``."""


def launch_journal(plan: CellPlan, load: Load | None = None) -> Builder:
    """A whole SDK journal of the open drive: the plan's schedule from the start of warm-up on."""
    load = load or Load()
    builder = Builder().hello()
    begin = START + SECOND
    warmup = round(plan.warmup_seconds * SECOND)
    t0 = begin + next(at for at in schedule(plan.arrival, plan.rate_hz, plan.seed) if at >= warmup)
    end = t0 + round(plan.duration_seconds * SECOND)
    stop = end + round(plan.drain_seconds * SECOND)
    builder.readback(START, "start", load.rows)
    builder.lines(begin, hello_line(plan, load.gomaxprocs), {"k": "base", "ns": begin - SECOND // 2})
    if load.headroom is not None:
        builder.lines(begin, {"k": "selftest", "rate_hz": load.headroom * plan.rate_hz})
    builder.phase("warmup", begin)
    if "measure" not in load.without:
        builder.phase("measure", t0, t0 + MS)
    _windows(builder, plan, load, t0)
    _ticks(builder, load, (begin, t0, stop))
    _requests(builder, plan, load, (begin, stop))
    builder.phase("drain", end, end + MS)
    if "readback" not in load.without:
        builder.readback(end + MS, "end", load.rows)
    if "done" not in load.without:
        builder.phase("done", stop + SECOND)
    if "exit" not in load.without:
        builder.exit(stop + 2 * SECOND, load.exit_code)
    return builder


def backend_journal(plan: CellPlan, delay_ns: int = 100_000) -> Builder:
    """A whole backend journal: ready, write delays each second, ended by us after the SDK."""
    builder = Builder().hello(START - SECOND, role="backend").ready(START - SECOND // 2)
    seconds = round(plan.warmup_seconds + plan.duration_seconds + plan.drain_seconds) + 2
    for second in range(seconds):
        at = START + SECOND + second * SECOND + SECOND // 3
        builder.lines(at, {"k": "values", "name": "backend.delay_seconds", "ns": at, "values_ns": [delay_ns] * 40})
        builder.lines(at, {"k": "counts", "name": "backend.requests", "ns": at, "value": 40 * (second + 1)})
    return builder.exit(START + (seconds + 5) * SECOND, 143, 15)


def hello_line(plan: CellPlan, gomaxprocs: int = 1) -> dict[str, Any]:
    """The harness's hello for a plan."""
    return {
        "k": "hello",
        "harness": "1",
        "sdk": plan.sdk,
        "module": plan.module,
        "version": plan.version,
        "go": "go1.26.6",
        "goos": "linux",
        "goarch": "amd64",
        "gomaxprocs": gomaxprocs,
        "gogc": "100",
        "gomemlimit": 9223372036854775807,
        "godebug": "",
        "workload": plan.workload,
        "drive": plan.drive,
        "settings": {},
    }


def evidence(builder: Builder, truncated_bytes: int = 0) -> Evidence:
    """What the analysis gets."""
    return evidence_of(Journal(tuple(builder.records()), truncated_bytes))


def _windows(builder: Builder, plan: CellPlan, load: Load, t0: int) -> None:
    length = round(plan.window_seconds * SECOND)
    for index in range(round(plan.duration_seconds * SECOND) // length):
        at = t0 + (index + 1) * length
        if index == load.skip_window:
            continue
        if "readback" not in load.without:
            builder.readback(at, f"window:{index}", load.rows)
        builder.window_end(at, index)


def _ticks(builder: Builder, load: Load, times: tuple[int, int, int]) -> None:
    """Samples and runtime snapshots, once a second, aligned to t0."""
    begin, t0, stop = times
    for second in range((begin - t0) // SECOND, (stop - t0) // SECOND + 1):
        at = t0 + second * SECOND + 2 * MS
        lived = (at - begin) // SECOND + 1
        if "samples" not in load.without:
            builder.sample(
                at,
                cpu_user_ns=lived * load.cpu_per_second_ns,
                rss_anon_bytes=load.rss_bytes,
                rss_file_bytes=1024,
                rss_peak_bytes=load.rss_bytes + 4096,
                cgroup_memory_bytes=load.rss_bytes * 2,
                threads=6,
                processes=1,
                agent_cpu_ns=lived * 300_000,
                agent_rss_bytes=11 * 1024 * 1024,
            )
        if "go" not in load.without:
            builder.lines(at, _snapshot(load, at, lived))


def _snapshot(load: Load, at: int, lived: int) -> dict[str, Any]:
    return {
        "k": "go",
        "ns": at,
        "goroutines": 12,
        "gomaxprocs": load.gomaxprocs,
        "heap_live_bytes": 2_000_000,
        "heap_goal_bytes": 4_000_000,
        "alloc_bytes": lived * load.allocs_per_second * 64,
        "alloc_objects": lived * load.allocs_per_second,
        "gc_cycles": lived,
        "gc_cpu_seconds": lived * 0.001,
        "total_bytes": 10_000_000,
        "pause": [[load.pause_seconds, lived * load.pauses_per_second]],
        "stop_other": [],
    }


def _requests(builder: Builder, plan: CellPlan, load: Load, times: tuple[int, int]) -> None:
    begin, stop = times
    base = begin - SECOND // 2
    batches: dict[int, list[list[Any]]] = {}
    planned = list(takewhile(lambda at: at < stop - begin, schedule(plan.arrival, plan.rate_hz, plan.seed)))
    count = len(planned) - load.drops
    for number, at in enumerate(planned[:count]):
        scheduled = begin + at
        sent = scheduled + load.dispatch_ns(number)
        end = sent + load.latency_ns(number)
        outcome = load.outcome(number)
        first = sent + (end - sent) // 4 if outcome == 0 else 0
        numbers = [number, scheduled - base, sent - base, first - base if first else 0, end - base, outcome]
        row = [*numbers, plan.tokens, 2560, list(load.overhead_ns) if outcome == 0 else []]
        batches.setdefault(end // SECOND + 1, []).append(row)
    for second, rows in batches.items():
        # Lines are at most 64 KiB, as the harness keeps them.
        step = max(4000 // (len(load.overhead_ns) + 9), 1)
        for at in range(0, len(rows), step):
            builder.lines(second * SECOND, {"k": "req", "rows": rows[at : at + step]})
    if "open" not in load.without:
        totals = {"scheduled": len(planned), "sent": count, "dropped": load.drops, "max_in_flight": 9}
        builder.lines(max(batches, default=stop // SECOND) * SECOND, {"k": "open", **totals})


def _line(value: Mapping[str, Any] | str | bytes) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else json.dumps(value, separators=(",", ":")).encode()
