"""How small a difference a host can show: from launches of one thing, called A and B by lot. Pure.

The launch is the unit of replication, so the noise is the spread between launches: the standard deviation of log
values, pooled over both arms. From it follow, for n launches of each of two things,

* the smallest difference that a two-sided t-test at 5 % finds with 80 % power: (t(0.975) + t(0.8)) * s * sqrt(2 / n);
* the smallest margin within which a 90 % interval of two equal things lies with 80 % probability (TOST at 5 % on both
  sides: Schuirmann 1987): (t(0.95) + t(0.9)) * s * sqrt(2 / n),

both with 2 n - 2 degrees of freedom, on the log scale, printed as a share (exp(x) - 1). Central quantiles stand in for
the noncentral distribution; a test by simulation says how well (power 0.78 to 0.83 from 5 launches on).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import expm1, log, sqrt
from statistics import fmean, variance
from typing import Any

from toolkit.analyse.student import holm, t_cdf, t_quantile

COUNTS = (5, 10, 20, 30)
"""Launches of each of two things, for which differences are told."""

LEAST_OF_AN_ARM = 3
LEVEL, POWER = 0.95, 0.80
_TAIL = (1 - LEVEL) / 2
METRICS = (
    "sdk.overhead.p50_seconds",
    "sdk.overhead.p95_seconds",
    "lat.sched.p50_seconds",
    "lat.sched.p95_seconds",
    "cpu.per_request_seconds",
    "rss.process.max_bytes",
    "qps.ok_hz",
)
"""What is looked at: median and P95 of overhead and latency, CPU per request, memory, throughput."""


@dataclass(frozen=True)
class Detectable:
    """With ``launches`` of each of two things: the smallest difference shown, the smallest margin proven, as shares."""

    launches: int
    difference_share: float
    margin_share: float


@dataclass(frozen=True)
class Floor:
    """The noise of one metric. ``ratio_share`` is B over A minus 1, which should be nothing; None with a ``reason``."""

    a: tuple[float, ...]
    b: tuple[float, ...]
    cv_share: float | None = None
    ratio_share: float | None = None
    ratio_ci: tuple[float, float] | None = None
    p: float | None = None
    p_adjusted: float | None = None
    detectable: tuple[Detectable, ...] = ()
    reason: str | None = None

    @property
    def differs(self) -> bool:
        """Whether A differs from A at 5 %, corrected for the number of metrics looked at."""
        return self.p_adjusted is not None and self.p_adjusted < 1 - LEVEL

    def to_json(self) -> dict[str, Any]:
        """In the shape of ``schemas/noise.schema.json``."""
        return {
            "values": {"a": list(self.a), "b": list(self.b)},
            "cv_share": self.cv_share,
            "ratio_share": self.ratio_share,
            "ratio_ci": list(self.ratio_ci) if self.ratio_ci is not None else None,
            "p": self.p,
            "p_adjusted": self.p_adjusted,
            "differs": self.differs,
            "detectable": [vars(one) for one in self.detectable],
            "reason": self.reason,
        }


def arms(launches: int, seed: int) -> tuple[str, ...]:
    """``a`` or ``b`` for each launch in its order: of each two that follow each other one is A and one is B, by lot.

    The two arms are one thing, so who is who may be drawn as well as the order; random() is the one call of the
    generator that Python promises to keep the same.
    """
    source = random.Random(f"aa {seed}")
    drawn: list[str] = []
    while len(drawn) < launches:
        drawn += ["a", "b"] if source.random() < 0.5 else ["b", "a"]
    return tuple(drawn[:launches])


def floors(values: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> dict[str, Floor]:
    """The noise of each metric from its values in arm A and arm B; p-values corrected for the number of metrics."""
    found = {name: floor(a, b) for name, (a, b) in values.items()}
    tested = [name for name, one in found.items() if one.p is not None]
    adjusted = holm([found[name].p or 0.0 for name in tested])
    return found | {name: replace(found[name], p_adjusted=p) for name, p in zip(tested, adjusted, strict=True)}


def floor(a: Sequence[float], b: Sequence[float]) -> Floor:
    """The noise of one metric; with a reason instead of numbers where values are too few or not positive."""
    plain = Floor(tuple(a), tuple(b))
    if min(len(a), len(b)) < LEAST_OF_AN_ARM:
        return replace(plain, reason=f"fewer than {LEAST_OF_AN_ARM} launches of an arm have it")
    if min(*a, *b) <= 0:
        return replace(plain, reason="some launch has nothing of it")
    logs_a, logs_b = [log(value) for value in a], [log(value) for value in b]
    df = len(a) + len(b) - 2
    spread = sqrt(((len(a) - 1) * variance(logs_a) + (len(b) - 1) * variance(logs_b)) / df)
    shift, error = fmean(logs_b) - fmean(logs_a), spread * sqrt(1 / len(a) + 1 / len(b))
    reach = t_quantile(1 - _TAIL, df) * error
    return replace(
        plain,
        cv_share=sqrt(expm1(spread**2)),
        ratio_share=expm1(shift),
        ratio_ci=(expm1(shift - reach), expm1(shift + reach)),
        p=_p(shift, error, df),
        detectable=tuple(detectable(spread, count) for count in COUNTS),
    )


def _p(shift: float, error: float, df: int) -> float:
    if not error:
        return 0.0 if shift else 1.0
    return 2 * t_cdf(-abs(shift / error), df)


def detectable(spread: float, launches: int) -> Detectable:
    """What ``launches`` of each of two things can show when log values have this standard deviation between launches.

    Raises ValueError for fewer than 2.
    """
    if launches < 2:
        raise ValueError("a spread within an arm needs two launches")
    df, error = 2 * launches - 2, spread * sqrt(2 / launches)
    difference = (t_quantile(1 - _TAIL, df) + t_quantile(POWER, df)) * error
    margin = (t_quantile(LEVEL, df) + t_quantile(1 - (1 - POWER) / 2, df)) * error
    return Detectable(launches, expm1(difference), expm1(margin))
