"""Builds one target in a hardened container: no network, no capabilities, read-only root, bounded memory, processes
and time.

``docker build`` can drop nothing; this can. Sources and modules are bound read-only, what comes out is written to one
folder.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from toolkit.build.gocache import CACHE, Cache
from toolkit.build.targets import BUILD_ROOT, ENVIRONMENT, GO, OUT, Target
from toolkit.canonical import sha256_file
from toolkit.engine.port import LABEL_RUN, Engine
from toolkit.errors import BuildFailed, InputMismatch
from toolkit.fetch.store import Store
from toolkit.model.container import ContainerSpec, Mount, Tmpfs, Ulimit
from toolkit.owner import current_owner

MEMORY_BYTES = 6 * 1024**3  # openai-go alone takes 2.8 GB in one compiler, and its neighbours run beside it
_TMP_BYTES = 3 * 1024**3
_PIDS = 512
_COMPILE_SECONDS = 3600.0  # llama.cpp takes 2 minutes on two idle cores, and 16 on two that six others want
_LOOK_SECONDS = 0.5
_PATH_BYTES = 4096
_RESERVE_BYTES = 512 * 1024**2
"""What a stranger's build leaves free of the disk, whatever it was allowed."""
_STDERR_BYTES = 16 * 1024
_RUN_LABEL = "build"
UID = 65534
_FOLDER_MODE = 0o755  # whatever the umask: the compiler runs as another user
_OUT_MODE = 0o777  # that user writes here; the folder above is private
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


@dataclass(frozen=True)
class Limits:
    """What the builds of a stranger may take, all together: until when (``time.monotonic``), and bytes of disk each.

    Memory and processes are bounded for every build. The disk is looked at twice a second: what lies in ``/out`` and,
    where this user may look, in the build's volumes (each path counts 4 KiB at least, so that empty files count, too);
    no file may be larger (setrlimit(2), RLIMIT_FSIZE).
    """

    deadline: float
    disk_bytes: int

    def left_seconds(self) -> float:
        """Until the deadline; 0 when it is over."""
        return max(0.0, self.deadline - time.monotonic())


def build_spec(
    image: str,
    command: tuple[str, ...],
    environment: Mapping[str, str],
    *,
    working_dir: str = "/",
    mounts: tuple[Mount, ...] = (),
    volumes: tuple[str, ...] = (),
) -> ContainerSpec:
    """The container of a build step."""
    return ContainerSpec(
        image=image,
        command=command,
        entrypoint=(),
        environment=environment,
        labels={LABEL_RUN: _RUN_LABEL, **current_owner().labels()},
        memory_bytes=MEMORY_BYTES,
        pids_limit=_PIDS,
        mounts=mounts,
        tmpfs=(Tmpfs("/tmp", _TMP_BYTES, executable=True),),
        ulimits=(Ulimit("core", 0, 0),),
        working_dir=working_dir,
        volumes=volumes,
    )


def compile_target(
    engine: Engine,
    store: Store,
    target: Target,
    image: str,
    folder: Path,
    *,
    cache: Cache | None = None,
    limits: Limits | None = None,
) -> dict[str, Path]:
    """Build a target; returns its outputs, below ``folder``. ``cache`` holds compiled dependencies. ``limits`` are for
    the sources of a stranger.

    Raises BuildFailed with the compiler's words, InputMismatch, EngineError.
    """
    context, out = folder / "context", folder / "out"
    write_target(store, target, context)
    for output in target.outputs:
        (out / output).parent.mkdir(parents=True, exist_ok=True)
    for place, _, _ in os.walk(out):
        Path(place).chmod(_OUT_MODE)
    mounts = (Mount(str(context), BUILD_ROOT), Mount(str(out), OUT, writable=True))
    go = {"GOCACHE": CACHE, "GOPROXY": target.proxy} if target.go else {}
    spec = build_spec(
        image,
        target.command,
        {**target.environment, **go},
        working_dir=target.working_dir,
        mounts=mounts,
        volumes=(CACHE,) if target.go else (),
    )
    fill = (lambda container: cache.fill(engine, container)) if cache else None
    with ran(
        engine, _bounded(spec, limits), target.title, before=fill, wait=_waiting(engine, out, target.title, limits)
    ) as container:
        if cache and not limits:  # what a stranger's build leaves in its cache is nobody's to keep
            cache.keep(engine, container)
    if limits and _taken(out) > limits.disk_bytes:
        raise _too_much(target.title, limits)
    return {output: _made(out / output, output, target) for output in target.outputs}


def _made(path: Path, output: str, target: Target) -> Path:
    """What a target made, checked: a plain file with something in it, and the pinned bytes where they are pinned.

    No part of its path below ``/out`` may be a link: the build could have put one to a folder of the host in its place.
    """
    inside = [path, *list(path.parents)[: output.count("/")]]
    if any(part.is_symlink() for part in inside) or not path.is_file() or path.stat().st_size == 0:
        raise BuildFailed(
            f"Building {target.title} left no {output}", "it ended well but wrote no such file", "report this"
        )
    wanted = target.outputs[output]
    found = sha256_file(path) if wanted else ""
    if found != wanted:
        raise InputMismatch(
            f"{target.title} gave another {output}",
            f"expected sha256 {wanted}, written {found}",
            "undo the change of its sources, or pin the new digest",
        )
    return path


@contextlib.contextmanager
def ran(
    engine: Engine,
    spec: ContainerSpec,
    title: str,
    *,
    before: Callable[[str], None] | None = None,
    wait: Callable[[str], int | None] | None = None,
) -> Iterator[str]:
    """Run a build container to its good end; gives its id, removes it whatever happens. Raises BuildFailed."""
    container, _ = engine.create(spec)
    try:
        if before:
            before(container)
        engine.start(container)
        code = wait(container) if wait else engine.wait(container, _COMPILE_SECONDS)
        if code != 0:
            raise _failure(engine, container, code, title)
        yield container
    finally:
        engine.remove(container)


def _bounded(spec: ContainerSpec, limits: Limits | None) -> ContainerSpec:
    """The container of a build, with no file of it larger than it may write at all."""
    if limits is None:
        return spec
    return replace(spec, ulimits=(*spec.ulimits, Ulimit("fsize", limits.disk_bytes, limits.disk_bytes)))


def _waiting(engine: Engine, out: Path, title: str, limits: Limits | None) -> Callable[[str], int | None] | None:
    """How a build's end is waited for: within its limits, if it has any."""
    return (lambda container: _watched(engine, container, out, title, limits)) if limits else None


def _watched(engine: Engine, container: str, out: Path, title: str, limits: Limits) -> int:
    """The exit code of a build that is kept within its limits. Raises BuildFailed; the caller removes the container."""
    places = [out, *_volumes(engine, container)]
    while left := limits.left_seconds():
        code = engine.wait(container, min(left, _LOOK_SECONDS))
        if code is not None:
            return code
        if any(_taken(place) >= limits.disk_bytes for place in places):
            raise _too_much(title, limits)
        if shutil.disk_usage(out).free < _RESERVE_BYTES:
            raise _stopped(title, f"the disk has less than {_RESERVE_BYTES} bytes left", "free some space")
    raise _out_of_time(title)


def _out_of_time(title: str) -> BuildFailed:
    return _stopped(title, "the time that it was given is over", "give more: --limit-minutes")


def _too_much(title: str, limits: Limits) -> BuildFailed:
    return _stopped(title, f"it wrote more than {limits.disk_bytes} bytes", "read its sources; --limit-gigabytes")


def _stopped(title: str, why: str, remedy: str) -> BuildFailed:
    return BuildFailed(f"Building {title} was stopped", why, remedy)


def _volumes(engine: Engine, container: str) -> list[Path]:
    mounts = engine.inspect(container).get("Mounts") or ()
    return [Path(str(one["Source"])) for one in mounts if one.get("Type") == "volume" and one.get("Source")]


def _taken(folder: Path) -> int:
    """Bytes below a folder that somebody writes to meanwhile, holes counted, a block for each path at least; 0 where we
    may not look.
    """
    taken = 0
    for place, folders, names in os.walk(folder):
        for name in (*folders, *names):
            with contextlib.suppress(OSError):
                seen = Path(place, name).lstat()
                taken += max(_PATH_BYTES, seen.st_blocks * 512, seen.st_size)
    return taken


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
        if target.go:
            (context / target.folder / "proxy").mkdir(parents=True, exist_ok=True)
        for kind, rows in (("proxy", target.modules.files), ("source", target.archives)):
            for row in rows:
                blob = store.blob(row.sha256, row.filename)
                place = context / target.folder / kind / row.filename
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


def warm_standard_library(engine: Engine, image: str, layer: Path, *, limits: Limits | None = None) -> None:
    """Compile the standard library in a container of its own and write the cache as a layer tar. It holds times:
    outside every identity. ``limits``: the toolchain is a stranger's, and so is the compiler that runs.

    Raises BuildFailed, EngineError, OSError.
    """
    title = "the standard library"
    environment = {**ENVIRONMENT, "GOCACHE": CACHE, "GOPROXY": "off"}
    spec = _bounded(build_spec(image, (GO, "build", *_WARMED), environment, volumes=(CACHE,)), limits)
    wait = _waiting(engine, layer.parent, title, limits)
    with ran(engine, spec, title, wait=wait) as container, layer.open("wb") as stream:
        for block in engine.copy_out(container, CACHE):
            stream.write(block)
            if limits and stream.tell() > limits.disk_bytes:
                raise _too_much(title, limits)
            if limits and not limits.left_seconds():
                raise _out_of_time(title)
