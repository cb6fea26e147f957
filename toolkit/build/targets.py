"""What is built: for each target its sources, its locked inputs and its one command. Pure but for reading the source
folders.

A target's context folder looks the same in the hardened container and in the rendered Dockerfile:
``/build/<folder>/src`` (the module), ``/build/<folder>/proxy`` (its modules as a file proxy),
``/build/<folder>/source`` (a source archive) and, for an SDK, ``/build/sdk/harness``. What it makes lies below
``/out``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from toolkit import resources
from toolkit.build import native
from toolkit.canonical import digest, digest_bytes
from toolkit.catalogue.parts import models_folder, native_part, synthetic_models
from toolkit.errors import CatalogueError
from toolkit.lock import Lock, ModulesLock, base_key, modules_json, native_key, parse_modules, read_modules, read_source
from toolkit.model.catalogue import BackendEntry, SdkEntry
from toolkit.model.inputs import LockedFile

HARNESS_MODULE = "sealbench.org/harness"
BUILD_ROOT = "/build"
OUT = "/out"
GO = "/usr/local/go/bin/go"
LINKER_FLAGS = "-ldflags=-s -w"

# One environment for the container and the Dockerfile: whatever could change a byte of the binary is said here.
ENVIRONMENT: Mapping[str, str] = {
    "CGO_ENABLED": "0",
    "GOAMD64": "v1",
    "GOENV": "off",
    "GOFLAGS": "-mod=readonly -trimpath -buildvcs=false",
    "GOMODCACHE": "/tmp/mod",
    "GOSUMDB": "off",
    "GOTELEMETRY": "off",
    "GOTOOLCHAIN": "local",
    "GOWORK": "off",
    "HOME": "/tmp",
    "PATH": "/usr/local/go/bin",
}
# What cgo adds: the compilers by their full names, and a path on which they find assembler and linker.
CGO_ENVIRONMENT: Mapping[str, str] = {
    "CC": "/usr/bin/gcc",
    "CGO_ENABLED": "1",
    "CXX": "/usr/bin/g++",
    "LC_ALL": "C",
    "PATH": "/usr/local/go/bin:/usr/bin",
}
# CMake's. No SOURCE_DATE_EPOCH: with it llama.cpp silently turns AVX off.
NATIVE_ENVIRONMENT: Mapping[str, str] = {"HOME": "/tmp", "LC_ALL": "C", "PATH": "/usr/bin"}

_SOURCE_SUFFIXES = (".go", ".s", ".h", ".hpp", ".c", ".cc", ".cpp")
_MODULE_FILES = ("go.mod", "go.sum")
CHECKOUT = "checkout"
"""The folder of an entry that holds a checkout of its SDK (``--sdk-at DIR``)."""
_VERBATIM = frozenset({"embed", CHECKOUT})
NO_MODULES = ModulesLock("", "", ())


@dataclass(frozen=True)
class Target:
    """One thing that is built by one command.

    ``key`` is its name in a run's lock. ``files`` are paths below the context folder; ``origin`` is the folder whose
    go.mod they belong to. ``outputs`` are paths below ``/out``, with the sha256 each must have where that is pinned.
    ``native`` says that the C and C++ compilers are needed, ``go`` that Go is.
    """

    key: str
    folder: str
    title: str
    files: Mapping[str, bytes]
    modules: ModulesLock
    workdir: str
    command: tuple[str, ...]
    outputs: Mapping[str, str]
    origin: Path
    environment: Mapping[str, str] = field(default_factory=lambda: ENVIRONMENT)
    archives: tuple[LockedFile, ...] = ()
    native: bool = False
    go: bool = True
    note: str = ""

    @property
    def proxy(self) -> str:
        return f"file://{BUILD_ROOT}/{self.folder}/proxy"

    @property
    def working_dir(self) -> str:
        return f"{BUILD_ROOT}/{self.folder}/{self.workdir}"

    def sources(self) -> dict[str, str]:
        """path -> digest of each source file."""
        return {path: digest_bytes(self.files[path]) for path in sorted(self.files)}

    def inputs_digest(self, lock: Lock) -> str:
        """The digest of everything that can change what comes out. Raises CatalogueError, see ``require_native``."""
        value: dict[str, Any] = {
            "schema": "repro.inputs/2",
            **self.ground(lock),
            "command": list(self.command),
            "working_dir": self.working_dir,
            "files": self.sources(),
            "archives": [[row.filename, row.sha256] for row in self.archives],
            "outputs": dict(self.outputs),
        }
        return digest(value)

    def ground(self, lock: Lock) -> dict[str, Any]:
        """What of the lock, the environment and the modules the target stands on."""
        found: dict[str, Any] = {
            "environment": dict(self.environment),
            "modules": [[row.filename, row.sha256] for row in self.modules.files],
        }
        if self.go:
            found["toolchain"] = lock.toolchain.tar_sha256
        if self.native:  # what it links against is the base's
            found["native"] = {"base": base_key(lock.base), "packages": native_key(native.required(lock))}
        return found


def agent_target() -> Target:
    """The agent, which is in every image a launch starts. Raises CatalogueError, InputMismatch."""
    folder = resources.images_dir() / "agent"
    # Without gRPC's tracing (and the HTML templates it brings) the agent is 2.6 MB smaller and needs 3 MiB less memory.
    return _go_target("agent", "agent", "the agent", folder, ("build", "-tags=grpcnotrace"))


def backend_target(entry: BackendEntry) -> Target:
    """A backend that is a Go program. Raises CatalogueError, InputMismatch."""
    _require_go(entry.build, entry.folder)
    package = entry.main or "."
    return _go_target(
        "backend", "backend", f"backend {entry.id}", entry.folder, ("build",),
        inner=entry.package, package=package, environment=go_environment(entry),
    )  # fmt: skip


def sdk_target(entry: SdkEntry) -> Target:
    """An SDK's workload: a copy of its module with the harness injected and the generated test file.

    The entry itself never names the harness: a replace in it would fail from a user's folder, and a module that the
    harness needed
    would break every go.sum. Raises CatalogueError, InputMismatch.
    """
    _require_go(entry.build, entry.folder)
    files = _tree(resources.images_dir() / "harness", "harness")
    go_mod = (entry.folder / "go.mod").read_bytes()
    go_mod += f"\nrequire {HARNESS_MODULE} v0.0.0\n\nreplace {HARNESS_MODULE} => ../harness\n".encode()
    workdir = _below("src", entry.package)
    files |= {"src/go.mod": go_mod, f"{workdir}/workload_test.go": workload_test(entry)}
    return _go_target(
        "workload", "sdk", f"SDK {entry.id}", entry.folder, ("test", "-c"),
        inner=entry.package, environment=go_environment(entry), more=files,
    )  # fmt: skip


def models_target() -> Target:
    """All synthetic models, written by a generator of ours. Raises CatalogueError, InputMismatch."""
    models = synthetic_models()
    outputs = {f"models/{path}": sha256 for model in models.values() for path, sha256 in model.files.items()}
    folder = models_folder()
    command = (GO, "run", ".", "-o", f"{OUT}/models", *sorted(models))
    return Target(
        key="models",
        folder="models",
        title="the synthetic models",
        files=_tree(folder, "src"),
        modules=read_modules(folder),
        workdir="src",
        command=command,
        outputs=outputs,
        origin=folder,
        note="build: writing the synthetic models",
    )


def native_target(part_id: str) -> Target:
    """A native part. Raises CatalogueError."""
    part = native_part(part_id)
    archive = read_source(part.folder, part.source, part.version)
    folder = f"native-{part.id}"
    source = f"{BUILD_ROOT}/{folder}/source/{archive.filename}"
    outputs = {f"lib/{name}": "" for name in part.libraries} | {f"programs/{name}": "" for name in part.programs}
    return Target(
        key=folder,
        folder=folder,
        title=part.title,
        files={"src/build.sh": native.script(part, source, OUT)},
        modules=NO_MODULES,
        workdir="src",
        command=("/usr/bin/dash", "build.sh"),
        outputs=outputs,
        origin=part.folder,
        environment=NATIVE_ENVIRONMENT,
        archives=(archive,),
        native=True,
        go=False,
        note=f"build: compiling {part.title} (minutes, once)",
    )


def go_environment(entry: SdkEntry | BackendEntry) -> dict[str, str]:
    """The environment in which an entry is compiled. Raises CatalogueError for C flags without cgo."""
    unused = [key for key in entry.build_environment if key.startswith("CGO_") and not entry.cgo]
    if unused:
        raise CatalogueError(
            f"{entry.folder}: build_environment.{unused[0]}",
            "without `cgo: true` nothing reads it",
            "correct the entry",
        )
    return {**ENVIRONMENT, **(CGO_ENVIRONMENT if entry.cgo else {}), **entry.build_environment}


def _go_target(
    key: str,
    folder: str,
    title: str,
    origin: Path,
    verb: tuple[str, ...],
    *,
    inner: str = ".",
    package: str = ".",
    environment: Mapping[str, str] = ENVIRONMENT,
    more: Mapping[str, bytes] | None = None,
) -> Target:
    """A Go program of a module of ours, called ``key`` below ``/out``."""
    return Target(
        key=key,
        folder=folder,
        title=title,
        files={**_tree(origin, "src"), **(more or {})},
        modules=read_modules(origin),
        workdir=_below("src", inner),
        command=(GO, *verb, LINKER_FLAGS, "-o", f"{OUT}/{key}", package),
        outputs={key: ""},
        origin=origin,
        environment=environment,
        native=environment["CGO_ENABLED"] == "1",
        note=f"build: compiling {title}",
    )


def _below(folder: str, inner: str) -> str:
    return folder if inner == "." else f"{folder}/{inner}"


def workload_test(entry: SdkEntry) -> bytes:
    """The generated test file that makes one program of harness and adapter."""
    from toolkit.render.templates import render

    return render("workload_test.go.j2", sdk=entry)


def _tree(folder: Path, below: str) -> dict[str, bytes]:
    """Go sources of a folder; tests, notes and whatever else lies there do not reach the compiler."""
    found: dict[str, bytes] = {}
    for path in sorted(folder.rglob("*")):
        parts = path.relative_to(folder).parts
        if any(part.startswith((".", "_")) or part in ("testdata", "vendor") for part in parts) or not path.is_file():
            continue
        source = path.suffix in _SOURCE_SUFFIXES and not path.name.endswith("_test.go")
        if source or parts[-1] in _MODULE_FILES or not _VERBATIM.isdisjoint(parts[:-1]):
            found[f"{below}/{path.relative_to(folder).as_posix()}"] = path.read_bytes()
    if f"{below}/go.mod" not in found:
        raise CatalogueError(
            f"{folder / 'go.mod'} is missing", "a Go module is expected there", "restore it from version control"
        )
    return found


def _require_go(build: str, folder: Path) -> None:
    if build != "go":
        raise CatalogueError(
            f"{folder}: build: {build}", "only `build: go` has a sealed route so far", "use `build: go`"
        )


def target_json(target: Target, lock: Lock) -> dict[str, Any]:
    """A target as it stands in a run's lock.json: all of it, with the digests of its sources for their bytes."""
    return {
        "inputs_digest": target.inputs_digest(lock),
        "modules": modules_json(target.modules),
        "archives": [asdict(row) for row in target.archives],
        "sources": target.sources(),
        "command": list(target.command),
        "environment": dict(target.environment),
        "native": target.native,
        "go": target.go,
        "folder": target.folder,
        "title": target.title,
        "workdir": target.workdir,
        "outputs": dict(target.outputs),
    }


def target_from_json(key: str, row: Mapping[str, Any], source: Callable[[str, str], bytes]) -> Target:
    """A target of a run's lock.json. ``source`` gives the bytes of a digest; its second argument is the path.

    Raises CatalogueError for a lock that does not say all, and what ``source`` raises.
    """
    try:
        return Target(
            key=key,
            folder=str(row["folder"]),
            title=str(row["title"]),
            files={path: source(str(digest_of), path) for path, digest_of in row["sources"].items()},
            modules=parse_modules(row["modules"], Path("lock.json")),
            workdir=str(row["workdir"]),
            command=tuple(row["command"]),
            outputs=dict(row["outputs"]),
            origin=Path("lock.json"),
            environment=dict(row["environment"]),
            archives=tuple(LockedFile(**one) for one in row["archives"]),
            native=bool(row["native"]),
            go=bool(row["go"]),
            note=f"build: {row['title']}",
        )
    except (KeyError, TypeError, AttributeError) as problem:
        raise CatalogueError(
            f"the run's lock does not say how {key} was built",
            f"{type(problem).__name__}: {problem}",
            "it was made by an older version of repro: use that one",
        ) from problem
