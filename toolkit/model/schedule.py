"""The open drive's schedule, as the harness makes it: a pure function of arrival, rate, seed and index. Pure.

The same numbers as ``images/harness/schedule.go`` (docs/harness.md, section 3), bit by bit: SplitMix64 (Steele, Lea and
Flood, OOPSLA 2014) and the logarithm of FreeBSD's libm as Go computes it, since the C library's may differ in its last
digit from one machine to the next. So the plan can name the schedule before anything runs, and the analysis can hold
every request against it::

    islice(schedule("poisson", 40.0, 1), 8)
    schedule_digest("poisson", 40.0, 1)
"""

from __future__ import annotations

import hashlib
import math
import struct
from collections.abc import Iterator
from functools import lru_cache
from itertools import islice

DIGEST_SENDS = 1000
"""So many sends are in a schedule's digest: enough to tell two schedules apart, and little at any rate and duration."""

_NS = 1e9
_MASK = 2**64 - 1
_LN2_HIGH, _LN2_LOW = 6.93147180369123816490e-01, 1.90821492927058770002e-10
_L1, _L2, _L3, _L4, _L5, _L6, _L7 = (
    6.666666666666735130e-01,
    3.999999999940941908e-01,
    2.857142874366239149e-01,
    2.222219843214978396e-01,
    1.818357216161805012e-01,
    1.531383769920937332e-01,
    1.479819860510658591e-01,
)


def schedule(arrival: str, rate_hz: float, seed: int) -> Iterator[int]:
    """When each send is due, in nanoseconds after the start of warm-up, without end. ``rate_hz`` is above 0."""
    return _poisson(rate_hz, seed) if arrival == "poisson" else _constant(rate_hz)


@lru_cache(maxsize=256)
def schedule_digest(arrival: str, rate_hz: float, seed: int) -> str:
    """The sha256 of a schedule's first 1,000 sends, each as 8 bytes, little-endian."""
    first = list(islice(schedule(arrival, rate_hz, seed), DIGEST_SENDS))
    return hashlib.sha256(struct.pack(f"<{len(first)}q", *first)).hexdigest()


def _constant(rate_hz: float) -> Iterator[int]:
    index = 0
    while True:
        # From the index, not by adding gaps: no rounding error piles up. Halves go up, as in Go's math.Round.
        exact = index * (_NS / rate_hz)
        whole = math.floor(exact)
        yield whole + (exact - whole >= 0.5)
        index += 1


def _poisson(rate_hz: float, seed: int) -> Iterator[int]:
    state, at, mean = seed & _MASK, 0, _NS / rate_hz
    while True:
        state = (state + 0x9E3779B97F4A7C15) & _MASK
        drawn = state
        drawn = ((drawn ^ drawn >> 30) * 0xBF58476D1CE4E5B9) & _MASK
        drawn = ((drawn ^ drawn >> 27) * 0x94D049BB133111EB) & _MASK
        drawn ^= drawn >> 31
        # In the open interval (0, 1), so that the logarithm is finite.
        unit = ((drawn >> 11) + 0.5) / 2**53
        at += int(-_log(unit) * mean + 0.5)
        yield at


def _log(x: float) -> float:
    """The natural logarithm of a number above 0, operation by operation as in Go's math.Log (FreeBSD's e_log.c)."""
    fraction, exponent = math.frexp(x)
    if fraction < math.sqrt(2) / 2:
        fraction, exponent = fraction * 2, exponent - 1
    f = fraction - 1
    s = f / (2 + f)
    s2 = s * s
    s4 = s2 * s2
    odd = s2 * (_L1 + s4 * (_L3 + s4 * (_L5 + s4 * _L7)))
    even = s4 * (_L2 + s4 * (_L4 + s4 * _L6))
    half = 0.5 * f * f
    return exponent * _LN2_HIGH - ((half - (s * (half + (odd + even)) + exponent * _LN2_LOW)) - f)
