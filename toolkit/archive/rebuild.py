"""The images of an archive built again from its own inputs, with no network, and how near they come.

*bitwise*: the same configuration and layers. *same content*: the same files, owners and modes, other bytes of a layer.
*differs*: named are the first layer and file that are not the same.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from toolkit.build import identity, records
from toolkit.build.compile import Limits
from toolkit.build.images import Build, BuildOptions
from toolkit.build.recipe import Recipe, recipe_from_json
from toolkit.build.targets import target_from_json
from toolkit.engine.port import Engine
from toolkit.errors import ArchiveInvalid, BuildFailed, InputMismatch, InputUnavailable, InputUnsafe
from toolkit.fetch.store import Store
from toolkit.model.inputs import BuiltImage
from toolkit.verify.names import shown

Level = Literal["bitwise", "same content", "differs"]
SOURCE_BYTES = 512 * 1024**2
"""Of the sources of one cell, which are held in memory; those of this project have 3 MB."""

LAYER_FILES = 500_000
"""Beyond so many files two layers are not compared file by file."""

_KINDS = ("file type", "mode", "owner", "group", "size", "content", "link target")


@dataclass(frozen=True)
class Rebuilt:
    """One image and how near its rebuild came; ``where`` names the first difference."""

    kind: str
    id: str
    original: str
    rebuilt: str
    level: Level
    where: str = ""

    def to_json(self) -> dict[str, Any]:
        """In the shape of ``schemas/rebuild.schema.json``."""
        return asdict(self)


def rebuild_cell(
    engine: Engine,
    store: Store,
    lock: Mapping[str, Any],
    blobs: Path,
    report: Callable[[str], None],
    *,
    limits: Limits | None = None,
) -> list[Rebuilt]:
    """Build the images of one cell's lock anew. ``blobs``: the folder of the archive's image blobs.

    A build that fails, or is stopped at one of ``limits``, gives no images: all of the cell differ, and why is said.

    Raises ArchiveInvalid for an input that the archive lacks or that would unpack to more than ``bounds`` declares,
    CatalogueError, EngineError.
    """
    wanted = _recipes(lock, store)
    options = BuildOptions(no_cache=True, allow_relock=False, offline=True, lock=lock, limits=limits)
    try:
        base, made = Build(engine, store, options, report).anew(wanted)
    except InputUnavailable as lacking:
        raise ArchiveInvalid(
            f"the archive is incomplete: {lacking.title}", "nothing is fetched for a rebuild", "ask for a whole one"
        ) from lacking
    except InputUnsafe as bomb:
        raise ArchiveInvalid(
            f"the archive is unsafe: {shown(bomb.title)}", shown(bomb.cause), "nothing of it was kept"
        ) from bomb
    except (BuildFailed, InputMismatch) as failed:
        report(f"rebuild: {failed}")
        return [_not_made(records.image_from_json(row), shown(str(failed), 400)) for row in lock["images"].values()]
    found = []
    for kind, image in {"base": base, **made}.items():
        original = records.image_from_json(lock["images"][kind])
        found.append(_compared(original, image, store, blobs))
    return found


def _not_made(original: BuiltImage, why: str) -> Rebuilt:
    return Rebuilt(original.kind, original.id, original.identity.config_digest, "", "differs", why)


def _recipes(lock: Mapping[str, Any], store: Store) -> list[Recipe]:
    taken = 0

    def source(digest: str, path: str) -> bytes:
        nonlocal taken
        blob = store.blob_path(digest.removeprefix("sha256:"))
        taken += blob.stat().st_size  # one blob may be named under any number of paths
        if taken > SOURCE_BYTES:
            raise ArchiveInvalid(
                "the archive is unsafe: its sources are too many",
                f"more than {SOURCE_BYTES} bytes, with {shown(path)}",
                "nothing of it was built",
            )
        return store.blob(blob.name, path).read_bytes()

    built = {key: target_from_json(key, row, source) for key, row in lock["targets"].items()}
    return [recipe_from_json(kind, row, built) for kind, row in lock["recipes"].items()]


def _compared(original: BuiltImage, image: BuiltImage, store: Store, blobs: Path) -> Rebuilt:
    was, now = original.identity, image.identity
    if (was.config_digest, was.diff_ids) == (now.config_digest, now.diff_ids):
        level: Level = "bitwise"
    elif (was.content_digest, was.runtime_config_digest) == (now.content_digest, now.runtime_config_digest):
        level = "same content"
    else:
        level = "differs"
    where = "" if level == "bitwise" else first_difference(original, image, store, blobs)
    return Rebuilt(original.kind, original.id, was.config_digest, now.config_digest, level, where)


def first_difference(original: BuiltImage, image: BuiltImage, store: Store, blobs: Path) -> str:
    """The first layer that differs, and the first file in it, in words."""
    was, now = original.identity.diff_ids, image.identity.diff_ids
    if len(was) != len(now):
        return f"{len(was)} layers were {len(now)}"
    for number, (old, new) in enumerate(zip(was, now, strict=True), 1):
        if old == new:
            continue
        place = blobs / old.removeprefix("sha256:")
        if not place.exists():
            return f"layer {number} (the archive has no bytes of it to compare)"
        try:
            before = identity.flatten([place], most=LAYER_FILES)
        except identity.UNREADABLE as problem:
            return f"layer {number} (the archive's cannot be compared file by file: {shown(str(problem), 200)})"
        after = identity.flatten([store.blob_path(new.removeprefix("sha256:"))])
        return f"layer {number}: {_first_file(before, after)}"
    return "the configuration"


def _first_file(before: Mapping[str, tuple[object, ...]], after: Mapping[str, tuple[object, ...]]) -> str:
    for path in sorted({*before, *after}):
        if path not in after:
            return f"{shown(path)} is missing"
        if path not in before:
            return f"{shown(path)} is new"
        if before[path] != after[path]:
            what = next(kind for kind, one, two in zip(_KINDS, before[path], after[path], strict=True) if one != two)
            return f"{shown(path)}: its {what}"
    return "the same files in other bytes (order, times)"
