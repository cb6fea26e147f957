"""One field or row of a harness line, checked. Everything here raises ``BadLine`` and nothing else."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Mapping
from typing import Any

from toolkit.model.evidence import OUTCOMES, GoSnapshot, Request

LINE_LIMIT_BYTES = 64 * 1024
HIGHEST = 2**63 - 1
_LARGEST = sys.float_info.max
_ROW_FIELDS = 9
_DEEPEST = 16
# Not gc_cpu_seconds: the runtime calls its own CPU classes estimates.
_GO_COUNTERS = ("alloc_bytes", "alloc_objects", "gc_cycles")


class BadLine(Exception):
    """A line that cannot be believed; the text says why."""


def decode_line(raw: bytes) -> Mapping[str, Any]:
    """The object on one line."""
    if len(raw) > LINE_LIMIT_BYTES:
        raise BadLine(f"a line of {len(raw)} bytes (limit {LINE_LIMIT_BYTES})")
    try:
        value = json.loads(raw.decode("utf-8"), parse_constant=_no_constant, parse_float=_finite)
        if b"\\u" in raw:
            # Half a surrogate pair is a text to Python and to no file: it would end the run when its result is written.
            json.dumps(value, ensure_ascii=False).encode("utf-8")
    except (ValueError, RecursionError) as problem:
        raise BadLine(f"not JSON: {raw[:40]!r}") from problem
    if not isinstance(value, dict):
        raise BadLine(f"not an object: {raw[:40]!r}")
    return value


def _no_constant(name: str) -> Any:
    raise ValueError(name)


def _finite(text: str) -> float:
    """A number that is one: 1e999 becomes infinity, which no JSON file could hold."""
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(text)
    return number


def flat_object(value: Mapping[str, Any], name: str) -> dict[str, Any]:
    """An object that the program filled as it liked; one too deep to be written down again is refused."""
    found = value.get(name) or {}
    if not isinstance(found, dict):
        raise BadLine(f"{value.get('k')}: {name} is not an object")
    level: list[Any] = [found]
    for _depth in range(_DEEPEST):
        level = [inner for one in level for inner in _inside(one)]
        if not level:
            return found
    raise BadLine(f"{value.get('k')}: {name} is more than {_DEEPEST} levels deep")


def _inside(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return list(value.values())
    return value if isinstance(value, list) else []


def request_row(row: Any, base: int) -> Request:
    """One request of a ``req`` line, whose times count from ``base``."""
    if not isinstance(row, list) or len(row) != _ROW_FIELDS:
        raise BadLine(f"a request row has not {_ROW_FIELDS} fields")
    *numbers, overhead = row
    if set(map(type, numbers)) != {int} or not isinstance(overhead, list) or not set(map(type, overhead)) <= {int}:
        raise BadLine("a request row holds something that is not a whole number")
    sequence, scheduled, sent, first, end, outcome, tokens, size = numbers
    if min(numbers) < 0 or max(numbers) > HIGHEST - base:
        raise BadLine(f"request {sequence}: a number is negative or beyond 63 bits")
    if not scheduled <= sent <= end or (first and not sent <= first <= end):
        raise BadLine(f"request {sequence}: its times run backwards")
    if outcome >= len(OUTCOMES):
        raise BadLine(f"request {sequence}: unknown outcome {outcome}")
    # The stamps in a failed answer are the backend's to get wrong.
    if outcome == 0 and overhead and (min(overhead) < 0 or max(overhead) > end - sent):
        raise BadLine(f"request {sequence}: a frame took less than nothing or longer than its request")
    first_ns = base + first if first else None
    return Request(
        sequence, base + scheduled, base + sent, first_ns, base + end, outcome, tokens, size, tuple(overhead)
    )


def go_snapshot(value: Mapping[str, Any]) -> GoSnapshot:
    """The runtime's counters of a ``go`` line."""
    return GoSnapshot(
        monotonic_ns=whole(value, "ns"),
        goroutines=whole(value, "goroutines"),
        gomaxprocs=whole(value, "gomaxprocs"),
        heap_live_bytes=whole(value, "heap_live_bytes"),
        heap_goal_bytes=whole(value, "heap_goal_bytes"),
        alloc_bytes=whole(value, "alloc_bytes"),
        alloc_objects=whole(value, "alloc_objects"),
        gc_cycles=whole(value, "gc_cycles"),
        gc_cpu_seconds=real(value, "gc_cpu_seconds"),
        total_bytes=whole(value, "total_bytes"),
        pause=_pairs(value, "pause"),
        stop_other=_pairs(value, "stop_other"),
    )


def check_forward(before: GoSnapshot, after: GoSnapshot) -> None:
    """Counters may only grow from one snapshot to the next."""
    if after.monotonic_ns < before.monotonic_ns:
        raise BadLine("go: snapshots run backwards")
    for name in _GO_COUNTERS:
        if getattr(after, name) < getattr(before, name):
            raise BadLine(f"go: {name} runs backwards")
    counts = dict(after.pause)
    if any(counts.get(edge, 0) < count for edge, count in before.pause):
        raise BadLine("go: a count of pauses runs backwards")


def _pairs(value: Mapping[str, Any], name: str) -> tuple[tuple[float, int], ...]:
    pairs = value.get(name)
    if pairs is None:
        return ()
    if not isinstance(pairs, list):
        raise BadLine(f"go: {name} is not a list")
    result = []
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise BadLine(f"go: {name} holds something that is not a pair")
        fields = {"edge": pair[0], "count": pair[1]}
        result.append((real(fields, "edge"), whole(fields, "count")))
    return tuple(result)


def whole(value: Mapping[str, Any], name: str) -> int:
    """A whole number of 0 to 2**63 - 1."""
    number = value.get(name)
    if type(number) is not int or not 0 <= number <= HIGHEST:
        raise BadLine(f"{value.get('k', 'pair')}: {name} is not a whole number")
    return number


def real(value: Mapping[str, Any], name: str) -> float:
    """A finite number of at least 0."""
    number = value.get(name)
    # Compared, not asked whether it is finite: a whole number of 400 digits is no float at all.
    if type(number) not in (int, float) or not 0 <= number <= _LARGEST:  # type: ignore[operator]
        raise BadLine(f"{value.get('k', 'pair')}: {name} is not a number")
    return float(number)  # type: ignore[arg-type]


def signed(value: Mapping[str, Any], name: str) -> float:
    """A finite number, which may be below 0: a difference."""
    number = value.get(name)
    if type(number) not in (int, float) or not -_LARGEST <= number <= _LARGEST:  # type: ignore[operator]
        raise BadLine(f"{value.get('k', 'pair')}: {name} is not a number")
    return float(number)  # type: ignore[arg-type]


def text_of(value: Mapping[str, Any], name: str) -> str:
    """A text; a number is given as text (GOMEMLIMIT and the like are numbers or words)."""
    text = value.get(name, "")
    if isinstance(text, (int, float)) and not isinstance(text, bool):
        return str(text)
    if not isinstance(text, str):
        raise BadLine(f"{value.get('k')}: {name} is not text")
    return text
