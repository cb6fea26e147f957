"""One request in a wire format, and what came back: for backends that are not ours, read by httpx."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from dataclasses import dataclass
from typing import Any

import httpx

Json = dict[str, Any]

WORDS = " ".join(["bugo", "tika", "remo", "lasu", "dipe", "nuba", "gora", "seli"] * 4)
"""32 words, 159 characters."""


@dataclass(frozen=True)
class Reply:
    """A streamed answer: its pieces of text, why it ended, and the server's counts."""

    pieces: tuple[str, ...]
    finish: str
    prompt_tokens: int
    output_tokens: int

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def openai_chat(client: httpx.Client, model: str, tokens: int, *, image: bytes = b"", **more: Any) -> Reply:
    content: Any = WORDS
    if image:
        url = f"data:image/png;base64,{base64.b64encode(image).decode()}"
        content = [{"type": "text", "text": WORDS}, {"type": "image_url", "image_url": {"url": url}}]
    body = {
        "model": model,
        "stream": True,
        "max_tokens": tokens,
        "stream_options": {"include_usage": True},
        "messages": [{"role": "user", "content": content}],
        **more,
    }
    pieces, finish, usage = [], "", {}
    for event in _events(client, "/v1/chat/completions", body):
        usage = event.get("usage") or usage
        for choice in event["choices"]:
            pieces.append(choice["delta"].get("content") or "")
            finish = choice.get("finish_reason") or finish
    return Reply(tuple(filter(None, pieces)), finish, usage["prompt_tokens"], usage["completion_tokens"])


def anthropic_chat(client: httpx.Client, model: str, tokens: int) -> Reply:
    body = {"model": model, "stream": True, "max_tokens": tokens, "messages": [{"role": "user", "content": WORDS}]}
    events = _events(client, "/v1/messages", body)
    assert events[0]["type"] == "message_start"
    assert events[-1]["type"] == "message_stop"
    pieces = [event["delta"]["text"] for event in events if event["type"] == "content_block_delta"]
    (end,) = [event for event in events if event["type"] == "message_delta"]
    prompt = events[0]["message"]["usage"]["input_tokens"]
    return Reply(tuple(filter(None, pieces)), end["delta"]["stop_reason"], prompt, end["usage"]["output_tokens"])


def ollama_chat(client: httpx.Client, model: str, tokens: int, *, image: bytes = b"") -> Reply:
    message: Json = {"role": "user", "content": WORDS}
    if image:
        message["images"] = [base64.b64encode(image).decode()]
    lines = _events(client, "/api/chat", {"model": model, "options": {"num_predict": tokens}, "messages": [message]})
    assert [line["done"] for line in lines] == [False] * (len(lines) - 1) + [True]
    pieces = tuple(filter(None, (line["message"]["content"] for line in lines)))
    return Reply(pieces, lines[-1]["done_reason"], lines[-1]["prompt_eval_count"], lines[-1]["eval_count"])


def openai_embedding(client: httpx.Client, model: str, text: str, **more: Any) -> tuple[list[float], int]:
    """The vector (from floats or base64) and the server's count of the text's tokens."""
    answer = _ok(client.post("/v1/embeddings", json={"model": model, "input": text, **more}))
    (row,) = answer["data"]
    vector = row["embedding"]
    if isinstance(vector, str):
        data = base64.b64decode(vector)
        vector = list(struct.unpack(f"<{len(data) // 4}f", data))
    return vector, answer["usage"]["prompt_tokens"]


def ollama_embedding(client: httpx.Client, model: str, text: str) -> tuple[list[float], int]:
    answer = _ok(client.post("/api/embed", json={"model": model, "input": text}))
    (vector,) = answer["embeddings"]
    return vector, answer["prompt_eval_count"]


def png(seed: int) -> bytes:
    """A picture of 56 x 56 pixels; another seed is another picture."""
    rows = b"".join(
        b"\0" + bytes(value for x in range(56) for value in (x * seed % 256, y * 4, x * y * seed % 256))
        for y in range(56)
    )

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 56, 56, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def characters(count: int) -> str:
    """A text of exactly ``count`` characters: one token each for the synthetic GGUF models."""
    return (WORDS + " " + WORDS + " " + WORDS + " " + WORDS)[: count - 1] + "a"


def _events(client: httpx.Client, path: str, body: Json) -> list[Json]:
    """The JSON objects of an event stream or of lines, in order."""
    with client.stream("POST", path, json=body) as response:
        if response.status_code != 200:
            raise AssertionError(f"{path}: {response.status_code} {response.read().decode()}")
        lines = [
            line.removeprefix("data: ") for line in response.iter_lines() if line and not line.startswith("event:")
        ]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def _ok(response: httpx.Response) -> Json:
    assert response.status_code == 200, response.text
    value: Json = response.json()
    return value
