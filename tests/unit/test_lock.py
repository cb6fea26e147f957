"""Locks: those in the repository fit their sources; what floats, is malformed or changed is refused by name."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from toolkit import resources
from toolkit.catalogue import load_catalogue
from toolkit.catalogue.parts import native_part
from toolkit.errors import CatalogueError, InputMismatch
from toolkit.fetch.stage import check_lock, locked_files
from toolkit.lock import (
    base_from_image,
    base_key,
    lock_json,
    modules_json,
    parse_lock,
    parse_modules,
    pretty,
    read_lock,
    read_source,
    source_json,
)
from toolkit.lock import read_modules as read_modules_lock


def test_nothing_floats_in_the_repository() -> None:
    assert check_lock(load_catalogue()) == []
    rows = locked_files(load_catalogue())
    assert {row.source for row in rows} == {"apt", "pip", "gomod"}
    assert all(len(row.sha256) == 64 and row.size_bytes > 0 for row in rows)


def test_lock_files_name_no_address() -> None:
    for file in [resources.images_dir() / "lock.json", *resources.images_dir().rglob("lock.json")]:
        assert "://" not in file.read_text(), file


def test_locks_survive_a_round_trip_byte_for_byte() -> None:
    file = resources.images_dir() / "lock.json"
    assert pretty(lock_json(read_lock())) == file.read_bytes()
    for path in (*resources.images_dir().glob("*/lock.json"), *resources.images_dir().glob("*/*/lock.json")):
        if path.parent.parent.name == "native":
            part = native_part(path.parent.name)
            assert pretty(source_json(read_source(part.folder, part.source, part.version))) == path.read_bytes()
        else:
            assert pretty(modules_json(parse_modules(json.loads(path.read_bytes()), path))) == path.read_bytes()


@pytest.mark.parametrize("name", ["go.mod", "go.sum"])
def test_a_changed_module_file_does_not_fit_its_lock(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "go-openai"
    shutil.copytree(resources.images_dir() / "sdks" / "go-openai", folder)
    (folder / name).write_text((folder / name).read_text() + "\n")
    with pytest.raises(InputMismatch, match=name):
        read_modules_lock(folder)


def test_a_missing_lock_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="repro lock"):
        read_modules_lock(tmp_path)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("base", "packages", 0, "sha256"), "latest"),
        (("base", "packages", 0, "sha256"), "A" * 64),
        (("base", "packages", 0, "size_bytes"), "12"),
        (("base", "packages", 0, "version"), ""),
        (("base", "packages", 0, "filename"), "../../etc/passwd"),
        (("base", "packages", 0, "filename"), "/etc/passwd"),
        (("base", "packages"), []),
        (("base", "layer_sha256"), None),
        (("toolchain", "tar_sha256"), "0"),
        (("toolchain",), None),
    ],
)
def test_a_malformed_lock_is_an_error_that_names_the_file(path: tuple[str | int, ...], value: object) -> None:
    data = lock_json(read_lock())
    place = data
    for key in path[:-1]:
        place = place[key]  # type: ignore[index]
    place[path[-1]] = value  # type: ignore[index]
    with pytest.raises(CatalogueError, match=r"some-lock\.json"):
        parse_lock(data, Path("some-lock.json"))


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"schema":"repro.lock/9"}', "\xff", "{" * 100])
def test_a_lock_file_that_is_not_one_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "lock.json").write_text(text, encoding="latin-1")
    with pytest.raises(CatalogueError, match=r"lock\.json"):
        read_lock(tmp_path / "lock.json")


@pytest.mark.parametrize(
    "text", ["debian", "debian:12", "debian@sha256:12", "@sha256:" + "0" * 64, "a b@sha256:" + "0" * 64]
)
def test_a_floating_base_image_is_refused(text: str) -> None:
    with pytest.raises(CatalogueError, match="floating"):
        base_from_image(text)


def test_a_base_image_by_digest_is_recorded() -> None:
    reference = "example.org/base@sha256:" + "0" * 64
    base = base_from_image(reference)
    assert base.image == reference
    assert base_key(base) != base_key(read_lock().base)


def _spoilt(folder: Path, name: str, old: str, new: str) -> int:
    """Replace a text of a file once; the number of the line on which it stood."""
    file = folder / name
    text = file.read_text()
    at = text.index(old)
    file.write_text(text[:at] + new + text[at + len(old) :])
    return text[:at].count("\n") + 1


@pytest.mark.parametrize(
    ("name", "key", "new"),
    [
        ("lock.json", "sha256", '"sha256": "latest"'),
        ("lock.json", "size_bytes", '"size_bytes": null'),
        ("lock.json", "version", '"version": ""'),
    ],
)
def test_what_floats_in_a_lock_is_named_by_file_and_line(tmp_path: Path, name: str, key: str, new: str) -> None:
    folder = tmp_path / "go-openai"
    shutil.copytree(resources.images_dir() / "sdks" / "openai-go", folder)
    text = (folder / name).read_text()
    row = text.index(f'"{key}"', text.index('"filename"', text.index('"filename"') + 1))  # not of the first row
    line = _spoilt(folder, name, text[row : text.index("\n", row)].rstrip(","), new)
    row_of = text[:row].count("\n") + 1
    assert line <= row_of
    with pytest.raises(CatalogueError, match=rf"{name}:\d+ is malformed") as caught:
        read_modules_lock(folder)
    assert f"{name}:{line} " in caught.value.title


def test_a_floating_version_is_named_by_file_and_line(tmp_path: Path) -> None:
    from toolkit.catalogue.load import read_sdk

    folder = tmp_path / "go-openai"
    shutil.copytree(resources.images_dir() / "sdks" / "go-openai", folder)
    entry = (folder / "sdk.yaml").read_text()
    version = next(row for row in entry.splitlines() if row.startswith("version:"))
    line = _spoilt(folder, "sdk.yaml", version, "version: latest")
    with pytest.raises(CatalogueError, match=rf"sdk\.yaml:{line}: version"):
        read_sdk(folder / "sdk.yaml")
    (folder / "sdk.yaml").write_text(entry)
    module = next(row for row in (folder / "go.mod").read_text().splitlines() if " v" in row)
    line = _spoilt(folder, "go.mod", module, module.rpartition(" ")[0] + " latest")
    with pytest.raises(CatalogueError, match=rf"go\.mod:{line}: "):
        read_sdk(folder / "sdk.yaml")
