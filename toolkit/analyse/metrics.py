"""Metrics of an interval of one launch: histograms of requests, differences of cumulative counters, extremes of gauges.

An interval may have gaps (tainted windows that were left out): then it is given as its parts, and a counter's
difference is the sum of the differences over each part. Every value comes with its n, or is None with the reason
(definitions: ``toolkit.model.metrics``).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from toolkit.analyse.histogram import Histogram
from toolkit.analyse.windows import Interval, Parts, nanoseconds
from toolkit.model.evidence import NANOSECONDS, OUTCOMES, Evidence, GoSnapshot, Request, Sample
from toolkit.model.metrics import HISTOGRAMS, METRICS, QUANTILES, SAMPLES_NEEDED

SNAPSHOT_TOLERANCE_SECONDS = 0.75
"""The harness takes a runtime snapshot each second, aligned to t0: one is due at each boundary, but for its timer."""


@dataclass(frozen=True)
class Value:
    """A metric's value in its unit, or None and why."""

    value: float | None
    n: int = 0
    reason: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Without ``compared``, which depends on more than the value."""
        return {"value": self.value, "n": self.n, "reason": self.reason}


class Timeline:
    """One launch's evidence, indexed by time. Made once, asked for each interval."""

    def __init__(self, sdk: Evidence, backend: Evidence | None) -> None:
        self._requests = sdk.requests
        self._scheduled = [request.scheduled_ns for request in sdk.requests]
        self._ok_ends = sorted(request.end_ns for request in sdk.requests if request.outcome == 0)
        self._ends = sorted(request.end_ns for request in sdk.requests)
        self._samples = sdk.samples
        self._go = sdk.go
        series = backend.series if backend else ()
        self._delays = [one for one in series if one.name == "backend.delay_seconds"]

    def requests(self, interval: Interval) -> Sequence[Request]:
        """Requests scheduled in it."""
        return self._requests[self._index(interval.start_ns) : self._index(interval.end_ns)]

    def scheduled_between(self, start_ns: int, end_ns: int) -> int:
        """How many requests were scheduled in [start, end)."""
        return self._index(end_ns) - self._index(start_ns)

    def completed(self, interval: Interval) -> int:
        """How many successful requests ended in it, whenever they began."""
        return bisect_left(self._ok_ends, interval.end_ns) - bisect_left(self._ok_ends, interval.start_ns)

    def in_flight(self, moment_ns: int) -> int:
        """How many requests were scheduled before a moment and had not ended by then."""
        return self._index(moment_ns) - bisect_left(self._ends, moment_ns)

    def samples(self, interval: Interval) -> list[Sample]:
        """Samples taken in it, its end included."""
        return [sample for sample in self._samples if interval.start_ns <= sample.monotonic_ns <= interval.end_ns]

    def snapshots(self, interval: Interval) -> tuple[GoSnapshot, GoSnapshot] | None:
        """The runtime snapshots nearest to its two ends, None when either is missing."""
        first, last = self._snapshot(interval.start_ns), self._snapshot(interval.end_ns)
        return (first, last) if first and last and first.monotonic_ns < last.monotonic_ns else None

    def goroutines(self, interval: Interval) -> list[int]:
        """Numbers of goroutines seen in it."""
        boundary = self._snapshot(interval.end_ns)
        last_ns = boundary.monotonic_ns if boundary else interval.end_ns
        return [one.goroutines for one in self._go if interval.start_ns <= one.monotonic_ns <= last_ns]

    def delays(self, interval: Interval) -> list[int]:
        """The backend's write delays of batches that were closed in it."""
        return [value for one in self._delays if interval.holds(one.monotonic_ns) for value in one.values_ns]

    def _snapshot(self, moment_ns: int) -> GoSnapshot | None:
        nearest = min(self._go, key=lambda one: abs(one.monotonic_ns - moment_ns), default=None)
        if nearest is None or abs(nearest.monotonic_ns - moment_ns) > nanoseconds(SNAPSHOT_TOLERANCE_SECONDS):
            return None
        return nearest

    def _index(self, moment_ns: int) -> int:
        return bisect_left(self._scheduled, moment_ns)


def _parts(interval: Interval | Parts) -> Parts:
    return (interval,) if isinstance(interval, Interval) else interval


def histograms(timeline: Timeline, interval: Interval | Parts) -> dict[str, Histogram]:
    """All histograms of an interval, empty ones included."""
    parts = _parts(interval)
    sent = [request for part in parts for request in timeline.requests(part)]
    found = {name: Histogram.of(values) for name, values in request_values(sent).items()}
    found["backend.delay"] = Histogram.of(delay for part in parts for delay in timeline.delays(part))
    found["gc.pause"] = _pauses([timeline.snapshots(part) for part in parts])
    assert set(found) == set(HISTOGRAMS)  # noqa: S101 - two tables that must agree, whatever the input
    return found


def request_values(sent: Sequence[Request]) -> dict[str, list[int]]:
    """What requests contribute to each histogram of requests, in nanoseconds."""
    ok = [request for request in sent if request.outcome == 0]
    streamed = [(request, request.first_ns) for request in ok if request.first_ns is not None]
    return {
        "lat.sched": [request.end_ns - request.scheduled_ns for request in ok],
        "lat.send": [request.end_ns - request.sent_ns for request in ok],
        "dispatch.delay": [request.sent_ns - request.scheduled_ns for request in sent],
        "ttft": [first - request.scheduled_ns for request, first in streamed],
        "ttft.send": [first - request.sent_ns for request, first in streamed],
        "tpot": [(one.end_ns - first) // (one.tokens - 1) for one, first in streamed if one.tokens >= 2],
        "sdk.overhead": [value for request in ok for value in request.overhead_ns],
    }


def interval_metrics(
    timeline: Timeline, interval: Interval | Parts, found: Mapping[str, Histogram]
) -> dict[str, Value]:
    """All windowed metrics of an interval, from its histograms and counters."""
    parts = _parts(interval)
    values = {one.id: quantile_value(found[one.histogram], one.quantile) for one in METRICS.values() if one.histogram}
    for name in ("lat.sched", "lat.send", "gc.pause"):
        values[f"{name}.max_seconds"] = max_value(found[name])
    values.update(_request_metrics(timeline, parts))
    values.update(_sample_metrics(timeline, parts))
    values.update(_go_metrics(timeline, parts))
    return values


def window_metrics(timeline: Timeline, window: Interval, found: Mapping[str, Histogram]) -> dict[str, Value]:
    """``interval_metrics``, and what only a window has (``toolkit.model.metrics.WINDOW_METRICS``)."""
    samples, seen, ends = timeline.samples(window), timeline.goroutines(window), timeline.snapshots(window)
    none, lost = Value(None, 0, "no samples"), Value(None, 0, "no runtime snapshot at both ends of the interval")
    values = interval_metrics(timeline, window, found)
    values["in_flight.last"] = Value(float(timeline.in_flight(window.end_ns)), 1)
    for name, readings in {
        "rss.file.max_bytes": [sample.rss_file_bytes for sample in samples],
        "rss.peak.last_bytes": [sample.rss_peak_bytes for sample in samples][-1:],
        "rss.cgroup.last_bytes": [sample.cgroup_memory_bytes for sample in samples][-1:],
    }.items():
        values[name] = Value(float(max(readings)), len(samples)) if readings else none
    values["goroutines.last"] = Value(float(seen[-1]), 1) if seen else Value(None, 0, "no snapshots")
    values["goroutines.mean"] = Value(fmean(seen), len(seen)) if seen else Value(None, 0, "no snapshots")
    if ends is None:
        return values | {"heap.live.last_bytes": lost, "gc.cpu.share": lost}
    first, last = ends
    elapsed = (last.monotonic_ns - first.monotonic_ns) / NANOSECONDS * max(last.gomaxprocs, 1)
    values["heap.live.last_bytes"] = Value(float(last.heap_live_bytes), 1)
    values["gc.cpu.share"] = Value((last.gc_cpu_seconds - first.gc_cpu_seconds) / elapsed, last.gc_cycles)
    return values


def quantile_value(histogram: Histogram, quantile: str) -> Value:
    """A quantile in seconds, or None when the histogram holds too few values for it."""
    needed = SAMPLES_NEEDED[quantile]
    if histogram.n == 0:
        return Value(None, 0, "no samples")
    if histogram.n < needed:
        return Value(None, histogram.n, f"{quantile.upper()} needs at least {needed} samples, there are {histogram.n}")
    return Value(histogram.quantile(QUANTILES[quantile]) / NANOSECONDS, histogram.n)


def max_value(histogram: Histogram) -> Value:
    """The exact maximum in seconds."""
    return Value(histogram.maximum / NANOSECONDS, histogram.n) if histogram.n else Value(None, 0, "no samples")


def error_counts(requests: Sequence[Request]) -> dict[str, int]:
    """Failed requests by class, all classes named."""
    counts = dict.fromkeys(OUTCOMES[1:], 0)
    for request in requests:
        if request.outcome:
            counts[OUTCOMES[request.outcome]] += 1
    return counts


def _request_metrics(timeline: Timeline, parts: Parts) -> dict[str, Value]:
    requests = [request for part in parts for request in timeline.requests(part)]
    sent = len(requests)
    completed = sum(timeline.completed(part) for part in parts)
    failed = error_counts(requests)
    seconds = sum(part.seconds for part in parts)
    values = {
        "qps.ok_hz": Value(completed / seconds, completed),
        "qps.offered_hz": Value(sent / seconds, sent),
    }
    for name, count in {
        "error.rate": sum(failed.values()),
        **{f"error.{k}.rate": v for k, v in failed.items()},
    }.items():
        values[name] = Value(count / sent, sent) if sent else Value(None, 0, "no requests were sent")
    return values


def _sample_metrics(timeline: Timeline, parts: Parts) -> dict[str, Value]:
    each = [timeline.samples(part) for part in parts]
    values = {"cpu.per_request_seconds": _cpu_per_request(timeline, each)}
    samples = [sample for seen in each for sample in seen]
    n = len(samples)
    gauges = {
        "rss.process.last_bytes": [sample.rss_bytes for sample in samples][-1:],
        "rss.process.max_bytes": [sample.rss_bytes for sample in samples],
        "rss.anon.max_bytes": [sample.rss_anon_bytes for sample in samples],
        "rss.cgroup.max_bytes": [sample.cgroup_memory_bytes for sample in samples],
    }
    for name, seen in gauges.items():
        values[name] = Value(float(max(seen)), n) if seen else Value(None, 0, "no samples")
    return values


def _cpu_per_request(timeline: Timeline, each: Sequence[Sequence[Sample]]) -> Value:
    """``each``: the samples of each part. A part with fewer than two has no difference and adds nothing."""
    ends = [(samples[0], samples[-1]) for samples in each if len(samples) > 1]
    if not ends:
        return Value(None, 0, f"fewer than 2 samples in the interval ({sum(map(len, each))})")
    requests = sum(timeline.scheduled_between(first.monotonic_ns, last.monotonic_ns) for first, last in ends)
    differences = [last.cpu_ns - first.cpu_ns for first, last in ends]
    spent = sum(differences)
    if min(differences) < 0:
        return Value(None, requests, "a process of the tree ended: its CPU time is gone from the sum")
    return _per_request(spent / NANOSECONDS, requests)


def _go_metrics(timeline: Timeline, parts: Parts) -> dict[str, Value]:
    goroutines = [number for part in parts for number in timeline.goroutines(part)]
    values = {
        "goroutines.max": Value(float(max(goroutines)), len(goroutines))
        if goroutines
        else Value(None, 0, "no snapshots")
    }
    found = [timeline.snapshots(part) for part in parts]
    ends = [pair for pair in found if pair is not None]
    names = ("allocs.per_request", "alloc_bytes.per_request_bytes", "gc.pause.total_seconds", "gc.cycles")
    if len(ends) < len(found):
        missing = Value(None, 0, "no runtime snapshot at both ends of the interval")
        # The pauses' quantiles cannot tell "no pause" from "nobody looked" by their empty histogram.
        return values | dict.fromkeys((*names, "gc.pause.p99_seconds", "gc.pause.max_seconds"), missing)
    requests = sum(timeline.scheduled_between(first.monotonic_ns, last.monotonic_ns) for first, last in ends)
    pauses = [pair for first, last in ends for pair in _pause_counts(first, last)]
    number = sum(count for _, count in pauses)
    objects = sum(last.alloc_objects - first.alloc_objects for first, last in ends)
    allocated = sum(last.alloc_bytes - first.alloc_bytes for first, last in ends)
    cycles = sum(last.gc_cycles - first.gc_cycles for first, last in ends)
    values["allocs.per_request"] = _per_request(objects, requests)
    values["alloc_bytes.per_request_bytes"] = _per_request(allocated, requests)
    values["gc.pause.total_seconds"] = Value(float(sum(edge * count for edge, count in pauses)), number)
    values["gc.cycles"] = Value(float(cycles), cycles)
    if not number:
        values["gc.pause.max_seconds"] = Value(None, 0, "no pause in the interval")
        values["gc.pause.p99_seconds"] = Value(None, 0, "no pause in the interval")
    return values


def _per_request(amount: float, requests: int) -> Value:
    return Value(amount / requests, requests) if requests else Value(None, 0, "no requests in the interval")


def _pause_counts(first: GoSnapshot, last: GoSnapshot) -> list[tuple[float, int]]:
    """Pauses between two snapshots: (upper edge in seconds, how many). Counters were checked to run forward."""
    before = dict(first.pause)
    return [(edge, count - before.get(edge, 0)) for edge, count in last.pause if count > before.get(edge, 0)]


def _pauses(each: Sequence[tuple[GoSnapshot, GoSnapshot] | None]) -> Histogram:
    pairs = [pair for ends in each if ends for pair in _pause_counts(*ends)]
    return Histogram.of_weighted((nanoseconds(edge), count) for edge, count in pairs)
