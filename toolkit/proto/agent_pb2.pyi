from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from typing import ClassVar as _ClassVar, Iterable as _Iterable, Mapping as _Mapping, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Chunk(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class Directive(_message.Message):
    __slots__ = ("release", "measure_ns", "drain_ns")
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    MEASURE_NS_FIELD_NUMBER: _ClassVar[int]
    DRAIN_NS_FIELD_NUMBER: _ClassVar[int]
    release: bool
    measure_ns: int
    drain_ns: int
    def __init__(self, release: bool = ..., measure_ns: _Optional[int] = ..., drain_ns: _Optional[int] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("sequence", "monotonic_ns", "hello", "readback", "ready", "lines", "sample", "child_exit", "refused", "window_end", "phase")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    MONOTONIC_NS_FIELD_NUMBER: _ClassVar[int]
    HELLO_FIELD_NUMBER: _ClassVar[int]
    READBACK_FIELD_NUMBER: _ClassVar[int]
    READY_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    SAMPLE_FIELD_NUMBER: _ClassVar[int]
    CHILD_EXIT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    WINDOW_END_FIELD_NUMBER: _ClassVar[int]
    PHASE_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    monotonic_ns: int
    hello: Hello
    readback: Readback
    ready: Ready
    lines: Lines
    sample: Sample
    child_exit: ChildExit
    refused: Refused
    window_end: WindowEnd
    phase: Phase
    def __init__(self, sequence: _Optional[int] = ..., monotonic_ns: _Optional[int] = ..., hello: _Optional[_Union[Hello, _Mapping]] = ..., readback: _Optional[_Union[Readback, _Mapping]] = ..., ready: _Optional[_Union[Ready, _Mapping]] = ..., lines: _Optional[_Union[Lines, _Mapping]] = ..., sample: _Optional[_Union[Sample, _Mapping]] = ..., child_exit: _Optional[_Union[ChildExit, _Mapping]] = ..., refused: _Optional[_Union[Refused, _Mapping]] = ..., window_end: _Optional[_Union[WindowEnd, _Mapping]] = ..., phase: _Optional[_Union[Phase, _Mapping]] = ...) -> None: ...

class Hello(_message.Message):
    __slots__ = ("agent_version", "role", "cgroup_version", "wall_unix_ns", "baseline_cpu_ns", "go_version")
    AGENT_VERSION_FIELD_NUMBER: _ClassVar[int]
    ROLE_FIELD_NUMBER: _ClassVar[int]
    CGROUP_VERSION_FIELD_NUMBER: _ClassVar[int]
    WALL_UNIX_NS_FIELD_NUMBER: _ClassVar[int]
    BASELINE_CPU_NS_FIELD_NUMBER: _ClassVar[int]
    GO_VERSION_FIELD_NUMBER: _ClassVar[int]
    agent_version: str
    role: str
    cgroup_version: str
    wall_unix_ns: int
    baseline_cpu_ns: int
    go_version: str
    def __init__(self, agent_version: _Optional[str] = ..., role: _Optional[str] = ..., cgroup_version: _Optional[str] = ..., wall_unix_ns: _Optional[int] = ..., baseline_cpu_ns: _Optional[int] = ..., go_version: _Optional[str] = ...) -> None: ...

class Readback(_message.Message):
    __slots__ = ("when", "rows")
    WHEN_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    when: str
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    def __init__(self, when: _Optional[str] = ..., rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ...) -> None: ...

class Row(_message.Message):
    __slots__ = ("id", "expected", "found", "absent", "error")
    ID_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_FIELD_NUMBER: _ClassVar[int]
    FOUND_FIELD_NUMBER: _ClassVar[int]
    ABSENT_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    id: str
    expected: str
    found: str
    absent: bool
    error: str
    def __init__(self, id: _Optional[str] = ..., expected: _Optional[str] = ..., found: _Optional[str] = ..., absent: bool = ..., error: _Optional[str] = ...) -> None: ...

class Ready(_message.Message):
    __slots__ = ("probe", "waited_ns")
    PROBE_FIELD_NUMBER: _ClassVar[int]
    WAITED_NS_FIELD_NUMBER: _ClassVar[int]
    probe: str
    waited_ns: int
    def __init__(self, probe: _Optional[str] = ..., waited_ns: _Optional[int] = ...) -> None: ...

class Phase(_message.Message):
    __slots__ = ("name", "program_monotonic_ns")
    NAME_FIELD_NUMBER: _ClassVar[int]
    PROGRAM_MONOTONIC_NS_FIELD_NUMBER: _ClassVar[int]
    name: str
    program_monotonic_ns: int
    def __init__(self, name: _Optional[str] = ..., program_monotonic_ns: _Optional[int] = ...) -> None: ...

class Lines(_message.Message):
    __slots__ = ("text",)
    TEXT_FIELD_NUMBER: _ClassVar[int]
    text: bytes
    def __init__(self, text: _Optional[bytes] = ...) -> None: ...

class Sample(_message.Message):
    __slots__ = ("cpu_user_ns", "cpu_system_ns", "rss_anon_bytes", "rss_file_bytes", "rss_shmem_bytes", "rss_peak_bytes", "processes", "threads", "major_faults", "context_switches_voluntary", "context_switches_involuntary", "run_queue_wait_ns", "cgroup_memory_bytes", "cgroup_swap_bytes", "cgroup_cpu_ns", "cgroup_throttled_periods", "cgroup_throttled_ns", "cgroup_pids", "agent_cpu_ns", "agent_rss_bytes")
    CPU_USER_NS_FIELD_NUMBER: _ClassVar[int]
    CPU_SYSTEM_NS_FIELD_NUMBER: _ClassVar[int]
    RSS_ANON_BYTES_FIELD_NUMBER: _ClassVar[int]
    RSS_FILE_BYTES_FIELD_NUMBER: _ClassVar[int]
    RSS_SHMEM_BYTES_FIELD_NUMBER: _ClassVar[int]
    RSS_PEAK_BYTES_FIELD_NUMBER: _ClassVar[int]
    PROCESSES_FIELD_NUMBER: _ClassVar[int]
    THREADS_FIELD_NUMBER: _ClassVar[int]
    MAJOR_FAULTS_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_SWITCHES_VOLUNTARY_FIELD_NUMBER: _ClassVar[int]
    CONTEXT_SWITCHES_INVOLUNTARY_FIELD_NUMBER: _ClassVar[int]
    RUN_QUEUE_WAIT_NS_FIELD_NUMBER: _ClassVar[int]
    CGROUP_MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    CGROUP_SWAP_BYTES_FIELD_NUMBER: _ClassVar[int]
    CGROUP_CPU_NS_FIELD_NUMBER: _ClassVar[int]
    CGROUP_THROTTLED_PERIODS_FIELD_NUMBER: _ClassVar[int]
    CGROUP_THROTTLED_NS_FIELD_NUMBER: _ClassVar[int]
    CGROUP_PIDS_FIELD_NUMBER: _ClassVar[int]
    AGENT_CPU_NS_FIELD_NUMBER: _ClassVar[int]
    AGENT_RSS_BYTES_FIELD_NUMBER: _ClassVar[int]
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
    def __init__(self, cpu_user_ns: _Optional[int] = ..., cpu_system_ns: _Optional[int] = ..., rss_anon_bytes: _Optional[int] = ..., rss_file_bytes: _Optional[int] = ..., rss_shmem_bytes: _Optional[int] = ..., rss_peak_bytes: _Optional[int] = ..., processes: _Optional[int] = ..., threads: _Optional[int] = ..., major_faults: _Optional[int] = ..., context_switches_voluntary: _Optional[int] = ..., context_switches_involuntary: _Optional[int] = ..., run_queue_wait_ns: _Optional[int] = ..., cgroup_memory_bytes: _Optional[int] = ..., cgroup_swap_bytes: _Optional[int] = ..., cgroup_cpu_ns: _Optional[int] = ..., cgroup_throttled_periods: _Optional[int] = ..., cgroup_throttled_ns: _Optional[int] = ..., cgroup_pids: _Optional[int] = ..., agent_cpu_ns: _Optional[int] = ..., agent_rss_bytes: _Optional[int] = ...) -> None: ...

class WindowEnd(_message.Message):
    __slots__ = ("index",)
    INDEX_FIELD_NUMBER: _ClassVar[int]
    index: int
    def __init__(self, index: _Optional[int] = ...) -> None: ...

class ChildExit(_message.Message):
    __slots__ = ("exit_code", "signal", "oom_kills")
    EXIT_CODE_FIELD_NUMBER: _ClassVar[int]
    SIGNAL_FIELD_NUMBER: _ClassVar[int]
    OOM_KILLS_FIELD_NUMBER: _ClassVar[int]
    exit_code: int
    signal: int
    oom_kills: int
    def __init__(self, exit_code: _Optional[int] = ..., signal: _Optional[int] = ..., oom_kills: _Optional[int] = ...) -> None: ...

class Refused(_message.Message):
    __slots__ = ("reason", "rows")
    REASON_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    reason: str
    rows: _containers.RepeatedCompositeFieldContainer[Row]
    def __init__(self, reason: _Optional[str] = ..., rows: _Optional[_Iterable[_Union[Row, _Mapping]]] = ...) -> None: ...
