"""The engine killed in the middle of a launch: one of the test's own, never the machine's."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults_engine import OwnEngine
from tests.support.faults_tool import LONG_SECONDS, Tool, check_record, check_said
from toolkit.engine.docker import connect
from toolkit.engine.port import LABEL_RUN

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root: starts an engine of its own"),
    pytest.mark.skipif(shutil.which("dockerd") is None, reason="needs dockerd on PATH: starts an engine of its own"),
]


@pytest.fixture
def own() -> Iterator[OwnEngine]:
    one = OwnEngine()
    yield one
    one.stop()
    assert not one.folder.exists()


def test_135_an_engine_that_is_lost_in_the_middle(tool: Tool, own: OwnEngine) -> None:
    own.start().close()
    running = tool.begin("--duration", str(LONG_SECONDS), DOCKER_HOST=own.address)
    running.say("measuring")
    engine = connect(own.address)
    pids = [engine.state(one.id).pid for one in engine.owned(LABEL_RUN)]
    engine.close()
    assert len(pids) == 2
    own.kill()
    check_said(running.end(), 4, "engine", "lost", "launch again")
    check_record(tool.only_run(), "engine-lost", state="interrupted")
    gone(pids)
    # The dead engine still has the two on its books; they go with the next clean that it hears of.
    again = own.start()
    tool.clean(DOCKER_HOST=own.address)
    assert again.owned(LABEL_RUN) == []
    again.close()


def gone(pids: list[int], seconds: float = 300.0) -> None:
    """The containers' first processes have ended (a zombie has)."""
    deadline = time.monotonic() + seconds
    while alive := [pid for pid in pids if living(pid)]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.05)


def living(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return text[text.rindex(")") + 2] not in "ZX"
