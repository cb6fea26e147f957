"""What the engine's refusals and silences mean, as errors of ours."""

from __future__ import annotations

import re

from toolkit.errors import EngineError, EngineLost, EngineRefused, EngineTooOld

MINIMUM_API = (1, 41)

_NOT_JOINABLE = "cannot join network of a non running container"


class NamespaceGone(EngineRefused):
    """The container whose network namespace was to be joined has ended or never started (exit 5)."""

    exit_code = 5


def api_version(text: str) -> tuple[int, int]:
    """``1.41`` as numbers; (0, 0) for what is no version."""
    match = re.fullmatch(r"(\d+)\.(\d+)", text.strip())
    return (int(match[1]), int(match[2])) if match else (0, 0)


def check_api_version(found: str) -> None:
    """Raises EngineTooOld below API 1.41 (engine 20.10)."""
    if api_version(found) < MINIMUM_API:
        wanted = ".".join(str(number) for number in MINIMUM_API)
        raise EngineTooOld(
            "The container engine is too old",
            f"it speaks API {found or 'of no known version'}; we need at least {wanted} (engine 20.10)",
            "Upgrade it: sudo apt-get update && sudo apt-get install -y docker.io",
        )


def refused(what: str, status: int, text: str) -> EngineRefused:
    """The engine's own words about a request it would not do."""
    words = " ".join(text.split()) or f"HTTP status {status}"
    return EngineRefused(f"The engine refused to {what}", words, _remedy(words))


def start_refused(problem: EngineRefused, container: str) -> EngineRefused:
    """``problem``, or NamespaceGone where it is the other container's network that is missing."""
    other_gone = "No such container" in problem.cause and container not in problem.cause
    if _NOT_JOINABLE not in problem.cause and not other_gone:
        return problem
    return NamespaceGone(
        "The container cannot join the backend's network namespace",
        problem.cause,
        "The backend ended before the SDK container started: see its log and exit code",
    )


def lost(what: str, problem: object) -> EngineLost:
    """The engine stopped answering."""
    return EngineLost(
        "The container engine was lost",
        f"it stopped answering while we asked it to {what} ({problem})",
        "See the engine's log (journalctl -u docker, or /tmp/dockerd.log), start it, then: repro clean",
    )


def not_local(difference: str) -> EngineError:
    """An engine behind a Unix socket that is nevertheless another machine's or another container's."""
    return EngineError(
        "The engine does not share this machine's file system",
        f"{difference}; a forwarded socket or an engine in a virtual machine cannot see our files",
        "Use an engine that runs on this very machine, and run repro outside of containers",
    )


def _remedy(words: str) -> str:
    low = words.lower()
    if "apparmor_parser" in low:
        return "Install its parser: sudo apt-get install -y apparmor"
    if "requested cpus are not available" in low:
        return "Name CPUs that this machine has online: see 'repro doctor'"
    if "requested memory nodes are not available" in low:
        return "Name memory nodes that this machine has: see 'repro doctor'"
    if "memory limit" in low:
        return "Ask for more memory: --memory 512m"
    if "bind source path does not exist" in low:
        return "Use an engine that shares this machine's file system"
    if "no such image" in low:
        return "Build it again: the image was removed after it was built"
    return ""
