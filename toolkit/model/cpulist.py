"""CPU and memory node lists in the kernel's own notation (cpuset(7), "List format").

>>> parse_cpulist("0-2,5")
(0, 1, 2, 5)
>>> format_cpulist((5, 0, 1, 2))
'0-2,5'
"""

from __future__ import annotations

import re
from collections.abc import Iterable

_PART = re.compile(r"([0-9]{1,5})(?:-([0-9]{1,5}))?")
_WORD, _WORD_BITS = re.compile(r"[0-9a-fA-F]{1,8}"), 32
_HIGHEST = 8191


def parse_cpulist(text: str) -> tuple[int, ...]:
    """The sorted, distinct numbers of a list such as ``0-3,6``.

    Raises ValueError, with a sentence for people, on anything else (an empty list included).
    """
    numbers: set[int] = set()
    for part in text.strip().split(","):
        match = _PART.fullmatch(part.strip())
        if match is None:
            raise ValueError(f"'{part.strip()}' is neither a number nor a range such as 0-3")
        low, high = int(match[1]), int(match[2] or match[1])
        if low > high:
            raise ValueError(f"the range '{part.strip()}' runs backwards")
        if high > _HIGHEST:
            raise ValueError(f"{high} is above the highest number a Linux kernel supports ({_HIGHEST})")
        numbers.update(range(low, high + 1))
    return tuple(sorted(numbers))


def parse_cpumask(text: str) -> tuple[int, ...]:
    """The sorted numbers of a kernel mask: hexadecimal words of 32 bits, the highest first, between commas.

    Raises ValueError on anything else (an empty text included).

    >>> parse_cpumask("1,00000005")
    (0, 2, 32)
    """
    words = text.strip().split(",")
    if not all(_WORD.fullmatch(word) for word in words):
        raise ValueError(f"'{text.strip()}' is no mask of hexadecimal words")
    mask = 0
    for word in words:
        mask = mask << _WORD_BITS | int(word, 16)
    return tuple(bit for bit in range(mask.bit_length()) if mask >> bit & 1)


def format_cpulist(numbers: Iterable[int]) -> str:
    """The shortest kernel notation of a set of numbers; '' for none."""
    ordered = sorted(set(numbers))
    parts: list[str] = []
    start = 0
    for index, number in enumerate(ordered):
        last = index + 1 == len(ordered) or ordered[index + 1] != number + 1
        if last:
            first = ordered[start]
            parts.append(str(first) if first == number else f"{first}-{number}")
            start = index + 1
    return ",".join(parts)
