"""The build stage: from locks and sources to images in the engine, whose identity we computed.

    built = ensure_images(engine, catalogue, sdk=sdk, backend=backend, store=store, options=BuildOptions(),
    report=print)
    built.sdk.reference, built.lock

Warm path: when the store remembers images for the same inputs and the engine holds them, nothing is fetched, compiled
or loaded.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.build import compile as compiler
from toolkit.build import foundation, native, records, targets
from toolkit.build.assemble import assemble, load
from toolkit.build.gocache import Cache, cache_key
from toolkit.build.recipe import Recipe, recipe_json, recipes
from toolkit.build.targets import Target, target_json
from toolkit.build.ustar import write_layer
from toolkit.canonical import digest_bytes
from toolkit.catalogue import Catalogue
from toolkit.engine.port import Engine
from toolkit.errors import CatalogueError, InputMismatch
from toolkit.fetch import inputs
from toolkit.fetch.store import IN_USE, Store
from toolkit.lock import Lock, base_from_image, base_key, lock_json, native_key, parse_lock, read_lock
from toolkit.model.catalogue import BackendEntry, SdkEntry
from toolkit.model.inputs import BuiltImage

Report = Callable[[str], None]
_KINDS = ("base", "sdk", "backend")


@dataclass(frozen=True)
class BuildOptions:
    """How to build. ``lock`` is a run's lock.json to be held to (re-run, rebuild) instead of ``images/lock.json``.
    ``limits`` are for the sources of a stranger.
    """

    no_cache: bool = False
    allow_relock: bool = True
    base_image: str | None = None
    offline: bool = False
    lock: Mapping[str, Any] | None = None
    limits: compiler.Limits | None = None


@dataclass(frozen=True)
class BuiltSet:
    """The images of a launch, all in the engine. ``backend`` is None where the engine runs inside the SDK's process.

    ``lock`` is the run's lock.json; ``base_state`` is locked or relocked.
    """

    sdk: BuiltImage
    backend: BuiltImage | None
    base: BuiltImage
    lock: dict[str, Any]
    base_state: str


def ensure_images(
    engine: Engine,
    catalogue: Catalogue,
    *,
    sdk: SdkEntry,
    backend: BackendEntry | None,
    store: Store,
    options: BuildOptions | None = None,
    report: Report = lambda _: None,
) -> BuiltSet:
    """The images for a launch of ``sdk`` against ``backend`` (None, or one that is in process, has no image), built if
    need be.

    Raises CatalogueError, InputMismatch (with the input's name), InputUnavailable (with the ways out), BuildFailed,
    StoreError, EngineError.
    """
    del catalogue  # the entries say all; kept in the signature for entries that will share parts
    build = Build(engine, store, options or BuildOptions(), report)
    return build.images(sdk, backend)


class Build:
    """One pass of the build stage; holds what its steps share."""

    def __init__(self, engine: Engine, store: Store, options: BuildOptions, report: Report) -> None:
        self._engine = engine
        self._store = store
        self._options = options
        self._report = report
        self.lock, self.base_state = _effective_lock(store, options)
        self._made: dict[str, dict[str, Path]] = {}
        self._ground = foundation.Foundation(engine, store, report, offline=options.offline, limits=options.limits)

    def images(self, sdk: SdkEntry, backend: BackendEntry | None) -> BuiltSet:
        """The images of a launch and the base below them."""
        wanted = recipes(sdk, backend)
        with self._store.lock(IN_USE, shared=True):
            base, images = self._warm(wanted) or self._cold(wanted)
        lock = self._run_lock(base, images, wanted)
        self._keep_sources(_targets(wanted))
        return BuiltSet(images["sdk"], images.get("backend"), base, lock, self.base_state)

    def _keep_sources(self, built: list[Target]) -> None:
        """Keep the sources as they were built: an archive of the run holds them, whatever the checkout says by then."""
        for target in built:
            for path, data in target.files.items():
                sha256 = digest_bytes(data).removeprefix("sha256:")
                if not self._store.has(sha256):
                    self._store.add_bytes(data, sha256, path)

    def anew(self, wanted: list[Recipe]) -> tuple[BuiltImage, dict[str, BuiltImage]]:
        """The base and the images of these recipes, built from inputs alone, whatever the store remembers."""
        with self._store.lock(IN_USE, shared=True):
            return self._cold(wanted)

    def outputs(self, target: Target) -> dict[str, Path]:
        """What one target makes, as blobs of the store: built if need be, no image."""
        with self._store.lock(IN_USE, shared=True):
            return self._build([target])[1][target.key]

    def _turn(self, what: str, title: str) -> contextlib.AbstractContextManager[None]:
        """One command at a time makes the agent, an SDK, each native part ...: minutes of C keep nobody from Go."""
        return self._store.lock(f"build-{what}", lambda: self._report(f"build: waiting for another command: {title}"))

    def _warm(self, wanted: list[Recipe]) -> tuple[BuiltImage, dict[str, BuiltImage]] | None:
        base = records.recall(self._store, foundation.base_inputs(self.lock.base))
        if base is None or self._options.no_cache:
            return None
        rows = {recipe.kind: records.recall(self._store, recipe.inputs_digest(self.lock)) for recipe in wanted}
        for row in (base, *rows.values()):
            if row is None:
                return None
            records.load_verified(self._engine, self._store, row[1], below=base[1])
        return base[0], {kind: row[0] for kind, row in rows.items() if row is not None}

    def _cold(self, wanted: list[Recipe]) -> tuple[BuiltImage, dict[str, BuiltImage]]:
        base, made = self._build(_targets(wanted))
        return base.built, {recipe.kind: self._image(recipe, base, made) for recipe in wanted}

    def _build(self, every: list[Target]) -> tuple[foundation.Base, dict[str, dict[str, Path]]]:
        ground = self._ground
        with self._turn("base", "the base"):
            self._ensure_base_lock(ground)
            base = ground.base(self.lock.base, no_cache=self._options.no_cache)
        self.lock = replace(self.lock, base=base.lock)
        absent = [target for target in every if self._known(target) is None]
        if any(target.native for target in absent):
            with self._turn("native", "the C compilers"):
                self._ensure_native_lock(ground)
        for target in absent:  # all inputs first: a changed one should not be found after minutes
            ground.fetch_modules(target.origin, target.modules, self.lock.toolchain)
            ground.fetch_archives(target.archives)
        return base, {target.key: self._made_or_make(ground, base, target) for target in every}

    def _ensure_base_lock(self, ground: foundation.Foundation) -> None:
        """Fetch the base's packages; where the mirror no longer has them, lock anew, loudly, in a new run only."""
        try:
            ground.fetch_base(self.lock.base)
        except inputs.Vanished as gone:
            names = ", ".join(gone.files)
            if not self._options.allow_relock:
                raise ground.vanished(gone.files) from gone
            self._report(f"BASE RELOCKED: no package source of this host has {names} any more")
            original = self.lock.base
            self.lock = replace(self.lock, base=inputs.lock_debs(self._store, report=self._report))
            self.base_state = "relocked"
            self._store.put_record("relocks", base_key(original), lock_json(self.lock))

    def _ensure_native_lock(self, ground: foundation.Foundation) -> None:
        """Fetch the compilers' packages; relocked like the base's where the mirror no longer has them."""
        lock = native.required(self.lock)
        try:
            ground.fetch_native(lock)
        except inputs.Vanished as gone:
            names = ", ".join(gone.files)
            if not self._options.allow_relock:
                raise ground.vanished(gone.files) from gone
            self._report(f"COMPILERS RELOCKED: no package source of this host has {names} any more")
            again = inputs.lock_native(self._store, self.lock.base, report=self._report)
            self.lock = replace(self.lock, native=again)
            self.base_state = "relocked"
            self._store.put_record("relocks", native_key(lock), lock_json(self.lock))
        layer = ground.native_layer(native.required(self.lock))
        self.lock = replace(self.lock, native=replace(native.required(self.lock), layer_sha256=layer.name))

    def _known(self, target: Target) -> dict[str, Path] | None:
        """The blobs of a target's outputs, if the store remembers them all."""
        if self._options.no_cache:
            return self._made.get(target.inputs_digest(self.lock))
        row = self._store.record(records.OUTPUTS, target.inputs_digest(self.lock))
        files = (row or {}).get("files")
        if not isinstance(files, dict) or set(files) != set(target.outputs):
            return None
        if not all(self._store.has(str(sha256)) for sha256 in files.values()):
            return None
        return {name: self._store.blob(str(sha256), f"{name} of {target.title}") for name, sha256 in files.items()}

    def _made_or_make(self, ground: foundation.Foundation, base: foundation.Base, target: Target) -> dict[str, Path]:
        known = self._known(target)
        if known is not None:
            return known
        with self._turn(target.key, target.title):
            # That other command may have made what we want.
            return self._known(target) or self._make(ground, base, target)

    def _make(self, ground: foundation.Foundation, base: foundation.Base, target: Target) -> dict[str, Path]:
        """Build a target; returns the blobs of its outputs."""
        no_cache = self._options.no_cache
        image, below = ground.builder(base, self.lock, target, no_cache=no_cache)
        self._report(target.note)
        # A module without dependencies has nothing to keep.
        kept = below is not None and bool(target.modules.files)
        cache = Cache(self._store, cache_key(target, self.lock), below, use=not no_cache) if kept and below else None
        with self._store.temporary() as folder:
            outputs = compiler.compile_target(
                self._engine, self._store, target, image, folder, cache=cache, limits=self._options.limits
            )
            files = {name: self._store.add_made(path) for name, path in outputs.items()}
        key = target.inputs_digest(self.lock)
        self._store.put_record(records.OUTPUTS, key, {"files": files})
        self._made[key] = {name: self._store.blob_path(sha256) for name, sha256 in files.items()}
        return self._made[key]

    def _image(self, recipe: Recipe, base: foundation.Base, made: Mapping[str, Mapping[str, Path]]) -> BuiltImage:
        """Assemble, load and remember one image that a launch starts."""
        with self._store.temporary() as folder:
            layer = folder / "layer.tar"
            with layer.open("wb") as stream:
                write_layer(stream, recipe.entries(made))
            layers = [*base.image.layers, layer]
            image = assemble(recipe.runtime(), layers, kind=recipe.kind, name=recipe.id)
            built = BuiltImage(
                kind=recipe.kind,
                id=recipe.id,
                reference=image.reference,
                identity=image.identity,
                size_bytes=image.size_bytes,
                binary_digest=f"sha256:{made[recipe.program.target][recipe.program.output].name}",
                inputs_digest=recipe.inputs_digest(self.lock),
            )
            load(self._engine, image, folder, below=base.image)
            records.remember(self._store, image, built)
        self._report(f"build: {built.reference} ({built.size_bytes / 1e6:.1f} MB)")
        return built

    def _run_lock(self, base: BuiltImage, images: Mapping[str, BuiltImage], wanted: list[Recipe]) -> dict[str, Any]:
        """Everything pinned, as it goes into the run's lock.json: enough to build the images without this checkout."""
        built = _targets(wanted)
        return {
            **lock_json(self.lock),
            "base_state": self.base_state,
            "targets": {target.key: target_json(target, self.lock) for target in built},
            "recipes": {recipe.kind: recipe_json(recipe) for recipe in wanted},
            "environment": dict(targets.ENVIRONMENT),
            "images": {
                "base": records.image_json(base),
                **{kind: records.image_json(image) for kind, image in images.items()},
            },
        }


def recall_images(
    store: Store, *, sdk: SdkEntry, backend: BackendEntry | None, options: BuildOptions | None = None
) -> tuple[BuiltImage, BuiltImage | None] | None:
    """SDK and backend image (None where there is none) as the store remembers them; None when they were never built
    with it. Asks no engine.
    """
    lock, _state = _effective_lock(store, options or BuildOptions())
    found: dict[str, BuiltImage] = {}
    for recipe in recipes(sdk, backend):
        row = records.recall(store, recipe.inputs_digest(lock))
        if row is None:
            return None
        found[recipe.kind] = row[0]
    return found["sdk"], found.get("backend")


def _targets(wanted: list[Recipe]) -> list[Target]:
    """What the images need, once each."""
    return list({target.key: target for recipe in wanted for target in recipe.targets}.values())


def restore_images(engine: Engine, store: Store, lock: Mapping[str, Any]) -> BuiltSet | None:
    """The images of an earlier run, from its lock.json, if engine or store still hold their exact content; else None.

    Nothing is fetched or compiled, and the sources of this checkout do not matter. Raises InputMismatch for a changed
    layer, EngineError.
    """
    try:
        rows = lock["images"]
        kinds = [kind for kind in _KINDS if kind != "backend" or kind in rows]
        wanted = {kind: records.image_from_json(rows[kind]) for kind in kinds}
    except (KeyError, TypeError) as error:
        raise CatalogueError(
            "The run's lock.json names no images", f"{type(error).__name__}: {error}", "the run folder is damaged"
        ) from error
    for image in wanted.values():
        row = records.recall(store, image.inputs_digest)
        if row is None or row[0].identity != image.identity:
            return None
        records.load_verified(engine, store, row[1])
    state = str(lock.get("base_state", "locked"))
    return BuiltSet(wanted["sdk"], wanted.get("backend"), wanted["base"], dict(lock), state)


def _effective_lock(store: Store, options: BuildOptions) -> tuple[Lock, str]:
    """The lock to hold to, and whether its base was relocked on this machine."""
    if options.lock is not None:
        return parse_lock(dict(options.lock), Path("lock.json of the run")), str(
            options.lock.get("base_state", "locked")
        )
    lock = read_lock()
    if options.base_image:
        return replace(lock, base=base_from_image(options.base_image)), "locked"
    if not options.allow_relock:
        return lock, "locked"
    base = _relocked(store, base_key(lock.base))
    compilers = _relocked(store, native_key(lock.native)) if lock.native else None
    if base is not None:
        lock = replace(lock, base=base.base)
    if compilers is not None:
        lock = replace(lock, native=compilers.native)
    return lock, "locked" if base is None and compilers is None else "relocked"


def _relocked(store: Store, key: str) -> Lock | None:
    """The lock that was made on this machine where the packages of ``key`` were gone."""
    again = store.record("relocks", key)
    if again is None:
        return None
    try:
        return parse_lock(again, Path("the store's relock record"))
    except (CatalogueError, InputMismatch):
        return None
