"""Runs the host's package clients: argument lists, time limits, retries; output kept for the error text, never
shown raw.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_RETRY_PAUSE_SECONDS = 2.0
_KEPT_LINES = 6


@dataclass(frozen=True)
class Outcome:
    """How a client ended. ``text`` is the end of what it said, without credentials."""

    code: int
    stdout: bytes
    text: str

    @property
    def ok(self) -> bool:
        return self.code == 0


def run(
    command: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    timeout_seconds: float = 600.0,
    attempts: int = 1,
) -> Outcome:
    """Run a client; a missing program is code 127, a time-out 124. Retried ``attempts`` times with a pause. Raises
    nothing.
    """
    outcome = _once(command, env, cwd, timeout_seconds)
    for attempt in range(1, attempts):
        if outcome.ok or outcome.code == 127:
            break
        time.sleep(_RETRY_PAUSE_SECONDS * attempt)
        outcome = _once(command, env, cwd, timeout_seconds)
    return outcome


def _once(command: Sequence[str], env: Mapping[str, str], cwd: Path | None, timeout_seconds: float) -> Outcome:
    try:
        done = subprocess.run(
            command,
            env=dict(env),
            cwd=cwd,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_seconds,
            check=False,
        )
    except FileNotFoundError:
        return Outcome(127, b"", f"{command[0]}: not found")
    except PermissionError:
        return Outcome(126, b"", f"{command[0]}: not executable")
    except subprocess.TimeoutExpired:
        return Outcome(124, b"", f"{command[0]}: no answer within {timeout_seconds:.0f} s")
    return Outcome(done.returncode, done.stdout, _tail(done.stderr or done.stdout))


def _tail(output: bytes) -> str:
    lines = [line.strip() for line in output.decode("utf-8", "replace").splitlines() if line.strip()]
    return _CREDENTIALS.sub("", " | ".join(lines[-_KEPT_LINES:]))
