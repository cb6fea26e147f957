"""Hostile archives and machines beyond verification: rebuild (99 to 117), re-run (118 to 140), the author's side
(141 to 147). A test bears the number of its case; which test answers for a case that has none here stands in
docs/archives.md.
"""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import jinja2
import pytest
import zstandard

from tests.simulated.test_hostile import read_honest
from tests.support.archives import CELL, ROOT, Author, author
from tests.support.hostile import RUN_FILES, Honest, written, zst
from toolkit.archive import layout
from toolkit.archive.adopt import adopt_images
from toolkit.archive.rebuild import rebuild_cell
from toolkit.archive.stranger import adopt_inputs, read_lock_of
from toolkit.build.compile import Limits, _made, build_spec
from toolkit.build.images import Build
from toolkit.build.targets import ENVIRONMENT, NO_MODULES, Target
from toolkit.cli.rerunning_archive import Wish, _may_run, _placed
from toolkit.cli.strangers import say_environment
from toolkit.engine.fake import FakeContainer, FakeEngine
from toolkit.errors import (
    ArchiveInvalid,
    BuildFailed,
    CatalogueError,
    EngineLost,
    EngineTooOld,
    HostUnfit,
    ReproError,
    UsageError,
)
from toolkit.fetch.store import Store, StoreFull
from toolkit.lock import base_from_image
from toolkit.output import Output
from toolkit.render.templates import environment
from toolkit.seal import read_json, read_plan
from toolkit.verify.report import Refused
from toolkit.verify.run import Question, verify

SECONDS = 800
MEMORY_BYTES = 256 * 1024**2
"""What any command may take for an archive of this size; verification has 150 MiB (test_hostile.py)."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Author:
    return author(tmp_path_factory.mktemp("author"))


@pytest.fixture(scope="module")
def honest(made: Author) -> Honest:
    return read_honest(made.archive())


@pytest.fixture
def place(made: Author, tmp_path: Path) -> Path:
    """An archive, unpacked as a rebuild does."""
    data = zstandard.ZstdDecompressor().decompressobj().decompress(made.archive().read_bytes())
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        tar.extractall(tmp_path / "place", filter="data")
    return tmp_path / "place"


def lock_at(place: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((place / "run" / "lock.json").read_text())
    return found


def relocked(place: Path, lock: dict[str, Any]) -> Path:
    (place / "run" / "lock.json").write_text(json.dumps(lock))
    return place / "run"


MEASURED = (
    "import resource, subprocess, sys\n"
    "done = subprocess.run(sys.argv[2:], check=False)\n"
    "open(sys.argv[1], 'w').write(str(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024))\n"
    "sys.exit(done.returncode)\n"
)


def repro(*arguments: str, **environment_: str) -> subprocess.CompletedProcess[str]:
    """A command to its end, with another environment, within the memory that it may take."""
    with tempfile.NamedTemporaryFile("r") as peak:
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, peak.name, sys.executable, "-m", "toolkit", *arguments],
            check=False, capture_output=True, text=True, timeout=SECONDS,
            env={**os.environ, "PYTHONPATH": str(ROOT), **environment_},
        )  # fmt: skip
        assert int(peak.read()) <= MEMORY_BYTES
    assert "Traceback" not in done.stdout + done.stderr
    return done


def target(**changes: Any) -> Target:
    """Something that is built."""
    row: dict[str, Any] = {
        "key": "agent", "folder": "agent", "title": "it", "files": {}, "modules": NO_MODULES, "workdir": "src",
        "command": ("x",), "outputs": {"agent": ""}, "origin": Path("lock.json"), "environment": ENVIRONMENT,
    }  # fmt: skip
    return Target(**{**row, **changes})


# -- rebuild


@pytest.mark.parametrize(
    ("number", "kind"), [(99, "package"), (101, "package"), (99, "source")], ids=["base", "version", "source"]
)
def test_099_101_an_input_that_the_archive_lacks_makes_it_incomplete(place: Path, number: int, kind: str) -> None:
    lock = lock_at(place)
    if number == 101:  # the lock names a version that nobody has any more
        lock["cells"][CELL]["base"]["packages"][0] |= {"version": "2.0", "sha256": "12" * 32}
    else:
        rows = json.loads((place / layout.INPUTS_INDEX).read_text())["inputs"]
        gone = next(row for row in rows if row["kind"] == kind)
        (place / layout.INPUT_BLOBS / gone["sha256"]).unlink()
    with pytest.raises(ArchiveInvalid, match="incomplete") as caught:
        adopt_inputs(place, read_lock_of(relocked(place, lock)))
    assert caught.value.exit_code == 6
    assert kind in caught.value.cause


@pytest.mark.parametrize("kind", ["package", "source"])
def test_097_109_what_would_unpack_to_more_than_is_declared_is_unsafe(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """A package that is a bomb, and one source under a thousand names: neither fills memory or disk of the reviewer."""
    import toolkit.archive.rebuild as module

    lock, store = lock_at(place)["cells"][CELL], Store.open(tmp_path / "s")
    lock["toolchain"]["tar_sha256"] = "ab" * 32
    if kind == "package":
        data = claimed_package(tmp_path)
        lock["base"] = {"packages": [row_of(store, "evil", data)], "suite": "x", "layer_sha256": "cd" * 32}
        lock |= {"targets": {}, "recipes": {}}
    else:
        monkeypatch.setattr(module, "SOURCE_BYTES", 10_000)
        sha256 = row_of(store, "x.go", b"x" * 100)["sha256"]
        sources = {f"src/{number}.go": f"sha256:{sha256}" for number in range(1000)}
        lock["targets"]["agent"] |= {"folder": "agent", "title": "it", "sources": sources}
    with pytest.raises(ArchiveInvalid, match="unsafe") as caught:
        rebuild_cell(FakeEngine(), store, lock, place, lambda _: None)
    assert caught.value.exit_code == 6
    assert list((store.root / "tmp").iterdir()) == []


def claimed_package(tmp_path: Path) -> bytes:
    """A .deb of 2 kB whose one file says that it has 8 GiB."""
    from tests.unit.test_bounds import claimed, package

    return package(tmp_path / "evil.deb", claimed("usr/x", (1 << 33) - 1) + bytes(1024)).read_bytes()


def row_of(store: Store, name: str, data: bytes) -> dict[str, Any]:
    """Bytes in the store, as a lock names them."""
    import hashlib

    sha256 = hashlib.sha256(data).hexdigest()
    store.add_bytes(data, sha256, name)
    row = {"name": name, "source": "apt", "version": "1", "filename": f"{name}.deb", "sha256": sha256}
    return {**row, "size_bytes": len(data)}


def test_091_images_of_another_platform_are_for_another_host(place: Path) -> None:
    lock = read_lock_of(place / "run")
    config = place / layout.blob(lock["cells"][CELL]["images"]["sdk"]["identity"]["config_digest"])
    config.write_text(json.dumps({**json.loads(config.read_text()), "architecture": "arm64"}))
    with pytest.raises(HostUnfit, match="not for this machine") as caught:
        adopt_images(place, lock)
    assert (caught.value.exit_code, "linux/arm64" in caught.value.cause) == (3, True)


@pytest.mark.parametrize("reference", ["debian:12", "debian", "debian@sha256:12"])
def test_100_a_base_by_tag_is_no_base(reference: str) -> None:
    with pytest.raises(CatalogueError, match="floating"):
        base_from_image(reference)


def test_100_a_base_by_digest_that_the_engine_lacks_is_not_fetched(place: Path) -> None:
    lock = buildable(place)
    with pytest.raises(ArchiveInvalid, match="incomplete"):
        rebuild_cell(FakeEngine(), Store.open(place / "s"), lock, place / layout.BLOBS, lambda _: None)


def buildable(place: Path) -> dict[str, Any]:
    """A cell's lock that names no more than a base, so that a rebuild begins."""
    lock = lock_at(place)["cells"][CELL]
    lock["toolchain"]["tar_sha256"] = "ab" * 32
    lock["base"] = {"image": "example.org/base@sha256:" + "0" * 64}
    return {**lock, "targets": {}, "recipes": {}}


def test_103_105_what_differs_is_named_by_layer_and_file(made: Author, tmp_path: Path) -> None:
    from dataclasses import replace

    from toolkit.archive.images import run_images
    from toolkit.archive.rebuild import _compared
    from toolkit.build import identity
    from toolkit.build.assemble import assemble
    from toolkit.build.ustar import Entry, write_layer

    original = next(one for one in run_images(read_json(made.folder.path / "lock.json")) if one.kind == "sdk")
    layers = [made.store.blob_path(diff.removeprefix("sha256:")) for diff in original.identity.diff_ids]
    with (tmp_path / "upper.tar").open("wb") as stream:
        write_layer(stream, [Entry.folder("repro"), Entry.file("repro/agent", b"another binary", 0o555)])
    runtime = identity.runtime_config(
        entrypoint=("/repro/agent",), labels=identity.labels("sdk", "go-openai", "x86-64-v1")
    )
    again = assemble(runtime, [layers[0], tmp_path / "upper.tar"], kind="sdk", name="go-openai")
    made.store.add_made(tmp_path / "upper.tar")
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    for layer in layers:
        shutil.copyfile(layer, blobs / layer.name)
    found = _compared(original, replace(original, identity=again.identity), made.store, blobs)
    assert (found.level, found.where) == ("differs", "layer 2: repro/agent: its size")
    assert _compared(original, original, made.store, blobs).level == "bitwise"


@pytest.mark.parametrize("layer", ["a-link-to-nothing", "a-sparse-file", "no-tar", "too-many"])
def test_103_a_layer_that_cannot_be_compared_is_said_to_be_so(
    made: Author, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layer: str
) -> None:
    from dataclasses import replace

    import toolkit.archive.rebuild as module
    from tests.support.hostile import header, member
    from toolkit.archive.images import run_images

    data = {
        "a-link-to-nothing": header("a", 0, type=b"1", link=b"z") + bytes(1024),
        "a-sparse-file": header("x", 0, type=b"S", prefix=bytes(138) + b"%011o\0" % ((1 << 33) - 1)) + bytes(1024),
        "no-tar": b"no tar" * 1000,
        "too-many": b"".join(member(str(number)) for number in range(9)) + bytes(1024),
    }[layer]
    monkeypatch.setattr(module, "LAYER_FILES", 8)
    original = next(one for one in run_images(read_json(made.folder.path / "lock.json")) if one.kind == "sdk")
    (tmp_path / ("12" * 32)).write_bytes(data)
    diffs = (original.identity.diff_ids[0], "sha256:" + "12" * 32)
    other = replace(original, identity=replace(original.identity, diff_ids=diffs))
    where = module.first_difference(other, original, made.store, tmp_path)
    assert where.startswith("layer 2 (the archive's cannot be compared file by file"), where


def test_102_104_the_same_files_in_other_bytes_are_the_same_content(made: Author, tmp_path: Path) -> None:
    from dataclasses import replace

    from toolkit.archive.images import run_images
    from toolkit.archive.rebuild import _compared

    original = next(one for one in run_images(read_json(made.folder.path / "lock.json")) if one.kind == "sdk")
    upper = original.identity.diff_ids[1].removeprefix("sha256:")
    with tarfile.open(made.store.blob_path(upper)) as tar, tarfile.open(tmp_path / "later.tar", "w") as later:
        for one in tar:
            one.mtime = 1_700_000_000  # built on another day
            later.addfile(one, tar.extractfile(one))
    sha256 = made.store.add_made(tmp_path / "later.tar")
    identity = replace(
        original.identity, config_digest="sha256:" + "1" * 64,
        diff_ids=(original.identity.diff_ids[0], f"sha256:{sha256}"),
    )  # fmt: skip
    blobs = tmp_path / "blobs"
    blobs.mkdir()
    shutil.copyfile(made.store.blob_path(upper), blobs / upper)
    found = _compared(original, replace(original, identity=identity), made.store, blobs)
    assert (found.level, found.where) == ("same content", "layer 2: the same files in other bytes (order, times)")


def test_106_a_build_has_no_network_and_nothing_is_fetched_for_it() -> None:
    spec = build_spec("image", ("x",), {})
    assert (spec.network, spec.user) == ("none", "65534:65534")
    assert all("PROXY" not in name.upper() or value in ("off", "") for name, value in spec.environment.items())


@pytest.mark.parametrize("error", [BuildFailed("stopped", "it wrote more"), BuildFailed("too long")])
def test_107_a_build_that_was_stopped_is_a_difference_with_its_reason(
    place: Path, monkeypatch: pytest.MonkeyPatch, error: BuildFailed
) -> None:
    monkeypatch.setattr(Build, "anew", lambda *_: (_ for _ in ()).throw(error))
    limits = Limits(time.monotonic() + 60, 1 << 30)
    rows = rebuild_cell(FakeEngine(), Store.open(place / "s"), buildable(place), place, lambda _: None, limits=limits)
    assert {row.kind for row in rows} == {"sdk", "backend"}
    assert all(row.level == "differs" and error.title in row.where for row in rows)


def test_108_no_memory_of_anybody_s_reaches_a_rebuild(made: Author, place: Path) -> None:
    for name in ("store/records/images/x.json", "inputs/records/outputs/x.json"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("{}")
    shutil.rmtree(place / "store")  # what a rebuild unpacks is run/, images/blobs/ and inputs/ only
    store = adopt_inputs(place, read_lock_of(place / "run"))
    assert list((store.root / "records").rglob("*.json")) == []
    assert store.root != made.store.root


PATHS = ("../../../tmp/canary", "/tmp/canary", "a/../../canary", "x\n", "..")


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("where", ["source", "folder", "workdir", "output", "module", "input", "placement", "key"])
def test_109_a_path_of_the_lock_that_leaves_its_folder_is_unsafe(place: Path, where: str, path: str) -> None:
    lock = lock_at(place)
    cell = lock["cells"][CELL]
    agent = cell["targets"]["agent"]
    row = {"name": "m", "source": "gomod", "version": "v1", "filename": path, "sha256": "0" * 64, "size_bytes": 1}
    if where == "source":
        agent["sources"] = {path: "sha256:" + "0" * 64}
    elif where == "output":
        agent["outputs"] = {path: ""}
    elif where == "module":
        agent["modules"]["files"] = [row]
    elif where == "input":
        cell["base"]["packages"] = [row]
    elif where == "placement":
        one = {"target": "agent", "output": "agent", "path": path, "mode": 0o555}
        cell["recipes"] = {"sdk": {"placements": [one], "program": one}}
    elif where == "key":
        cell["targets"] = {path: agent}
    else:
        agent[where] = path
    with pytest.raises(Refused) as caught:
        read_lock_of(relocked(place, lock))
    assert caught.value.verdict == "unsafe"


@pytest.mark.parametrize("spoil", ["digest", "shape", "json", "image"])
def test_109_a_lock_of_another_shape_is_malformed(place: Path, spoil: str) -> None:
    lock = lock_at(place)
    if spoil == "digest":
        lock["cells"][CELL]["targets"]["agent"]["sources"] = {"src/x.go": "../../etc/passwd"}
    elif spoil == "image":
        lock["cells"][CELL]["images"]["sdk"]["identity"]["diff_ids"] = ["sha256:../../../etc/passwd"]
    elif spoil == "shape":
        lock["cells"] = [1]
    run = relocked(place, lock)
    if spoil == "json":
        (run / "lock.json").write_text('{"cells": {}, "cells": {}}')
    with pytest.raises(Refused) as caught:
        read_lock_of(run)
    assert caught.value.verdict == "malformed"


def test_109_a_link_is_not_what_a_build_made(tmp_path: Path) -> None:
    (tmp_path / "agent").symlink_to("/etc/hostname")
    with pytest.raises(BuildFailed, match="left no agent"):
        _made(tmp_path / "agent", "agent", target())


def test_109_no_part_of_a_path_that_a_build_made_is_a_link(tmp_path: Path) -> None:
    """The build may write below /out as it likes: a link to a folder of the host in place of one of ours."""
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret" / "x").write_text("of the host")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "lib").symlink_to(tmp_path / "secret")
    with pytest.raises(BuildFailed, match="left no lib/x"):
        _made(tmp_path / "out" / "lib" / "x", "lib/x", target(outputs={"lib/x": ""}))


def test_109_what_a_build_linked_to_keeps_its_mode_when_the_build_is_thrown_away(tmp_path: Path) -> None:
    store, outside = Store.open(tmp_path / "store"), tmp_path / "outside"
    outside.mkdir(mode=0o755)
    (outside / "kept").write_text("kept")
    with store.temporary() as folder:
        (folder / "out").mkdir()
        (folder / "out" / "evil").symlink_to(outside)
        (folder / "out" / "locked").mkdir(mode=0o500)
    assert outside.stat().st_mode & 0o777 == 0o755
    assert (outside / "kept").read_text() == "kept"
    assert list((store.root / "tmp").iterdir()) == []


def test_107_empty_files_take_room_too(tmp_path: Path) -> None:
    from toolkit.build.compile import _taken

    for number in range(20):
        (tmp_path / str(number)).touch()
    (tmp_path / "sparse").touch()
    os.truncate(tmp_path / "sparse", 1 << 30)
    (tmp_path / "folder").mkdir()
    assert _taken(tmp_path) == (1 << 30) + 21 * 4096


def test_107_a_compiler_of_a_stranger_is_bounded_while_it_warms_up(tmp_path: Path) -> None:
    """The toolchain comes from the archive: what compiles the standard library is a stranger's program, too."""
    from toolkit.build.compile import warm_standard_library

    engine = FakeEngine(images=("go",))

    def at_once(container: FakeContainer) -> None:
        container.files["/cache"] = b"x" * 5000
        container.finish(0)

    engine.on_start = at_once
    with pytest.raises(BuildFailed, match="was stopped") as caught:
        warm_standard_library(engine, "go", tmp_path / "a.tar", limits=Limits(time.monotonic() + 60, 4096))
    assert "--limit-gigabytes" in caught.value.remedy
    assert any(one.name == "fsize" for one in engine.asked("create")[0].arguments[0].ulimits)
    with pytest.raises(BuildFailed, match="was stopped") as caught:
        warm_standard_library(engine, "go", tmp_path / "b.tar", limits=Limits(time.monotonic() - 1, 1 << 30))
    assert "--limit-minutes" in caught.value.remedy
    assert engine.containers == {}


def test_107_what_a_rebuild_loaded_goes_again_and_what_was_there_stays(tmp_path: Path) -> None:
    from toolkit.archive.borrowed import borrowed
    from toolkit.build.assemble import write_archive_of

    engine, store, said = Loading(images=("sealbench/there:1",)), Store.open(tmp_path / "s"), list[str]()
    with (tmp_path / "image.tar").open("wb") as stream:
        write_archive_of(stream, [])
    engine.names = ["sealbench/there:1", "sealbench/new:1"]
    rewrite_names(tmp_path / "image.tar", engine.names)
    with borrowed(engine, store, said.append) as mine:
        mine.load(tmp_path / "image.tar")
        assert set(engine.images) == {"sealbench/there:1", "sealbench/new:1"}
    assert set(engine.images) == {"sealbench/there:1"}
    with store.lock("build", shared=True), borrowed(engine, store, said.append) as mine:
        mine.load(tmp_path / "image.tar")
    assert set(engine.images) == {"sealbench/there:1", "sealbench/new:1"}
    assert "repro clean --images" in said[0]


class Loading(FakeEngine):
    """An engine that has an image once it was loaded."""

    names: list[str]

    def load(self, archive: Any) -> None:
        super().load(archive)
        for name in self.names:
            self.images.setdefault(name, {"Id": name, "RepoTags": [name]})


def rewrite_names(path: Path, names: list[str]) -> None:
    with tarfile.open(path, "w") as tar:
        data = json.dumps([{"Config": "x", "Layers": [], "RepoTags": names}]).encode()
        info = tarfile.TarInfo("manifest.json")
        info.size = len(data)
        tar.addfile(info, io.BytesIO(data))


def test_110_a_name_that_a_template_wants_and_nobody_gave_is_an_error() -> None:
    with pytest.raises(jinja2.UndefinedError):
        environment().from_string("FROM {{ nobody_gave_this }}").render()


@pytest.mark.parametrize("letter", ["\n", "\r", "\u2028", "\x85"])
def test_111_a_line_break_in_a_value_never_becomes_an_instruction(place: Path, letter: str) -> None:
    with pytest.raises(ValueError, match="line break"):
        environment().from_string("# {{ value | line }}").render(value=f"x{letter}RUN evil")
    assert environment().from_string("{{ value | json }}").render(value=f'x"{letter}y').count("\n") == 0
    if letter in "\n\r":
        lock = lock_at(place)
        lock["cells"][CELL]["targets"]["agent"]["environment"] = {"CC": f"gcc{letter}evil"}
        with pytest.raises(Refused, match="one line"):
            read_lock_of(relocked(place, lock))


def test_112_a_template_of_an_archive_is_never_rendered(
    honest: Honest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    canary = tmp_path / "canary"
    evil = f"{{{{ cycler.__init__.__globals__.os.system('touch {canary}') }}}}".encode()
    seen: list[str] = []
    render = jinja2.Environment.from_string
    monkeypatch.setattr(jinja2.Environment, "from_string", lambda *a, **k: seen.append(str(a[1])) or render(*a, **k))
    name = RUN_FILES + "Dockerfile"
    path = written(tmp_path, zst(honest.copy().with_run_file(name.removeprefix(layout.RUN), evil).tar()))
    assert verify(Question(path)).verdict == "verified"
    assert not canary.exists()
    assert seen == []


def test_113_an_engine_that_is_lost_while_it_builds_ends_typed_and_leaves_nothing(place: Path, tmp_path: Path) -> None:
    lock, engine, shared = buildable(place), FakeEngine(), Store.open(tmp_path / "shared")
    engine.die()
    with pytest.raises(EngineLost) as caught, shared.temporary() as folder:
        rebuild_cell(engine, Store.open(folder / "store"), lock, place, lambda _: None)
    assert caught.value.exit_code == 4
    assert list((shared.root / "tmp").iterdir()) == []


def test_113_an_engine_that_is_lost_in_the_middle_of_a_build_can_be_asked_again(tmp_path: Path) -> None:
    from toolkit.build.compile import compile_target

    store, engine = Store.open(tmp_path / "s"), FakeEngine(images=("go",))
    engine.on_start = lambda _: engine.die()
    limits = Limits(time.monotonic() + 60, 1 << 20)
    with pytest.raises(EngineLost), store.temporary() as folder:
        compile_target(engine, store, target(), "go", folder, limits=limits)
    assert list((store.root / "tmp").iterdir()) == []
    again = FakeEngine(images=("go",))

    def build(container: FakeContainer) -> None:
        (Path(container.spec.mounts[1].source) / "agent").write_text("made")
        container.finish(0)

    again.on_start = build
    with store.temporary() as folder:
        made_ = compile_target(again, store, target(), "go", folder, limits=limits)
        assert made_["agent"].read_text() == "made"
    assert again.containers == {}


FULL = """
import errno, os, sys
from pathlib import Path
from toolkit.verify.run import Question
from toolkit.archive.adopt import adopt_images, unpack_run
from toolkit.archive.stranger import adopt_inputs, read_lock_of
from toolkit.archive import layout
from toolkit.cli.strangers import verified_archive
from toolkit.errors import ReproError
from toolkit.fetch.store import StoreFull
from toolkit.verify.unpack import unpack
archive, root = Path(sys.argv[1]), Path(sys.argv[2])
count = calls = 0
def filling(function):
    def call(*arguments, **options):
        global calls
        if function.__name__ == "mkdir" and "dir_fd" not in options:  # of the store's own folders, which are there
            return function(*arguments, **options)
        calls += 1
        if calls == count:
            raise OSError(errno.ENOSPC, "No space left on device")
        return function(*arguments, **options)
    return call
for name in ("write", "mkdir", "replace", "rename", "fsync"):
    setattr(os, name, filling(getattr(os, name)))
def rerun(held):
    run = unpack_run(held.stream, held.scan, held.place, held.found.archive["run"])
    adopt_images(held.place, read_lock_of(run.path))
def rebuild(held):
    unpack(held.stream, held.scan, held.place, lambda name: True)
    adopt_inputs(held.place, read_lock_of(held.place / layout.RUN))
def attempt(use):
    global calls
    calls = 0
    with verified_archive(Question(archive), root, lambda found: None) as held:
        use(held)
for use in (rerun, rebuild):
    count = 0
    attempt(use)  # the first one makes the store
    attempt(use)
    total = calls
    for count in [*range(1, 12), *range(12, total, max(1, total // 15)), total]:
        try:
            attempt(use)
        except StoreFull as full:
            assert full.exit_code == 1, full
        else:
            raise SystemExit(f"{use.__name__}: not noticed at {count} of {total}")
        for name in ("blobs", "records"):
            assert not [one for one in (root / name).rglob("*") if one.is_file()], (count, name)
        # What the store itself was making when the disk filled has no owner yet: an hour of grace.
        for one in (root / "tmp").iterdir():
            assert not (one / ".owner").exists(), count
            os.utime(one, (0, 0))
print(total)
"""


def test_114_a_disk_that_is_full_at_any_write_is_said_so_and_nothing_is_kept(made: Author, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL, str(made.archive()), str(tmp_path / "store")],
        check=False, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 50


def test_114_a_full_disk_leaves_nothing(made: Author, tmp_path: Path) -> None:
    import errno

    shared = Store.open(tmp_path / "shared")

    def half() -> None:
        with shared.temporary() as folder:
            (folder / "half").write_bytes(b"x" * 1000)
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreFull):
        half()
    assert list((shared.root / "tmp").iterdir()) == []
    assert list((shared.root / "blobs").iterdir()) == []
    assert made.folder.sealed


def test_115_what_chooses_another_engine_is_named_and_no_value_is_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///canary.sock")
    monkeypatch.setenv("https_proxy", "http://user:canary@proxy")
    said = io.StringIO()
    names = say_environment(Output(stderr=said))
    assert {"DOCKER_HOST", "https_proxy"} <= set(names)
    assert "DOCKER_HOST is set" in said.getvalue()
    assert "canary" not in said.getvalue()


def test_116_nothing_of_a_build_asks_for_buildx() -> None:
    sources = "".join(path.read_text() for path in (ROOT / "toolkit").rglob("*.py"))
    assert "buildx" not in sources
    assert "BUILDKIT" not in sources.upper().replace("BUILDKIT_", "BUILDKIT")


def test_117_an_engine_that_is_too_old_is_told_by_its_version() -> None:
    with pytest.raises(EngineTooOld, match=r"1\.24") as caught:
        FakeEngine(api_version="1.24").facts()
    assert caught.value.exit_code == 4


# -- re-run


def wish(path: Path, *allow: str) -> Wish:
    return Wish(Question(path), True, allow, "", None, 0.0, None)


@pytest.mark.parametrize(
    ("old", "new", "name"),
    [
        ("read_only: true", "read_only: false", "compose.read_only"),
        ('user: "65534:65534"', 'user: "0:0"', "compose.user"),
        ("    cap_drop: [ALL]", "    cap_drop: [ALL]\n    extra_hosts: [x]", "compose.extra_hosts"),
    ],
)
def test_118_a_departure_is_named_and_refused_unless_allowed_by_that_name(
    honest: Honest, tmp_path: Path, old: str, new: str, name: str
) -> None:
    compose = RUN_FILES + "compose.yaml"
    text = honest.files[compose].decode()
    assert old in text
    changed = honest.copy().with_run_file(compose.removeprefix(layout.RUN), text.replace(old, new).encode())
    path = written(tmp_path, zst(changed.tar()))
    found = verify(Question(path))
    assert (found.verdict, found.differences[0].split(":")[0]) == ("verified", name)
    with pytest.raises(ArchiveInvalid, match="departs") as caught:
        _may_run(found, wish(path))
    assert f"--allow {name}" in caught.value.remedy
    with pytest.raises(ArchiveInvalid):
        _may_run(found, wish(path, "compose.something_else"))
    _may_run(found, wish(path, name, "rerun.sh"))  # the set-up that the script fills in names the file's digest


def test_119_more_cpus_than_there_are(made: Author, tmp_path: Path) -> None:
    done = repro(
        "rerun", str(made.archive()), "--accept-unverified", "--cpus", "0-4095", "--json",
        "--store", str(tmp_path / "store"), "--runs", str(tmp_path / "runs"),
    )  # fmt: skip
    assert (done.returncode, json.loads(done.stdout)["code"]) == (3, 3), done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()
    assert list((tmp_path / "store" / "tmp").iterdir()) == []


def test_119_the_forecast_says_so_before_anything_is_run(honest: Honest, tmp_path: Path) -> None:
    changed = honest.copy()
    plan = json.loads(changed.files["run/plan.json"])
    for cell in plan["cells"]:
        cell["cpus"] = "0-4095"
    changed.with_run_file("plan.json", json.dumps(plan).encode())
    found = verify(Question(written(tmp_path, zst(changed.tar()))))
    assert any(line.startswith("unfit") and "CPUs" in line for line in found.forecast), found


def test_120_a_memory_node_that_is_not_here_is_a_difference_that_is_shown(made: Author) -> None:
    from dataclasses import replace

    from toolkit.host.topology import read_topology

    plan = read_plan(made.folder)
    plan = replace(plan, cells=tuple(replace(cell, mems="1000") for cell in plan.cells))
    moved, differences = _placed(plan, read_topology(), "")
    assert moved.cells[0].mems != "1000"
    assert [(one.what, one.meaning) for one in differences] == [("placement", "explanatory")]
    assert "node 1000" in differences[0].original
    with pytest.raises(HostUnfit):
        _placed(plan, read_topology(), "4095")


def test_121_a_seccomp_profile_that_is_not_ours_is_named(honest: Honest, tmp_path: Path) -> None:
    name = RUN_FILES + "seccomp.json"
    text = honest.files[name].decode()
    assert '"getpid"' in text
    changed = honest.copy().with_run_file(name.removeprefix(layout.RUN), text.replace('"getpid"', '"gtpid"').encode())
    path = written(tmp_path, zst(changed.tar()))
    found = verify(Question(path))
    assert any(one.startswith("seccomp: ") for one in found.differences)
    with pytest.raises(ArchiveInvalid, match="departs"):
        _may_run(found, wish(path))


def test_129_a_journal_that_was_cut_or_forged_is_noticed_by_every_reader(honest: Honest, tmp_path: Path) -> None:
    name = next(one for one, data in honest.files.items() if one.endswith((".pb", "ledger.json")) and data)
    for spoil in (lambda data: data[:-7], lambda data: b"forged" + data[6:]):
        changed = honest.copy()
        changed.files[name] = spoil(changed.files[name])
        assert verify(Question(written(tmp_path, zst(changed.tar())))).verdict == "tampered"


def test_133_a_key_that_a_program_echoed_is_named_before_the_archive_goes_out(tmp_path: Path) -> None:
    from toolkit.archive.make import contents
    from toolkit.canonical import sha256_file

    mine = author(tmp_path)
    log = next(iter(mine.folder.path.glob("attempts/*/*"))) / "stderr.log"
    log.write_text("Authorization: Bearer sk-" + "a" * 40 + "\n")
    manifest = json.loads((mine.folder.path / "manifest.json").read_text())
    manifest["files"][log.relative_to(mine.folder.path).as_posix()] = {
        "sha256": sha256_file(log), "size_bytes": log.stat().st_size,
    }  # fmt: skip
    (mine.folder.path / "manifest.json").write_text(json.dumps(manifest))
    (mine.folder.path / "manifest.json.sha256").write_text(
        f"{sha256_file(mine.folder.path / 'manifest.json')}  manifest.json\n"
    )
    warnings = contents(mine.folder, mine.store).warnings
    assert any("stderr.log holds something like a key" in warning for warning in warnings)
    assert not any("sk-" in warning for warning in warnings)


def test_133_a_key_is_blacked_out_before_the_log_is_written_and_the_user_is_told(tmp_path: Path) -> None:
    from types import SimpleNamespace

    from toolkit.launch.attempt import AttemptRunner
    from toolkit.launch.terminate import Ending

    key, written_, said = b"ghp_" + b"k" * 36, dict[str, bytes](), list[str]()
    pair = SimpleNamespace(
        final_state=lambda *_: SimpleNamespace(exit_code=1, oom_killed=False, error=""),
        logs=lambda _role, *, stderr, limit_bytes: b"token " + key if stderr else b"plain",
    )
    mine: Any = SimpleNamespace(
        _progress=said.append, _folder=SimpleNamespace(write_bytes=lambda name, data: written_.update({name: data}))
    )
    ending = Ending()
    AttemptRunner._keep(mine, pair, "backend", ending)  # type: ignore[arg-type]
    hidden = b"token ghp_" + b"*" * 36
    assert written_ == {"backend.stdout.log": b"plain", "backend.stderr.log": hidden}
    assert ending.stderr == hidden
    assert said == ["backend.stderr.log: 1 text(s) of the form of a key blacked out"]


def test_137_two_verifications_at_once_are_both_right(made: Author, honest: Honest, tmp_path: Path) -> None:
    good, bad = made.archive(), written(tmp_path, zst(honest.copy().tar()[:-600]))
    answers: dict[int, str] = {}

    def ask(number: int, path: Path) -> None:
        answers[number] = json.loads(repro("verify", str(path), "--json").stdout)["verdict"]

    threads = [threading.Thread(target=ask, args=(at, path)) for at, path in enumerate((good, bad))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert answers == {0: "verified", 1: "tampered"}


def test_139_a_model_of_the_author_s_own_is_asked_for_and_held_against_its_digest(made: Author, tmp_path: Path) -> None:
    from dataclasses import replace

    from toolkit.cli.rerunning import required_model
    from toolkit.model.plan import ModelFile

    plan, other = read_plan(made.folder), tmp_path / "m.gguf"
    own = ModelFile(name="m.gguf", sha256="ab" * 32, size_bytes=5)
    plan = replace(plan, cells=tuple(replace(cell, model_file=own) for cell in plan.cells))
    with pytest.raises(UsageError, match=r"m\.gguf|model"):
        required_model(plan, None)
    other.write_bytes(b"GGUF5")
    with pytest.raises(ReproError, match=r"m\.gguf|model"):
        required_model(plan, other)


@pytest.mark.parametrize("year", [1970, 2106])
def test_140_the_clock_may_be_wrong(made: Author, monkeypatch: pytest.MonkeyPatch, year: int) -> None:
    import toolkit.verify.run as module

    now = time.struct_time((year, 2, 7, 6, 28, 15, 0, 38, 0))

    class Clock:
        strftime = staticmethod(time.strftime)
        gmtime = staticmethod(lambda: now)

    monkeypatch.setattr(module, "time", Clock)
    found = verify(Question(made.archive()))
    assert found.verdict == "verified"
    assert any("future" in warning for warning in found.warnings) == (year == 1970)


def test_140_mask_locale_and_a_folder_that_nobody_may_write_to(made: Author, tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        done = repro("verify", str(made.archive()), LC_ALL="C", LANG="C", TZ="Asia/Tokyo", PYTHONUTF8="0")
        assert (done.returncode, done.stderr) == (0, "")
        again = repro("archive", str(made.folder.path), "-o", str(tmp_path / "b.tar.zst"), "--store",
                      str(made.store.root), LC_ALL="C")  # fmt: skip
        assert again.returncode == 0, again.stderr
    finally:
        os.umask(old)
    assert (tmp_path / "b.tar.zst").read_bytes() == made.archive().read_bytes()
    nowhere = repro(
        "archive", str(made.folder.path), "-o", "/proc/a.tar.zst", "--store", str(made.store.root), "--json"
    )
    assert (nowhere.returncode, json.loads(nowhere.stdout)["code"]) == (2, 2)


# -- the author's side

KILLED = """
import os, signal, sys
from pathlib import Path
from toolkit.verify.run import Question, opened, verify_stream
from toolkit.archive.adopt import unpack_run, adopt_images
from toolkit.archive.stranger import read_lock_of
from toolkit.fetch.store import Store
archive, root = Path(sys.argv[1]), Path(sys.argv[2])
count = calls = 0
def killing(function):
    def call(*arguments, **options):
        global calls
        calls += 1
        if calls == count:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return call
def files(*folders):
    return [str(path) for name in folders for path in (root / name).rglob("*") if path.is_file()]
def restore():
    with opened(archive) as stream:
        found, scan = verify_stream(stream, Question(archive))
        for name in ("write", "mkdir", "replace", "rename", "fsync", "link", "open"):
            setattr(os, name, killing(getattr(os, name)))
        with Store.open(root).temporary() as place:
            run = unpack_run(stream, scan, place, found.archive["run"])
            adopt_images(place, read_lock_of(run.path))
def ended(moment):
    global count
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        count = moment
        restore()
        print(calls, file=open(sys.argv[3], "w"))
        os._exit(0)
    return os.waitpid(child, 0)[1]
Store.open(root)
assert ended(0) == 0
total = int(open(sys.argv[3]).read())
for moment in [1, 2, 3, *range(5, total, max(1, total // 20)), total]:
    assert ended(moment) == signal.SIGKILL, moment
    assert files("blobs", "records") == [], moment
    for left in (root / "tmp").iterdir():
        if not (left / ".owner").exists():  # killed before it held its lock: an hour of grace
            os.utime(left, (0, 0))
    Store.open(root)
    assert list((root / "tmp").iterdir()) == [], moment
print(total)
"""


def test_136_141_a_kill_at_any_write_of_a_restore_leaves_nothing_and_the_next_command_cleans_up(
    made: Author, tmp_path: Path
) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, str(made.archive()), str(tmp_path / "store"), str(tmp_path / "count")],
        check=False, capture_output=True, text=True, cwd=ROOT,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 50


def test_143_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    mine = author(tmp_path)
    plan = mine.folder.path / "plan.json"
    name = next(path for path in mine.folder.path.rglob("readback.json"))
    name.unlink()
    name.mkdir()
    with pytest.raises((ArchiveInvalid, UsageError), match=r"readback\.json"):
        mine.contents()
    assert plan.exists()


def test_144_no_shell_and_no_pipe_of_a_shell_hides_an_error() -> None:
    for path in (ROOT / "toolkit").rglob("*.py"):
        text = path.read_text()
        assert "shell=True" not in text, path
        assert "os.system(" not in text, path
        assert "os.popen(" not in text, path


def test_a_blob_that_a_lock_names_and_the_archive_lacks_is_incomplete(place: Path) -> None:
    lock = read_lock_of(place / "run")
    digest = lock["cells"][CELL]["images"]["sdk"]["identity"]["diff_ids"][1]
    (place / layout.blob(digest)).unlink()
    with pytest.raises(Refused) as caught:
        adopt_images(place, lock)
    assert caught.value.verdict == "incomplete"


def test_063_an_older_run_that_was_sent_again_is_unsafe_when_a_date_is_given(made: Author) -> None:
    from toolkit.cli.verify import question_of

    path = made.archive()
    for date, verdict in (
        ("2026-11-22", "verified"), ("2026-11-24", "unsafe"), ("2026-11-23T12:15:30Z", "verified"),
        ("2026-11-23T12:15:31Z", "unsafe"), ("2026-11-23T14:15:31+02:00", "unsafe"),
    ):  # fmt: skip
        found = verify(question_of(path, None, None, not_before=date))
        assert (date, found.verdict) == (date, verdict)
    done = repro("verify", str(path), "--not-before", "2026-11-24", "--json")
    assert (done.returncode, json.loads(done.stdout)["verdict"]) == (6, "unsafe")
    with pytest.raises(UsageError, match="no date"):
        question_of(path, None, None, not_before="yesterday")
