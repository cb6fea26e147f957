"""OpenAI's wire format as the stub speaks it, read by a client that is none of the SDKs: httpx."""

from __future__ import annotations

import base64
import json
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.stub import Stub, build_stub, check_stamps, frames, running_stub, written_at

PATIENCE_SECONDS = 300
CHAT = {"model": "stub", "max_tokens": 16, "messages": [{"role": "user", "content": "one two three"}]}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stub(tmp_path_factory.mktemp("stub"))


@pytest.fixture
def stub(program: Path, tmp_path: Path) -> Iterator[Stub]:
    with running_stub(program, tmp_path, pacing="unpaced", first_token_seconds=0.02, token_seconds=0.001) as running:
        yield running


@pytest.fixture
def client(stub: Stub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub.url, trust_env=False, timeout=PATIENCE_SECONDS) as open_client:
        yield open_client


def read_events(response: httpx.Response) -> tuple[list[str], list[int]]:
    """The data of each server-sent event, and CLOCK_MONOTONIC ns at its arrival; the framing is checked."""
    data, times = [], []
    for event, received in frames(response):
        assert event.startswith(b"data: ")
        assert b"\n" not in event
        data.append(event[6:].decode())
        times.append(received)
    return data, times


def test_health_is_http_1_1(client: httpx.Client) -> None:
    response = client.get("/healthz")
    assert (response.status_code, response.http_version, response.text) == (200, "HTTP/1.1", "ok\n")


def test_a_stream_is_one_event_per_token(client: httpx.Client) -> None:
    before = time.monotonic_ns()
    body = CHAT | {"stream": True, "stream_options": {"include_usage": True}}
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        assert response.status_code == 200
        assert response.headers["content-type"] == "text/event-stream"
        assert response.headers["transfer-encoding"] == "chunked"
        data, times = read_events(response)
    assert data[-1] == "[DONE]"
    chunks = [json.loads(text) for text in data[:-1]]
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert len(chunks) == 16 + 2
    tokens = [chunk["choices"][0]["delta"]["content"] for chunk in chunks[:16]]
    check_stamps(tokens, times[:16], before)
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks[:17]] == [None] * 16 + ["length"]
    assert chunks[0]["choices"][0]["delta"]["role"] == "assistant"
    assert chunks[17]["choices"] == []
    assert chunks[17]["usage"] == {"prompt_tokens": 3, "completion_tokens": 16, "total_tokens": 19}


def test_usage_comes_only_when_asked_for(client: httpx.Client) -> None:
    with client.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}) as response:
        data, _ = read_events(response)
    assert not any("usage" in text for text in data)


def test_newer_name_of_the_token_limit_wins(client: httpx.Client) -> None:
    body = CHAT | {"max_completion_tokens": 5}
    assert client.post("/v1/chat/completions", json=body).json()["usage"]["completion_tokens"] == 5


def test_an_answer_in_one_piece(client: httpx.Client) -> None:
    response = client.post("/v1/chat/completions", json=CHAT)
    answer = response.json()
    assert response.headers["content-type"] == "application/json"
    assert answer["object"] == "chat.completion"
    assert len(answer["choices"][0]["message"]["content"]) == 16 * 20
    assert answer["choices"][0]["finish_reason"] == "length"


@pytest.mark.parametrize("words", [1, 512])
def test_embedding_as_numbers(client: httpx.Client, words: int) -> None:
    before = time.monotonic_ns()
    answer = client.post("/v1/embeddings", json={"model": "stub", "input": " ".join(["word"] * words)}).json()
    vector = answer["data"][0]["embedding"]
    assert answer["usage"] == {"prompt_tokens": words, "total_tokens": words}
    assert len(vector) == 768
    assert before < written_at(vector) < time.monotonic_ns()
    assert all(-1 < value < 1 for value in vector)
    assert answer["data"][0]["index"] == 0
    assert answer["object"] == "list"


def test_embedding_as_base64_is_the_same_vector(client: httpx.Client) -> None:
    body: dict[str, Any] = {"model": "stub", "input": ["a", "b c"]}
    plain = client.post("/v1/embeddings", json=body).json()["data"][1]["embedding"]
    packed = client.post("/v1/embeddings", json=body | {"encoding_format": "base64"}).json()["data"][1]["embedding"]
    values = struct.unpack("<768f", base64.b64decode(packed, validate=True))
    assert list(values[4:]) == [struct.unpack("<f", struct.pack("<f", value))[0] for value in plain[4:]]
    assert written_at(list(values)) > written_at(plain)


def test_another_number_of_dimensions(client: httpx.Client) -> None:
    answer = client.post("/v1/embeddings", json={"model": "stub", "input": "a", "dimensions": 256}).json()
    assert len(answer["data"][0]["embedding"]) == 256


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/v1/chat/completions", "{", 400),
        ("/v1/chat/completions", '{"messages":[{"role":"user","content":"a"}]}', 400),
        ("/v1/embeddings", '{"model":"stub","input":[]}', 400),
        ("/v1/completions", "{}", 404),
    ],
)
def test_errors_are_openais_object(client: httpx.Client, path: str, body: str, status: int) -> None:
    response = client.post(path, content=body)
    assert response.status_code == status
    error = response.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["type"] == "invalid_request_error"


def test_connections_are_kept(client: httpx.Client) -> None:
    streams = set()
    for _ in range(3):
        with client.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}) as response:
            read_events(response)
            streams.add(response.extensions["network_stream"].get_extra_info("client_addr"))
    assert len(streams) == 1


def test_paced_frames_are_on_time_and_the_delays_are_recorded(program: Path, tmp_path: Path) -> None:
    settings = {"pacing": "paced", "first_token_seconds": 0.05, "token_seconds": 0.02}
    with running_stub(program, tmp_path, **settings) as stub:
        sent = time.monotonic_ns()
        with httpx.stream(
            "POST",
            stub.url + "/v1/chat/completions",
            json=CHAT | {"stream": True},
            trust_env=False,
            timeout=PATIENCE_SECONDS,
        ) as response:
            data, _ = read_events(response)
        written = [int(json.loads(text)["choices"][0]["delta"]["content"][1:19]) for text in data[:16]]
        for index, moment in enumerate(written):
            assert moment - sent >= (0.05 + 0.02 * index) * 1e9
        assert stub.stop() == 0
        (values,) = stub.read("values")
        assert values["name"] == "backend.delay_seconds"
        assert len(values["values_ns"]) == 16
        assert min(values["values_ns"]) >= 0
        assert stub.read("counts")[-1]["value"] == 1


def embed(stub: Stub) -> httpx.Response:
    """One embedding on a connection of its own."""
    body = {"model": "stub", "input": "a"}
    return httpx.post(stub.url + "/v1/embeddings", json=body, trust_env=False, timeout=PATIENCE_SECONDS)


@pytest.mark.parametrize(("fault", "error"), [("reset:1", httpx.ReadError), ("truncate:1", httpx.RemoteProtocolError)])
def test_broken_answers(program: Path, tmp_path: Path, fault: str, error: type[Exception]) -> None:
    with running_stub(program, tmp_path, fault=fault) as stub, pytest.raises(error):
        embed(stub)


def test_faults_that_are_answers(program: Path, tmp_path: Path) -> None:
    with running_stub(program, tmp_path, fault="http503:1") as stub:
        response = embed(stub)
        assert (response.status_code, response.json()["error"]["type"]) == (503, "server_error")
    with running_stub(program, tmp_path, fault="corrupt:1") as stub:
        response = embed(stub)
        with pytest.raises(json.JSONDecodeError):
            response.json()
    with running_stub(program, tmp_path, fault="never_ready") as stub:
        assert httpx.get(stub.url + "/healthz", trust_env=False, timeout=PATIENCE_SECONDS).status_code == 503


def test_a_backend_that_dies(program: Path, tmp_path: Path) -> None:
    # Not by way of running_stub: on a slow machine it is over before anybody has met it.
    config = {"schema": "repro.backend/1", "listen": "127.0.0.1:0", "fault": "exit_after:0.3"}
    done = subprocess.run(
        [program], env={"REPRO_BACKEND": json.dumps(config)}, capture_output=True, text=True, check=False,
        timeout=PATIENCE_SECONDS,
    )  # fmt: skip
    assert done.returncode == 1
    assert "ending, as the fault asks for" in done.stderr
