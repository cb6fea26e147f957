"""The x86-64 level of this machine's processor (x86-64 psABI, section 3.1.1), by the flags of ``/proc/cpuinfo``.

An image built for a higher level would die of an illegal instruction somewhere in the middle; so it is refused before
anything starts.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

BASELINE = "x86-64-v1"
# The kernel's names of the flags; "abm" holds LZCNT, "xsave" stands for OSXSAVE.
_LEVELS: tuple[tuple[str, frozenset[str]], ...] = (
    ("x86-64-v2", frozenset({"cx16", "lahf_lm", "popcnt", "sse4_1", "sse4_2", "ssse3"})),
    ("x86-64-v3", frozenset({"avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "abm", "movbe", "xsave"})),
    ("x86-64-v4", frozenset({"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"})),
)


def level_of(flags: Iterable[str]) -> str:
    """The highest level all of whose flags, and those of the levels below, are there."""
    have = frozenset(flags)
    level = BASELINE
    for name, needed in _LEVELS:
        if not needed <= have:
            break
        level = name
    return level


def missing_flags(level: str, flags: Iterable[str]) -> list[str]:
    """The flags up to ``level`` that are not there, sorted."""
    have = frozenset(flags)
    return sorted(flag for name, needed in _LEVELS if name <= level for flag in needed - have)


def read_flags(root: Path = Path("/")) -> tuple[str, ...]:
    """The flags of the first processor; empty where the kernel names none (another architecture)."""
    for line in (root / "proc/cpuinfo").read_text().splitlines():
        key, _colon, value = line.partition(":")
        if key.strip() == "flags":
            return tuple(value.split())
    return ()
