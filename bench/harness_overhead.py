"""What the harness costs around an SDK: the null SDK's client in the harness, beside the same client in a bare loop.

Both arms send the same requests, one after the other, by the same client code (images/sdks/net-http/openai) to the same
process of the unpaced stub. The peer (bench/bare_client) reads the clock before and after each request and does nothing
else. The harness (drive closed, concurrency 1) also reads each frame's stamp, judges every answer, records it, and
writes its records. Plain processes on this host, no containers: what is compared is a program's own work. Client on
CPU 0, stub on CPU 1.

    python bench/harness_overhead.py [--rounds 20] [--seconds 3]
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from common import ROOT, Goal, Report, environment, finish, interleave, paired_ratio, quantile, signed_percent
from gobuild import compile_go, locked_go, unpack

from toolkit.build import targets
from toolkit.catalogue import load_catalogue

GOAL_SHARE = 0.02
CLIENT_CPU, STUB_CPU = "0", "1"
WORKLOADS = {"chat-stream-128": ("chat-stream", 128, 32), "embed-512": ("embed", 512, 512)}
"""id: kind, tokens, words of the input."""

_DIMENSIONS = 768
_WARMUP_SECONDS = 1.0
_DRAIN_SECONDS = 0.2
_READY_SECONDS = 10.0
_MASK = 2**64 - 1


@dataclass(frozen=True)
class Programs:
    """What was compiled."""

    stub: Path
    bare: Path
    harness: Path


@dataclass
class Timed:
    """One arm's periods: wall seconds per request, one value a round, the uncounted ones first."""

    periods: list[float] = field(default_factory=list)

    def keep(self, times_ns: list[int], elapsed_ns: int) -> float:
        """The median request in seconds."""
        self.periods.append(elapsed_ns / len(times_ns) / 1e9)
        return quantile([float(value) for value in times_ns], 0.5) / 1e9


def build(folder: Path) -> Programs:
    """All three, with the sealed build's flags."""
    go, catalogue = locked_go(), load_catalogue()
    stub = catalogue.backend("stub")
    workload = unpack(targets.sdk_target(catalogue.null_sdk()), folder / "net-http")
    return Programs(
        compile_go(go, stub.folder, folder / "stub", ["build"]),
        compile_go(go, ROOT / "bench" / "bare_client", folder / "bare", ["build"]),
        compile_go(go, workload, folder / "workload", ["test", "-c"]),
    )


def phrase(words: int) -> str:
    """The harness's input (images/harness/input.go): words of two syllables from one fixed sequence."""
    state, found = 512, []
    for _word in range(words):
        word = ""
        for _syllable in range(2):
            state = (state + 0x9E3779B97F4A7C15) & _MASK
            drawn = state
            drawn = ((drawn ^ drawn >> 30) * 0xBF58476D1CE4E5B9) & _MASK
            drawn = ((drawn ^ drawn >> 27) * 0x94D049BB133111EB) & _MASK
            drawn ^= drawn >> 31
            word += "bdfgklmnprstvz"[drawn % 14] + "aeiou"[(drawn >> 32) % 5]
        found.append(word)
    return " ".join(found)


@contextmanager
def running_stub(program: Path) -> Iterator[str]:
    """The stub, unpaced, on its CPU; its address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = {"schema": "repro.backend/1", "listen": f"127.0.0.1:{port}", "pacing": "unpaced"}
    command = ["taskset", "-c", STUB_CPU, str(program)]
    with subprocess.Popen(command, env={"REPRO_BACKEND": json.dumps(config), "GOMAXPROCS": "1"}) as process:
        try:
            address = f"http://127.0.0.1:{port}"
            wait_for(f"{address}/healthz", process)
            yield address
        finally:
            process.terminate()


def wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    """Until it answers."""
    deadline = time.monotonic() + _READY_SECONDS
    while True:
        try:
            urllib.request.urlopen(url, timeout=1).close()  # noqa: S310 (ours, on loopback)
            return
        except OSError as problem:
            if process.poll() is not None or time.monotonic() > deadline:
                raise SystemExit(f"the stub does not answer: {problem}") from problem
            time.sleep(0.02)


def last_request(address: str) -> dict[str, Any]:
    """What the stub saw last: both arms must have asked for the same."""
    with urllib.request.urlopen(f"{address}/stub/stats", timeout=5) as answer:  # noqa: S310 (ours, on loopback)
        found: dict[str, Any] = json.load(answer)["last"]
    return found


def run_bare(program: Path, address: str, workload: str, seconds: float, kept: Timed) -> float:
    """The peer: a loop around the client."""
    kind, tokens, words = WORKLOADS[workload]
    command = ["taskset", "-c", CLIENT_CPU, str(program), "-base", f"{address}/v1", "-kind", kind]
    command += ["-tokens", str(tokens), "-dimensions", str(_DIMENSIONS)]
    command += ["-warmup", f"{_WARMUP_SECONDS}s", "-duration", f"{seconds}s"]
    done = subprocess.run(
        command, input=phrase(words).encode(), stdout=subprocess.PIPE, env={"GOMAXPROCS": "1"}, check=True
    )
    said = json.loads(done.stdout)
    return kept.keep(said["times_ns"], said["elapsed_ns"])


def run_harness(program: Path, address: str, workload: str, seconds: float, kept: Timed) -> float:
    """Ours: the program that a launch starts."""
    kind, tokens, _words = WORKLOADS[workload]
    asked = {
        "schema": "repro.workload/1", "workload": workload, "kind": kind, "drive": "closed", "concurrency": 1,
        "arrival": "constant", "rate_hz": 1.0, "seed": 1, "base_url": f"{address}/v1", "model": "stub",
        "warmup_seconds": _WARMUP_SECONDS, "duration_seconds": seconds, "drain_seconds": _DRAIN_SECONDS,
        "tokens": tokens, "dimensions": _DIMENSIONS,
    }  # fmt: skip
    with tempfile.TemporaryFile() as records:
        descriptor = records.fileno()
        env = {"GOMAXPROCS": "1", "REPRO_WORKLOAD": json.dumps(asked), "REPRO_FD": str(descriptor)}
        command = ["taskset", "-c", CLIENT_CPU, str(program)]
        subprocess.run(command, env=env, pass_fds=[descriptor], stdout=subprocess.DEVNULL, check=True)
        records.seek(0)
        times, elapsed = measured_rows([json.loads(line) for line in records])
    return kept.keep(times, elapsed)


def measured_rows(lines: list[dict[str, Any]]) -> tuple[list[int], int]:
    """In ns: how long each request between the phases measure and drain took, and all of them together."""
    base = next(line["ns"] for line in lines if line["k"] == "base")
    phases = {line["name"]: line["ns"] - base for line in lines if line["k"] == "phase"}
    rows = [row for line in lines if line["k"] == "req" for row in line["rows"]]
    if wrong := [row for row in rows if row[5] != 0]:
        raise SystemExit(f"{len(wrong)} requests of the harness failed")
    mine = [row for row in rows if phases["measure"] <= row[1] < phases["drain"]]
    return [row[4] - row[2] for row in mine], max(row[4] for row in mine) - min(row[2] for row in mine)


def compare(programs: Programs, address: str, workload: str, options: argparse.Namespace) -> dict[str, list[float]]:
    """Both arms' medians and periods by round, in seconds."""
    ours, peer = Timed(), Timed()
    run_harness(programs.harness, address, workload, 0.2, Timed())
    asked = last_request(address)
    run_bare(programs.bare, address, workload, 0.2, Timed())
    if last_request(address) != asked:
        raise SystemExit(f"the arms send different requests: {asked} and {last_request(address)}")
    samples = interleave(
        {
            "harness": functools.partial(run_harness, programs.harness, address, workload, options.seconds, ours),
            "bare": functools.partial(run_bare, programs.bare, address, workload, options.seconds, peer),
        },
        rounds=options.rounds,
        seed=options.seed,
    )
    skip = len(ours.periods) - options.rounds
    return {**samples, "harness period": ours.periods[skip:], "bare period": peer.periods[skip:]}


def table_rows(workload: str, arms: dict[str, list[float]]) -> list[list[str]]:
    """A row for the median request, one for the wall time that each takes."""
    rows = []
    for what, suffix in (("a request", ""), ("wall per request", " period")):
        bare, ours = arms[f"bare{suffix}"], arms[f"harness{suffix}"]
        middles = [f"{quantile(values, 0.5) * 1e6:.1f}" for values in (bare, ours)]
        rows.append([f"{workload}: {what}", *middles, signed_percent(paired_ratio(ours, bare))])
    return rows


def goal(workload: str, arms: dict[str, list[float]]) -> Goal:
    """At most 2 % of p50."""
    ratio = paired_ratio(arms["harness"], arms["bare"])
    met = ratio[0] - 1 <= GOAL_SHARE
    return Goal(f"{workload}, p50 over the bare loop", "at most +2 %", f"{signed_percent(ratio)} %", met)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="The harness around the null SDK's client, beside a bare loop.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3.0, help="measured per arm and round")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if not {int(CLIENT_CPU), int(STUB_CPU)} <= os.sched_getaffinity(0):
        parser.error(f"this needs CPUs {CLIENT_CPU} and {STUB_CPU}: one for the client, one for the stub")
    before = environment()
    found: dict[str, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory(prefix="sealbench-harness-") as name:
        programs = build(Path(name))
        with running_stub(programs.stub) as address:
            for workload in WORKLOADS:
                found[workload] = compare(programs, address, workload, options)
    report = Report(
        name="harness_overhead",
        title="The harness around an SDK",
        command=f"python bench/harness_overhead.py --rounds {options.rounds} --seconds {options.seconds:g}",
        columns=["what", "bare loop us", "harness us", "harness over bare %"],
        rows=[row for workload, arms in found.items() for row in table_rows(workload, arms)],
        goals=[goal(workload, arms) for workload, arms in found.items()],
        notes=[
            "The null SDK's client in both arms, the same requests (the stub's account is compared), one at a time.",
            "One process of the unpaced stub for all; no containers: client on CPU 0, stub on CPU 1, GOMAXPROCS=1.",
            f"A request: the median of the requests of {options.seconds:g} s, then over {options.rounds} rounds.",
            "Wall per request also holds what the harness does between two requests, and its writing of records.",
        ],
        samples={
            f"{workload} {arm}_seconds": [round(value, 10) for value in values]
            for workload, arms in found.items()
            for arm, values in arms.items()
        },
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
