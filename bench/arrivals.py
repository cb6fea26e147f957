"""What a server saw of a load generator: when each request came in. The one witness that all generators share.

Pure arithmetic on arrival times in nanoseconds of CLOCK_MONOTONIC.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Regularity:
    """How far arrivals lay behind an even schedule, in seconds."""

    p50: float
    p99: float


def read_log(data: bytes) -> list[tuple[int, int]]:
    """The arrivals of a log as (connection, ns), in the order of time: pairs of int64, little-endian."""
    return sorted(struct.iter_unpack("<qq", data), key=lambda pair: pair[1])


def last_part(arrivals: Sequence[int], seconds: float, *, before_end: float) -> list[int]:
    """Those of the last ``seconds`` that end ``before_end`` before the last arrival: neither start-up nor the end."""
    end = arrivals[-1] - round(before_end * NANOSECONDS)
    start = end - round(seconds * NANOSECONDS)
    return [at for at in arrivals if start <= at < end]


def rate_hz(arrivals: Sequence[int]) -> float:
    """Arrivals per second between the first and the last one."""
    return (len(arrivals) - 1) * NANOSECONDS / (arrivals[-1] - arrivals[0])


def regularity(arrivals: Sequence[int], planned_hz: float) -> Regularity:
    """Arrival i against moment i of an even schedule of that rate.

    Nobody else knows when a generator's schedule began, so it is put where the generator looks best but for one arrival
    in a hundred: the first percentile of all distances is 0. A generator that falls behind its rate is late more and
    more; one that sends its connections' requests in bursts is late within each.
    """
    gap = NANOSECONDS / planned_hz
    distances = [at - arrivals[0] - index * gap for index, at in enumerate(arrivals)]
    return _behind(distances, _quantile(sorted(distances), 0.01))


def by_connection(arrivals: Sequence[tuple[int, int]], gap_seconds: float) -> Regularity:
    """The same for a generator that paces each connection by itself: each against its own even schedule, which begins
    where no arrival but its first, which opens the connection, is early. Raises ValueError when there are too few.
    """
    times: dict[int, list[int]] = {}
    for connection, at in arrivals:
        times.setdefault(connection, []).append(at)
    late = []
    for mine in times.values():
        distances = [at - mine[0] - index * gap_seconds * NANOSECONDS for index, at in enumerate(mine)][1:]
        late += [distance - min(distances) for distance in distances]
    if not late:
        raise ValueError("no connection has two arrivals")
    return _behind(late, 0.0)


def _behind(distances: Sequence[float], earliest: float) -> Regularity:
    ordered = sorted(distances)
    p50, p99 = (max(0.0, _quantile(ordered, q) - earliest) / NANOSECONDS for q in (0.5, 0.99))
    return Regularity(p50, p99)


def _quantile(ordered: Sequence[float], q: float) -> float:
    """Nearest rank."""
    return ordered[max(0, -(-int(q * 1000) * len(ordered) // 1000) - 1)]
