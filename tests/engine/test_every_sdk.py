"""Every SDK does every workload that its entry lists, against every backend listed, and the answers are right.

`make test` takes one SDK of each kind; `make test-all` takes them all.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.faults_tool import Tool, sealed_manifest
from tests.support.sdks import CATALOGUE, CHOSEN, EVERYTHING
from toolkit.canonical import sha256_file
from toolkit.catalogue.parts import synthetic_models
from toolkit.engine.docker import DockerEngine
from toolkit.fetch.store import Store
from toolkit.model.catalogue import SdkEntry
from toolkit.schemas import validate

pytestmark = pytest.mark.timeout(3600)
Json = dict[str, Any]

# Compiling and, on a busy machine, waiting for others who compile.
BUILD_SECONDS = 3000.0
# llama-server announces that it keeps a connection alive and closes it after each streamed answer: an SDK that does not
# retry meets a closed connection now and then. That is this peer, and a number in the result, not a wrong answer.
CLOSES_ITS_CONNECTIONS = "llama-server"
MOST_LOST_CONNECTIONS = 0.1


def cells() -> list[tuple[str, str, str]]:
    """(SDK, workload, backend); in the short list only the default backend."""
    found = []
    for name in CHOSEN:
        for workload, backends in CATALOGUE.sdk(name).workloads:
            found += [(name, workload, backend) for backend in (backends if EVERYTHING else backends[:1])]
    return found


@pytest.fixture(scope="module")
def tool(tmp_path_factory: pytest.TempPathFactory, engine: DockerEngine) -> Iterator[Tool]:
    """One folder for all of them."""
    one = Tool(tmp_path_factory.mktemp("every"))
    yield one
    one.end_all()
    leftovers = one.leftovers(engine)
    one.close(engine)
    assert leftovers == []


def launched(tool: Tool, *arguments: str) -> Json:
    """A short launch that must be valid; its ``repro.launch/1``."""
    words = ["launch", "--json", "--cpus", "0", "--warmup", "1", "--timing-gates", "record", "--wait", "600"]
    ended = tool.start(*words, *arguments).end(BUILD_SECONDS)
    assert ended.code == 0, ended.stderr[-4000:] + ended.stdout[-4000:]
    document = ended.document
    validate(document, "launch")
    assert document["valid"] is True
    return document


@pytest.mark.parametrize(("sdk", "workload", "backend"), cells(), ids=map("/".join, cells()))
def test_it_launches_valid_and_answers_right(tool: Tool, sdk: str, workload: str, backend: str) -> None:
    document = launched(tool, "--sdk", sdk, "--workload", workload, "--backend", backend, "--duration", "2")
    (cell,) = document["cells"]
    # Every answer was checked in the container: number of tokens, dimension, the top-10 set, the image.
    errors = {name: entry["value"] for name, entry in cell["metrics"].items() if name.startswith("error.")}
    if backend == CLOSES_ITS_CONNECTIONS:
        assert errors.pop("error.rate") == errors.pop("error.transport.rate") <= MOST_LOST_CONNECTIONS
    assert not any(errors.values()), errors
    assert cell["metrics"]["error.rate"]["n"] >= 1
    entry = CATALOGUE.backend(backend)
    assert cell["synthetic_model"] is (entry.tier == "tiny-model")
    stamped = entry.id == "stub"
    assert (cell["metrics"]["sdk.overhead.p50_seconds"]["value"] is not None) is stamped
    manifest = sealed_manifest(Path(document["path"]))
    roles = set(manifest["constraints"][cell["id"]])
    assert roles == ({"sdk"} if entry.in_process else {"sdk", "backend"})
    states = {row["state"] for rows in manifest["constraints"][cell["id"]].values() for row in rows}
    assert states <= {"held", "absent"}


def names(entry: SdkEntry) -> list[str]:
    return [entry.id, *entry.aliases]


@pytest.mark.parametrize("name", [name for sdk in CHOSEN for name in names(CATALOGUE.sdk(sdk))])
def test_each_name_launches_for_twelve_seconds(tool: Tool, name: str) -> None:
    if not EVERYTHING and name != "go-llama":
        pytest.skip("`make test-all` takes every name")
    document = launched(tool, "--sdk", name, "--duration", "12")
    assert document["cells"][0]["launches"][0]["windows"] == 1
    assert document["cells"][0]["id"].split("/")[0] == CATALOGUE.sdk(name).id


def test_several_sdks_make_one_interleaved_run_with_the_null_sdk(tool: Tool) -> None:
    document = launched(
        tool, "--sdk", "go-openai", "--sdk", "ollama-api", "--baseline", "--workload", "embed-512", "--launches", "2",
        "--duration", "2",
    )  # fmt: skip
    cells = {cell["id"].split("/")[0]: cell for cell in document["cells"]}
    assert set(cells) == {"go-openai", "ollama-api", "net-http"}
    manifest = sealed_manifest(Path(document["path"]))
    rounds = [{turn["cell"] for turn in manifest["order"] if turn["launch"] == number} for number in (1, 2)]
    assert len(rounds[0]) == 3
    assert rounds[0] == rounds[1]
    for name, cell in cells.items():
        over = cell["metrics"]["rss.over_null_bytes"]
        assert (over["value"] is None) is (name == "net-http")
        if name != "net-http":
            own, null = (one["metrics"]["rss.process.max_bytes"]["value"] for one in (cell, cells["net-http"]))
            assert over["value"] == own - null


OWN_MODEL = [("yzma", "in-process")]
if EVERYTHING:
    OWN_MODEL += [("go-openai", "llama-server"), ("ollama-api", "ollama")]


@pytest.fixture(scope="module")
def model(tool: Tool) -> Path:
    """A GGUF file of the user's own: the synthetic one's bytes, which the store holds once an SDK with it was built."""
    digest = synthetic_models()["chat.gguf"].files["chat.gguf"]
    launched(tool, "--sdk", "yzma", "--duration", "1")
    file = tool.folder / "my own.gguf"
    shutil.copyfile(Store.open().blob(digest, "chat.gguf"), file)
    return file


@pytest.mark.parametrize(("sdk", "backend"), OWN_MODEL, ids=map("/".join, OWN_MODEL))
def test_a_model_of_ones_own_is_named_by_its_bytes(tool: Tool, model: Path, sdk: str, backend: str) -> None:
    words = ["--workload", "chat-stream-128", "--backend", backend, "--duration", "2", "--model", str(model)]
    document = launched(tool, "--sdk", sdk, *words)
    (cell,) = document["cells"]
    assert cell["id"].endswith(",tier=your-model") or "model=" in cell["id"]
    assert cell["synthetic_model"] is False
    assert cell["metrics"]["error.other.rate"]["value"] == cell["metrics"]["error.wrong_answer.rate"]["value"] == 0
    run = Path(document["path"])
    (told,) = sealed_manifest(run)["inputs"]["models"]
    assert (told["name"], told["sha256"]) == ("my_own.gguf", sha256_file(model))
    held = [path for path in run.rglob("*") if path.is_file() and path.stat().st_size == model.stat().st_size]
    assert held == []
    without = tool.start("rerun", document["run"], "--json").end(BUILD_SECONDS)
    assert (without.code, without.error["title"]) == (2, "this run used a model of the user's own")
    again = tool.start("rerun", document["run"], "--json", "--wait", "600", "--model", str(model)).end(BUILD_SECONDS)
    assert again.code == 0, again.stderr[-4000:]
