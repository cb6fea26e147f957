"""Brings one wheel or source archive by the pip of the running interpreter: the user's index, proxy and certificates
apply.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

from toolkit.errors import InputUnavailable
from toolkit.fetch.clients import run
from toolkit.model.inputs import LockedFile

_FETCH_SECONDS = 600.0
_ATTEMPTS = 2
_ARCHIVE = ".tar.gz"


def download_wheel(wheel: LockedFile, folder: Path) -> Path:
    """The wheel's file in ``folder``. Raises InputUnavailable when no pip works or the index lacks it."""
    wish = f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}"
    options = ["--require-hashes", "--only-binary", ":all:"]
    return _download(wish, options, folder, wheel.filename, lambda: folder / wheel.filename)


def download_source(name: str, version: str, folder: Path, *, sha256: str = "") -> Path:
    """A package's source archive in ``folder``. Raises InputUnavailable.

    pip asks an archive's own build program for its dependencies even when it is only to download; with ``sha256`` it
    compares the digest before it does.
    """
    wish = f"{name}=={version}" + (f" --hash=sha256:{sha256}" if sha256 else "")
    options = [*(["--require-hashes"] if sha256 else []), "--no-binary", ":all:"]
    return _download(wish, options, folder, f"{name}-{version}{_ARCHIVE}", lambda: _one_archive(folder))


def _one_archive(folder: Path) -> Path:
    return next(iter(folder.glob(f"*{_ARCHIVE}")), folder / _ARCHIVE)


def _download(wish: str, options: list[str], folder: Path, title: str, made: Callable[[], Path]) -> Path:
    requirements = folder / "requirements.txt"
    requirements.write_text(wish + "\n")
    arguments = ["download", "--no-deps", *options, "--disable-pip-version-check", "-q"]
    arguments += ["-r", str(requirements), "-d", str(folder)]
    said = []
    for pip in ([sys.executable, "-m", "pip"], ["python3", "-m", "pip"], ["pip3"]):
        outcome = run([*pip, *arguments], env=os.environ, timeout_seconds=_FETCH_SECONDS, attempts=_ATTEMPTS)
        if made().is_file():
            return made()
        said.append(outcome.text)
        if outcome.ok or ("No module named pip" not in outcome.text and outcome.code != 127):
            break
    raise InputUnavailable(
        f"pip could not bring {title}",
        said[-1],
        "check the network and pip's configuration, or use `repro fetch --from FILE`",
    )
