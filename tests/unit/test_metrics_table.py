"""The table of metrics is complete, consistent and the one in the docs.

Refresh the docs: ``python -c "from toolkit.model.metrics import markdown; print(markdown(), end='')"``, below the mark.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from toolkit.model.metrics import METRICS, is_compared, markdown

ROOT = Path(__file__).resolve().parents[2]

CONTRACT = """
lat.sched.p50_seconds lat.sched.p95_seconds lat.sched.p99_seconds lat.sched.max_seconds
lat.send.p50_seconds lat.send.p95_seconds lat.send.p99_seconds lat.send.max_seconds
dispatch.delay.p50_seconds dispatch.delay.p99_seconds ttft.p50_seconds ttft.p95_seconds
ttft.send.p50_seconds ttft.send.p95_seconds tpot.p50_seconds
sdk.overhead.p50_seconds sdk.overhead.p95_seconds sdk.overhead.p99_seconds
backend.delay.p50_seconds backend.delay.p99_seconds cpu.per_request_seconds allocs.per_request
alloc_bytes.per_request_bytes rss.process.last_bytes rss.process.max_bytes rss.anon.max_bytes rss.cgroup.max_bytes
rss.peak_bytes rss.over_null_bytes cpu.over_null_seconds qps.ok_hz qps.offered_hz error.rate
error.transport.rate error.http_status.rate error.json_parse.rate error.truncated_stream.rate
error.wrong_answer.rate error.timeout.rate error.other.rate drop.rate
gc.pause.total_seconds gc.pause.p99_seconds gc.pause.max_seconds gc.cycles goroutines.max generator.headroom
bench.time_per_op_seconds bench.allocs_per_op bench.alloc_bytes_per_op_bytes
"""


def test_every_promised_metric_is_there_and_no_other() -> None:
    assert sorted(METRICS) == sorted(CONTRACT.split())


def test_docs_hold_the_table() -> None:
    assert (ROOT / "docs/metrics.md").read_text(encoding="utf-8").endswith(markdown())


@pytest.mark.parametrize("name", METRICS)
def test_the_unit_is_in_the_name(name: str) -> None:
    suffixes = {"seconds": "_seconds", "bytes": "_bytes", "hertz": "_hz"}
    suffix = suffixes.get(METRICS[name].unit)
    if suffix:
        assert name.endswith(suffix)
    else:
        assert not name.endswith(tuple(suffixes.values()))


def test_times_and_bytes_never_transfer() -> None:
    assert not [name for name, one in METRICS.items() if one.transferable and one.unit in ("seconds", "bytes", "hertz")]
    assert METRICS["error.rate"].transferable
    assert METRICS["allocs.per_request"].transferable


def compared(name: str, *, paced: bool, median: float | None = 0.1) -> bool:
    """Whether a metric is compared."""
    return is_compared(METRICS[name], paced=paced, lat_sched_p50_seconds=median)


def test_latency_of_a_paced_backend_is_never_compared() -> None:
    assert not [name for name in METRICS if name.startswith(("lat.", "ttft", "tpot")) and compared(name, paced=True)]
    for name in ("sdk.overhead.p95_seconds", "cpu.per_request_seconds", "allocs.per_request", "error.rate"):
        assert compared(name, paced=True)


def test_below_20_ms_the_send_is_compared_instead_of_the_schedule() -> None:
    assert compared("lat.sched.p95_seconds", paced=False, median=0.020)
    assert not compared("lat.send.p95_seconds", paced=False, median=0.020)
    assert compared("lat.send.p95_seconds", paced=False, median=0.0199)
    assert not compared("lat.sched.p95_seconds", paced=False, median=0.0199)
    assert compared("ttft.send.p50_seconds", paced=False, median=0.0199)
