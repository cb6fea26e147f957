"""Whoever turns knobs, or puts them back, may be killed at any step: everything comes back exactly as it was."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults_tool import ROOT
from tests.support.knobs import act, assert_as_before, make_machine
from toolkit import canonical


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder in memory where there is one: each of some hundred steps makes a machine of fifty files anew."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as folder:
        yield Path(folder)


@pytest.fixture(autouse=True)
def _no_fsync(monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill does not lose what the kernel has; a power cut cannot be tried here, and each fsync costs milliseconds."""
    monkeypatch.setattr(canonical.os, "fsync", lambda _descriptor: None)


class Doomed:
    """The process that does jobs in children of its own."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ends(self, verb: str, root: Path, state: Path, die_at: int) -> bool:
        """Whether the job ran to its end; False: it was killed at that step."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        job = {"verb": verb, "root": str(root), "state": str(state), "die_at": die_at}
        self._process.stdin.write(json.dumps(job) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert not answer["ended"] or answer["code"] == 0
        return bool(answer["ended"])


@pytest.fixture
def doomed() -> Iterator[Doomed]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "tests.support.knobs"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment, cwd=ROOT) as process:
        yield Doomed(process)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 0


def test_killed_at_any_step_of_tuning_everything_is_put_back(place: Path, doomed: Doomed) -> None:
    for step in range(1, 1000):
        root, state = make_machine(place / "root"), place / "state"
        if doomed.ends("tune", root, state, step):
            break
        if step % 2:  # somebody who did not notice tunes once more
            act("tune", root, state)
        assert {one.state for one in act("undo", root, state)} <= {"restored", "as-before"}, step
        assert_as_before(root)
        assert not list(state.glob("*.json")), step
        shutil.rmtree(root)
        shutil.rmtree(state)
    assert 60 < step < 999  # each of some 15 values: three of the journal's moments twice, and two of its own


def test_killed_at_any_step_of_undoing_it_can_be_run_again(place: Path, doomed: Doomed) -> None:
    for step in range(1, 1000):
        root, state = make_machine(place / "root"), place / "state"
        act("tune", root, state)
        if doomed.ends("undo", root, state, step):
            break
        doomed.ends("undo", root, state, step)  # killed once more, at the same distance
        assert {one.state for one in act("undo", root, state)} <= {"restored", "as-before"}, step
        assert_as_before(root)
        assert not list(state.glob("*.json")), step
        shutil.rmtree(root)
        shutil.rmtree(state)
    assert 60 < step < 999
