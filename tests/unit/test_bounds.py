"""Packages, wheels and module zips of strangers: bombs and names that leave are typed errors, before they cost much."""

from __future__ import annotations

import gzip
import io
import lzma
import re
import subprocess
import sys
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from tests.support.debs import ar
from tests.unit.test_deb import make_deb, special, tar_of
from toolkit.archive.inputs import Input
from toolkit.archive.make import _licence_members
from toolkit.build import bounds, deb, toolchain, zips
from toolkit.build.base import base_entries, write_base
from toolkit.build.bounds import Room
from toolkit.build.native import write_native
from toolkit.errors import BuildFailed, InputMismatch, InputUnsafe, ReproError

ROOT = Path(__file__).resolve().parents[2]
MEGABYTE = 1 << 20
SECONDS = 20
MEMORY_BYTES = 150 * MEGABYTE
PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "xz": lzma.compress,
    "gz": gzip.compress,
    "zst": lambda data: zstandard.ZstdCompressor(level=3).compress(data),
    "": bytes,
}


def package(path: Path, tar: bytes, suffix: str = "gz") -> Path:
    """A .deb whose data member is this tar."""
    dot = f".{suffix}" if suffix else ""
    control = tar_of({"./control": b"Package: evil\nVersion: 1\nArchitecture: amd64\n"})
    parts = {"debian-binary": b"2.0\n", "control.tar": control, f"data.tar{dot}": PACKERS[suffix](tar)}
    path.write_bytes(ar(parts))
    return path


def claimed(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """A header that declares more than there is."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize("suffix", ["xz", "gz", "zst", ""])
def test_a_bomb_stops_at_the_limit_and_not_after_it(tmp_path: Path, suffix: str) -> None:
    many = tar_of({f"usr/{number}": bytes(MEGABYTE) for number in range(40)})
    room = Room(unpacked_bytes=8 * MEGABYTE)
    with pytest.raises(InputUnsafe, match=r"evil\.deb") as caught:
        deb.entries(package(tmp_path / "evil.deb", many, suffix), room)
    assert caught.value.exit_code == 2
    assert -2 * MEGABYTE <= room.unpacked_bytes < MEGABYTE


def test_the_limit_is_for_all_packages_of_a_layer_together(tmp_path: Path) -> None:
    one = package(tmp_path / "a.deb", tar_of({"usr/a": bytes(3 * MEGABYTE)}))
    assert deb.entries(one, Room(unpacked_bytes=4 * MEGABYTE))
    with pytest.raises(InputUnsafe, match=r"a\.deb"):
        base_entries({f"p{number}": one for number in range(3)}, Room(unpacked_bytes=8 * MEGABYTE))


def test_a_member_that_declares_more_than_there_may_be_is_not_read(tmp_path: Path) -> None:
    for size in (bounds.UNPACKED_BYTES + 1, 1 << 40, -1):
        tar = claimed("usr/x", size) + bytes(1024)
        with pytest.raises(InputUnsafe, match="not safe") as caught:
            deb.entries(package(tmp_path / "evil.deb", tar))
        assert "declares" in caught.value.cause


def test_members_are_counted(tmp_path: Path) -> None:
    tar = tar_of({f"usr/{number}": b"" for number in range(20)})
    assert len(deb.entries(package(tmp_path / "a.deb", tar), Room(members=20))) == 20
    with pytest.raises(InputUnsafe) as caught:
        deb.entries(package(tmp_path / "a.deb", tar), Room(members=19))
    assert "members" in caught.value.cause


@pytest.mark.parametrize(
    "name",
    ["../x", "usr/../../etc/x", "usr/" + "a/" * 40 + "x", "usr/" + "a" * 2000],
    ids=["up", "out", "deep", "long"],
)
def test_a_name_that_leaves_or_has_no_end_is_unsafe(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputUnsafe):
        deb.entries(package(tmp_path / "evil.deb", tar_of({name: b"x"})))


@pytest.mark.parametrize(
    ("tar", "why"),
    [
        (claimed("x", 1 << 40, tarfile.XHDTYPE), "extension header"),
        (claimed("x", 1 << 40, tarfile.GNUTYPE_LONGNAME), "extension header"),
        (claimed("x", 512, tarfile.GNUTYPE_SPARSE) + bytes(1024), "sparse"),
        (claimed("x", 5000) + b"cut", "unreadable|ends within"),
        (tar_of({"a": special("a", tarfile.LNKTYPE, "/etc/shadow")}), "hard link"),
        (tar_of({"a": special("a", tarfile.LNKTYPE, "../b")}), "hard link"),
        (tar_of({"a": special("a", tarfile.FIFOTYPE)}), "device or pipe"),
    ],
    ids=["pax", "long-name", "sparse", "cut", "link-outside", "link-up", "pipe"],
)
def test_what_is_no_package_is_an_error_that_names_it(tmp_path: Path, tar: bytes, why: str) -> None:
    with pytest.raises(InputMismatch) as caught:
        deb.entries(package(tmp_path / "evil.deb", tar))
    assert "evil.deb" in caught.value.title
    assert re.search(why, caught.value.cause + str(caught.value.__cause__)), caught.value


@pytest.mark.parametrize("suffix", ["xz", "gz", "zst"])
@pytest.mark.parametrize("spoil", [lambda data: data[: len(data) // 2], lambda data: b"\0" + data, lambda _: b""])
def test_spoilt_compression_is_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, suffix: str, spoil: Callable[[bytes], bytes]
) -> None:
    pack = PACKERS[suffix]
    monkeypatch.setitem(PACKERS, suffix, lambda data: spoil(pack(data)))
    noise = bytes(range(256)) * 4000
    try:
        found = deb.entries(package(tmp_path / "evil.deb", tar_of({"a": noise, "b": noise}), suffix))
    except InputMismatch:
        return
    assert found == []


def test_a_link_is_an_entry_and_nothing_is_written_through_it(tmp_path: Path) -> None:
    tar = tar_of({"usr/x": special("usr/x", tarfile.SYMTYPE, str(tmp_path / "outside")), "usr/x/y": b"y"})
    write_base(tmp_path / "base.tar", {"evil": package(tmp_path / "evil.deb", tar)})
    assert not (tmp_path / "outside").exists()


@pytest.mark.parametrize("write", [write_base, write_native])
def test_what_a_layer_cannot_say_is_an_error(tmp_path: Path, write: Callable[..., None]) -> None:
    cases: tuple[dict[str, bytes | tarfile.TarInfo], ...] = (
        {"usr/x": special("usr/x", tarfile.SYMTYPE, "y" * 200)},
        {"usr/" + "z" * 180: b""},
    )
    for files in cases:
        with pytest.raises(InputMismatch, match="make no layer"):
            write(tmp_path / "layer.tar", {"evil": package(tmp_path / "evil.deb", tar_of(files))})


def test_unpacking_ends_with_the_time_that_a_rebuild_has(tmp_path: Path) -> None:
    path = package(tmp_path / "evil.deb", tar_of({"usr/x": b"x"}))
    with pytest.raises(BuildFailed, match="Unpacking evil") as caught:
        deb.entries(path, Room(deadline=time.monotonic() - 1))
    assert "--limit-minutes" in caught.value.remedy


def test_a_terabyte_costs_neither_memory_nor_time(tmp_path: Path) -> None:
    """At the declared limits, in a process of its own: what is claimed is not what is taken."""
    machine = zlib.compressobj(9, wbits=31)
    start = machine.compress(claimed("usr/x", 1 << 32)) + machine.flush(zlib.Z_FULL_FLUSH)
    body = machine.compress(bytes(64 * MEGABYTE)) + machine.flush(zlib.Z_FULL_FLUSH)
    PACKERS["bomb"] = lambda _: start + body * 40
    try:
        path = package(tmp_path / "evil.deb", b"", "bomb")
    finally:
        del PACKERS["bomb"]
    path.write_bytes(path.read_bytes().replace(b"data.tar.bomb", b"data.tar.gz  "))
    code = (
        "import re, sys; from pathlib import Path; from toolkit.build import deb\n"
        "try: deb.entries(Path(sys.argv[1]))\n"
        "except Exception as error: print(type(error).__name__)\n"
        "print(int(re.search(r'VmHWM:\\s+(\\d+)', Path('/proc/self/status').read_text())[1]) * 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(path)],
        check=True, capture_output=True, text=True, timeout=6 * SECONDS, cwd=ROOT,
    )  # fmt: skip
    name, memory = done.stdout.split()
    assert name == "InputUnsafe"
    assert int(memory) <= MEMORY_BYTES


# -- zips


def zipped(path: Path, files: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def test_a_wheel_that_is_a_bomb_is_unsafe(tmp_path: Path) -> None:
    path = zipped(tmp_path / "evil.whl", {f"go/src/{number}.go": bytes(MEGABYTE) for number in range(40)})
    with pytest.raises(InputUnsafe, match=r"evil\.whl"):
        toolchain.toolchain_entries(path, Room(unpacked_bytes=8 * MEGABYTE))
    with pytest.raises(InputUnsafe, match=r"evil\.whl"):
        toolchain.toolchain_entries(path, Room(members=39))
    with pytest.raises(BuildFailed):
        toolchain.toolchain_entries(path, Room(deadline=time.monotonic() - 1))


@pytest.mark.parametrize("name", ["go/src/../../../x.go", "go/src/" + "a/" * 40 + "x.go"])
def test_a_name_of_a_wheel_that_leaves_is_unsafe(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputUnsafe):
        toolchain.write_toolchain(tmp_path / "go.tar", zipped(tmp_path / "evil.whl", {name: b"x"}))


def test_a_name_twice_or_another_method_is_no_toolchain(tmp_path: Path) -> None:
    with pytest.raises(InputMismatch):
        toolchain.toolchain_entries(zipped(tmp_path / "a.whl", {"go/src/a.go": b"x"}, zipfile.ZIP_BZIP2))
    with zipfile.ZipFile(tmp_path / "b.whl", "w") as archive:
        archive.writestr("go/src/a.go", b"x")
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("go/src/a.go", b"y")
    with pytest.raises(InputMismatch, match=r"b\.whl"):
        toolchain.write_toolchain(tmp_path / "go.tar", tmp_path / "b.whl")


def test_the_table_of_contents_is_bounded_before_it_is_read(tmp_path: Path) -> None:
    path = zipped(tmp_path / "evil.whl", {"go/src/a.go": b"x"})
    data = bytearray(path.read_bytes())
    data[-10:-6] = (zips.CONTENTS_BYTES + 1).to_bytes(4, "little")
    path.write_bytes(data)
    with pytest.raises(InputUnsafe, match=r"evil\.whl"):
        toolchain.toolchain_entries(path)


@pytest.mark.parametrize("data", [b"", b"PK", b"no zip at all" * 10, b"PK\x05\x06" + bytes(10), bytes(70_000)])
def test_what_is_no_zip_is_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "evil.whl").write_bytes(data)
    with pytest.raises(InputMismatch, match=r"evil\.whl"):
        toolchain.toolchain_entries(tmp_path / "evil.whl")


def test_every_cut_and_flip_of_a_wheel_is_typed(tmp_path: Path) -> None:
    whole = zipped(tmp_path / "a.whl", {"go/src/a.go": b"x" * 100, "go/VERSION": b"go1"}).read_bytes()
    path = tmp_path / "b.whl"
    for at in range(0, len(whole), 2):
        for data in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :]):
            path.write_bytes(data)
            try:
                toolchain.write_toolchain(tmp_path / "go.tar", path)
            except ReproError:
                continue


def test_every_cut_and_flip_of_a_package_is_typed(tmp_path: Path) -> None:
    whole = make_deb(
        tmp_path / "a.deb", {"./usr/a": b"a", "./usr/b": special("./usr/b", tarfile.SYMTYPE, "a")}, suffix=""
    )
    data, path = whole.read_bytes(), tmp_path / "b.deb"
    for at in range(0, len(data), 37):
        for spoilt in (data[:at], data[:at] + bytes([data[at] ^ 0x41]) + data[at + 1 :]):
            path.write_bytes(spoilt)
            try:
                write_base(tmp_path / "base.tar", {"b": path})
            except ReproError:
                continue


def test_a_licence_of_a_module_is_bounded(tmp_path: Path) -> None:
    module = Input("module", "example.org/m", "v1", "example.org/m/@v/v1.zip", "0" * 64)
    path = zipped(tmp_path / "m.zip", {"example.org/m@v1/LICENSE": bytes(5 * MEGABYTE)})
    with pytest.raises(InputUnsafe, match=r"m\.zip"):
        _licence_members(module, path)
    good = zipped(tmp_path / "m.zip", {"example.org/m@v1/LICENSE": b"free", "example.org/m@v1/x/LICENSE": b"no"})
    assert [one.source for one in _licence_members(module, good)] == [b"free"]


def test_what_our_own_locks_name_needs_half_of_each_limit_at_most() -> None:
    from toolkit.lock import read_lock

    lock = read_lock()
    rows = [
        *lock.base.packages,
        *(lock.native.packages if lock.native else ()),
        lock.toolchain.wheel,
        lock.toolchain.module,
    ]
    assert max(row.size_bytes for row in rows) <= bounds.FILE_BYTES / 2


def test_a_stream_of_blocks_is_read_as_a_file() -> None:
    from toolkit.build.blocks import Blocks

    assert io.BufferedReader(Blocks([b"ab", b"", b"cde"])).read() == b"abcde"
