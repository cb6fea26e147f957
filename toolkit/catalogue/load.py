"""Reads the catalogue: ``images/sdks``, ``images/workloads``, ``images/backends``, and a user's own folder of the
same shape.

    catalogue = load_catalogue()
    catalogue.sdk("go-openai").version

Adding an SDK is adding a folder; what is missing, misspelt or floating in it is a CatalogueError that names file and
key.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from toolkit import resources
from toolkit.catalogue import entries
from toolkit.catalogue.checks import check_backend, check_sdk, check_workload, memory_bytes
from toolkit.catalogue.files import bad, parse
from toolkit.catalogue.gomod import EXACT_VERSION, check_go_module
from toolkit.errors import CatalogueError, UsageError
from toolkit.lock import line_of
from toolkit.model.catalogue import BackendEntry, SdkEntry, SettingMoved, WorkloadEntry


@dataclass(frozen=True)
class Catalogue:
    """Everything that can be launched. The mappings are in id order."""

    sdks: dict[str, SdkEntry] = field(default_factory=dict)
    workloads: dict[str, WorkloadEntry] = field(default_factory=dict)
    backends: dict[str, BackendEntry] = field(default_factory=dict)

    def sdk(self, name: str) -> SdkEntry:
        """An SDK by id or alias. Raises UsageError with the nearest names."""
        aliases = {alias: entry.id for entry in self.sdks.values() for alias in entry.aliases}
        return _lookup("SDK", name, self.sdks, aliases)

    def workload(self, name: str) -> WorkloadEntry:
        """A workload by id. Raises UsageError with the nearest names."""
        return _lookup("workload", name, self.workloads, {}, unsaid=_internal(self.workloads))

    def backend(self, name: str) -> BackendEntry:
        """A backend by id. Raises UsageError with the nearest names."""
        return _lookup("backend", name, self.backends, {})

    def null_sdk(self) -> SdkEntry:
        """The null SDK: what an SDK's cost is measured against. Raises CatalogueError when there is none."""
        for entry in self.sdks.values():
            if entry.null:
                return entry
        raise CatalogueError("The catalogue has no null SDK", "no sdk.yaml says `null: true`", "restore images/sdks")


_T = TypeVar("_T")


def _internal(workloads: dict[str, WorkloadEntry]) -> frozenset[str]:
    """What ``repro probe`` runs is no workload to offer."""
    return frozenset(one.id for one in workloads.values() if one.kind == "probe")


def _lookup(
    what: str, name: str, known: dict[str, _T], aliases: dict[str, str], unsaid: frozenset[str] = frozenset()
) -> _T:
    key = name.strip().lower()
    key = aliases.get(key, key)
    if key in known:
        return known[key]
    names = sorted({*known, *aliases} - unsaid)
    near = difflib.get_close_matches(key, names, n=3, cutoff=0.4)
    offer = "did you mean " + " or ".join(near) + "?" if near else "there are: " + (", ".join(names) or "none")
    listed = {"SDK": "sdks", "workload": "workloads", "backend": "backends"}[what]
    raise UsageError(
        f"Unknown {what} {name!r}", offer, f"`repro list {listed}` shows all; entries of your own need --catalogue DIR"
    )


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """Read the catalogue, and a user's own entries from ``extra`` (same folder layout; they may not replace ours).

    Raises CatalogueError naming file and key; UsageError when ``extra`` is not a folder.
    """
    if extra is not None and not _is_folder(extra):
        raise UsageError(
            f"No catalogue folder at {extra}",
            "--catalogue takes a folder with sdks/, workloads/ or backends/",
            "check the path",
        )
    catalogue = Catalogue()
    for root in [resources.images_dir(), *([extra] if extra else [])]:
        _read_all(root / "workloads", "workload.yaml", _read_workload, catalogue.workloads)
        _read_all(root / "backends", "backend.yaml", _read_backend, catalogue.backends)
        _read_all(root / "sdks", "sdk.yaml", read_sdk, catalogue.sdks)
    _check_references(catalogue)
    return catalogue


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # a name too long for the file system
        return False


def _read_all(folder: Path, name: str, read: Callable[[Path], _T], into: dict[str, _T]) -> None:
    """Entries are folders holding ``name``; workloads, which are only data, may also be ``<id>.yaml``."""
    if not folder.is_dir():
        return
    for path in sorted(folder.iterdir()):
        file = path / name if path.is_dir() else path
        if path.is_dir() and not file.is_file():
            raise CatalogueError(
                f"{path} is not a catalogue entry", f"{name} is missing", "add it, or move the folder away"
            )
        if path.is_file() and (path.suffix != ".yaml" or name != "workload.yaml"):
            continue
        key = path.stem if path.is_file() else path.name
        if key in into:
            raise CatalogueError(
                f"{file}: {key!r} exists already", "an entry may not replace another", "give it another id"
            )
        into[key] = read(file)


def _check_references(catalogue: Catalogue) -> None:
    names: dict[str, str] = {}
    null = catalogue.null_sdk().id
    for entry in catalogue.sdks.values():
        file = entry.folder / "sdk.yaml"
        if entry.null and entry.id != null:
            raise bad(file, "null", f"there is one null SDK, {null}")
        for name in (entry.id, *entry.aliases):
            if names.setdefault(name, entry.id) != entry.id or (name in catalogue.sdks and name != entry.id):
                raise bad(file, "aliases", f"{name!r} also names SDK {names[name]}")
        for workload, backends in entry.workloads:
            if workload not in catalogue.workloads:
                raise bad(file, "workloads", f"no workload {workload!r}")
            if catalogue.workloads[workload].kind == "probe":
                raise bad(file, "workloads", f"{workload!r} is what 'repro probe' runs, of every SDK")
            for backend in backends:
                if backend not in catalogue.backends:
                    raise bad(file, "workloads", f"no backend {backend!r}")
                if entry.wire not in catalogue.backends[backend].wires:
                    raise bad(file, "wire", f"backend {backend!r} does not speak {entry.wire!r}")


def read_sdk(file: Path, *, module: bool = True) -> SdkEntry:
    """One ``sdk.yaml``, with the rules of its go.mod unless that is yet to be made. Raises CatalogueError."""
    data = parse(file, entries.Sdk)
    _same_id(file, data.id)
    if not EXACT_VERSION.fullmatch(data.version):
        raise CatalogueError(
            f"{file}:{line_of(file, 'version')}: version",
            f"{data.version!r} is not one exact version such as v1.2.3",
            "correct the entry",
        )
    _check_package(file, data.package)
    check_sdk(file, data)
    if data.build == "go" and module:
        check_go_module(file.parent, require=None if data.null else (data.module, data.version))
    return SdkEntry(
        id=data.id,
        module=data.module,
        version=data.version,
        licence=data.licence,
        folder=file.parent,
        workloads=tuple((row.id, tuple(row.backends)) for row in data.workloads),
        wire=data.wire,
        aliases=tuple(row.name for row in data.aliases),
        alias_notes={row.name: row.note for row in data.aliases if row.note},
        lineage=data.lineage,
        built_on=tuple(data.built_on),
        memory_bytes=memory_bytes(file, data.memory),
        settings_moved=tuple(SettingMoved(row.setting, row.value, row.reason) for row in data.settings_moved),
        package=data.package,
        build=data.build,
        cgo=data.cgo,
        build_environment={str(key): value for key, value in data.build_environment.items()},
        environment=dict(data.environment),
        native=tuple(data.native),
        models={str(kind): tuple(files) for kind, files in data.models.items()},
        cpu_level=data.cpu_level,
        text_unit=data.text_unit,
        special_tokens=data.special_tokens,
        null=data.null,
    )


def _read_workload(file: Path) -> WorkloadEntry:
    data = parse(file, entries.Workload)
    if data.id != (file.parent.name if file.name == "workload.yaml" else file.stem):
        raise bad(file, "id", f"{data.id!r} is not the name of its file or folder")
    check_workload(file, data)
    values = data.model_dump()
    return WorkloadEntry(
        **{**values, "drives": tuple(data.drives), "compared": tuple(data.compared), "folder": file.parent}
    )


def _read_backend(file: Path) -> BackendEntry:
    data = parse(file, entries.Backend)
    _same_id(file, data.id)
    _check_package(file, data.package)
    if data.build == "go":
        check_go_module(file.parent)
    check_backend(file, data)
    values = data.model_dump(exclude={"memory", "commands", "models"})
    values |= {
        "command": tuple(data.command),
        "commands": {str(kind): tuple(words) for kind, words in data.commands.items()},
        "models": {str(kind): tuple(files) for kind, files in data.models.items()},
        "native": tuple(data.native),
        "main": data.main or "",
        "folder": file.parent,
        "memory_bytes": memory_bytes(file, data.memory),
    }
    return BackendEntry(**values)


def _check_package(file: Path, package: str) -> None:
    folder = file.parent / package
    if not folder.resolve().is_relative_to(file.parent.resolve()) or not folder.is_dir():
        raise bad(file, "package", f"{package!r} is not a folder inside the entry")


def _same_id(file: Path, found: str) -> None:
    if found != file.parent.name:
        raise bad(file, "id", f"{found!r} is not the name of its folder")
