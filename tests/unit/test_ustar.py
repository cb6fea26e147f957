"""The layer writer: readable by others, the same bytes for the same files, and nothing that ustar cannot say."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.build.ustar import Entry, UstarError, header, ordered, split_name, write_layer


def layer(*entries: Entry) -> bytes:
    stream = io.BytesIO()
    write_layer(stream, entries)
    return stream.getvalue()


SAMPLE = (
    Entry.file("repro/agent", b"program", 0o555),
    Entry.folder("repro"),
    Entry.symlink("bin", "usr/bin"),
    Entry.folder("cache", uid=65534, gid=65534),
)


def test_the_bytes_of_a_layer_never_change() -> None:
    # Published digests rest on this: a change here is a new assembly version (toolkit/build/records.py).
    assert hashlib.sha256(layer(*SAMPLE)).hexdigest() == GOLDEN
    assert layer(*SAMPLE) == layer(*reversed(SAMPLE))


GOLDEN = "30c7efe572280fddd7e708cd2b1ecdc214412667dedc56da47d82a57a7f1985e"


def test_python_reads_back_what_was_written() -> None:
    with tarfile.open(fileobj=io.BytesIO(layer(*SAMPLE)), mode="r:") as tar:
        found = {member.name: member for member in tar}
        program = tar.extractfile("repro/agent")
        assert program is not None
        assert program.read() == b"program"
    assert list(found) == ["bin", "cache", "repro", "repro/agent"]
    assert found["repro/agent"].mode == 0o555
    assert found["bin"].linkname == "usr/bin"
    assert found["cache"].uid == 65534
    assert all(member.mtime == 0 and not member.uname and not member.pax_headers for member in found.values())


@pytest.mark.skipif(shutil.which("tar") is None, reason="no tar program")
def test_gnu_tar_reads_long_names_through_the_prefix(tmp_path: Path) -> None:
    name = "/".join(["folder-of-some-length"] * 6) + "/" + "n" * 90
    (tmp_path / "layer.tar").write_bytes(layer(Entry.file(name, b"x")))
    listing = subprocess.run(["tar", "tf", tmp_path / "layer.tar"], capture_output=True, text=True, check=True).stdout
    assert listing.split() == [name]


def test_a_folder_precedes_what_it_holds_even_beside_odd_names() -> None:
    # In plain string order "a-b" and "a.b" sort before "a/b".
    paths = [entry.path for entry in ordered([Entry.file("a/b", b""), Entry.file("a-b", b""), Entry.folder("a")])]
    assert paths.index("a") < paths.index("a/b")


@pytest.mark.parametrize(
    "entry",
    [
        Entry.file("n" * 101, b""),
        Entry.file("p" * 156 + "/n", b""),
        Entry.symlink("link", "t" * 101),
        Entry.file("/etc/passwd", b""),
        Entry.file("a/../b", b""),
        Entry.file("a\0b", b""),
    ],
    ids=["name", "prefix", "target", "absolute", "dotdot", "nul"],
)
def test_what_ustar_cannot_say_is_an_error_never_a_pax_header(entry: Entry) -> None:
    with pytest.raises(UstarError):
        header(entry)


def test_a_path_named_twice_is_an_error() -> None:
    with pytest.raises(UstarError, match="twice"):
        layer(Entry.file("a", b"1"), Entry.file("a", b"2"))


@given(
    st.text(st.characters(blacklist_characters="\0/", blacklist_categories=["Cs"]), min_size=1, max_size=60),
    st.binary(max_size=1500),
)
def test_any_name_and_content_survive(name: str, content: bytes) -> None:
    if name == ".." or len(name.encode()) > 100:
        return
    with tarfile.open(fileobj=io.BytesIO(layer(Entry.file(name, content))), mode="r:") as tar:
        member = tar.next()
        assert member is not None
        stream = tar.extractfile(member)
        assert stream is not None
        assert (member.name, stream.read()) == (name.rstrip("/"), content)


@given(st.lists(st.text("abc", min_size=1, max_size=40), min_size=1, max_size=8))
def test_a_split_name_joins_to_the_same_path(parts: list[str]) -> None:
    path = "/".join(parts)
    try:
        prefix, name = split_name(path)
    except UstarError:
        assert len(path) > 100
        return
    assert (prefix + b"/" + name if prefix else name).decode() == path
    assert len(prefix) <= 155
    assert len(name) <= 100
