"""The engine part of a launch, from the first create to the last removal, against bare ``docker run --rm``.

Both routes run the very same containers: a launch's two (backend first, SDK in its network namespace), with every flag,
the agent as first process, and an empty program in place of the harness. One more series has a single container whose
first process is the empty program itself. Nothing of either route is warmed up for the other: order is drawn per round.

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

from toolkit.engine.docker import DockerEngine, connect
from toolkit.engine.port import LABEL_RUN
from toolkit.launch.containers import Wiring
from toolkit.launch.pair import Pair
from toolkit.model.container import ContainerSpec

GOAL_SECONDS = 0.030
LABELS = {LABEL_RUN: "bench"}
_LIMIT_SECONDS = 60


class Routes:
    """Every arm: a function that does the work once and returns its seconds."""

    def __init__(self, engine: DockerEngine, sdk: ContainerSpec, backend: ContainerSpec, folder: Path) -> None:
        self._engine = engine
        self._version = engine.facts().cgroup_version
        self._sdk, self._backend = replace(sdk, labels=LABELS), replace(backend, labels=LABELS)
        self._single = replace(self._sdk, entrypoint=(EMPTY_PROGRAM[0],), command=EMPTY_PROGRAM[1:])
        self._folder = folder

    def launch_pair(self) -> float:
        """Our route, as ``toolkit.launch.attempt`` goes it: create both, start both, stop the backend, remove both."""
        began = time.monotonic()
        with Pair(self._engine, LABELS) as both:
            backend = both.create("backend", self._backend, {})
            sdk = both.create("sdk", self._sdk, {}, network=f"container:{backend.id}")
            done = threading.Event()
            backend.start(lambda _code: None)
            sdk.start(lambda _code: done.set())
            done.wait(_LIMIT_SECONDS)
            both.stop("backend", self._backend.stop_grace_seconds)
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
        with Pair(self._engine, LABELS) as both:
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


def measure(rounds: int, seed: int) -> dict[str, list[float]]:
    """Seconds by arm."""
    engine = connect()
    cell, images = cell_and_images(engine)
    sdk, backend = pair(cell, images, Wiring(), engine.facts().cgroup_version)
    with tempfile.TemporaryDirectory() as folder:
        routes = Routes(engine, with_program(sdk, EMPTY_PROGRAM), backend, Path(folder))
        arms = {
            "pair.launch": routes.launch_pair,
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
    for series, what in (("pair", "two containers of a launch"), ("single", "one container, no agent")):
        ours, peer = samples[f"{series}.launch"], samples[f"{series}.docker_run"]
        difference = paired_difference(ours, peer)
        for arm, values, shown in (("launch", ours, signed(difference)), ("docker run --rm", peer, "")):
            rows.append([what, arm, milliseconds(quantile(values, 0.5)), milliseconds(quantile(values, 0.95)), shown])
        goals.append(Goal(what, "at most +30 ms p50", f"{difference[0] * 1000:+.1f} ms", difference[0] <= GOAL_SECONDS))
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
