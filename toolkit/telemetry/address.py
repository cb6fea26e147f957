"""Where a channel goes: ``--prometheus ADDR`` and ``--otlp ENDPOINT``, read before anything starts."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from toolkit.errors import UsageError

LOOPBACK = "127.0.0.1"
_HIGHEST_PORT = 65535


@dataclass(frozen=True)
class Address:
    """A host and a TCP port."""

    host: str
    port: int

    @property
    def text(self) -> str:
        """As in a URL: an IPv6 address in brackets."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Endpoint:
    """An OTLP receiver that speaks gRPC; ``secure``: over TLS."""

    address: Address
    secure: bool

    @property
    def url(self) -> str:
        """As the exporter takes it."""
        return f"{'https' if self.secure else 'http'}://{self.address.text}"


def listen_address(text: str) -> Address:
    """``HOST:PORT``, ``[IPV6]:PORT``, ``:PORT`` or ``PORT`` (both: loopback only). Raises UsageError."""
    whole = text if ":" in text else f":{text}"
    try:
        return _address(whole, default_host=LOOPBACK, lowest_port=0)
    except ValueError as problem:
        raise UsageError(
            f"--prometheus '{text}' is no address to listen on",
            str(problem),
            "for example --prometheus :9464, which only this machine can reach",
        ) from problem


def otlp_endpoint(text: str) -> Endpoint:
    """``http://HOST:PORT`` (plain), ``https://HOST:PORT`` (TLS) or ``HOST:PORT`` (plain). Raises UsageError."""
    scheme, mark, rest = text.partition("://")
    try:
        if mark and scheme not in ("http", "https"):
            raise ValueError(f"'{scheme}' is neither http nor https")
        place = (rest if mark else text).removesuffix("/")
        if any(sign in place for sign in "/?#"):
            raise ValueError("OTLP over gRPC has no path")
        if "@" in place:
            raise ValueError(
                "a user or password does not belong on a command line: OTEL_EXPORTER_OTLP_HEADERS takes them"
            )
        return Endpoint(_address(place, default_host="", lowest_port=1), scheme == "https" and bool(mark))
    except ValueError as problem:
        raise UsageError(
            f"--otlp '{text}' is no OTLP endpoint", str(problem), "for example --otlp http://127.0.0.1:4317 (gRPC)"
        ) from problem


def _address(text: str, *, default_host: str, lowest_port: int) -> Address:
    """Raises ValueError, also for what urlsplit refuses (a broken IPv6 address, a port that is no number)."""
    if not text.isascii() or not text.isprintable() or any(sign.isspace() for sign in text):
        raise ValueError("it holds characters that no address has")
    parts = urlsplit(f"//{text}")
    if parts.netloc != text or "@" in text:
        raise ValueError("it is HOST:PORT and nothing else")
    host, port = parts.hostname or default_host, parts.port
    if not host:
        raise ValueError("the host is missing")
    if port is None:
        raise ValueError("the port is missing")
    if not lowest_port <= port <= _HIGHEST_PORT:
        raise ValueError(f"ports go from {lowest_port} to {_HIGHEST_PORT}")
    return Address(host, port)
