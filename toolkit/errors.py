"""Every error a user can meet: what happened, why, what to do next, and one exit code each.

Only ``toolkit.cli`` turns an error into an exit. Codes are the table of design section 14::

    try:
        ...
    except ReproError as error:
        print(error.title, error.cause, error.remedy, error.exit_code)
"""

from __future__ import annotations


class ReproError(Exception):
    """Base of all errors shown to users.

    ``title`` says what failed, ``cause`` where and why, ``remedy`` what to do next.
    """

    exit_code = 1

    def __init__(self, title: str, cause: str = "", remedy: str = "") -> None:
        super().__init__(title)
        self.title = title
        self.cause = cause
        self.remedy = remedy

    def __str__(self) -> str:
        return ". ".join(part.rstrip(".") for part in (self.title, self.cause, self.remedy) if part)


class LaunchInvalid(ReproError):
    """A launch ran but one of its conditions did not hold, or its record could not be kept (exit 1)."""

    exit_code = 1


class RunFolderLost(ReproError):
    """The run folder vanished or its disk filled while the run was under way (exit 1)."""

    exit_code = 1


class UsageError(ReproError):
    """The command line, a catalogue entry or a file given by the user is wrong (exit 2)."""

    exit_code = 2


class CatalogueError(UsageError):
    """A catalogue entry is incomplete or malformed (exit 2)."""


class InputMismatch(UsageError):
    """A fetched or stored input is not the one the lock names (exit 2)."""


class InputUnsafe(UsageError):
    """An input that would take more room or time than any input of ours needs, or whose names leave their folder."""


class InputUnavailable(UsageError):
    """A locked input cannot be had from the host's package clients (exit 2)."""


class BuildFailed(UsageError):
    """The compiler, in its sealed container, refused the sources (exit 2)."""


class HostUnfit(ReproError):
    """This host lacks a CPU, memory node, memory or architecture that was asked for (exit 3)."""

    exit_code = 3


class EngineError(ReproError):
    """The engine is missing, too old, not local, or was lost mid-run (exit 4)."""

    exit_code = 4


class EngineUnavailable(EngineError):
    """No engine answers."""


class EngineTooOld(EngineError):
    """The engine speaks an older API than we need."""


class EngineLost(EngineError):
    """The engine stopped answering while we worked."""


class EngineRefused(EngineError):
    """The engine answered, and refused a request of ours."""


class ContainerFailed(ReproError):
    """A container did not start, was killed, ran out of memory, panicked, hung or never got ready (exit 5)."""

    exit_code = 5


class ArchiveInvalid(ReproError):
    """An archive or manifest is tampered with, unsafe, incomplete or malformed (exit 6)."""

    exit_code = 6


class LaneBusy(ReproError):
    """Somebody else holds the CPUs that were asked for (exit 7)."""

    exit_code = 7


class Inconclusive(ReproError):
    """The evidence settles nothing: inconclusive, not comparable or unknown (exit 8)."""

    exit_code = 8


class Interrupted(ReproError):
    """Ctrl-C or SIGTERM (exit 130)."""

    exit_code = 130


class Reported(Exception):
    """Carries an error whose JSON form is already on stdout: only its text and its exit code are left to give."""

    def __init__(self, error: ReproError) -> None:
        super().__init__(str(error))
        self.error = error
