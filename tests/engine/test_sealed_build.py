"""The sealed build on a real engine: the same bytes by every route, nothing of the host, every changed byte found by
name.

Inputs are fetched once for all tests (from $REPRO_STORE if that has them, else by the host's package clients); every
build then has a store
of its own, so that none can lean on what another remembered.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tarfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.canaries import own_names
from toolkit.build.context import write_context
from toolkit.build.images import BuildOptions, BuiltSet, ensure_images, restore_images
from toolkit.build.normalise import normalise
from toolkit.catalogue import load_catalogue
from toolkit.engine.port import LABEL_OWNER_PID, LABEL_RUN
from toolkit.errors import InputMismatch, InputUnavailable, UsageError
from toolkit.fetch import inputs
from toolkit.fetch.source import Source
from toolkit.fetch.stage import fetch_all, locked_files
from toolkit.fetch.store import Store
from toolkit.lock import lock_json, read_lock
from toolkit.model.container import ContainerSpec, Ulimit
from toolkit.model.inputs import BuiltImage, LockedFile
from toolkit.render.seccomp import seccomp_profile

if TYPE_CHECKING:
    from toolkit.engine.docker import DockerEngine

pytestmark = pytest.mark.timeout(900)
KINDS = ("base", "backend", "sdk")
CANARY = "canary-7f3a-of-the-environment"
SHORTEST_CANARY = 6


@pytest.fixture(scope="module")
def fetched(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """A store that holds every input of one SDK against the stub, and remembers no build."""
    store = Store.open(tmp_path_factory.mktemp("inputs") / "store")
    shared = Store.open()
    fetch_all(store, load_catalogue(), sdks=["go-openai"], backends=["stub"], source=Source(str(shared.root)))
    return store


@pytest.fixture(scope="module", autouse=True)
def _no_caches_left(engine: DockerEngine, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Each store of these tests has a compiler's cache of its own in the engine: 200 MB that nobody will use again."""
    yield
    for record in tmp_path_factory.getbasetemp().rglob("records/stdlib/*.json"):
        row = json.loads(record.read_bytes())
        for reference in (*row["references"], *row["before"].get("references", [])):
            engine.remove_image(reference)


def fresh(folder: Path, fetched: Store, *, remembers: bool = False) -> Store:
    """A store with the same inputs (hard links), without or with the memory of what was built from them."""
    store = Store.open(folder)
    for name in ("blobs", "records") if remembers else ("blobs",):
        shutil.copytree(fetched.root / name, store.root / name, copy_function=os.link, dirs_exist_ok=True)
    return store


def build(engine: DockerEngine, store: Store, **options: Any) -> BuiltSet:
    catalogue = load_catalogue()
    return ensure_images(
        engine,
        catalogue,
        sdk=catalogue.sdk("go-openai"),
        backend=catalogue.backend("stub"),
        store=store,
        options=BuildOptions(offline=True, **options),
    )


@pytest.fixture(scope="module")
def first(engine: DockerEngine, fetched: Store, tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, BuiltSet]:
    """A first build without any cache, in an environment that carries a mark."""
    store = fresh(tmp_path_factory.mktemp("first") / "store", fetched)
    with pytest.MonkeyPatch.context() as patch:
        for name in ("GOFLAGS", "CGO_CFLAGS", "USER", "HOSTNAME", "EMAIL", "HTTPS_PROXY"):
            patch.setenv(name, f"-{CANARY}" if name == "GOFLAGS" else CANARY)
        return store, build(engine, store, no_cache=True)


@pytest.fixture(scope="module")
def by_dockerfile(
    engine: DockerEngine, first: tuple[Store, BuiltSet], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, BuiltImage]]:
    """The images of the rendered Dockerfiles, as a person would build them, normalised."""
    store, built = first
    folder = tmp_path_factory.mktemp("context") / "context"
    catalogue = load_catalogue()
    write_context(folder, store, built.lock, sdk=catalogue.sdk("go-openai"), backend=catalogue.backend("stub"))
    for archive in sorted((folder / "load").iterdir()):
        engine.load(archive)
    found = {}
    for dockerfile, image in (("Dockerfile", built.sdk), ("Dockerfile.backend", built.backend)):
        tag = f"sealbench-test/{image.kind}:{os.getpid()}"
        engine.build(folder, dockerfile, tag, no_cache=image.kind == "sdk")
        with store.temporary() as place:
            made = normalise(engine, tag, built.base.identity.diff_ids, place, kind=image.kind, name=image.id)
        found[image.kind] = replace(image, identity=made.identity)
        engine.remove_image(tag)
    yield found
    _remove_stages()


def _remove_stages() -> None:
    """The classic builder leaves the stages it compiled in as nameless images."""
    ours = ["--filter", "dangling=true", "--filter", "label=org.sealbench.kind=toolchain"]
    listing = subprocess.run(["docker", "images", "-q", *ours], capture_output=True, text=True, check=True).stdout
    if listing.split():
        subprocess.run(["docker", "rmi", "-f", *listing.split()], capture_output=True, check=False)


def images(built: BuiltSet) -> dict[str, BuiltImage]:
    return {"base": built.base, "backend": built.backend, "sdk": built.sdk}


@pytest.mark.timeout(1800)
def test_104_two_builds_without_cache_and_the_dockerfile_give_one_image(
    engine: DockerEngine,
    fetched: Store,
    first: tuple[Store, BuiltSet],
    by_dockerfile: dict[str, BuiltImage],
    tmp_path: Path,
) -> None:
    one, two = images(first[1]), images(build(engine, fresh(tmp_path / "store", fetched), no_cache=True))
    for kind in KINDS:
        assert one[kind].identity == two[kind].identity, kind
        assert one[kind].reference == two[kind].reference, kind
    for kind in ("backend", "sdk"):
        assert one[kind].identity == by_dockerfile[kind].identity, kind
        assert len(one[kind].identity.diff_ids) == 2, kind


def test_the_engines_view_is_what_we_computed(engine: DockerEngine, first: tuple[Store, BuiltSet]) -> None:
    for image in images(first[1]).values():
        view = engine.image(image.reference)
        assert view is not None
        assert tuple(view["RootFS"]["Layers"]) == image.identity.diff_ids
        level = {"org.sealbench.cpu-level"} if image.kind != "base" else set()
        assert set(view["Config"]["Labels"]) == {"org.sealbench.id", "org.sealbench.kind"} | level
        assert not view["Config"].get("Cmd")


def test_a_second_call_builds_nothing_and_asks_nobody(
    engine: DockerEngine, first: tuple[Store, BuiltSet], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, built = first
    monkeypatch.setenv("PATH", "/nonexistent")
    said: list[str] = []
    catalogue = load_catalogue()
    again = ensure_images(
        engine,
        catalogue,
        sdk=catalogue.sdk("go-openai"),
        backend=catalogue.backend("stub"),
        store=store,
        report=said.append,
    )
    assert images(again) == images(built)
    assert said == []
    assert json.loads(json.dumps(again.lock)) == built.lock


def test_a_lost_image_is_loaded_from_the_store(engine: DockerEngine, first: tuple[Store, BuiltSet]) -> None:
    store, built = first
    engine.remove_image(built.backend.reference)
    assert restore_images(engine, store, built.lock) == built
    assert engine.image(built.backend.reference) is not None


def test_no_container_of_a_build_remains(engine: DockerEngine, first: tuple[Store, BuiltSet]) -> None:
    assert first[1].sdk.reference
    mine = [row for row in engine.owned() if row.labels[LABEL_OWNER_PID] == str(os.getpid())]
    assert [row for row in mine if row.labels[LABEL_RUN] == "build"] == []


def layers_of(store: Store, image: BuiltImage) -> list[Path]:
    return [store.blob_path(diff_id.removeprefix("sha256:")) for diff_id in image.identity.diff_ids]


def host_canaries(store: Store) -> dict[str, bytes]:
    """What would betray the host, if it were found in a layer."""
    found = {
        "planted": CANARY,
        **own_names(),
        "store": str(store.root),
        "checkout": str(Path(__file__).resolve().parents[2]),
        "home": str(Path.home()),
        "boot": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    }
    machine = Path("/etc/machine-id")
    found["machine"] = machine.read_text().strip() if machine.is_file() else ""
    for line in Path("/etc/resolv.conf").read_text().splitlines():
        if line.startswith("nameserver") and not line.split()[1].startswith("127."):
            found["resolver"] = line.strip()
    # Shorter words stand in any program by chance.
    return {name: text.encode() for name, text in found.items() if len(text) >= SHORTEST_CANARY}


def test_nothing_of_the_host_is_in_any_layer(first: tuple[Store, BuiltSet]) -> None:
    store, built = first
    canaries = host_canaries(store)
    for image in images(built).values():
        for layer in layers_of(store, image):
            data = layer.read_bytes()
            for name, canary in canaries.items():
                assert canary not in data, f"{name} in a layer of {image.reference}"


def test_the_base_holds_no_resolver_no_sources_no_devices_no_shell(first: tuple[Store, BuiltSet]) -> None:
    store, built = first
    with tarfile.open(layers_of(store, built.base)[0], "r:") as tar:
        members = list(tar)
    names = {member.name for member in members}
    forbidden = ("etc/resolv.conf", "etc/hostname", "etc/hosts", "etc/machine-id", "etc/apt", "etc/shadow", "var/log/")
    assert not [name for name in names if name.startswith(forbidden) and name != "var/log"]
    assert not names & {"usr/bin/sh", "usr/bin/bash", "usr/bin/dash", "usr/bin/apt", "usr/bin/dpkg"}
    assert all(member.isreg() or member.isdir() or member.issym() for member in members)
    assert all(member.mtime == 0 and not member.uname for member in members)
    assert not [member.name for member in members if member.mode & 0o6000]


def test_programs_are_static_and_read_only(first: tuple[Store, BuiltSet]) -> None:
    store, built = first
    for image, program in ((built.sdk, "workload"), (built.backend, "backend")):
        with tarfile.open(layers_of(store, image)[1], "r:") as tar:
            assert tar.getnames() == sorted(["repro", "repro/agent", f"repro/{program}"])
            assert tar.getmember(f"repro/{program}").mode == 0o555
            stream = tar.extractfile(f"repro/{program}")
            assert stream is not None
            assert b"/lib64/ld-linux" not in stream.read()


@pytest.mark.parametrize("option", ["--membind=0", "--interleave=0"])
def test_numactl_binds_memory_in_the_base_without_capabilities(
    engine: DockerEngine, first: tuple[Store, BuiltSet], option: str
) -> None:
    spec = ContainerSpec(
        image=first[1].base.reference,
        command=("numactl", option, "--", "numactl", "--show"),
        seccomp=seccomp_profile(),
        memory_bytes=64 << 20,
        ulimits=(Ulimit("core", 0, 0),),
    )
    container, _ = engine.create(spec)
    try:
        engine.start(container)
        assert engine.wait(container, 600) == 0, engine.logs(container, stderr=True, limit_bytes=4096)
        said = engine.logs(container, stderr=False, limit_bytes=4096).decode()
    finally:
        engine.remove(container)
    assert f"policy: {'bind' if 'membind' in option else 'interleave'}" in said


def _one_of_each() -> list[LockedFile]:
    rows = locked_files(load_catalogue(), ["go-openai"], ["stub"])
    chosen = [
        next(row for row in rows if row.name == "numactl"),
        next(row for row in rows if row.source == "pip"),
        next(row for row in rows if row.filename.endswith(".zip") and "grpc" in row.filename),
        next(row for row in rows if row.filename.endswith(".zip") and "go-openai" in row.filename),
        next(row for row in rows if row.filename.endswith(".mod") and "go-openai" in row.filename),
    ]
    return chosen


@pytest.mark.parametrize("row", _one_of_each(), ids=lambda row: row.filename)
def test_a_changed_byte_in_an_input_stops_the_build_with_its_name(
    engine: DockerEngine, fetched: Store, tmp_path: Path, row: LockedFile
) -> None:
    store = fresh(tmp_path / "store", fetched)
    data = bytearray(store.blob_path(row.sha256).read_bytes())
    data[len(data) // 2] ^= 1
    store.blob_path(row.sha256).unlink()
    store.blob_path(row.sha256).write_bytes(data)
    if row.source == "pip":
        store.forget(read_lock().toolchain.tar_sha256)
    with pytest.raises(InputMismatch) as caught:
        build(engine, store, no_cache=row.source == "pip")
    assert row.filename in str(caught.value)
    assert row.sha256 in str(caught.value)


def test_another_base_is_taken_by_digest_and_recorded(
    engine: DockerEngine, first: tuple[Store, BuiltSet], tmp_path: Path
) -> None:
    # Our own base given as somebody's image: the same layers, so the same images come out.
    store, built = first
    reference = f"{built.base.reference.partition(':')[0]}@{built.base.identity.config_digest}"
    again = build(engine, fresh(tmp_path / "store", store, remembers=True), base_image=reference)
    assert again.lock["base"] == {"image": reference}
    assert again.base.id == "image"
    assert again.sdk.identity == built.sdk.identity
    engine.remove_image(again.base.reference)


def test_a_base_without_numactl_is_refused(
    engine: DockerEngine, fetched: Store, tmp_path: Path, tiny_image: str
) -> None:
    view = engine.image(tiny_image)
    assert view is not None
    with pytest.raises(UsageError, match="has no numactl"):
        build(engine, fresh(tmp_path / "store", fetched), base_image=f"tiny@{view['Id']}")
    with pytest.raises(InputUnavailable, match="docker pull"):
        build(engine, fresh(tmp_path / "other", fetched), base_image="tiny@sha256:" + "0" * 64)


def with_vanished_package() -> dict[str, Any]:
    """The lock, naming a version of numactl that no mirror has."""
    lock = read_lock()
    rows = [
        replace(row, version="0.0.1-1", filename="numactl_0.0.1-1_amd64.deb", sha256="0" * 64)
        if row.name == "numactl"
        else row
        for row in lock.base.packages
    ]
    return lock_json(replace(lock, base=replace(lock.base, packages=tuple(rows))))


def test_a_vanished_package_is_relocked_loudly_in_a_new_run(
    engine: DockerEngine, first: tuple[Store, BuiltSet], tmp_path: Path
) -> None:
    store = fresh(tmp_path / "store", first[0], remembers=True)
    said: list[str] = []
    catalogue = load_catalogue()
    before = (Path(inputs.__file__).parents[2] / "images" / "lock.json").stat().st_mtime_ns
    built = ensure_images(
        engine,
        catalogue,
        sdk=catalogue.sdk("go-openai"),
        backend=catalogue.backend("stub"),
        store=store,
        options=BuildOptions(lock=with_vanished_package()),
        report=said.append,
    )
    assert built.base_state == built.lock["base_state"] == "relocked"
    assert any("BASE RELOCKED" in line and "numactl_0.0.1-1_amd64.deb" in line for line in said)
    versions = {row["name"]: row["version"] for row in built.lock["base"]["packages"]}
    assert versions["numactl"] != "0.0.1-1"
    assert (Path(inputs.__file__).parents[2] / "images" / "lock.json").stat().st_mtime_ns == before


def test_a_vanished_package_is_refused_in_a_rerun_with_the_ways_out(
    engine: DockerEngine, fetched: Store, tmp_path: Path
) -> None:
    catalogue = load_catalogue()
    with pytest.raises(InputUnavailable, match=r"numactl_0\.0\.1-1_amd64\.deb.*repro fetch --from") as caught:
        ensure_images(
            engine,
            catalogue,
            sdk=catalogue.sdk("go-openai"),
            backend=catalogue.backend("stub"),
            store=fresh(tmp_path / "store", fetched),
            options=BuildOptions(lock=with_vanished_package(), allow_relock=False),
        )
    assert caught.value.exit_code == 2
