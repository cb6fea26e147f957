"""The build stage: from locks and sources to images in the engine, whose identity we computed.

    built = ensure_images(engine, catalogue, sdk=sdk, backend=backend, store=store, options=BuildOptions(),
    report=print)
    built.sdk.reference, built.lock

Warm path: when the store remembers images for the same inputs and the engine holds them, nothing is fetched, compiled
or loaded.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from toolkit.build import compile as compiler
from toolkit.build import foundation, identity, records, targets
from toolkit.build.assemble import assemble, load
from toolkit.build.targets import Target
from toolkit.build.ustar import Entry, write_layer
from toolkit.canonical import digest
from toolkit.catalogue import Catalogue
from toolkit.engine.port import Engine
from toolkit.errors import CatalogueError, InputMismatch
from toolkit.fetch import inputs
from toolkit.fetch.store import Store
from toolkit.lock import Lock, base_from_image, base_key, lock_json, modules_json, parse_lock, read_lock
from toolkit.model.catalogue import BackendEntry, SdkEntry
from toolkit.model.inputs import BuiltImage

Report = Callable[[str], None]
AGENT_PATH = "/repro/agent"
_KINDS = ("base", "sdk", "backend")


@dataclass(frozen=True)
class BuildOptions:
    """How to build. ``lock`` is a run's lock.json to be held to (re-run, rebuild) instead of ``images/lock.json``."""

    no_cache: bool = False
    allow_relock: bool = True
    base_image: str | None = None
    offline: bool = False
    lock: Mapping[str, Any] | None = None


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

    def images(self, sdk: SdkEntry, backend: BackendEntry | None) -> BuiltSet:
        """The images of a launch and the base below them."""
        agent, wanted = targets.agent_target(), wanted_images(sdk, backend)
        found = self._warm(agent, wanted)
        if found is None:
            folders = {"agent": _agent_folder(), "workload": sdk.folder}
            if backend is not None:
                folders["backend"] = backend.folder
            with self._store.lock("build", lambda: self._report("build: waiting for another command that is building")):
                # That other command may have built what we want.
                found = self._warm(agent, wanted) or self._cold(agent, wanted, folders)
        base, images = found
        lock = self._run_lock(base, images, [agent, *(target for _, _, target in wanted)])
        return BuiltSet(images["sdk"], images.get("backend"), base, lock, self.base_state)

    def _inputs_digest(self, kind: str, name: str, agent: Target, target: Target) -> str:
        return inputs_digest(self.lock, kind, name, agent, target)

    def _warm(
        self, agent: Target, wanted: list[tuple[str, str, Target]]
    ) -> tuple[BuiltImage, dict[str, BuiltImage]] | None:
        base = records.recall(self._store, foundation.base_inputs(self.lock.base))
        if base is None or self._options.no_cache:
            return None
        rows = {
            kind: records.recall(self._store, self._inputs_digest(kind, name, agent, target))
            for kind, name, target in wanted
        }
        for row in (base, *rows.values()):
            if row is None:
                return None
            records.load_verified(self._engine, self._store, row[1], below=base[1])
        return base[0], {kind: row[0] for kind, row in rows.items() if row is not None}

    def _cold(
        self, agent: Target, wanted: list[tuple[str, str, Target]], folders: Mapping[str, Path]
    ) -> tuple[BuiltImage, dict[str, BuiltImage]]:
        ground = foundation.Foundation(self._engine, self._store, self._report, offline=self._options.offline)
        self._ensure_base_lock(ground)
        base = ground.base(self.lock.base, no_cache=self._options.no_cache)
        self.lock = replace(self.lock, base=base.lock)
        every = [agent, *(target for _, _, target in wanted)]
        known = {target.binary: self._known_binary(target) for target in every}
        for target in every:
            if known[target.binary] is None:  # all inputs first: a changed one should not be found after minutes
                ground.fetch_modules(folders[target.binary], target.modules, self.lock.toolchain)
        compiled = {target.binary: known[target.binary] or self._compile(ground, base, target) for target in every}
        images = {
            kind: self._image(kind, name, base, agent=agent, target=target, compiled=compiled)
            for kind, name, target in wanted
        }
        return base.built, images

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

    def _known_binary(self, target: Target) -> Path | None:
        """The blob of a target's binary, if the store remembers it."""
        key = target.inputs_digest(self.lock.toolchain.tar_sha256)
        row = None if self._options.no_cache else self._store.record(records.BINARIES, key)
        if row is None or not self._store.has(str(row.get("sha256"))):
            return None
        return self._store.blob(str(row["sha256"]), f"the binary of {target.title}")

    def _compile(self, ground: foundation.Foundation, base: foundation.Base, target: Target) -> Path:
        """Compile a target; returns its blob."""
        key = target.inputs_digest(self.lock.toolchain.tar_sha256)
        image = ground.compiler_image(base, self.lock.toolchain, no_cache=self._options.no_cache)
        self._report(f"build: compiling {target.title}")
        with self._store.temporary() as folder:
            sha256 = self._store.add_made(compiler.compile_target(self._engine, self._store, target, image, folder))
        self._store.put_record(records.BINARIES, key, {"sha256": sha256})
        return self._store.blob_path(sha256)

    def _image(
        self,
        kind: str,
        name: str,
        base: foundation.Base,
        *,
        agent: Target,
        target: Target,
        compiled: Mapping[str, Path],
    ) -> BuiltImage:
        """Assemble, load and remember one image that a launch starts."""
        with self._store.temporary() as folder:
            layer = folder / "layer.tar"
            with layer.open("wb") as stream:
                write_layer(stream, program_entries(compiled["agent"], target.binary, compiled[target.binary]))
            runtime = identity.runtime_config(entrypoint=(AGENT_PATH,), labels=identity.labels(kind, name))
            image = assemble(runtime, [*base.image.layers, layer], kind=kind, name=name)
            built = BuiltImage(
                kind=kind,
                id=name,
                reference=image.reference,
                identity=image.identity,
                size_bytes=image.size_bytes,
                binary_digest=f"sha256:{compiled[target.binary].name}",
                inputs_digest=self._inputs_digest(kind, name, agent, target),
            )
            load(self._engine, image, folder, below=base.image)
            records.remember(self._store, image, built)
        self._report(f"build: {built.reference} ({built.size_bytes / 1e6:.1f} MB)")
        return built

    def _run_lock(self, base: BuiltImage, images: Mapping[str, BuiltImage], built: list[Target]) -> dict[str, Any]:
        """Everything pinned, as it goes into the run's lock.json."""
        tar = self.lock.toolchain.tar_sha256
        return {
            **lock_json(self.lock),
            "base_state": self.base_state,
            "targets": {
                target.binary: {
                    "inputs_digest": target.inputs_digest(tar),
                    "modules": modules_json(target.modules),
                    "sources": target.sources(),
                    "command": list(target.command),
                }
                for target in built
            },
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
    agent = targets.agent_target()
    found: dict[str, BuiltImage] = {}
    for kind, name, target in wanted_images(sdk, backend):
        row = records.recall(store, inputs_digest(lock, kind, name, agent, target))
        if row is None:
            return None
        found[kind] = row[0]
    return found["sdk"], found.get("backend")


def wanted_images(sdk: SdkEntry, backend: BackendEntry | None) -> list[tuple[str, str, Target]]:
    """(kind, id, program) of each image a launch starts; a backend that runs in process has none."""
    wanted = [("sdk", sdk.id, targets.sdk_target(sdk))]
    if backend is not None and not backend.in_process:
        wanted.append(("backend", backend.id, targets.backend_target(backend)))
    return wanted


def inputs_digest(lock: Lock, kind: str, name: str, agent: Target, target: Target) -> str:
    """The digest of everything that goes into an image that a launch starts."""
    tar = lock.toolchain.tar_sha256
    parts = [agent.inputs_digest(tar), target.inputs_digest(tar)]
    return digest(
        {"assembly": records.ASSEMBLY, "kind": kind, "id": name, "base": base_key(lock.base), "binaries": parts}
    )


def program_entries(agent: Path, binary: str, program: Path) -> list[Entry]:
    """The upper layer of an image that a launch starts: the agent and one program."""
    return [
        Entry.folder("repro"),
        Entry.file("repro/agent", agent, 0o555),
        Entry.file(f"repro/{binary}", program, 0o555),
    ]


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


def _agent_folder() -> Path:
    from toolkit import resources

    return resources.images_dir() / "agent"


def _effective_lock(store: Store, options: BuildOptions) -> tuple[Lock, str]:
    """The lock to hold to, and whether its base was relocked on this machine."""
    if options.lock is not None:
        return parse_lock(dict(options.lock), Path("lock.json of the run")), str(
            options.lock.get("base_state", "locked")
        )
    lock = read_lock()
    if options.base_image:
        return replace(lock, base=base_from_image(options.base_image)), "locked"
    again = store.record("relocks", base_key(lock.base)) if options.allow_relock else None
    if again is not None:
        try:
            return parse_lock(again, Path("the store's relock record")), "relocked"
        except (CatalogueError, InputMismatch):
            pass
    return lock, "locked"
