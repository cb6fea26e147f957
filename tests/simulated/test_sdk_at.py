"""``--sdk-at``: another version or a checkout becomes an entry of its own, pinned from then on.

Go is the host's and its modules come from a proxy of files that the test writes: nothing here needs a network.
"""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.stub import need_go
from toolkit.build import targets
from toolkit.catalogue import load_catalogue
from toolkit.cli.common import Folders
from toolkit.cli.launching import at_versions, choices_of
from toolkit.errors import InputUnavailable, UsageError
from toolkit.fetch import sdk_at
from toolkit.fetch.sdk_at import derive, derived_again, tree_digest
from toolkit.fetch.store import Store
from toolkit.host.topology import Placement
from toolkit.lock import read_lock, read_modules
from toolkit.model.catalogue import SdkEntry
from toolkit.output import Output
from toolkit.plan import Choice, Request, make_plan

MODULE = "example.org/tiny"
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
def entry(tmp_path: Path) -> SdkEntry:
    """An entry pinned at v1.0.0."""
    folder = tmp_path / "tiny"
    folder.mkdir()
    (folder / "adapter.go").write_text(ADAPTER)
    (folder / "sdk.yaml").write_text("id: tiny\n")
    (folder / "lock.json").write_text("{}")
    (folder / "go.sum").write_text("")
    (folder / "go.mod").write_text(
        f"module sealbench.org/sdks/tiny\n\ngo {read_lock().toolchain.go}\n\nrequire {MODULE} v1.0.0\n"
    )
    return SdkEntry("tiny", MODULE, "v1.0.0", "MIT", folder, (("chat-stream-128", ("stub",)),))


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The host's Go, and a proxy that has the module at v1.0.0 and v1.1.0."""
    found = Path(need_go())
    place = tmp_path / "proxy" / MODULE / "@v"
    place.mkdir(parents=True)
    for version in ("v1.0.0", "v1.1.0"):
        (place / f"{version}.info").write_text(f'{{"Version":"{version}"}}')
        (place / f"{version}.mod").write_text(f"module {MODULE}\n\ngo 1.24\n")
        with zipfile.ZipFile(place / f"{version}.zip", "w") as archive:
            for name, text in source(version).items():
                archive.writestr(f"{MODULE}@{version}/{name}", text)
    (place / "list").write_text("v1.0.0\nv1.1.0\n")
    monkeypatch.setenv("GOPROXY", f"file://{tmp_path / 'proxy'}")
    monkeypatch.setenv("GOSUMDB", "off")
    monkeypatch.setattr(sdk_at, "host_go", lambda _store, _report: found)
    return found


def source(version: str) -> dict[str, str]:
    return {"go.mod": f"module {MODULE}\n\ngo 1.24\n", "tiny.go": f'package tiny\n\nconst Version = "{version}"\n'}


def checkout(folder: Path, version: str = "edited") -> Path:
    folder.mkdir()
    for name, text in source(version).items():
        (folder / name).write_text(text)
    return folder


def silent(_text: str) -> None:
    """Says nothing."""


# names


def test_a_tree_is_named_by_paths_and_content_alone(tmp_path: Path) -> None:
    first, second = checkout(tmp_path / "a"), checkout(tmp_path / "b")
    os.utime(second / "tiny.go", (1, 1))
    (second / ".git").mkdir()
    (second / ".git" / "HEAD").write_text("whatever")
    (second / "link").symlink_to(second / "tiny.go")
    assert tree_digest(first) == tree_digest(second)
    (second / "tiny.go").rename(second / "other.go")
    assert tree_digest(first) != tree_digest(second)


def test_one_changed_byte_is_another_tree(tmp_path: Path) -> None:
    folder = checkout(tmp_path / "a")
    before = tree_digest(folder)
    (folder / "go.mod").write_text((folder / "go.mod").read_text() + "\n")
    assert tree_digest(folder) != before


# refusals


@pytest.mark.parametrize(
    "at", ["latest", "v1", "v1.2", "1.2.3", "v1.2.3 ", "v1.2.3\n", "", "x" * 5000, "v1.2.x", "main"]
)
def test_what_is_neither_a_version_nor_a_folder_is_refused(
    store: Store, entry: SdkEntry, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(UsageError) as caught:
        derive(store, entry, at, report=silent)
    assert f"--sdk-at {at[:200]}" in caught.value.title
    assert not (store.root / "derived").exists()


def test_a_folder_without_go_mod_is_refused(store: Store, entry: SdkEntry, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"has no go\.mod"):
        derive(store, entry, str(tmp_path), report=silent)


def test_a_checkout_of_another_module_is_refused_and_both_are_named(
    store: Store, entry: SdkEntry, tmp_path: Path
) -> None:
    folder = checkout(tmp_path / "fork")
    (folder / "go.mod").write_text("// a fork\nmodule example.org/fork // of tiny\n")
    with pytest.raises(UsageError) as caught:
        derive(store, entry, str(folder), report=silent)
    assert MODULE in caught.value.title
    assert "example.org/fork" in caught.value.cause


def test_a_version_that_is_not_there_ends_with_gos_own_words(store: Store, entry: SdkEntry, go: Path) -> None:
    with pytest.raises(InputUnavailable) as caught:
        derive(store, entry, "v9.9.9", report=silent)
    assert "tiny at v9.9.9" in caught.value.title
    assert "v9.9.9" in caught.value.cause
    assert list((store.root / "derived").glob("*")) == []


def test_a_checkout_that_changes_while_it_is_copied_is_refused(
    store: Store, entry: SdkEntry, go: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = checkout(tmp_path / "mine")
    copy = sdk_at._copy_checkout

    def late(origin: Path, target: Path) -> None:
        (origin / "tiny.go").write_text("package tiny\n")
        copy(origin, target)

    monkeypatch.setattr(sdk_at, "_copy_checkout", late)
    with pytest.raises(UsageError, match="changed while it was copied"):
        derive(store, entry, str(folder), report=silent)


# what is made


def test_another_version_is_an_entry_of_its_own_and_the_catalogues_is_untouched(
    store: Store, entry: SdkEntry, go: Path
) -> None:
    before = tree_digest(entry.folder)
    found, label = derive(store, entry, "v1.1.0", report=silent)
    assert (found.version, label, found.id, found.module) == ("v1.1.0", "v1.1.0", "tiny", MODULE)
    text = (found.folder / "go.mod").read_text()
    assert f"{MODULE} v1.1.0" in text
    assert "sealbench.org/harness" not in text
    assert f"go {read_lock().toolchain.go}\n" in text
    assert [row.filename for row in read_modules(found.folder).files] == [
        f"{MODULE}/@v/v1.1.0.{x}" for x in ("mod", "zip")
    ]
    assert not (found.folder / "workload_test.go").exists()
    assert tree_digest(entry.folder) == before
    assert sorted(path.name for path in found.folder.iterdir()) == sorted(path.name for path in entry.folder.iterdir())


def test_a_checkout_is_copied_whole_and_labelled_by_its_files(
    store: Store, entry: SdkEntry, go: Path, tmp_path: Path
) -> None:
    folder = checkout(tmp_path / "mine")
    found, label = derive(store, entry, str(folder), report=silent)
    assert label == found.version == "dir-" + tree_digest(folder).removeprefix("sha256:")[:12]
    assert tree_digest(found.folder / targets.CHECKOUT) == tree_digest(folder)
    assert f"replace {MODULE} => ./{targets.CHECKOUT}" in (found.folder / "go.mod").read_text()
    assert f"src/{targets.CHECKOUT}/tiny.go" in targets.sdk_target(found).files
    (folder / "tiny.go").write_text('package tiny\n\nconst Version = "again"\n')
    other, later = derive(store, entry, str(folder), report=silent)
    assert later != label
    assert other.folder != found.folder


def test_it_is_made_once_and_found_again_without_go(
    store: Store, entry: SdkEntry, go: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, label = derive(store, entry, "v1.1.0", report=silent)

    def never(*_arguments: object) -> Path:
        raise AssertionError("Go was asked for again")

    monkeypatch.setattr(sdk_at, "host_go", never)
    assert derive(store, entry, "v1.1.0", report=silent) == (found, label)
    assert derived_again(store, entry, label, "v1.1.0") == found


def test_after_an_edit_of_the_adapter_it_is_made_anew(store: Store, entry: SdkEntry, go: Path) -> None:
    found, label = derive(store, entry, "v1.1.0", report=silent)
    (entry.folder / "adapter.go").write_text(ADAPTER + "\n// edited\n")
    with pytest.raises(InputUnavailable, match="not in this store") as caught:
        derived_again(store, entry, label, "v1.1.0")
    assert "--sdk tiny --sdk-at" in caught.value.remedy
    assert derive(store, entry, "v1.1.0", report=silent)[0].folder != found.folder


# in a plan


def choices(entry: SdkEntry) -> list[Choice]:
    catalogue = load_catalogue()
    workload, stub = catalogue.workload("chat-stream-128"), catalogue.backend("stub")
    return [Choice(entry, workload, stub), Choice(catalogue.null_sdk(), workload, stub, baseline=True)]


def folders(store: Store, tmp_path: Path) -> Folders:
    return Folders(tmp_path / "runs", store.root, None)


def test_each_version_is_a_cell_and_the_null_sdk_stays_one(
    store: Store, entry: SdkEntry, go: Path, tmp_path: Path
) -> None:
    found = at_versions(choices(entry), ["pinned", "v1.1.0"], folders(store, tmp_path), Output(quiet=True))
    assert [(one.sdk.id, one.sdk.version, one.at) for one in found] == [
        ("tiny", "v1.0.0", ""),
        ("tiny", "v1.1.0", "v1.1.0"),
        ("net-http", load_catalogue().null_sdk().version, ""),
    ]


def test_the_null_sdk_alone_has_no_other_version(store: Store, entry: SdkEntry, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no SDK to stand for"):
        at_versions(choices(entry)[1:], ["v1.1.0"], folders(store, tmp_path), Output(quiet=True))


@pytest.mark.parametrize("arms", [{}, {"gogc": "100", "gomemlimit": "100m", "pacing": "unpaced", "rate_hz": "35.125"}])
def test_a_rerun_takes_the_version_of_the_run_even_when_the_arms_name_is_cut(
    store: Store, entry: SdkEntry, go: Path, tmp_path: Path, arms: dict[str, str]
) -> None:
    asked = at_versions(
        choices(entry), [str(checkout(tmp_path / "mine"))], folders(store, tmp_path), Output(quiet=True)
    )
    plan = make_plan(Request(arms=arms), asked, Placement("0", "0", "1", "1", "1", shared=False))
    assert plan.cells[0].arm.endswith(asked[0].at) == (not arms)
    catalogue = load_catalogue()
    catalogue = replace(catalogue, sdks={**catalogue.sdks, entry.id: entry})
    again = choices_of(plan, catalogue, store)
    assert [one.sdk for one in again] == [one.sdk for one in asked]
    assert [one.baseline for one in again] == [False, True]


def test_a_host_without_the_sources_says_which_store_is_needed(store: Store, entry: SdkEntry) -> None:
    with pytest.raises(InputUnavailable, match=r"tiny at v1\.1\.0 is not in this store"):
        derived_again(store, entry, "v1.1.0", "v1.1.0")
