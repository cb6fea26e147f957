"""Brings one wheel, pinned by hash, by the pip of the running interpreter: the user's index, proxy and
certificates apply.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from toolkit.errors import InputUnavailable
from toolkit.fetch.clients import run
from toolkit.model.inputs import LockedFile

_FETCH_SECONDS = 600.0
_ATTEMPTS = 2


def download_wheel(wheel: LockedFile, folder: Path) -> Path:
    """The wheel's file in ``folder``. Raises InputUnavailable when no pip works or the index lacks it."""
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n")
    arguments = [
        "download",
        "--no-deps",
        "--require-hashes",
        "--only-binary",
        ":all:",
        "--disable-pip-version-check",
        "-q",
    ]
    arguments += ["-r", str(requirements), "-d", str(folder)]
    said = []
    for pip in ([sys.executable, "-m", "pip"], ["python3", "-m", "pip"], ["pip3"]):
        outcome = run([*pip, *arguments], env=os.environ, timeout_seconds=_FETCH_SECONDS, attempts=_ATTEMPTS)
        if (folder / wheel.filename).is_file():
            return folder / wheel.filename
        said.append(outcome.text)
        if outcome.ok or ("No module named pip" not in outcome.text and outcome.code != 127):
            break
    raise InputUnavailable(
        f"pip could not bring {wheel.filename}",
        said[-1],
        "check the network and pip's configuration, or use `repro fetch --from DIR`",
    )
