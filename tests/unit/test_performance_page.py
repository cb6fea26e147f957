"""docs/performance.md is what bench/report.py makes of bench/results; the arithmetic behind it is right."""

from __future__ import annotations

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

BENCH = Path(__file__).resolve().parents[2] / "bench"


@pytest.fixture
def common(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCH))
    import importlib

    return importlib.import_module("common")


def test_the_page_is_made_from_the_results() -> None:
    done = subprocess.run([sys.executable, str(BENCH / "report.py"), "--check"], check=False)
    assert done.returncode == 0, "run bench/report.py"


def test_quantiles_are_nearest_rank(common: Any) -> None:
    values = [float(value) for value in range(1, 21)]
    assert [common.quantile(values, q) for q in (0.05, 0.5, 0.95, 1.0)] == [1.0, 10.0, 19.0, 20.0]
    assert common.quantile([7.0], 0.5) == 7.0


def test_a_difference_is_of_pairs_and_its_interval_holds_it(common: Any) -> None:
    peer = [float(value) for value in range(30)]
    middle, low, high = common.paired_difference([value + 2.0 for value in peer], peer)
    assert (middle, low, high) == (2.0, 2.0, 2.0)
    middle, low, high = common.paired_difference([value + value % 3 for value in peer], peer)
    assert low <= middle == 1.0 <= high


def test_a_ratio_is_of_pairs_too(common: Any) -> None:
    peer = [float(value) for value in range(1, 31)]
    assert common.paired_ratio([value * 2 for value in peer], peer) == (2.0, 2.0, 2.0)
    assert common.signed_percent((1.01, 0.99, 1.025)) == "+1.00 (-1.00 to +2.50)"


def test_every_arm_runs_once_a_round_in_an_order_that_changes(common: Any) -> None:
    seen: list[str] = []

    def arm(name: str) -> float:
        seen.append(name)
        return float(len(seen))

    arms = {name: functools.partial(arm, name) for name in "abc"}
    samples = common.interleave(arms, rounds=8, seed=1, warm=1)
    rounds = ["".join(seen[start : start + 3]) for start in range(0, len(seen), 3)]
    assert all(sorted(one) == ["a", "b", "c"] for one in rounds)
    assert len(set(rounds)) > 1
    assert {name: len(values) for name, values in samples.items()} == {"a": 8, "b": 8, "c": 8}
