"""JSON as a verifier reads it: one meaning, bounded depth and numbers, canonical bytes where they are signed.

Python's own reader takes duplicate keys, NaN, UTF-16 and 5,000-digit numbers, and fails on deep nesting with an error
of its own kind; a stranger's document gets a typed refusal instead (RFC 8259, RFC 8785).
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, NoReturn

from toolkit.canonical import canonical_bytes
from toolkit.verify.names import shown
from toolkit.verify.report import Refused

_MOST_DEPTH = 64
_MOST_DIGITS = 400
"""JSON numbers are doubles: the longest decimal form of one has about 330 characters."""
_STRING = re.compile(rb'"(?:[^"\\]|\\.)*"', re.DOTALL)
_BRACKET = re.compile(rb"[\[\]{}]")


def strict_json(data: bytes, what: str, stage: int, *, canonical: bool = False) -> Any:
    """The document. Raises Refused (malformed) saying what is wrong with ``what``.

    ``canonical``: its bytes must be the RFC 8785 encoding and one newline (tampered otherwise: same meaning is not same
    bytes).
    """

    def refuse(found: str) -> NoReturn:
        raise Refused(stage, "malformed", what, "strict JSON", found)

    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        refuse("not UTF-8")
    if text.startswith("\ufeff"):
        refuse("a byte order mark")
    if _depth(data) > _MOST_DEPTH:
        refuse(f"nested more than {_MOST_DEPTH} deep")

    try:
        value = json.loads(
            text, object_pairs_hook=_pairs, parse_int=_number, parse_float=_number, parse_constant=_number
        )
        _no_surrogates(value)
    except (ValueError, RecursionError) as problem:
        refuse(shown(str(problem)))
    if canonical and _canonical(value) != data:
        raise Refused(stage, "tampered", f"the bytes of {what}", "the canonical encoding", "another one of it")
    return value


def _pairs(rows: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object; ValueError for a key that is there twice."""
    found = dict(rows)
    if len(found) < len(rows):
        keys = [key for key, _value in rows]
        raise ValueError(f"the key {shown(next(key for key in keys if keys.count(key) > 1))} twice")
    return found


def _number(word: str) -> float | int:
    """A number; ValueError for NaN, infinity, one that overflows, or one of thousands of digits."""
    if len(word) > _MOST_DIGITS:
        raise ValueError(f"a number of {len(word)} digits")
    value = int(word) if re.fullmatch(r"-?[0-9]+", word) else float(word)
    try:
        finite = math.isfinite(value)
    except OverflowError:  # a whole number beyond any float
        finite = False
    if not finite:
        raise ValueError(f"the number {word}")
    return value


def _canonical(value: Any) -> bytes | None:
    try:
        return canonical_bytes(value) + b"\n"
    except ValueError:
        return None


def _no_surrogates(value: Any) -> None:
    """Raises ValueError for a lone surrogate, which JSON can write and UTF-8 cannot."""
    json.dumps(value, ensure_ascii=False).encode("utf-8")


def _depth(data: bytes) -> int:
    """How deep brackets nest, without parsing."""
    deepest = level = 0
    for bracket in _BRACKET.findall(_STRING.sub(b"", data)):
        level += 1 if bracket in b"[{" else -1
        deepest = max(deepest, level)
    return deepest
