"""The host's real apt against a package archive on loopback: one version listed, an older one only in the pool."""

from __future__ import annotations

import functools
import hashlib
import http.server
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.debs import deb_bytes
from toolkit.fetch import inputs
from toolkit.fetch.apt import Apt, unlisted
from toolkit.fetch.store import Store
from toolkit.lock import BaseLock
from toolkit.model.inputs import LockedFile

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="this machine has no apt")
POOL = "pool/main/p/pair"


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


def index_row(name: str, version: str, data: bytes) -> str:
    """What an index says of a file in the pool (Debian wiki, DebianRepository/Format, "Packages Indices")."""
    return (
        f"Package: {name}\nVersion: {version}\nArchitecture: amd64\nFilename: {POOL}/{name}_{version}_amd64.deb\n"
        f"Size: {len(data)}\nSHA256: {hashlib.sha256(data).hexdigest()}\nDescription: test\n\n"
    )


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The archive's folder, served; apt knows no other. Version 2 of ``pair`` and of ``other`` is listed."""
    root = tmp_path / "archive"
    (root / POOL).mkdir(parents=True)
    rows = ""
    for name in ("pair", "other"):
        data = deb_bytes(name, "2")
        (root / POOL / f"{name}_2_amd64.deb").write_bytes(data)
        rows += index_row(name, "2", data)
    (root / "Packages").write_text(rows)
    handler = functools.partial(_Quiet, directory=str(root))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        source = tmp_path / "sources.list"
        source.write_text(f"deb [trusted=yes] http://127.0.0.1:{server.server_port}/ ./\n")
        config = tmp_path / "apt.conf"
        # A proxy of this machine is not asked for what is on it.
        config.write_text(
            f'Dir::Etc::sourcelist "{source}";\nDir::Etc::sourceparts "-";\nAcquire::http::Proxy "DIRECT";\n'
        )
        monkeypatch.setenv("APT_CONFIG", str(config))
        yield root
        server.shutdown()


def locked(name: str, version: str, data: bytes) -> LockedFile:
    digest = hashlib.sha256(data).hexdigest()
    return LockedFile(name, "apt", version, f"{name}_{version}_amd64.deb", digest, len(data))


def test_a_superseded_version_comes_from_the_pool(archive: Path, tmp_path: Path) -> None:
    old, new = deb_bytes("pair", "1"), deb_bytes("other", "2")
    (archive / POOL / "pair_1_amd64.deb").write_bytes(old)
    rows = (locked("pair", "1", old), locked("other", "2", new))
    store, said = Store.open(tmp_path / "store"), list[str]()
    inputs.fetch_debs(store, BaseLock(rows), offline=False, report=said.append)
    assert all(store.has(row.sha256) for row in rows)
    assert said[1:] == ["fetch: pair_1_amd64.deb is superseded; the pool of a package source still has it"]


@pytest.mark.parametrize("there", [None, b"another file under that name"], ids=["gone", "changed"])
def test_one_that_the_pool_has_not_or_has_otherwise_is_gone(archive: Path, tmp_path: Path, there: bytes | None) -> None:
    """Bytes that are not the locked ones are nothing that was looked for: there may be no such file at all."""
    if there is not None:
        (archive / POOL / "pair_1_amd64.deb").write_bytes(there)
    row = locked("pair", "1", deb_bytes("pair", "1"))
    store = Store.open(tmp_path / "store")
    with pytest.raises(inputs.Vanished) as caught:
        inputs.fetch_debs(store, BaseLock((row,)), offline=False, report=lambda _: None)
    assert caught.value.files == ("pair_1_amd64.deb",)
    assert not store.has(row.sha256)


def test_apt_names_what_it_does_not_list(archive: Path, tmp_path: Path) -> None:
    """The one request that fails for all is repeated without those, in one request."""
    assert (archive / "Packages").is_file()
    apt = Apt(tmp_path / "apt")
    brought = apt.download_all(["pair=1", "other=2", "other=7"], tmp_path / "debs")
    assert [path.name for path in brought] == ["other_2_amd64.deb"]
    outcome = apt._apt(["download", "pair=1", "other=7"], tmp_path)
    assert set(unlisted(outcome.text)) == {"pair=1", "other=7"}
