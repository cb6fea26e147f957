"""Readable numbers and tables."""

from __future__ import annotations

import pytest

from toolkit.report.table import table
from toolkit.units import readable, size


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (0.14832, "lat.sched.p50_seconds", "148.3 ms"),
        (1.5, "x_seconds", "1.5 s"),
        (0.0000605, "x_seconds", "60.5 us"),
        (3e-10, "x_seconds", "3e-10 s"),
        (0.0, "x_seconds", "0 s"),
        (-0.002, "x_seconds", "-2 ms"),
        (20971520.0, "rss_bytes", "20 MiB"),
        (1000.0, "rss_bytes", "1000 B"),
        (40.0, "qps.ok_hz", "40 1/s"),
        (0.0123456, "error.rate", "0.01235 "),
        (123456.7, "allocs.per_request", "123457 "),
    ],
)
def test_numbers_for_people(value: float, metric: str, text: str) -> None:
    assert " ".join(readable(value, metric)) == text


def test_sizes() -> None:
    assert size(512 << 20) == "512 MiB"
    assert size(0) == "0 B"


def test_a_table_has_no_trailing_blanks_and_aligns() -> None:
    text = table([["a", "n"], ["long name", "1"], ["b", "1000", ""]], right=frozenset({1}))
    assert text == "a             n\nlong name     1\nb          1000"
