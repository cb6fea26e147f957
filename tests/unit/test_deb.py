"""Debian packages read without dpkg: members, control fields, merged-usr paths, refusal of what no base may hold."""

from __future__ import annotations

import gzip
import io
import lzma
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.debs import ar
from toolkit.build import deb
from toolkit.build.base import base_entries, compiler_base, kept, write_base
from toolkit.errors import InputMismatch, InputUnavailable


def tar_of(files: dict[str, bytes | tarfile.TarInfo]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, content in files.items():
            if isinstance(content, tarfile.TarInfo):
                tar.addfile(content)
                continue
            info = tarfile.TarInfo(name)
            info.size, info.mode, info.mtime = len(content), 0o644, 1234567890
            tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, target, 0o755
    return info


def make_deb(path: Path, files: dict[str, bytes | tarfile.TarInfo], *, suffix: str = "xz", control: str = "") -> Path:
    packers: dict[str, Callable[[bytes], bytes]] = {"xz": lzma.compress, "gz": gzip.compress, "": bytes}
    pack = packers[suffix]
    dot = f".{suffix}" if suffix else ""
    text = control or f"Package: {path.name.split('_')[0]}\nVersion: 1\nArchitecture: amd64\nDescription: x\n more\n"
    parts = {
        "debian-binary": b"2.0\n",
        f"control.tar{dot}": pack(tar_of({"./control": text.encode()})),
        f"data.tar{dot}": pack(tar_of(files)),
    }
    path.write_bytes(ar(parts))
    return path


@pytest.mark.parametrize("suffix", ["xz", "gz", ""])
def test_every_compression_gives_the_same_entries(tmp_path: Path, suffix: str) -> None:
    package = make_deb(tmp_path / "a_1_amd64.deb", {"./usr/bin/a": b"a"}, suffix=suffix)
    assert [(entry.path, entry.source) for entry in deb.entries(package)] == [("usr/bin/a", b"a")]
    assert deb.control(package)["Package"] == "a"


def test_paths_move_below_usr_where_usr_is_merged(tmp_path: Path) -> None:
    files: dict[str, bytes | tarfile.TarInfo] = {
        "./lib/x.so": b"x",
        "./lib64/ld.so": special("./lib64/ld.so", tarfile.SYMTYPE, "/lib/x/ld.so"),
        "./etc/a": b"e",
    }
    found = [entry.path for entry in deb.entries(make_deb(tmp_path / "a.deb", files))]
    assert found == ["usr/lib/x.so", "usr/lib64/ld.so", "etc/a"]


def test_a_hard_link_becomes_a_file_of_the_same_content(tmp_path: Path) -> None:
    files: dict[str, bytes | tarfile.TarInfo] = {"./a": b"same", "./b": special("./b", tarfile.LNKTYPE, "./a")}
    assert [entry.source for entry in deb.entries(make_deb(tmp_path / "a.deb", files))] == [b"same", b"same"]


def test_a_device_in_a_package_is_refused_by_name(tmp_path: Path) -> None:
    package = make_deb(tmp_path / "evil.deb", {"x": special("./dev/sda", tarfile.BLKTYPE)})
    with pytest.raises(InputMismatch, match=r"evil\.deb"):
        deb.entries(package)


@pytest.mark.parametrize("cut", [0, 7, 30, 100, 200])
def test_a_cut_package_is_an_error_that_names_it(tmp_path: Path, cut: int) -> None:
    package = make_deb(tmp_path / "cut.deb", {"./a": b"a" * 500})
    package.write_bytes(package.read_bytes()[:cut])
    with pytest.raises(InputMismatch, match=r"cut\.deb"):
        deb.entries(package)


def test_a_changed_byte_in_the_compressed_data_is_an_error(tmp_path: Path) -> None:
    package = make_deb(tmp_path / "bad.deb", {"./a": bytes(range(256)) * 4})
    data = bytearray(package.read_bytes())
    data[-40] ^= 0xFF
    package.write_bytes(data)
    with pytest.raises(InputMismatch, match=r"bad\.deb"):
        deb.entries(package)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("usr/bin/numactl", True),
        ("usr/share/doc/numactl/copyright", True),
        ("usr/share/doc/numactl", True),
        ("usr/share/doc/numactl/changelog.gz", False),
        ("usr/share/common-licenses/GPL-3", True),
        ("usr/share/man/man8/numactl.8.gz", False),
        ("usr/share/man", False),
        ("usr/share/locale/de/x", False),
        ("usr/share/zoneinfo/Europe/Paris", True),
    ],
)
def test_what_goes_into_the_base(path: str, expected: bool) -> None:
    assert kept(path) is expected


def packages(folder: Path) -> dict[str, Path]:
    certificates: dict[str, bytes | tarfile.TarInfo] = {
        "./usr/share/ca-certificates/mozilla/B.crt": b"-----B-----",
        "./usr/share/ca-certificates/mozilla/A.crt": b"-----A-----\n",
        "./etc/passwd": b"evil:x:0:0::/:/bin/sh\n",
    }
    return {
        "ca-certificates": make_deb(folder / "ca-certificates_1_all.deb", certificates),
        "numactl": make_deb(folder / "numactl_1_amd64.deb", {"./bin/numactl": b"program"}),
    }


def test_the_base_is_the_same_bytes_whatever_the_order_of_packages(tmp_path: Path) -> None:
    found = packages(tmp_path)
    write_base(tmp_path / "one.tar", found)
    write_base(tmp_path / "two.tar", dict(reversed(found.items())))
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()


def test_the_certificates_are_one_bundle_and_users_are_ours(tmp_path: Path) -> None:
    entries = {entry.path: entry for entry in base_entries(packages(tmp_path))}
    assert entries["etc/ssl/certs/ca-certificates.crt"].source == b"-----A-----\n-----B-----\n"
    assert not any(path.startswith("usr/share/ca-certificates/mozilla/") for path in entries)
    users = entries["etc/passwd"].source
    assert isinstance(users, bytes)
    assert b"evil" not in users
    assert "etc/resolv.conf" not in entries
    assert "etc/hostname" not in entries


def test_the_compiler_base_is_found_by_the_name_its_release_gives_it(tmp_path: Path) -> None:
    control = "Package: libgcc-s1\nVersion: 14\nArchitecture: amd64\nDepends: gcc-14-base (= 14), libc6 (>= 2.35)\n"
    assert compiler_base(make_deb(tmp_path / "libgcc-s1.deb", {}, control=control)) == "gcc-14-base"
    with pytest.raises(InputUnavailable):
        compiler_base(make_deb(tmp_path / "other.deb", {}))
