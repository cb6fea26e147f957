"""What every bench shares: arms in random interleaved order, medians, environment facts, one JSON and one table.

samples = interleave({"ours": ours, "peer": peer}, rounds=30, seed=1)
report = Report("name", "Title", command="python bench/name.py", columns=[...], rows=[...], goals=[...], notes=[...])
finish(report, environment_before)
"""

from __future__ import annotations

import datetime as dt
import json
import os
import platform
import random
import shutil
import statistics
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "bench" / "results"
SCHEMA = "repro.bench/1"
Cell = str | float | int


@dataclass(frozen=True)
class Goal:
    """One line of the design's table of goals, and whether this run met it."""

    what: str
    limit: str
    found: str
    met: bool


@dataclass(frozen=True)
class Report:
    """One bench's answer. ``samples`` are the raw values by arm, in the unit of their key."""

    name: str
    title: str
    command: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    goals: Sequence[Goal]
    notes: Sequence[str] = ()
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)


def interleave(
    arms: Mapping[str, Callable[[], float]], *, rounds: int, seed: int, warm: int = 1
) -> dict[str, list[float]]:
    """Run every arm once a round, in an order drawn anew each round, so that drift of the machine meets all alike.

    The first ``warm`` rounds are not counted. Round k of each arm is a pair for ``paired_difference``.
    """
    order = random.Random(seed)
    samples: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(warm + rounds):
        names = list(arms)
        order.shuffle(names)
        for name in names:
            value = arms[name]()
            if number >= warm:
                samples[name].append(value)
        progress(f"round {number + 1} of {warm + rounds}")
    return samples


def quantile(values: Sequence[float], q: float) -> float:
    """Nearest rank, as everywhere in this product (docs/metrics.md)."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(q * 1000) * len(ordered) // 1000) - 1)]


def paired_difference(ours: Sequence[float], peer: Sequence[float], *, seed: int = 1) -> tuple[float, float, float]:
    """Median of the differences of pairs, with a 95 % percentile bootstrap interval."""
    return _median_interval([a - b for a, b in zip(ours, peer, strict=True)], seed)


def paired_ratio(ours: Sequence[float], peer: Sequence[float], *, seed: int = 1) -> tuple[float, float, float]:
    """Median of the ratios of pairs, with a 95 % percentile bootstrap interval."""
    return _median_interval([a / b for a, b in zip(ours, peer, strict=True)], seed)


def _median_interval(values: Sequence[float], seed: int) -> tuple[float, float, float]:
    draw = random.Random(seed)
    medians = sorted(statistics.median(draw.choices(values, k=len(values))) for _ in range(2000))
    return statistics.median(values), medians[50], medians[1949]


def milliseconds(seconds: float) -> str:
    """For tables."""
    return f"{seconds * 1000:.1f}"


def signed_milliseconds(found: tuple[float, float, float]) -> str:
    """A difference with its interval."""
    middle, low, high = (value * 1000 for value in found)
    return f"{middle:+.1f} ({low:+.1f} to {high:+.1f})"


def signed_percent(found: tuple[float, float, float]) -> str:
    """A ratio with its interval, as what it is over 1."""
    middle, low, high = ((value - 1) * 100 for value in found)
    return f"{middle:+.2f} ({low:+.2f} to {high:+.2f})"


def progress(text: str) -> None:
    """On a terminal only."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)


def environment() -> dict[str, Any]:
    """Where and when; nothing that names a person, a host or a path."""
    return {
        "date_utc": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d %H:%M"),
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "kernel": platform.release(),
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)),
        "memory_bytes": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        "python": platform.python_version(),
        "engine": _output(["docker", "version", "--format", "{{.Server.Version}}"]),
        "docker_cli": _output(["docker", "version", "--format", "{{.Client.Version}}"]),
        "commit": _output(["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]),
    }


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _output(command: list[str]) -> str:
    if shutil.which(command[0]) is None:
        return ""
    return subprocess.run(command, capture_output=True, text=True, check=False).stdout.strip()


def finish(report: Report, before: Mapping[str, Any]) -> int:
    """Print the table, write the JSON, say which goals were met. Returns the exit code: 1 when a goal was missed."""
    after = list(os.getloadavg())
    document = {
        "schema": SCHEMA,
        **asdict(report),
        "environment": {**before, "load_average_after": [round(value, 2) for value in after]},
    }
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{report.name}.json").write_text(json.dumps(document, indent=1) + "\n")
    progress("")
    print(f"{report.title}\n")
    print(table(report.columns, report.rows))
    for goal in report.goals:
        print(f"{'met   ' if goal.met else 'MISSED'} {goal.what}: {goal.found} (goal {goal.limit})")
    return 0 if all(goal.met for goal in report.goals) else 1


def table(columns: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A Markdown table."""
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(str(value) for value in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"
