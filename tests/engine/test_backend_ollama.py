"""The Ollama server, as the catalogue builds and starts it, read by httpx in both of its wire formats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.backends import build_backend, running_backend
from tests.support.sdks import in_test_all
from tests.support.wires import characters, ollama_chat, ollama_embedding, openai_chat, openai_embedding, png

if TYPE_CHECKING:
    from toolkit.engine.docker import DockerEngine

pytestmark = [pytest.mark.timeout(3600), in_test_all]
BACKEND, MODEL = "ollama", "tiny-random"
# The synthetic model's own template, not the look-alike that Ollama would put in its place: "user: " + 159 characters +
# "\nassistant:", and the token that begins the text.
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


def test_an_answer_has_as_many_tokens_as_it_was_asked_for_in_both_formats(chat: httpx.Client) -> None:
    replies = [
        ollama_chat(chat, MODEL, 128),
        openai_chat(chat, MODEL, 128),
        openai_chat(chat, MODEL, 128, temperature=1.5),
    ]
    assert {reply.text for reply in replies} == {replies[0].text}
    for reply in replies:
        assert len(reply.pieces) == reply.output_tokens == 128
        assert reply.prompt_tokens == PROMPT_TOKENS
        assert reply.finish == "length"


def test_it_is_ready_when_its_model_is_there_and_computes_on_the_threads_it_was_given(chat: httpx.Client) -> None:
    (model,) = chat.get("/api/tags").json()["models"]
    assert model["name"] == f"{MODEL}:latest"
    parameters = chat.post("/api/show", json={"model": MODEL}).json()["parameters"]
    assert ["num_thread", "1"] in [line.split() for line in parameters.splitlines()]


def test_the_image_reaches_the_model_in_both_formats(vision: httpx.Client) -> None:
    for ask in (ollama_chat, openai_chat):
        first, again, other = (ask(vision, MODEL, 32, image=png(seed)) for seed in (1, 1, 7))
        assert first.text == again.text != other.text
        assert first.output_tokens == 32


def test_an_embedding_has_768_components_in_both_formats(embed: httpx.Client) -> None:
    text = characters(511)
    vector, tokens = ollama_embedding(embed, MODEL, text)
    same, counted = openai_embedding(embed, MODEL, text)
    other, _ = ollama_embedding(embed, MODEL, "z" + text[1:])
    assert (len(vector), tokens, counted) == (768, 511, 511)  # it does not count the token that begins the text
    assert same == pytest.approx(vector, abs=1e-6)
    assert other != vector
