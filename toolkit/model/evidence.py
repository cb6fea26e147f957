"""What one container's journal says, as plain frozen values: the analysis starts here and touches nothing else.

All times are nanoseconds of CLOCK_MONOTONIC, which the containers of one host share. ``toolkit.collect.rows`` makes an
``Evidence`` of a journal; whatever in it cannot be believed becomes a ``Finding``, never an exception.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, get_args

NANOSECONDS = 1_000_000_000

OUTCOMES = (
    "ok",
    "transport",
    "http_status",
    "json_parse",
    "truncated_stream",
    "wrong_answer",
    "timeout",
    "other",
)
"""Outcome names by their number in the harness's rows."""

PHASES = ("warmup", "measure", "drain", "done")

PROBE_OUTCOMES = ("yes", "no", "partial", "error", "not-applicable")

Termination = Literal[
    "completed",
    "container-failed",
    "oom",
    "killed",
    "panic",
    "hang",
    "backend-not-ready",
    "backend-died",
    "agent-lost",
    "refused",
    "interrupted",
    "engine-lost",
    "host-lost",
    "disk-full",
]

TERMINATIONS: tuple[Termination, ...] = get_args(Termination)


@dataclass(frozen=True)
class Drift:
    """A limit that did not hold: which row of which container, when it was seen first, from what to what, by whom.

    ``before`` is None where it never had the value that was asked for.
    """

    container: str
    row: str
    when: str
    before: str | None
    after: str
    witnesses: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """In the shape of ``schemas/result.schema.json``."""
        return {
            "what": f"{self.container} {self.row}",
            "when": self.when,
            "from": self.before,
            "to": self.after,
            "witnesses": list(self.witnesses),
        }


@dataclass(frozen=True)
class Finding:
    """One reason against believing a launch: which gate, why, what was found and what the limit was."""

    gate: str
    cause: str
    found: str | int | float | None = None
    limit: str | int | float | None = None
    drift: Drift | None = None

    def to_json(self) -> dict[str, Any]:
        """In the shape of ``invalid`` and ``recorded`` in ``schemas/result.schema.json``."""
        told = {"gate": self.gate, "cause": self.cause, "found": self.found, "limit": self.limit}
        return told if self.drift is None else {**told, "drift": self.drift.to_json()}


class Request(NamedTuple):
    """One request. ``first_ns`` is None without a first token; ``overhead_ns`` has one value per frame received."""

    sequence: int
    scheduled_ns: int
    sent_ns: int
    first_ns: int | None
    end_ns: int
    outcome: int
    tokens: int
    size_bytes: int
    overhead_ns: tuple[int, ...]


class Mark(NamedTuple):
    """A phase mark: ``program_ns`` is the program's own stamp, ``agent_ns`` when the agent wrote it down."""

    name: str
    program_ns: int
    agent_ns: int


class Sample(NamedTuple):
    """One look at the process tree, the cgroup and the agent. Counters are cumulative; fields as in agent.proto."""

    monotonic_ns: int
    cpu_user_ns: int
    cpu_system_ns: int
    rss_anon_bytes: int
    rss_file_bytes: int
    rss_shmem_bytes: int
    rss_peak_bytes: int
    processes: int
    threads: int
    major_faults: int
    context_switches_voluntary: int
    context_switches_involuntary: int
    run_queue_wait_ns: int
    cgroup_memory_bytes: int
    cgroup_swap_bytes: int
    cgroup_cpu_ns: int
    cgroup_throttled_periods: int
    cgroup_throttled_ns: int
    cgroup_pids: int
    agent_cpu_ns: int
    agent_rss_bytes: int

    @property
    def cpu_ns(self) -> int:
        """CPU time of the process tree so far."""
        return self.cpu_user_ns + self.cpu_system_ns

    @property
    def rss_bytes(self) -> int:
        """Resident memory of the process tree."""
        return self.rss_anon_bytes + self.rss_file_bytes + self.rss_shmem_bytes


@dataclass(frozen=True)
class GoSnapshot:
    """The Go runtime's cumulative counters. ``pause`` and ``stop_other`` are (upper edge in seconds, count so far)."""

    monotonic_ns: int
    goroutines: int
    gomaxprocs: int
    heap_live_bytes: int
    heap_goal_bytes: int
    alloc_bytes: int
    alloc_objects: int
    gc_cycles: int
    gc_cpu_seconds: float
    total_bytes: int
    pause: tuple[tuple[float, int], ...]
    stop_other: tuple[tuple[float, int], ...] = ()


@dataclass(frozen=True)
class Program:
    """Who the harness says it is."""

    harness: str
    sdk: str
    module: str
    version: str
    go: str
    goos: str
    goarch: str
    gomaxprocs: int
    gogc: str
    gomemlimit: str
    godebug: str
    workload: str
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AgentHello:
    """Who the agent is; ``wall_unix_ns`` is the journal's one wall-clock anchor, taken at ``monotonic_ns``."""

    monotonic_ns: int
    agent_version: str
    role: str
    cgroup_version: str
    wall_unix_ns: int
    baseline_cpu_ns: int
    go_version: str


@dataclass(frozen=True)
class RowRead:
    """One constraint as the agent read it. ``expected`` is empty where it was only recorded."""

    id: str
    expected: str
    found: str
    absent: bool
    error: str


@dataclass(frozen=True)
class ReadbackRead:
    """All rows at one moment: ``start``, ``window:<k>`` or ``end``."""

    when: str
    monotonic_ns: int
    rows: tuple[RowRead, ...]


@dataclass(frozen=True)
class Exit:
    """How the program ended. ``oom_kills`` counts those of the container's cgroup since its start."""

    monotonic_ns: int
    exit_code: int
    signal: int
    oom_kills: int


@dataclass(frozen=True)
class Refusal:
    """The agent did not start the program."""

    reason: str
    rows: tuple[RowRead, ...]


@dataclass(frozen=True)
class ErrorText:
    """The text of one failed request."""

    sequence: int
    outcome: int
    status: int
    text: str


@dataclass(frozen=True)
class DriveTotals:
    """The load generator's own count of its sends, over warm-up, measurement and drain. A closed loop drops none."""

    scheduled: int
    sent: int
    dropped: int
    max_in_flight: int


@dataclass(frozen=True)
class Probe:
    """What one experiment of ``repro probe`` found: ``value`` in ``unit`` where there is one number."""

    id: str
    outcome: str
    text: str
    value: float | None = None
    unit: str = ""
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Series:
    """Values that a program reported in one batch."""

    name: str
    monotonic_ns: int
    values_ns: tuple[int, ...]


@dataclass(frozen=True)
class Evidence:
    """One container's journal, read. A part that never came is None or empty."""

    agent: AgentHello | None = None
    program: Program | None = None
    marks: tuple[Mark, ...] = ()
    requests: tuple[Request, ...] = ()
    samples: tuple[Sample, ...] = ()
    go: tuple[GoSnapshot, ...] = ()
    readbacks: tuple[ReadbackRead, ...] = ()
    window_ends: tuple[int, ...] = ()
    ready_waited_ns: int | None = None
    exit: Exit | None = None
    refusal: Refusal | None = None
    errors: tuple[ErrorText, ...] = ()
    totals: DriveTotals | None = None
    selftest_rate_hz: float | None = None
    bench_lines: tuple[str, ...] = ()
    probes: tuple[Probe, ...] = ()
    series: tuple[Series, ...] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    last_ns: int | None = None
    truncated_bytes: int = 0
    findings: tuple[Finding, ...] = ()

    def mark(self, name: str) -> int | None:
        """The program's time stamp of a phase, or None when it never came."""
        for one in self.marks:
            if one.name == name:
                return one.program_ns
        return None


@dataclass(frozen=True)
class LaunchFacts:
    """What only the launch itself knows. ``stopped`` is set when something outside the containers ended it.

    ``stop_after_seconds`` is the agent's hard planned end (0: none). ``sdk_oom`` and ``backend_oom`` are the engine's
    word. ``refused`` is why the host started nothing. ``backend_ended_first``: the engine saw the backend's container
    end while the SDK's still ran. ``findings`` are those of other judges: broken rows of the read-back, the second
    witness.
    """

    launch: int = 1
    attempt: int = 1
    stopped: Termination | None = None
    refused: str = ""
    stop_after_seconds: float = 0
    sdk_oom: bool = False
    backend_oom: bool = False
    backend_ended_first: bool = False
    findings: tuple[Finding, ...] = ()
