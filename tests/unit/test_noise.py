"""How small a difference a host can show: the formula against simulation, and the document of a run."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from tests.support.faults_tool import ROOT
from tests.support.runs import sealed_run
from toolkit.analyse.noise import COUNTS, METRICS, arms, detectable, floor, floors
from toolkit.catalogue import load_catalogue
from toolkit.cli.noise import NoiseOptions, noise_plan
from toolkit.errors import Inconclusive, UsageError
from toolkit.host.topology import Topology, place
from toolkit.output import Output
from toolkit.report.noise import noise_document, print_noise
from toolkit.schemas import problems
from toolkit.seal import read_plan

TRIALS = 20_000
SPREADS = (0.01, 0.05, 0.2)
PLACEMENT = place(Topology((0, 1), {0: (0, 1)}, 8 << 30), "0")


def launches(spread: float, count: int, shift: float = 0.0) -> tuple[Any, Any]:
    """Log values of many experiments with ``count`` launches of each of two things."""
    source = np.random.default_rng(count * 1000 + round(spread * 1000))
    return source.normal(0, spread, (TRIALS, count)), source.normal(shift, spread, (TRIALS, count))


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("count", COUNTS)
def test_the_smallest_difference_is_found_with_eighty_percent_power(spread: float, count: int) -> None:
    shift = math.log1p(detectable(spread, count).difference_share)
    a, b = launches(spread, count, shift)
    assert 0.78 <= float(np.mean(stats.ttest_ind(a, b, axis=1).pvalue < 0.05)) <= 0.83


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("count", COUNTS)
def test_the_smallest_margin_holds_two_equal_things_with_eighty_percent(spread: float, count: int) -> None:
    margin = math.log1p(detectable(spread, count).margin_share)
    a, b = launches(spread, count)
    interval = stats.ttest_ind(a, b, axis=1).confidence_interval(0.90)
    assert 0.78 <= float(np.mean((interval.low > -margin) & (interval.high < margin))) <= 0.83


def test_more_launches_show_less() -> None:
    shares = [detectable(0.05, count) for count in COUNTS]
    assert [one.difference_share for one in shares] == sorted((one.difference_share for one in shares), reverse=True)
    assert [one.margin_share for one in shares] == sorted((one.margin_share for one in shares), reverse=True)
    with pytest.raises(ValueError, match="two launches"):
        detectable(0.05, 1)


def test_an_arm_against_itself_is_scipys_t_test() -> None:
    a, b = [1.00, 1.02, 0.97, 1.05], [1.03, 1.08, 1.01, 1.04]
    found = floor(a, b)
    wanted = stats.ttest_ind(np.log(b), np.log(a))
    interval = wanted.confidence_interval(0.95)
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.ratio_ci == pytest.approx((math.expm1(interval.low), math.expm1(interval.high)))
    pooled = math.sqrt((np.var(np.log(a), ddof=1) + np.var(np.log(b), ddof=1)) / 2)
    assert found.cv_share == pytest.approx(math.sqrt(math.exp(pooled**2) - 1))


def test_the_same_thing_hardly_ever_differs_from_itself() -> None:
    """At most 5 % of hosts without a fault are told that they have one, however many metrics are looked at."""
    source = np.random.default_rng(7)
    wrong = 0
    for _ in range(400):
        values = {name: tuple(np.exp(source.normal(0, 0.05, (2, 5)))) for name in METRICS}
        wrong += any(one.differs for one in floors(values).values())
    assert wrong / 400 <= 0.07


def test_a_host_that_moves_between_the_arms_is_told() -> None:
    found = floors({"lat.sched.p50_seconds": ([1.0, 1.01, 0.99, 1.0], [1.2, 1.21, 1.19, 1.2])})
    assert found["lat.sched.p50_seconds"].differs


@pytest.mark.parametrize(
    ("a", "b", "reason"),
    [([1.0, 1.1], [1.0, 1.1, 1.2], "fewer than 3"), ([1.0, 0.0, 1.0], [1.0, 1.0, 1.0], "nothing of it")],
)
def test_what_cannot_be_told_says_why(a: list[float], b: list[float], reason: str) -> None:
    found = floor(a, b)
    assert reason in (found.reason or "")
    assert (found.cv_share, found.p, found.detectable, found.differs) == (None, None, (), False)


def test_values_without_any_spread_are_no_division_by_zero() -> None:
    same = floor([4096.0] * 3, [4096.0] * 3)
    assert (same.cv_share, same.p, same.detectable[0].difference_share) == (0.0, 1.0, 0.0)
    assert floor([4096.0] * 3, [8192.0] * 3).p == 0.0


def test_arms_are_drawn_in_pairs_and_by_the_seed() -> None:
    drawn = arms(40, 1)
    assert all(set(drawn[at : at + 2]) == {"a", "b"} for at in range(0, 40, 2))
    assert len({drawn[at] for at in range(0, 40, 2)}) == 2
    assert drawn == arms(40, 1) != arms(40, 2)
    assert Counter(arms(7, 3)).most_common(1)[0][1] == 4


def test_both_ways_to_drive_are_planned_where_the_backend_can_answer_at_once() -> None:
    plan, choices = noise_plan(NoiseOptions(launches=4, seed=5), load_catalogue(), PLACEMENT)
    assert [(cell.drive, cell.launches) for cell in plan.cells] == [("open", 8), ("closed", 8)]
    assert (len(choices), len(plan.order), plan.seed) == (2, 16, 5)
    first = [turn.cell for turn in plan.order[::2]]
    assert len(set(first)) == 2  # the order is drawn, too
    engine, _choices = noise_plan(NoiseOptions(sdk="yzma"), load_catalogue(), PLACEMENT)
    assert [cell.drive for cell in engine.cells] == ["closed"]


@pytest.mark.parametrize("launches", [0, 2, 1001])
def test_too_few_launches_of_an_arm_are_a_usage_error(launches: int) -> None:
    with pytest.raises(UsageError, match="--launches"):
        noise_plan(NoiseOptions(launches=launches), load_catalogue(), PLACEMENT)


def document(tmp_path: Path, launches: int) -> dict[str, Any]:
    folder = sealed_run(tmp_path, launches=launches)
    return noise_document(folder, json.loads((folder.path / "manifest.json").read_text()), read_plan(folder))


def test_a_run_becomes_a_document_and_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(tmp_path, 8)
    assert problems(found, "noise") == []
    (cell,) = found["cells"]
    assert cell["launches"] == {"a": 4, "b": 4, "not_valid": 0, "tainted": 0}
    assert [one["launches"] for one in cell["metrics"]["cpu.per_request_seconds"]["detectable"]] == list(COUNTS)
    print_noise(found, Output(stdout=sys.stdout))
    words = capsys.readouterr().out
    assert "smallest difference shown" in words
    assert "A against A: no difference" in words


def test_a_difference_of_a_thing_from_itself_is_said_loudly(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = document(tmp_path, 8)
    found["cells"][0]["metrics"]["qps.ok_hz"] |= {"differs": True, "p_adjusted": 0.001, "ratio_share": 0.25}
    print_noise(found, Output(stdout=sys.stdout))
    assert "A against A DIFFERS in qps.ok_hz +25.0%" in capsys.readouterr().out


def test_a_run_of_too_few_launches_settles_nothing(tmp_path: Path) -> None:
    with pytest.raises(Inconclusive) as caught:
        document(tmp_path, 4)
    assert "--launches" in caught.value.remedy


def test_no_statistics_library_is_loaded() -> None:
    script = (
        "import sys; from toolkit.report import noise; from toolkit.analyse import student; student.t_quantile(.9, 4)\n"
        "print(*[name for name in ('scipy', 'numpy', 'ruptures') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == []
