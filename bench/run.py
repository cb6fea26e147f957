"""All benches one after the other, then docs/performance.md: ``make bench``, some 45 minutes on a quiet machine.

    python bench/run.py [--quick] [--cold] [NAME ...]

--quick: a few rounds of each, to see that all works; its numbers mean little. --cold: with a launch from nothing.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from common import ROOT

FULL = {
    "help_cpu": ["--rounds", "30"],
    "engine_overhead": ["--rounds", "30"],
    "agent": ["--seconds", "60", "--rounds", "2"],
    "harness_overhead": ["--rounds", "20", "--seconds", "3"],
    "rebuild": ["--rounds", "10"],
    "launch_wall": ["--rounds", "5"],
    "ledger": ["--rounds", "25"],
    "measuring_effect": ["--rounds", "6"],
    "generator": ["--rounds", "4", "--seconds", "2"],
    "doctor": ["--rounds", "20"],
    "archive": ["--rounds", "7"],
}
QUICK = {
    "help_cpu": ["--rounds", "5"],
    "engine_overhead": ["--rounds", "5"],
    "agent": ["--seconds", "10", "--rounds", "1"],
    "harness_overhead": ["--rounds", "3", "--seconds", "1"],
    "rebuild": ["--rounds", "2"],
    "launch_wall": ["--rounds", "1", "--duration", "2"],
    "ledger": ["--rounds", "4"],
    "measuring_effect": ["--rounds", "1", "--seconds", "2"],
    "generator": ["--rounds", "1", "--seconds", "1"],
    "doctor": ["--rounds", "3"],
    "archive": ["--rounds", "2", "--megabytes", "30", "100"],
}


def main() -> int:
    """The command; 1 when a goal was missed or a bench failed."""
    parser = argparse.ArgumentParser(description="Run the benches.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FULL)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="few rounds: does it work?")
    parser.add_argument("--cold", action="store_true", help="also launch from an empty store and engine")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(FULL))
    if unknown:
        parser.error(f"there is no bench '{unknown[0]}'")
    here, failed = Path(__file__).parent, []
    for name, arguments in (QUICK if options.quick else FULL).items():
        if options.names and name not in options.names:
            continue
        extra = ["--cold"] if options.cold and name == "launch_wall" else []
        print(f"\n== {name}", flush=True)
        command = [sys.executable, str(here / f"{name}.py"), *arguments, *extra]
        if subprocess.run(command, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False).returncode != 0:
            failed.append(name)
    subprocess.run([sys.executable, str(here / "report.py")], check=True)
    if failed:
        print(f"failed or missed a goal: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
