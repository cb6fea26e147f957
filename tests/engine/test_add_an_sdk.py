"""docs/add-an-sdk.md, followed word by word: its files are written, its commands run, in an empty folder."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from toolkit.engine.docker import DockerEngine
from toolkit.schemas import validate

pytestmark = pytest.mark.timeout(1200)
PAGE = Path(__file__).resolve().parents[2] / "docs" / "add-an-sdk.md"
_BLOCK = re.compile(r"^```(\w+)(?: file=(\S+))?\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks() -> list[tuple[str, str, str]]:
    return [(kind, file, text) for kind, file, text in _BLOCK.findall(PAGE.read_text())]


def commands() -> list[str]:
    return [line for kind, _file, text in blocks() if kind == "sh" for line in text.splitlines() if line.strip()]


def run(command: str, folder: Path, *more: str) -> subprocess.CompletedProcess[str]:
    """One command of the page, with the ``repro`` of this environment first on the path."""
    environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    words = [*command.split(), *more]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, timeout=1000, check=False)


def test_the_page_has_what_it_promises() -> None:
    files = [file for _kind, file, _text in blocks() if file]
    assert files == ["mine/sdks/go-anthropic/sdk.yaml", "mine/sdks/go-anthropic/adapter.go"]
    assert [line.split()[1] for line in commands()] == ["lock", "list", "launch", "probe"]


def test_following_the_page_adds_an_sdk_and_launches_it(engine: DockerEngine, tmp_path: Path) -> None:
    for _kind, file, text in blocks():
        if file:
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).write_text(text)
    lock, listing, launch, probe = commands()
    done = run(lock, tmp_path)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "mine/sdks/go-anthropic"
    assert {path.name for path in folder.iterdir()} == {"sdk.yaml", "adapter.go", "go.mod", "go.sum", "lock.json"}
    assert "sealbench.org/harness" not in (folder / "go.mod").read_text()
    done = run(listing, tmp_path)
    assert "go-anthropic  " in done.stdout, done.stderr
    done = run(launch, tmp_path, "--json", "--wait", "300")
    assert done.returncode == 0, done.stderr + done.stdout
    document = json.loads(done.stdout)
    validate(document, "launch")
    (cell,) = document["cells"]
    assert cell["id"] == "go-anthropic/chat-stream-128/default"
    assert document["valid"]
    assert cell["metrics"]["error.rate"]["value"] == 0
    assert cell["metrics"]["sdk.overhead.p50_seconds"]["value"] > 0
    done = run(probe, tmp_path, "--json", "--wait", "300")
    assert done.returncode == 0, done.stderr + done.stdout
    document = json.loads(done.stdout)
    validate(document, "probe")
    outcomes = {one["id"]: one["outcome"] for one in document["sdks"][0]["probes"]}
    assert outcomes["streams"] == "yes"
    assert outcomes["embeds"] == "not-applicable"
