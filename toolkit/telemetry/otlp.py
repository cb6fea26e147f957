"""``--otlp``: metrics and one trace per attempt through the OpenTelemetry SDK and its gRPC exporter.

The only module that imports opentelemetry, inside functions. All sending is done by one thread of ours with short
timeouts, so an endpoint that is slow or gone delays nothing but the end of the command, by ``FLUSH_SECONDS`` at most.
The resource names this program and the run: no detector looks at host, process or container.
"""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Sequence
from typing import Any

from toolkit import __version__
from toolkit.errors import UsageError
from toolkit.telemetry.address import Endpoint
from toolkit.telemetry.instrument import Instrument, Point
from toolkit.telemetry.instruments import INSTRUMENTS
from toolkit.telemetry.spans import PREFIX, SpanData, launch_span
from toolkit.telemetry.state import Attempt, LaunchView, LiveState
from toolkit.telemetry.tally import EDGES_SECONDS, TallyView

SEND_SECONDS = 2.0
"""The patience of one export, its retries included."""

FLUSH_SECONDS = 5.0
"""How long the end of the command may wait for what is still to be sent."""

KEPT_TRACES = 256
"""So many traces wait for an endpoint that does not answer; the oldest of more are lost."""

# A channel that could not connect would wait a second and more before it tries again, and a new channel with it, since
# both share what they know of the endpoint.
_CHANNEL = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),
)
_LEAST_INTERVAL_SECONDS = 1.0
_SCOPE = "sealbench.toolkit"


class Exporter:
    """Sends what changed. Its thread inherits the CPUs of the thread that opens it."""

    def __init__(self, state: LiveState, endpoint: Endpoint) -> None:
        """Nothing is sent yet. Raises UsageError when the library is missing or cannot be set up."""
        self._state = state
        self._endpoint = endpoint
        self._wire = _Wire(endpoint)
        self._traces: deque[LaunchView] = deque()
        self._lost_traces = 0
        self._settled: set[Attempt] = set()
        self._unsent = False
        self._changed = threading.Condition()
        self._dirty = False
        self._closing = False
        self._thread = threading.Thread(target=self._work, name="otlp", daemon=True)
        self._thread.start()

    def changed(self) -> None:
        """The live state holds something new: send it soon."""
        with self._changed:
            self._dirty = True
            self._changed.notify_all()

    def ended(self, launch: LaunchView) -> None:
        """An attempt is over: send its trace."""
        with self._changed:
            self._traces.append(launch)
            while len(self._traces) > KEPT_TRACES:
                self._traces.popleft()
                self._lost_traces += 1
            self._dirty = True
            self._changed.notify_all()

    def close(self) -> list[str]:
        """Send what is left, at most ``FLUSH_SECONDS`` long; a sentence about what could not be sent, if anything."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(FLUSH_SECONDS)
        self._wire.close()
        self._thread.join(_LEAST_INTERVAL_SECONDS)
        if not self._thread.is_alive():
            self._wire.forget()
        with self._changed:
            traces, metrics = self._lost_traces + len(self._traces), self._unsent or self._dirty
        if not traces and not metrics:
            return []
        lost = [f"{traces} trace(s)"] if traces else []
        lost += ["the last metrics"] if metrics else []
        why = self._wire.last_words() or "no answer in time"
        return [f"OTLP: {self._endpoint.url} did not take {' and '.join(lost)}: {why}"]

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._dirty or self._closing)
                closing, self._dirty = self._closing, False
                waiting = list(self._traces)
            self._send(waiting)
            with self._changed:
                if closing and not self._dirty:
                    return
                # Chunks of several containers come close together: one export has them all.
                self._changed.wait_for(lambda: self._closing, _LEAST_INTERVAL_SECONDS)

    def _send(self, waiting: Sequence[LaunchView]) -> None:
        launches = [one for one in self._state.views() if one.attempt not in self._settled]
        try:
            sent = not launches or self._wire.send_metrics(launches)
            traced = bool(waiting) and self._wire.send_traces(waiting)
        except Exception as problem:  # a channel that fails must not cost the run
            logging.getLogger(__name__).debug("an export failed", exc_info=True)
            self._wire.note(f"{type(problem).__name__}: {problem}")
            sent = traced = False
        with self._changed:
            self._unsent = not sent
            if sent:  # what has ended and was taken does not change any more
                self._settled |= {one.attempt for one in launches if "ended" in one.steps}
            if traced:
                done = {id(launch) for launch in waiting}
                self._traces = deque(launch for launch in self._traces if id(launch) not in done)


class _Wire:
    """The OpenTelemetry SDK: our values in its data model, its exporters over gRPC."""

    def __init__(self, endpoint: Endpoint) -> None:
        try:
            from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
        except ImportError as problem:
            raise UsageError(
                "--otlp needs the OpenTelemetry packages",
                f"{problem}",
                "python -m pip install 'sealbench[telemetry]'",
            ) from problem
        self._heard = _LastWords()
        self._heard.listen()
        options: dict[str, Any] = {
            "endpoint": endpoint.url,
            "insecure": not endpoint.secure,
            "timeout": SEND_SECONDS,
            "channel_options": _CHANNEL,
        }
        if os.environ.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
            raise UsageError(
                "--otlp was given and OTEL_SDK_DISABLED is true", "the SDK would make no spans", "unset one of the two"
            )
        try:
            self._metrics = OTLPMetricExporter(**options)
            self._spans = OTLPSpanExporter(**options)
        except Exception as problem:  # the exporters read a dozen OTEL_* variables and fail in as many ways
            self._heard.forget()
            raise UsageError(
                "--otlp cannot be set up",
                f"{type(problem).__name__}: {problem}",
                "look at the OTEL_EXPORTER_OTLP_* variables of the environment",
            ) from problem

    def send_metrics(self, launches: Sequence[LaunchView]) -> bool:
        """Whether the endpoint took the state of these attempts."""
        from opentelemetry.sdk.metrics.export import MetricExportResult

        return self._metrics.export(metrics_data(launches)) is MetricExportResult.SUCCESS

    def send_traces(self, launches: Sequence[LaunchView]) -> bool:
        """Whether the endpoint took the traces of these attempts."""
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans = [span for launch in launches for span in sdk_spans(launch_span(launch), launch.attempt.run)]
        return self._spans.export(spans) is SpanExportResult.SUCCESS

    def note(self, text: str) -> None:
        """Remember why something was not sent."""
        self._heard.text = text

    def last_words(self) -> str:
        """What the exporters said last of a failure."""
        return self._heard.text

    def close(self) -> None:
        """Drop the connections; an export under way gives up."""
        self._metrics.shutdown()
        self._spans.shutdown()

    def forget(self) -> None:
        """Give the exporters' loggers back; nobody uses them any more."""
        self._heard.forget()


class _LastWords(logging.Handler):
    """Keeps the exporters' last complaint instead of letting it onto the user's terminal."""

    _LOGGERS = ("opentelemetry.exporter.otlp.proto.grpc.exporter", "opentelemetry.sdk")

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.text = ""
        self._filters: dict[str, list[Any]] = {}

    def listen(self) -> None:
        """Take the exporters' messages; theirs has a filter that drops a complaint which came before."""
        for name in self._LOGGERS:
            logger = logging.getLogger(name)
            self._filters[name], logger.filters = logger.filters, []
            logger.addHandler(self)
            logger.propagate = False

    def forget(self) -> None:
        """Leave the loggers as they were."""
        for name, filters in self._filters.items():
            logger = logging.getLogger(name)
            logger.removeHandler(self)
            logger.filters, logger.propagate = filters, True
        self._filters = {}

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the text on one line."""
        self.text = " ".join(record.getMessage().split())[:300]


def resource(run: str) -> Any:
    """What the numbers belong to: this program and the run. No detectors, no environment variables."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.version import __version__ as sdk_version

    return Resource(
        {
            "service.name": "repro",
            "service.version": __version__,
            "service.instance.id": run,
            "telemetry.sdk.language": "python",
            "telemetry.sdk.name": "opentelemetry",
            "telemetry.sdk.version": sdk_version,
        }
    )


def metrics_data(launches: Sequence[LaunchView]) -> Any:
    """The attempts in the SDK's data model, cumulative, as a MetricProducer of its specification hands them over."""
    from opentelemetry.sdk.metrics.export import MetricsData, ResourceMetrics, ScopeMetrics
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope

    metrics = [metric for one in INSTRUMENTS if (metric := _metric(one, launches)) is not None]
    scope = ScopeMetrics(InstrumentationScope(_SCOPE, __version__), metrics, "")
    return MetricsData([ResourceMetrics(resource(launches[0].attempt.run), [scope], "")])


def _metric(instrument: Instrument, launches: Sequence[LaunchView]) -> Any:
    from opentelemetry.sdk.metrics.export import AggregationTemporality, Gauge, Histogram, Metric, Sum

    cumulative = AggregationTemporality.CUMULATIVE
    points = [_point(point, launch) for launch in launches for point in instrument.read(launch)]
    if not points:
        return None
    data: Any
    match instrument.kind:
        case "histogram":
            data = Histogram(points, cumulative)
        case "counter":
            data = Sum(points, cumulative, is_monotonic=True)
        case "gauge":
            data = Gauge(points)
    return Metric(instrument.name, instrument.help, instrument.unit, data)


def _point(point: Point, launch: LaunchView) -> Any:
    from opentelemetry.sdk.metrics.export import HistogramDataPoint, NumberDataPoint

    attributes = {f"{PREFIX}{key}": value for key, value in point.labels.items()}
    start = launch.steps["begin"] + launch.wall_offset_ns
    now = launch.last_ns + launch.wall_offset_ns
    if not isinstance(point.value, TallyView):
        return NumberDataPoint(attributes, start, now, point.value)
    tally = point.value
    return HistogramDataPoint(
        attributes=attributes,
        start_time_unix_nano=start,
        time_unix_nano=now,
        count=tally.n,
        sum=tally.sum_seconds,
        bucket_counts=tally.counts,
        explicit_bounds=EDGES_SECONDS,
        min=tally.lowest_ns / 1e9,
        max=tally.highest_ns / 1e9,
    )


def sdk_spans(root: SpanData, run: str) -> list[Any]:
    """A trace in the SDK's data model, all spans ended, the root last."""
    from opentelemetry.sdk.trace import SpanLimits, TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON

    kept = InMemorySpanExporter()
    provider = TracerProvider(
        sampler=ALWAYS_ON, resource=resource(run), shutdown_on_exit=False, span_limits=SpanLimits()
    )
    provider.add_span_processor(SimpleSpanProcessor(kept))
    _build(provider.get_tracer(_SCOPE, __version__), root, None)
    return list(kept.get_finished_spans())


def _build(tracer: Any, data: SpanData, parent: Any) -> None:
    from opentelemetry.context import Context
    from opentelemetry.trace import Status, StatusCode, set_span_in_context

    # A context of our own: whatever is current in this thread is not the parent.
    context = Context() if parent is None else set_span_in_context(parent, Context())
    span = tracer.start_span(data.name, context=context, attributes=dict(data.attributes), start_time=data.start_ns)
    for child in data.children:
        _build(tracer, child, span)
    if data.failed:
        span.set_status(Status(StatusCode.ERROR, data.failed))
    span.end(data.end_ns)
