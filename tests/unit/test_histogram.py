"""Our buckets are HdrHistogram's, our quantiles are nearest-rank, and merging loses nothing."""

from __future__ import annotations

import base64
import math
from contextlib import suppress

import pytest
from hdrh.histogram import HdrHistogram
from hypothesis import given
from hypothesis import strategies as st

from toolkit.analyse.histogram import (
    DIGITS,
    HIGHEST_NS,
    LOWEST_NS,
    Histogram,
    bucket_of,
    decode,
    lower_edge,
    merge,
    nearest_rank,
    upper_edge,
)

values = st.lists(st.integers(0, HIGHEST_NS), min_size=1, max_size=200)
LIBRARY = HdrHistogram(LOWEST_NS, HIGHEST_NS, DIGITS)


@given(st.integers(0, HIGHEST_NS))
def test_buckets_are_those_of_the_library(value: int) -> None:
    bucket = bucket_of(value)
    assert bucket == LIBRARY._counts_index_for(value)
    assert lower_edge(bucket) == LIBRARY.get_lowest_equivalent_value(value)
    assert upper_edge(bucket) == LIBRARY.get_highest_equivalent_value(value)


@given(st.integers(0, HIGHEST_NS))
def test_three_digits_are_kept(value: int) -> None:
    bucket = bucket_of(value)
    assert lower_edge(bucket) <= value <= upper_edge(bucket)
    assert upper_edge(bucket) - lower_edge(bucket) <= value / 1000


@given(values, st.sampled_from([0.5, 0.95, 0.99]))
def test_a_quantile_is_the_nearest_rank_rounded_up_to_its_bucket(sample: list[int], q: float) -> None:
    exact = sorted(sample)[nearest_rank(q, len(sample)) - 1]
    found = Histogram.of(sample).quantile(q)
    assert exact <= found <= upper_edge(bucket_of(exact))


@pytest.mark.parametrize(
    ("q", "n", "rank"), [(0.95, 100, 95), (0.95, 101, 96), (0.99, 100, 99), (0.5, 1, 1), (0.5, 4, 2), (0.99, 1, 1)]
)
def test_nearest_rank_is_the_ceiling_without_binary_fractions(q: float, n: int, rank: int) -> None:
    assert nearest_rank(q, n) == rank
    # 0.95 * 100 is 95.0 in binary, too, but 0.55 * 100 is 55.00000000000001.
    assert nearest_rank(0.55, 100) == 55
    assert math.ceil(0.55 * 100) == 56


@given(values)
def test_encoding_is_read_back_and_by_the_library(sample: list[int]) -> None:
    histogram = Histogram.of(sample)
    encoded = histogram.encode()
    assert decode(encoded) == histogram
    library = HdrHistogram.decode(encoded["data"])
    assert library.get_total_count() == len(sample)
    assert library.significant_figures == DIGITS


@given(st.lists(values, max_size=4))
def test_merging_is_the_histogram_of_all_values(samples: list[list[int]]) -> None:
    merged = merge(Histogram.of(sample) for sample in samples)
    assert merged == Histogram.of(value for sample in samples for value in sample)


@given(values)
def test_weights_count_as_often(sample: list[int]) -> None:
    assert Histogram.of_weighted((value, 3) for value in sample) == Histogram.of(sample * 3)


def test_an_hour_and_more_overflows_and_is_counted() -> None:
    histogram = Histogram.of([1000, HIGHEST_NS * 5, HIGHEST_NS * 2])
    assert (histogram.n, histogram.overflow, histogram.maximum) == (3, 2, HIGHEST_NS * 5)
    assert decode(histogram.encode()) == histogram
    assert histogram.quantile(0.99) >= HIGHEST_NS
    assert merge([histogram, histogram]).overflow == 4


def test_the_maximum_is_exact_and_bounds_every_quantile() -> None:
    histogram = Histogram.of([1_000_001])
    assert histogram.quantile(0.5) == histogram.maximum == 1_000_001


def test_nothing_is_nothing() -> None:
    empty = Histogram.of([])
    assert (empty.n, empty.quantile(0.99)) == (0, 0)
    assert decode(empty.encode()).n == 0
    assert merge([]).n == 0


@pytest.mark.parametrize(
    "change",
    [{"data": "bm90aGluZw=="}, {"data": "%%"}, {"data": ""}, {"encoding": "other"}, {"digits": 2}, {"unit": "s"}],
)
def test_what_is_no_histogram_is_a_value_error(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="histogram"):
        decode({**Histogram.of([5]).encode(), **change})


@given(values, st.data())
def test_a_mangled_histogram_is_a_value_error_or_a_histogram(sample: list[int], data: st.DataObject) -> None:
    encoded = Histogram.of(sample).encode()
    raw = bytearray(base64.b64decode(encoded["data"]))
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with suppress(ValueError):
        decode({**encoded, "data": base64.b64encode(bytes(raw)).decode()})
