"""``--sdk-at`` on the real engine: a version, a checkout and the pinned one, interleaved in one run; then again."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import Tool, sealed_manifest
from toolkit.collect.evidence import evidence_of
from toolkit.collect.journal import read_journal
from toolkit.engine.docker import DockerEngine
from toolkit.fetch.sdk_at import tree_digest
from toolkit.fetch.stage import host_go
from toolkit.fetch.store import Store
from toolkit.schemas import validate

pytestmark = pytest.mark.timeout(1500)
MODULE, OTHER = "github.com/sashabaranov/go-openai", "v1.42.0"
MARK = "// a change of the maintainer's\n"
Json = dict[str, Any]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The SDK's sources as a maintainer has them: of a module cache, by the locked Go, and changed."""
    folder = tmp_path_factory.mktemp("checkout")
    go = host_go(Store.open(), lambda _text: None)
    env = {**os.environ, "GOTOOLCHAIN": "local", "GOMODCACHE": str(folder / "mod"), "GOFLAGS": "-modcacherw"}
    command = [str(go), "mod", "download", "-json", f"{MODULE}@{OTHER}"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=True, timeout=300)
    mine = folder / "go-openai"
    shutil.copytree(json.loads(done.stdout)["Dir"], mine)
    (mine / "client.go").write_text((mine / "client.go").read_text() + MARK)
    return mine


@pytest.fixture(scope="module")
def own_tool(tmp_path_factory: pytest.TempPathFactory, engine: DockerEngine) -> Iterator[Tool]:
    one = Tool(tmp_path_factory.mktemp("sdk-at"))
    yield one
    one.end_all()
    leftovers = one.leftovers(engine)
    one.close(engine)
    assert leftovers == []


@pytest.fixture(scope="module")
def launched(own_tool: Tool, checkout: Path) -> Json:
    """Three of the same SDK beside the null SDK."""
    words = "launch --sdk go-openai --sdk-at pinned --baseline --workload embed-512 --cpus 0 --duration 2 --warmup 2"
    words += f" --sdk-at {OTHER} --sdk-at {checkout} --json --timing-gates record --wait 300"
    ended = own_tool.start(*words.split()).end(1200)
    assert ended.code == 0, ended
    validate(ended.document, "launch")
    return ended.document


def cells(document: Json) -> list[str]:
    return [cell["id"] for cell in document["cells"]]


def label(checkout: Path) -> str:
    return f"dir-{tree_digest(checkout).removeprefix('sha256:')[:12]}"


def test_each_version_is_a_cell_of_one_run(launched: Json, checkout: Path) -> None:
    assert cells(launched) == [
        "go-openai/embed-512/default",
        f"go-openai/embed-512/sdk-at={OTHER}",
        f"go-openai/embed-512/sdk-at={label(checkout)}",
        "net-http/embed-512/default",
    ]
    assert launched["valid"] is True
    for cell in launched["cells"][:3]:
        assert cell["metrics"]["error.rate"]["value"] == 0
        assert cell["metrics"]["cpu.over_null_seconds"]["value"] is not None


def test_the_programs_say_which_version_they_are(launched: Json, checkout: Path) -> None:
    told = {}
    for path in Path(launched["path"]).glob("attempts/*/*/journal.pb"):
        program = evidence_of(read_journal(path)).program
        assert program is not None
        told[path.parts[-3]] = program.version
    assert told[f"go-openai--embed-512--sdk-at={OTHER}"] == OTHER
    assert told[f"go-openai--embed-512--sdk-at={label(checkout)}"] == label(checkout)


def test_each_version_is_an_image_of_its_own_and_no_path_is_kept(launched: Json, checkout: Path) -> None:
    run = Path(launched["path"])
    manifest = sealed_manifest(run)
    binaries = {image["binary_digest"] for image in manifest["images"] if image["id"] == "go-openai"}
    assert len(binaries) == 3
    for path in run.rglob("*"):
        if path.is_file():
            assert str(checkout).encode() not in path.read_bytes(), path


def test_the_same_again_even_when_the_checkout_is_gone(own_tool: Tool, launched: Json, checkout: Path) -> None:
    moved = checkout.rename(checkout.with_name("gone"))
    try:
        ended = own_tool.start("rerun", launched["run"], "--wait", "300", "--json").end(900)
    finally:
        moved.rename(checkout)
    assert ended.code == 0, ended
    document = ended.document
    validate(document, "rerun")
    assert [one for one in document["differences"] if one["meaning"] == "blocking"] == []
    assert cells(document) == cells(launched)
    assert document["valid"] is True


def test_an_edited_checkout_is_another_sdk(own_tool: Tool, launched: Json, checkout: Path) -> None:
    before = label(checkout)
    (checkout / "client.go").write_text((checkout / "client.go").read_text() + MARK)
    words = f"launch --sdk go-openai --workload embed-512 --cpus 0 --sdk-at {checkout} --dry-run --json"
    ended = own_tool.start(*words.split()).end(300)
    assert ended.code == 0, ended
    (cell,) = ended.document["cells"]
    assert cell["arms"] == {"sdk-at": label(checkout)}
    assert cell["version"] == label(checkout) != before
