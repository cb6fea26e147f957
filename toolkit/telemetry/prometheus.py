"""``--prometheus``: the live state in Prometheus' exposition formats, served where and as long as the run wants it.

The only module that imports prometheus_client, inside functions. Both formats come from the library: the text format
and, for a scraper that asks for it, OpenMetrics.
"""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from toolkit.errors import UsageError
from toolkit.telemetry.address import Address
from toolkit.telemetry.instrument import Instrument, Point
from toolkit.telemetry.instruments import INSTRUMENTS
from toolkit.telemetry.state import COMMON_LABELS, LaunchView, LiveState
from toolkit.telemetry.tally import EDGES_SECONDS, TallyView

REQUEST_SECONDS = 5.0
"""A client that reads more slowly than that is dropped: closing the server waits for answers under way."""

PATIENCE_SECONDS = 65.0
"""The longest wait for one more scrape; scrape intervals beyond a minute are rare."""

FIRST_PATIENCE_SECONDS = 16.0
"""The wait when only one scrape was seen, so that nobody knows the interval: 15 s is what most configurations use."""

LEAST_PATIENCE_SECONDS = 5.0
_MARGIN_SECONDS = 1.0


class Exporter:
    """An HTTP server on one address and nothing else. Its threads inherit the CPUs of the thread that opens it."""

    def __init__(self, state: LiveState, address: Address) -> None:
        """Bind at once. Raises UsageError when the library is missing or the address cannot be had."""
        registry = _registry(state, self._scraped)
        self._scrapes: list[float] = []
        self._changed = threading.Condition()
        self._server = _listen(address, registry)
        host, port = self._server.server_address[:2]
        self.url = f"http://{Address(host, port).text}/metrics"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.2,), name="prometheus", daemon=True)
        self._thread.start()

    def linger_seconds(self, now: float | None = None) -> float:
        """How long one more scrape may take, in seconds; 0 when nobody has scraped, or nobody does any more."""
        now = time.monotonic() if now is None else now
        with self._changed:
            scrapes = list(self._scrapes)
        if not scrapes:
            return 0.0
        gaps = [after - before for before, after in itertools.pairwise(scrapes)]
        longest = max(gaps) + _MARGIN_SECONDS if gaps else FIRST_PATIENCE_SECONDS
        limit = min(max(longest, LEAST_PATIENCE_SECONDS), PATIENCE_SECONDS)
        return limit if now - scrapes[-1] <= limit else 0.0

    def linger(self, seconds: float) -> bool:
        """Wait until a scrape begins that sees everything up to now, at most so long; whether one came."""
        began = time.monotonic()
        with self._changed:
            return self._changed.wait_for(lambda: bool(self._scrapes) and self._scrapes[-1] > began, seconds)

    def close(self) -> None:
        """Stop listening; answers under way are finished first, for at most ``REQUEST_SECONDS``."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(REQUEST_SECONDS)

    def _scraped(self) -> None:
        with self._changed:
            self._scrapes = [*self._scrapes[-8:], time.monotonic()]
            self._changed.notify_all()


def exposition(launches: list[LaunchView], *, openmetrics: bool = False) -> bytes:
    """What a scrape of these attempts answers. Raises UsageError when the library is missing."""
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.openmetrics import exposition as openmetrics_format

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(lambda: launches))
    encode: Callable[[Any], bytes] = openmetrics_format.generate_latest if openmetrics else generate_latest
    return encode(registry)


class _Collector:
    """What the library asks at each scrape."""

    def __init__(self, launches: Callable[[], list[LaunchView]]) -> None:
        self._launches = launches

    def collect(self) -> Iterator[Any]:
        """Every instrument that has a value, as the library's families."""
        launches = self._launches()
        for instrument in INSTRUMENTS:
            points = [point for launch in launches for point in instrument.read(launch)]
            if points:
                yield _family(instrument, points)


def _family(instrument: Instrument, points: list[Point]) -> Any:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily

    kinds = {"counter": CounterMetricFamily, "gauge": GaugeMetricFamily, "histogram": HistogramMetricFamily}
    labels = (*COMMON_LABELS, *instrument.labels)
    family: Any = kinds[instrument.kind](
        instrument.prometheus_name, instrument.help, labels=labels, unit=instrument.prometheus_unit
    )
    for point in points:
        values = [point.labels[label] for label in labels]
        if isinstance(point.value, TallyView):
            family.add_metric(values, buckets=_buckets(point.value), sum_value=point.value.sum_seconds)
        else:
            family.add_metric(values, point.value)
    return family


def _buckets(tally: TallyView) -> list[tuple[str, int]]:
    from prometheus_client.utils import floatToGoString

    spelt: Callable[[float], str] = floatToGoString
    edges = [spelt(edge) for edge in (*EDGES_SECONDS, float("inf"))]
    return list(zip(edges, tally.cumulative, strict=True))


def _registry(state: LiveState, scraped: Callable[[], None]) -> Any:
    try:
        from prometheus_client import CollectorRegistry
    except ImportError as problem:
        raise UsageError(
            "--prometheus needs the package prometheus-client",
            f"{problem}",
            "python -m pip install 'sealbench[telemetry]'",
        ) from problem

    def launches() -> list[LaunchView]:
        scraped()
        return state.views()

    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(launches))
    return registry


def _listen(address: Address, registry: Any) -> Any:
    from socketserver import TCPServer
    from wsgiref.simple_server import WSGIRequestHandler

    from prometheus_client import make_wsgi_app
    from prometheus_client.exposition import ThreadingWSGIServer

    class Handler(WSGIRequestHandler):
        """Says nothing, and waits for nobody."""

        timeout = REQUEST_SECONDS

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
            """Our standard error belongs to the run."""

    class Server(ThreadingWSGIServer):
        """Answers are joined when it closes; no name is looked up (the library's own bind asks for the host's)."""

        daemon_threads = False

        def server_bind(self) -> None:
            TCPServer.server_bind(self)
            self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])
            self.setup_environ()

        def handle_error(self, request: Any, client_address: Any) -> None:
            """A client that went away is its own affair."""

    try:
        family, _kind, _protocol, _name, place = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        Server.address_family = family
        server = Server(place[:2], Handler)  # type: ignore[arg-type]
    except OSError as problem:
        raise UsageError(
            f"--prometheus cannot listen on {address.text}",
            problem.strerror or str(problem),
            "choose a free port of an address of this machine, or :0 for any free port",
        ) from problem
    server.set_app(make_wsgi_app(registry))
    return server
