"""From a cell's plan to its containers: the SDK's, and the backend's where there is one.

Pure: the same plan gives the same values, with or without a host.

``Wiring`` is what differs between a measured launch (journal file, socket folder) and plain compose (neither: the agent
then writes its records to stdout).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from toolkit.model.container import ContainerSpec, Mount, Tmpfs
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.model.plan import CellPlan
from toolkit.plan import OWN_MODEL, PAGE_BYTES
from toolkit.readback.rows import agent_expectations, requested_rows

JOURNAL = "/repro/out/journal.pb"
RUN_FOLDER = "/repro/run"
SOCKET = "/repro/run/collector.sock"
RESOLVER = "/etc/resolv.conf"
_TMP_BYTES = 64 * 1024 * 1024
_PIDS = 256
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_READY_SECONDS = 10
_RELEASE_SECONDS = 5
_GRACE_SECONDS = 10
# Where timing is only recorded the machine may be slow (emulated, shared): requests in flight end late.
_SLOW_GRACE_SECONDS = 30
# Rows whose value an API route can ask for and compose cannot (published in docs/compose.md).
COMPOSE_GAPS = ("container.mems", "mems.allowed", "memory.swappiness")


@dataclass(frozen=True)
class Wiring:
    """How a container reaches the host. Empty strings: it does not (plain compose). ``rerun.sh`` has journals alone.

    ``agent_rows``: the rows that the agent in the image knows, where it is an earlier one (None: ours knows all); it
    refuses to promise what it cannot check. ``model_source`` is where a model of the user's own lies, for cells that
    have one.
    """

    journal_source: str = ""
    socket_folder: str = ""
    resolver_source: str = "/dev/null"
    model_source: str = "./model.gguf"
    agent_rows: frozenset[str] | None = None

    @property
    def attached(self) -> bool:
        """Whether a journal file and a collector exist."""
        return bool(self.journal_source)


def sdk_container(cell: CellPlan, image: str, seccomp: Mapping[str, object], wiring: Wiring) -> ContainerSpec:
    """The container that is measured. Its network is set by the caller: the backend's namespace."""
    workload = "/repro/workload"
    command = (*_numactl(cell), workload, *_harness_arguments(cell))
    environment = {
        "REPRO_WORKLOAD": _json(harness_settings(cell)),
        "GOMAXPROCS": str(cell.gomaxprocs),
        **cell.environment,
    }
    own = cell.model_file is not None and cell.in_process
    part = _Part(command, environment, cell.cpus, cell.memory_bytes, own_model=own)
    spec = _base(cell, part, image=image, seccomp=seccomp, wiring=wiring)
    return _with_agent(spec, cell, "sdk", wiring)


def backend_container(cell: CellPlan, image: str, seccomp: Mapping[str, object], wiring: Wiring) -> ContainerSpec:
    """The container that is talked to."""
    command = (*_numactl(cell), *cell.backend_command)
    backend_cpus = len(parse_cpulist(cell.backend_cpus))
    settings = {"REPRO_BACKEND": _json(dict(cell.backend_settings))} if cell.backend_settings else {}
    environment = {**settings, "GOMAXPROCS": str(backend_cpus), **cell.backend_environment}
    part = _Part(
        command,
        environment,
        cell.backend_cpus,
        cell.backend_memory_bytes,
        pids=cell.backend_pids,
        own_model=cell.model_file is not None,
        # A server may import a model into a store of its own before it serves it.
        room_bytes=_pages(cell.model_file.size_bytes) if cell.model_file is not None else 0,
    )
    spec = _base(cell, part, image=image, seccomp=seccomp, wiring=wiring)
    return _with_agent(spec, cell, "backend", wiring)


def harness_settings(cell: CellPlan) -> dict[str, Any]:
    """``REPRO_WORKLOAD`` (docs/harness.md). What is at its default is left out: a strict reader reads less."""
    basic = {
        "schema": "repro.workload/1",
        "workload": cell.workload,
        "drive": cell.drive,
        "arrival": cell.arrival,
        "rate_hz": cell.rate_hz,
        "seed": cell.seed,
        "warmup_seconds": cell.warmup_seconds,
        "duration_seconds": cell.duration_seconds,
        "drain_seconds": cell.drain_seconds,
        "max_in_flight": cell.max_in_flight,
        "request_timeout_seconds": cell.request_timeout_seconds,
        "base_url": cell.base_url,
        "model": cell.model,
        "tokens": cell.tokens,
        "dimensions": cell.dimensions,
        "kind": cell.workload_kind,
    }
    special = {
        "concurrency": cell.concurrency if cell.drive == "closed" else 0,
        "text_unit": cell.text_unit if cell.text_unit != "words" else "",
        "special_tokens": cell.special_tokens,
        "own_model": cell.model_file is not None,
        "vectors": cell.vectors,
        "top": cell.top,
        "sdk_defaults": cell.sdk_defaults,
        "models": {kind: list(files) for kind, files in cell.models.items()},
        "model_path": cell.model_path,
        "projector_path": cell.projector_path,
        "library_path": cell.library_path,
        "threads": cell.threads,
        "control_url": cell.control_url,
        "tls": cell.tls,
    }
    return basic | {key: value for key, value in special.items() if value}


def _pages(size_bytes: int) -> int:
    return -(-size_bytes // PAGE_BYTES) * PAGE_BYTES


def _numactl(cell: CellPlan) -> tuple[str, ...]:
    option = {
        "bind": f"--membind={cell.mems}",
        "interleave": f"--interleave={cell.mems}",
        "preferred": f"--preferred={cell.mems}",
        "none": "--localalloc",
    }[cell.mem_policy]
    return ("numactl", option, "--")


def _harness_arguments(cell: CellPlan) -> tuple[str, ...]:
    if cell.drive != "bench":
        return ()
    return (
        "-test.run=^$",
        f"-test.bench=^BenchmarkWorkload$/^{cell.workload}$",
        "-test.benchmem",
        f"-test.count={cell.bench_count}",
        f"-test.benchtime={cell.bench_time_seconds:g}s",
        "-test.timeout=0",
    )


@dataclass(frozen=True)
class _Part:
    """What one of the two containers has for itself."""

    command: tuple[str, ...]
    environment: Mapping[str, str]
    cpus: str
    memory_bytes: int
    pids: int = _PIDS
    own_model: bool = False
    room_bytes: int = 0


def _base(cell: CellPlan, part: _Part, *, image: str, seccomp: Mapping[str, object], wiring: Wiring) -> ContainerSpec:
    both = format_cpulist((*parse_cpulist(part.cpus), *parse_cpulist(cell.agent_cpus)))
    mounts = [Mount(wiring.resolver_source, RESOLVER)]
    if part.own_model:
        mounts.append(Mount(wiring.model_source, OWN_MODEL))
    if wiring.attached:
        mounts.append(Mount(wiring.journal_source, JOURNAL, writable=True))
    if wiring.socket_folder:
        mounts.append(Mount(wiring.socket_folder, RUN_FOLDER))
    return ContainerSpec(
        image=image,
        command=part.command,
        environment={"PATH": _PATH, "HOME": "/tmp", **part.environment},
        cpuset_cpus=both,
        cpuset_mems=cell.mems,
        memory_bytes=part.memory_bytes,
        pids_limit=part.pids,
        seccomp=seccomp,
        mounts=tuple(mounts),
        tmpfs=(Tmpfs("/tmp", _TMP_BYTES + part.room_bytes),),
    )


def _with_agent(spec: ContainerSpec, cell: CellPlan, role: str, wiring: Wiring) -> ContainerSpec:
    with_name = replace(spec, environment={**spec.environment, "REPRO_AGENT": ""})
    rows = wiring.agent_rows
    wanted = agent_expectations(requested_rows(with_name, cell, role))
    expect = {row: value for row, value in wanted.items() if rows is None or row in rows}
    if not wiring.attached:
        for row in COMPOSE_GAPS:
            expect.pop(row, None)
    settings = {
        "schema": "repro.agent/1",
        "role": role,
        "workload_cpus": cell.cpus if role == "sdk" else cell.backend_cpus,
        "agent_cpus": cell.agent_cpus,
        "sample_hz": cell.sample_hz,
        "window_seconds": cell.window_seconds,
        "journal": JOURNAL if wiring.attached else "",
        "socket": SOCKET if wiring.socket_folder else "",
        "ready": cell.ready if role == "backend" else "",
        "ready_timeout_seconds": _READY_SECONDS,
        "release_timeout_seconds": _RELEASE_SECONDS,
        "stop_after_seconds": stop_after_seconds(cell, role),
        "expect": expect,
    }
    return replace(spec, environment={**spec.environment, "REPRO_AGENT": _json(settings)})


def grace_seconds(cell: CellPlan) -> float:
    """How late a program may end before it counts as hung."""
    return _SLOW_GRACE_SECONDS if cell.timing_gates == "record" else _GRACE_SECONDS


def stop_after_seconds(cell: CellPlan, role: str) -> float:
    """The planned end with some grace; the backend outlives the SDK, so that a late SDK is the SDK's fault."""
    sdk = cell.planned_seconds + grace_seconds(cell)
    return sdk if role == "sdk" else sdk + _READY_SECONDS + _GRACE_SECONDS


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"))
