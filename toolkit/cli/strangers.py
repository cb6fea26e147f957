"""What ``rerun``, ``rebuild`` and ``diff`` do with a stranger's archive before anything else: open, verify, refuse."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from toolkit.errors import ArchiveInvalid, HostUnfit, ReproError

if TYPE_CHECKING:
    from toolkit.output import Output
    from toolkit.verify.report import Verification
    from toolkit.verify.run import Question
    from toolkit.verify.scan import Scan


@dataclass(frozen=True)
class Held:
    """A verified archive, still open: what is unpacked is what was verified. ``place``: an empty folder of ours."""

    found: Verification
    scan: Scan
    stream: BinaryIO
    place: Path


@contextmanager
def verified_archive(question: Question, store: Path | None, refuse: Callable[[Verification], None]) -> Iterator[Held]:
    """Open and verify an archive; ``refuse`` raises for one that may not be used. The folder goes with the block.

    Raises UsageError, StoreError, and what ``refuse`` raises (``may_use``: ArchiveInvalid, HostUnfit).
    """
    from toolkit.fetch.store import Store
    from toolkit.verify.run import opened, verify_stream

    with opened(question.path) as stream:
        found, scan = verify_stream(stream, question)
        refuse(found)
        if scan is None:
            raise RuntimeError("a verified archive was read")
        with Store.open(store).temporary() as place:
            yield Held(found, scan, stream, place)


def may_use(found: Verification, *, accept_unverified: bool) -> None:
    """Raises ArchiveInvalid or HostUnfit unless the archive is verified and somebody vouches for it."""
    if found.verdict != "verified":
        failed = found.stages[-1]
        check = failed.checks[-1]
        raise _typed(found.verdict)(
            f"the archive is {found.verdict} (stage {failed.n}, {failed.name})",
            f"{check.what}: expected {check.expected}, found {check.found}",
            "nothing of it was run; 'repro verify' shows all that was checked",
        )
    if found.author != "verified" and not accept_unverified:
        raise ArchiveInvalid(
            f"the author of the archive is {found.author}",
            "anybody could have made it" if found.author == "unsigned" else f"{found.signer} is only its own word",
            "name whom you believe (--signer FILE), or use it all the same: --accept-unverified",
        )


def _typed(verdict: str) -> type[ReproError]:
    return HostUnfit if verdict == "unfit-host" else ArchiveInvalid


_CHOOSES = ("DOCKER_HOST", "DOCKER_CONTEXT", "DOCKER_CONFIG", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")


def say_environment(output: Output) -> list[str]:
    """Name the variables of this machine that choose an engine or a proxy. Their values may hold keys: never shown."""
    names = sorted(name for name in os.environ if name.upper() in _CHOOSES)
    for name in names:
        output.talk(f"NOTE: {name} is set here; it reaches the engine's client only, never a container")
    return names
