"""The arithmetic behind bench/generator.py: what a server's log says of the load generator that made it."""

from __future__ import annotations

import importlib
import random
import struct
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"
MS = 1_000_000


@pytest.fixture
def arrivals(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    return importlib.import_module("arrivals")


def test_a_log_is_read_in_the_order_of_time(arrivals: Any) -> None:
    packed = b"".join(struct.pack("<qq", *pair) for pair in ((7, 30), (8, 10), (7, 20)))
    assert arrivals.read_log(packed) == [(8, 10), (7, 20), (7, 30)]


def test_a_rate_is_that_of_the_last_part(arrivals: Any) -> None:
    slow_start = [index * 100 * MS for index in range(10)]
    fast = [1000 * MS + index * MS for index in range(3001)]
    part = arrivals.last_part(slow_start + fast, 2.0, before_end=0.5)
    assert (part[0], part[-1]) == (1500 * MS, 3499 * MS)
    assert arrivals.rate_hz(part) == pytest.approx(1000)


def test_an_even_schedule_is_not_late_and_a_late_hundredth_is_not_p99(arrivals: Any) -> None:
    even = [5 * MS + index * MS for index in range(5000)]
    assert arrivals.regularity(even, 1000.0) == arrivals.Regularity(0.0, 0.0)
    spiky = sorted(at + (3 * MS if index % 50 == 0 else 0) for index, at in enumerate(even))
    assert arrivals.regularity(spiky, 1000.0).p50 == 0.0
    # Sorted, an arrival that others overtake leaves a hole: those in front are early by one place, it is late.
    assert arrivals.regularity(spiky, 1000.0).p99 >= 0.001


def test_jitter_is_found_to_its_size(arrivals: Any) -> None:
    draw = random.Random(1)
    late = sorted(index * MS + draw.randrange(400_000) for index in range(5000))
    found = arrivals.regularity(late, 1000.0)
    assert found.p50 == pytest.approx(200e-6, rel=0.1)
    assert found.p99 == pytest.approx(392e-6, rel=0.05)


def test_bursts_and_a_rate_that_is_not_kept_are_late(arrivals: Any) -> None:
    bursts = [index // 50 * 50 * MS + index % 50 * 1000 for index in range(5000)]
    assert arrivals.regularity(bursts, 1000.0).p50 == pytest.approx(0.024, rel=0.05)
    slow = [round(index * 1.1 * MS) for index in range(5000)]
    assert arrivals.regularity(slow, 1000.0).p99 > 0.4


def test_a_generator_that_paces_each_connection_is_held_against_their_own_schedules(arrivals: Any) -> None:
    # All connections at once: a burst for one schedule of all, and on time for each of them.
    together = [(connection, turn * 50 * MS + connection) for turn in range(20) for connection in range(50)]
    assert arrivals.by_connection(together, 0.050).p99 == pytest.approx(0, abs=1e-9)
    late = [(connection, at + (2 * MS if at > 500 * MS else 0)) for connection, at in together]
    assert arrivals.by_connection(late, 0.050).p99 == pytest.approx(0.002, rel=0.01)
    with pytest.raises(ValueError, match="two arrivals"):
        arrivals.by_connection([(1, 5), (2, 6)], 0.050)
