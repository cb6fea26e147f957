"""The load generators of bench/generator.py: what each is asked to do, and the command that does it."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path

from common import ROOT
from peers import Peers

RATE_HZ = 1000
BUSY_SHARE = 0.4
PAIRS = (("harness, plain", "fortio"), ("harness, net/http", "fortio -stdclient"), ("harness, grpc-go", "ghz"))
REFERENCE = "wrk"
START_SECONDS, END_SECONDS = 0.7, 0.2
"""What is cut off at both ends of a run."""

LOAD = ROOT / "bench" / "load"


@dataclass(frozen=True)
class Programs:
    """All that is run."""

    http_server: Path
    http_client: Path
    grpc_server: Path
    grpc_client: Path
    peers: Peers


@dataclass(frozen=True)
class Task:
    """One thing to be done by one generator. ``rate_hz`` is None for a closed loop."""

    generator: str
    connections: int
    rate_hz: int | None
    seconds: float

    @property
    def total_seconds(self) -> float:
        """With what is cut off at both ends."""
        return self.seconds + START_SECONDS + END_SECONDS

    @property
    def delay_seconds(self) -> float:
        """Of the server."""
        return self.connections * BUSY_SHARE / self.rate_hz if self.rate_hz else 0.0


def command(programs: Programs, task: Task, port: int) -> tuple[list[str], dict[str, str]]:
    """Arguments and variables of the generator."""
    address, count, rate = f"127.0.0.1:{port}", str(task.connections), task.rate_hz
    peers, length = programs.peers, task.total_seconds
    match task.generator:
        case "fortio" | "fortio -stdclient":
            calls = str(fortio_calls(task) * task.connections)
            paced = ["-qps", str(rate), "-uniform", "-n", calls] if rate else ["-qps", "0"]
            kind = ["-stdclient"] if task.generator.endswith("-stdclient") else []
            timed = [] if rate else ["-t", f"{length}s"]
            return [str(peers.fortio), "load", "-quiet", *kind, "-c", count, *paced, *timed, f"http://{address}/"], {}
        case "ghz":
            paced = ["--rps", str(rate)] if rate else []
            call = ["--insecure", "--proto", str(LOAD / "grpc" / "echo" / "echo.proto"), "--call", "bench.Echo.Ask"]
            shape = ["-d", '{"value":"ask"}', "-c", count, "--connections", count, "-z", f"{length}s", "--cpus", "1"]
            return [str(peers.ghz), *call, *shape, *paced, address], {}
        case "wrk":
            return (
                [str(peers.wrk), "-t", "1", "-c", count, "-d", f"{length:.0f}s", f"http://{address}/"],
                {"LD_LIBRARY_PATH": peers.wrk_libraries},
            )
        case "harness, grpc-go":
            return [str(programs.grpc_client)], {**asked(task, address), "BENCH_CONNECTIONS": count}
    client = {"harness, plain": "plain", "harness, net/http": "net-http"}[task.generator]
    return [str(programs.http_client)], {**asked(task, f"http://{address}"), "BENCH_CLIENT": client}


def fortio_calls(task: Task) -> int:
    """How many calls each of fortio's threads makes: one thread a connection, each with a schedule of its own."""
    return math.ceil((task.rate_hz or 0) * task.total_seconds / task.connections)


def fortio_gap_seconds(task: Task) -> float:
    """Between two calls of one of fortio's threads, which stretches it by n / (n - 1) (its periodic.go)."""
    calls = fortio_calls(task)
    return task.connections / (task.rate_hz or 1) * calls / (calls - 1)


def asked(task: Task, base: str) -> dict[str, str]:
    """REPRO_WORKLOAD of our generator: a stamped chat answer of one token is what the servers give."""
    settings = {
        "schema": "repro.workload/1", "workload": "chat-stream-1", "kind": "chat-stream", "tokens": 1,
        "drive": "open" if task.rate_hz else "closed", "arrival": "constant", "rate_hz": task.rate_hz or 1, "seed": 1,
        "concurrency": task.connections, "max_in_flight": 4 * task.connections, "base_url": base, "model": "stub",
        "warmup_seconds": START_SECONDS, "duration_seconds": task.seconds, "drain_seconds": END_SECONDS,
    }  # fmt: skip
    return {"REPRO_WORKLOAD": json.dumps(settings)}
