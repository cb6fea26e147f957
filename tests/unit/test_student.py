"""Student's t against scipy."""

from __future__ import annotations

import pytest
from scipy import stats

from toolkit.analyse.student import holm, t_cdf, t_quantile

DEGREES = (1, 2, 3, 4, 8, 18, 38, 58, 1000)
PROBABILITIES = (0.0005, 0.025, 0.2, 0.5, 0.8, 0.9, 0.95, 0.975, 0.9999)


@pytest.mark.parametrize("df", DEGREES)
@pytest.mark.parametrize("p", PROBABILITIES)
def test_quantiles_are_scipys(df: int, p: float) -> None:
    assert t_quantile(p, df) == pytest.approx(stats.t.ppf(p, df), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("df", DEGREES)
@pytest.mark.parametrize("t", [-40.0, -3.0, -0.1, 0.0, 0.4, 2.0, 12.0])
def test_the_distribution_is_scipys_also_far_out(df: int, t: float) -> None:
    assert t_cdf(t, df) == pytest.approx(stats.t.cdf(t, df), rel=1e-9)


@pytest.mark.parametrize("p", [0.0, 1.0, -1.0, 2.0])
def test_what_is_no_probability_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="probability"):
        t_quantile(p, 5)


def test_no_degrees_of_freedom_are_refused() -> None:
    with pytest.raises(ValueError, match="degrees of freedom"):
        t_cdf(1.0, 0)


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([]) == []
