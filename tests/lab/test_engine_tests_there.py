"""Tests of the engine tier, carried to a machine with systemd and cgroup v2 and run there.

The same files run on this machine's engine in ``make test``: a limit taken away, drift, and running out of memory are
judged alike on either cgroup version.
"""

from __future__ import annotations

import pytest

from tests.support.faults_tool import ROOT
from tests.support.lab import Machine

pytestmark = pytest.mark.timeout(1800)

CARRIED = {
    "removal": "tests/engine/test_removal.py",
    "drift": "tests/engine/test_drift.py",
    "out of memory": "tests/engine/test_faults_containers.py -k 'memory_below_need or outgrows_its_limit'",
}


@pytest.mark.parametrize("what", CARRIED)
def test_they_pass_there(machine: Machine, what: str) -> None:
    assert (ROOT / CARRIED[what].split()[0]).is_file()
    cases = machine.tests(CARRIED[what], "--timeout 600")
    for case in cases:
        print(f"{case.outcome} {case.seconds:.0f} s {case.name} {case.words.splitlines()[0] if case.words else ''}")
    assert [(case.name, case.words[-2000:]) for case in cases if case.outcome in ("failed", "error")] == []
    assert sum(case.outcome == "passed" for case in cases) >= 2
