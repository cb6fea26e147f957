"""Fixtures of the long tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.faults_tool import Tool
from toolkit.engine.docker import DockerEngine


@pytest.fixture
def tool(tmp_path: Path, engine: DockerEngine) -> Iterator[Tool]:
    """Commands in a folder of their own; afterwards no container, socket, lock, process or mount of theirs is left."""
    one = Tool(tmp_path)
    yield one
    one.end_all()
    leftovers = one.leftovers(engine)
    one.close(engine)
    assert leftovers == []
