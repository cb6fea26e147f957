"""A neighbour: a process of its own that works on one CPU and keeps account of what it got of it.

    python -m tests.support.neighbour CPU WAIT_SECONDS CPU_SECONDS

prints ``[monotonic_ns, cpu_ns]`` about ten times a second. It ends by itself, at the latest after ten minutes: when it
has had that much of the CPU, however long others let it wait for that.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from bisect import bisect_left
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_STEP_NS = 100_000_000
_LONGEST_NS = 600_000_000_000
Account = list[tuple[int, int]]
"""(CLOCK_MONOTONIC, CPU time so far), both in nanoseconds, in order."""


@contextmanager
def neighbour(cpu: int, *, wait_seconds: float, cpu_seconds: float, log: Path) -> Iterator[None]:
    """Start one now; it is gone when the body is left."""
    words = [sys.executable, "-m", "tests.support.neighbour", str(cpu), str(wait_seconds), str(cpu_seconds)]
    with log.open("wb") as out:
        process = subprocess.Popen(words, cwd=ROOT, stdin=subprocess.DEVNULL, stdout=out)
    try:
        yield
    finally:
        process.terminate()
        process.wait(300)


def account(log: Path) -> Account:
    """What it said of itself."""
    return [(int(at), int(cpu)) for at, cpu in map(json.loads, log.read_text().splitlines())]


def used_ns(kept: Account, start_ns: int, end_ns: int) -> float:
    """CPU time that it had between two moments, on the line between its entries; none before the first or after."""
    return _at(kept, end_ns) - _at(kept, start_ns)


def _at(kept: Account, moment_ns: int) -> float:
    place = bisect_left(kept, (moment_ns, 0))
    if place == 0 or place == len(kept):
        return float(kept[0 if place == 0 else -1][1])
    (before, low), (after, high) = kept[place - 1], kept[place]
    return low + (high - low) * (moment_ns - before) / (after - before)


def main(cpu: int, wait_seconds: float, cpu_seconds: float) -> None:
    """Wait, work, tell."""
    os.sched_setaffinity(0, {cpu})
    time.sleep(wait_seconds)
    end = time.monotonic_ns() + _LONGEST_NS
    enough = time.process_time_ns() + round(cpu_seconds * 1e9)
    due = 0
    while True:
        now, used = time.monotonic_ns(), time.process_time_ns()
        over = used >= enough or now >= end
        if now >= due or over:
            print(json.dumps([now, used]), flush=True)
            due = now + _STEP_NS
        if over:
            return


if __name__ == "__main__":
    main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3]))
