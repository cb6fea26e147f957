"""Compiles one target in a hardened container: no network, no capabilities, read-only root, bounded memory, processes
and time.

``docker build`` can drop nothing; this can. Sources and modules are bound read-only, the output is one file made
beforehand.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from toolkit.build.targets import BUILD_ROOT, ENVIRONMENT, GO, Target
from toolkit.engine.port import LABEL_RUN, Engine
from toolkit.errors import BuildFailed, InputMismatch
from toolkit.fetch.store import Store
from toolkit.model.container import ContainerSpec, Mount, Tmpfs, Ulimit
from toolkit.owner import current_owner

MEMORY_BYTES = 4 * 1024**3
_TMP_BYTES = 3 * 1024**3
_PIDS = 512
_COMPILE_SECONDS = 900.0
_STDERR_BYTES = 16 * 1024
_CACHE = "/cache"
_RUN_LABEL = "build"
UID = 65534
_FOLDER_MODE = 0o755  # whatever the umask: the compiler runs as another user
# What the agent, the harness and most SDKs use of the standard library: 220 of its 350 packages, two thirds of the
# time.
# What is missing here is compiled where it is needed.
_WARMED = (
    "compress/gzip", "container/heap", "container/list", "crypto/hmac", "crypto/sha256", "crypto/x509",
    "encoding/base64", "encoding/hex",
    "encoding/json", "encoding/xml", "expvar", "flag", "hash/crc32", "hash/fnv", "html", "iter", "log/slog",
    "maps", "math/rand",
    "math/rand/v2", "mime/multipart", "net/http", "net/http/httptrace", "net/http/httputil", "net/netip",
    "net/textproto", "os/exec",
    "os/signal", "os/user", "regexp", "runtime/metrics", "runtime/pprof", "slices", "testing", "text/template",
    "unicode/utf16",
)  # fmt: skip


def build_spec(
    image: str, command: tuple[str, ...], *, working_dir: str = "/", proxy: str = "off", mounts: tuple[Mount, ...] = ()
) -> ContainerSpec:
    """The container of a build step."""
    return ContainerSpec(
        image=image,
        command=command,
        entrypoint=(),
        environment={**ENVIRONMENT, "GOCACHE": _CACHE, "GOPROXY": proxy},
        labels={LABEL_RUN: _RUN_LABEL, **current_owner().labels()},
        memory_bytes=MEMORY_BYTES,
        pids_limit=_PIDS,
        mounts=mounts,
        tmpfs=(Tmpfs("/tmp", _TMP_BYTES, executable=True),),
        ulimits=(Ulimit("core", 0, 0),),
        working_dir=working_dir,
        volumes=(_CACHE,),
    )


def compile_target(engine: Engine, store: Store, target: Target, image: str, folder: Path) -> Path:
    """Compile; returns the binary below ``folder``. Raises BuildFailed with the compiler's words, InputMismatch,
    EngineError.
    """
    context = folder / "context"
    write_target(store, target, context)
    out = folder / target.binary
    out.touch()
    out.chmod(0o666)
    mounts = (Mount(str(context), BUILD_ROOT), Mount(str(out), f"/out/{target.binary}", writable=True))
    spec = build_spec(image, target.command, working_dir=target.working_dir, proxy=target.proxy, mounts=mounts)
    with ran(engine, spec, target.title):
        pass
    if out.stat().st_size == 0:
        raise BuildFailed(
            f"The compiler left no binary for {target.title}", "it ended well but wrote nothing", "report this"
        )
    return out


@contextlib.contextmanager
def ran(engine: Engine, spec: ContainerSpec, title: str) -> Iterator[str]:
    """Run a build container to its good end; gives its id, removes it whatever happens. Raises BuildFailed."""
    container, _ = engine.create(spec)
    try:
        engine.start(container)
        code = engine.wait(container, _COMPILE_SECONDS)
        if code != 0:
            raise _failure(engine, container, code, title)
        yield container
    finally:
        engine.remove(container)


def _failure(engine: Engine, container: str, code: int | None, title: str) -> BuildFailed | InputMismatch:
    if code is None:
        return BuildFailed(
            f"Compiling {title} took too long",
            f"more than {_COMPILE_SECONDS:.0f} s",
            "try again on a less busy machine",
        )
    if engine.state(container).oom_killed:
        return BuildFailed(f"Compiling {title} ran out of memory", f"the limit is {MEMORY_BYTES} bytes", "report this")
    said = engine.logs(container, stderr=True, limit_bytes=_STDERR_BYTES).decode("utf-8", "replace").strip()
    lines = " | ".join(said.splitlines()[-12:])
    if "SECURITY ERROR" in said or "checksum mismatch" in said or "missing go.sum entry" in said:
        return InputMismatch(f"A module of {title} is not what go.sum says", lines, "lock again: repro lock")
    return BuildFailed(
        f"Compiling {title} failed (exit {code})", lines or "the compiler said nothing", "correct the sources"
    )


def write_target(store: Store, target: Target, context: Path) -> None:
    """Write a target's context folder below ``context``: files 0444, folders 0755 whatever the umask, modules verified.

    Raises InputMismatch naming the changed file, StoreError.
    """
    with store.errors():
        for path, data in target.files.items():
            _place(context / target.folder / path, data)
        (context / target.folder / "proxy").mkdir(parents=True, exist_ok=True)
        for row in target.modules.files:
            blob = store.blob(row.sha256, row.filename)
            place = context / target.folder / "proxy" / row.filename
            place.parent.mkdir(parents=True, exist_ok=True)
            _link(blob, place)
        for folder, _, _ in os.walk(context):
            Path(folder).chmod(_FOLDER_MODE)


def _link(blob: Path, place: Path) -> None:
    try:
        os.link(blob, place)
    except OSError:  # a file system without hard links
        _place(place, blob.read_bytes())


def _place(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    path.chmod(0o444)


def warm_standard_library(engine: Engine, image: str, layer: Path) -> None:
    """Compile the standard library in a container of its own and write the cache as a layer tar. It holds times:
    outside every identity.
    """
    spec = build_spec(image, (GO, "build", *_WARMED))
    with ran(engine, spec, "the standard library") as container, layer.open("wb") as stream:
        for block in engine.copy_out(container, _CACHE):
            stream.write(block)
