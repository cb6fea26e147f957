"""Canonical JSON, digests, atomic files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from toolkit.canonical import canonical_bytes, digest, digest_bytes, sha256_file, write_atomic


def test_canonical_bytes_do_not_depend_on_key_order() -> None:
    assert canonical_bytes({"b": [1, 2.5, "é"], "a": None}) == canonical_bytes({"a": None, "b": [1, 2.5, "é"]})
    assert canonical_bytes({"b": 1, "a": 2}) == b'{"a":2,"b":1}'


def test_the_digest_in_the_documentation_is_right() -> None:
    assert digest({"b": 1, "a": 2}) == "sha256:d3626ac30a87e6f7a6428233b3c68299976865fa5508e4267c5415c76af7a772"


@pytest.mark.parametrize("value", [float("nan"), float("inf"), {1: 2}, 2**60, b"bytes", {"a": {1, 2}}])
def test_what_json_cannot_say_is_an_error(value: object) -> None:
    with pytest.raises(ValueError, match="not canonical JSON"):
        canonical_bytes(value)


def test_sha256_of_a_file_equals_that_of_its_bytes(tmp_path: Path) -> None:
    data = os.urandom(3 << 20)
    (tmp_path / "file").write_bytes(data)
    assert digest_bytes(data) == f"sha256:{sha256_file(tmp_path / 'file')}"


def test_write_atomic_replaces_with_the_given_mode_whatever_the_umask(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("old")
    before = os.umask(0o077)
    try:
        write_atomic(target, b"new", 0o644)
    finally:
        os.umask(before)
    assert target.read_bytes() == b"new"
    assert stat.S_IMODE(target.stat().st_mode) == 0o644
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "file"
    target.write_text("old")

    def full_disk(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atomic(target, b"new")
    assert target.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
