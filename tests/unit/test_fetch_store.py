"""The content store: only verified bytes go in, changed bytes do not come out, a killed process leaves nothing."""

from __future__ import annotations

import errno
import hashlib
import multiprocessing
import os
import stat
import time
from pathlib import Path

import pytest

from toolkit.errors import InputMismatch, UsageError
from toolkit.fetch.store import IN_USE, Store, StoreError, StoreFull, delete_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def test_what_goes_in_comes_out_read_only(store: Store) -> None:
    path = store.add_bytes(b"input", sha256(b"input"), "input.deb")
    assert store.blob(sha256(b"input"), "input.deb") == path
    assert path.read_bytes() == b"input"
    assert stat.S_IMODE(path.stat().st_mode) == 0o444


def test_other_bytes_than_locked_are_refused_by_name(store: Store) -> None:
    with pytest.raises(InputMismatch, match=r"numactl\.deb is not what was locked"):
        store.add_bytes(b"evil", sha256(b"good"), "numactl.deb")
    assert not store.has(sha256(b"good"))


def test_a_byte_changed_in_the_store_is_found_by_name(store: Store) -> None:
    path = store.add_bytes(b"input", sha256(b"input"), "input.deb")
    path.chmod(0o644)
    path.write_bytes(b"inpuT")
    with pytest.raises(InputMismatch, match=r"input\.deb in the store"):
        store.blob(sha256(b"input"), "input.deb")


def test_a_store_that_cannot_be_written_is_a_typed_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match="REPRO_STORE"):
        Store.open(tmp_path / "file")


def test_a_full_disk_is_a_typed_error(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreFull, match="full") as caught:
        store.add_bytes(b"input", sha256(b"input"), "input.deb")
    assert caught.value.exit_code == 1
    assert list((store.root / "tmp").iterdir()) == []
    assert [path for path in (store.root / "blobs").rglob("*") if path.is_file()] == []


def test_the_environment_names_the_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRO_STORE", str(tmp_path / "elsewhere"))
    assert Store.open().root == tmp_path / "elsewhere"


def test_records_survive_and_a_broken_one_counts_as_none(store: Store) -> None:
    store.put_record("images", "sha256:" + "0" * 64, {"a": 1})
    assert store.record("images", "sha256:" + "0" * 64) == {"a": 1}
    assert store.record("images", "sha256:" + "1" * 64) is None
    (store.root / "records" / "images" / ("0" * 64 + ".json")).write_text("{")
    assert store.record("images", "sha256:" + "0" * 64) is None


def _hold_and_die(root: Path) -> None:
    with Store.open(root).temporary() as folder:
        (folder / "half").write_bytes(b"x" * 1000)
        os._exit(9)


def test_a_killed_processs_folder_is_removed_by_the_next(store: Store) -> None:
    process = multiprocessing.get_context("spawn").Process(target=_hold_and_die, args=(store.root,))
    process.start()
    process.join(600)
    assert len(list((store.root / "tmp").iterdir())) == 1
    Store.open(store.root)
    assert list((store.root / "tmp").iterdir()) == []


def test_a_living_processs_folder_is_left_alone(store: Store) -> None:
    with store.temporary() as folder:
        (folder / "half").write_bytes(b"x")
        Store.open(store.root)
        assert (folder / "half").is_file()
    assert not folder.exists()


def test_a_folder_that_never_got_an_owner_goes_after_an_hour(store: Store) -> None:
    young, old = store.root / "tmp" / "young", store.root / "tmp" / "old"
    young.mkdir()
    old.mkdir()
    os.utime(old, (time.time() - 7200, time.time() - 7200))
    Store.open(store.root)
    assert young.is_dir()
    assert not old.exists()


def _add_many(root: Path) -> None:
    store = Store.open(root)
    for number in range(50):
        data = f"blob {number}".encode()
        store.add_bytes(data, sha256(data), f"{number}.deb")


def test_two_processes_may_bring_the_same_inputs_at_once(store: Store) -> None:
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_add_many, args=(store.root,)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(600)
    assert [process.exitcode for process in processes] == [0, 0]
    for number in range(50):
        store.blob(sha256(f"blob {number}".encode()), "blob")
    assert not [path for path in (store.root / "blobs").rglob(".*") if path.is_file()]


def test_builds_share_the_store_and_what_wants_it_alone_waits(store: Store) -> None:
    waited: list[str] = []
    with store.lock(IN_USE, lambda: waited.append("one"), shared=True):
        with store.lock(IN_USE, lambda: waited.append("two"), shared=True):
            pass
        assert waited == []
        with pytest.raises(UsageError, match="in use"):
            delete_store(store.root)
    delete_store(store.root)
    assert not store.root.exists()
