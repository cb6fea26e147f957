"""Bad catalogue entries: each gives one clear error that names file and key, and nothing is started."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from tests.support.faults_tool import CATALOGUE, Tool, check_record, check_said

pytestmark = pytest.mark.timeout(1200)
ENTRY = "sdks/misbehaving"
Spoil = Callable[[Path], None]


def edit(name: str, old: str, new: str) -> Spoil:
    """Replace a text of one file; the text must be there."""

    def spoil(entry: Path) -> None:
        file = entry / name
        assert old in file.read_text()
        file.write_text(file.read_text().replace(old, new, 1))

    return spoil


def remove(name: str) -> Spoil:
    return lambda entry: (entry / name).unlink()


BAD: dict[str, tuple[Spoil, tuple[str, ...]]] = {
    "unknown key": (edit("sdk.yaml", "memory: 512m", "memmory: 512m"), ("sdk.yaml", "memmory")),
    "missing go.sum": (remove("go.sum"), ("go.sum", "missing")),
    "missing lock": (remove("lock.json"), ("lock.json", "missing")),
    "floating version": (edit("sdk.yaml", "v1.43.0", "latest"), ("sdk.yaml", "version", "latest")),
    "floating requirement": (edit("go.mod", "v1.43.0", "master"), ("go.mod", "floating version")),
    "other go line": (edit("go.mod", "go 1.26.6", "go 1.25.0"), ("go.mod", "1.25.0", "1.26.6")),
    "another lock": (edit("go.sum", "h1:", "h1:A"), ("go.sum", "lock.json")),
    "C flags without cgo": (
        edit("sdk.yaml", "build: go", "build: go\nbuild_environment: {CGO_CFLAGS: -O3}"),
        ("CGO_CFLAGS", "cgo"),
    ),
    "adapter that does not compile": (
        edit("adapter.go", "package adapter", "package adapter\nvar x int = true"),
        ("adapter.go",),
    ),
}


def spoiled(folder: Path, spoil: Spoil) -> Path:
    """A copy of the fault catalogue with its one entry spoiled."""
    catalogue = folder / "catalogue"
    shutil.copytree(CATALOGUE, catalogue)
    spoil(catalogue / ENTRY)
    return catalogue


@pytest.mark.parametrize("name", BAD)
def test_a_bad_entry_is_one_clear_error(tool: Tool, name: str) -> None:
    spoil, words = BAD[name]
    catalogue = spoiled(tool.folder, spoil)
    running = tool.begin("--catalogue", str(catalogue), "--sdk", "misbehaving")
    check_said(running.end(900), 2, *words)
    assert not list(tool.runs.glob("*/manifest.json"))


NEVER = """\
id: never
build: go
tier: stub
wires: {openai: /v1}
model: stub
note: a program that listens to nobody
port: 8080
ready: http://127.0.0.1:8080/healthz
"""
SLEEPER = """\
// Command never waits, and that is all.
package main

import "time"

func main() { time.Sleep(time.Hour) }
"""


def test_a_backend_that_never_gets_ready_is_one_clear_error(tool: Tool) -> None:
    catalogue = spoiled(tool.folder, edit("sdk.yaml", "backends: [stub]", "backends: [never]"))
    folder = catalogue / "backends" / "never"
    folder.mkdir(parents=True)
    (folder / "backend.yaml").write_text(NEVER)
    (folder / "main.go").write_text(SLEEPER)
    (folder / "go.mod").write_text("module sealbench.org/never\n\ngo 1.26.6\n")
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    digest = sha256((folder / "go.mod").read_bytes()).hexdigest()
    (folder / "lock.json").write_text(
        f'{{"schema": "repro.lock.modules/1", "go_mod_sha256": "{digest}", "go_sum_sha256": "{empty}", "files": []}}'
    )
    running = tool.begin("--catalogue", str(catalogue), "--sdk", "misbehaving")
    check_said(running.end(900), 5, "backend never got ready", "backend.stderr.log")
    check_record(tool.only_run(), "backend-not-ready")
