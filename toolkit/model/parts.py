"""What images may hold besides a Go program: native parts (``images/native``), synthetic models (``images/models``)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class NativePart:
    """C and C++ code built by CMake from one locked source archive.

    ``root`` is the CMake source folder inside the archive, ``configure`` what CMake is told, ``targets`` what is built.
    ``libraries`` and ``programs`` map a name in the image (below ``/repro/lib``, or a program's) to a path in the build
    folder. ``cpu_level`` is the x86-64 level that the compiler was allowed to use.
    """

    id: str
    title: str
    licence: str
    folder: Path
    source: str
    version: str
    root: str
    configure: tuple[str, ...]
    targets: tuple[str, ...]
    libraries: Mapping[str, str]
    programs: Mapping[str, str]
    cpu_level: str


@dataclass(frozen=True)
class SyntheticModel:
    """A generated model: a file, or a folder of files. ``files`` maps each path to the sha256 it must have."""

    name: str
    note: str
    files: Mapping[str, str]
