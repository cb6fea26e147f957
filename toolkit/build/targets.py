"""What is compiled: for each binary its sources, its locked modules and its command. Pure but for reading the source
folders.

A target's context folder looks the same in the hardened container and in the rendered Dockerfile:
``/build/<folder>/src`` (the module),
``/build/<folder>/proxy`` (its modules as a file proxy) and, for an SDK, ``/build/sdk/harness``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from toolkit import resources
from toolkit.canonical import digest, digest_bytes
from toolkit.errors import CatalogueError
from toolkit.lock import ModulesLock, read_modules
from toolkit.model.catalogue import BackendEntry, SdkEntry

HARNESS_MODULE = "sealbench.org/harness"
BUILD_ROOT = "/build"
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

_SOURCE_SUFFIXES = (".go", ".s", ".h", ".c")
_MODULE_FILES = ("go.mod", "go.sum")
CHECKOUT = "checkout"
"""The folder of an entry that holds a checkout of its SDK (``--sdk-at DIR``)."""
_VERBATIM = frozenset({"embed", CHECKOUT})


@dataclass(frozen=True)
class Target:
    """One binary. ``files`` are paths below the context folder; ``binary`` is its name below ``/repro``."""

    binary: str
    folder: str
    title: str
    files: Mapping[str, bytes]
    modules: ModulesLock
    workdir: str
    arguments: tuple[str, ...]

    @property
    def proxy(self) -> str:
        return f"file://{BUILD_ROOT}/{self.folder}/proxy"

    @property
    def command(self) -> tuple[str, ...]:
        return (GO, *self.arguments, LINKER_FLAGS, "-o", f"/out/{self.binary}", ".")

    @property
    def working_dir(self) -> str:
        return f"{BUILD_ROOT}/{self.folder}/{self.workdir}"

    def sources(self) -> dict[str, str]:
        """path -> digest of each source file."""
        return {path: digest_bytes(self.files[path]) for path in sorted(self.files)}

    def inputs_digest(self, toolchain_tar_sha256: str) -> str:
        """The digest of everything that can change the binary."""
        value: dict[str, Any] = {
            "schema": "repro.inputs/1",
            "toolchain": toolchain_tar_sha256,
            "environment": dict(ENVIRONMENT),
            "command": list(self.command),
            "working_dir": self.working_dir,
            "files": self.sources(),
            "modules": [[row.filename, row.sha256] for row in self.modules.files],
        }
        return digest(value)


def agent_target() -> Target:
    """The agent, which is in every image a launch starts. Raises CatalogueError, InputMismatch."""
    folder = resources.images_dir() / "agent"
    # Without gRPC's tracing (and the HTML templates it brings) the agent is 2.6 MB smaller and needs 3 MiB less memory.
    return Target(
        "agent", "agent", "the agent", _tree(folder, "src"), read_modules(folder), "src", ("build", "-tags=grpcnotrace")
    )


def backend_target(entry: BackendEntry) -> Target:
    """A backend of ours. Raises CatalogueError, InputMismatch."""
    _require_go(entry.build, entry.folder)
    files = _tree(entry.folder, "src")
    return Target("backend", "backend", f"backend {entry.id}", files, read_modules(entry.folder), "src", ("build",))


def sdk_target(entry: SdkEntry) -> Target:
    """An SDK's workload: a copy of its module with the harness injected and the generated test file.

    The entry itself never names the harness: a replace in it would fail from a user's folder, and a module that the
    harness needed
    would break every go.sum. Raises CatalogueError, InputMismatch.
    """
    _require_go(entry.build, entry.folder)
    files = _tree(entry.folder, "src") | _tree(resources.images_dir() / "harness", "harness")
    files["src/go.mod"] += f"\nrequire {HARNESS_MODULE} v0.0.0\n\nreplace {HARNESS_MODULE} => ../harness\n".encode()
    workdir = "src" if entry.package == "." else f"src/{entry.package}"
    files[f"{workdir}/workload_test.go"] = workload_test(entry)
    arguments = ("test", "-c")
    return Target("workload", "sdk", f"SDK {entry.id}", files, read_modules(entry.folder), workdir, arguments)


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
