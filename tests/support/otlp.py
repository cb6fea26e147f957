"""An OTLP receiver: the protocol's own services, over real gRPC, in this process."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import grpc
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import (
    ExportMetricsServiceRequest,
    ExportMetricsServiceResponse,
)
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2_grpc import (
    MetricsServiceServicer,
    add_MetricsServiceServicer_to_server,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import (
    TraceServiceServicer,
    add_TraceServiceServicer_to_server,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.support.oracle import COMMON, Numbers, key
from toolkit.telemetry.instruments import INSTRUMENTS


@dataclass
class Received:
    """Everything that came, in order."""

    port: int = 0
    metrics: list[ExportMetricsServiceRequest] = field(default_factory=list)
    traces: list[ExportTraceServiceRequest] = field(default_factory=list)
    hold: threading.Event | None = None

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def spans(self) -> list[Any]:
        """All spans of all traces."""
        return [
            span
            for request in self.traces
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]

    def resources(self) -> list[dict[str, Any]]:
        """What each request says that it is about."""
        found = [one.resource for request in self.metrics for one in request.resource_metrics]
        found += [one.resource for request in self.traces for one in request.resource_spans]
        return [plain(one.attributes) for one in found]

    def last_numbers(self) -> Numbers:
        """The last value of every series, under its Prometheus name so that both channels compare with one oracle."""
        found: Numbers = {}
        for request in self.metrics:
            for resource in request.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        found |= _numbers(metric)
        return found


def plain(attributes: list[KeyValue]) -> dict[str, Any]:
    """Attributes as a mapping."""
    return {one.key: getattr(one.value, str(one.value.WhichOneof("value"))) for one in attributes}


def _numbers(metric: Any) -> Numbers:
    series = next(one for one in INSTRUMENTS if one.name == metric.name)
    assert (metric.unit, metric.description) == (series.unit, series.help)
    found: Numbers = {}
    kind = metric.WhichOneof("data")
    if kind == "sum":
        assert metric.sum.is_monotonic
    for point in getattr(metric, kind).data_points:
        labels = {name.removeprefix("repro."): value for name, value in plain(point.attributes).items()}
        assert set(COMMON) <= set(labels)
        labels = {name: value for name, value in labels.items() if name not in COMMON}
        if metric.name == "repro.launch.info":
            continue
        if kind != "histogram":
            found[key(series.prometheus_series, **labels)] = float(getattr(point, point.WhichOneof("value")))
            continue
        name, total = series.prometheus_series, 0
        found[key(f"{name}_sum", **labels)] = point.sum
        found[key(f"{name}_count", **labels)] = float(point.count)
        edges = [str(edge) for edge in point.explicit_bounds] + ["+Inf"]
        for edge, count in zip(edges, point.bucket_counts, strict=True):
            total += count
            found[key(f"{name}_bucket", **labels, le=edge)] = float(total)
    return found


@contextmanager
def closed_port() -> Iterator[int]:
    """A port of loopback on which nobody listens, kept from everybody else meanwhile; a receiver may listen there."""
    with socket.socket() as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # as gRPC's servers have it
        one.bind(("127.0.0.1", 0))
        yield one.getsockname()[1]


@contextmanager
def receiver(port: int = 0, hold: threading.Event | None = None) -> Iterator[Received]:
    """Listen on loopback. ``hold``: answer nothing until it is set."""
    received = Received(hold=hold)

    class Metrics(MetricsServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportMetricsServiceResponse:  # noqa: N802
            if hold is not None:
                hold.wait(800)
            received.metrics.append(request)
            return ExportMetricsServiceResponse()

    class Traces(TraceServiceServicer):
        def Export(self, request: Any, context: Any) -> ExportTraceServiceResponse:  # noqa: N802
            if hold is not None:
                hold.wait(800)
            received.traces.append(request)
            return ExportTraceServiceResponse()

    server = grpc.server(ThreadPoolExecutor(4))
    add_MetricsServiceServicer_to_server(Metrics(), server)
    add_TraceServiceServicer_to_server(Traces(), server)
    received.port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield received
    finally:
        if hold is not None:
            hold.set()
        server.stop(0).wait(60)
