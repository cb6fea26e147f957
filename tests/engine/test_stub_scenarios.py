"""What a model's name asks of the stub, seen by httpx: each scenario does what the probes rely on."""

from __future__ import annotations

import itertools
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import httpcore
import httpx
import pytest

from tests.support.stub import Stub, build_stub, frames, running_stub

TOKENS = 100
PATIENCE_SECONDS = 300


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_stub(tmp_path_factory.mktemp("stub"))


@pytest.fixture
def stub(program: Path, tmp_path: Path) -> Iterator[Stub]:
    with running_stub(program, tmp_path) as running:
        yield running


@pytest.fixture
def client(stub: Stub) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stub.url, trust_env=False, timeout=PATIENCE_SECONDS) as open_client:
        yield open_client


def ask(scenario: str, **more: Any) -> dict[str, Any]:
    """A streamed chat."""
    message = {"role": "user", "content": "one two three"}
    return {"model": f"stub+{scenario}", "stream": True, "max_tokens": TOKENS, "messages": [message]} | more


def answer(client: httpx.Client, scenario: str, **more: Any) -> list[str]:
    """The events of a whole stream, each without its ``data:``."""
    response = client.post("/v1/chat/completions", json=ask(scenario, **more))
    assert response.status_code == 200
    return [event.removeprefix("data: ") for event in response.text.split("\n\n")[:-1]]


def text_of(event: str) -> str:
    return str(json.loads(event)["choices"][0]["delta"].get("content", ""))


@pytest.mark.parametrize("size", [63 << 10, 65 << 10, 600 << 10, 9 << 20])
def test_one_frame_is_big(client: httpx.Client, size: int) -> None:
    events = answer(client, f"frame={size}")
    assert len(events) == TOKENS + 2
    sizes = [len(text_of(event)) for event in events[:TOKENS]]
    assert sizes == [20] * 63 + [size] + [20] * (TOKENS - 64)


def test_comments_come_before_the_first_token(client: httpx.Client) -> None:
    events = answer(client, "comments=301")
    assert events[:301] == [": keep-alive"] * 301
    assert len(events) == 301 + TOKENS + 2


def test_a_corrupt_frame_takes_a_tokens_place(client: httpx.Client) -> None:
    events = answer(client, "corrupt=7")
    with pytest.raises(json.JSONDecodeError):
        json.loads(events[6])
    assert len([text for event in events[:6] + events[7:-1] if (text := text_of(event))]) == TOKENS - 1


def test_a_truncated_answer_ends_cleanly_and_without_a_reason(client: httpx.Client) -> None:
    events = answer(client, "truncate=5")
    assert len(events) == 5
    assert all(json.loads(event)["choices"][0]["finish_reason"] is None for event in events)


def test_the_number_of_tokens_is_the_scenarios(client: httpx.Client) -> None:
    assert len(answer(client, "tokens=3")) == 3 + 2


@pytest.mark.parametrize("body", [ask("chinese"), ask("chinese", stream=False)], ids=["stream", "whole"])
def test_chinese_text_is_complete(client: httpx.Client, body: dict[str, Any]) -> None:
    response = client.post("/v1/chat/completions", json=body)
    expected = "".join(chr(0x4E00 + index) for index in range(4 * TOKENS))
    if body["stream"]:
        text = "".join(text_of(event.removeprefix("data: ")) for event in response.text.split("\n\n")[:TOKENS])
    else:
        text = response.json()["choices"][0]["message"]["content"]
    assert text == expected


def test_chinese_frames_reach_the_client_in_halves(stub: Stub) -> None:
    """Each frame is written in two pieces that split a character.

    Each piece is a chunk of HTTP/1.1 (RFC 9112, 7.1), which shows how it was written also to a client that was late and
    found both in its socket.
    """
    body = json.dumps(ask("chinese+tokens=20")).encode()
    head = f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with socket.create_connection(("127.0.0.1", stub.port), PATIENCE_SECONDS) as wire:
        wire.sendall(head + body)
        pieces = list(chunks(wire.makefile("rb")))
    assert b"[DONE]" in pieces[-1]
    halves = [piece for piece in pieces if not is_text(piece)]
    assert len(halves) == 2 * 20
    assert all(is_text(first + second) for first, second in zip(halves[::2], halves[1::2], strict=True))


def chunks(stream: BinaryIO) -> Iterator[bytes]:
    """The chunks of an answer's body, after its head."""
    while stream.readline().strip():
        pass
    while size := int(stream.readline(), 16):
        yield stream.read(size)
        assert stream.readline() == b"\r\n"


def is_text(piece: bytes) -> bool:
    try:
        piece.decode()
    except UnicodeDecodeError:
        return False
    return True


def test_a_stalled_answer_stays_open_until_the_client_goes(client: httpx.Client) -> None:
    with client.stream("POST", "/v1/chat/completions", json=ask("stall=10")) as response:
        read = frames(response)  # kept: a response that nobody reads any more is closed
        assert len(list(itertools.islice(read, 10))) == 10
        with pytest.raises(httpcore.ReadTimeout):
            response.extensions["network_stream"].read(1, timeout=1)
        in_flight(client, 1)
    in_flight(client, 0)


def test_an_answer_without_an_end_goes_on_a_millisecond_apart(client: httpx.Client) -> None:
    asked = time.monotonic_ns()
    with client.stream("POST", "/v1/chat/completions", json=ask("endless")) as response:
        read = frames(response)  # kept: a response that nobody reads any more is closed
        events = list(itertools.islice(read, 3 * TOKENS))
        stamps = [int(text_of(event.decode().removeprefix("data: "))[1:19]) for event, _ in events]
        # None before it was due; how much later is the machine's affair.
        assert all(stamp - asked >= number * 1_000_000 for number, stamp in enumerate(stamps))
        in_flight(client, 1)
    in_flight(client, 0)


def in_flight(client: httpx.Client, wanted: int) -> None:
    """Wait until as many requests are in flight."""
    stats_with(client, "in_flight", wanted)


def stats_with(client: httpx.Client, name: str, wanted: int) -> dict[str, Any]:
    """The statistics as soon as one of them is so: that a client has gone is noticed a moment later."""
    end = time.monotonic() + PATIENCE_SECONDS
    while (found := client.get("/stub/stats").json())[name] != wanted:
        assert time.monotonic() < end, found
        time.sleep(0.005)
    return dict(found)


def test_a_share_of_requests_is_refused_and_the_seed_says_which(program: Path, tmp_path: Path) -> None:
    def statuses(seed: int) -> list[int]:
        with running_stub(program, tmp_path, seed=seed) as stub, httpx.Client(trust_env=False, timeout=60) as client:
            url = stub.url + "/v1/chat/completions"
            return [client.post(url, json=ask("status=0.2+tokens=1")).status_code for _ in range(300)]

    one = statuses(1)
    assert set(one) == {200, 503}
    assert 30 <= one.count(503) <= 90
    assert one == statuses(1)
    assert one != statuses(2)


@pytest.mark.parametrize("scenario", ["rain", "tokens", "tokens=0", "status=2", "endless=1", "frame=many", ""])
def test_what_is_no_scenario_is_no_model(client: httpx.Client, scenario: str) -> None:
    assert client.post("/v1/chat/completions", json=ask(scenario)).status_code == 404


def test_the_faults_of_the_settings_hold_for_every_format(program: Path, tmp_path: Path) -> None:
    gemini = {"contents": [{"parts": [{"text": "a"}]}]}
    asked = [
        ("/v1/messages", ask("tokens=8") | {"model": "stub"}),
        ("/v1beta/models/stub:streamGenerateContent?alt=sse", gemini),
        ("/api/chat", ask("") | {"model": "stub"}),
        ("/api/embed", {"model": "stub", "input": "a"}),
    ]
    with running_stub(program, tmp_path, fault="http503:1") as stub:
        for path, body in asked:
            assert httpx.post(stub.url + path, json=body, trust_env=False, timeout=PATIENCE_SECONDS).status_code == 503
    with running_stub(program, tmp_path, fault="reset:1") as stub:
        for path, body in asked:
            with pytest.raises((httpx.ReadError, httpx.RemoteProtocolError)):
                httpx.post(stub.url + path, json=body, trust_env=False, timeout=PATIENCE_SECONDS)
    with running_stub(program, tmp_path, fault="truncate:1") as stub:
        endings = [
            httpx.post(stub.url + path, json=body, trust_env=False, timeout=PATIENCE_SECONDS).text
            for path, body in asked[:3]
        ]
    assert not any(word in text for text in endings for word in ("message_stop", "finishReason", '"done":true'))


def test_stats_and_reset(client: httpx.Client, stub: Stub) -> None:
    empty = {"requests": 0, "connections_opened": 0, "connections_open": 0, "in_flight": 0, "last": None}
    client.post("/stub/reset")  # who waited for the port opened a connection as well
    assert stats_with(client, "connections_open", 0) == empty
    for _ in range(3):
        httpx.post(
            stub.url + "/v1/embeddings",
            json={"model": "stub", "input": "a b", "encoding_format": "base64"},
            trust_env=False,
            timeout=PATIENCE_SECONDS,
        )
    found = stats_with(client, "in_flight", 0)
    assert (found["requests"], found["connections_opened"]) == (3, 3)
    assert found["last"] == {
        "path": "/v1/embeddings", "model": "stub", "messages": 1, "images": 0, "image_sha256": "", "max_tokens": 0,
        "stream": False, "encoding_format": "base64", "prompt": "a b",
    }  # fmt: skip
    assert client.post("/stub/reset").status_code == 204
    assert stats_with(client, "connections_open", 0) == empty
