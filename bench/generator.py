"""Our load generator beside fortio and ghz, wrk for reference: the highest rate, and how well a rate is kept.

Ours is the harness as every launch runs it: schedule or closed loop, dispatch, judging, records. Its client is as thin
as its peer's: connections written to directly (as fortio's own client), net/http (as fortio -stdclient), grpc-go (as
ghz: another protocol and another server, so it is held against ghz alone). One witness for all: the server notes
CLOCK_MONOTONIC as each request comes in. Highest rate: a closed loop, answers at once. Dispatch: the same constant rate
for all, answers after a delay that keeps two fifths of the connections busy. Plain processes on loopback, generator on
CPU 0, server on CPU 1, GOMAXPROCS=1.

    python bench/generator.py [--rounds 5] [--seconds 3] [--connections 50,500]
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from arrivals import by_connection, last_part, rate_hz, read_log, regularity
from common import (
    Goal,
    Report,
    environment,
    finish,
    interleave,
    paired_difference,
    paired_ratio,
    quantile,
    signed_percent,
)
from gobuild import compile_go, locked_go
from load_commands import END_SECONDS, LOAD, PAIRS, RATE_HZ, REFERENCE, Programs, Task, command, fortio_gap_seconds
from peers import FORTIO, GHZ, fetch_peers

CLIENT_CPU, SERVER_CPU = "0", "1"
_LIMIT_SECONDS = 60


@dataclass
class Kept:
    """Beside the value that a round returns: CPU seconds per request, the median dispatch, all rounds in order."""

    cpu: list[float] = field(default_factory=list)
    middle: list[float] = field(default_factory=list)


def build(folder: Path) -> Programs:
    """Ours compiled with the sealed build's flags; the peers fetched or found."""
    go = locked_go()
    made = {
        name: compile_go(go, LOAD / source, folder / name, ["build"])
        for name, source in (
            ("http_server", "http_server"),
            ("http_client", "http_client"),
            ("grpc_server", "grpc/server"),
            ("grpc_client", "grpc/generator"),
        )
    }
    return Programs(**made, peers=fetch_peers(go))


@contextmanager
def serving(program: Path, task: Task, log: Path) -> Iterator[int]:
    """A server of its own for every run; its port. The log is there when the body has been left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["-port", str(port), "-delay", f"{task.delay_seconds}s", "-log", str(log)]
    with subprocess.Popen(
        ["taskset", "-c", SERVER_CPU, str(program), *arguments], stdout=subprocess.PIPE, env={"GOMAXPROCS": "1"}
    ) as server:
        if server.stdout is None or server.stdout.readline() != b"listening\n":
            raise SystemExit("the server does not listen")
        try:
            yield port
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(_LIMIT_SECONDS)


def measure(programs: Programs, task: Task, kept: Kept) -> float:
    """Requests per second of a closed loop, or the P99 of the dispatch in seconds."""
    grpc = task.generator in PAIRS[-1]
    with tempfile.TemporaryDirectory(prefix="sealbench-load-") as name:
        log, records = Path(name) / "arrivals", Path(name) / "records"
        with serving(programs.grpc_server if grpc else programs.http_server, task, log) as port:
            cpu = run_generator(programs, task, port, records)
        arrivals = read_log(log.read_bytes())
        if task.generator.startswith("harness"):
            check_records(records)
    kept.cpu.append(cpu / len(arrivals))
    part = last_part([at for _, at in arrivals], task.seconds, before_end=END_SECONDS)
    if task.rate_hz is None:
        return rate_hz(part)
    threads = task.generator.startswith("fortio")
    found = by_connection(arrivals, fortio_gap_seconds(task)) if threads else regularity(part, task.rate_hz)
    kept.middle.append(found.p50)
    return found.p99


def run_generator(programs: Programs, task: Task, port: int, records: Path) -> float:
    """CPU seconds of the generator's whole process."""
    arguments, variables = command(programs, task, port)
    with records.open("wb") as taken, (records.parent / "talk").open("w+b") as talk:
        descriptor = taken.fileno()
        own = {"GOMAXPROCS": "1", "PATH": os.environ["PATH"], **variables}
        if task.generator.startswith("harness"):
            own["REPRO_FD"] = str(descriptor)
        child = subprocess.Popen(
            ["taskset", "-c", CLIENT_CPU, *arguments], env=own, pass_fds=[descriptor], stdout=talk, stderr=talk
        )
        _pid, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            talk.seek(0)
            raise SystemExit(f"{task.generator} ended with {child.returncode}: {talk.read().decode()[-2000:]}")
    return usage.ru_utime + usage.ru_stime


def check_records(records: Path) -> None:
    """Every request of ours was answered right, and none was dropped."""
    lines = [json.loads(line) for line in records.read_bytes().splitlines()]
    rows = [row for line in lines if line["k"] == "req" for row in line["rows"]]
    wrong = [row for row in rows if row[5] != 0]
    (account,) = (line for line in lines if line["k"] in ("open", "closed"))
    if wrong or account.get("dropped", 0) or account["sent"] != len(rows):
        texts = [line["text"] for line in lines if line["k"] == "error"]
        raise SystemExit(f"{len(wrong)} of {len(rows)} requests of the harness failed ({texts[:3]}), account {account}")


def tasks(programs: Programs, connections: Sequence[int], seconds: float) -> list[Task]:
    """Every generator at every number of connections, closed and open; wrk has no open loop."""
    found = []
    for count in connections:
        for name in [name for pair in PAIRS for name in pair]:
            found += [Task(name, count, rate, seconds) for rate in (None, RATE_HZ)]
        if programs.peers.wrk is not None:
            found.append(Task(REFERENCE, count, None, seconds))
    return found


def key(name: str, connections: int, what: str) -> str:
    """Of a series of values."""
    return f"{connections} connections, {name}, {what}"


def table_rows(found: dict[str, list[float]], connections: Sequence[int]) -> list[list[str]]:
    """A generator's highest rate, what it cost, and its dispatch, at each number of connections."""
    rows = []
    for count in connections:
        for name in [*(name for pair in PAIRS for name in pair), REFERENCE]:
            if key(name, count, "rate_hz") not in found:
                continue
            shown = [str(count), name, f"{quantile(found[key(name, count, 'rate_hz')], 0.5):,.0f}"]
            for what in ("cpu_seconds", "dispatch_p50_seconds", "dispatch_p99_seconds"):
                values = found.get(key(name, count, what))
                shown.append(f"{quantile(values, 0.5) * 1e6:.1f}" if values else "")
            rows.append(shown)
    return rows


def goals(found: dict[str, list[float]], connections: Sequence[int]) -> list[Goal]:
    """Not behind: the interval of the paired comparison reaches the peer's value."""
    rows = []
    for count in connections:
        for ours, peer in PAIRS:
            what = f"{count} connections, {ours} over {peer}"
            ratio = paired_ratio(found[key(ours, count, "rate_hz")], found[key(peer, count, "rate_hz")])
            rows.append(Goal(f"{what}: highest rate", "not behind", f"{signed_percent(ratio)} %", ratio[2] >= 1))
            late = (found[key(name, count, "dispatch_p99_seconds")] for name in (ours, peer))
            middle, low, high = (value * 1e6 for value in paired_difference(*late))
            text = f"{middle:+.0f} ({low:+.0f} to {high:+.0f}) us"
            rows.append(Goal(f"{what}: dispatch P99 at {RATE_HZ}/s", "not behind", text, low <= 0))
    return rows


def run_all(programs: Programs, options: argparse.Namespace, connections: Sequence[int]) -> dict[str, list[float]]:
    """Every series by key, one value a round."""
    wanted = tasks(programs, connections, options.seconds)
    kept = {task: Kept() for task in wanted}
    names = {
        task: key(task.generator, task.connections, "dispatch_p99_seconds" if task.rate_hz else "rate_hz")
        for task in wanted
    }
    found = interleave(
        {names[task]: functools.partial(measure, programs, task, kept[task]) for task in wanted},
        rounds=options.rounds, seed=options.seed, warm=0,
    )  # fmt: skip
    for task, extra in kept.items():
        if task.rate_hz is None:
            found[key(task.generator, task.connections, "cpu_seconds")] = extra.cpu
        else:
            found[key(task.generator, task.connections, "dispatch_p50_seconds")] = extra.middle
    return found


def notes(programs: Programs) -> list[str]:
    """What a reader has to know."""
    wrk = "Debian's wrk" if programs.peers.wrk else "no wrk"
    said = [
        f"fortio {FORTIO[1]}, ghz {GHZ[1]}, {wrk}; generator on CPU 0, server on CPU 1, GOMAXPROCS=1, loopback.",
        "Highest rate: a closed loop, counted by the server. CPU: the generator's whole process over all its requests.",
        f"Dispatch: arrivals at the server behind the schedule of {RATE_HZ}/s; 40 % of the connections are busy.",
        "It holds the wire and the server's wake-up, alike for all.",
        "fortio paces each connection by itself: each is held against a schedule of its own that begins at its best.",
        "Ours judges each answer and writes a record of each request; fortio and ghz keep histograms or lists.",
        "ghz is gRPC: its pair has another protocol and another server (grpc-go). wrk is C, for reference.",
        "Not behind: the 95 % interval of the paired comparison reaches the peer.",
    ]
    return said if programs.peers.wrk else [*said, f"wrk was not run: {programs.peers.without_wrk}."]


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Our load generator beside fortio, ghz and wrk.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured per generator, mode and round")
    parser.add_argument("--connections", default="50,500", help="numbers, separated by commas")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not {int(CLIENT_CPU), int(SERVER_CPU)} <= os.sched_getaffinity(0):
        parser.error(f"this needs CPUs {CLIENT_CPU} and {SERVER_CPU}: one for the generator, one for the server")
    connections = [int(number) for number in options.connections.split(",")]
    before = environment()
    with tempfile.TemporaryDirectory(prefix="sealbench-generator-") as name:
        programs = build(Path(name))
        found = run_all(programs, options, connections)
    report = Report(
        name="generator",
        title="The load generator beside its peers",
        command=f"python bench/generator.py --rounds {options.rounds} --seconds {options.seconds:g}",
        columns=["connections", "generator", "highest rate /s", "CPU us a request", "dispatch P50 us", "P99 us"],
        rows=table_rows(found, connections),
        goals=goals(found, connections),
        notes=notes(programs),
        samples={name: [round(value, 9) for value in values] for name, values in found.items()},
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
