"""How an attempt ended, for people: the word comes from ``toolkit.analyse.termination``, the sentence from here."""

from __future__ import annotations

from dataclasses import dataclass, field

from toolkit.errors import ContainerFailed, EngineLost, Interrupted, ReproError, RunFolderLost
from toolkit.model.evidence import Termination

JOURNAL_EXIT = 74
"""The agent's exit code when it could not write its journal (docs/agent.md)."""

NO_SPACE = b"no space left on device"


@dataclass
class Ending:
    """What the engine says of one container when it is over. ``ended_first``: before the SDK's."""

    started: bool = False
    ended_first: bool = False
    exit_code: int | None = None
    oom_killed: bool = False
    engine_error: str = ""
    refused: str = ""
    stderr: bytes = b""


@dataclass
class Evidence:
    """What the launch itself saw, beside the journals."""

    sdk: Ending = field(default_factory=Ending)
    backend: Ending = field(default_factory=Ending)
    backend_ready: bool = False
    interrupted: bool = False
    hung: bool = False
    engine_lost: str = ""

    @property
    def stopped(self) -> Termination | None:
        """What ended the launch from outside the containers, if anything did."""
        if self.engine_lost:
            return "engine-lost"
        if self.interrupted:
            return "interrupted"
        if any(end.exit_code == JOURNAL_EXIT and NO_SPACE in end.stderr for end in (self.sdk, self.backend)):
            return "disk-full"
        return "hang" if self.hung else None


def ending_error(word: str, evidence: Evidence, memory_bytes: int, refused: str = "") -> ReproError | None:
    """What to tell the user of an ending other than ``completed``; None for that one.

    ``refused`` is why the host started nothing.
    """
    if word == "completed":
        return None
    special = _special_error(word, evidence, memory_bytes)
    if special is not None:
        return special
    title, cause, remedy = _TEXTS[word]
    if refused:
        title, cause = "nothing was started: the engine made other containers than it was asked for", "seen at creation"
    detail = refused or _detail(evidence)
    return ContainerFailed(title, f"{cause}{': ' + detail if detail else ''}", remedy)


def _special_error(word: str, evidence: Evidence, memory_bytes: int) -> ReproError | None:
    if word == "engine-lost":
        return EngineLost("the engine was lost while the launch ran", evidence.engine_lost, "start it and launch again")
    if word == "interrupted":
        return Interrupted("interrupted", "what was measured so far is kept, marked as interrupted", "launch again")
    if word == "disk-full":
        return RunFolderLost(
            "the disk of the run folder filled while the launch ran",
            "journals end where the space did",
            "free some space, then launch again",
        )
    if word == "oom" and evidence.backend.oom_killed and not evidence.sdk.oom_killed:
        return ContainerFailed(
            "the backend ran out of memory",
            "the kernel's out-of-memory killer ended it at the limit that its catalogue entry gives",
            "give it more: 'memory' in its backend.yaml",
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
    failed = evidence.backend if not evidence.sdk.started or evidence.backend.ended_first else evidence.sdk
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
        "look at stderr.log and the last samples in result.json; if it stood at its memory limit, raise --memory",
    ),
    "container-failed": (
        "a container failed",
        "it did not start, or ended with an error",
        "look at stderr.log in the attempt's folder",
    ),
}
