"""How an attempt ended: a pure reading of exit codes, records and logs into the closed vocabulary of design section 8."""

from __future__ import annotations

from dataclasses import dataclass, field

from toolkit.errors import ContainerFailed, EngineLost, Interrupted, ReproError, RunFolderLost

REFUSED_EXIT = 71
NOT_READY_EXIT = 69
_PANIC_MARKS = (b"panic:", b"fatal error:", b"SIGSEGV")
_SIGKILL = 9


@dataclass
class Ending:
    """What is known of one container when it is over. ``child_exit`` is None when its agent could not report one."""

    started: bool = False
    exit_code: int | None = None
    oom_killed: bool = False
    engine_error: str = ""
    child_exit: int | None = None
    child_signal: int = 0
    oom_kills: int = 0
    refused: str = ""
    stderr: bytes = b""


@dataclass
class Evidence:
    """Everything ``termination`` judges."""

    sdk: Ending = field(default_factory=Ending)
    backend: Ending = field(default_factory=Ending)
    backend_ready: bool = False
    backend_ended_first: bool = False
    interrupted: bool = False
    hung: bool = False
    engine_lost: str = ""
    disk_full: bool = False
    folder_lost: bool = False


def termination(evidence: Evidence) -> str:
    """One word for the end; the first cause in the order of events wins."""
    if evidence.engine_lost:
        return "engine-lost"
    if evidence.disk_full or evidence.folder_lost:
        return "disk-full"
    if evidence.interrupted:
        return "interrupted"
    if evidence.sdk.refused or evidence.backend.refused:
        return "refused"
    if not evidence.sdk.started:
        return _backend_end(evidence)
    if evidence.backend_ended_first:
        return "backend-died"
    return "hang" if evidence.hung else _sdk_end(evidence.sdk)


def _backend_end(evidence: Evidence) -> str:
    if not evidence.backend.started:
        return "container-failed"
    if evidence.backend_ready:
        return "container-failed"
    if evidence.backend.oom_killed or evidence.backend.oom_kills:
        return "oom"
    return "backend-not-ready"


def _sdk_end(end: Ending) -> str:
    if end.oom_killed or end.oom_kills:
        return "oom"
    if end.child_exit is None:
        return "agent-lost"
    if end.child_exit == 0:
        return "completed"
    if any(mark in end.stderr for mark in _PANIC_MARKS):
        return "panic"
    return "killed" if end.child_signal == _SIGKILL else "container-failed"


def ending_error(word: str, evidence: Evidence, memory_bytes: int) -> ReproError | None:
    """What to tell the user of an ending other than ``completed``; None for that one."""
    if word == "completed":
        return None
    special = _special_error(word, evidence, memory_bytes)
    if special is not None:
        return special
    title, cause, remedy = _TEXTS[word]
    detail = _detail(evidence)
    return ContainerFailed(title, f"{cause}{': ' + detail if detail else ''}", remedy)


def _special_error(word: str, evidence: Evidence, memory_bytes: int) -> ReproError | None:
    if word == "engine-lost":
        return EngineLost("the engine was lost while the launch ran", evidence.engine_lost, "start it and launch again")
    if word == "interrupted":
        return Interrupted("interrupted", "what was measured so far is kept, marked as interrupted", "launch again")
    if word == "disk-full":
        return RunFolderLost(
            "the run folder could not be written to the end",
            "its disk is full, or it was moved or deleted",
            "see above",
        )
    if word == "oom":
        return ContainerFailed(
            "a container ran out of memory",
            f"the kernel's out-of-memory killer ended it at its limit of {memory_bytes} bytes",
            "give it more with --memory",
        )
    return None


def _detail(evidence: Evidence) -> str:
    for end in (evidence.sdk, evidence.backend):
        text = end.refused or end.engine_error
        if text:
            return text
    # Only the container that failed has something to say; the other's log would mislead.
    failed = evidence.backend if not evidence.sdk.started or evidence.backend_ended_first else evidence.sdk
    lines = [line for line in failed.stderr.decode(errors="replace").splitlines() if line.strip()]
    code = f"exit code {failed.exit_code}" if failed.exit_code is not None else ""
    first = next((line for line in lines if "panic:" in line or "fatal error:" in line), lines[-1] if lines else "")
    return "; ".join(part for part in (code, first[:300]) if part)


_TEXTS = {
    "refused": (
        "a container refused to start its program",
        "a limit that was asked for does not hold inside it",
        "run 'repro doctor'; the row named above says what to look at",
    ),
    "backend-not-ready": (
        "the backend never got ready",
        "its readiness probe found nothing in time",
        "look at backend.stderr.log in the attempt's folder",
    ),
    "backend-died": (
        "the backend ended before the measurement did",
        "it was alive at the start",
        "look at backend.stderr.log in the attempt's folder",
    ),
    "agent-lost": (
        "the in-container agent was lost",
        "the container ended without its agent's last record",
        "look at 'dmesg' and at the engine's log: somebody killed it",
    ),
    "killed": (
        "the workload was killed",
        "by a signal from outside: it was not out of memory",
        "find out who sent it, then launch again",
    ),
    "panic": (
        "the workload panicked",
        "it ended by itself with a stack trace",
        "look at stderr.log in the attempt's folder",
    ),
    "hang": (
        "the workload did not end at its planned end",
        "it was stopped after a grace period",
        "look at stderr.log and at the last samples in result.json",
    ),
    "container-failed": (
        "a container failed",
        "it did not start, or ended with an error",
        "look at stderr.log in the attempt's folder",
    ),
}
