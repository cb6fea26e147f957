"""Anthropic's, Gemini's and Ollama's wire formats as the stub speaks them, read by httpx."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import struct
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.stub import Stub, build_stub, check_stamps, frames, running_stub, written_at

PATIENCE_SECONDS = 300
ANTHROPIC: dict[str, Any] = {
    "model": "stub",
    "max_tokens": 16,
    "messages": [{"role": "user", "content": "one two three"}],
}
GEMINI: dict[str, Any] = {
    "contents": [{"role": "user", "parts": [{"text": "one two three"}]}],
    "generationConfig": {"maxOutputTokens": 16},
}
OLLAMA: dict[str, Any] = {
    "model": "stub",
    "options": {"num_predict": 16},
    "messages": [{"role": "user", "content": "one two three"}],
}
GENERATE: dict[str, Any] = {"model": "stub", "options": {"num_predict": 16}, "prompt": "one two three"}
MODELS = "/v1beta/models/"


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


def test_anthropic_streams_its_whole_sequence_of_events(client: httpx.Client) -> None:
    before = time.monotonic_ns()
    with client.stream("POST", "/v1/messages", json=ANTHROPIC | {"stream": True}) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        read = list(frames(response))
    events = []
    for frame, _received in read:
        name, data = frame.decode().split("\n")
        assert name.startswith("event: ")
        assert data.startswith("data: ")
        events.append(json.loads(data[6:]))
        assert events[-1]["type"] == name[7:]
    assert [event["type"] for event in events] == [
        "message_start", "content_block_start", "ping", *["content_block_delta"] * 16,
        "content_block_stop", "message_delta", "message_stop",
    ]  # fmt: skip
    message = events[0]["message"]
    assert (message["role"], message["content"], message["stop_reason"]) == ("assistant", [], None)
    assert message["usage"] == {"input_tokens": 3, "output_tokens": 1}
    deltas = events[3:19]
    assert all(event["delta"]["type"] == "text_delta" for event in deltas)
    check_stamps([event["delta"]["text"] for event in deltas], [at for _, at in read[3:19]], before)
    assert events[-2]["delta"]["stop_reason"] == "max_tokens"
    assert events[-2]["usage"] == {"output_tokens": 16}


def test_anthropic_in_one_piece(client: httpx.Client) -> None:
    answer = client.post("/v1/messages", json=ANTHROPIC | {"system": "be brief"}).json()
    assert (answer["type"], answer["stop_reason"]) == ("message", "max_tokens")
    assert answer["usage"] == {"input_tokens": 5, "output_tokens": 16}
    assert len(answer["content"][0]["text"]) == 16 * 20


def test_anthropic_counts_tokens(client: httpx.Client) -> None:
    assert client.post("/v1/messages/count_tokens", json=ANTHROPIC).json() == {"input_tokens": 3}


def test_ollama_generate_takes_a_template(client: httpx.Client) -> None:
    asked = GENERATE | {"template": "Q: {{ .Prompt }} A:", "stream": False}
    answer = client.post("/api/generate", json=asked).json()
    assert answer["prompt_eval_count"] == 5
    assert client.get("/stub/stats").json()["last"]["prompt"] == f"Q: {GENERATE['prompt']} A:"


def test_openai_counts_tokens(client: httpx.Client) -> None:
    path = "/v1/responses/input_tokens"
    counted = client.post(path, json={"model": "stub", "input": "one two three"}).json()
    assert counted == {"object": "response.input_tokens", "input_tokens": 3}
    assert client.post(path, json={"model": "stub", "input": []}).status_code == 400


def test_gemini_streams_events_with_usage_in_each(client: httpx.Client) -> None:
    before = time.monotonic_ns()
    url = f"{MODELS}stub:streamGenerateContent?alt=sse"
    with client.stream("POST", url, json=GEMINI) as response:
        assert response.headers["content-type"] == "text/event-stream"
        read = list(frames(response, b"\r\n\r\n"))
    assert all(frame.startswith(b"data: ") for frame, _ in read)
    chunks = [json.loads(frame[6:]) for frame, _ in read]
    assert len(chunks) == 16 + 1
    tokens = [chunk["candidates"][0]["content"]["parts"][0]["text"] for chunk in chunks]
    check_stamps(tokens[:16], [at for _, at in read[:16]], before)
    assert [chunk["candidates"][0].get("finishReason") for chunk in chunks] == [None] * 16 + ["MAX_TOKENS"]
    assert [chunk["usageMetadata"]["candidatesTokenCount"] for chunk in chunks] == [*range(1, 17), 16]
    assert chunks[-1]["usageMetadata"] == {"promptTokenCount": 3, "candidatesTokenCount": 16, "totalTokenCount": 19}


def test_gemini_without_alt_is_one_json_array(client: httpx.Client) -> None:
    response = client.post(f"{MODELS}stub:streamGenerateContent", json=GEMINI)
    assert response.headers["content-type"].startswith("application/json")
    assert len(response.json()) == 16 + 1


@pytest.mark.parametrize("name", ["stub", "models/stub"])
def test_gemini_in_one_piece(client: httpx.Client, name: str) -> None:
    answer = client.post(f"{MODELS}{name}:generateContent", json=GEMINI).json()
    candidate = answer["candidates"][0]
    assert candidate["finishReason"] == "MAX_TOKENS"
    assert len(candidate["content"]["parts"][0]["text"]) == 16 * 20
    assert answer["usageMetadata"]["totalTokenCount"] == 19


def test_gemini_counts_tokens(client: httpx.Client) -> None:
    assert client.post(f"{MODELS}stub:countTokens", json=GEMINI).json() == {"totalTokens": 3}
    whole = {"generateContentRequest": GEMINI}
    assert client.post(f"{MODELS}stub:countTokens", json=whole).json() == {"totalTokens": 3}


def test_gemini_embeds_one_and_many(client: httpx.Client) -> None:
    before = time.monotonic_ns()
    one = {"model": "models/stub", "content": {"parts": [{"text": "a"}]}}
    vectors = [client.post(f"{MODELS}stub:embedContent", json=one).json()["embedding"]["values"]]
    many = client.post(f"{MODELS}stub:batchEmbedContents", json={"requests": [one, one]}).json()["embeddings"]
    vectors += [embedding["values"] for embedding in many]
    written = [written_at(vector) for vector in vectors]
    assert [len(vector) for vector in vectors] == [768] * 3
    assert before < written[0] < written[1] < written[2] < time.monotonic_ns()
    small = client.post(f"{MODELS}stub:embedContent", json=one | {"outputDimensionality": 256}).json()
    assert len(small["embedding"]["values"]) == 256


@pytest.mark.parametrize(
    ("path", "body", "text_of"),
    [
        ("/api/chat", OLLAMA, lambda line: line["message"]["content"]),
        ("/api/generate", GENERATE, lambda line: line["response"]),
    ],
)
def test_ollama_streams_lines_unless_told_not_to(
    client: httpx.Client, path: str, body: dict[str, Any], text_of: Any
) -> None:
    before = time.monotonic_ns()
    with client.stream("POST", path, json=body) as response:
        assert response.headers["content-type"] == "application/x-ndjson"
        read = list(frames(response, b"\n"))
    lines = [json.loads(line) for line, _ in read]
    assert [line["done"] for line in lines] == [False] * 16 + [True]
    check_stamps([text_of(line) for line in lines[:16]], [at for _, at in read[:16]], before)
    whole = client.post(path, json=body | {"stream": False}).json()
    assert len(text_of(whole)) == 16 * 20
    for done in (lines[-1], whole):
        assert (done["done"], done["done_reason"]) == (True, "length")
        assert (done["prompt_eval_count"], done["eval_count"]) == (3, 16)
        assert done["total_duration"] >= done["prompt_eval_duration"] + done["eval_duration"] > 0


def test_ollama_embeds_by_the_new_and_the_old_endpoint(client: httpx.Client) -> None:
    before = time.monotonic_ns()
    many = client.post("/api/embed", json={"model": "stub", "input": ["a b", "c"]}).json()
    assert many["prompt_eval_count"] == 3
    old = client.post("/api/embeddings", json={"model": "stub", "prompt": "a b"}).json()["embedding"]
    vectors = [*many["embeddings"], old]
    written = [written_at(vector) for vector in vectors]
    assert [len(vector) for vector in vectors] == [768] * 3
    assert before < written[0] < written[1] < written[2] < time.monotonic_ns()
    assert vectors[0][4:] == vectors[2][4:]


def test_ollama_lists_describes_and_says_that_it_runs(client: httpx.Client) -> None:
    assert client.get("/api/tags").json()["models"][0]["name"] == "stub:latest"
    assert client.get("/api/version").json() == {"version": "0.0.0"}
    shown = client.post("/api/show", json={"model": "stub"}).json()
    assert {"completion", "vision", "embedding"} == set(shown["capabilities"])
    assert client.head("/").status_code == 200
    assert client.get("/").text == "Ollama is running"


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/v1/messages", {"model": "stub", "messages": [{"content": "a"}]}, 400,
         {"type": "error", "error": {"type": "invalid_request_error", "message": "max_tokens: Field required"}}),
        ("/v1/messages", ANTHROPIC | {"model": "stub+status=1"}, 503,
         {"type": "error", "error": {"type": "overloaded_error", "message": "overloaded, as asked for"}}),
        (f"{MODELS}stub:generateContent", {"contents": []}, 400,
         {"error": {"code": 400, "message": "messages must not be empty", "status": "INVALID_ARGUMENT"}}),
        (f"{MODELS}stub+status=1:generateContent", GEMINI, 503,
         {"error": {"code": 503, "message": "overloaded, as asked for", "status": "UNAVAILABLE"}}),
        ("/api/chat", OLLAMA | {"model": ""}, 400, {"error": "you must provide a model parameter"}),
        ("/api/chat", OLLAMA | {"model": "stub+status=1"}, 503, {"error": "overloaded, as asked for"}),
        ("/api/pull", {}, 404, {"error": "no such route: POST /api/pull"}),
    ],
)  # fmt: skip
def test_errors_are_the_formats_own_object(
    client: httpx.Client, path: str, body: dict[str, Any], status: int, error: dict[str, Any]
) -> None:
    response = client.post(path, json=body)
    assert (response.status_code, response.json()) == (status, error)


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/messages", ANTHROPIC | {"stream": True}),
        (f"{MODELS}stub:streamGenerateContent?alt=sse", GEMINI),
        ("/api/chat", OLLAMA),
        ("/api/generate", GENERATE),
    ],
)
def test_every_format_keeps_the_pace_and_records_it(
    program: Path, tmp_path: Path, path: str, body: dict[str, Any]
) -> None:
    with running_stub(program, tmp_path, pacing="paced", first_token_seconds=0.05, token_seconds=0.01) as stub:
        sent = time.monotonic_ns()
        text = httpx.post(stub.url + path, json=body, trust_env=False, timeout=PATIENCE_SECONDS).text
        written = [int(digits) for digits in re.findall(r"w(\d{18}) ", text)]
        assert len(written) == 16
        for index, moment in enumerate(written):
            assert moment - sent >= (0.05 + 0.01 * index) * 1e9
        assert stub.stop() == 0
        (values,) = stub.read("values")
        assert (values["name"], len(values["values_ns"])) == ("backend.delay_seconds", 16)
        assert min(values["values_ns"]) >= 0
        assert stub.read("counts")[-1]["value"] == 1


def png(width: int, height: int) -> bytes:
    """A black picture, written by hand: no package of images is needed for it."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = b"".join(b"\0" + bytes(3 * width) for _ in range(height))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def with_image(wire: str, data: bytes) -> tuple[str, dict[str, Any]]:
    """A request about one image."""
    text = base64.b64encode(data).decode()
    if wire == "openai":
        parts = [
            {"type": "text", "text": "what"},
            {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{text}"}},
        ]
        return "/v1/chat/completions", {"model": "stub", "messages": [{"role": "user", "content": parts}]}
    if wire == "anthropic":
        source = {"type": "base64", "media_type": "image/png", "data": text}
        parts = [{"type": "text", "text": "what"}, {"type": "image", "source": source}]
        return "/v1/messages", ANTHROPIC | {"messages": [{"role": "user", "content": parts}]}
    if wire == "gemini":
        parts = [{"text": "what"}, {"inlineData": {"mimeType": "image/png", "data": text}}]
        return f"{MODELS}stub:generateContent", {"contents": [{"role": "user", "parts": parts}]}
    return "/api/chat", OLLAMA | {"messages": [{"role": "user", "content": "what", "images": [text]}]}


@pytest.mark.parametrize("wire", ["openai", "anthropic", "gemini", "ollama"])
def test_an_image_arrives_whole_or_the_request_is_refused(program: Path, tmp_path: Path, wire: str) -> None:
    image = png(56, 56)
    with (
        running_stub(program, tmp_path, images=1) as stub,
        httpx.Client(base_url=stub.url, trust_env=False, timeout=PATIENCE_SECONDS) as client,
    ):
        path, body = with_image(wire, image)
        assert client.post(path, json=body).status_code == 200
        last = client.get("/stub/stats").json()["last"]
        assert (last["images"], last["image_sha256"]) == (1, hashlib.sha256(image).hexdigest())
        assert last["prompt"] == "what"
        path, body = with_image(wire, image[:-30])
        assert client.post(path, json=body).status_code == 400
        plain = {"openai": ANTHROPIC, "anthropic": ANTHROPIC, "gemini": GEMINI, "ollama": OLLAMA}[wire]
        refused = client.post(path, json=plain)
        assert refused.status_code == 400
        assert "0 image(s)" in refused.text
