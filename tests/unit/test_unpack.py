"""Unpacking what was verified: the same bytes or none, below one folder, over nothing that is there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.archives import author
from tests.support.hostile import Honest, member, zst
from toolkit.archive import layout
from toolkit.errors import ArchiveInvalid
from toolkit.verify.report import Refused
from toolkit.verify.run import Question, opened, verify_stream
from toolkit.verify.scan import scan
from toolkit.verify.unpack import unpack


def everything(_name: str) -> bool:
    return True


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    return author(tmp_path / "author").archive()


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    return folder


def test_018_what_was_verified_is_unpacked_although_another_file_has_its_name_by_then(
    archive: Path, place: Path
) -> None:
    with opened(archive) as stream:
        found, seen = verify_stream(stream, Question(archive))
        assert seen is not None
        archive.unlink()
        archive.write_bytes(b"another archive")
        count = unpack(stream, seen, place, lambda name: name.startswith(layout.RUN))
    assert found.verdict == "verified"
    files = [path for path in place.rglob("*") if path.is_file()]
    assert count == len(files) > 5
    assert (place / layout.RUN_MANIFEST).stat().st_mode & 0o777 == layout.FILE_MODE & ~_umask()


def _umask() -> int:
    old = os.umask(0)
    os.umask(old)
    return old


@pytest.mark.parametrize("change", ["content", "name", "cut", "bits"])
def test_018_a_file_that_is_written_to_between_verification_and_unpacking_is_refused(
    archive: Path, place: Path, change: str
) -> None:
    with opened(archive) as stream:
        _found, seen = verify_stream(stream, Question(archive))
        assert seen is not None
        data = archive.read_bytes()
        other = {
            "content": zst(member(layout.INDEX, b"{}") + bytes(1024)),
            "name": zst(member("other.json", b"{}") + bytes(1024)),
            "cut": data[: len(data) // 2],
            "bits": data[:5000] + bytes([data[5000] ^ 1]) + data[5001:],
        }[change]
        with archive.open("r+b") as same:
            same.write(other)
            same.truncate()
        with pytest.raises(Refused) as caught:
            unpack(stream, seen, place, everything)
    assert caught.value.verdict in ("tampered", "malformed")


def test_018_a_command_says_so_and_has_no_traceback(archive: Path, place: Path) -> None:
    from toolkit.archive.adopt import unpack_run
    from toolkit.archive.stranger import judged

    with opened(archive) as stream:
        found, seen = verify_stream(stream, Question(archive))
        assert seen is not None
        archive.write_bytes(zst(member(layout.INDEX, b"{}") + bytes(1024)))
        with pytest.raises(ArchiveInvalid, match="tampered") as caught, judged():
            unpack_run(stream, seen, place, str(found.archive["run"]))
    assert caught.value.exit_code == 6


@pytest.mark.parametrize("what", ["file", "link", "folder-link"])
def test_nothing_that_is_there_is_written_over_or_followed(
    archive: Path, place: Path, tmp_path: Path, what: str
) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_bytes(b"kept")
    if what == "file":
        (place / layout.INDEX).write_bytes(b"mine")
    elif what == "link":
        (place / layout.INDEX).symlink_to(outside / "kept")
    else:
        (place / "run").symlink_to(outside)
    with opened(archive) as stream:
        _found, seen = verify_stream(stream, Question(archive))
        assert seen is not None
        with pytest.raises(OSError, match=r".+"):
            unpack(stream, seen, place, everything)
    assert [path.name for path in outside.iterdir()] == ["kept"]
    assert (outside / "kept").read_bytes() == b"kept"


def test_the_longest_names_that_a_header_holds_are_written(place: Path, tmp_path: Path) -> None:
    long = "run/" + "a" * 100 + "/" + "b" * 100
    data = Honest({long: b"x", "run/" + "c" * 90: b"y"}, {}).tar(index=b"{}")
    path = tmp_path / "a.tar.zst"
    path.write_bytes(zst(data))
    with opened(path) as stream:
        seen = scan(stream)
        assert unpack(stream, seen, place, everything) == 3
    assert (place / long).read_bytes() == b"x"
