"""Every input of a run's images, by digest: what a rebuild needs, and what ``repro lock --bundle`` puts in one file."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from toolkit.archive import layout
from toolkit.archive.members import Member, of_blob, of_bytes
from toolkit.canonical import canonical_bytes
from toolkit.errors import InputUnavailable
from toolkit.fetch.store import Store

SCHEMA = "repro.inputs/1"


@dataclass(frozen=True, order=True)
class Input:
    """One input: ``kind`` is package, compiler, toolchain, module, archive or source."""

    kind: str
    name: str
    version: str
    filename: str
    sha256: str


def inputs_of(lock: Mapping[str, Any]) -> list[Input]:
    """All inputs that a run's lock.json names, each once, sorted. The Go toolchain is one of its two sources."""
    return sorted({found for cell in lock["cells"].values() for found in _of_cell(cell)})


def _of_cell(cell: Mapping[str, Any]) -> Iterator[Input]:
    yield from _rows("package", cell["base"].get("packages", ()))
    yield from _rows("toolchain", [cell["toolchain"]["wheel"], cell["toolchain"]["module"]])
    if any(target.get("native") for target in cell["targets"].values()):
        yield from _rows("compiler", cell["native"]["packages"])
    for target in cell["targets"].values():
        yield from _rows("module", target["modules"]["files"])
        yield from _rows("archive", target.get("archives", ()))
        for path, digest in target["sources"].items():
            yield Input("source", path, "", path, digest.removeprefix("sha256:"))


def _rows(kind: str, rows: Iterable[Mapping[str, Any]]) -> Iterator[Input]:
    for row in rows:
        yield Input(kind, row["name"], row["version"], row["filename"], row["sha256"])


def input_members(store: Store, inputs: Iterable[Input]) -> list[Member]:
    """The files of ``inputs/`` with their index. Raises InputUnavailable naming what the store lacks."""
    wanted = list(inputs)
    chains = [one for one in wanted if one.kind == "toolchain"]
    held = [one for one in wanted if store.has(one.sha256)]
    lacking = [one for one in wanted if one not in held and one.kind != "toolchain"]
    if chains and not any(one in held for one in chains):
        lacking += chains[:1]
    if lacking:
        raise InputUnavailable(
            f"the store lacks {lacking[0].filename}" + (f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""),
            "the run's images were built with another store, or before inputs were kept",
            "repro fetch --sdk brings them; or leave them out: --without inputs",
        )
    blobs = [of_blob(layout.INPUT_BLOBS + one.sha256, store.blob_path(one.sha256)) for one in held]
    sizes = {blob.sha256: blob.size_bytes for blob in blobs}
    document = {"schema": SCHEMA, "inputs": [asdict(one) | {"size_bytes": sizes[one.sha256]} for one in held]}
    return [of_bytes(layout.INPUTS_INDEX, canonical_bytes(document)), *blobs]
