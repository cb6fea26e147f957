"""CPU lists in the kernel's notation."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.model.cpulist import format_cpulist, parse_cpulist, parse_cpumask

NUMBERS = st.sets(st.integers(0, 8191), min_size=1, max_size=64)


@given(NUMBERS)
def test_formatting_and_parsing_are_inverse(numbers: set[int]) -> None:
    assert parse_cpulist(format_cpulist(numbers)) == tuple(sorted(numbers))


@given(NUMBERS)
def test_the_shortest_notation_has_no_neighbouring_parts(numbers: set[int]) -> None:
    parts = [[int(edge) for edge in part.split("-")] for part in format_cpulist(numbers).split(",")]
    for before, after in pairwise(parts):
        assert before[-1] + 1 < after[0]


@given(st.text(max_size=12))
def test_any_text_is_a_list_or_a_sentence_never_another_error(text: str) -> None:
    try:
        numbers = parse_cpulist(text)
    except ValueError as problem:
        assert str(problem)  # noqa: PT017 (most texts are no list, some are)
    else:
        assert numbers == tuple(sorted(set(numbers)))
        assert numbers


@pytest.mark.parametrize(
    ("text", "numbers"),
    [("0", (0,)), ("0-2,5", (0, 1, 2, 5)), (" 3 , 1 \n", (1, 3)), ("1,1,0-1", (0, 1)), ("2-2", (2,))],
)
def test_lists_that_are_good(text: str, numbers: tuple[int, ...]) -> None:
    assert parse_cpulist(text) == numbers


@pytest.mark.parametrize(
    "text", ["", " ", ",", "0,", "a", "-1", "1-", "3-1", "0-99999", "8192", "1.5", "0x1", "1;2", "٣", "0--1", "²"]
)
def test_lists_that_are_not(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        parse_cpulist(text)


def test_nothing_is_an_empty_text() -> None:
    assert format_cpulist(()) == ""


@given(NUMBERS)
def test_a_mask_is_read_as_the_kernel_writes_it(numbers: set[int]) -> None:
    digits = f"{sum(1 << number for number in numbers):x}"
    whole = digits.rjust(-(-len(digits) // 8) * 8, "0")
    text = ",".join(whole[at : at + 8] for at in range(0, len(whole), 8))
    assert parse_cpumask(text + "\n") == tuple(sorted(numbers))


@pytest.mark.parametrize("text", ["", ",", "1,", "g", "0x1", "123456789", "-1", "1 2"])
def test_masks_that_are_not(text: str) -> None:
    with pytest.raises(ValueError, match="no mask"):
        parse_cpumask(text)
