"""Lanes under a race: never two owners, never a stuck lane, whoever is killed at whatever moment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.faults_tool import ROOT


def racers(folder: Path, *words: str) -> dict[str, Any]:
    """A program of its own: this one has threads, which do not survive a fork."""
    command = [sys.executable, "-m", "tests.support.racers", str(folder), *words]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=850, check=False)
    assert ended.returncode == 0, ended.stderr[-2000:]
    found: dict[str, Any] = json.loads(ended.stdout)
    return found


def test_a_thousand_processes_race_and_a_third_is_killed(tmp_path: Path) -> None:
    told = racers(tmp_path, "1000", "1")
    assert told["two_owners"] == 0
    assert told["failed"] == 0, "an error, or a lane that could not be had"
    assert told["busy"] == 0, "a lane was stuck for ten minutes"
    assert told["killed"] == told["doomed"] == 334
    assert told["killed_inside"] >= 167, "every sixth dies while it holds a lane"
    assert told["got"] - told["killed_inside"] >= 666, "one that nobody killed got no lane"


def test_the_witness_sees_two_owners_of_a_core(tmp_path: Path) -> None:
    assert racers(tmp_path, "200", "1", "blind")["two_owners"] > 0
