"""Brings Go modules by the locked toolchain, run on the host with the user's own settings (GOPROXY, GOPRIVATE, netrc,
CA, proxy).

Only ``*.zip`` and ``*.mod`` files are kept: a file proxy of those builds the same bytes as the whole cache.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from toolkit.errors import InputUnavailable
from toolkit.fetch.clients import run
from toolkit.model.inputs import LockedFile

_FETCH_SECONDS = 900.0
_ATTEMPTS = 2
_KEPT = (".zip", ".mod")
# What a user may have set with `go env -w` for a Go of their own; our toolchain reads the same file, but not their
# GOROOT's go.env.
_USER_SETTINGS = ("GOPROXY", "GONOPROXY", "GOPRIVATE", "GOSUMDB", "GONOSUMDB", "GOINSECURE", "GOAUTH", "GOVCS")
# These would change what is downloaded, or where to.
_REMOVED = (
    "GOFLAGS",
    "GOROOT",
    "GOWORK",
    "GOENV",
    "GO111MODULE",
    "GOOS",
    "GOARCH",
    "GODEBUG",
    "GOEXPERIMENT",
    "GOCACHEPROG",
    "GOMODCACHE",
)


def environment(modcache: Path) -> dict[str, str]:
    """The environment of `go mod download` on the host: the user's, less what would change the result."""
    env = {key: value for key, value in os.environ.items() if key not in _REMOVED}
    env |= {key: value for key, value in _own_settings(env).items() if key not in env}
    env |= {
        "GOTOOLCHAIN": "local",
        "GOMODCACHE": str(modcache),
        "GOFLAGS": "-modcacherw",
        "GOWORK": "off",
        "GOTELEMETRY": "off",
    }
    env |= {"GOCACHE": str(modcache.parent / "gocache"), "CGO_ENABLED": "0"}
    return env


def _own_settings(env: Mapping[str, str]) -> dict[str, str]:
    """The settings of the Go the user has, if any: their company's proxy may stand in its GOROOT."""
    if shutil.which("go", path=env.get("PATH")) is None:
        return {}
    outcome = run(["go", "env", "-json", *_USER_SETTINGS], env={**env, "GOTOOLCHAIN": "local"}, timeout_seconds=20.0)
    try:
        values = json.loads(outcome.stdout)
    except ValueError:
        return {}
    return {key: value for key, value in values.items() if isinstance(value, str) and value}


def download(go: Path, module: Path, modcache: Path, *, offline: bool = False) -> None:
    """`go mod download` of a *copy* of a module of ours. Raises InputUnavailable with what go said."""
    env = environment(modcache)
    if offline:
        env["GOPROXY"] = "off"
    outcome = run(
        [str(go), "mod", "download"],
        env=env,
        cwd=module,
        timeout_seconds=_FETCH_SECONDS,
        attempts=1 if offline else _ATTEMPTS,
    )
    if not outcome.ok:
        raise InputUnavailable(
            f"go could not download the modules of {module.name}",
            outcome.text,
            "check the network, GOPROXY and certificates, or use `repro fetch --from FILE`",
        )


def cache_files(modcache: Path) -> Iterator[tuple[str, Path]]:
    """(name below the proxy, path) of every kept file of a module cache, sorted."""
    root = modcache / "cache" / "download"
    if not root.is_dir():
        return
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.suffix in _KEPT and "/@v/" in name and not name.startswith("sumdb/"):
            yield name, path


def module_file(modcache: Path, row: LockedFile) -> Path:
    """Where the client left a locked module file. Raises InputUnavailable naming it."""
    path = modcache / "cache" / "download" / row.filename
    if not path.is_file():
        raise InputUnavailable(
            f"go brought no {row.filename}", "the lock names it", "check GOPROXY, or use `repro fetch --from FILE`"
        )
    return path


def toolchain_zip(module: LockedFile, folder: Path) -> Path:
    """The toolchain's module zip by the user's own go client, checked by the checksum database. Raises
    InputUnavailable.
    """
    if shutil.which("go") is None:
        raise InputUnavailable(
            "This host has no go client", "it is the toolchain's second source", "see the first source's error"
        )
    env = {
        **os.environ,
        "GOMODCACHE": str(folder / "mod"),
        "GOFLAGS": "-modcacherw",
        "GOTOOLCHAIN": "local",
        "GO111MODULE": "on",
    }
    outcome = run(
        ["go", "mod", "download", f"{module.name}@{module.version}"],
        env=env,
        cwd=folder,
        timeout_seconds=_FETCH_SECONDS,
    )
    path = folder / "mod" / "cache" / "download" / module.filename
    if not path.is_file():
        raise InputUnavailable(
            f"go could not bring {module.name}@{module.version}", outcome.text, "check the network and GOPROXY"
        )
    return path
