"""A bundle carries inputs by digest: what is taken in is what was asked for, or nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from toolkit.archive.bundle import take_in, write_bundle
from toolkit.canonical import digest_bytes
from toolkit.catalogue import load_catalogue
from toolkit.cli.app import run
from toolkit.errors import ArchiveInvalid, InputMismatch, InputUnavailable, UsageError
from toolkit.fetch.source import Source
from toolkit.fetch.stage import locked_files
from toolkit.fetch.store import Store
from toolkit.model.inputs import LockedFile


def row(store: Store, data: bytes, name: str) -> LockedFile:
    sha256 = digest_bytes(data).removeprefix("sha256:")
    store.add_bytes(data, sha256, name)
    return LockedFile(name, "apt", "1", f"{name}.deb", sha256, len(data))


@pytest.fixture
def bundle(tmp_path: Path) -> tuple[Path, list[LockedFile]]:
    store = Store.open(tmp_path / "author")
    rows = [row(store, b"one" * 1000, "one"), row(store, b"two", "two")]
    write_bundle(store, rows, tmp_path / "bundle.tar.zst")
    return tmp_path / "bundle.tar.zst", rows


def test_a_bundle_fills_an_empty_store(bundle: tuple[Path, list[LockedFile]], tmp_path: Path) -> None:
    path, rows = bundle
    store = Store.open(tmp_path / "mine")
    Source(str(path)).bring_all(store, rows)
    assert all(store.blob(one.sha256, one.filename).read_bytes() for one in rows)


def test_only_what_was_asked_for_is_taken(bundle: tuple[Path, list[LockedFile]], tmp_path: Path) -> None:
    path, rows = bundle
    store = Store.open(tmp_path / "mine")
    assert take_in(store, path, [rows[0]]) == 1
    assert not store.has(rows[1].sha256)


@pytest.mark.parametrize("place", [0.3, 0.6, 0.9])
def test_a_damaged_bundle_brings_nothing_wrong(
    bundle: tuple[Path, list[LockedFile]], tmp_path: Path, place: float
) -> None:
    path, rows = bundle
    data = bytearray(path.read_bytes())
    data[int(len(data) * place)] ^= 0x10
    path.write_bytes(data)
    store = Store.open(tmp_path / "mine")
    with pytest.raises(ArchiveInvalid):
        take_in(store, path, rows)
    for one in rows:
        if store.has(one.sha256):
            store.blob(one.sha256, one.filename)


def test_an_input_of_another_size_than_the_lock_says_is_not_even_begun(
    bundle: tuple[Path, list[LockedFile]], tmp_path: Path
) -> None:
    path, rows = bundle
    store = Store.open(tmp_path / "mine")
    with pytest.raises(InputMismatch, match=r"one\.deb"):
        take_in(store, path, [replace(rows[0], size_bytes=7)])
    assert not store.has(rows[0].sha256)
    assert list((store.root / "tmp").iterdir()) == []


def test_something_else_is_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello")
    with pytest.raises(ArchiveInvalid, match=r"note\.txt"):
        take_in(Store.open(tmp_path / "mine"), tmp_path / "note.txt", [])
    with pytest.raises(UsageError):
        Source(str(tmp_path / "absent"))


def test_an_input_that_the_store_lacks_is_named(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "author")
    with pytest.raises(InputUnavailable, match="gone"):
        write_bundle(store, [LockedFile("gone", "apt", "1", "gone.deb", "ab" * 32, 3)], tmp_path / "b.tar.zst")


def test_one_backend_needs_none_of_the_inputs_of_the_others() -> None:
    catalogue = load_catalogue()
    everything = {one.sha256: one.filename for one in locked_files(catalogue, ["go-openai"])}
    one_backend = {one.sha256: one.filename for one in locked_files(catalogue, ["go-openai"], ["stub"])}
    assert one_backend.keys() < everything.keys()
    assert any(everything[one].startswith("binutils") for one in everything.keys() - one_backend.keys())


def test_a_backend_is_named_for_a_bundle_only(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["lock", "--backend", "stub"]) == 2
    assert "--backend goes with --bundle" in capsys.readouterr().err
