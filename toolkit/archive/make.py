"""From a sealed run to the members of its archive: run folder, images, inputs, bill of materials, provenance, texts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from toolkit import __version__
from toolkit.archive import layout, sshsig
from toolkit.archive.images import image_members, run_images
from toolkit.archive.inputs import Input, input_members, inputs_of
from toolkit.archive.members import Member, of_bytes, of_file, once
from toolkit.archive.sbom import provenance, spdx
from toolkit.archive.texts import readme, rerun_files, rerun_script
from toolkit.build import zips
from toolkit.build.bounds import Room
from toolkit.canonical import canonical_bytes, sha256_file
from toolkit.errors import ArchiveInvalid, UsageError
from toolkit.fetch.store import Store
from toolkit.launch.folder import MANIFEST, RunFolder
from toolkit.model.inputs import BuiltImage
from toolkit.redact import BLACKED_OUT, SECRETS
from toolkit.seal import read_json, read_plan

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

_OUTPUT_NAMES = (".log", "bench.txt")
"""What programs wrote themselves; a launch cuts each of them (``log_max_bytes``)."""
_LICENCE_NAMES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "PATENTS")
_LICENCE_BYTES = 4 * 1024**2


@dataclass(frozen=True)
class Contents:
    """The members in the order in which they are written, and the index that lists them."""

    members: tuple[Member, ...]
    index: Mapping[str, Any]
    warnings: tuple[str, ...]


def contents(
    folder: RunFolder,
    store: Store,
    *,
    without: Sequence[str] = (),
    key: Ed25519PrivateKey | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> Contents:
    """Everything that the archive of a run holds. Reads the run folder and the store, writes nothing.

    Raises UsageError for a run that is not sealed, ArchiveInvalid for one that is not what its manifest says,
    InputUnavailable for images or inputs that the store lacks.
    """
    manifest, lock = _sealed(folder), read_json(folder.path / "lock.json")
    plan = read_plan(folder)
    images, inputs = run_images(lock), inputs_of(lock)
    report("archive: reading the run")
    made = _run_members(folder, manifest)
    if "images" not in without:
        made += image_members(store, images)
    if "inputs" not in without:
        made += input_members(store, inputs)
        made += _licences(store, inputs)
    made += [
        of_bytes(layout.SBOM, canonical_bytes(spdx(folder.id, _created(folder), __version__, images, inputs)) + b"\n"),
        of_bytes(layout.PROVENANCE, canonical_bytes(provenance(images, inputs, lock, __version__)) + b"\n"),
        of_bytes(
            layout.RERUN, rerun_script(plan, [_image_row(one) for one in images], with_images="images" not in without)
        ),
    ]
    filled = rerun_files(plan, read_json(folder.path / "setup.json"), sha256_file(folder.path / MANIFEST))
    made += [of_bytes(path, data) for path, data in filled.items()]
    index = _index(folder, manifest, images, without, made)
    made.append(of_bytes(layout.README, readme(index, manifest)))
    made = sorted(once(made), key=lambda member: member.path.encode().split(b"/"))
    index["files"] = {member.path: member.to_json() for member in made}
    warnings = [*_warnings(index, without), *_echoed(folder, manifest)]
    return Contents(tuple(_signed(index, key) + made), index, tuple(warnings))


def _sealed(folder: RunFolder) -> dict[str, Any]:
    if not folder.sealed:
        raise UsageError(
            f"run {folder.id} is not sealed", "it is still under way, or its command was killed", "repro clean seals it"
        )
    return read_json(folder.path / MANIFEST)


def _run_members(folder: RunFolder, manifest: Mapping[str, Any]) -> list[Member]:
    """The run's files, each as its manifest says; what the manifest does not list stays behind."""
    members = [of_file(layout.RUN_MANIFEST, folder.path / MANIFEST)]
    recorded = folder.path / f"{MANIFEST}.sha256"
    if recorded.exists():
        members.append(of_file(f"{layout.RUN}{recorded.name}", recorded))
        if recorded.read_text().split()[:1] != [members[0].sha256]:
            raise _changed(MANIFEST)
    for name, row in manifest["files"].items():
        try:
            member = of_file(layout.RUN + name, folder.path / name)
        except OSError as problem:
            raise _changed(name) from problem
        if member.sha256 != row["sha256"]:
            raise _changed(name)
        members.append(member)
    return members


def _changed(name: str) -> ArchiveInvalid:
    return ArchiveInvalid(
        f"{name} of the run is not what its manifest says",
        "it was changed or lost after the run was sealed",
        "restore it",
    )


def _created(folder: RunFolder) -> str:
    """When the run began, from its id: the archive of one run has one date."""
    day, clock = folder.id.split("-")[:2]
    return f"{day[:4]}-{day[4:6]}-{day[6:8]}T{clock[:2]}:{clock[2:4]}:{clock[4:6]}Z"


def _index(
    folder: RunFolder,
    manifest: Mapping[str, Any],
    images: Sequence[BuiltImage],
    without: Sequence[str],
    made: Sequence[Member],
) -> dict[str, Any]:
    return {
        "schema": layout.SCHEMA,
        "schema_version": layout.SCHEMA_VERSION,
        "tool": {"name": "sealbench", "version": __version__},
        "run": {
            "id": folder.id,
            "manifest_sha256": sha256_file(folder.path / MANIFEST),
            "state": manifest["state"],
            "valid": manifest["valid"],
            "grade": manifest["grade"]["letter"],
            "cells": [{"id": cell["id"], "launches": len(cell["launches"])} for cell in manifest["cells"]],
            "null_sdk": any(cell["id"].startswith("net-http/") for cell in manifest["cells"]),
        },
        "without": sorted(without),
        "images": [_image_row(image) for image in images],
        "files": {member.path: member.to_json() for member in made},
    }


def _image_row(image: BuiltImage) -> dict[str, Any]:
    return {
        "kind": image.kind,
        "id": image.id,
        "reference": image.reference,
        "config_digest": image.identity.config_digest,
        "diff_ids": list(image.identity.diff_ids),
        "content_digest": image.identity.content_digest,
        "runtime_config_digest": image.identity.runtime_config_digest,
    }


def _signed(index: Mapping[str, Any], key: Ed25519PrivateKey | None) -> list[Member]:
    data = canonical_bytes(index) + b"\n"
    first = [of_bytes(layout.INDEX, data)]
    if key is not None:
        first.append(of_bytes(layout.SIGNATURE, sshsig.sign(data, key, layout.NAMESPACE)))
    return first


def _warnings(index: Mapping[str, Any], without: Sequence[str]) -> list[str]:
    found = [f"the archive is without {part}: it cannot be {_LOST[part]} from this file alone" for part in without]
    if not index["run"]["null_sdk"]:
        found.append("the run has no null SDK beside it (--baseline): on another machine less can be judged")
    if not index["run"]["valid"]:
        found.append("the run is not valid: the archive keeps it as evidence")
    return found


def _echoed(folder: RunFolder, manifest: Mapping[str, Any]) -> list[str]:
    """Output of programs that holds something like a key. It is sealed, so it is named and never changed: a launch
    blacks out what has the form of one, and what came otherwise (``rerun.sh``, an earlier version) is to be read.
    """
    found = []
    for name in sorted(one for one in manifest["files"] if one.endswith(_OUTPUT_NAMES)):
        text = (folder.path / name).read_bytes()
        if SECRETS.search(text):
            found.append(f"{name} holds something like a key: read it before you hand the archive out")
        elif BLACKED_OUT.search(text):
            found.append(f"{name} held something like a key: it was blacked out when the run was recorded")
    return found


_LOST = {"images": "re-run", "inputs": "rebuilt"}


def _licences(store: Store, inputs: Sequence[Input]) -> list[Member]:
    """The licence texts at the root of every module's zip. Debian's are in the base image, where Debian puts them."""
    found = []
    for one in inputs:
        if one.kind == "module" and one.filename.endswith(".zip") and store.has(one.sha256):
            found += _licence_members(one, store.blob_path(one.sha256))
    return found


def _licence_members(one: Input, path: Path) -> list[Member]:
    root, room = f"{one.name}@{one.version}/", Room()
    members = []
    with zips.opened(path, room, "a module") as archive:
        for info in sorted(archive.infolist(), key=lambda info: info.filename):
            rest = info.filename.removeprefix(root)
            if info.filename.startswith(root) and "/" not in rest and rest.upper().startswith(_LICENCE_NAMES):
                room.most(info.file_size, _LICENCE_BYTES, f"bytes of {rest}")
                members.append(of_bytes(f"{layout.LICENCES}{_flat(one)}/{rest}", zips.content(archive, info, room)))
    return members


def _flat(one: Input) -> str:
    """Module and version as one folder name: lower case, so that no two differ by case alone."""
    return f"{one.name}@{one.version}".replace("/", "_").lower()
