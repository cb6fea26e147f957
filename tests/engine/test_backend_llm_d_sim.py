"""llm-d's inference simulator, as the catalogue builds and starts it, read by httpx."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import httpx
import pytest

from tests.support.backends import build_backend, running_backend
from tests.support.sdks import in_test_all
from tests.support.wires import anthropic_chat, openai_chat, openai_embedding

if TYPE_CHECKING:
    from toolkit.engine.docker import DockerEngine

pytestmark = [pytest.mark.timeout(3600), in_test_all]
BACKEND, MODEL = "llm-d-sim", "simulated"


@pytest.fixture(scope="module")
def image(engine: DockerEngine) -> str:
    return build_backend(engine, BACKEND)


@pytest.fixture
def chat(engine: DockerEngine, image: str) -> Iterator[httpx.Client]:
    with running_backend(engine, image, BACKEND, "chat-stream") as running:
        yield running.client


@pytest.fixture
def embed(engine: DockerEngine, image: str) -> Iterator[httpx.Client]:
    with running_backend(engine, image, BACKEND, "embed") as running:
        yield running.client


def test_an_answer_has_as_many_tokens_as_it_was_asked_for(chat: httpx.Client) -> None:
    # Its usual mode draws a length at random; ten equal ones are no accident.
    for tokens in (128, 32, 1, 7, 128, 128, 128, 128, 128, 128):
        reply = openai_chat(chat, MODEL, tokens)
        assert len(reply.pieces) == reply.output_tokens == tokens
        assert reply.finish == "length"


def test_anthropics_wire_format_too(chat: httpx.Client) -> None:
    reply = anthropic_chat(chat, MODEL, 128)
    assert len(reply.pieces) == reply.output_tokens == 128
    assert reply.finish == "max_tokens"


def test_it_keeps_the_pace_that_it_is_started_with(chat: httpx.Client) -> None:
    began = time.monotonic()
    openai_chat(chat, MODEL, 128)
    assert time.monotonic() - began >= 0.02 + 127 * 0.001


def test_an_embedding_has_768_components_and_a_token_for_each_word(embed: httpx.Client) -> None:
    vector, tokens = openai_embedding(embed, MODEL, " ".join(["bugo", "tika"] * 256))
    again, _ = openai_embedding(embed, MODEL, " ".join(["bugo", "tika"] * 256), encoding_format="base64")
    assert len(vector) == 768
    assert tokens == 512
    assert again == pytest.approx(vector, abs=1e-6)
