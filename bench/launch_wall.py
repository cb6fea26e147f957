"""Wall time of a whole ``repro launch`` beyond its warm-up and its measured seconds; with --cold also the first one.

The second launch and later ones find everything built: images in the engine, records in the store. The cold one has an
empty store and, when this user may start one, an engine of its own with nothing in it (root, dockerd on PATH).

    python bench/launch_wall.py [--rounds 5] [--duration 10] [--cold]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from common import ROOT, Goal, Report, environment, finish, progress, quantile
from containers import SDK, WORKLOAD

GOAL_WARM_SECONDS = 10.0
GOAL_COLD_SECONDS = 300.0
_WARMUP_SECONDS = 5.0
_ENGINE_SECONDS = 30


def launch(runs: Path, duration: float, extra: Mapping[str, str]) -> float:
    """Seconds of one launch from an empty shell to its end."""
    command = [sys.executable, "-m", "toolkit", "launch", "--sdk", SDK, "--workload", WORKLOAD, "--cpus", "0"]
    command += ["--duration", f"{duration:g}", "--warmup", f"{_WARMUP_SECONDS:g}", "--runs", str(runs), "--json"]
    command += ["--timing-gates", "record", "--wait", "600"]
    environment_now = {**os.environ, **extra, "PYTHONPATH": str(ROOT)}
    began = time.monotonic()
    done = subprocess.run(command, env=environment_now, capture_output=True, text=True, check=False)
    passed = time.monotonic() - began
    if done.returncode != 0:
        raise SystemExit(f"the launch ended with {done.returncode}: {done.stderr[-2000:]}{done.stdout[-2000:]}")
    if not json.loads(done.stdout)["valid"]:
        raise SystemExit("the launch is not valid")
    return passed


def lane_is_free() -> None:
    """Wait until nobody holds CPU 0, so that waiting is not measured."""
    from toolkit.engine.docker import connect
    from toolkit.lease import lease

    with lease("0", connect(), wait_seconds=600):
        pass


@contextmanager
def fresh_world() -> Iterator[tuple[dict[str, str], str]]:
    """Variables of an empty store and, where possible, an engine of its own; and what to call it."""
    with tempfile.TemporaryDirectory(prefix="sealbench-cold-") as name:
        folder = Path(name)
        store = {"REPRO_STORE": str(folder / "store")}
        if os.geteuid() != 0 or shutil.which("dockerd") is None:
            yield store, "empty store, this machine's engine"
            return
        with engine_of_its_own(folder) as host:
            yield {**store, "DOCKER_HOST": host}, "empty store, empty engine"


@contextmanager
def engine_of_its_own(folder: Path) -> Iterator[str]:
    """A second Docker engine with nothing in it; ended and removed at the end."""
    host = f"unix://{folder}/engine.sock"
    command = ["dockerd", "--host", host, "--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    command += ["--pidfile", str(folder / "engine.pid"), "--bridge", "none", "--iptables=false", "--ip-forward=false"]
    with (folder / "engine.log").open("w") as log, subprocess.Popen(command, stdout=log, stderr=log) as engine:
        try:
            deadline = time.monotonic() + _ENGINE_SECONDS
            asking = ["docker", "--host", host, "version"]
            while subprocess.run(asking, capture_output=True, check=False).returncode != 0:
                if time.monotonic() > deadline or engine.poll() is not None:
                    raise SystemExit((folder / "engine.log").read_text()[-2000:])
                time.sleep(0.2)
            yield host
        finally:
            engine.terminate()
            engine.wait(60)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Wall time of a launch.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--duration", type=float, default=10.0)
    parser.add_argument("--cold", action="store_true", help="also the first launch, with nothing built or fetched")
    options = parser.parse_args()
    before = environment()
    planned = _WARMUP_SECONDS + options.duration
    samples: dict[str, list[float]] = {"warm": []}
    with tempfile.TemporaryDirectory() as name:
        runs = Path(name)
        for number in range(options.rounds + 1):
            lane_is_free()
            passed = launch(runs, options.duration, {})
            if number > 0:  # the first one may build
                samples["warm"].append(passed)
            progress(f"launch {number + 1} of {options.rounds + 1}")
        over = [value - planned for value in samples["warm"]]
        middle = quantile(over, 0.5)
        rows = [
            [
                "second and later",
                options.rounds,
                f"{quantile(samples['warm'], 0.5):.1f}",
                f"{planned:g}",
                f"{middle:.1f}",
            ]
        ]
        goals = [Goal("second launch", "at most 10 s over", f"{middle:.1f} s", middle <= GOAL_WARM_SECONDS)]
        if options.cold:
            with fresh_world() as (extra, what):
                lane_is_free()
                cold = launch(runs, options.duration, extra)
            samples["cold"] = [cold]
            rows.append([f"first: {what}", 1, f"{cold:.1f}", f"{planned:g}", f"{cold - planned:.1f}"])
            goals.append(Goal("first launch", "at most 5 minutes", f"{cold:.0f} s", cold <= GOAL_COLD_SECONDS))
    report = Report(
        name="launch_wall",
        title="Wall time of repro launch",
        command=f"python bench/launch_wall.py --rounds {options.rounds} --duration {options.duration:g}"
        + (" --cold" if options.cold else ""),
        columns=["launch", "n", "wall s (p50)", "warm-up + measured s", "over s (p50)"],
        rows=rows,
        goals=goals,
        notes=[
            f"{SDK}, {WORKLOAD}, one launch; over: interpreter, containers, drain, read-back, analysis, sealing.",
            "The virtual environment exists; the first launch fetches all inputs, compiles, assembles and loads.",
        ],
        samples={f"{arm}_seconds": [round(value, 3) for value in values] for arm, values in samples.items()},
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
