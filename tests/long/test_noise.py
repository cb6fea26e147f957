"""The noise of this host by real launches of one thing: a run like any other, read anew as often as one likes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from tests.support.faults_tool import ROOT
from toolkit.schemas import problems

LAUNCHES = 3


def repro(runs: Path, *words: str) -> dict[str, Any]:
    """A command that ends well; its object."""
    line = [sys.executable, "-m", "toolkit", *words, "--runs", str(runs), "--json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=environment, timeout=900)
    assert done.returncode == 0, done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_one_thing_against_itself(tmp_path: Path) -> None:
    short = ("--duration", "2", "--warmup", "1", "--timing-gates", "record", "--wait", "300")
    found = repro(tmp_path, "doctor", "--aa", "--launches", str(LAUNCHES), "--seed", "3", *short)
    assert problems(found, "noise") == []
    assert [cell["drive"].split(":")[0] for cell in found["cells"]] == ["open", "closed"]
    for cell in found["cells"]:
        assert (cell["launches"]["a"], cell["launches"]["b"]) == (LAUNCHES, LAUNCHES)
        for metric in ("lat.sched.p50_seconds", "cpu.per_request_seconds", "rss.process.max_bytes", "qps.ok_hz"):
            assert cell["metrics"][metric]["reason"] is None, cell["metrics"][metric]
            assert cell["metrics"][metric]["cv_share"] > 0
    assert repro(tmp_path, "doctor", "--aa", "--show", found["run"]) == found
    shown = repro(tmp_path, "show", found["run"])
    assert len(shown["cells"]) == 2
