"""The stages in their order, and what they come to. Executes nothing, writes nothing, asks no engine."""

from __future__ import annotations

import errno
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from toolkit.errors import UsageError
from toolkit.verify.names import shown
from toolkit.verify.report import STAGES, Author, Refused, Stage, Verdict, Verification
from toolkit.verify.scan import Scan, scan
from toolkit.verify.stages.signature import Expected, check_signature

LAST = len(STAGES) - 1


@dataclass(frozen=True)
class Question:
    """What the reviewer asks. ``sha256``: of the transport bytes; ``through``: the last stage to look at.

    ``not_before``: the least that the run's id may begin with (``20261125-190457``, UTC). Signed bytes stay signed for
    ever: only the reviewer can know that there is a newer run, and an older one was sent again.
    """

    path: Path
    sha256: str | None = None
    signers: Expected | None = None
    through: int = LAST
    not_before: str | None = None


class _Bench:
    """What the stages put down for each other."""

    def __init__(self, question: Question) -> None:
        self.question = question
        self.stages: list[Stage] = []
        self.scan: Scan | None = None
        self.documents: dict[str, Any] = {}
        self.author: Author = "unsigned"
        self.signer: str | None = None
        self.warnings: list[str] = []
        self.differences: list[str] = []
        self.forecast: list[str] = []

    def begin(self, n: int) -> Stage:
        stage = Stage(n)
        self.stages.append(stage)
        return stage


def verify(question: Question) -> Verification:
    """Verify an archive. Raises UsageError when there is no such file; everything else is in the answer."""
    with opened(question.path) as stream:
        return verify_stream(stream, question)[0]


def verify_stream(stream: BinaryIO, question: Question) -> tuple[Verification, Scan | None]:
    """Verify an archive that is open, and keep it open: what is unpacked later is what was verified."""
    bench = _Bench(question)
    verdict: Verdict = "verified"
    try:
        for step in _STEPS:
            if step is not _STEPS[0] and bench.stages[-1].n >= question.through:
                break
            step(bench, stream)
    except Refused as refused:
        verdict = _refuse(bench, refused)
    return _answer(bench, verdict), bench.scan


def _refuse(bench: _Bench, refused: Refused) -> Verdict:
    """The stage that failed ends the list, with the check that decided last."""
    bench.stages = [stage for stage in bench.stages if stage.n < refused.stage]
    failed = Stage(refused.stage, [refused.check], refused.verdict)
    bench.stages.append(failed)
    return refused.verdict


def _answer(bench: _Bench, verdict: Verdict) -> Verification:
    index = bench.documents.get("index", {})
    found = bench.scan
    transport = found.transport if found is not None else None
    archive: dict[str, Any] = {"run": index.get("run", {}).get("id"), "without": index.get("without", [])}
    if found is not None and transport is not None:
        archive |= {
            "sha256": transport.sha256,
            "size_bytes": transport.size_bytes,
            "content_bytes": transport.content_bytes,
            "compression": transport.compression,
            "members": len(found.members),
        }
    return Verification(
        verdict,
        bench.author,
        tuple(bench.stages),
        archive,
        tuple(bench.warnings),
        tuple(bench.differences),
        tuple(bench.forecast),
        bench.signer,
    )


def _bytes_and_listing(bench: _Bench, stream: BinaryIO) -> None:
    """Stages 0 and 1 are one pass: the bytes are read once."""
    found = scan(stream)
    bench.scan = found
    stage, transport = bench.begin(0), found.transport
    if transport is None:
        raise RuntimeError("a pass has a transport")
    stage.held(
        "the file",
        "zstd, gzip or plain tar, whole, nothing after it",
        f"{transport.compression}, {transport.size_bytes} bytes",
    )
    if not transport.as_written:
        bench.warnings.append(
            "the transport bytes are not as 'repro archive' writes them (compressed anew, or changed): "
            "what they unpack to is what was checked"
        )
    wanted = bench.question.sha256
    if wanted is not None:
        stage.require(transport.sha256 == wanted, "the sha256 of the file", wanted, transport.sha256)
    elif bench.question.path.name.endswith((".zst", ".gz")) and not _fits(
        bench.question.path.name, transport.compression
    ):
        bench.warnings.append(f"the name says one compression, the content is {transport.compression}")
    if bench.question.through >= 1:
        listing = bench.begin(1)
        listing.held(
            "members",
            "plain files with safe names and canonical headers",
            f"{len(found.members)}, {found.total_bytes} bytes",
        )


def _fits(name: str, compression: str) -> bool:
    return name.endswith({"zstd": ".zst", "gzip": ".gz"}.get(compression, ""))


def _signature(bench: _Bench, _stream: BinaryIO) -> None:
    bench.author, bench.signer = check_signature(bench.begin(2), _scan(bench), bench.question.signers)


# A stage is imported when it is reached: policy alone (the planner, the templates) takes longer than reading 30 MB.
def _manifests(bench: _Bench, _stream: BinaryIO) -> None:
    from toolkit.verify.stages.manifest import check_manifests

    stage, wanted = bench.begin(3), bench.question.not_before
    bench.documents = check_manifests(stage, _scan(bench))
    began = str(bench.documents["index"]["run"]["id"])[:15]
    if wanted is not None:
        stage.require(began >= wanted, "when the run began", f"not before {wanted}", began, verdict="unsafe")
    if began > time.strftime("%Y%m%d-%H%M%S", time.gmtime()):
        bench.warnings.append("the run says that it began in the future: one of two clocks is wrong")


def _content(bench: _Bench, _stream: BinaryIO) -> None:
    from toolkit.verify.stages.manifest import check_content

    check_content(bench.begin(4), _scan(bench), bench.documents)


def _images(bench: _Bench, _stream: BinaryIO) -> None:
    from toolkit.verify.stages.images import check_images

    bench.warnings += check_images(bench.begin(5), _scan(bench), bench.documents)


def _policy(bench: _Bench, _stream: BinaryIO) -> None:
    from toolkit.verify.stages.policy import check_policy

    bench.differences += check_policy(bench.begin(6), _scan(bench), bench.documents)


def _host(bench: _Bench, _stream: BinaryIO) -> None:
    from toolkit.verify.stages.host import forecast

    transport = _scan(bench).transport
    bench.forecast += forecast(bench.begin(7), bench.documents, transport.content_bytes if transport else 0)


_STEPS: tuple[Callable[[_Bench, BinaryIO], None], ...] = (
    _bytes_and_listing, _signature, _manifests, _content, _images, _policy, _host,
)  # fmt: skip


def _scan(bench: _Bench) -> Scan:
    if bench.scan is None:
        raise RuntimeError("stages come after the pass")
    return bench.scan


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """The archive, opened once and held: what is verified is what was opened. Raises UsageError."""
    if not hasattr(os, "O_NOFOLLOW") and path.is_symlink():  # where the system cannot refuse it while it opens
        raise UsageError(f"{shown(str(path))} cannot be opened", "it is a symbolic link", "give the archive's own file")
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags | getattr(os, "O_CLOEXEC", 0))
    except OSError as problem:
        what = "it is a symbolic link" if problem.errno == errno.ELOOP else (problem.strerror or str(problem))
        raise UsageError(f"{shown(str(path))} cannot be opened", what, "give the archive's own file") from problem
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UsageError(
            f"{shown(str(path))} is no file", "it is a folder, a pipe or a device", "give the archive's own file"
        )
    with os.fdopen(descriptor, "rb", buffering=1 << 20) as stream:
        yield stream


__all__ = ["LAST", "Expected", "Question", "opened", "verify", "verify_stream"]
