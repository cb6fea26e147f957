"""The engine part of a launch, from the first create to the last removal, against bare ``docker run --rm``.

Both routes run the very same containers: a launch's two (backend first, SDK in its network namespace), with every flag,
the agent as first process, and an empty program in place of the harness. One more series has a single container whose
first process is the empty program itself, and one arm adds all that a launch puts around its containers: collector,
journals, waiting for the backend to be ready, the engine's and the host's read-back at the start and at the end.

    python bench/engine_overhead.py [--rounds 30]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from dataclasses import replace
from pathlib import Path

from common import Goal, Report, environment, finish, interleave, milliseconds, paired_difference, quantile
from common import signed_milliseconds as signed
from containers import EMPTY_PROGRAM, cell_and_images, pair, run_arguments, with_program

from toolkit.collect.server import Collector
from toolkit.engine.docker import DockerEngine, connect
from toolkit.engine.port import LABEL_RUN
from toolkit.launch.containers import Wiring
from toolkit.launch.folder import AttemptFolder
from toolkit.launch.pair import Pair
from toolkit.launch.watch import Watch
from toolkit.model.container import ContainerSpec
from toolkit.owner import current_owner

GOAL_SECONDS = 0.030
_LIMIT_SECONDS = 60


SERIES = (
    (
        "two containers of a launch",
        "pair.docker_run",
        {"launch": "pair.launch", "launch with collector, journals, read-back": "full.launch"},
    ),
    ("one container, no agent", "single.docker_run", {"launch": "single.launch"}),
)


class Routes:
    """Every arm: a function that does the work once and returns its seconds."""

    def __init__(self, engine: DockerEngine, folder: Path) -> None:
        self._engine = engine
        self._version = engine.facts().cgroup_version
        self._labels = {LABEL_RUN: "bench", **current_owner().labels()}
        self._cell, self._images = cell_and_images(engine)
        self._sdk, self._backend = self._specs(Wiring())
        self._single = replace(self._sdk, entrypoint=(EMPTY_PROGRAM[0],), command=EMPTY_PROGRAM[1:])
        self._folder = folder

    def _specs(self, wiring: Wiring) -> tuple[ContainerSpec, ContainerSpec]:
        sdk, backend = pair(self._cell, self._images, wiring)
        sdk = with_program(sdk, EMPTY_PROGRAM)
        return replace(sdk, labels=self._labels), replace(backend, labels=self._labels)

    def launch_pair(self) -> float:
        """Our route, as ``toolkit.launch.attempt`` goes it: create both, start both, stop the backend, remove both."""
        began = time.monotonic()
        with Pair(self._engine, self._labels) as both:
            backend = both.create("backend", self._backend, {})
            sdk = both.create("sdk", self._sdk, {}, network=f"container:{backend.id}")
            done = threading.Event()
            backend.start(lambda _code: None)
            sdk.start(lambda _code: done.set())
            done.wait(_LIMIT_SECONDS)
            both.stop("backend", self._backend.stop_grace_seconds)
        return time.monotonic() - began

    def launch_full(self) -> float:
        """As ``launch_pair``, with everything that a launch puts around it."""
        began = time.monotonic()
        with tempfile.TemporaryDirectory() as name, Collector() as collector, Pair(self._engine, self._labels) as both:
            folder = AttemptFolder(Path(name) / "attempt")
            folder.prepare()
            sdk_spec, _backend = self._specs(Wiring(str(folder.sdk_journal), str(collector.folder)))
            _sdk, backend_spec = self._specs(Wiring(str(folder.backend_journal), str(collector.folder)))
            backend = both.create("backend", backend_spec, {})
            sdk = both.create("sdk", sdk_spec, {}, network=f"container:{backend.id}")
            watch = Watch(self._engine, self._cell, self._version)
            watch.attach({"backend": backend.id, "sdk": sdk.id})
            done = threading.Event()
            backend.start(lambda _code: None)
            collector.wait(lambda states: states["backend"].ready, _LIMIT_SECONDS)
            watch.observe("backend", "start")
            sdk.start(lambda _code: done.set())
            collector.wait(lambda states: states["sdk"].exit_code is not None, _LIMIT_SECONDS)
            watch.end()
            collector.release("sdk")
            collector.release("backend")
            done.wait(_LIMIT_SECONDS)
            both.stop("backend", backend_spec.stop_grace_seconds)
        return time.monotonic() - began

    def cli_pair(self) -> float:
        """``docker run --rm`` of the backend, then of the SDK, then a TERM to the backend, until both are removed."""
        name = f"sealbench-bench-{uuid.uuid4().hex[:12]}"
        sdk = replace(self._sdk, network=f"container:{name}")
        began = time.monotonic()
        arguments = run_arguments(self._backend, self._version, self._folder / "seccomp.json")
        command = ["docker", "run", "--rm", "--name", name, *arguments]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as backend:
            if backend.stdout is not None:
                backend.stdout.readline()  # the agent's first record: it runs
            self._run(sdk)
            subprocess.run(["docker", "kill", "--signal", "TERM", name], check=True, capture_output=True)
            backend.communicate(timeout=_LIMIT_SECONDS)
        return time.monotonic() - began

    def launch_single(self) -> float:
        """One container through our adapter."""
        began = time.monotonic()
        with Pair(self._engine, self._labels) as both:
            member = both.create("sdk", self._single, {})
            done = threading.Event()
            member.start(lambda _code: done.set())
            done.wait(_LIMIT_SECONDS)
        return time.monotonic() - began

    def cli_single(self) -> float:
        """The same container by the command."""
        began = time.monotonic()
        self._run(self._single)
        return time.monotonic() - began

    def _run(self, spec: ContainerSpec) -> None:
        arguments = run_arguments(spec, self._version, self._folder / "seccomp.json")
        done = subprocess.run(["docker", "run", "--rm", *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise SystemExit(f"docker run ended with {done.returncode}: {done.stderr or done.stdout[-2000:]}")


def both_quantiles(values: list[float]) -> list[str]:
    """Median and 95th percentile for the table."""
    return [milliseconds(quantile(values, 0.5)), milliseconds(quantile(values, 0.95))]


def measure(rounds: int, seed: int) -> dict[str, list[float]]:
    """Seconds by arm."""
    with tempfile.TemporaryDirectory() as folder:
        routes = Routes(connect(), Path(folder))
        arms = {
            "pair.launch": routes.launch_pair,
            "full.launch": routes.launch_full,
            "pair.docker_run": routes.cli_pair,
            "single.launch": routes.launch_single,
            "single.docker_run": routes.cli_single,
        }
        return interleave(arms, rounds=rounds, seed=seed, warm=2)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Engine part of a launch against docker run.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    before = environment()
    samples = measure(options.rounds, options.seed)
    rows, goals = [], []
    for what, peer_name, ours_names in SERIES:
        peer = samples[peer_name]
        rows.append([what, "docker run --rm", *both_quantiles(peer), ""])
        for route, name in ours_names.items():
            difference = paired_difference(samples[name], peer)
            found = f"{difference[0] * 1000:+.1f} ms"
            rows.append([what, route, *both_quantiles(samples[name]), signed(difference)])
            goals.append(Goal(f"{what}: {route}", "at most +30 ms p50", found, difference[0] <= GOAL_SECONDS))
    report = Report(
        name="engine_overhead",
        title="Engine part of a launch (create to removed, empty program)",
        command=f"python bench/engine_overhead.py --rounds {options.rounds}",
        columns=["containers", "route", "p50 ms", "p95 ms", "paired difference ms (95 % interval)"],
        rows=rows,
        goals=goals,
        notes=[
            f"{options.rounds} rounds, order drawn anew in each; one ContainerSpec gives request and arguments.",
            "The command's backend counts as started with its agent's first line, ours when the start returns.",
        ],
        samples={f"{arm}_seconds": [round(value, 6) for value in values] for arm, values in samples.items()},
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
