"""What the host's look at a launch costs at each window's end: ledger, second witness, read-back of both containers.

Beside a script on psutil alone that gathers as much of the same as psutil can: CPU times of each CPU, swap, and of each
process of both containers CPU time, memory, threads and affinity. It knows no cgroups, pressure, interrupts or
constraints. A launch runs meanwhile (SDK on CPU 0 at its default rate, all else on CPU 1); each look is taken once a
round, some time after the last one, so that no cache is warmer than in a launch. Counted is the CPU time of the thread
that looks.

    python bench/ledger.py [--rounds 25]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import psutil
from common import Goal, Report, environment, finish, interleave, quantile
from containers import cell_and_images, pair

from toolkit.collect.server import Collector
from toolkit.engine.docker import DockerEngine, connect
from toolkit.engine.port import LABEL_RUN
from toolkit.launch.containers import Wiring
from toolkit.launch.folder import AttemptFolder
from toolkit.launch.pair import Pair
from toolkit.launch.watch import Watch
from toolkit.lease import lease
from toolkit.owner import current_owner

GOAL_SHARE = 0.001
WINDOW_SECONDS = 10.0
_APART_SECONDS = 0.3
_LIMIT_SECONDS = 30.0
WHOLE = "whole window"
LOOKS = 5


@contextmanager
def launched(engine: DockerEngine, seconds: float) -> Iterator[tuple[Watch, list[int]]]:
    """A launch that is being measured for so long: what watches it, and the host's numbers of both first processes."""
    cell, images = cell_and_images(engine)
    version = engine.facts().cgroup_version
    cell = replace(cell, warmup_seconds=1.0, duration_seconds=seconds, timing_gates="record")
    labels = {LABEL_RUN: "bench", **current_owner().labels()}
    with tempfile.TemporaryDirectory() as name, Collector() as collector, Pair(engine, labels) as both:
        folder = AttemptFolder(Path(name) / "attempt")
        folder.prepare()
        sdk_spec, _backend = pair(cell, images, Wiring(str(folder.sdk_journal), str(collector.folder)))
        _sdk, backend_spec = pair(cell, images, Wiring(str(folder.backend_journal), str(collector.folder)))
        backend = both.create("backend", backend_spec, {})
        sdk = both.create("sdk", sdk_spec, {}, network=f"container:{backend.id}")
        watch = Watch(engine, cell, version)
        watch.attach({"backend": backend.id, "sdk": sdk.id})
        backend.start(lambda _code: None)
        if not collector.wait(lambda states: states["backend"].ready, _LIMIT_SECONDS):
            raise SystemExit("the backend is not ready")
        watch.observe("backend", "start")
        sdk.start(lambda _code: None)
        if not collector.wait(lambda states: "measure" in states["sdk"].phases, _LIMIT_SECONDS):
            raise SystemExit("the SDK does not come to its measurement")
        watch.observe("sdk", "start")
        yield watch, [engine.state(member.id).pid for member in (sdk, backend)]
        collector.release("sdk")
        collector.release("backend")


def psutil_look(pids: list[int]) -> None:
    """The peer."""
    psutil.cpu_times(percpu=True)
    psutil.swap_memory()
    psutil.cpu_stats()
    for pid in pids:
        agent = psutil.Process(pid)
        for process in (agent, *agent.children(recursive=True)):
            with process.oneshot():
                process.cpu_times(), process.memory_info(), process.num_threads(), process.num_ctx_switches()
                process.cpu_affinity(), process.status()
            for thread in process.threads():
                psutil.Process(thread.id).cpu_affinity()


def costs(watch: Watch, pids: list[int], rounds: int, seed: int) -> dict[str, list[float]]:
    """CPU seconds of each look, a value a round."""
    if watch.sampler is None:
        raise SystemExit("there is no ledger of this launch")
    ledger = watch.sampler

    def both() -> None:
        watch.observe("sdk", "bench")
        watch.observe("backend", "bench")

    looks: dict[str, Callable[[], object]] = {
        "ledger": lambda: ledger.snapshot("bench"),
        "ledger and second witness": lambda: watch.snapshot("bench", observe=False),
        "read-back, engine and host": both,
        WHOLE: lambda: watch.snapshot("bench"),
        "psutil script": lambda: psutil_look(pids),
    }
    return interleave(
        {name: lambda look=look: timed(look) for name, look in looks.items()},  # type: ignore[misc]
        rounds=rounds, seed=seed, warm=2,
    )  # fmt: skip


def timed(look: Callable[[], object]) -> float:
    """CPU seconds of this thread."""
    time.sleep(_APART_SECONDS)
    began = time.thread_time()
    look()
    return time.thread_time() - began


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="What the host's look at a launch costs.")
    parser.add_argument("--rounds", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    engine, before = connect(), environment()
    seconds = (options.rounds + 2) * LOOKS * (_APART_SECONDS + 0.2) + 10
    with lease("0", engine, wait_seconds=600), launched(engine, seconds) as (watch, pids):
        samples = costs(watch, pids, options.rounds, options.seed)
    middles = {name: quantile(values, 0.5) for name, values in samples.items()}
    share = middles[WHOLE] / WINDOW_SECONDS
    share_of_peer = middles[WHOLE] / middles["psutil script"]
    report = Report(
        name="ledger",
        title="The host's look at a launch, once a window",
        command=f"python bench/ledger.py --rounds {options.rounds}",
        columns=["look", "p50 ms CPU", "p95 ms CPU", "% of a core, one in 10 s"],
        rows=[
            [
                name,
                f"{middles[name] * 1000:.2f}",
                f"{quantile(values, 0.95) * 1000:.2f}",
                f"{middles[name] / WINDOW_SECONDS:.3%}".rstrip("%"),
            ]
            for name, values in samples.items()
        ],
        goals=[Goal("whole window", "at most 0.1 % of a core", f"{share:.3%}", share <= GOAL_SHARE)],
        notes=[
            f"{options.rounds} rounds, {_APART_SECONDS:g} s apart; CPU time of the thread that looks.",
            "The engine's own time for two inspects is not in it.",
            "The limit is ours: the agent's own at 1 Hz, since the design names none for the host's look.",
            "The psutil script knows neither cgroups nor pressure, interrupts or constraints: it gathers less.",
            f"Machines and hours differ: the look costs {share_of_peer:.2f} times the psutil script.",
        ],
        samples={f"{name} cpu_seconds": [round(value, 6) for value in values] for name, values in samples.items()},
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
