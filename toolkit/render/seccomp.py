"""The seccomp profile of every container that a launch starts: Docker's default and the memory policy calls."""

from __future__ import annotations

import json
from typing import Any

from toolkit import resources


def seccomp_bytes() -> bytes:
    """The derived seccomp profile, as shipped."""
    return (resources.images_dir() / "seccomp" / "profile.json").read_bytes()


def seccomp_profile() -> dict[str, Any]:
    """The derived seccomp profile, parsed."""
    profile: dict[str, Any] = json.loads(seccomp_bytes())
    return profile
