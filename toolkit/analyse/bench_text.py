"""Reads and keeps the text of ``go test -bench`` (the Go benchmark data format that ``benchstat`` reads).

>>> parse_line("BenchmarkWorkload/embed-512 \\t 100\\t 1500 ns/op\\t 64 B/op\\t 2 allocs/op").values["ns/op"]
1500.0
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from toolkit.analyse.metrics import Value
from toolkit.model.evidence import NANOSECONDS, Evidence

_NAME = re.compile(r"Benchmark(?![a-z])\S*")
_CONFIGURATION = re.compile(r"[a-z][^\sA-Z]*:(\s|$)")
_ERRORS = "errors/op"
_TIME, _BYTES, _ALLOCS = "ns/op", "B/op", "allocs/op"


@dataclass(frozen=True)
class BenchLine:
    """One result line: name as printed (with ``-GOMAXPROCS`` where it is not 1), iterations, value by unit."""

    name: str
    iterations: int
    values: Mapping[str, float]


def parse_line(line: str) -> BenchLine:
    """One result line. Raises ValueError, with the line, when it is none."""
    fields = line.split()
    whole = len(fields) >= 4 and len(fields) % 2 == 0 and _NAME.fullmatch(fields[0]) and fields[1].isdecimal()
    if not whole or int(fields[1]) == 0:
        raise ValueError(f"not a benchmark result: {line[:120]!r}")
    values: dict[str, float] = {}
    for text, unit in zip(fields[2::2], fields[3::2], strict=True):
        number = float(text)
        if not math.isfinite(number) or number < 0 or unit in values:
            raise ValueError(f"not a benchmark result: {line[:120]!r}")
        values[unit] = number
    return BenchLine(fields[0], int(fields[1]), values)


def bench_text(evidence: Evidence) -> str:
    """The kept text, as it was printed: configuration lines (``goos: linux``) and results."""
    return "".join(f"{line}\n" for line in evidence.bench_lines)


def parse_bench(lines: Sequence[str]) -> tuple[list[BenchLine], list[str]]:
    """All result lines, and those that are neither results nor configuration."""
    results, bad = [], []
    for line in lines:
        if _CONFIGURATION.match(line):
            continue
        try:
            results.append(parse_line(line))
        except ValueError:
            bad.append(line)
    return results, bad


def bench_metrics(results: Sequence[BenchLine], *, drive: str) -> dict[str, Value]:
    """The bench metrics: medians over the repetitions, as benchstat's centre; the error rate over all operations."""
    scales = {
        "bench.time_per_op_seconds": (_TIME, 1 / NANOSECONDS),
        "bench.allocs_per_op": (_ALLOCS, 1.0),
        "bench.alloc_bytes_per_op_bytes": (_BYTES, 1.0),
    }
    values = {}
    for name, (unit, scale) in scales.items():
        seen = [result.values[unit] for result in results if unit in result.values]
        reason = "no benchmark lines" if drive == "bench" else f"drive {drive}"
        values[name] = Value(median(seen) * scale, len(seen)) if seen else Value(None, 0, reason)
    operations = sum(result.iterations for result in results)
    if operations and all(_ERRORS in result.values for result in results):
        failed = sum(result.values[_ERRORS] * result.iterations for result in results)
        values["error.rate"] = Value(failed / operations, operations)
    return values
