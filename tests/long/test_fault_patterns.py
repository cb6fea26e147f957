"""Seven more patterns, each on a program that really has the fault; none of it on one that has none."""

from __future__ import annotations

import pytest

from tests.support.faults_tool import Tool
from tests.support.faulty import launch_with
from toolkit.analyse.patterns import FOUND, NOT_FOUND, patterns

pytestmark = pytest.mark.timeout(1200)

NO_LIMIT: tuple[str, ...] = ()
NEAR_THE_LIMIT = ("gogc=off", "gomemlimit=54m")
"""45 MB of the program's own and some 6 of the runtime's."""


@pytest.mark.parametrize(
    ("way", "arms", "pattern"),
    [
        ("keep", NO_LIMIT, "retained-memory"),
        ("goroutines", NO_LIMIT, "goroutine-leak"),
        ("mapped", NO_LIMIT, "file-memory-growth"),
        ("failing", ("rate_hz=250",), "lost-work"),
        ("stall", NO_LIMIT, "recurring-stall"),
        ("ballast", NEAR_THE_LIMIT, "gc-death-spiral"),
    ],
)
def test_a_fault_is_found(tool: Tool, way: str, arms: tuple[str, ...], pattern: str) -> None:
    seen = launch_with(tool, way, 10, *arms)
    assert seen.verdicts[pattern] == FOUND, seen.cell
    # What a heap that grows by itself does is not yet the article's leak.
    assert seen.verdicts["leak"] == NOT_FOUND


def test_a_program_without_a_fault_has_none(tool: Tool) -> None:
    seen = launch_with(tool, "none", 20)
    # A stall may be a neighbour's: this machine has some.
    wanted = dict.fromkeys([one.id for one in patterns() if one.id != "recurring-stall"], NOT_FOUND)
    assert {name: seen.verdicts[name] for name in wanted} == wanted, seen.cell


def test_a_pool_that_runs_out_is_no_steady_state(tool: Tool) -> None:
    seen = launch_with(tool, "pool", 30)
    (launch,) = seen.report["cells"][0]["launches"]
    assert (launch["valid"], launch["steady_state"]) == (True, "no-steady-state")
