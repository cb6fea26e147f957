"""Addresses and endpoints: what is understood, and that everything else ends in exit 2 with the reason."""

from __future__ import annotations

import pytest

from toolkit.errors import UsageError
from toolkit.telemetry.address import listen_address, otlp_endpoint


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":9464", "127.0.0.1", 9464),
        ("9464", "127.0.0.1", 9464),
        (":0", "127.0.0.1", 0),
        ("192.0.2.1:80", "192.0.2.1", 80),
        ("localhost:9464", "localhost", 9464),
        ("[::1]:9464", "::1", 9464),
    ],
)
def test_an_address_to_listen_on(text: str, host: str, port: int) -> None:
    found = listen_address(text)
    assert (found.host, found.port) == (host, port)


@pytest.mark.parametrize(
    "text",
    [
        "", ":", "host", "host:", ":x", ":65536", ":-1", "http://h:1", "a b:1", "u@h:1", "h:1/metrics", "[::1",
        "::1:9464", "h:1\x1b", "ü:1",
    ],
)  # fmt: skip
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        listen_address(text)
    assert caught.value.exit_code == 2
    assert caught.value.cause
    assert "--prometheus" in caught.value.title


@pytest.mark.parametrize(
    ("text", "url", "secure"),
    [
        ("http://127.0.0.1:4317", "http://127.0.0.1:4317", False),
        ("http://collector:4317/", "http://collector:4317", False),
        ("https://collector.example:443", "https://collector.example:443", True),
        ("localhost:4317", "http://localhost:4317", False),
        ("http://[::1]:4317", "http://[::1]:4317", False),
    ],
)
def test_an_endpoint(text: str, url: str, secure: bool) -> None:
    found = otlp_endpoint(text)
    assert (found.url, found.secure) == (url, secure)


@pytest.mark.parametrize(
    "text",
    [
        "", "http://", "grpc://h:1", "unix:/x", ":4317", "h", "http://h", "h:0", "h:70000", "http://h:4318/v1/metrics",
        "http://u:p@h:1", "h:1?x",
    ],
)  # fmt: skip
def test_what_is_no_endpoint_is_refused(text: str) -> None:
    with pytest.raises(UsageError) as caught:
        otlp_endpoint(text)
    assert caught.value.exit_code == 2
    assert caught.value.cause
