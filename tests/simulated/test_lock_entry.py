"""``repro lock --entry``: go.mod, go.sum and lock.json of a new entry, or one clear error and an untouched folder.

Go is the host's and its modules come from a proxy of files that the test writes: nothing here needs a network.
"""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.stub import need_go
from toolkit.catalogue.load import read_sdk
from toolkit.cli.app import app
from toolkit.errors import CatalogueError, UsageError
from toolkit.fetch import tidy
from toolkit.fetch.store import Store
from toolkit.fetch.tidy import tidy_entry
from toolkit.lock import read_modules

MODULE, WRAPPER = "example.org/tiny", "example.org/wrapper"
SDK_YAML = f"""id: tiny
module: {MODULE}
version: v1.0.0
licence: MIT
workloads: [{{id: chat-stream-128, backends: [stub]}}]
"""
ADAPTER = """package adapter

import (
	"example.org/tiny"
	"sealbench.org/harness"
)

type adapter struct{ harness.Adapter }

func New() harness.Adapter { return adapter{} }

var Version = tiny.Version
"""


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A new entry; Go and its proxy are at hand."""
    go = Path(need_go())
    monkeypatch.setattr(tidy, "host_go", lambda _store, _report: go)
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path / 'proxy'}")
    monkeypatch.setenv("GOSUMDB", "off")
    for version in ("v1.0.0", "v1.1.0"):
        tiny = {"go.mod": f"module {MODULE}\n\ngo 1.24\n", "tiny.go": f'package tiny\n\nconst Version = "{version}"\n'}
        publish(tmp_path / "proxy", MODULE, version, tiny)
    wrapper = {
        "go.mod": f"module {WRAPPER}\n\ngo 1.24\n\nrequire {MODULE} v1.1.0\n",
        "wrapper.go": f'package wrapper\n\nimport "{MODULE}"\n\nconst Version = tiny.Version\n',
    }
    publish(tmp_path / "proxy", WRAPPER, "v1.0.0", wrapper)
    place = tmp_path / "tiny"
    place.mkdir()
    (place / "sdk.yaml").write_text(SDK_YAML)
    (place / "adapter.go").write_text(ADAPTER)
    return place


def publish(proxy: Path, module: str, version: str, files: dict[str, str]) -> None:
    place = proxy / module / "@v"
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{version}.info").write_text(f'{{"Version":"{version}"}}')
    (place / f"{version}.mod").write_text(files["go.mod"])
    with zipfile.ZipFile(place / f"{version}.zip", "w") as archive:
        for name, text in files.items():
            archive.writestr(f"{module}@{version}/{name}", text)
    with (place / "list").open("a") as stream:
        stream.write(f"{version}\n")


def silent(_text: str) -> None:
    """Says nothing."""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_new_entry_gets_its_three_files_and_reads_back(store: Store, folder: Path) -> None:
    lock = tidy_entry(store, folder, report=silent)
    assert read_modules(folder) == lock
    assert read_sdk(folder / "sdk.yaml").version == "v1.0.0"
    assert sorted(contents(folder)) == ["adapter.go", "go.mod", "go.sum", "lock.json", "sdk.yaml"]


def test_an_adapter_that_does_not_use_its_sdk_is_told_so(store: Store, folder: Path) -> None:
    (folder / "adapter.go").write_text("package adapter\n")
    before = contents(folder)
    with pytest.raises(CatalogueError, match=f"the adapter of tiny does not use {MODULE}"):
        tidy_entry(store, folder, report=silent)
    assert contents(folder) == before


def test_a_version_that_go_replaces_by_a_newer_one_is_refused(store: Store, folder: Path) -> None:
    (folder / "more.go").write_text(f'package adapter\n\nimport "{WRAPPER}"\n\nvar Wrapped = wrapper.Version\n')
    before = contents(folder)
    with pytest.raises(CatalogueError, match=r"cannot be built with example\.org/tiny v1\.0\.0") as caught:
        tidy_entry(store, folder, report=silent)
    assert "v1.1.0" in caught.value.cause
    assert contents(folder) == before


def test_what_cannot_be_copied_is_named(store: Store, folder: Path) -> None:
    (folder / "gone.go").symlink_to("nowhere")
    with pytest.raises(UsageError, match="cannot be read") as caught:
        tidy_entry(store, folder, report=silent)
    assert "gone.go" in caught.value.cause


def test_a_folder_that_cannot_be_written_is_a_usage_error(store: Store, folder: Path) -> None:
    (folder / "go.mod").mkdir()  # root may write everywhere, but not over a folder
    with pytest.raises(UsageError, match="cannot be written"):
        tidy_entry(store, folder, report=silent)


def test_an_interrupted_lock_leaves_the_entry_as_it_was(
    store: Store, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tidy_entry(store, folder, report=silent)
    before = contents(folder)

    def stopped(*_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(tidy, "lock_copy", stopped)
    (folder / "sdk.yaml").write_text(SDK_YAML.replace("v1.0.0", "v1.1.0"))
    with pytest.raises(KeyboardInterrupt):
        tidy_entry(store, folder, report=silent)
    (folder / "sdk.yaml").write_text(SDK_YAML)
    assert contents(folder) == before


@pytest.mark.parametrize("option", [["--check"], ["--sdk", "go-openai"], ["--base"]])
def test_with_check_nothing_is_written_and_other_options_are_refused(folder: Path, option: list[str]) -> None:
    before = contents(folder)
    ended = CliRunner().invoke(app, ["lock", "--entry", str(folder), *option])
    assert ended.exit_code == 2
    assert "--entry goes with no other way to lock" in ended.output
    assert contents(folder) == before
