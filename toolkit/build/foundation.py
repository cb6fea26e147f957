"""What every build stands on: the base image, the images that build, the compiler's cache of the standard library.

Above the base: Go; where a target needs them, the C and C++ compilers; for Go targets the cache.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.build import base as base_layer
from toolkit.build import compile as compiler
from toolkit.build import identity, native, records
from toolkit.build.assemble import Assembled, assemble, load, matches
from toolkit.build.bounds import Room
from toolkit.build.targets import Target
from toolkit.build.ustar import Entry, write_layer
from toolkit.canonical import digest, digest_bytes
from toolkit.engine.port import Engine
from toolkit.errors import InputMismatch, InputUnavailable, UsageError
from toolkit.fetch import inputs
from toolkit.fetch.store import Store
from toolkit.lock import BaseLock, Lock, ModulesLock, NativeLock, ToolchainLock, base_key, native_key
from toolkit.model.inputs import BuiltImage, LockedFile

Report = Callable[[str], None]
TOOLCHAIN = "go"
NATIVE = "native"
_NATIVE_KIND = "native"
_CACHE_KIND = "stdlib"
_CACHE_NAME = "go-cache"
_NATIVE_CACHE_NAME = "native-cache"


@dataclass(frozen=True)
class Base:
    """The base image, in the engine, with the lock that made it."""

    image: Assembled
    built: BuiltImage
    lock: BaseLock


def base_inputs(lock: BaseLock) -> str:
    """The inputs digest of the base image."""
    return digest({"assembly": records.ASSEMBLY, "kind": "base", "base": base_key(lock)})


class Foundation:
    """Makes them, once each, in one pass of the build stage."""

    def __init__(
        self,
        engine: Engine,
        store: Store,
        report: Report,
        *,
        offline: bool,
        limits: compiler.Limits | None = None,
    ) -> None:
        self._engine = engine
        self._store = store
        self._report = report
        self._offline = offline
        self._limits = limits
        self._builders: dict[tuple[bool, bool], tuple[str, Path | None]] = {}
        self._warmed = False

    def fetch_base(self, lock: BaseLock) -> None:
        """Bring what the base is made of. Raises inputs.Vanished, InputUnavailable, InputMismatch."""
        if lock.image:
            if self._held(lock.image) is None:
                raise InputUnavailable(
                    f"The engine does not hold {lock.image}",
                    "--base takes an image it has",
                    f"docker pull {lock.image}",
                )
            return
        inputs.fetch_debs(self._store, lock, offline=self._offline, report=self._report)

    def _held(self, reference: str) -> str | None:
        """The name by which the engine knows IMAGE@sha256:...: pulled by that digest, or having it as its ID."""
        names = (reference, "sha256:" + reference.rpartition("@sha256:")[2])
        return next((name for name in names if self._engine.image(name) is not None), None)

    @staticmethod
    def vanished(files: tuple[str, ...]) -> InputUnavailable:
        """The error where relocking is not allowed."""
        return InputUnavailable(
            f"No package source of this host has {', '.join(files)} any more",
            "the lock names it, and a re-run or rebuild uses exactly what was locked",
            inputs.WAYS_OUT,
        )

    def base(self, lock: BaseLock, *, no_cache: bool) -> Base:
        """The base image, loaded. Raises InputMismatch when a package changed or the layer is not the locked one."""
        known = None if no_cache else records.recall(self._store, base_inputs(lock))
        if known is not None:
            records.load_verified(self._engine, self._store, known[1])
            layer_sha256 = known[0].identity.diff_ids[0].removeprefix("sha256:")
            return Base(known[1], known[0], lock if lock.image else replace(lock, layer_sha256=layer_sha256))
        with self._store.temporary() as folder:
            layers = self._image_layers(lock.image, folder) if lock.image else [self._base_layer(lock, folder)]
            name = "image" if lock.image else "debian"
            runtime = identity.runtime_config(entrypoint=(), labels=identity.labels("base", name))
            image = assemble(runtime, layers, kind="base", name=name)
            found = image.identity.diff_ids[0].removeprefix("sha256:")
            if lock.layer_sha256 not in ("", found) and not lock.image:
                raise InputMismatch(
                    "The base layer is not the locked one",
                    f"expected sha256 {lock.layer_sha256}, written {found}, from packages that are all as locked",
                    "this version of repro writes the layer otherwise: lock again with `repro lock`",
                )
            built = BuiltImage("base", name, image.reference, image.identity, image.size_bytes, "", base_inputs(lock))
            load(self._engine, image, folder)
            records.remember(self._store, image, built)
            self._report(f"build: {image.reference} ({image.size_bytes / 1e6:.1f} MB)")
            kept = tuple(self._store.blob_path(diff.removeprefix("sha256:")) for diff in image.identity.diff_ids)
            return Base(replace(image, layers=kept), built, lock if lock.image else replace(lock, layer_sha256=found))

    def _base_layer(self, lock: BaseLock, folder: Path) -> Path:
        packages = {row.name: self._store.blob(row.sha256, row.filename) for row in lock.packages}
        base_layer.write_base(folder / "base.tar", packages, self._room())
        return folder / "base.tar"

    def _room(self) -> Room:
        """What the packages of one layer may unpack to, here on the host."""
        return Room(self._limits.deadline if self._limits else None)

    def _image_layers(self, reference: str, folder: Path) -> list[Path]:
        """The layers of --base IMAGE as the engine saves them, checked for the program a launch needs of its base."""
        archive = folder / "saved.tar"
        with archive.open("wb") as stream:
            for block in self._engine.save(self._held(reference) or reference):
                stream.write(block)
        layers = saved_layers(archive, folder)
        if not {"usr/bin/numactl", "bin/numactl"} & set(identity.flatten(layers)):
            raise UsageError(
                f"{reference} has no numactl",
                "every launch starts its program through it",
                "add the numactl package to that image",
            )
        return layers

    def fetch_modules(self, module: Path, lock: ModulesLock, chain: ToolchainLock) -> None:
        """Bring the modules of one go.mod, by the locked toolchain, and check every byte of those that were there."""
        for row in lock.files:
            if self._store.has(row.sha256):
                self._store.blob(row.sha256, row.filename)
        inputs.fetch_modules(
            self._store, module, lock, lambda: self._host_go(chain), offline=self._offline, report=self._report
        )

    def fetch_native(self, lock: NativeLock) -> None:
        """Bring the compilers' packages. Raises inputs.Vanished, InputUnavailable, InputMismatch."""
        if not self._store.has(lock.layer_sha256):
            inputs.fetch_debs(self._store, lock, offline=self._offline, report=self._report)

    def fetch_archives(self, rows: Sequence[LockedFile]) -> None:
        """Bring source archives and check those that were there. Raises InputUnavailable, InputMismatch."""
        for row in rows:
            if self._store.has(row.sha256):
                self._store.blob(row.sha256, row.filename)
        inputs.fetch_archives(self._store, rows, offline=self._offline, report=self._report)

    def _host_go(self, chain: ToolchainLock) -> Path:
        return inputs.unpacked_go(self._store, self._toolchain_tar(chain), chain.tar_sha256)

    def _toolchain_tar(self, chain: ToolchainLock) -> Path:
        room = self._room()
        return inputs.fetch_toolchain(self._store, chain, offline=self._offline, report=self._report, room=room)

    def _plain(self, base: Base, chain: ToolchainLock, folder: Path) -> Assembled:
        """The toolchain image without any cache: what the rendered Dockerfile starts from."""
        # Its own identity needs no content digest of 10,000 files: the lock's tar digest is as exact.
        image = bare_image([*base.image.layers, self._toolchain_tar(chain)], kind="toolchain", name=TOOLCHAIN)
        load(self._engine, image, folder, below=base.image)
        return image

    def native_layer(self, lock: NativeLock) -> Path:
        """The compilers' layer in the store. Raises InputMismatch when it is not the locked one."""
        key = native_key(lock)
        row = self._store.record(_NATIVE_KIND, key)
        known = lock.layer_sha256 or str((row or {}).get("layer", ""))
        if known and self._store.has(known):
            return self._store.blob(known, "the compilers' layer")
        packages = {row.name: self._store.blob(row.sha256, row.filename) for row in lock.packages}
        with self._store.temporary() as folder:
            native.write_native(folder / "native.tar", packages, self._room())
            sha256 = self._store.add_made(folder / "native.tar")
        if lock.layer_sha256 not in ("", sha256):
            raise InputMismatch(
                "The compilers' layer is not the locked one",
                f"expected sha256 {lock.layer_sha256}, written {sha256}, from packages that are all as locked",
                "this version of repro writes the layer otherwise: lock again with `repro lock --base`",
            )
        self._store.put_record(_NATIVE_KIND, key, {"layer": sha256})
        return self._store.blob_path(sha256)

    def builder(self, base: Base, lock: Lock, target: Target, *, no_cache: bool) -> tuple[str, Path | None]:
        """The reference of the image that builds a target, and the cache layer in it (None where Go is not needed)."""
        key = (target.go, target.native)
        if key not in self._builders:
            with self._store.temporary() as folder:
                self._builders[key] = self._builder(base, lock, target, folder, no_cache=no_cache)
        return self._builders[key]

    def _builder(
        self, base: Base, lock: Lock, target: Target, folder: Path, *, no_cache: bool
    ) -> tuple[str, Path | None]:
        below = plain = self._plain(base, lock.toolchain, folder)
        cache = self._cache_layer(below, no_cache=no_cache) if target.go else None
        if target.native:
            layers = [*below.layers, self.native_layer(native.required(lock))]
            with_c = bare_image(layers, kind="toolchain", name=NATIVE)
            load(self._engine, with_c, folder, below=below)
            below = with_c
        if cache is None:
            return below.reference, None
        name = _NATIVE_CACHE_NAME if target.native else _CACHE_NAME
        image = bare_image([*below.layers, cache], kind="toolchain", name=name)
        if not matches(self._engine, image):
            self._store.blob(cache.name, "the standard library's cache")
            load(self._engine, image, folder, below=below)
        self._note(plain, image.reference)
        return image.reference, cache

    def _cache_layer(self, plain: Assembled, *, no_cache: bool) -> Path:
        """The compiled standard library as a layer, made once per toolchain."""
        with self._store.lock("build-stdlib"):
            return self._locked_cache_layer(plain, no_cache=no_cache)

    def _locked_cache_layer(self, plain: Assembled, *, no_cache: bool) -> Path:
        row = self._store.record(_CACHE_KIND, plain.identity.config_digest)
        if row is not None and not (no_cache and not self._warmed) and self._store.has(str(row.get("layer"))):
            return self._store.blob_path(str(row["layer"]))
        layer = self._warm(plain)
        self._warmed = True
        before = {key: row[key] for key in ("layer", "references") if key in row} if row is not None else {}
        self._store.put_record(
            _CACHE_KIND, plain.identity.config_digest, {"layer": layer.name, "references": [], "before": before}
        )
        if row is not None:
            self._drop(row.get("before", {}))
        return layer

    def _warm(self, plain: Assembled) -> Path:
        self._report("build: compiling the standard library (once per toolchain)")
        with self._store.temporary() as place:
            seed = place / "seed.tar"
            with seed.open("wb") as stream:
                # A volume takes owner and content from the image's folder: ours must belong to the user who compiles.
                write_layer(stream, [Entry.folder("cache", uid=compiler.UID, gid=compiler.UID)])
            image = bare_image([*plain.layers, seed], kind="toolchain", name="go-empty-cache")
            load(self._engine, image, place, below=plain)
            try:
                compiler.warm_standard_library(self._engine, image.reference, place / "cache.tar", limits=self._limits)
            finally:
                self._engine.remove_image(image.reference)
            return self._store.blob_path(self._store.add_made(place / "cache.tar"))

    def _drop(self, row: dict[str, Any]) -> None:
        """Remove the cache before the last one (200 MB): the last one may still be in use by another command."""
        if "layer" in row:
            self._store.forget(str(row["layer"]))
        for reference in row.get("references", []):
            self._engine.remove_image(str(reference))

    def _note(self, plain: Assembled, reference: str) -> None:
        """Remember an image that holds the cache, so that it goes when the cache goes."""
        with self._store.lock("build-stdlib"):
            row = self._store.record(_CACHE_KIND, plain.identity.config_digest) or {}
            if reference not in row.setdefault("references", []):
                row["references"].append(reference)
                self._store.put_record(_CACHE_KIND, plain.identity.config_digest, row)


def bare_image(layers: list[Path], *, kind: str, name: str) -> Assembled:
    """An image for building only: root, no entry point."""
    return assemble(identity.builder_config(kind, name), layers, kind=kind, name=name, content=False)


def saved_config(archive: Path) -> dict[str, Any]:
    """The configuration of the image in a docker archive."""
    with tarfile.open(archive, "r:") as tar:
        config: dict[str, Any] = json.loads(_member(tar, json.loads(_member(tar, "manifest.json"))[0]["Config"]))
        return config


def saved_layers(archive: Path, folder: Path) -> list[Path]:
    """The layer tars of a docker archive, bottom first, checked against the diff ids of its configuration. Raises
    InputMismatch.
    """
    with tarfile.open(archive, "r:") as tar:
        manifest = json.loads(_member(tar, "manifest.json"))[0]
        diff_ids = json.loads(_member(tar, manifest["Config"]))["rootfs"]["diff_ids"]
        found = []
        for index, (name, diff_id) in enumerate(zip(manifest["Layers"], diff_ids, strict=True)):
            data = _member(tar, name)
            if digest_bytes(data) != diff_id:
                raise InputMismatch(
                    f"Layer {index} of the saved image is not what its configuration says",
                    diff_id,
                    "the engine's store is damaged",
                )
            path = folder / f"saved-{index}.tar"
            path.write_bytes(data)
            found.append(path)
    return found


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    # extractfile follows the links by which engines say that two layers are the same.
    stream = tar.extractfile(name)
    if stream is None:
        raise InputMismatch(f"{name} in a saved image is no file", "malformed archive", "the engine's store is damaged")
    return stream.read()
