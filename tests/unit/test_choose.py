"""From names to entries: aliases, the baseline, a model of the user's own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.journals import cell_plan
from toolkit.catalogue import load_catalogue
from toolkit.cli.choose import cannot, choose
from toolkit.cli.rerunning import required_model
from toolkit.errors import InputMismatch, UsageError
from toolkit.fetch.own_model import hold, read_model, require_model, still
from toolkit.model.plan import ModelFile, Plan

CATALOGUE = load_catalogue()
ALIASES = {alias: entry.id for entry in CATALOGUE.sdks.values() for alias in entry.aliases}


def places(*names: str, workload: str | None = None, backend: str | None = None, baseline: bool = True) -> list[str]:
    found = choose(CATALOGUE, names, workload, backend, baseline=baseline)
    return [f"{one.sdk.id}/{one.workload.id}/{one.backend.id}{'+' if one.baseline else ''}" for one in found]


@pytest.mark.parametrize("alias", ALIASES)
def test_an_alias_is_its_entry_and_is_remembered(alias: str) -> None:
    (one,) = choose(CATALOGUE, [f" {alias.upper()} "], None)
    assert one.sdk.id == ALIASES[alias]
    assert one.asked_as == alias
    assert one.workload.id == one.sdk.workloads[0][0]
    assert one.backend.id == one.sdk.workloads[0][1][0]


def test_the_articles_names_are_all_known() -> None:
    names = {"gpt-vision-go", "genai-go", "ollama-go", "go-llama", "llama.cpp-go", "sentence-transformers-go"}
    assert names <= set(ALIASES)


def test_a_baseline_stands_once_beside_each_place() -> None:
    assert places("go-openai", "openai-go") == [
        "go-openai/chat-stream-128/stub",
        "openai-go/chat-stream-128/stub",
        "net-http/chat-stream-128/stub+",
    ]


def test_a_null_sdk_that_was_asked_for_is_its_own_baseline() -> None:
    assert places("go-openai", "net-http") == ["go-openai/chat-stream-128/stub", "net-http/chat-stream-128/stub"]
    assert places("net-http") == ["net-http/chat-stream-128/stub"]


def test_a_baseline_is_left_out_where_the_null_sdk_has_no_such_place() -> None:
    assert places("go-openai", "yzma") == [
        "go-openai/chat-stream-128/stub",
        f"yzma/chat-stream-128/{CATALOGUE.sdk('yzma').backends('chat-stream-128')[0]}",
        "net-http/chat-stream-128/stub+",
    ]


def test_a_baseline_with_nothing_to_stand_beside_is_refused() -> None:
    with pytest.raises(UsageError, match="nothing to stand beside") as caught:
        places("chromem-go", workload="similarity-1000x768")
    assert "similarity-1000x768 against" in caught.value.cause


def test_what_an_entry_does_not_list_is_refused_by_name() -> None:
    with pytest.raises(UsageError, match="chromem-go cannot do workload 'chat-stream-128'"):
        places("chromem-go", workload="chat-stream-128")
    with pytest.raises(UsageError, match="go-openai has no backend 'qdrant-exact'"):
        places("go-openai", backend="qdrant-exact")


def test_a_model_of_ones_own_goes_to_a_backend_that_loads_one() -> None:
    (one,) = choose(CATALOGUE, ["yzma"], "chat-stream-128", own_model=True)
    assert one.backend.in_process
    with pytest.raises(UsageError, match="--model cannot be used with hugot"):
        choose(CATALOGUE, ["hugot"], None, own_model=True)
    with pytest.raises(UsageError, match=r"has no backend 'stub' for .* that takes a model file"):
        choose(CATALOGUE, ["yzma"], "chat-stream-128", "stub", own_model=True)


# the file itself


def gguf(folder: Path, name: str = "model.gguf", data: bytes = b"GGUF rest") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_a_model_is_named_by_plain_characters_and_its_bytes(tmp_path: Path) -> None:
    model = read_model(gguf(tmp_path, "my model\n(é).gguf"))
    assert model.name == "my_model____.gguf"
    assert str(tmp_path) not in model.name
    assert (len(model.sha256), model.size_bytes) == (64, 9)
    assert read_model(gguf(tmp_path, "other.gguf")).sha256 == model.sha256


def test_a_long_name_is_cut(tmp_path: Path) -> None:
    assert len(read_model(gguf(tmp_path, "m" * 200 + ".gguf")).name) == 80


@pytest.mark.parametrize("data", [b"", b"GGU", b"PK\x03\x04", b"ggufx"])
def test_what_is_no_gguf_file_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(UsageError, match="is not a GGUF file"):
        read_model(gguf(tmp_path, data=data))


def test_a_model_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nowhere.gguf", tmp_path):
        with pytest.raises(UsageError, match="cannot be read"):
            read_model(path)


def test_a_model_that_is_no_file_is_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    for path in (tmp_path / "pipe.gguf", Path("/dev/zero")):
        with pytest.raises(UsageError, match="is not a file"):
            read_model(path)


def test_a_model_that_changed_after_it_was_hashed_is_not_held(tmp_path: Path) -> None:
    path = gguf(tmp_path)
    wanted = read_model(path)
    gguf(tmp_path, data=b"GGUF more")
    with pytest.raises(InputMismatch, match="changed while the launch was prepared"):
        hold(path, wanted)


def test_a_model_is_held_only_when_a_write_would_give_it_another_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock of files advances in steps of some milliseconds: a write within the same step changed no mark."""
    path = gguf(tmp_path)
    now = path.stat().st_ctime_ns
    steps = iter([now, now, now + 4_000_000])
    monkeypatch.setattr("toolkit.fetch.own_model.time.clock_gettime_ns", lambda _clock: next(steps))
    assert still(hold(path, read_model(path)))
    assert list(steps) == []


@pytest.mark.parametrize("change", ["write", "replace", "remove", "swap the link"])
def test_a_held_model_is_known_to_be_another_after(tmp_path: Path, change: str) -> None:
    path = gguf(tmp_path)
    link = tmp_path / "link.gguf"
    link.symlink_to(path)
    held = hold(link, read_model(link))
    path.read_bytes()
    assert still(held)
    if change == "write":
        with path.open("r+b") as stream:
            stream.write(b"GGUF")
        os.utime(path, ns=(0, held.marks[3]))  # the time of the content can be set back, the inode's cannot
    elif change == "replace":
        gguf(tmp_path, "new.gguf").replace(path)
    elif change == "remove":
        path.unlink()
    else:  # containers get the file that was hashed, wherever the link points now
        link.unlink()
        link.symlink_to(gguf(tmp_path, "new.gguf"))
        assert held.path == path
    assert still(held) is (change == "swap the link")


def test_a_rerun_needs_the_same_bytes_wherever_they_lie(tmp_path: Path) -> None:
    path = gguf(tmp_path)
    wanted = read_model(path)
    moved = path.rename(tmp_path / "elsewhere.gguf")
    assert require_model(moved, wanted) == moved
    with pytest.raises(UsageError, match="a model of the user's own") as asked:
        require_model(None, wanted)
    assert wanted.sha256 in asked.value.cause
    assert "--model FILE" in asked.value.remedy
    with pytest.raises(InputMismatch, match="is not the model of this run"):
        require_model(gguf(tmp_path, data=b"GGUF other"), wanted)


def test_a_rerun_of_a_run_without_a_model_takes_none(tmp_path: Path) -> None:
    model = ModelFile("m.gguf", "ab" * 32, 9)
    assert required_model(Plan((cell_plan(),), (), 1), None) is None
    with pytest.raises(UsageError, match="a model of the user's own"):
        required_model(Plan((cell_plan(), cell_plan(model_file=model)), (), 1), None)
    with pytest.raises(UsageError, match="this run used no model"):
        required_model(Plan((cell_plan(),), (), 1), gguf(tmp_path))


def test_beside_one_that_can_an_sdk_that_cannot_is_left_out_and_named() -> None:
    catalogue = load_catalogue()
    found = choose(catalogue, ["chromem-go", "go-openai"], "chat-stream-128")
    assert [one.sdk.id for one in found] == ["go-openai"]
    assert cannot(catalogue, "chromem-go", "chat-stream-128") == "chromem-go cannot do workload 'chat-stream-128'"
    assert cannot(catalogue, "go-openai", "chat-stream-128") == ""
