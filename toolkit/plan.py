"""The plan stage: a request and the catalogue become cells in a random, interleaved, recorded order. Pure.

Order: each round holds every cell once, shuffled by the seed (randomised multiple interleaved trials, Abedi and Brecht,
ICPE 2017), so that drift of the machine meets all cells alike.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import cast

from toolkit.errors import UsageError
from toolkit.host.topology import Placement
from toolkit.model.catalogue import BackendEntry, SdkEntry, WorkloadEntry
from toolkit.model.cpulist import parse_cpulist
from toolkit.model.names import arm_name, cell_id
from toolkit.model.plan import CellPlan, Drive, Gates, MemPolicy, Plan, Turn

PAGE_BYTES = 4096
_SMALLEST_BYTES = 6 * 1024 * 1024  # Docker's own minimum for a container (daemon/daemon_unix.go)
_UNITS = {"": 1, "b": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_RUNTIME_ARMS = {"gogc": "GOGC", "gomemlimit": "GOMEMLIMIT", "godebug": "GODEBUG"}
_BACKEND_ARMS = ("pacing", "fault")
_DAY_SECONDS = 86_400.0
_PROBABILITY = r"(0(\.[0-9]+)?|1)"
_ARM_VALUES = {
    "gogc": (r"off|[1-9][0-9]{0,5}", "off or a whole number"),
    "gomemlimit": (r"off|[0-9]{1,15}[kmg]?", "off or a size such as 64m"),
    "godebug": (r"[a-z0-9]+=[a-z0-9]+", "one setting, such as madvdontneed=1"),
    "pacing": (r"paced|unpaced", "paced or unpaced"),
    "fault": (
        rf"(http503|truncate|corrupt|reset)-{_PROBABILITY}|never_ready|exit_after-[0-9]+(\.[0-9]+)?",
        "http503-P, truncate-P, corrupt-P or reset-P with a probability, never_ready, or exit_after-SECONDS",
    ),
    "rate_hz": (r"[0-9]+(\.[0-9]+)?", "a number above 0"),
    "arrival": (r"poisson|constant", "poisson or constant"),
    "gomaxprocs": (r"[1-9][0-9]{0,3}", "a whole number above 0"),
}
_ARMS = tuple(_ARM_VALUES)


@dataclass(frozen=True)
class Request:
    """What the user asked for, before defaults. None means: the default."""

    workload: str | None = None
    drive: str = "open"
    memory_bytes: int | None = None
    mem_policy: str = "bind"
    launches: int = 1
    duration_seconds: float | None = None
    warmup_seconds: float = 5.0
    seed: int = 1
    sample_hz: float = 1.0
    timing_gates: str = "judge"
    bench_count: int = 5
    bench_time_seconds: float = 30.0
    arms: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Choice:
    """One SDK with the workload and backend chosen for it."""

    sdk: SdkEntry
    workload: WorkloadEntry
    backend: BackendEntry


def make_plan(request: Request, choices: list[Choice], placement: Placement) -> Plan:
    """All cells and their order. Raises UsageError on a value that no launch could have."""
    check_request(request)
    cells = tuple(_cell(request, choice, placement) for choice in choices)
    if len({cell.cell for cell in cells}) < len(cells):
        raise UsageError("a cell was asked for twice", ", ".join(cell.cell for cell in cells), "name each SDK once")
    return Plan(cells, _order(cells, request.launches, request.seed), request.seed)


def _order(cells: tuple[CellPlan, ...], launches: int, seed: int) -> tuple[Turn, ...]:
    generator = random.Random(seed)
    turns: list[Turn] = []
    for launch in range(1, launches + 1):
        names = [cell.cell for cell in cells]
        generator.shuffle(names)
        turns += [Turn(name, launch) for name in names]
    return tuple(turns)


def check_request(request: Request) -> None:
    """Raises UsageError for the first value that is out of range or does not go with another."""
    asked = request.duration_seconds
    policies = ("bind", "interleave", "preferred", "none")
    benched = request.drive == "bench" and asked is not None
    checks = (
        (not 0 < request.launches <= 100_000, f"--launches {request.launches}", "it must be 1 to 100000"),
        (not 0 <= request.seed < 2**53, f"--seed {request.seed}", "it must be 0 to 9007199254740991 (exact in JSON)"),
        (
            asked is not None and not 0 < asked <= _DAY_SECONDS,
            f"--duration {asked}",
            "it must be above 0, at most a day",
        ),
        (
            not 1 <= request.warmup_seconds <= _DAY_SECONDS,
            f"--warmup {request.warmup_seconds:g}",
            "it must be at least 1 (the host proves limits meanwhile), at most a day",
        ),
        (not 0 < request.sample_hz <= 100, f"--sample-hz {request.sample_hz:g}", "it must be above 0 and at most 100"),
        (request.drive not in ("open", "bench"), f"--drive {request.drive}", "it must be open or bench"),
        (benched, "--duration with --drive bench", "go test decides: use --bench-time and --bench-count"),
        (request.bench_count < 1, f"--bench-count {request.bench_count}", "it must be at least 1"),
        (not 0 < request.bench_time_seconds <= _DAY_SECONDS, "--bench-time", "it must be above 0, at most a day"),
        (request.timing_gates not in ("judge", "record"), "--timing-gates", "it must be judge or record"),
        (request.mem_policy not in policies, f"--mem-policy {request.mem_policy}", f"it must be {', '.join(policies)}"),
    )
    for wrong, what, why in checks:
        if wrong:
            raise UsageError(f"{what} cannot be used", why, "see 'repro launch --help'")
    unknown = sorted(set(request.arms) - set(_ARMS))
    if unknown:
        raise UsageError(f"--arm {unknown[0]} is unknown", f"arms are {', '.join(_ARMS)}", "write --arm key=value")
    for key, value in request.arms.items():
        if not re.fullmatch(_ARM_VALUES[key][0], value):
            raise UsageError(f"--arm {key}={value} cannot be used", f"it must be {_ARM_VALUES[key][1]}", "")


def _cell(request: Request, choice: Choice, placement: Placement) -> CellPlan:
    sdk, workload, backend = choice.sdk, choice.workload, choice.backend
    arms = dict(request.arms)
    if request.drive not in workload.drives:
        raise UsageError(
            f"workload '{workload.id}' has no drive '{request.drive}'",
            f"it has {', '.join(workload.drives)}",
            "choose one of these",
        )
    settings = {**backend.settings, **workload.backend, **_drive_settings(request.drive), **_backend_arms(arms)}
    memory = request.memory_bytes if request.memory_bytes is not None else sdk.memory_bytes
    _check_memory(memory)
    return CellPlan(
        cell=_cell_name(sdk, workload, backend, request, arms),
        sdk=sdk.id,
        module=sdk.module,
        version=sdk.version,
        workload=workload.id,
        workload_kind=workload.kind,
        backend=backend.id,
        backend_tier=backend.tier,
        drive=cast(Drive, request.drive),
        arm=_arm(sdk, workload, backend, request, arms),
        arrival=arms.get("arrival", workload.arrival),
        rate_hz=_number("rate_hz", arms.get("rate_hz"), workload.rate_hz),
        tokens=workload.tokens,
        dimensions=workload.dimensions,
        seed=request.seed,
        warmup_seconds=request.warmup_seconds,
        duration_seconds=request.duration_seconds if request.duration_seconds is not None else 30.0,
        drain_seconds=2.0,
        max_in_flight=512,
        request_timeout_seconds=30.0,
        launches=request.launches,
        cpus=placement.cpus,
        mems=placement.mems,
        agent_cpus=placement.agent_cpus,
        backend_cpus=placement.backend_cpus,
        housekeeping_cpus=placement.housekeeping_cpus,
        shared_cpus=placement.shared,
        memory_bytes=memory,
        backend_memory_bytes=backend.memory_bytes,
        mem_policy=cast(MemPolicy, request.mem_policy),
        sample_hz=request.sample_hz,
        window_seconds=10.0,
        timing_gates=cast(Gates, request.timing_gates),
        bench_count=request.bench_count,
        bench_time_seconds=request.bench_time_seconds,
        gomaxprocs=int(_number("gomaxprocs", arms.get("gomaxprocs"), float(len(parse_cpulist(placement.cpus))))),
        environment=_runtime_arms(arms),
        backend_settings={
            "schema": "repro.backend/1",
            "listen": f"127.0.0.1:{backend.port}",
            "seed": request.seed,
            **settings,
        },
        base_url=f"http://127.0.0.1:{backend.port}{backend.wires[sdk.wire]}",
        ready=backend.ready,
    )


def _drive_settings(drive: str) -> dict[str, str]:
    # A benchmark loop against a pace would time the pace: drive bench measures the SDK, so the backend answers at once.
    return {"pacing": "unpaced"} if drive == "bench" else {}


def _runtime_arms(arms: Mapping[str, str]) -> dict[str, str]:
    found = {_RUNTIME_ARMS[key]: value for key, value in arms.items() if key in _RUNTIME_ARMS}
    limit = found.get("GOMEMLIMIT", "off")
    if limit != "off":
        # Go wants "64MiB" with that very case, which no cell id could hold; plain bytes mean the same.
        found["GOMEMLIMIT"] = str(parse_memory(limit))
    return found


def _backend_arms(arms: Mapping[str, str]) -> dict[str, str]:
    found = {key: arms[key] for key in _BACKEND_ARMS if key in arms}
    if "fault" in found:
        # A cell id has no colon: fault=http503-0.01 is the backend's http503:0.01.
        found["fault"] = found["fault"].replace("-", ":", 1)
    return found


def _arm(
    sdk: SdkEntry, workload: WorkloadEntry, backend: BackendEntry, request: Request, arms: Mapping[str, str]
) -> str:
    named = dict(arms)
    if request.drive != "open":
        named["drive"] = request.drive
    if backend.id != sdk.backends(workload.id)[0]:
        named |= {"backend": backend.id, "tier": backend.tier}
    try:
        return arm_name(named)
    except ValueError as problem:
        raise UsageError("an arm cannot be named", str(problem), "write --arm key=value in lower case") from problem


def _cell_name(
    sdk: SdkEntry, workload: WorkloadEntry, backend: BackendEntry, request: Request, arms: Mapping[str, str]
) -> str:
    return cell_id(sdk.id, workload.id, _arm(sdk, workload, backend, request, arms))


def _number(name: str, text: str | None, default: float) -> float:
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError as problem:
        raise UsageError(
            f"--arm {name}={text} is not a number", "", f"for example --arm {name}={default:g}"
        ) from problem
    if not 0 < value < 1e6:
        raise UsageError(f"--arm {name}={text} is out of range", "it must be above 0 and below a million", "")
    return value


def _check_memory(memory_bytes: int) -> None:
    if memory_bytes < _SMALLEST_BYTES or memory_bytes % PAGE_BYTES:
        raise UsageError(
            f"--memory {memory_bytes} cannot be used",
            f"it must be a multiple of {PAGE_BYTES} bytes and at least {_SMALLEST_BYTES}",
            "for example --memory 512m",
        )


def parse_memory(text: str) -> int:
    """``512m`` or ``4g`` (powers of 1024, as Docker's ``--memory``) in bytes; UsageError on anything else."""
    match = re.fullmatch(r"([0-9]{1,15})([bkmg]?)", text.strip().lower())
    if match is None:
        raise UsageError(
            f"--memory '{text}' is not a size", "it is a whole number with b, k, m or g", "for example --memory 512m"
        )
    return int(match[1]) * _UNITS[match[2]]


def parse_arms(pairs: list[str]) -> dict[str, str]:
    """``key=value`` texts as a mapping; UsageError on a malformed or repeated one."""
    arms: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key or not value:
            raise UsageError(f"--arm '{pair}' is not key=value", "", "for example --arm gogc=200")
        if key in arms:
            raise UsageError(f"--arm {key} was given twice", f"{arms[key]} and {value}", "give it once")
        arms[key] = value
    return arms
