"""Lane leases: exclusive CPUs between processes and users of one machine.

One lock file per CPU in one machine-wide folder, held with flock(2): the kernel releases it whatever happens to us.
The file's content names the owner for people and for ``doctor``; the lock alone decides. A lane is free only if its
locks are free *and* no labelled container sits on its CPUs.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

from toolkit.engine.port import LABEL_CPUS, LABEL_ROLE, LABEL_RUN, Engine
from toolkit.errors import HostUnfit, LaneBusy
from toolkit.model.cpulist import format_cpulist, parse_cpulist
from toolkit.owner import current_owner, owner_from_labels, provably_dead

_POLL_SECONDS = 0.2


def lanes_folder() -> Path:
    """The machine-wide folder: ``$REPRO_LANES``, else ``/run/lock/sealbench``, else the same under ``/tmp``."""
    chosen = os.environ.get("REPRO_LANES")
    if chosen:
        return Path(chosen)
    base = Path("/run/lock") if os.access("/run/lock", os.W_OK) else Path("/tmp")
    return base / "sealbench"


@contextmanager
def lease(cpus: str, engine: Engine, *, shared: str = "", wait_seconds: float = 0.0) -> Iterator[None]:
    """Hold the lane of these CPUs (kernel list) for the body.

    ``shared`` are the CPUs of agent and backend: others may put theirs there, too, but nobody may measure on them.
    Raises LaneBusy when somebody else holds one of them after ``wait_seconds``; HostUnfit when no lock can be made.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        with ExitStack() as held:
            holder = _try_all(parse_cpulist(cpus), _beside(cpus, shared), held) or _container_on(engine, cpus, shared)
            if holder is None:
                yield
                return
        if time.monotonic() >= deadline:
            raise LaneBusy(
                f"CPU {cpus} is busy", holder, "wait for it (--wait SECONDS), or choose other CPUs with --cpus"
            )
        time.sleep(_POLL_SECONDS)


def _beside(cpus: str, shared: str) -> tuple[int, ...]:
    measured = set(parse_cpulist(cpus))
    return tuple(cpu for cpu in parse_cpulist(shared) if cpu not in measured) if shared else ()


def _try_all(cpus: tuple[int, ...], shared: tuple[int, ...], held: ExitStack) -> str | None:
    """Lock every CPU, never waiting, so that two leases cannot deadlock; who holds the first that is taken, or None."""
    folder = _ready_folder()
    for cpu in (*cpus, *shared):
        path = folder / f"cpu{cpu}.lock"
        descriptor = _open(path)
        try:
            fcntl.flock(descriptor, (fcntl.LOCK_EX if cpu in cpus else fcntl.LOCK_SH) | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return f"CPU {cpu} is leased by {_read_owner(path)}"
        if cpu in cpus:
            held.callback(_release, descriptor)
            _write_owner(descriptor)
        else:
            held.callback(os.close, descriptor)
    return None


def _ready_folder() -> Path:
    folder = lanes_folder()
    try:
        if not folder.is_dir():
            folder.mkdir(parents=True, exist_ok=True)
            # Past the umask, and only a folder of our own making: a user may have named one that is private.
            with suppress(PermissionError):
                folder.chmod(0o1777)
    except OSError as problem:
        raise HostUnfit(
            "no lane can be leased",
            f"the lock folder cannot be made: {problem.strerror}",
            "set REPRO_LANES to a folder",
        ) from problem
    return folder


def _open(path: Path) -> int:
    # Without O_CREAT first: fs.protected_regular refuses O_CREAT on another user's file in a sticky folder.
    try:
        return os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return _create(path)
    except OSError as problem:
        raise _closed(path, problem) from problem


def _create(path: Path) -> int:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    except OSError as problem:
        raise _closed(path, problem) from problem
    with suppress(PermissionError):
        os.fchmod(descriptor, 0o666)  # past the umask: other users must be able to lock it
    return descriptor


def _closed(path: Path, problem: OSError) -> HostUnfit:
    return HostUnfit(
        "no lane can be leased",
        f"{path.name} cannot be opened: {problem.strerror}",
        "ask the owner of the lock folder, or set REPRO_LANES to another",
    )


def _write_owner(descriptor: int) -> None:
    owner = current_owner()
    text = json.dumps({"pid": owner.pid, "start_ticks": owner.start_ticks})
    with suppress(OSError):  # for people only: the lock alone decides, also on a full disk
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, text.encode(), 0)


def _release(descriptor: int) -> None:
    with suppress(OSError):
        os.ftruncate(descriptor, 0)
    os.close(descriptor)


def _read_owner(path: Path) -> str:
    try:
        return f"process {json.loads(path.read_text())['pid']}"
    except (OSError, ValueError, KeyError):
        return "another process"


def _container_on(engine: Engine, cpus: str, shared: str) -> str | None:
    """A live owner's labelled container on these CPUs. Orphans are the caller's to clean first."""
    measured, beside = set(parse_cpulist(cpus)), set(_beside(cpus, shared))
    for container in engine.owned(LABEL_RUN):
        label = container.labels.get(LABEL_CPUS, "")
        owner = owner_from_labels(container.labels)
        if not container.running or not label or (owner is not None and provably_dead(owner)):
            continue
        # Where another's program is measured nobody's backend may be; where its backend is, ours may be, too.
        wanted = measured | beside if container.labels.get(LABEL_ROLE) == "sdk" else measured
        taken = wanted & set(parse_cpulist(label))
        if taken:
            return f"a container of run {container.labels.get(LABEL_RUN, '?')} runs on CPU {format_cpulist(taken)}"
    return None
