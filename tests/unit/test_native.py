"""Compilers and native parts: what is chosen of packages, what the build is told, what an image is made of."""

from __future__ import annotations

import io
import shlex
import tarfile
from dataclasses import replace
from pathlib import Path

import pytest

from tests.unit.test_deb import make_deb, special
from toolkit import resources
from toolkit.build import gocache, native, targets
from toolkit.build.foundation import Foundation
from toolkit.build.recipe import Placement, backend_recipe, recipes, sdk_recipe
from toolkit.catalogue import load_catalogue, parts
from toolkit.engine.fake import FakeEngine
from toolkit.errors import CatalogueError, InputMismatch, InputUnavailable
from toolkit.fetch.apt import resolved
from toolkit.fetch.stage import check_lock, wanted_targets
from toolkit.fetch.store import Store
from toolkit.lock import Lock, NativeLock, lock_json, parse_lock, read_lock, read_source
from toolkit.model.catalogue import BackendEntry, SdkEntry
from toolkit.model.inputs import LockedFile

LEVEL = "x86-64-v3"


def sdk(**changes: object) -> SdkEntry:
    return replace(load_catalogue().sdk("go-openai"), **changes)  # type: ignore[arg-type]


def backend(**changes: object) -> BackendEntry:
    return replace(load_catalogue().backend("stub"), **changes)  # type: ignore[arg-type]


def test_apts_answer_becomes_exact_wishes() -> None:
    said = "Reading package lists...\n'http://x/gcc_12%2b1.deb' gcc_4%3a12.2.0-3_amd64.deb 5216 MD5Sum:0\n"
    assert resolved(said) == ["gcc=4:12.2.0-3"]


def test_what_only_installing_needs_is_left_out(tmp_path: Path) -> None:
    depends = {
        "gcc": "gcc-12 (>= 12.2), libc6-dev | libc-dev",
        "gcc-12": "libc6",
        "libc6-dev": "libc6 (= 1)",
        "libc6": "usrmerge | usr-is-merged",
        "usrmerge": "perl",
        "perl": "",
        "cmake": "procps",
        "procps": "",
    }
    packages = {
        name: make_deb(tmp_path / f"{name}_1_all.deb", {}, control=f"Package: {name}\nVersion: 1\nDepends: {text}\n")
        for name, text in depends.items()
    }
    assert native.needed(packages) == {"gcc", "gcc-12", "libc6-dev", "libc6", "cmake"}


def test_the_compilers_layer_has_the_links_that_scripts_would_make(tmp_path: Path) -> None:
    packages = {
        "dash": make_deb(
            tmp_path / "dash_1_amd64.deb", {"./bin/dash": b"x", "./bin/sh": special("./bin/sh", b"2", "y")}
        ),
        "gcc": make_deb(tmp_path / "gcc_1_amd64.deb", {"./usr/bin/gcc": b"x", "./usr/share/man/man1/gcc.1": b"x"}),
        "san": make_deb(
            tmp_path / "san_1_amd64.deb", {"./usr/lib/gcc/12/libasan.a": b"x", "./usr/lib/gcc/12/lto1": b"x"}
        ),
    }
    found = {entry.path: entry for entry in native.native_entries(packages)}
    assert found["usr/bin/sh"].target == "dash"
    assert found["usr/bin/cc"].target == "gcc"
    assert {path for path in found if found[path].kind == "file"} == {"usr/bin/dash", "usr/bin/gcc"}


def test_a_layer_of_packages_does_not_depend_on_their_order(tmp_path: Path) -> None:
    one = make_deb(tmp_path / "one_1_all.deb", {"./usr/a": b"1"})
    two = make_deb(tmp_path / "two_1_all.deb", {"./usr/b": b"2"})
    native.write_native(tmp_path / "x.tar", {"one": one, "two": two})
    native.write_native(tmp_path / "y.tar", {"two": two, "one": one})
    assert (tmp_path / "x.tar").read_bytes() == (tmp_path / "y.tar").read_bytes()


def test_the_script_is_plain_commands_with_quoted_words() -> None:
    part = parts.native_part("llama")
    lines = native.script(replace(part, configure=("-DX=a b; rm -rf /",)), "/build/x/source/a.tar.gz", "/out").decode()
    commands = [shlex.split(line) for line in lines.splitlines() if line and not line.startswith(("#", "set"))]
    assert [command[0] for command in commands[:5]] == ["cmake", "cd", "cmake", "cmake", "cmake"]
    assert "-DX=a b; rm -rf /" in commands[3]
    assert "-DCMAKE_INSTALL_RPATH=$ORIGIN" in commands[3]
    assert "'-DCMAKE_INSTALL_RPATH=$ORIGIN'" in lines
    assert len(commands) == 5 + len(part.libraries)


def test_no_part_takes_options_from_the_building_processor_or_the_time() -> None:
    for name in parts.native_parts():
        target = targets.native_target(name)
        script = target.files["src/build.sh"].decode()
        assert "-march=native" not in script
        assert "GGML_NATIVE=OFF" in script
        assert "SOURCE_DATE_EPOCH" not in target.environment
        assert target.note.endswith("(minutes, once)")


def test_cgo_says_compilers_flags_and_level_in_the_inputs() -> None:
    plain, with_c = targets.sdk_target(sdk()), targets.sdk_target(sdk(cgo=True))
    flags = {"CGO_CFLAGS": "-O2 -march=x86-64-v3", "GOAMD64": "v3"}
    tuned = targets.sdk_target(sdk(cgo=True, build_environment=flags))
    assert (plain.native, with_c.native) == (False, True)
    assert with_c.environment["CC"] == "/usr/bin/gcc"
    assert with_c.environment["CGO_ENABLED"] == "1"
    assert flags.items() <= tuned.environment.items()
    lock = read_lock()
    assert len({target.inputs_digest(lock) for target in (plain, with_c, tuned)}) == 3


def test_a_compilers_package_changes_what_needs_it_and_nothing_else() -> None:
    lock = read_lock()
    assert lock.native is not None
    other = replace(lock, native=replace(lock.native, packages=lock.native.packages[1:]))
    plain, with_c = targets.sdk_target(sdk()), targets.sdk_target(sdk(cgo=True))
    part = targets.native_target("llama")
    assert plain.inputs_digest(lock) == plain.inputs_digest(other)
    assert with_c.inputs_digest(lock) != with_c.inputs_digest(other)
    assert part.inputs_digest(lock) != part.inputs_digest(other)


def test_c_flags_without_cgo_are_refused() -> None:
    with pytest.raises(CatalogueError, match="CGO_CFLAGS"):
        targets.sdk_target(sdk(build_environment={"CGO_CFLAGS": "-O2"}))


def test_a_lock_from_before_native_parts_is_read_and_named_where_it_does_not_do() -> None:
    data = lock_json(read_lock())
    del data["native"]
    old = parse_lock(data, Path("lock.json"))
    assert lock_json(old) == data
    targets.sdk_target(sdk()).inputs_digest(old)
    with pytest.raises(CatalogueError, match="repro lock"):
        targets.sdk_target(sdk(cgo=True)).inputs_digest(old)


def test_a_lock_of_another_version_of_the_source_is_refused(tmp_path: Path) -> None:
    part = parts.native_part("llama")
    assert read_source(part.folder, part.source, part.version).source == "pip"
    with pytest.raises(CatalogueError, match=r"locks llama-cpp-python 0\.3\.36"):
        read_source(part.folder, part.source, "0.3.37")


def test_a_backend_may_be_a_program_of_a_required_module() -> None:
    target = targets.backend_target(backend(main="example.org/server/cmd/server"))
    assert target.command[-1] == "example.org/server/cmd/server"


def places(entry: SdkEntry | BackendEntry) -> dict[str, Placement]:
    recipe = sdk_recipe(entry) if isinstance(entry, SdkEntry) else backend_recipe(entry)
    return {row.path: row for row in recipe.placements}


def test_libraries_models_and_programs_lie_where_the_documentation_says() -> None:
    models = {"chat-stream": ("chat.gguf",), "embed": ("encoder",)}
    found = places(sdk(native=("llama",), models=models, cpu_level=LEVEL))
    assert found["lib/libllama.so"] == Placement("native-llama", "lib/libllama.so", "lib/libllama.so", 0o555)
    assert found["models/encoder/model.onnx"].mode == 0o444
    assert "models/embed.gguf" not in found
    server = places(backend(build="native", native=("llama-server",), program="llama-server", cpu_level=LEVEL))
    assert server["backend"] == Placement("native-llama-server", "programs/llama-server", "backend", 0o555)


def test_an_entry_in_process_needs_no_backend_image() -> None:
    assert [one.kind for one in recipes(sdk(), load_catalogue().backend("in-process"))] == ["sdk"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"native": ("nothing",)}, "no native part 'nothing'"),
        ({"native": ("llama",)}, f"needs {LEVEL}"),
        ({"models": {"embed": ("nothing.gguf",)}}, "no model 'nothing.gguf'"),
    ],
)
def test_an_entry_that_names_what_is_not_there_is_refused(changes: dict[str, object], words: str) -> None:
    with pytest.raises(CatalogueError, match=words):
        sdk_recipe(sdk(**changes))
    with pytest.raises(CatalogueError, match="none of its native parts"):
        backend_recipe(backend(build="native", native=("llama",), program="absent", cpu_level=LEVEL))


def test_the_cpu_level_is_part_of_an_images_identity() -> None:
    lock: Lock = read_lock()
    assert sdk_recipe(sdk()).labels()["org.sealbench.cpu-level"] == "x86-64-v1"
    assert sdk_recipe(sdk()).inputs_digest(lock) != sdk_recipe(sdk(cpu_level=LEVEL)).inputs_digest(lock)


def test_a_named_sdk_wants_what_it_and_its_backends_need() -> None:
    found = {target.key for target in wanted_targets(load_catalogue(), ["go-openai"])}
    assert {"agent", "workload", "backend"} <= found


def test_a_part_without_lock_floats(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "native.yaml").write_bytes((parts.native_folder() / "llama" / "native.yaml").read_bytes())
    monkeypatch.setattr(parts, "native_folder", lambda: tmp_path)
    assert any("llama/lock.json is missing" in problem for problem in check_lock(load_catalogue()))


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ('version: "0.3.36"', 'version: ">=0.3"', "source.version"),
        ("-DGGML_NATIVE=OFF", "--preset evil", "configure"),
        ("bin/libllama.so", "../../etc/passwd", "libraries"),
        ("id: llama", "id: other", "id"),
        ("licence: MIT", "licence: MIT\nspelling: wrong", "spelling"),
    ],
)
def test_a_wrong_part_is_named_by_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str, key: str
) -> None:
    text = (resources.images_dir() / "native" / "llama" / "native.yaml").read_text()
    assert old in text
    (tmp_path / "llama").mkdir()
    (tmp_path / "llama" / "native.yaml").write_text(text.replace(old, new))
    monkeypatch.setattr(parts, "native_folder", lambda: tmp_path)
    with pytest.raises(CatalogueError, match=key):
        parts.native_part("llama")


def test_a_cache_keeps_only_what_the_layer_below_lacks(tmp_path: Path) -> None:
    def tar(names: list[str]) -> bytes:
        data = io.BytesIO()
        with tarfile.open(fileobj=data, mode="w") as archive:
            folder = tarfile.TarInfo("cache/aa")
            folder.type = tarfile.DIRTYPE
            archive.addfile(folder)
            for name in names:
                info = tarfile.TarInfo(name)
                info.size = 5
                archive.addfile(info, io.BytesIO(b"bytes"))
        return data.getvalue()

    (tmp_path / "below.tar").write_bytes(tar(["cache/aa/known-d"]))
    whole = tar(["cache/aa/known-d", "cache/aa/new-d"])
    blocks = [whole[at : at + 1000] for at in range(0, len(whole), 1000)]
    gocache.copy_without(blocks, tmp_path / "kept.tar", gocache.names_in(tmp_path / "below.tar"))
    with tarfile.open(tmp_path / "kept.tar") as kept:
        assert {member.name: member.isdir() for member in kept} == {"aa": True, "aa/new-d": False}


def test_a_cache_is_keyed_by_everything_but_the_sources() -> None:
    lock = read_lock()
    target = targets.sdk_target(sdk())
    edited = replace(target, files={**target.files, "src/adapter.go": b"package adapter\n"})
    tuned = targets.sdk_target(sdk(build_environment={"GOAMD64": "v3"}))
    assert gocache.cache_key(target, lock) == gocache.cache_key(edited, lock)
    assert gocache.cache_key(target, lock) != gocache.cache_key(tuned, lock)


def test_the_compilers_layer_is_the_locked_one_or_nothing(tmp_path: Path) -> None:
    store = Store.open(tmp_path / "store")
    package = make_deb(tmp_path / "gcc_1_amd64.deb", {"./usr/bin/gcc": b"x"})
    sha256 = store.add_made(package)
    row = LockedFile("gcc", "apt", "1", package.name, sha256, package.stat().st_size)
    ground = Foundation(FakeEngine(), store, lambda _: None, offline=True)
    with pytest.raises(InputMismatch, match="compilers' layer"):
        ground.native_layer(NativeLock((row,), "bookworm", "0" * 64))
    layer = ground.native_layer(NativeLock((row,), "bookworm"))
    store.forget(sha256)  # made once: its packages are not needed again
    assert ground.native_layer(NativeLock((row,), "bookworm")) == layer
    ground.fetch_native(NativeLock((row,), "bookworm", layer.name))
    with pytest.raises(InputUnavailable, match=r"gcc_1_amd64\.deb"):
        ground.fetch_native(NativeLock((row,), "bookworm", "0" * 64))
