"""One archive for ``docker load``: deterministic, every layer once, never half a file."""

from __future__ import annotations

import json
import tarfile
from pathlib import Path

import pytest

from toolkit.build import identity, records
from toolkit.build.assemble import Assembled, assemble
from toolkit.build.export import save_images
from toolkit.build.ustar import Entry, write_layer
from toolkit.errors import InputUnavailable, UsageError
from toolkit.fetch.store import Store
from toolkit.model.inputs import BuiltImage


def layer(folder: Path, name: str) -> Path:
    path = folder / name
    with path.open("wb") as stream:
        write_layer(stream, [Entry.file(name, name.encode())])
    return path


def remembered(store: Store, folder: Path, kind: str, layers: list[Path]) -> BuiltImage:
    runtime = identity.runtime_config(entrypoint=("/repro/agent",), labels=identity.labels(kind, "x"))
    image: Assembled = assemble(runtime, layers, kind=kind, name="x")
    built = BuiltImage(
        kind=kind,
        id="x",
        reference=image.reference,
        identity=image.identity,
        size_bytes=image.size_bytes,
        binary_digest="sha256:" + "0" * 64,
        inputs_digest="sha256:" + ("1" if kind == "sdk" else "2") * 64,
    )
    records.remember(store, image, built)
    return built


@pytest.fixture
def pair(tmp_path: Path) -> tuple[Store, list[BuiltImage]]:
    store = Store.open(tmp_path / "store")
    below = layer(tmp_path, "base")
    images = [remembered(store, tmp_path, kind, [below, layer(tmp_path, kind)]) for kind in ("sdk", "backend")]
    return store, images


def test_the_archive_is_deterministic_and_holds_each_layer_once(
    tmp_path: Path, pair: tuple[Store, list[BuiltImage]]
) -> None:
    store, images = pair
    save_images(store, images, tmp_path / "a.tar")
    save_images(store, images[::-1], tmp_path / "b.tar")
    assert (tmp_path / "a.tar").read_bytes() == (tmp_path / "b.tar").read_bytes()
    with tarfile.open(tmp_path / "a.tar") as archive:
        names = archive.getnames()
        stream = archive.extractfile("manifest.json")
        assert stream is not None
        manifest = json.load(stream)
    assert len(names) == len(set(names)) == 2 + 1 + 3
    assert [row["RepoTags"] for row in manifest] == [[image.reference] for image in images[::-1]]
    assert (tmp_path / "a.tar").stat().st_mode & 0o777 == 0o644


def test_an_image_that_the_store_lost_is_named(tmp_path: Path, pair: tuple[Store, list[BuiltImage]]) -> None:
    store, images = pair
    for diff_id in images[0].identity.diff_ids:
        store.blob_path(diff_id.removeprefix("sha256:")).unlink()
    with pytest.raises(InputUnavailable, match=images[0].reference):
        save_images(store, images[:1], tmp_path / "a.tar")
    assert not (tmp_path / "a.tar").exists()


def test_a_folder_that_is_not_there_is_a_usage_error(tmp_path: Path, pair: tuple[Store, list[BuiltImage]]) -> None:
    store, images = pair
    with pytest.raises(UsageError, match="cannot be written"):
        save_images(store, images, tmp_path / "absent" / "a.tar")
    assert not list(tmp_path.rglob(".a.tar*"))
