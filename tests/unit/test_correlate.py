"""Covariance and correlations: the numbers of NumPy and SciPy, within launches, with intervals that cover."""

from __future__ import annotations

import math
import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from toolkit.analyse.correlate import (
    autocorrelation,
    covariance,
    covariance_estimate,
    effective_windows,
    equal,
    fisher,
    pearson,
    ranked,
    resamples,
)

PAIRS = st.lists(st.tuples(st.integers(-9, 9).map(float), st.integers(-9, 9).map(float)), min_size=3, max_size=30)


def correlated(source: random.Random, n: int, r: float, neighbours: float = 0.0) -> tuple[list[float], list[float]]:
    """Two series of this correlation; each also correlated with its own past."""
    x, y, a, b = [], [], source.gauss(0, 1), source.gauss(0, 1)
    for _ in range(n):
        step = math.sqrt(1 - neighbours**2)
        a, b = neighbours * a + step * source.gauss(0, 1), neighbours * b + step * source.gauss(0, 1)
        x.append(a)
        y.append(r * a + math.sqrt(1 - r * r) * b)
    return x, y


@given(PAIRS)
def test_one_launch_gives_the_numbers_of_numpy_and_scipy(pairs: list[tuple[float, float]]) -> None:
    x, y = (list(column) for column in zip(*pairs, strict=True))
    weights = equal([x])
    assert covariance([x], [y], weights) == pytest.approx(np.cov(x, y)[0, 1])
    if len(set(x)) > 1 and len(set(y)) > 1:
        assert pearson([x], [y], weights) == pytest.approx(stats.pearsonr(x, y).statistic)
        assert pearson(ranked([x]), ranked([y]), weights) == pytest.approx(stats.spearmanr(x, y).statistic)
    else:
        assert pearson([x], [y], weights) is None


def test_what_never_changes_correlates_with_nothing_though_its_mean_is_rounded() -> None:
    # A third of 7, three times, is not 7: its variance came out as 1e-31.
    assert pearson([[0.0, 0.0, 1.0]], [[7.0, 7.0, 7.0]], [[1 / 3] * 3]) is None


@given(PAIRS, st.integers(0, 1000))
def test_weighted_covariance_is_that_of_numpy(pairs: list[tuple[float, float]], seed: int) -> None:
    x, y = (list(column) for column in zip(*pairs, strict=True))
    source = random.Random(seed)
    weights = [source.random() for _ in x]
    assert covariance([x], [y], [weights]) == pytest.approx(np.cov(x, y, aweights=weights)[0, 1])


def test_launches_that_differ_as_a_whole_do_not_correlate() -> None:
    source = random.Random(1)
    x = [[base + source.gauss(0, 1) for _ in range(30)] for base in (0, 100)]
    y = [[base + source.gauss(0, 1) for _ in range(30)] for base in (0, 100)]
    assert stats.pearsonr(x[0] + x[1], y[0] + y[1]).statistic > 0.99
    found = pearson(x, y, equal(x))
    assert found is not None
    assert abs(found) < 0.3


def test_fishers_interval_is_that_of_scipy() -> None:
    x, y = correlated(random.Random(2), 40, 0.6)
    theirs = stats.pearsonr(x, y)
    ours = fisher(pearson([x], [y], equal([x])), 40, 40)
    interval = theirs.confidence_interval(0.95)
    assert ours.ci == pytest.approx((interval.low, interval.high))


def test_autocorrelation_shrinks_what_windows_tell() -> None:
    source = random.Random(3)
    plain, alike = correlated(source, 400, 0), correlated(source, 400, 0, 0.7)
    assert effective_windows([plain[0]], [plain[1]]) > 300
    # (1 - 0.49) / (1 + 0.49) of them, for two series of first order.
    assert effective_windows([alike[0]], [alike[1]]) == pytest.approx(400 * 0.51 / 1.49, rel=0.35)
    assert autocorrelation([1.0, 1.0, 1.0], 1) == 0


@pytest.mark.parametrize(("n", "neighbours", "least"), [(12, 0.0, 0.92), (30, 0.0, 0.93), (60, 0.5, 0.88)])
@pytest.mark.parametrize("ranks", [False, True])
def test_intervals_of_correlations_cover(n: int, neighbours: float, least: float, ranks: bool) -> None:
    source = random.Random(n)
    truth = 0.5 if not ranks else 6 / math.pi * math.asin(0.25)
    trials = 300
    covered = 0
    for _ in range(trials):
        x, y = correlated(source, n, 0.5, neighbours)
        pair = [ranked([x]), ranked([y])] if ranks else [[x], [y]]
        found = fisher(pearson(*pair, equal([x])), effective_windows(*pair), n, ranks=ranks)
        covered += found.ci is not None and found.ci[0] <= truth <= found.ci[1]
    assert covered >= least * trials


def test_the_interval_of_the_covariance_covers() -> None:
    source = random.Random(5)
    trials, covered = 100, 0
    for trial in range(trials):
        x, y = correlated(source, 40, 0.5)
        found = covariance_estimate([x], [y], resamples([40], trial)[:300])
        covered += found.ci is not None and found.ci[0] <= 0.5 <= found.ci[1]
    assert covered >= 0.85 * trials


def test_two_trends_correlate_and_get_no_interval() -> None:
    up = [float(place) for place in range(12)]
    found = fisher(0.99, effective_windows([up], [up]), 12)
    assert found.value == 0.99
    assert found.ci is None
    assert found.reason
    assert "two trends always correlate" in found.reason


def test_few_windows_and_no_change_say_so() -> None:
    assert fisher(0.5, 7, 7).reason == "no interval: 7 windows, it takes 8"
    assert fisher(None, 30, 30).reason == "one of the two never changes"
    assert fisher(1.0, 30, 30).reason == "no interval: the two move exactly together"
    assert covariance_estimate([[1.0]], [[1.0]], []).reason == "fewer than 2 windows"


def test_the_same_seed_draws_the_same_blocks() -> None:
    assert resamples([12, 7], 1) == resamples([12, 7], 1) != resamples([12, 7], 2)
    for one in resamples([27], 3)[:20]:
        blocks = [one[0][at : at + 3] for at in range(0, 27, 3)]
        assert all(b == (a + 1) % 27 and c == (b + 1) % 27 for a, b, c in blocks)


def test_a_day_of_windows_draws_fewer() -> None:
    assert len(resamples([8640], 1)) == 115
