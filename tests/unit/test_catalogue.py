"""The catalogue: what is shipped loads, what is wrong in an entry is named by file and key."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from toolkit import resources
from toolkit.catalogue import load_catalogue, locked_go
from toolkit.catalogue.load import read_sdk
from toolkit.errors import CatalogueError, UsageError


@pytest.fixture
def extra(tmp_path: Path) -> Path:
    """A user's own catalogue folder: a copy of a shipped SDK under another id."""
    folder = tmp_path / "mine" / "sdks" / "my-sdk"
    shutil.copytree(resources.images_dir() / "sdks" / "go-openai", folder)
    edit(folder / "sdk.yaml", "id: go-openai\n", "id: my-sdk\n")
    return tmp_path / "mine"


def edit(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text, f"{old!r} is not in {file}"
    file.write_text(text.replace(old, new, 1))


def test_what_is_shipped_loads_and_every_reference_leads_somewhere() -> None:
    catalogue = load_catalogue()
    assert "go-openai" in catalogue.sdks
    entry = catalogue.sdk("GO-OpenAI")
    assert entry.version.startswith("v")
    assert entry.workloads[0][0] == "chat-stream-128"
    assert entry.backends("embed-512")[0] == "stub"
    assert entry.backends("unheard-of") == ()
    assert catalogue.backend("stub").tier == "stub"
    assert catalogue.workload("embed-512").tokens == 512


def test_an_unknown_name_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean go-openai"):
        load_catalogue().sdk("goopenai")
    with pytest.raises(UsageError, match="did you mean embed-512"):
        load_catalogue().workload("embed512")
    with pytest.raises(UsageError, match="stub"):
        load_catalogue().backend("zzz")


def test_what_repro_probe_runs_is_not_offered_as_a_workload() -> None:
    with pytest.raises(UsageError) as error:
        load_catalogue().workload("prob")
    assert "probe" not in error.value.cause
    assert load_catalogue().workload("probe").kind == "probe"


def test_a_users_own_entry_stands_beside_ours(extra: Path) -> None:
    assert load_catalogue(extra).sdk("my-sdk").folder == extra / "sdks" / "my-sdk"


def test_a_user_may_not_replace_an_entry(extra: Path) -> None:
    (extra / "sdks" / "my-sdk").rename(extra / "sdks" / "go-openai")
    edit(extra / "sdks" / "go-openai" / "sdk.yaml", "id: my-sdk\n", "id: go-openai\n")
    with pytest.raises(CatalogueError, match="exists already"):
        load_catalogue(extra)


def test_a_missing_catalogue_folder_is_a_usage_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="No catalogue folder"):
        load_catalogue(tmp_path / "nowhere")
    with pytest.raises(UsageError, match="No catalogue folder"):
        load_catalogue(tmp_path / ("x" * 5000))


@pytest.mark.parametrize(
    ("file", "old", "new", "named"),
    [
        ("sdk.yaml", "licence: Apache-2.0", "license: Apache-2.0", "licence"),
        ("sdk.yaml", "memory: 512m", "memory: 512.5", "memory"),
        ("sdk.yaml", "memory: 512m", "memory: lots", "memory"),
        ("sdk.yaml", "version: v1.43.0", "version: latest", "version"),
        ("sdk.yaml", "version: v1.43.0", "version: v1.43", "version"),
        ("sdk.yaml", "version: v1.43.0", "version: v1.42.0", "go-openai"),
        ("sdk.yaml", "version: v1.43.0", "version: 1.43", "version"),
        ("sdk.yaml", "id: my-sdk", "id: other", "id"),
        ("sdk.yaml", "id: my-sdk", "id: My SDK", "id"),
        ("sdk.yaml", "id: my-sdk", "id: my-sdk\nid: my-sdk", "twice"),
        ("sdk.yaml", "id: my-sdk", "id: my-sdk\nsurprise: 1", "surprise"),
        ("sdk.yaml", "aliases: []", "aliases: [go-openai]", "aliases"),
        ("sdk.yaml", "aliases: []", "aliases: &a [x]\nlineage: *a", "alias"),
        ("sdk.yaml", "aliases: []", "package: ../../..", "package"),
        ("sdk.yaml", "aliases: []", "package: nowhere", "package"),
        ("sdk.yaml", "[stub,", "[nobody,", "nobody"),
        ("sdk.yaml", "id: chat-stream-128", "id: chat-nothing", "chat-nothing"),
        ("sdk.yaml", "id: my-sdk", "id: [", "YAML"),
        ("sdk.yaml", "id: my-sdk", "\tid: my-sdk", "YAML"),
        ("go.mod", "go 1.", "go 2.", "go line"),
        ("go.mod", "v1.43.0", "latest", "floating"),
        ("go.mod", "require", "toolchain go1.99.0\nrequire", "toolchain"),
        ("go.mod", "require", "replace a => ../b\nrequire", "replace"),
    ],
)
def test_what_is_wrong_is_named_by_file_and_key(extra: Path, file: str, old: str, new: str, named: str) -> None:
    edit(extra / "sdks" / "my-sdk" / file, old, new)
    with pytest.raises(CatalogueError) as caught:
        load_catalogue(extra)
    assert named in str(caught.value)
    assert str(extra / "sdks" / "my-sdk") in str(caught.value)
    assert caught.value.exit_code == 2


OWN = {
    "sdks": ("go-openai", "sdk.yaml"),
    "backends": ("stub", "backend.yaml"),
    "workloads": ("chat-stream-128", "workload.yaml"),
}


def own_entry(tmp_path: Path, kind: str, **keys: Any) -> Path:
    """A catalogue with one entry, ``mine``: a copy of one of ours with some keys changed."""
    name, file = OWN[kind]
    folder = tmp_path / kind / "mine"
    source = resources.images_dir() / kind / name
    if source.is_dir():
        shutil.copytree(source, folder)
    else:
        folder.mkdir(parents=True)
        shutil.copyfile(source.with_suffix(".yaml"), folder / file)
    text = yaml.safe_load((folder / file).read_text()) | {"id": "mine"} | keys
    if kind == "sdks":
        text.pop("aliases", None)
    (folder / file).write_text(yaml.safe_dump(text))
    return tmp_path


TWICE = [{"id": "embed-512", "backends": ["stub"]}, {"id": "embed-512", "backends": ["in-process"]}]


@pytest.mark.parametrize(
    ("kind", "key", "value"),
    [
        ("sdks", "environment", {"PATH": "/tmp"}),
        ("sdks", "environment", {"GOMAXPROCS": "1"}),
        ("sdks", "environment", {"REPRO_WORKLOAD": "{}"}),
        ("sdks", "environment", {"A": "x\0y"}),
        ("sdks", "environment", {"A": "x\ny"}),
        ("sdks", "memory", "1"),
        ("sdks", "memory", "9" * 30 + "g"),
        ("sdks", "memory", "\u0663m"),
        ("sdks", "version", "v1.43.0\n"),
        ("sdks", "workloads", TWICE),
        ("sdks", "workloads", [{"id": "probe", "backends": ["stub"]}]),
        ("sdks", "null", True),
        ("sdks", "package", "x" * 5000),
        ("sdks", "package", "a\0b"),
        ("backends", "environment", {"REPRO_BACKEND": "{}"}),
        ("backends", "environment", {"A": "{nope}"}),
        ("backends", "command", ["/repro/backend", "{nope}"]),
        ("backends", "commands", {"embed": ["/repro/backend", "--m={models}"]}),
        ("backends", "command", [""]),
        ("backends", "wires", {"openai": "v1"}),
        ("backends", "wires", {"openai": "/v1?key= x"}),
        ("backends", "wires", {"openai": "/v1\n"}),
        ("backends", "memory", "1"),
        ("backends", "tls_port", 8080),
        ("backends", "ready", "soon"),
        ("backends", "ready", "https://127.0.0.1:8080/"),
        ("backends", "build", "none"),
        ("backends", "settings", {"rate": float("inf")}),
        ("workloads", "rate_hz", float("inf")),
        ("workloads", "tokens", 10**30),
        ("workloads", "top", 10),
        ("workloads", "drives", ["open", "probe"]),
        ("workloads", "backend", {"pace": float("nan")}),
    ],
)
def test_what_no_launch_could_have_is_refused_by_its_key(tmp_path: Path, kind: str, key: str, value: Any) -> None:
    extra = own_entry(tmp_path, kind, **{key: value})
    with pytest.raises(CatalogueError) as error:
        load_catalogue(extra)
    assert OWN[kind][1] in error.value.title
    assert ("port" if (key, value) == ("build", "none") else key) in error.value.title


def test_braces_that_are_no_mark_are_left_alone(tmp_path: Path) -> None:
    words = ["/repro/backend", '{"a": 1}', "{{.Prompt}}", "{{nope}}", "--port={port}"]
    extra = own_entry(tmp_path, "backends", command=words, environment={"HOME": "/tmp", "X": "{threads}"})
    assert load_catalogue(extra).backend("mine").command == tuple(words)


@pytest.mark.parametrize("what", ["a pipe", "a device", "a folder"])
def test_an_entry_that_is_no_file_is_an_error_and_not_waited_for(extra: Path, what: str) -> None:
    file = extra / "sdks" / "my-sdk" / "sdk.yaml"
    file.unlink()
    if what == "a pipe":
        os.mkfifo(file)
    elif what == "a device":
        file.symlink_to("/dev/zero")
    else:
        file.mkdir()
    with pytest.raises(CatalogueError):
        read_sdk(file)
    with pytest.raises(CatalogueError, match="not a catalogue entry"):
        load_catalogue(extra)


@pytest.mark.parametrize("text", ["? [a]\n: b\n", "? {a: b}\n: c\n"])
def test_a_key_that_is_no_text_is_an_error_not_a_traceback(extra: Path, text: str) -> None:
    (extra / "sdks" / "my-sdk" / "sdk.yaml").write_text(text)
    with pytest.raises(CatalogueError, match="not valid YAML"):
        load_catalogue(extra)


@pytest.mark.parametrize("missing", ["sdk.yaml", "go.mod", "go.sum"])
def test_a_missing_file_is_named(extra: Path, missing: str) -> None:
    (extra / "sdks" / "my-sdk" / missing).unlink()
    with pytest.raises(CatalogueError, match=missing.replace(".", r"\.")):
        load_catalogue(extra)


def test_a_file_that_is_not_text_is_an_error_not_a_traceback(extra: Path) -> None:
    (extra / "sdks" / "my-sdk" / "sdk.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(CatalogueError, match="cannot be read"):
        load_catalogue(extra)


def test_all_our_modules_carry_the_go_line_of_the_locked_toolchain() -> None:
    # The go line sets the default GODEBUG: another line would be another runtime.
    files = sorted(resources.images_dir().rglob("go.mod"))
    assert len(files) >= 4
    for file in files:
        if "testdata" not in file.parts:
            assert f"\ngo {locked_go()}\n" in file.read_text(), file


def test_the_harness_needs_the_standard_library_only() -> None:
    assert "require" not in (resources.images_dir() / "harness" / "go.mod").read_text()


def test_what_a_workload_asks_of_a_backend_some_backend_knows() -> None:
    """A backend gets only what it knows: a misspelt setting would otherwise be asked of nobody."""
    catalogue = load_catalogue()
    known = {key for backend in catalogue.backends.values() for key in backend.settings}
    for workload in catalogue.workloads.values():
        assert set(workload.backend) <= known, workload.id
