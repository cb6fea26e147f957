"""What the engine's refusals and silences mean, as errors of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from toolkit.engine.port import EngineFacts
from toolkit.errors import EngineError, EngineLost, EngineRefused, EngineTooOld

MINIMUM_API = (1, 41)

# An engine that was handed a document (a seccomp profile) may quote all of it.
_WORDS_KEPT = 400

_PODMAN = "Podman Engine"
_DELEGATION = "/etc/systemd/system/user@.service.d"

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


def check_product(components: Sequence[Mapping[str, object]]) -> None:
    """Raises EngineError for Podman behind Docker's API (``components`` of ``GET /version``).

    Seen with 4.3.1, both as root and rootless: ``SecurityOpt`` must name a profile's file where Docker takes the
    profile, and a container with a read-only root is given ``TERM``, ``container``, and writable ``/run`` and
    ``/var/tmp`` that no request can decline. Every launch would be refused by its own read-back.
    """
    for part in components:
        if part.get("Name") == _PODMAN:
            raise EngineError(
                "The engine is Podman",
                f"version {part.get('Version') or 'unknown'} behind Docker's API takes no seccomp profile, and adds "
                "two variables and two writable folders to every container: what is asked would not be what happens",
                "Use a Docker engine of this machine, the system's or a rootless one: "
                "export DOCKER_HOST=unix:///var/run/docker.sock",
            )


def check_controllers(facts: EngineFacts) -> None:
    """Raises EngineError when the engine cannot set some limit at all: it would drop it with a warning."""
    if facts.missing_controllers:
        raise EngineError(
            "The engine cannot set every limit",
            f"it has no cgroup controller {', '.join(facts.missing_controllers)}",
            _controllers_remedy(facts),
        )


def _controllers_remedy(facts: EngineFacts) -> str:
    """What gives an engine its controllers (Docker's documentation, "Rootless mode", "Limiting resources")."""
    if not facts.rootless:
        return "Mount the controller (cgroups(7)), or boot without cgroup_disable, then restart the engine"
    if facts.cgroup_version != "2":
        return "Boot with cgroup version 2 (systemd.unified_cgroup_hierarchy=1), or use the system's engine"
    return (
        f"Delegate them to users, then log in again: sudo mkdir -p {_DELEGATION} && "
        rf"printf '[Service]\nDelegate=cpu cpuset io memory pids\n' | sudo tee {_DELEGATION}/delegate.conf && "
        "sudo systemctl daemon-reload && sudo systemctl restart user@$(id -u)"
    )


def refused(what: str, status: int, text: str) -> EngineRefused:
    """The engine's own words about a request it would not do."""
    words = _short(" ".join(text.split())) or f"HTTP status {status}"
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


def _short(words: str) -> str:
    """Both ends of a long text: what was attempted stands first, and why it failed last."""
    half = _WORDS_KEPT // 2
    return words if len(words) <= _WORDS_KEPT else f"{words[:half]} [...] {words[-half:]}"


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
