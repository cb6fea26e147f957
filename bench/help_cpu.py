"""CPU time of ``repro --help`` against ``python -c pass``, interleaved; and what it imports.

python bench/help_cpu.py [--rounds 30]
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys

from common import ROOT, Goal, Report, environment, finish, interleave, milliseconds, paired_difference, quantile
from common import signed_milliseconds as signed

GOAL_SECONDS = 0.150
HEAVY = ("docker", "grpc", "httpx", "numpy")
_IMPORTED = """
import runpy, sys
sys.argv = ["repro", "--help"]
try:
    runpy.run_module("toolkit", run_name="__main__")
except SystemExit:
    pass
print("\\n" + " ".join(name for name in %r if name in sys.modules))
"""


def cpu_seconds(command: list[str]) -> float:
    """User and system time of one run of the command (wait4(2))."""
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    child = subprocess.Popen(command, cwd=ROOT, **quiet)  # type: ignore[call-overload]
    _pid, status, usage = os.wait4(child.pid, 0)
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise SystemExit(f"{command} ended with {child.returncode}")
    return float(usage.ru_utime + usage.ru_stime)


def heavy_imports() -> list[str]:
    """Which of the libraries that must not be loaded were."""
    done = subprocess.run(
        [sys.executable, "-c", _IMPORTED % (HEAVY,)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return done.stdout.rsplit("\n", 2)[-2].split()


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="CPU time of repro --help.")
    parser.add_argument("--rounds", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    before = environment()
    ours, bare = [sys.executable, "-m", "toolkit", "--help"], [sys.executable, "-c", "pass"]
    samples = interleave(
        {"repro --help": lambda: cpu_seconds(ours), "python -c pass": lambda: cpu_seconds(bare)},
        rounds=options.rounds,
        seed=options.seed,
    )
    found, peer, loaded = samples["repro --help"], samples["python -c pass"], heavy_imports()
    shown = {"repro --help": signed(paired_difference(found, peer)), "python -c pass": ""}
    middle = quantile(found, 0.5)
    report = Report(
        name="help_cpu",
        title="CPU time of repro --help",
        command=f"python bench/help_cpu.py --rounds {options.rounds}",
        columns=["command", "p50 ms CPU", "p95 ms CPU", "paired difference ms (95 % interval)"],
        rows=[
            [arm, milliseconds(quantile(values, 0.5)), milliseconds(quantile(values, 0.95)), shown[arm]]
            for arm, values in samples.items()
        ],
        goals=[
            Goal("repro --help", "at most 150 ms CPU", f"{middle * 1000:.0f} ms", middle <= GOAL_SECONDS),
            Goal("heavy libraries loaded", "none", ", ".join(loaded) or "none", not loaded),
        ],
        notes=[f"{options.rounds} rounds; user + system time of the child, from wait4."],
        samples={arm: [round(value, 6) for value in values] for arm, values in samples.items()},
    )
    return finish(report, before)


if __name__ == "__main__":
    sys.exit(main())
