"""The article's two patterns on programs that really have the fault, and on those that only look like it.

The other seven patterns: tests/long/test_fault_patterns.py.
"""

from __future__ import annotations

import pytest

from tests.support.faults_tool import Tool
from tests.support.faulty import evidence, launch_with
from toolkit.analyse.patterns import FOUND, NOT_FOUND

pytestmark = pytest.mark.timeout(1200)
MIB = 1024**2


def test_a_history_that_is_never_cut_is_a_leak(tool: Tool) -> None:
    seen = launch_with(tool, "leak", 11)
    assert seen.verdicts["leak"] == FOUND, seen.cell
    assert seen.verdicts["goroutine-leak"] == NOT_FOUND
    # Where the copying is too much for the machine, throughput really falls, and it looks like a pool that runs out.
    kept_up = not evidence(seen, "exhausted-pool")["qps.ok_hz"]["holds"]
    assert seen.verdicts["exhausted-pool"] == NOT_FOUND or not kept_up
    found = evidence(seen, "leak")
    # 3 KB of each of 100 requests a second, for 11 s, and the garbage that Go lets grow with it.
    assert found["rss.process.last_bytes"]["found"] >= found["rss.process.last_bytes"]["limit"] >= 2 * MIB
    (launch,) = seen.report["cells"][0]["launches"]
    assert launch["steady_state"] == "not-judged"


def test_a_cache_that_fills_and_stays_full_is_none(tool: Tool) -> None:
    seen = launch_with(tool, "cache", 10)
    assert (seen.verdicts["leak"], seen.verdicts["retained-memory"]) == (NOT_FOUND, NOT_FOUND), seen.cell


def test_a_pool_that_loses_connections_is_exhausted_and_no_overload(tool: Tool) -> None:
    seen = launch_with(tool, "pool", 15)
    assert (seen.verdicts["exhausted-pool"], seen.verdicts["overload"]) == (FOUND, NOT_FOUND), seen.cell
    # Windows whose requests mostly never ended have no P95, and say so.
    reasons = [reason for one in seen.cell["dropped"] for reason in one["reasons"]]
    assert any(reason.startswith("lat.sched.p95_seconds: ") for reason in reasons)


def test_plain_overload_is_no_exhausted_pool(tool: Tool) -> None:
    seen = launch_with(tool, "overload", 12)
    assert (seen.verdicts["overload"], seen.verdicts["exhausted-pool"]) == (FOUND, NOT_FOUND), seen.cell
    # The harness has a goroutine per request in flight: they grow, and are no leak.
    assert seen.verdicts["goroutine-leak"] == NOT_FOUND
