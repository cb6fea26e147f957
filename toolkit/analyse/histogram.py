"""HDR histograms: three significant digits from 1 ns to 1 hour, merged and never averaged.

A value is kept as the count of its HDR bucket, so that histograms of launches add up exactly. Encoding is the
HdrHistogram V2 format (compressed, base64), which the Go, Java and C libraries read.

>>> histogram = Histogram.of([1000, 2000, 3000, 4000])
>>> histogram.quantile(0.5), histogram.n
(2000, 4)
"""

from __future__ import annotations

import math
import zlib
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from types import MappingProxyType
from typing import Any

LOWEST_NS = 1
"""Not 1 us: HDR rounds the whole range down to the grid of its lowest value, and a frame takes a few of those."""

HIGHEST_NS = 3600 * 1_000_000_000
DIGITS = 3
ENCODING = "hdr-v2-base64"
UNIT = "nanoseconds"
_SUB_BUCKET_BITS = 11
"""2 * 10**3 values of single-unit resolution need 2**11 sub-buckets."""

_HALF_BITS = _SUB_BUCKET_BITS - 1
_HALF = 1 << _HALF_BITS


def bucket_of(value: int) -> int:
    """The index of a value's bucket in HdrHistogram's array of counts."""
    shift = max(value.bit_length() - _SUB_BUCKET_BITS, 0)
    return (shift << _HALF_BITS) + (value >> shift)


def lower_edge(bucket: int) -> int:
    """The smallest value that falls into a bucket."""
    shift = max((bucket >> _HALF_BITS) - 1, 0)
    return (bucket - (shift << _HALF_BITS)) << shift


def upper_edge(bucket: int) -> int:
    """The largest value that falls into a bucket: what a quantile reports."""
    return lower_edge(bucket + 1) - 1


_LAST_BUCKET = bucket_of(HIGHEST_NS)


@dataclass(frozen=True)
class Histogram:
    """Counts by bucket. ``overflow`` counts values above one hour (they sit in the last bucket and in ``n`` too)."""

    counts: Mapping[int, int]
    n: int
    maximum: int
    overflow: int = 0

    @staticmethod
    def of(values: Iterable[int]) -> Histogram:
        """The histogram of values in nanoseconds, none negative."""
        # Written out, not bucket_of(): a streamed run has a hundred values per request.
        kept = list(values)
        raw = Counter(
            [
                value if value < 2048 else ((value.bit_length() - 11) << 10) + (value >> value.bit_length() - 11)
                for value in kept
            ]
        )
        return _bounded(raw, max(kept, default=0))

    @staticmethod
    def of_weighted(pairs: Iterable[tuple[int, int]]) -> Histogram:
        """The histogram of (value in nanoseconds, how often)."""
        raw: Counter[int] = Counter()
        highest = 0
        for value, count in pairs:
            if count:
                raw[bucket_of(value)] += count
                highest = max(highest, value)
        return _bounded(raw, highest)

    def quantile(self, q: float) -> int:
        """Nearest rank: upper edge of the first bucket whose cumulative count reaches ceil(q * n), at most the maximum.

        0 for an empty histogram. The ceiling is taken of the decimal q: 0.95 of 100 values is the 95th.
        """
        rank = nearest_rank(q, self.n)
        for bucket, total in zip(sorted(self.counts), self._cumulative(), strict=True):
            if total >= rank:
                return min(upper_edge(bucket), self.maximum)
        return self.maximum

    def _cumulative(self) -> Iterable[int]:
        return accumulate(self.counts[bucket] for bucket in sorted(self.counts))

    def encode(self) -> dict[str, Any]:
        """As in ``histograms`` of ``schemas/result.schema.json``."""
        from hdrh.histogram import HdrHistogram

        library = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)
        for bucket, count in self.counts.items():
            library.counts[bucket] = count
        library.total_count = self.n
        # The library encodes up to its maximum; that of the last filled bucket, not of an overflow.
        library.max_value = upper_edge(max(self.counts, default=0))
        data: bytes = library.encode()
        return {
            "unit": UNIT,
            "digits": DIGITS,
            "encoding": ENCODING,
            "n": self.n,
            "max": self.maximum,
            "overflow": self.overflow,
            "data": data.decode("ascii"),
        }


def decode(value: Mapping[str, Any]) -> Histogram:
    """The histogram that ``encode`` wrote. Raises ValueError when it is none."""
    from hdrh.codec import HdrCookieException, HdrLengthException
    from hdrh.histogram import HdrHistogram

    if value.get("encoding") != ENCODING or value.get("digits") != DIGITS or value.get("unit") != UNIT:
        raise ValueError("not a histogram of this product")
    try:
        library = HdrHistogram.decode(str(value["data"]).encode("ascii"))
    except (
        HdrCookieException,
        HdrLengthException,
        zlib.error,
        ArithmeticError,
        AssertionError,
        LookupError,
        RuntimeError,
        TypeError,
        ValueError,
    ) as problem:
        # The library checks little and fails in many ways.
        raise ValueError(f"a histogram cannot be decoded: {problem}") from problem
    if (library.lowest_trackable_value, library.highest_trackable_value) != (LOWEST_NS, HIGHEST_NS):
        raise ValueError("a histogram of another range")
    # The array is long and mostly empty: ctypes slices it to a list in one go.
    counts = {bucket: count for bucket, count in enumerate(library.counts[: library.counts_len]) if count}
    return Histogram(MappingProxyType(counts), sum(counts.values()), int(value["max"]), int(value["overflow"]))


def merge(histograms: Iterable[Histogram]) -> Histogram:
    """The histogram of all their values together."""
    counts: Counter[int] = Counter()
    n = maximum = overflow = 0
    for one in histograms:
        counts.update(one.counts)
        n += one.n
        maximum = max(maximum, one.maximum)
        overflow += one.overflow
    return Histogram(MappingProxyType(dict(counts)), n, maximum, overflow)


def nearest_rank(q: float, n: int) -> int:
    """ceil(q * n), at least 1, with q taken as the decimal it is written as (0.95 is 95/100, not a binary near it)."""
    return max(math.ceil(Fraction(str(q)) * n), 1)


def _bounded(raw: Counter[int], maximum: int) -> Histogram:
    n = raw.total()
    beyond = [bucket for bucket in raw if bucket > _LAST_BUCKET]
    overflow = sum(raw.pop(bucket) for bucket in beyond)
    if overflow:
        raw[_LAST_BUCKET] += overflow
    return Histogram(MappingProxyType(dict(raw)), n, maximum, overflow)
