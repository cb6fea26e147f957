"""The plan stage: a request and the catalogue become cells in a random, interleaved, recorded order. Pure.

Order: each round holds every cell once, shuffled by the seed (randomised multiple interleaved trials, Abedi and Brecht,
ICPE 2017), so that drift of the machine meets all cells alike.
"""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, cast

from toolkit.arms import backend_arms, check_arms, check_place, concurrency, number, runtime_arms
from toolkit.errors import UsageError
from toolkit.host.placement import Placement
from toolkit.model.catalogue import BackendEntry, SdkEntry, WorkloadEntry
from toolkit.model.cpulist import parse_cpulist
from toolkit.model.interference import default_budget
from toolkit.model.names import arm_name, cell_id
from toolkit.model.plan import DRIVES, CellPlan, Drive, Gates, MemPolicy, ModelFile, Plan, Turn
from toolkit.model.schedule import schedule_digest

PAGE_BYTES = 4096
LIBRARIES = "/repro/lib"
MODELS = "/repro/models"
OWN_MODEL = "/repro/own/model.gguf"
"""Where a file given with ``--model`` is found in a container."""

_SMALLEST_BYTES = 6 * 1024 * 1024  # Docker's own minimum for a container (daemon/daemon_unix.go)
_DAY_SECONDS = 86_400.0
PROBE_SECONDS = 240.0
PROBE_BYTES = 1024**3
"""Experiments open clients and load models side by side, and none of them is a measurement of memory."""


@dataclass(frozen=True)
class Request:
    """What the user asked for, before defaults. None means: the default."""

    workload: str | None = None
    drive: str | None = None
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
    model: ModelFile | None = None
    budget: Mapping[str, float | None] = field(default_factory=default_budget)


@dataclass(frozen=True)
class Choice:
    """One SDK with the workload and backend chosen for it.

    ``asked_as`` is the name that the user typed, ``at`` the label of another version (``--sdk-at``), and ``baseline``
    says that nobody asked for it: the null SDK beside the others.
    """

    sdk: SdkEntry
    workload: WorkloadEntry
    backend: BackendEntry
    asked_as: str = ""
    at: str = ""
    baseline: bool = False


def make_plan(request: Request, choices: list[Choice], placement: Placement) -> Plan:
    """All cells and their order. Raises UsageError on a value that no launch could have."""
    check_request(request)
    cells = tuple(_cell(request, choice, placement) for choice in choices)
    if len({cell.cell for cell in cells}) < len(cells):
        raise UsageError("a cell was asked for twice", ", ".join(cell.cell for cell in cells), "name each SDK once")
    return Plan(cells, _order(cells, request.launches, request.seed), request.seed)


def interleaved(plans: list[Plan], request: Request) -> Plan:
    """One plan of the cells of several, which share launches and seed."""
    cells = tuple(cell for plan in plans for cell in plan.cells)
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
    crowd = "concurrency" in request.arms and request.drive not in (None, "closed")
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
        (request.drive not in (None, *DRIVES), f"--drive {request.drive}", "it must be open, closed or bench"),
        (benched, "--duration with --drive bench", "go test decides: use --bench-time and --bench-count"),
        (crowd, f"--arm concurrency with --drive {request.drive}", "only a closed loop has a fixed concurrency"),
        (request.bench_count < 1, f"--bench-count {request.bench_count}", "it must be at least 1"),
        (not 0 < request.bench_time_seconds <= _DAY_SECONDS, "--bench-time", "it must be above 0, at most a day"),
        (request.timing_gates not in ("judge", "record"), "--timing-gates", "it must be judge or record"),
        (request.mem_policy not in policies, f"--mem-policy {request.mem_policy}", f"it must be {', '.join(policies)}"),
    )
    for wrong, what, why in checks:
        if wrong:
            raise UsageError(f"{what} cannot be used", why, "see 'repro launch --help'")
    check_arms(request.arms)


def _cell(request: Request, choice: Choice, placement: Placement) -> CellPlan:
    sdk, workload, backend = choice.sdk, choice.workload, choice.backend
    drive = _drive(request, choice)
    check_place(request.arms, sdk, backend, drive)
    arms = _arms(request, choice, drive)
    arm = _arm(arms)
    memory, backend_memory = _memories(request, choice)
    return CellPlan(
        cell=cell_id(sdk.id, workload.id, arm),
        sdk=sdk.id,
        module=sdk.module,
        version=sdk.version,
        workload=workload.id,
        workload_kind=workload.kind,
        backend=backend.id,
        backend_tier=_tier(request, choice),
        drive=drive,
        arm=arm,
        arms=arms,
        memory_bytes=memory,
        backend_memory_bytes=backend_memory,
        mem_policy=cast(MemPolicy, request.mem_policy),
        asked_as="" if choice.asked_as == sdk.id else choice.asked_as,
        baseline=choice.baseline,
        null_sdk=sdk.null,
        in_process=backend.in_process,
        cpu_level=max(sdk.cpu_level, backend.cpu_level),
        sdk_defaults="sdk" in request.arms,
        environment={**sdk.environment, **runtime_arms(request.arms)},
        model_file=request.model if _takes_model(request, choice) else None,
        ready=backend.ready,
        **_place(request, placement),
        **_load(request, choice, drive),
        **_engine(request, choice, placement),
        **_backend(request, choice, placement, drive),
    )


def _place(request: Request, placement: Placement) -> dict[str, Any]:
    """Who sits where, and what follows from how many CPUs that are."""
    measured = float(len(parse_cpulist(placement.cpus)))
    return _seats(placement) | {"gomaxprocs": int(number("gomaxprocs", request.arms.get("gomaxprocs"), measured))}


def _seats(placement: Placement) -> dict[str, Any]:
    return {
        "cpus": placement.cpus,
        "mems": placement.mems,
        "agent_cpus": placement.agent_cpus,
        "backend_cpus": placement.backend_cpus,
        "housekeeping_cpus": placement.housekeeping_cpus,
        "idle_cpus": placement.idle_cpus,
        "shared_cpus": placement.shared,
        "shared_cores": placement.shared_cores,
        "lane_notes": (*placement.notes, *(f"warning: {text}" for text in placement.warnings)),
    }


def moved(plan: Plan, placement: Placement) -> Plan:
    """The same plan on another lane. Lanes are equal: nothing else of a plan depends on which of them it is."""
    seats = _seats(placement)
    return replace(plan, cells=tuple(replace(cell, **seats) for cell in plan.cells))


def _load(request: Request, choice: Choice, drive: Drive) -> dict[str, Any]:
    """What is sent, when, for how long, and how it is looked at."""
    workload, arms = choice.workload, request.arms
    holder = choice.sdk if choice.backend.in_process else choice.backend  # who counts the tokens
    arrival = arms.get("arrival", workload.arrival)
    rate_hz = number("rate_hz", arms.get("rate_hz"), workload.rate_hz)
    return {
        "arrival": arrival,
        "rate_hz": rate_hz,
        "schedule_sha256": schedule_digest(arrival, rate_hz, request.seed) if drive == "open" else "",
        "concurrency": concurrency(arms.get("concurrency")) if drive == "closed" else 1,
        "tokens": workload.tokens,
        "dimensions": workload.dimensions,
        "vectors": workload.vectors,
        "top": workload.top,
        "text_unit": holder.text_unit,
        "special_tokens": holder.special_tokens,
        "seed": request.seed,
        "warmup_seconds": request.warmup_seconds,
        "duration_seconds": _duration(request, drive),
        "drain_seconds": 2.0,
        "max_in_flight": 512,
        "request_timeout_seconds": 30.0,
        "launches": request.launches,
        "sample_hz": request.sample_hz,
        "window_seconds": 10.0,
        "timing_gates": cast(Gates, request.timing_gates),
        "interference_budget": dict(request.budget),
        "bench_count": request.bench_count,
        "bench_time_seconds": request.bench_time_seconds,
    }


def _drive(request: Request, choice: Choice) -> Drive:
    if choice.workload.kind == "probe":
        return "probe"
    drive = request.drive or choice.backend.drive
    if "concurrency" in request.arms and request.drive is None:
        drive = "closed"
    if drive not in choice.workload.drives:
        raise UsageError(
            f"workload '{choice.workload.id}' has no drive '{drive}'",
            f"it has {', '.join(choice.workload.drives)}",
            "choose one of these",
        )
    return cast(Drive, drive)


def _duration(request: Request, drive: Drive) -> float:
    if drive == "probe":
        return PROBE_SECONDS
    return request.duration_seconds if request.duration_seconds is not None else 30.0


def _takes_model(request: Request, choice: Choice) -> bool:
    """Whether the file given with --model is for this cell: for an engine, and not for a vector store."""
    holder = choice.sdk if choice.backend.in_process else choice.backend
    return request.model is not None and choice.workload.kind in holder.models


def _tier(request: Request, choice: Choice) -> str:
    return "your-model" if _takes_model(request, choice) else choice.backend.tier


def _memories(request: Request, choice: Choice) -> tuple[int, int]:
    """The limits of both containers. A model of the user's own is given room on top of the entry's limit,
    twice in a backend, which may import it into a store of its own.
    """
    own = 0
    if request.model is not None and _takes_model(request, choice):
        own = -(-request.model.size_bytes // PAGE_BYTES) * PAGE_BYTES
    inside = choice.backend.in_process
    memory = request.memory_bytes
    if memory is None:
        memory = choice.sdk.memory_bytes + (own if inside else 0)
        if choice.workload.kind == "probe":
            memory = max(memory, PROBE_BYTES)
    _check_memory(memory)
    return memory, 0 if inside else choice.backend.memory_bytes + 2 * own


def _engine(request: Request, choice: Choice, placement: Placement) -> dict[str, Any]:
    """What an engine in the SDK's own process loads; nothing for a client."""
    if not choice.backend.in_process:
        return {}
    files = _model_paths(request, choice, choice.sdk.models)
    return {
        "model_path": files[0] if files else "",
        "projector_path": files[1] if len(files) > 1 else "",
        "models": _all_models(choice) if choice.workload.kind == "probe" else {},
        "library_path": LIBRARIES if choice.sdk.native else "",
        "threads": int(number("threads", request.arms.get("threads"), float(len(parse_cpulist(placement.cpus))))),
    }


def _all_models(choice: Choice) -> dict[str, tuple[str, ...]]:
    """What the experiments of ``repro probe`` may load, by workload kind."""
    return {kind: tuple(f"{MODELS}/{name}" for name in files) for kind, files in choice.sdk.models.items()}


def _model_paths(request: Request, choice: Choice, models: Mapping[str, tuple[str, ...]]) -> list[str]:
    files = [f"{MODELS}/{name}" for name in models.get(choice.workload.kind, ())]
    if files and _takes_model(request, choice):
        files[0] = OWN_MODEL
    return files


def _backend(request: Request, choice: Choice, placement: Placement, drive: Drive) -> dict[str, Any]:
    """How the backend is started and reached; nothing for an engine in the SDK's own process."""
    backend, kind = choice.backend, choice.workload.kind
    if backend.in_process:
        return {"backend_command": (), "model": choice.sdk.id}
    files = _model_paths(request, choice, backend.models)
    marks = {
        "model": files[0] if files else "",
        "projector": files[1] if len(files) > 1 else "",
        "port": str(backend.port),
        "threads": str(len(parse_cpulist(placement.backend_cpus))),
    }
    plain = f"http://127.0.0.1:{backend.port}"
    tls = request.arms.get("http") == "h2"
    root = f"https://127.0.0.1:{backend.tls_port}" if tls else plain
    return {
        "backend_settings": _backend_settings(request, choice, drive),
        "backend_command": tuple(_filled(word, marks) for word in backend.commands.get(kind, backend.command)),
        "backend_environment": {key: _filled(value, marks) for key, value in backend.environment.items()},
        "backend_pids": backend.pids,
        "base_url": root + backend.wires[choice.sdk.wire],
        "model": backend.model or backend.id,
        "control_url": plain if tls or drive == "probe" else "",
        "tls": tls,
    }


def _filled(text: str, marks: Mapping[str, str]) -> str:
    for name, value in marks.items():
        text = text.replace("{" + name + "}", value)
    return text


def _backend_settings(request: Request, choice: Choice, drive: Drive) -> dict[str, Any]:
    """``REPRO_BACKEND`` of a backend of ours; empty for one that takes no settings.

    Of what the workload asks for a backend gets what it knows: only a stub can be paced.
    """
    known = choice.backend.settings
    arms = backend_arms(request.arms, choice.backend)
    if not known:
        return {}
    asked = {key: value for key, value in choice.workload.backend.items() if key in known}
    # A benchmark loop against a pace would time the pace: drive bench measures the SDK, so the backend answers at once.
    unpaced = {"pacing": "unpaced"} if drive == "bench" and "pacing" in known else {}
    settings = {**known, **asked, **unpaced, **arms}
    # The entry's own address and seed are what the program takes when nobody says otherwise; here somebody does.
    return settings | {
        "schema": "repro.backend/1",
        "listen": f"127.0.0.1:{choice.backend.port}",
        "seed": request.seed,
    }


def _arms(request: Request, choice: Choice, drive: Drive) -> dict[str, str]:
    """The settings of a cell that differ from the defaults."""
    named = dict(request.arms)
    default = choice.sdk.backends(choice.workload.id)[:1]
    if drive not in (choice.backend.drive, "probe"):
        named["drive"] = drive
    if default and choice.backend.id != default[0]:
        named |= {"backend": choice.backend.id, "tier": _tier(request, choice)}
    if request.model is not None and _takes_model(request, choice):
        named |= {"model": request.model.sha256[:12], "tier": "your-model"}
    if choice.at:
        named["sdk-at"] = choice.at
    return named


def _arm(arms: Mapping[str, str]) -> str:
    try:
        return arm_name(arms)
    except ValueError as problem:
        raise UsageError("an arm cannot be named", str(problem), "write --arm key=value in lower case") from problem


def _check_memory(memory_bytes: int) -> None:
    if memory_bytes < _SMALLEST_BYTES or memory_bytes % PAGE_BYTES:
        raise UsageError(
            f"--memory {memory_bytes} cannot be used",
            f"it must be a multiple of {PAGE_BYTES} bytes and at least {_SMALLEST_BYTES}",
            "for example --memory 512m",
        )
