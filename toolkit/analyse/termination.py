"""How a launch ended: one word of a closed list (``evidence.TERMINATIONS``), with the sentence behind it."""

from __future__ import annotations

from toolkit.analyse.windows import nanoseconds
from toolkit.model.evidence import Evidence, Finding, LaunchFacts, Termination

PANIC_EXIT = 2
"""The Go runtime's exit code after a panic or a fatal error."""

HANG_SLACK_SECONDS = 0.5
SILENCE_SECONDS = 5.0
"""A backend whose journal stops so long before the SDK's end had lost its agent."""


def termination(sdk: Evidence, backend: Evidence | None, facts: LaunchFacts) -> tuple[Termination, Finding | None]:
    """The word, and the finding that goes with every word but ``completed``.

    Precedence: what ended it from outside; what kept it from starting; the backend; the SDK's own end.
    """
    if facts.stopped is not None and facts.stopped != "completed":
        return facts.stopped, Finding("termination", f"the launch was ended from outside: {facts.stopped}")
    if facts.refused:
        return "refused", Finding("termination", f"no container was started: {facts.refused}")
    return _not_started(sdk, backend, facts) or _backend_end(sdk, backend, facts) or _sdk_end(sdk, facts)


_Ending = tuple[Termination, Finding | None]


def _not_started(sdk: Evidence, backend: Evidence | None, facts: LaunchFacts) -> _Ending | None:
    for role, evidence in (("backend", backend), ("SDK", sdk)):
        if evidence is not None and evidence.refusal is not None:
            return "refused", Finding(
                "termination", f"the {role}'s agent refused to start it: {evidence.refusal.reason}"
            )
    if backend is not None and backend.agent is None:
        return "container-failed", Finding("termination", "the backend's agent never wrote a record")
    if backend is not None and backend.ready_waited_ns is None and sdk.agent is None:
        if facts.backend_oom or (backend.exit and backend.exit.oom_kills):
            return "oom", Finding("termination", "the backend ran out of memory before it was ready")
        return "backend-not-ready", Finding("termination", "the backend never answered its readiness probe")
    if sdk.agent is None:
        never = Finding("termination", "the SDK's agent never wrote a record")
        return _gone_beforehand(backend, facts) or ("container-failed", never)
    return None


def _gone_beforehand(backend: Evidence | None, facts: LaunchFacts) -> _Ending | None:
    """How a backend ended that was ready and then gone when the SDK's container was to join its network."""
    if backend is None or not facts.backend_ended_first:
        return None
    if facts.backend_oom or (backend.exit and backend.exit.oom_kills):
        return "oom", Finding("termination", "the backend was ready, then ran out of memory before the SDK started")
    if backend.exit is None:
        return "agent-lost", Finding("termination", "the backend's agent was ready, then gone before the SDK started")
    cause = f"the backend was ready, then ended before the SDK started ({_how(backend)})"
    return "backend-died", Finding("termination", cause, backend.exit.exit_code)


def _backend_end(sdk: Evidence, backend: Evidence | None, facts: LaunchFacts) -> _Ending | None:
    """Whether the backend went before the SDK was done with it."""
    needed_until = _needed_until(sdk)
    if backend is None or needed_until is None:
        return None
    if backend.exit is not None:
        if backend.exit.monotonic_ns >= needed_until:
            return None
        if backend.exit.oom_kills or facts.backend_oom:
            return "oom", Finding("termination", "the backend ran out of memory", backend.exit.oom_kills, 0)
        return "backend-died", Finding(
            "termination", f"the backend ended before the SDK was done ({_how(backend)})", backend.exit.exit_code
        )
    silent = backend.last_ns is not None and backend.last_ns + nanoseconds(SILENCE_SECONDS) < needed_until
    if silent or facts.backend_ended_first:
        word: Termination = "oom" if facts.backend_oom else "agent-lost"
        return word, Finding("termination", "the backend's agent was gone before the SDK was done")
    return None


def _needed_until(sdk: Evidence) -> int | None:
    marks = [stamp for stamp in (sdk.mark("drain"), sdk.mark("done")) if stamp is not None]
    ends = [*marks, *([sdk.exit.monotonic_ns] if sdk.exit else [])]
    return min(ends) if ends else sdk.last_ns


def _sdk_end(sdk: Evidence, facts: LaunchFacts) -> _Ending:
    end = sdk.exit
    if end is None:
        if facts.sdk_oom:
            return "oom", Finding("termination", "the SDK's container ran out of memory, its agent with it")
        return "agent-lost", Finding("termination", "the SDK's journal ends without the program's end")
    if end.exit_code == 0 and sdk.mark("done") is not None:
        return "completed", None
    if end.oom_kills or facts.sdk_oom:
        return "oom", Finding("termination", "the SDK's container ran out of memory", end.oom_kills, 0)
    if _hung(sdk, facts):
        cause = "the program was still running at its planned end and was stopped"
        return "hang", Finding("termination", cause, end.exit_code, facts.stop_after_seconds)
    if end.signal:
        return "killed", Finding("termination", f"the program was killed ({_how(sdk)})", end.exit_code, 0)
    if end.exit_code == PANIC_EXIT:
        return "panic", Finding(
            "termination", "the program panicked (Go's exit code 2); see stderr.log", end.exit_code, 0
        )
    if end.exit_code:
        return "container-failed", Finding("termination", "the program failed; see stderr.log", end.exit_code, 0)
    return "container-failed", Finding("termination", "the program ended without saying that it was done", 0)


def _hung(sdk: Evidence, facts: LaunchFacts) -> bool:
    # Also after "done": a program that closes its client for ever has done its work and yet does not end.
    if not facts.stop_after_seconds or sdk.agent is None or sdk.exit is None:
        return False
    lived = sdk.exit.monotonic_ns - sdk.agent.monotonic_ns
    return lived >= nanoseconds(facts.stop_after_seconds - HANG_SLACK_SECONDS)


def _how(evidence: Evidence) -> str:
    end = evidence.exit
    if end is None:
        return "unknown"
    return f"signal {end.signal}" if end.signal else f"exit code {end.exit_code}"
