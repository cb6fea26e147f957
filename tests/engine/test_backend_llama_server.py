"""llama.cpp's server, as the catalogue builds and starts it, read by httpx."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.backends import build_backend, running_backend
from tests.support.sdks import in_test_all
from tests.support.wires import anthropic_chat, characters, openai_chat, openai_embedding, png

if TYPE_CHECKING:
    from toolkit.engine.docker import DockerEngine

pytestmark = [pytest.mark.timeout(3600), in_test_all]
BACKEND, MODEL = "llama-server", "tiny-random"
# "user: " + 159 characters + "\nassistant:", and the token that begins the text.
PROMPT_TOKENS = 1 + 6 + 159 + 11


@pytest.fixture(scope="module")
def image(engine: DockerEngine) -> str:
    return build_backend(engine, BACKEND)


@pytest.fixture
def chat(engine: DockerEngine, image: str) -> Iterator[httpx.Client]:
    with running_backend(engine, image, BACKEND, "chat-stream") as running:
        yield running.client


@pytest.fixture
def vision(engine: DockerEngine, image: str) -> Iterator[httpx.Client]:
    with running_backend(engine, image, BACKEND, "chat-image") as running:
        yield running.client


@pytest.fixture
def embed(engine: DockerEngine, image: str) -> Iterator[httpx.Client]:
    with running_backend(engine, image, BACKEND, "embed") as running:
        yield running.client


def test_an_answer_has_as_many_tokens_as_it_was_asked_for_and_is_the_same_each_time(chat: httpx.Client) -> None:
    replies = [
        openai_chat(chat, MODEL, 128),
        openai_chat(chat, MODEL, 128),
        openai_chat(chat, MODEL, 128, temperature=1.5),
    ]
    assert {reply.text for reply in replies} == {replies[0].text}
    for reply in replies:
        assert len(reply.pieces) == reply.output_tokens == 128
        assert reply.prompt_tokens == PROMPT_TOKENS
        assert reply.finish == "length"


def test_anthropics_wire_format_gives_the_same_answer(chat: httpx.Client) -> None:
    reply = anthropic_chat(chat, MODEL, 128)
    assert reply.text == openai_chat(chat, MODEL, 128).text
    assert reply.output_tokens == 128
    assert reply.finish == "max_tokens"


def test_the_second_request_does_the_whole_prefill(chat: httpx.Client) -> None:
    body = {"model": MODEL, "max_tokens": 1, "messages": [{"role": "user", "content": "once and again"}]}
    for _ in range(2):
        answer = chat.post("/v1/chat/completions", json=body).json()
        assert answer["usage"]["prompt_tokens_details"]["cached_tokens"] == 0
        assert answer["timings"]["prompt_n"] == answer["usage"]["prompt_tokens"]


def test_the_image_reaches_the_model(vision: httpx.Client) -> None:
    first, again, other = (openai_chat(vision, MODEL, 32, image=png(seed)) for seed in (1, 1, 7))
    assert first.text == again.text != other.text
    assert first.output_tokens == 32
    assert first.prompt_tokens == PROMPT_TOKENS + 16


def test_an_embedding_has_768_components_and_depends_on_the_whole_text(embed: httpx.Client) -> None:
    text = characters(511)
    vector, tokens = openai_embedding(embed, MODEL, text)
    again, _ = openai_embedding(embed, MODEL, text, encoding_format="base64")
    other, _ = openai_embedding(embed, MODEL, "z" + text[1:])
    assert (len(vector), tokens) == (768, 512)
    assert again == pytest.approx(vector, abs=1e-6)
    assert other != vector


def test_it_computes_with_the_vector_instructions_that_its_entry_asks_for(engine: DockerEngine, image: str) -> None:
    # A build that does not recognise its processor gives the same answers, 20 times slower.
    with running_backend(engine, image, BACKEND, "chat-stream", "--log-verbosity", "4") as running:
        (line,) = [line for line in running.log().splitlines() if "system_info" in line]
    assert "AVX2 = 1" in line
    assert "FMA = 1" in line
