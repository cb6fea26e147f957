"""Locks: which bytes a build may use. Locks are files (docs/adr/0003-locks-are-files.md).

``images/lock.json`` pins the base and the C compilers (Debian packages) and the Go toolchain; the ``lock.json`` beside
each go.mod pins every module file, the one beside each native.yaml its source archive::

    lock = read_lock()
    lock.base.packages[0].sha256

One floating reference is an error: every row has a sha256 and a size.
"""

from __future__ import annotations

import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from toolkit import resources
from toolkit.canonical import digest, sha256_file
from toolkit.errors import CatalogueError, InputMismatch
from toolkit.model.inputs import LockedFile

SCHEMA = "repro.lock/1"
MODULES_SCHEMA = "repro.lock.modules/1"
SOURCE_SCHEMA = "repro.lock.source/1"
_SHA256 = re.compile(r"^[0-9a-f]{64}$")
_IMAGE_BY_DIGEST = re.compile(r"^[^@\s]+@sha256:[0-9a-f]{64}$")


@dataclass(frozen=True)
class BaseLock:
    """The base: Debian packages (``packages``, with the layer's expected sha256), or an image by digest (``image``)."""

    packages: tuple[LockedFile, ...] = ()
    suite: str = ""
    layer_sha256: str = ""
    image: str = ""


@dataclass(frozen=True)
class ToolchainLock:
    """One Go: its wheel, the module that is its second source, and the pruned tar both must give."""

    go: str
    wheel: LockedFile
    module: LockedFile
    tar_sha256: str


@dataclass(frozen=True)
class NativeLock:
    """The C and C++ compilers: Debian packages that the base lacks, with the layer's expected sha256."""

    packages: tuple[LockedFile, ...]
    suite: str
    layer_sha256: str = ""


@dataclass(frozen=True)
class Lock:
    """``images/lock.json``. ``native`` is None in the lock of a run from before there were native parts."""

    base: BaseLock
    toolchain: ToolchainLock
    native: NativeLock | None = None


@dataclass(frozen=True)
class ModulesLock:
    """The ``lock.json`` beside a go.mod: the digests of go.mod and go.sum, and every module file a build needs."""

    go_mod_sha256: str
    go_sum_sha256: str
    files: tuple[LockedFile, ...]


def lock_path() -> Path:
    return resources.images_dir() / "lock.json"


def read_lock(path: Path | None = None) -> Lock:
    """Read ``images/lock.json``. Raises CatalogueError naming file and key."""
    file = path or lock_path()
    return parse_lock(_load(file, SCHEMA), file)


class _Floating(ValueError):
    """One value of a lock that pins nothing; ``key`` and ``near`` (a text of the same object) say where it stands."""

    def __init__(self, text: str, key: str, near: str = "") -> None:
        super().__init__(text)
        self.key = key
        self.near = near


def line_of(file: Path, key: str, near: str = "") -> int:
    """The line of a key in a JSON or YAML file, or of the object that lacks it; 1 when nobody can tell.

    ``near``: a text that the object holds, where several have such a key.
    """
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return 1
    start, end = 0, len(lines)
    if near:
        at = next((number for number, line in enumerate(lines) if json.dumps(near, ensure_ascii=False) in line), 0)
        start = next((number for number in range(at, -1, -1) if lines[number].rstrip().endswith("{")), at)
        end = next((number for number in range(at, len(lines)) if lines[number].strip().startswith("}")), len(lines))
    pattern = re.compile(rf'(^|[\s{{,])"?{re.escape(key)}"?\s*:')
    found = (number for number in range(start, end) if pattern.search(lines[number]))
    return next(found, start) + 1


def _malformed(file: Path, error: Exception, remedy: str) -> CatalogueError:
    """The error of a lock, with the line where it can be told."""
    key = error.key if isinstance(error, _Floating) else str(error.args[0]) if isinstance(error, KeyError) else ""
    place = f"{file}:{line_of(file, key, error.near if isinstance(error, _Floating) else '')}" if key else f"{file}"
    return CatalogueError(f"{place} is malformed", f"{type(error).__name__.strip('_')}: {error}", remedy)


def parse_lock(data: dict[str, Any], file: Path) -> Lock:
    """A Lock from its JSON form; ``file`` is for error texts. Raises CatalogueError."""
    try:
        chain = data["toolchain"]
        toolchain = ToolchainLock(
            str(chain["go"]), _row(chain["wheel"]), _row(chain["module"]), _hex(chain["tar_sha256"], "tar_sha256")
        )
        return Lock(_base(data["base"]), toolchain, _native(data["native"]) if "native" in data else None)
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(file, error, "restore it from version control") from error


def lock_json(lock: Lock) -> dict[str, Any]:
    """The JSON form of a Lock, as written to files and to a run's lock.json."""
    base = {"image": lock.base.image} if lock.base.image else _packages_json(lock.base)
    chain = lock.toolchain
    toolchain = {
        "go": chain.go,
        "wheel": _row_json(chain.wheel),
        "module": _row_json(chain.module),
        "tar_sha256": chain.tar_sha256,
    }
    found = {"schema": SCHEMA, "base": base, "toolchain": toolchain}
    return {**found, "native": _packages_json(lock.native)} if lock.native is not None else found


def _packages_json(lock: BaseLock | NativeLock) -> dict[str, Any]:
    rows = [_row_json(row) for row in lock.packages]
    return {"suite": lock.suite, "layer_sha256": lock.layer_sha256, "packages": rows}


def base_from_image(reference: str) -> BaseLock:
    """The lock of ``--base IMAGE@sha256:...``. Raises CatalogueError for a floating reference."""
    if not _IMAGE_BY_DIGEST.match(reference):
        raise CatalogueError(
            f"--base {reference} is a floating reference", "it must name a digest", "use IMAGE@sha256:<64 hex digits>"
        )
    return BaseLock(image=reference)


def read_modules(folder: Path) -> ModulesLock:
    """Read the lock.json of a Go module of ours, and check that it belongs to the go.mod and go.sum beside it.

    Raises CatalogueError for a missing or malformed lock, InputMismatch when go.mod or go.sum changed since it was
    made.
    """
    file = folder / "lock.json"
    lock = parse_modules(_load(file, MODULES_SCHEMA), file)
    for name, expected in (("go.mod", lock.go_mod_sha256), ("go.sum", lock.go_sum_sha256)):
        found = file_sha256(folder / name)
        if found != expected:
            raise InputMismatch(
                f"{folder / name} is not what {file.name} was made for",
                f"expected sha256 {expected}, found {found}",
                "undo the change, or lock again: repro lock",
            )
    return lock


def parse_modules(data: dict[str, Any], file: Path) -> ModulesLock:
    """A ModulesLock from its JSON form. Raises CatalogueError."""
    try:
        files = tuple(_row(row) for row in data["files"])
        return ModulesLock(str(data["go_mod_sha256"]), str(data["go_sum_sha256"]), files)
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(file, error, "lock again: repro lock") from error


def modules_json(lock: ModulesLock) -> dict[str, Any]:
    """The JSON form of a ModulesLock."""
    return {
        "schema": MODULES_SCHEMA,
        "go_mod_sha256": lock.go_mod_sha256,
        "go_sum_sha256": lock.go_sum_sha256,
        "files": [_row_json(row) for row in lock.files],
    }


def read_source(folder: Path, name: str, version: str) -> LockedFile:
    """The locked source archive of a native part. Raises CatalogueError when the lock is for another source."""
    file = folder / "lock.json"
    data = _load(file, SOURCE_SCHEMA)
    try:
        row = _row(data["source"])
    except (KeyError, TypeError, ValueError) as error:
        raise _malformed(file, error, "lock again: repro lock") from error
    if (row.name, row.version) != (name, version):
        raise CatalogueError(
            f"{file}:{line_of(file, 'version')} locks {row.name} {row.version}",
            f"native.yaml says {name} {version}",
            "lock again: repro lock",
        )
    return row


def source_json(row: LockedFile) -> dict[str, Any]:
    """The JSON form of a native part's lock."""
    return {"schema": SOURCE_SCHEMA, "source": _row_json(row)}


def file_sha256(path: Path) -> str:
    """sha256 of a file as hex; of no bytes when it is absent (a module without dependencies has no go.sum)."""
    return sha256_file(path) if path.is_file() else "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


def pretty(data: dict[str, Any]) -> bytes:
    """Lock files as people read and diff them: sorted keys, two blanks, one newline at the end."""
    return (json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n").encode()


def base_key(base: BaseLock) -> str:
    """The digest that names a base in records."""
    return digest({"image": base.image, "packages": [[row.filename, row.sha256] for row in base.packages]})


def native_key(native: NativeLock) -> str:
    """The digest that names a set of compilers in records and inputs digests."""
    return digest({"packages": [[row.filename, row.sha256] for row in native.packages]})


def _native(data: dict[str, Any]) -> NativeLock:
    rows = tuple(_row(row) for row in data["packages"])
    if not rows:
        raise ValueError("native.packages is empty")
    return NativeLock(rows, str(data["suite"]), _hex(data["layer_sha256"], "layer_sha256"))


def _base(data: dict[str, Any]) -> BaseLock:
    if "image" in data:
        return base_from_image(str(data["image"]))
    rows = tuple(_row(row) for row in data["packages"])
    if not rows:
        raise ValueError("base.packages is empty")
    return BaseLock(rows, str(data["suite"]), _hex(data["layer_sha256"], "layer_sha256"))


def _row(data: dict[str, Any]) -> LockedFile:
    near = str(data.get("filename", data.get("name", "")))
    missing = [key for key in ("size_bytes", "name", "source", "version", "filename", "sha256") if key not in data]
    if missing:
        raise _Floating(f"{near} has no {missing[0]}", missing[0], near)
    size = data["size_bytes"]
    if not isinstance(size, int) or size < 0:
        raise _Floating(f"size_bytes of {near}", "size_bytes", near)
    strings = {key: data[key] for key in ("name", "source", "version", "filename")}
    for key, value in strings.items():
        if not isinstance(value, str) or not value:
            raise _Floating(f"{key} of {near}: empty or not text", key, near)
    if ".." in strings["filename"].split("/") or strings["filename"].startswith("/"):
        raise _Floating(f"unsafe file name {strings['filename']!r}", "filename", near)
    return LockedFile(**strings, sha256=_hex(data["sha256"], "sha256", near), size_bytes=size)


def _row_json(row: LockedFile) -> dict[str, Any]:
    return asdict(row)


def _hex(value: object, key: str, near: str = "") -> str:
    if not isinstance(value, str) or not _SHA256.match(value):
        raise _Floating(f"{value!r} is not a sha256", key, near)
    return value


def _load(file: Path, schema: str) -> dict[str, Any]:
    try:
        data = json.loads(file.read_bytes())
    except FileNotFoundError as error:
        raise CatalogueError(
            f"{file} is missing", "nothing floats: every input must be locked", "run `repro lock`"
        ) from error
    except (OSError, ValueError) as error:
        raise CatalogueError(f"{file} cannot be read", str(error), "restore it from version control") from error
    if not isinstance(data, dict) or data.get("schema") != schema:
        found = data.get("schema") if isinstance(data, dict) else type(data).__name__
        raise CatalogueError(
            f"{file} has another schema", f"expected {schema}, found {found}", "use the matching version of repro"
        )
    return data
