"""Kernel files are read whole, however long they are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit.host.kernelfs import read_bytes, read_small, read_text


@pytest.mark.parametrize("size", [0, 1, 2047, 2048, 65_535, 65_536, 65_537, 200_000])
def test_all_of_a_file_is_read(tmp_path: Path, size: int) -> None:
    path = tmp_path / "file"
    path.write_text("x" * size)
    assert read_bytes(path) == b"x" * size
    assert read_text(path) == read_small(f"{path}") == "x" * size


def test_the_kernels_own_files_are_the_same_either_way() -> None:
    for name in ("limits", "mountinfo", "numa_maps", "environ"):
        path = f"/proc/self/{name}"
        assert len(read_bytes(path)) > 0
        assert read_text(path)[:50] == Path(path).read_text()[:50]
    assert read_small("/proc/self/stat").split()[0] == str(os.getpid())
    assert "Cpus_allowed_list:" in read_small(f"/proc/self/task/{os.getpid()}/status")


def test_a_file_that_is_not_there_is_an_error() -> None:
    for read in (read_bytes, read_text, read_small):
        with pytest.raises(FileNotFoundError):
            read("/proc/self/no-such-file")
