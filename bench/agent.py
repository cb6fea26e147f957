"""What the agent costs, beside a Python agent on psutil and grpcio that speaks the same ``agent.proto``.

Both are the first process of a hardened container with a launch's flags, pinned to the same CPU, over the same idle
program (the stub backend), with the same collector; one after the other, at 1 Hz and 10 Hz, in random order. The host
reads each agent's CPU clock (clock_getcpuclockid(3), nanoseconds, all threads) at the first window's start and at the
last one's end, and its resident set.

The Python agent's interpreter and packages are bound in from this host, which must have the glibc of the base image.

    python bench/agent.py [--seconds 60] [--rounds 1]
"""

from __future__ import annotations

import argparse
import os
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from common import ROOT, Goal, Report, environment, finish, interleave, quantile
from containers import cell_and_images, pair

from toolkit.collect.server import Collector
from toolkit.engine.docker import DockerEngine, connect
from toolkit.engine.port import LABEL_RUN
from toolkit.launch.containers import Wiring
from toolkit.model.container import ContainerSpec, Mount
from toolkit.owner import current_owner
from toolkit.proto.agent_pb2 import Chunk, Hello, Phase, Record

MIB = 1024 * 1024
RATES = (1.0, 10.0)
AGENTS = ("go", "python")
GOALS = {1.0: 0.001, 10.0: 0.003}
GOAL_RSS_BYTES = 15 * MIB
_START_SECONDS = 30.0
_SETTLE_SECONDS = 2.0
_WINDOW_SECONDS = 10.0


@dataclass(frozen=True)
class Cost:
    """One agent over one series of windows."""

    cpu_share: float
    rss_bytes: int
    rss_peak_bytes: int


class Bench:
    """Runs one agent at one rate."""

    def __init__(self, engine: DockerEngine, seconds: float) -> None:
        self._engine = engine
        self._cell, self._images = cell_and_images(engine)
        self._seconds = seconds
        self.costs: dict[tuple[str, float], list[Cost]] = {}

    def run(self, agent: str, rate_hz: float) -> float:
        """Measure once; returns the CPU share and keeps the rest."""
        cell = replace(self._cell, sample_hz=rate_hz, duration_seconds=self._seconds + 2 * _START_SECONDS)
        with tempfile.TemporaryDirectory() as name, Collector(roles=("sdk", "backend")) as collector:
            folder = Path(name)
            folder.chmod(0o711)
            journal, resolver = folder / "journal.pb", folder / "resolv.conf"
            resolver.touch()
            journal.touch()
            journal.chmod(0o666)
            wiring = Wiring(str(journal), str(collector.folder), str(resolver))
            _sdk, spec = pair(cell, self._images, wiring)
            if agent == "python":
                spec = as_python(spec)
            container, _warnings = self._engine.create(
                replace(spec, labels={LABEL_RUN: "bench", **current_owner().labels()})
            )
            try:
                self._engine.start(container)
                cost = self._watch(container, collector)
            except BaseException:
                print(self._engine.logs(container, stderr=True, limit_bytes=4000).decode(), file=sys.stderr)
                raise
            finally:
                self._engine.stop(container, 2)
                self._engine.remove(container)
        self.costs.setdefault((agent, rate_hz), []).append(cost)
        return cost.cpu_share

    def _watch(self, container: str, collector: Collector) -> Cost:
        pid = self._engine.state(container).pid
        if not collector.wait(lambda states: states["backend"].records > 2, _START_SECONDS):
            raise SystemExit("the agent said nothing")
        time.sleep(_SETTLE_SECONDS)
        with leader(collector) as announce:
            t0 = time.monotonic_ns()
            announce(t0)
            began, cpu = time.monotonic(), process_cpu_seconds(pid)
            # Half a second more: the last window's send belongs to what a window costs.
            time.sleep(self._seconds + 0.5)
            used, passed = process_cpu_seconds(pid) - cpu, time.monotonic() - began
            status = memory(pid)
            windows = int(self._seconds // _WINDOW_SECONDS)
            if not collector.wait(lambda states: states["backend"].windows >= windows, 2):
                raise SystemExit(f"the agent told of {collector.state('backend').windows} windows, not {windows}")
        return Cost(used / passed, status["VmRSS"], status["VmHWM"])


@contextmanager
def leader(collector: Collector) -> Iterator[Any]:
    """An SDK container's stream in miniature: it announces t0, which the collector hands to the agent we measure."""
    import queue

    import grpc

    from toolkit.proto.agent_pb2_grpc import CollectorStub

    outbox: queue.SimpleQueue[Chunk | None] = queue.SimpleQueue()

    def announce(t0_ns: int) -> None:
        phase = Phase(name="measure", program_monotonic_ns=t0_ns)
        outbox.put(Chunk(records=[Record(sequence=1, hello=Hello(role="sdk")), Record(sequence=2, phase=phase)]))

    with grpc.insecure_channel(f"unix:{collector.socket}") as channel:
        call = CollectorStub(channel).Attach(iter(outbox.get, None))
        try:
            yield announce
        finally:
            outbox.put(None)
            collector.release("sdk")
            collector.release("backend")
            for _directive in call:
                pass


def as_python(spec: ContainerSpec) -> ContainerSpec:
    """The same container with the Python agent as its first process."""
    home, version = Path(sys.base_prefix), f"python{sys.version_info.major}.{sys.version_info.minor}"
    multiarch = sysconfig.get_config_var("MULTIARCH") or "x86_64-linux-gnu"
    mounts = (
        *spec.mounts,
        Mount(str(home), "/host/python"),
        Mount(sysconfig.get_path("purelib"), "/host/site"),
        Mount(f"/usr/lib/{multiarch}", "/host/lib"),
        Mount(str(ROOT / "toolkit"), "/host/ours/toolkit"),
        Mount(str(ROOT / "bench" / "python_agent" / "agent.py"), "/host/agent.py"),
    )
    own = {
        "PYTHONHOME": "/host/python",
        "PYTHONPATH": "/host/ours:/host/site",
        "LD_LIBRARY_PATH": "/host/python/lib:/host/lib",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return replace(
        spec,
        mounts=mounts,
        environment={**spec.environment, **own},
        entrypoint=(f"/host/python/bin/{version}", "/host/agent.py"),
    )


def process_cpu_seconds(pid: int) -> float:
    """CPU seconds of all threads of a process, with nanosecond grain (clock id as of clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def memory(pid: int) -> dict[str, int]:
    """Resident set now and at its peak, in bytes (proc(5), status)."""
    rows = dict(line.split(":", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines() if ":" in line)
    return {key: int(rows[key].split()[0]) * 1024 for key in ("VmRSS", "VmHWM")}


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="What the agent costs.")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if os.geteuid() != 0:
        raise SystemExit("reading another user's CPU clock wants root")
    before = environment()
    bench = Bench(connect(), options.seconds)
    arms = {f"{agent} {rate:g} Hz": (agent, rate) for agent in AGENTS for rate in RATES}
    samples = interleave(
        {name: lambda arm=arm: bench.run(*arm) for name, arm in arms.items()},  # type: ignore[misc]
        rounds=options.rounds,
        seed=options.seed,
        warm=0,
    )
    rows, goals = [], []
    for name, arm in arms.items():
        costs = bench.costs[arm]
        share = quantile(samples[name], 0.5)
        rss, peak = max(cost.rss_bytes for cost in costs), max(cost.rss_peak_bytes for cost in costs)
        rows.append([arm[0], f"{arm[1]:g}", f"{share * 100:.3f}", f"{rss / MIB:.1f}", f"{peak / MIB:.1f}"])
        if arm[0] == "go":
            limit = GOALS[arm[1]]
            goals.append(
                Goal(f"agent at {arm[1]:g} Hz", f"at most {limit:.1%} of a core", f"{share:.3%}", share <= limit)
            )
            goals.append(Goal(f"RSS at {arm[1]:g} Hz", "at most 15 MiB", f"{rss / MIB:.1f} MiB", rss <= GOAL_RSS_BYTES))
    report = Report(
        name="agent",
        title="CPU and memory of the agent",
        command=f"python bench/agent.py --seconds {options.seconds:g} --rounds {options.rounds}",
        columns=["agent", "samples a second", "% of a core (median)", "RSS MiB (largest)", "peak RSS MiB"],
        rows=rows,
        goals=goals,
        notes=[
            f"{options.rounds} x {options.seconds:g} s each, after {_SETTLE_SECONDS:g} s; one send per 10 s window.",
            "The Go agent also re-reads every constraint once a window; the Python one does not.",
            (
                "A third of the Python agent's time at 1 Hz is its own, the rest grpcio's threads: "
                "they wake some thirty times a second while a stream is open (/proc/PID/task/*/schedstat)."
            ),
        ],
        samples={f"{name} cpu share": [round(value, 7) for value in values] for name, values in samples.items()},
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
