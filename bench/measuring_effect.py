"""The effect of measuring: the same launch with everything on, and with all of it off that can be.

On: an attempt as ``repro launch`` makes it: sampler at 1 Hz, each constraint read back in each window by engine, host
and agent, second witness, ledger, the stream to the collector. Off: the same containers with the same flags, whose
agents start the program and keep its records and do nothing else (no sampling but at the phases, no windows, no
stream), and nobody on the host looks. A second off arm is the same again: what differs between those two is this
machine.

The unpaced stub, drive closed, concurrency 1. CPU per request comes from the agent's own two readings of the program's
CPU time, at t0 and at the drain, in every arm; requests from the program's records.

    python bench/measuring_effect.py [--rounds 6] [--seconds 10.5]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from common import Cell, Goal, Report, environment, finish, interleave, paired_ratio, quantile, signed_percent
from containers import SDK, cell_and_images, pair

from toolkit.analyse.histogram import Histogram
from toolkit.collect.evidence import evidence_of
from toolkit.collect.journal import read_journal
from toolkit.engine.docker import DockerEngine, connect
from toolkit.engine.port import LABEL_RUN
from toolkit.errors import EngineRefused
from toolkit.launch.attempt import AttemptInputs, AttemptRunner, Hands
from toolkit.launch.containers import Wiring
from toolkit.launch.folder import AttemptFolder
from toolkit.launch.interrupts import Interrupts
from toolkit.launch.pair import Pair
from toolkit.lease import lease
from toolkit.model.container import ContainerSpec
from toolkit.model.evidence import NANOSECONDS, Evidence
from toolkit.owner import current_owner
from toolkit.render.seccomp import seccomp_profile

WORKLOAD = "embed-512"
ARMS = ("on", "off", "off again")
GOAL_SHARE = 0.01
_LIMIT_SECONDS = 120.0
_NEAR_NS = NANOSECONDS // 2


@dataclass(frozen=True)
class Found:
    """What one launch says."""

    cpu_seconds: float
    rate_hz: float
    p99_seconds: float


class Bench:
    """Makes launches of both kinds and keeps what they say, by arm."""

    def __init__(self, engine: DockerEngine, interrupts: Interrupts, seconds: float) -> None:
        self._engine, self._interrupts = engine, interrupts
        cell, self._images = cell_and_images(engine, WORKLOAD)
        self._cell = replace(
            cell, drive="closed", concurrency=1, schedule_sha256="", warmup_seconds=2.0, duration_seconds=seconds,
            drain_seconds=0.5, timing_gates="record",
        )  # fmt: skip
        self._facts = engine.facts()
        self.found: dict[str, list[Found]] = {arm: [] for arm in ARMS}

    def run(self, arm: str) -> float:
        """One launch; CPU seconds per request."""
        with tempfile.TemporaryDirectory(prefix="sealbench-effect-") as name:
            Path(name).chmod(0o711)
            folder = AttemptFolder(Path(name) / "attempt")
            (self._on if arm == "on" else self._off)(folder)
            found = figures(evidence_of(read_journal(folder.sdk_journal)))
        self.found[arm].append(found)
        return found.cpu_seconds

    def _on(self, folder: AttemptFolder) -> None:
        inputs = AttemptInputs(
            cell=self._cell, launch=1, attempt=1, run_id="bench", sdk_image=self._images.sdk.reference,
            backend_image=self._images.backend.reference if self._images.backend else None, seccomp=seccomp_profile(),
            cgroup_version=self._facts.cgroup_version, apparmor=self._facts.apparmor, owner=current_owner(),
            resolver="/dev/null",
        )  # fmt: skip
        AttemptRunner(Hands(self._engine, self._interrupts, lambda _text: None), inputs, folder).run()

    def _off(self, folder: AttemptFolder) -> None:
        folder.prepare()
        # A folder in the socket's place: the mount is there, the stream is not.
        empty = folder.path / "run"
        empty.mkdir()
        sdk, _backend = self._specs(Wiring(str(folder.sdk_journal), str(empty)))
        _sdk, backend = self._specs(Wiring(str(folder.backend_journal), str(empty)))
        labels = {LABEL_RUN: "bench", **current_owner().labels()}
        done = threading.Event()
        with Pair(self._engine, labels) as both:
            server = both.create("backend", backend, {})
            client = both.create("sdk", sdk, {}, network=f"container:{server.id}")
            server.start(lambda _code: None)
            try:
                client.start(lambda _code: done.set())
            except EngineRefused:
                print(both.logs("backend", stderr=True, limit_bytes=4000).decode(), file=sys.stderr)
                raise
            if not done.wait(_LIMIT_SECONDS):
                raise SystemExit("the launch does not end")
            both.stop("backend", backend.stop_grace_seconds)

    def _specs(self, wiring: Wiring) -> tuple[ContainerSpec, ContainerSpec]:
        sdk, backend = pair(self._cell, self._images, wiring)
        return silenced(sdk), silenced(backend)


def silenced(spec: ContainerSpec) -> ContainerSpec:
    """The same container, its agent with nothing to do but to start the program and to keep its records."""
    settings = json.loads(spec.environment["REPRO_AGENT"])
    settings |= {"sample_hz": 0, "window_seconds": 86_400, "socket": ""}
    return replace(spec, environment={**spec.environment, "REPRO_AGENT": json.dumps(settings)})


def figures(sdk: Evidence) -> Found:
    """Of the time between t0 and the drain."""
    t0, drain = sdk.mark("measure"), sdk.mark("drain")
    if t0 is None or drain is None:
        raise SystemExit("the launch did not come to its end")
    first, last = (min(sdk.samples, key=lambda one: abs(one.monotonic_ns - at)) for at in (t0, drain))
    if abs(first.monotonic_ns - t0) > _NEAR_NS or abs(last.monotonic_ns - drain) > _NEAR_NS:
        raise SystemExit("the agent did not read the CPU time at t0 and at the drain")
    used = last.cpu_user_ns + last.cpu_system_ns - first.cpu_user_ns - first.cpu_system_ns
    sent = sum(first.monotonic_ns <= one.scheduled_ns < last.monotonic_ns for one in sdk.requests)
    mine = [one for one in sdk.requests if t0 <= one.scheduled_ns < drain]
    if wrong := sum(one.outcome != 0 for one in mine):
        raise SystemExit(f"{wrong} of {len(mine)} requests failed")
    slow = Histogram.of(one.end_ns - one.sent_ns for one in mine).quantile(0.99)
    return Found(used / sent / NANOSECONDS, len(mine) * NANOSECONDS / (drain - t0), slow / NANOSECONDS)


MEASURES: dict[str, tuple[str, Callable[[Found], float], Callable[[float], str]]] = {
    "CPU per request": ("us", lambda one: one.cpu_seconds, lambda value: f"{value * 1e6:.1f}"),
    "throughput": ("/s", lambda one: one.rate_hz, lambda value: f"{value:,.0f}"),
    "P99 of a request": ("us", lambda one: one.p99_seconds, lambda value: f"{value * 1e6:.0f}"),
}


def rows_and_goals(found: dict[str, list[Found]]) -> tuple[list[list[Cell]], list[Goal]]:
    """A row for each measure; a goal for the first two."""
    rows: list[list[Cell]] = []
    goals = []
    for what, (unit, value, shown) in MEASURES.items():
        arms = {arm: [value(one) for one in found[arm]] for arm in ARMS}
        effect = paired_ratio(arms["on"], arms["off"])
        middles = [shown(quantile(arms[arm], 0.5)) for arm in ARMS]
        noise = signed_percent(paired_ratio(arms["off again"], arms["off"]))
        rows.append([f"{what}, {unit}", *middles, signed_percent(effect), noise])
        if what == "CPU per request":
            met = effect[0] - 1 <= GOAL_SHARE
            goals.append(Goal(f"{what}, on over off", "at most +1 %", f"{signed_percent(effect)} %", met))
        if what == "throughput":
            met = effect[0] - 1 >= -GOAL_SHARE
            goals.append(Goal(f"{what}, on over off", "at least -1 %", f"{signed_percent(effect)} %", met))
    return rows, goals


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="The effect of measuring.")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=float, default=10.5, help="measured; the first window ends after 10")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    engine, before = connect(), environment()
    with Interrupts().installed() as interrupts, lease("0", engine, wait_seconds=600):
        bench = Bench(engine, interrupts, options.seconds)
        interleave(
            {arm: lambda arm=arm: bench.run(arm) for arm in ARMS},  # type: ignore[misc]
            rounds=options.rounds, seed=options.seed, warm=1,
        )  # fmt: skip
    counted = {arm: values[1:] for arm, values in bench.found.items()}
    rows, goals = rows_and_goals(counted)
    report = Report(
        name="measuring_effect",
        title="The effect of measuring",
        command=f"python bench/measuring_effect.py --rounds {options.rounds} --seconds {options.seconds:g}",
        columns=["what", "on", "off", "off again", "on over off %", "off again over off %"],
        rows=rows,
        goals=goals,
        notes=[
            f"{SDK}, {WORKLOAD}, unpaced stub, drive closed, concurrency 1; SDK on CPU 0, all else on CPU 1.",
            f"{options.rounds} rounds of {options.seconds:g} s after 2 s of warm-up; one window ends in each.",
            "On: as repro launch. Off: the agents start the program and keep its records; nothing else looks.",
            "Off again is off once more: what it shows is this machine.",
            "Where the host has two CPUs the backend shares its one with the agents and the host program.",
        ],
        samples={
            f"{arm} {name}": [round(getattr(one, name), 9) for one in values]
            for arm, values in counted.items()
            for name in ("cpu_seconds", "rate_hz", "p99_seconds")
        },
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
