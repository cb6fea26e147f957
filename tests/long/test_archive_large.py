"""Case 66: an archive with 1 GB of rows is verified in a stream, in the memory that a small one takes."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Iterator
from pathlib import Path

import pytest
import zstandard

from tests.simulated.test_hostile import MEMORY_BYTES, read_honest, run
from tests.support.archives import author
from tests.support.hostile import BLOCK, Honest, header, member
from toolkit.archive import layout

NAME = "run/metrics.rows"
MEGABYTE = 1 << 20
SPREAD_BYTES = 24 * MEGABYTE
"""What the memory of two runs of one program differs by, with room for a busy machine."""


def rows(megabytes: int) -> Iterator[bytes]:
    """Rows that compress as numbers do, about three to one."""
    for number in range(megabytes):
        numbers = random.Random(number).randbytes(MEGABYTE // 4).hex().encode()
        yield numbers + b"0" * (MEGABYTE - len(numbers) - 1) + b"\n"


def large(honest: Honest, path: Path, megabytes: int) -> Path:
    """An honest archive whose run has such a file; written as it is made."""
    state = hashlib.sha256()
    for piece in rows(megabytes):
        state.update(piece)
    listed = {"sha256": state.hexdigest(), "size_bytes": megabytes * MEGABYTE}
    manifest = json.loads(honest.files[layout.RUN_MANIFEST])
    manifest["files"][NAME.removeprefix(layout.RUN)] = listed
    honest.with_manifest(manifest)
    honest.index["files"][NAME] = listed
    with (
        path.open("wb") as raw,
        zstandard.ZstdCompressor(level=1, write_checksum=True, threads=2).stream_writer(raw) as stream,
    ):
        stream.write(member(layout.INDEX, honest.index_bytes()))
        for name, data in honest.files.items():
            stream.write(member(name, data))
        stream.write(header(NAME, megabytes * MEGABYTE))
        for piece in rows(megabytes):
            stream.write(piece)
        stream.write(bytes(2 * BLOCK))
    return path


@pytest.mark.timeout(900)
def test_066_a_gigabyte_of_rows_is_streamed(tmp_path: Path) -> None:
    honest = read_honest(author(tmp_path / "author").archive())
    taken = {}
    for megabytes in (30, 1024):
        path = large(honest.copy(), tmp_path / f"{megabytes}.tar.zst", megabytes)
        done, taken[megabytes] = run(path, [])
        document = json.loads(done.stdout)
        assert document["verdict"] == "verified", document["stages"][-1]
        assert document["archive"]["content_bytes"] > megabytes * MEGABYTE
        path.unlink()
    assert taken[1024] <= MEMORY_BYTES
    assert taken[1024] - taken[30] <= SPREAD_BYTES, taken
