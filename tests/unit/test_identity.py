"""Identities: what they depend on, and what they do not."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

import pytest

from toolkit.build import identity
from toolkit.build.assemble import assemble, holds, reference, write_archive
from toolkit.build.foundation import saved_config, saved_layers
from toolkit.build.normalise import merged_entries
from toolkit.build.ustar import Entry, write_layer
from toolkit.errors import BuildFailed, InputMismatch


def layer(path: Path, *entries: Entry) -> Path:
    with path.open("wb") as stream:
        write_layer(stream, entries)
    return path


def python_layer(path: Path, *, mtime: int, names: list[str]) -> Path:
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as tar:
        for name in names:
            info = tarfile.TarInfo(name)
            info.mtime, info.size, info.mode = mtime, 1, 0o755
            tar.addfile(info, io.BytesIO(b"x"))
    return path


RUNTIME = identity.runtime_config(entrypoint=("/repro/agent",), labels=identity.labels("sdk", "x"))


def test_the_content_digest_ignores_times_and_order(tmp_path: Path) -> None:
    one = python_layer(tmp_path / "1.tar", mtime=1, names=["a", "b"])
    two = python_layer(tmp_path / "2.tar", mtime=2_000_000_000, names=["b", "a"])
    assert identity.content_digest(identity.flatten([one])) == identity.content_digest(identity.flatten([two]))


@pytest.mark.parametrize(
    "changed",
    [
        Entry.file("repro/agent", b"other", 0o555),
        Entry.file("repro/agent", b"program", 0o755),
        Entry.file("repro/agent", b"program", 0o555, uid=1),
        Entry.file("repro/agent2", b"program", 0o555),
        Entry.symlink("repro/agent", "program"),
    ],
)
def test_the_content_digest_sees_bytes_modes_owners_names_and_types(tmp_path: Path, changed: Entry) -> None:
    one = identity.flatten([layer(tmp_path / "1.tar", Entry.file("repro/agent", b"program", 0o555))])
    two = identity.flatten([layer(tmp_path / "2.tar", changed)])
    assert identity.content_digest(one) != identity.content_digest(two)


def test_whiteouts_remove_what_lower_layers_brought(tmp_path: Path) -> None:
    lower = layer(tmp_path / "1.tar", Entry.file("a/x", b"1"), Entry.file("a/y", b"1"), Entry.file("b/z", b"1"))
    upper = layer(
        tmp_path / "2.tar", Entry.file("a/.wh.x", b""), Entry.file("b/.wh..wh..opq", b""), Entry.file("b/new", b"2")
    )
    assert set(identity.flatten([lower, upper])) == {"a/y", "b/new"}


def test_a_file_in_place_of_a_folder_hides_what_was_below_it(tmp_path: Path) -> None:
    lower = layer(tmp_path / "1.tar", Entry.folder("a"), Entry.file("a/x", b"1"))
    upper = layer(tmp_path / "2.tar", Entry.file("a", b"2"))
    assert set(identity.flatten([lower, upper])) == {"a"}


def test_one_image_has_one_identity_wherever_its_layers_lie(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    one = assemble(RUNTIME, [layer(tmp_path / "1.tar", Entry.folder("repro"))], kind="sdk", name="x")
    two = assemble(RUNTIME, [layer(tmp_path / "elsewhere" / "2.tar", Entry.folder("repro"))], kind="sdk", name="x")
    assert one.identity == two.identity
    assert one.reference == two.reference == reference("sdk", "x", one.identity.config_digest)


def test_the_runtime_digest_sees_the_entry_point(tmp_path: Path) -> None:
    path = layer(tmp_path / "1.tar", Entry.folder("repro"))
    other = identity.runtime_config(entrypoint=("/bin/sh",), labels=identity.labels("sdk", "x"))
    one, two = assemble(RUNTIME, [path], kind="sdk", name="x"), assemble(other, [path], kind="sdk", name="x")
    assert one.identity.content_digest == two.identity.content_digest
    assert one.identity.runtime_config_digest != two.identity.runtime_config_digest
    assert one.identity.config_digest != two.identity.config_digest


def test_an_archive_gives_back_its_layers_and_configuration(tmp_path: Path) -> None:
    image = assemble(RUNTIME, [layer(tmp_path / "1.tar", Entry.file("a", b"1"))], kind="sdk", name="x")
    with (tmp_path / "image.tar").open("wb") as stream:
        write_archive(stream, image)
    assert saved_config(tmp_path / "image.tar") == image.config
    found = saved_layers(tmp_path / "image.tar", tmp_path)
    assert found[0].read_bytes() == (tmp_path / "1.tar").read_bytes()


def test_a_saved_layer_that_is_not_its_diff_id_is_an_error(tmp_path: Path) -> None:
    path = layer(tmp_path / "1.tar", Entry.file("a", b"1"))
    image = assemble(RUNTIME, [path], kind="sdk", name="x")
    path.write_bytes(path.read_bytes() + b"\0" * 512)
    with (tmp_path / "image.tar").open("wb") as stream:
        write_archive(stream, image)
    with pytest.raises(InputMismatch, match="Layer 0"):
        saved_layers(tmp_path / "image.tar", tmp_path)


def test_normalising_merges_layers_and_drops_times_and_write_bits(tmp_path: Path) -> None:
    one = python_layer(tmp_path / "1.tar", mtime=5, names=["repro/agent", "repro/workload"])
    two = python_layer(tmp_path / "2.tar", mtime=9, names=["repro/agent"])
    found = {entry.path: entry for entry in merged_entries([one, two])}
    assert set(found) == {"repro/agent", "repro/workload"}
    assert all(entry.mode == 0o555 for entry in found.values())


def test_normalising_refuses_a_layer_that_removes_something(tmp_path: Path) -> None:
    with pytest.raises(BuildFailed, match="removes"):
        merged_entries([layer(tmp_path / "1.tar", Entry.file("usr/bin/.wh.numactl", b""))])


def test_the_engine_is_believed_only_when_layers_and_configuration_are_ours() -> None:
    class Engine:
        def __init__(self, view: dict[str, object] | None) -> None:
            self.view = view

        def image(self, _name: str) -> dict[str, object] | None:
            return self.view

    good: dict[str, object] = {"RootFS": {"Layers": ["sha256:1"]}, "Config": {**RUNTIME, "Cmd": None, "Hostname": "h"}}
    assert holds(Engine(good), "x", ["sha256:1"], RUNTIME)  # type: ignore[arg-type]
    assert not holds(Engine(None), "x", ["sha256:1"], RUNTIME)  # type: ignore[arg-type]
    assert not holds(Engine(good), "x", ["sha256:2"], RUNTIME)  # type: ignore[arg-type]
    evil = {**good, "Config": {**RUNTIME, "Entrypoint": ["/bin/sh"]}}
    assert not holds(Engine(evil), "x", ["sha256:1"], RUNTIME)  # type: ignore[arg-type]
