"""Names of arms and cells."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.model.names import SEGMENT_LIMIT, arm_name, cell_id, on_disk, segment

ALPHABET = "abcdefghijklmnopqrstuvwxyz0123456789._=,+-"
SEGMENTS = st.text(ALPHABET, min_size=1, max_size=200)


@given(SEGMENTS)
def test_a_segment_is_never_longer_than_the_limit(text: str) -> None:
    assert len(segment(text)) <= SEGMENT_LIMIT
    assert re.fullmatch(r"[a-z0-9._=,+-]+", segment(text))


@given(SEGMENTS)
def test_a_segment_is_stable_under_itself(text: str) -> None:
    assert segment(segment(text)) == segment(text)


@given(st.sets(SEGMENTS, min_size=2, max_size=8))
def test_different_texts_stay_different(texts: set[str]) -> None:
    assert len({segment(text) for text in texts}) == len(texts)


def test_a_long_segment_keeps_51_characters_and_12_digits_of_its_digest() -> None:
    short = segment("a" * 65)
    assert short[:52] == "a" * 51 + "+"
    assert re.fullmatch(r"[0-9a-f]{12}", short[52:])


@pytest.mark.parametrize("text", ["", "A", "a/b", "a b", "ä", "a:b", "a\n"])
def test_other_characters_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="may only hold"):
        segment(text)


def test_an_arm_is_its_sorted_settings() -> None:
    assert arm_name({"rate_hz": "80", "gogc": "200"}) == "gogc=200,rate_hz=80"
    assert arm_name({}) == "default"


def test_a_cell_is_three_segments_and_one_folder() -> None:
    cell = cell_id("go-openai", "chat-stream-128", "default")
    assert cell == "go-openai/chat-stream-128/default"
    assert on_disk(cell) == "go-openai--chat-stream-128--default"
