"""Student's t: distribution and quantiles, in plain Python, because a statistics library takes a second to load.

The distribution by the regularised incomplete beta function (Abramowitz and Stegun 26.7.1, 26.5.8 as Lentz's continued
fraction), the quantile by bisection. Tests hold both against scipy.
"""

from __future__ import annotations

from functools import cache
from math import exp, lgamma, log, log1p

_STEPS = 500
_TINY = 1e-300
_PRECISE = 1e-15


def t_cdf(t: float, df: float) -> float:
    """The probability of at most ``t`` under ``df`` degrees of freedom. Raises ValueError for df <= 0."""
    if df <= 0:
        raise ValueError(f"{df} degrees of freedom: there must be some")
    tail = 0.5 * _beta(df / (df + t * t), df / 2, 0.5)
    return 1 - tail if t > 0 else tail


@cache
def t_quantile(p: float, df: float) -> float:
    """The value that Student's t stays below with probability ``p``. Raises ValueError outside (0, 1)."""
    if not 0 < p < 1:
        raise ValueError(f"{p} is no probability between 0 and 1")
    if p < 0.5:
        return -t_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while t_cdf(high, df) < p:
        high *= 2
    while high - low > _PRECISE * max(high, 1.0):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if t_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


def holm(p_values: list[float]) -> list[float]:
    """p-values corrected for their number (Holm 1979), in their own order."""
    found = [0.0] * len(p_values)
    least = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda one: p_values[one])):
        least = max(least, min(1.0, (len(p_values) - rank) * p_values[index]))
        found[index] = least
    return found


def _beta(x: float, a: float, b: float) -> float:
    """The regularised incomplete beta function."""
    if x <= 0 or x >= 1:
        return 0.0 if x <= 0 else 1.0
    front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x))
    if x < (a + 1) / (a + b + 2):
        return front * _fraction(x, a, b) / a
    return 1 - front * _fraction(1 - x, b, a) / b


def _fraction(x: float, a: float, b: float) -> float:
    """The continued fraction of the incomplete beta function."""
    c, d = 1.0, 1 / _off_zero(1 - (a + b) * x / (a + 1))
    result = d
    for m in range(1, _STEPS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        change = 1.0
        for part in (even, odd):
            d = 1 / _off_zero(1 + part * d)
            c = _off_zero(1 + part / c)
            change = c * d
            result *= change
        if abs(change - 1) < _PRECISE:
            break
    return result


def _off_zero(value: float) -> float:
    return value if abs(value) > _TINY else _TINY
