"""The sealed build of C and C++: a cgo SDK, a native part, models; the same bytes by every route.

The part is two small libraries and a program, so that this takes a minute; ``tests/long`` builds the real ones twice.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import shutil
import tarfile
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.sdks import EVERYTHING
from toolkit.build import records, targets
from toolkit.build.context import write_context
from toolkit.build.images import BuildOptions, BuiltSet, ensure_images
from toolkit.build.normalise import normalise
from toolkit.canonical import sha256_file
from toolkit.catalogue import Catalogue, load_catalogue, parts
from toolkit.errors import BuildFailed, CatalogueError, InputMismatch, InputUnavailable
from toolkit.fetch import inputs
from toolkit.fetch.source import Source
from toolkit.fetch.stage import fetch_all, locked_files
from toolkit.fetch.store import Store
from toolkit.lock import lock_json, pretty, read_lock, source_json
from toolkit.model.container import ContainerSpec
from toolkit.model.inputs import BuiltImage, LockedFile

if TYPE_CHECKING:
    from toolkit.engine.docker import DockerEngine

pytestmark = pytest.mark.timeout(1800)
HERE = Path(__file__).resolve().parent / "native"
LOADABLE = re.compile(rb"libleft\.so\x00")


def source_archive(path: Path) -> None:
    """The part's source as a package index would give it."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w") as tar:
        for file in sorted((HERE / "source").rglob("*")):
            info = tar.gettarinfo(str(file), file.relative_to(HERE / "source").as_posix())
            info.mtime, info.uid, info.gid, info.uname, info.gname = 0, 0, 0, "", ""
            tar.addfile(info, io.BytesIO(file.read_bytes()) if file.is_file() else None)
    path.write_bytes(gzip.compress(data.getvalue(), mtime=0))


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    """A store with every input of the entries here; the catalogue finds the small part instead of the real ones."""
    folder = tmp_path_factory.mktemp("native")
    shutil.copytree(HERE / "parts", folder / "parts")
    archive = folder / "pair-1.0.tar.gz"
    source_archive(archive)
    row = LockedFile("pair", "pip", "1.0", archive.name, sha256_file(archive), archive.stat().st_size)
    (folder / "parts" / "pair" / "lock.json").write_bytes(pretty(source_json(row)))
    store = Store.open(folder / "store")
    store.add_file(archive, row.sha256, row.filename)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parts, "native_folder", lambda: folder / "parts")
        fetch_all(store, catalogue(), sdks=["with-c"], backends=["with-cmake"], source=Source(str(Store.open().root)))
        yield store


def catalogue() -> Catalogue:
    return load_catalogue(HERE / "catalogue")


def fresh(folder: Path, fetched: Store) -> Store:
    """A store with the same inputs; the standard library's cache and the agent come from this machine's own store."""
    store, shared = Store.open(folder), Store.open()
    shutil.copytree(fetched.root / "blobs", store.root / "blobs", copy_function=os.link, dirs_exist_ok=True)
    for record in (shared.root / "records" / "stdlib").glob("*.json"):
        lend(shared, store, "stdlib", record.stem, lambda row: [row["layer"]])
    agent = targets.agent_target().inputs_digest(read_lock())
    lend(shared, store, records.OUTPUTS, agent, lambda row: row["files"].values())
    return store


def lend(shared: Store, store: Store, kind: str, key: str, blobs: Callable[[dict[str, Any]], Iterable[str]]) -> None:
    row = shared.record(kind, key)
    if row is not None and all(shared.has(sha256) for sha256 in blobs(row)):
        for sha256 in blobs(row):
            store.add_bytes(shared.blob_path(sha256).read_bytes(), sha256, kind)
        store.put_record(kind, key, row)


def build(engine: DockerEngine, store: Store, **options: Any) -> BuiltSet:
    found = catalogue()
    return ensure_images(
        engine,
        found,
        sdk=found.sdk("with-c"),
        backend=found.backend("with-cmake"),
        store=store,
        options=BuildOptions(offline=True, **options),
    )


@pytest.fixture(scope="module")
def first(engine: DockerEngine, fetched: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, BuiltSet]:
    store = fresh(tmp_path_factory.mktemp("first") / "store", fetched)
    return store, build(engine, store)


def names_of(store: Store, image: BuiltImage) -> dict[str, tarfile.TarInfo]:
    with tarfile.open(store.blob_path(image.identity.diff_ids[-1].removeprefix("sha256:")), "r:") as tar:
        return {member.name: member for member in tar}


def backend_of(built: BuiltSet) -> BuiltImage:
    assert built.backend is not None
    return built.backend


def test_images_hold_libraries_models_and_the_program_read_only(first: tuple[Store, BuiltSet]) -> None:
    store, built = first
    sdk, backend = names_of(store, built.sdk), names_of(store, backend_of(built))
    assert {name for name in sdk if sdk[name].isreg()} == {
        "repro/agent", "repro/workload", "repro/lib/libleft.so", "repro/lib/libright.so", "repro/models/chat.gguf",
        "repro/models/vision.gguf",
        *(f"repro/models/{path}" for path in parts.synthetic_models()["encoder"].files),
    }  # fmt: skip
    assert {"repro/backend", "repro/models/embed.gguf", "repro/lib/libleft.so"} <= set(backend)
    for name, member in (sdk | backend).items():
        assert member.isdir() or member.isreg(), name
        assert member.mtime == 0, name
        assert not member.isreg() or member.mode == (0o444 if "/models/" in name else 0o555), name


def test_the_label_says_the_cpu_level(engine: DockerEngine, first: tuple[Store, BuiltSet]) -> None:
    view = engine.image(first[1].sdk.reference)
    assert view is not None
    assert view["Config"]["Labels"]["org.sealbench.cpu-level"] == "x86-64-v3"


def test_libraries_find_each_other_and_name_no_path_of_the_build(first: tuple[Store, BuiltSet]) -> None:
    store, built = first
    outputs = {name: store.blob_path(sha256) for name, sha256 in outputs_of(store, "native-pair", built).items()}
    right = outputs["lib/libright.so"].read_bytes()
    assert b"$ORIGIN\x00" in right
    assert LOADABLE.search(right), "its neighbour's name carries no version"
    for name, path in outputs.items():
        assert b"/tmp/native" not in path.read_bytes(), name


def outputs_of(store: Store, key: str, built: BuiltSet) -> dict[str, str]:
    row = store.record(records.OUTPUTS, built.lock["targets"][key]["inputs_digest"])
    assert row is not None
    return dict(row["files"])


def test_the_programs_run_in_their_images(engine: DockerEngine, first: tuple[Store, BuiltSet]) -> None:
    code, out, err = run(engine, backend_of(first[1]).reference, "/repro/backend")
    assert (code, out) == (0, "42\n"), err
    # The workload is told nothing, so the harness complains: the C++ library and libc were found.
    code, out, err = run(engine, first[1].sdk.reference, "/repro/workload")
    assert code not in (0, 126, 127), err
    assert "error while loading" not in err


def run(engine: DockerEngine, image: str, program: str) -> tuple[int | None, str, str]:
    container, _ = engine.create(ContainerSpec(image=image, entrypoint=(), command=(program,)))
    try:
        engine.start(container)
        code = engine.wait(container, 600)
        said = [engine.logs(container, stderr=stderr, limit_bytes=4096).decode() for stderr in (False, True)]
    finally:
        engine.remove(container)
    return code, said[0], said[1]


def test_an_edited_adapter_is_compiled_from_kept_dependencies_to_the_same_bytes(
    engine: DockerEngine, first: tuple[Store, BuiltSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, built = first
    assert list((store.root / "records" / "gocache").iterdir())
    for record in (store.root / "records" / records.OUTPUTS).iterdir():
        record.unlink()
    shutil.rmtree(store.root / "records" / "images")
    assert build(engine, store).sdk == built.sdk


@pytest.mark.skipif(not EVERYTHING, reason="minutes: REPRO_TEST_SDKS=all runs it")
def test_a_second_build_and_the_dockerfiles_give_the_same_images(
    engine: DockerEngine, fetched: Store, first: tuple[Store, BuiltSet], tmp_path: Path
) -> None:
    one, two = first[1], build(engine, fresh(tmp_path / "store", fetched), no_cache=True)
    assert (one.sdk, one.backend) == (two.sdk, two.backend)
    store, found = first[0], catalogue()
    folder = tmp_path / "context"
    write_context(folder, store, one.lock, sdk=found.sdk("with-c"), backend=found.backend("with-cmake"))
    assert {path.name for path in (folder / "load").iterdir()} == {"base.tar", "native.tar", "toolchain.tar"}
    for archive in sorted((folder / "load").iterdir()):
        engine.load(archive)
    for dockerfile, image in (("Dockerfile", one.sdk), ("Dockerfile.backend", backend_of(one))):
        tag = f"sealbench-test/native-{image.kind}:{os.getpid()}"
        engine.build(folder, dockerfile, tag, no_cache=True)
        with store.temporary() as place:
            made = normalise(engine, tag, one.base.identity.diff_ids, place, kind=image.kind, name=image.id)
        engine.remove_image(tag)
        assert made.identity == image.identity, image.kind


def test_a_changed_byte_of_a_compilers_package_or_a_source_archive_stops_the_build(
    engine: DockerEngine, fetched: Store, tmp_path: Path
) -> None:
    rows = locked_files(catalogue(), ["with-c"], ["with-cmake"])
    for row in (next(row for row in rows if row.name == "g++-12"), next(row for row in rows if row.name == "pair")):
        store = fresh(tmp_path / row.name, fetched)
        data = bytearray(store.blob_path(row.sha256).read_bytes())
        data[len(data) // 2] ^= 1
        store.blob_path(row.sha256).unlink()
        store.blob_path(row.sha256).write_bytes(data)
        with pytest.raises(InputMismatch, match=re.escape(row.filename)):
            build(engine, store)


def with_vanished_compiler() -> dict[str, Any]:
    """The lock, naming a version of g++-12 that no mirror has."""
    lock = read_lock()
    assert lock.native is not None
    gone = {"version": "0.0.1-1", "filename": "g++-12_0.0.1-1_amd64.deb", "sha256": "0" * 64}
    rows = tuple(replace(row, **gone) if row.name == "g++-12" else row for row in lock.native.packages)
    return lock_json(replace(lock, native=replace(lock.native, packages=rows, layer_sha256="0" * 64)))


def test_a_vanished_compiler_is_relocked_loudly_in_a_new_run_and_refused_in_a_rerun(
    engine: DockerEngine, first: tuple[Store, BuiltSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, built = first
    found, said = catalogue(), list[str]()
    entries = {"sdk": found.sdk("with-c"), "backend": found.backend("with-cmake"), "store": store}
    rerun = BuildOptions(lock=with_vanished_compiler(), allow_relock=False)
    with pytest.raises(InputUnavailable, match=r"g\+\+-12_0\.0\.1-1_amd64\.deb.*repro fetch --from"):
        ensure_images(engine, found, **entries, options=rerun)
    # As if the mirror had today's versions: those that were locked.
    native = read_lock().native
    assert native is not None
    monkeypatch.setattr(inputs, "lock_native", lambda *_, **__: replace(native, layer_sha256=""))
    options = BuildOptions(lock=with_vanished_compiler())
    again = ensure_images(engine, found, **entries, options=options, report=said.append)
    assert (again.sdk, again.base_state) == (built.sdk, "relocked")
    assert again.lock["native"] == built.lock["native"]
    assert any("COMPILERS RELOCKED" in line and "g++-12_0.0.1-1_amd64.deb" in line for line in said)


def test_a_model_that_comes_out_otherwise_stops_the_build(
    engine: DockerEngine, first: tuple[Store, BuiltSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = targets.models_target()
    wrong = replace(target, outputs={**target.outputs, "models/chat.gguf": "0" * 64})
    monkeypatch.setattr(targets, "models_target", lambda: wrong)
    with pytest.raises(InputMismatch, match=r"models/chat\.gguf"):
        build(engine, first[0])


def test_what_cmake_says_of_a_broken_part_is_shown(
    engine: DockerEngine, first: tuple[Store, BuiltSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    part = parts.native_part("pair")
    monkeypatch.setattr(targets, "native_part", lambda _: replace(part, targets=("absent",)))
    with pytest.raises(BuildFailed, match="absent"):
        build(engine, first[0])


def test_a_level_below_that_of_a_part_is_refused(engine: DockerEngine, first: tuple[Store, BuiltSet]) -> None:
    found = catalogue()
    sdk = replace(found.sdk("with-c"), cpu_level="x86-64-v1")
    with pytest.raises(CatalogueError, match="x86-64-v3"):
        ensure_images(engine, found, sdk=sdk, backend=None, store=first[0])


def test_the_locks_name_the_compilers() -> None:
    native = read_lock().native
    assert native is not None
    assert {"binutils", "cmake", "g++", "gcc", "libc6-dev", "ninja-build"} <= {row.name for row in native.packages}
    assert not {row.name for row in native.packages} & {row.name for row in read_lock().base.packages}
