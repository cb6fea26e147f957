"""Every metric we print: id, unit, definition, how launches merge, what may be compared with what.

``docs/metrics.md`` is ``markdown()`` and a test says so. A number without its id does not leave this product.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Compared = Literal["always", "unpaced", "never"]
"""Between SDKs: always; only when the backend does not pace its answers; never (shown only)."""

Merge = Literal["quantile", "max", "min", "mean", "weighted", "median"]
"""How launches make one value: quantile of merged histograms, extreme, mean, mean weighted by n, median."""

QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99}

SAMPLES_NEEDED = {"p50": 1, "p95": 72, "p99": 368}
"""Smallest n for which a distribution-free two-sided 95 % interval of the quantile exists (P50: any)."""

LAT_SEND_BELOW_SECONDS = 0.020
"""Below this P50 of ``lat.sched`` the dispatch delay is a visible part of it, so ``lat.send`` is compared instead."""


@dataclass(frozen=True)
class Metric:
    """One metric. ``histogram`` names the histogram a quantile comes from; ``windowed``: also known per window."""

    id: str
    unit: str
    definition: str
    merge: Merge
    compared: Compared = "never"
    transferable: bool = False
    windowed: bool = True
    histogram: str = ""
    quantile: str = ""


_HISTOGRAMS: dict[str, tuple[str, tuple[str, ...], Compared]] = {
    "lat.sched": (
        "response end minus scheduled send, successful requests",
        ("p50", "p95", "p99", "max"),
        "unpaced",
    ),
    "lat.send": ("response end minus actual send, successful requests", ("p50", "p95", "p99", "max"), "unpaced"),
    "dispatch.delay": (
        "actual minus scheduled send, all requests sent: the load generator's own lateness",
        ("p50", "p99"),
        "never",
    ),
    "ttft": (
        "first token (not streamed: the answer) minus scheduled send, successful requests",
        ("p50", "p95"),
        "unpaced",
    ),
    "ttft.send": (
        "first token (not streamed: the answer) minus actual send, successful requests",
        ("p50", "p95"),
        "unpaced",
    ),
    "tpot": (
        "(end minus first token) / (output tokens - 1) of each successful streamed request with at least 2 tokens",
        ("p50",),
        "unpaced",
    ),
    "sdk.overhead": (
        "receipt of a frame minus the backend's write stamp in it, one value per frame, successful requests",
        ("p50", "p95", "p99"),
        "always",
    ),
    "backend.delay": ("actual minus scheduled write of a frame by a paced backend", ("p50", "p99"), "never"),
    "gc.pause": (
        "stop-the-world pause of the garbage collector (runtime/metrics, upper edge of its bucket)",
        ("p99", "max"),
        "never",
    ),
}

_ERROR_PARTS = {
    "transport": "connection refused, reset, closed",
    "http_status": "an answer outside 2xx",
    "json_parse": "an answer or frame that is not the JSON it should be",
    "truncated_stream": "a stream that ended before its end mark",
    "wrong_answer": "an answer that is well formed and wrong",
    "timeout": "no answer in the plan's time",
    "other": "anything else",
}


def _histogram_metrics() -> list[Metric]:
    rows = []
    for name, (definition, parts, compared) in _HISTOGRAMS.items():
        for part in parts:
            word = "maximum" if part == "max" else part.upper()
            merge: Merge = "max" if part == "max" else "quantile"
            quantile = "" if part == "max" else part
            rows.append(
                Metric(f"{name}.{part}_seconds", "seconds", f"{word} of: {definition}", merge, compared)
                if part == "max"
                else Metric(
                    f"{name}.{part}_seconds",
                    "seconds",
                    f"{word} of: {definition}",
                    merge,
                    compared,
                    histogram=name,
                    quantile=quantile,
                )
            )
    return rows


def _error_metrics() -> list[Metric]:
    rows = [
        Metric(
            "error.rate",
            "ratio",
            "requests with any failure / requests sent",
            "weighted",
            "always",
            transferable=True,
        )
    ]
    rows += [
        Metric(
            f"error.{part}.rate",
            "ratio",
            f"requests that failed so / requests sent: {text}",
            "weighted",
            "always",
            True,
        )
        for part, text in _ERROR_PARTS.items()
    ]
    return rows


_OTHERS = [
    Metric(
        "cpu.per_request_seconds",
        "seconds",
        "CPU time (user + system) of the SDK's process tree between the first and last sample of the interval / "
        "requests scheduled between those samples; the harness is in it",
        "weighted",
        "always",
    ),
    Metric(
        "allocs.per_request",
        "count",
        "heap objects allocated between the runtime snapshots at the interval's ends / requests scheduled between them",
        "weighted",
        "always",
        True,
    ),
    Metric(
        "alloc_bytes.per_request_bytes",
        "bytes",
        "heap bytes allocated between the runtime snapshots at the interval's ends / requests scheduled between them",
        "weighted",
        "always",
    ),
    Metric(
        "rss.process.last_bytes",
        "bytes",
        "resident memory (anon + file + shmem) of the process tree, last sample",
        "median",
    ),
    Metric(
        "rss.process.max_bytes",
        "bytes",
        "resident memory (anon + file + shmem) of the process tree, largest sample",
        "median",
    ),
    Metric("rss.anon.max_bytes", "bytes", "anonymous resident memory of the process tree, largest sample", "median"),
    Metric(
        "rss.cgroup.max_bytes",
        "bytes",
        "memory of the container's cgroup (with page cache and agent), largest sample",
        "median",
    ),
    Metric(
        "rss.peak_bytes",
        "bytes",
        "the kernel's high-water mark of the program (VmHWM), since its start",
        "median",
        windowed=False,
    ),
    Metric(
        "rss.over_null_bytes",
        "bytes",
        "rss.process.max_bytes minus that of the null SDK in the same run",
        "median",
        "always",
        windowed=False,
    ),
    Metric(
        "cpu.over_null_seconds",
        "seconds",
        "cpu.per_request_seconds minus that of the null SDK in the same run",
        "median",
        "always",
        windowed=False,
    ),
    Metric("qps.ok_hz", "hertz", "successful requests that ended in the interval / its length", "mean"),
    Metric("qps.offered_hz", "hertz", "requests sent whose scheduled send is in the interval / its length", "mean"),
    Metric(
        "drop.rate",
        "ratio",
        "sends never made because max_in_flight was reached / sends scheduled, whole drive",
        "weighted",
        windowed=False,
    ),
    Metric(
        "gc.pause.total_seconds",
        "seconds",
        "sum of the garbage collector's stop-the-world pauses in the interval",
        "mean",
    ),
    Metric("gc.cycles", "count", "garbage collections completed in the interval", "mean"),
    Metric("goroutines.max", "count", "most goroutines in any runtime snapshot", "max"),
    Metric(
        "generator.headroom",
        "ratio",
        "sends per second the load generator could make in its self-test / planned rate (drive closed: rate reached)",
        "min",
        windowed=False,
    ),
    Metric(
        "bench.time_per_op_seconds",
        "seconds",
        "median ns/op over the -count repetitions of go test -bench",
        "median",
        "unpaced",
        windowed=False,
    ),
    Metric(
        "bench.allocs_per_op",
        "count",
        "median allocs/op over the repetitions",
        "median",
        "always",
        True,
        windowed=False,
    ),
    Metric(
        "bench.alloc_bytes_per_op_bytes",
        "bytes",
        "median B/op over the repetitions",
        "median",
        "always",
        windowed=False,
    ),
]

METRICS: dict[str, Metric] = {one.id: one for one in [*_histogram_metrics(), *_error_metrics(), *_OTHERS]}

WINDOW_METRICS: dict[str, Metric] = {
    one.id: one
    for one in (
        Metric(
            "rss.file.max_bytes", "bytes", "file-backed resident memory of the process tree, largest sample", "median"
        ),
        Metric(
            "rss.peak.last_bytes",
            "bytes",
            "the kernel's high-water mark of the program (VmHWM) at the window's last sample",
            "median",
        ),
        Metric("rss.cgroup.last_bytes", "bytes", "memory of the container's cgroup, last sample", "median"),
        Metric("heap.live.last_bytes", "bytes", "heap that the last garbage collection found in use", "median"),
        Metric(
            "gc.cpu.share",
            "ratio",
            "CPU time of the garbage collector / (window's length x GOMAXPROCS), as the runtime estimates it",
            "mean",
        ),
        Metric("goroutines.last", "count", "goroutines at the window's end", "mean"),
        Metric("goroutines.mean", "count", "goroutines, mean of the window's runtime snapshots", "mean"),
        Metric("in_flight.last", "count", "requests scheduled and not yet ended at the window's end", "mean"),
    )
}
"""Known per window only: what the joint analysis needs beyond ``METRICS``. No headline is made of them."""

IN_WINDOWS: dict[str, Metric] = {
    **{name: metric for name, metric in METRICS.items() if metric.windowed},
    **WINDOW_METRICS,
}
"""All that a window has."""

HISTOGRAMS: tuple[str, ...] = tuple(_HISTOGRAMS)


def is_compared(metric: Metric, *, paced: bool, lat_sched_p50_seconds: float | None) -> bool:
    """Whether SDKs may be compared by it, given the backend's pacing and the cell's own median latency."""
    if metric.compared == "never":
        return False
    if metric.compared == "unpaced" and paced:
        return False
    if metric.id.startswith(("lat.", "ttft.")) and lat_sched_p50_seconds is not None:
        short = lat_sched_p50_seconds < LAT_SEND_BELOW_SECONDS
        return short == metric.id.startswith(("lat.send.", "ttft.send."))
    return True


def markdown() -> str:
    """The table of ``docs/metrics.md``."""
    words = {"always": "compared", "unpaced": "compared unless the backend paces", "never": "shown"}
    lines = [
        "| id | unit | definition | between SDKs | other machine | launches merge by |",
        "| --- | --- | --- | --- | --- | --- |",
    ]
    for one in METRICS.values():
        transfers = "transfers" if one.transferable else "-"
        merge = f"{one.quantile.upper()} of merged histograms" if one.merge == "quantile" else one.merge
        lines.append(f"| `{one.id}` | {one.unit} | {one.definition} | {words[one.compared]} | {transfers} | {merge} |")
    return "\n".join(lines) + "\n"


def window_markdown() -> str:
    """The table of what only windows have, in ``docs/metrics.md``."""
    lines = ["| id | unit | definition |", "| --- | --- | --- |"]
    lines += [f"| `{one.id}` | {one.unit} | {one.definition} |" for one in WINDOW_METRICS.values()]
    return "\n".join(lines) + "\n"
