"""Reads what images may hold besides a Go program: native parts (``images/native``) and models (``images/models``)."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from pydantic import Field

from toolkit import resources
from toolkit.catalogue.entries import CpuLevel, Id, ModelFile, Strict, Text
from toolkit.catalogue.files import bad, parse
from toolkit.errors import CatalogueError
from toolkit.model.parts import NativePart, SyntheticModel

_EXACT = r"^[0-9]+(\.[0-9]+)*$"
_PATH = r"^[A-Za-z0-9_+-][A-Za-z0-9._+-]*(/[A-Za-z0-9_+-][A-Za-z0-9._+-]*)*$"
_OPTION = r"^-D[A-Z0-9_]+=[^\r\n]*$"

Path_ = Annotated[str, Field(pattern=_PATH)]
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class _Source(Strict):
    name: Id
    version: Annotated[str, Field(pattern=_EXACT)]
    root: Path_


class _Native(Strict):
    id: Id
    title: Text
    licence: Text
    source: _Source
    configure: list[Annotated[str, Field(pattern=_OPTION)]] = Field(default_factory=list)
    targets: Annotated[list[Id], Field(min_length=1)]
    libraries: dict[ModelFile, Path_] = Field(default_factory=dict)
    programs: dict[Id, Path_] = Field(default_factory=dict)
    cpu_level: CpuLevel = "x86-64-v1"


class _Model(Strict):
    note: Text
    files: Annotated[dict[Path_, Sha256], Field(min_length=1)]


class _Models(Strict):
    models: dict[ModelFile, _Model]


def native_folder() -> Path:
    return resources.images_dir() / "native"


def models_folder() -> Path:
    return resources.images_dir() / "models"


def native_parts() -> dict[str, NativePart]:
    """Every native part by id. Raises CatalogueError naming file and key."""
    if not native_folder().is_dir():
        return {}
    folders = sorted(path for path in native_folder().iterdir() if path.is_dir())
    return {folder.name: _read_native(folder / "native.yaml") for folder in folders}


def native_part(part: str) -> NativePart:
    """One native part. Raises CatalogueError for an unknown id."""
    file = native_folder() / part / "native.yaml"
    if not file.is_file():
        known = ", ".join(native_parts()) or "none"
        raise CatalogueError(
            f"There is no native part {part!r}", f"there are: {known}", "correct `native` of the entry"
        )
    return _read_native(file)


def _read_native(file: Path) -> NativePart:
    data = parse(file, _Native)
    if data.id != file.parent.name:
        raise bad(file, "id", f"{data.id!r} is not the name of its folder")
    if not data.libraries and not data.programs:
        raise bad(file, "libraries", "a part gives libraries or programs")
    return NativePart(
        id=data.id,
        title=data.title,
        licence=data.licence,
        folder=file.parent,
        source=data.source.name,
        version=data.source.version,
        root=data.source.root,
        configure=tuple(data.configure),
        targets=tuple(data.targets),
        libraries=dict(data.libraries),
        programs=dict(data.programs),
        cpu_level=data.cpu_level,
    )


def synthetic_models() -> dict[str, SyntheticModel]:
    """Every synthetic model by name. Raises CatalogueError naming file and key."""
    file = models_folder() / "models.yaml"
    data = parse(file, _Models)
    for name, model in data.models.items():
        for path in model.files:
            if path != name and not path.startswith(name + "/"):
                raise bad(file, f"models.{name}.files", f"{path!r} is neither {name!r} nor below it")
    return {name: SyntheticModel(name, model.note, dict(model.files)) for name, model in data.models.items()}
