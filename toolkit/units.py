"""Readable numbers: pure text, for people only; documents keep seconds, bytes and hertz."""

from __future__ import annotations

from collections.abc import Sequence

_SIZES = (("GiB", 1024**3), ("MiB", 1024**2), ("KiB", 1024))
_TIMES = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6), ("ns", 1e-9))


def readable(value: float, metric: str) -> tuple[str, str]:
    """A value in the unit that its metric id ends with, as (number, unit) for people."""
    if metric.endswith("_seconds"):
        return _scaled(value, _TIMES, "s")
    if metric.endswith("_bytes"):
        return _scaled(value, _SIZES, "B")
    if metric.endswith("_hz"):
        return _digits(value), "1/s"
    return _digits(value), ""


def size(value: int) -> str:
    """Bytes for people."""
    number, unit = _scaled(float(value), _SIZES, "B")
    return f"{number} {unit}"


def _scaled(value: float, units: Sequence[tuple[str, float]], plain: str) -> tuple[str, str]:
    for unit, factor in units:
        if abs(value) >= factor:
            return _digits(value / factor), unit
    return _digits(value), plain


def _digits(value: float) -> str:
    """At least four significant digits; whole numbers in full."""
    if value == int(value) and abs(value) < 1e15:
        return str(int(value))
    return f"{value:.0f}" if abs(value) >= 10_000 else f"{value:.4g}"
