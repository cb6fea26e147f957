"""Wall time of ``repro doctor``, beside ``docker info`` and ``python -c pass``: what any such command must wait for.

python bench/doctor.py [--rounds 20]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time

from common import ROOT, Goal, Report, environment, finish, interleave, quantile

GOAL_SECONDS = 2.0
_FITNESS_CODES = (0, 3, 4)
"""Fit, not fit, no engine: each is a whole answer."""


def doctor() -> float:
    """Seconds of one run that gave its answer. SystemExit when it gave none."""
    command = [sys.executable, "-m", "toolkit", "doctor", "--json"]
    began = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False
    )
    passed = time.monotonic() - began
    if done.returncode not in _FITNESS_CODES or not json.loads(done.stdout)["checks"]:
        raise SystemExit(f"repro doctor ended with {done.returncode}: {done.stderr[-2000:]}")
    return passed


def other(command: list[str]) -> float:
    """Seconds of one run of another command."""
    began = time.monotonic()
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.monotonic() - began


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Wall time of repro doctor.")
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    before = environment()
    arms = {
        "repro doctor": doctor,
        "docker info": lambda: other(["docker", "info"]),
        "python -c pass": lambda: other([sys.executable, "-c", "pass"]),
    }
    samples = interleave(arms, rounds=options.rounds, seed=options.seed)
    both = {arm: (quantile(values, 0.5), quantile(values, 0.95)) for arm, values in samples.items()}
    p50, p95 = both["repro doctor"]
    report = Report(
        name="doctor",
        title="Wall time of repro doctor",
        command=f"python bench/doctor.py --rounds {options.rounds}",
        columns=["command", "n", "p50 s", "p95 s"],
        rows=[[arm, options.rounds, f"{middle:.2f}", f"{high:.2f}"] for arm, (middle, high) in both.items()],
        goals=[
            Goal("repro doctor, p50", "under 2 s", f"{p50:.2f} s", p50 < GOAL_SECONDS),
            Goal("repro doctor, p95", "under 2 s", f"{p95:.2f} s", p95 < GOAL_SECONDS),
        ],
        notes=[
            f"{options.rounds} rounds; the whole process with --json. It watches the CPUs' load for a moment.",
        ],
        samples={f"{arm}_seconds": [round(value, 4) for value in values] for arm, values in samples.items()},
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
