"""Reads the catalogue: ``images/sdks``, ``images/workloads``, ``images/backends``, and a user's own folder of the
same shape.

    catalogue = load_catalogue()
    catalogue.sdk("go-openai").version

Adding an SDK is adding a folder; what is missing, misspelt or floating in it is a CatalogueError that names file and
key.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from toolkit import resources
from toolkit.errors import CatalogueError, UsageError
from toolkit.model.catalogue import BackendEntry, SdkEntry, SettingMoved, WorkloadEntry

_ID = r"^[a-z0-9][a-z0-9._+-]{0,63}$"
_EXACT_VERSION = re.compile(r"^v\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?(\+incompatible)?$")
_MEMORY = re.compile(r"^(\d+)([kmg]?)$")
_UNIT_BYTES = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3}
_MAX_FILE_BYTES = 1 << 20

Id = Annotated[str, Field(pattern=_ID)]
Build = Literal["go", "dockerfile", "image"]
Memory = Annotated[str, Field(pattern=r"^\d+[kmg]?$")]


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class _SdkWorkload(_Strict):
    id: Id
    backends: Annotated[list[Id], Field(min_length=1)]


class _SettingMoved(_Strict):
    setting: str
    value: str
    reason: Annotated[str, Field(min_length=1)]


class _Sdk(_Strict):
    id: Id
    module: Annotated[str, Field(min_length=1)]
    version: Annotated[str, Field(min_length=1)]
    licence: Annotated[str, Field(min_length=1)]
    workloads: Annotated[list[_SdkWorkload], Field(min_length=1)]
    aliases: list[Id] = []
    lineage: str = ""
    memory: Memory = "512m"
    capabilities: list[str] = []
    settings_moved: list[_SettingMoved] = []
    package: str = "."
    build: Build = "go"


class _Workload(_Strict):
    id: Id
    kind: Literal["embed", "chat-stream"]
    unit: str
    arrival: Literal["poisson", "constant"]
    rate_hz: Annotated[float, Field(gt=0)]
    tokens: Annotated[int, Field(gt=0)]
    dimensions: Annotated[int, Field(ge=0)] = 0
    drives: Annotated[list[Literal["open", "closed", "bench"]], Field(min_length=1)]
    backend: dict[str, str | int | float | bool] = {}
    compared: list[str] = []


class _Backend(_Strict):
    id: Id
    tier: Literal["stub", "simulator", "tiny-model", "your-model"]
    speaks: Annotated[list[str], Field(min_length=1)]
    port: Annotated[int, Field(gt=0, lt=65536)]
    base_path: str = "/v1"
    ready: str
    licence: str = ""
    command: Annotated[list[str], Field(min_length=1)] = ["/repro/backend"]
    memory: Memory = "256m"
    settings: dict[str, str | int | float | bool] = {}
    build: Build = "go"


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
        return _lookup("workload", name, self.workloads, {})

    def backend(self, name: str) -> BackendEntry:
        """A backend by id. Raises UsageError with the nearest names."""
        return _lookup("backend", name, self.backends, {})


_T = TypeVar("_T")
_M = TypeVar("_M", bound=BaseModel)


def _lookup(what: str, name: str, entries: dict[str, _T], aliases: dict[str, str]) -> _T:
    key = name.strip().lower()
    key = aliases.get(key, key)
    if key in entries:
        return entries[key]
    known = sorted([*entries, *aliases])
    near = difflib.get_close_matches(key, known, n=3, cutoff=0.4)
    offer = "did you mean " + " or ".join(near) + "?" if near else "there are: " + (", ".join(known) or "none")
    listed = {"SDK": "sdks", "workload": "workloads", "backend": "backends"}[what]
    raise UsageError(f"Unknown {what} {name!r}", offer, f"`repro list {listed}` shows all")


def load_catalogue(extra: Path | None = None) -> Catalogue:
    """Read the catalogue, and a user's own entries from ``extra`` (same folder layout; they may not replace ours).

    Raises CatalogueError naming file and key; UsageError when ``extra`` is not a folder.
    """
    if extra is not None and not extra.is_dir():
        raise UsageError(
            f"No catalogue folder at {extra}",
            "--catalogue takes a folder with sdks/, workloads/ or backends/",
            "check the path",
        )
    catalogue = Catalogue()
    for root in [resources.images_dir(), *([extra] if extra else [])]:
        _read_all(root / "workloads", "workload.yaml", _read_workload, catalogue.workloads)
        _read_all(root / "backends", "backend.yaml", _read_backend, catalogue.backends)
        _read_all(root / "sdks", "sdk.yaml", _read_sdk, catalogue.sdks)
    _check_references(catalogue)
    return catalogue


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
    for entry in catalogue.sdks.values():
        file = entry.folder / "sdk.yaml"
        for name in (entry.id, *entry.aliases):
            if names.setdefault(name, entry.id) != entry.id or (name in catalogue.sdks and name != entry.id):
                raise _bad(file, "aliases", f"{name!r} also names SDK {names[name]}")
        for workload, backends in entry.workloads:
            if workload not in catalogue.workloads:
                raise _bad(file, "workloads", f"no workload {workload!r}")
            for backend in backends:
                if backend not in catalogue.backends:
                    raise _bad(file, "workloads", f"no backend {backend!r}")


def _read_sdk(file: Path) -> SdkEntry:
    data = _parse(file, _Sdk)
    _same_id(file, data.id)
    if not _EXACT_VERSION.match(data.version):
        raise _bad(file, "version", f"{data.version!r} is not one exact version such as v1.2.3")
    package = file.parent / data.package
    if not package.resolve().is_relative_to(file.parent.resolve()) or not package.is_dir():
        raise _bad(file, "package", f"{data.package!r} is not a folder inside the entry")
    if data.build == "go":
        check_go_module(file.parent, require=(data.module, data.version))
    return SdkEntry(
        id=data.id,
        module=data.module,
        version=data.version,
        licence=data.licence,
        folder=file.parent,
        workloads=tuple((row.id, tuple(row.backends)) for row in data.workloads),
        aliases=tuple(data.aliases),
        lineage=data.lineage,
        memory_bytes=_memory_bytes(data.memory),
        capabilities=tuple(data.capabilities),
        settings_moved=tuple(SettingMoved(row.setting, row.value, row.reason) for row in data.settings_moved),
        package=data.package,
        build=data.build,
    )


def _read_workload(file: Path) -> WorkloadEntry:
    data = _parse(file, _Workload)
    if data.id != (file.parent.name if file.name == "workload.yaml" else file.stem):
        raise _bad(file, "id", f"{data.id!r} is not the name of its file or folder")
    values = data.model_dump()
    return WorkloadEntry(
        **{**values, "drives": tuple(data.drives), "compared": tuple(data.compared), "folder": file.parent}
    )


def _read_backend(file: Path) -> BackendEntry:
    data = _parse(file, _Backend)
    _same_id(file, data.id)
    if data.build == "go":
        check_go_module(file.parent)
    values = data.model_dump(exclude={"memory"})
    values |= {
        "speaks": tuple(data.speaks),
        "command": tuple(data.command),
        "folder": file.parent,
        "memory_bytes": _memory_bytes(data.memory),
    }
    return BackendEntry(**values)


def check_go_module(folder: Path, require: tuple[str, str] | None = None) -> None:
    """The rules for a go.mod of ours: the toolchain's own go line, no toolchain line, exact versions, go.sum present.

    The go line sets the default GODEBUG, so another line is another runtime. Raises CatalogueError.
    """
    file = folder / "go.mod"
    text = _text(file)
    rows = [line.split("//")[0].split() for line in text.splitlines()]
    go_line = next((row[1] for row in rows if len(row) == 2 and row[0] == "go"), "none")
    if go_line != locked_go():
        raise _bad(file, "go", f"the go line is {go_line}, the locked toolchain is {locked_go()}")
    if any(row[:1] in (["toolchain"], ["replace"]) for row in rows):
        raise _bad(file, "toolchain or replace", "neither belongs here: the build decides both")
    required = dict(_required(rows))
    for module, version in required.items():
        if not _EXACT_VERSION.match(version):
            raise _bad(file, module, f"floating version {version!r}")
    if require is not None and required.get(require[0]) != require[1]:
        found = required.get(require[0], "nothing")
        raise _bad(file, require[0], f"sdk.yaml says {require[1]}, go.mod requires {found}")
    if required and not (folder / "go.sum").is_file():
        raise CatalogueError(
            f"{folder / 'go.sum'} is missing", "go.sum binds every module by hash", "run `go mod tidy` in the folder"
        )


def _required(rows: Iterable[list[str]]) -> Iterable[tuple[str, str]]:
    inside = False
    for row in rows:
        if row[:2] == ["require", "("]:
            inside = True
        elif row == [")"]:
            inside = False
        elif inside and len(row) == 2:
            yield row[0], row[1]
        elif row[:1] == ["require"] and len(row) == 3:
            yield row[1], row[2]


def locked_go() -> str:
    """The Go version of the locked toolchain, for example ``1.26.6``. Raises CatalogueError."""
    file = resources.images_dir() / "lock.json"
    try:
        return str(json.loads(_text(file))["toolchain"]["go"])
    except (ValueError, KeyError, TypeError) as error:
        raise _bad(file, "toolchain.go", "missing or malformed") from error


def _memory_bytes(text: str) -> int:
    match = _MEMORY.match(text)
    if match is None:
        raise ValueError(f"not a size: {text!r}")  # the model has checked the pattern before
    return int(match[1]) * _UNIT_BYTES[match[2]]


def _same_id(file: Path, found: str) -> None:
    if found != file.parent.name:
        raise _bad(file, "id", f"{found!r} is not the name of its folder")


def _text(file: Path) -> str:
    try:
        if file.stat().st_size > _MAX_FILE_BYTES:
            raise CatalogueError(f"{file} is too large", f"more than {_MAX_FILE_BYTES} bytes", "")
        return file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise CatalogueError(f"{file} is missing", "the entry needs it", "add it") from error
    except (OSError, UnicodeDecodeError) as error:
        raise CatalogueError(f"{file} cannot be read", str(error), "") from error


class _UniqueKeys(yaml.SafeLoader):
    """PyYAML lets a repeated key win silently; here it is an error, as are aliases (they can make 300 bytes huge)."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.constructor.ConstructorError(None, None, "aliases are not allowed", None)
        return super().compose_node(parent, index)

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} given twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _parse(file: Path, model: type[_M]) -> _M:
    try:
        data = yaml.load(_text(file), _UniqueKeys)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise CatalogueError(f"{file} is not valid YAML", " ".join(str(error).split()), "correct the file") from error
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise _bad(file, key, str(first["msg"])) from error


def _bad(file: Path, key: str, why: str) -> CatalogueError:
    return CatalogueError(f"{file}: {key}", why, "correct the entry")
