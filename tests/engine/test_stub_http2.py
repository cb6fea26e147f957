"""HTTP/2 at the stub: over TLS by httpx, in the clear (prior knowledge) by the h2 package on a bare socket."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h2.config
import h2.connection
import h2.events
import httpx
import pytest

from tests.support.stub import Stub, build_stub, running_stub

PATIENCE_SECONDS = 300
CHAT: dict[str, Any] = {
    "model": "stub",
    "stream": True,
    "max_tokens": 16,
    "messages": [{"role": "user", "content": "one two three"}],
}


@pytest.fixture(scope="module")
def stub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stub]:
    folder = tmp_path_factory.mktemp("stub")
    with running_stub(build_stub(folder), folder) as running:
        yield running


def h2c_post(port: int, path: str, body: dict[str, Any]) -> tuple[dict[str, str], bytes]:
    """One POST in HTTP/2 without TLS and without an upgrade: answer headers and body."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE_SECONDS) as wire:
        connection = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        connection.initiate_connection()
        headers = [(":method", "POST"), (":scheme", "http"), (":authority", "127.0.0.1"), (":path", path)]
        connection.send_headers(1, headers)
        connection.send_data(1, json.dumps(body).encode(), end_stream=True)
        found: dict[str, str] = {}
        text = b""
        while True:
            wire.sendall(connection.data_to_send())
            received = wire.recv(65536)
            assert received, "the server closed the connection"
            for event in connection.receive_data(received):
                if isinstance(event, h2.events.ResponseReceived):
                    found = {str(name): str(value) for name, value in event.headers or []}
                elif isinstance(event, h2.events.DataReceived):
                    text += event.data or b""
                    connection.acknowledge_received_data(event.flow_controlled_length or 0, 1)
                elif isinstance(event, h2.events.StreamEnded):
                    return found, text


def trusting(stub: Stub, folder: Path) -> ssl.SSLContext:
    """Trusts the stub's authority and nothing else."""
    authority = folder / "ca.pem"
    authority.write_text(httpx.get(stub.url + "/stub/ca.pem", trust_env=False, timeout=PATIENCE_SECONDS).text)
    return ssl.create_default_context(cafile=str(authority))


def test_prior_knowledge(stub: Stub) -> None:
    headers, body = h2c_post(stub.port, "/v1/chat/completions", CHAT)
    assert headers[":status"] == "200"
    assert headers["content-type"] == "text/event-stream"
    assert body.count(b"data: ") == 16 + 2
    assert body.endswith(b"data: [DONE]\n\n")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", CHAT),
        ("/v1beta/models/stub:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "a"}]}]}),
        ("/api/chat", CHAT),
    ],
)
def test_prior_knowledge_in_the_other_formats(stub: Stub, path: str, body: dict[str, Any]) -> None:
    headers, text = h2c_post(stub.port, path, body)
    assert headers[":status"] == "200"
    assert text.count(b"w0") >= 16


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_over_tls_one_connection_serves_many_requests(stub: Stub, tmp_path: Path, host: str) -> None:
    httpx.post(stub.url + "/stub/reset", trust_env=False, timeout=PATIENCE_SECONDS)
    url = f"https://{host}:{stub.port + 1}"
    with httpx.Client(
        http2=True, verify=trusting(stub, tmp_path), trust_env=False, base_url=url, timeout=PATIENCE_SECONDS
    ) as client:
        for _ in range(3):
            response = client.post("/v1/chat/completions", json=CHAT)
            assert response.http_version == "HTTP/2"
            assert response.text.endswith("data: [DONE]\n\n")
    found = httpx.get(stub.url + "/stub/stats", trust_env=False, timeout=PATIENCE_SECONDS).json()
    assert (found["requests"], found["connections_opened"]) == (3, 1)


def test_over_tls_http_1_1_is_spoken_too(stub: Stub, tmp_path: Path) -> None:
    url = f"https://127.0.0.1:{stub.port + 1}/v1/models"
    response = httpx.get(url, verify=trusting(stub, tmp_path), trust_env=False, timeout=PATIENCE_SECONDS)
    assert (response.http_version, response.json()["data"][0]["id"]) == ("HTTP/1.1", "stub")


def test_who_does_not_know_the_authority_is_not_served(stub: Stub) -> None:
    with pytest.raises(httpx.ConnectError, match="CERTIFICATE_VERIFY_FAILED"):
        httpx.get(f"https://127.0.0.1:{stub.port + 1}/v1/models", trust_env=False, timeout=PATIENCE_SECONDS)
